# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Types of paths and of file contents, for annotations."""

import pathlib
from typing import Any
from typing import TYPE_CHECKING
from typing import TypeAlias

if TYPE_CHECKING:
  from etils import epath

# What json.load returns: None, a bool, number, str, list or JsonObject.
Json = Any
JsonObject = dict[str, Json]

# A local path, or an address in a bucket: what `buckets.as_path` returns.
Place: TypeAlias = "pathlib.Path | epath.Path"
