# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Types of trees of arrays, for annotations."""

from typing import Any

Params = dict[str, Any]  # nested dicts of arrays, or of boxed ones
Batch = dict[str, Any]  # arrays; those of `inputs` are in a nested dict
