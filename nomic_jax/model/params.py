# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Trees of arrays: their types, for annotations, and their leaves."""

from collections.abc import Iterator
from typing import Any

Params = dict[str, Any]  # nested dicts of arrays, or of boxed ones
Batch = dict[str, Any]  # arrays; those of `inputs` are in a nested dict


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
  """Yields (path, array) of nested dicts, in the order of sorted keys."""
  if not isinstance(tree, dict):
    yield path, tree
    return
  for key in sorted(tree):
    yield from leaves(tree[key], f"{path}/{key}" if path else key)
