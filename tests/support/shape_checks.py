# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Shapes and dtypes of arrays, checked at every call of an annotated function.

conftest.py installs `check` for the packages that compute. Only jaxtyping's
annotations count: a test may pass a NumPy array instead of JAX's, a number
instead of an array without axes, and any object for a type of ours.
"""

import types
import typing

import beartype
import jax
import jaxtyping
import numpy as np

PACKAGES = ("kernels", "losses", "model", "step")
_ARRAY = jax.Array | np.ndarray | np.generic


def install() -> None:
  """Checks functions of these packages that are imported from now on."""
  jaxtyping.install_import_hook(
    [f"nomic_jax.{name}" for name in PACKAGES], f"{__name__}.check"
  )


def check(function):
  """Checks a function's arguments and result by its array annotations."""
  function.__annotations__ = {
    name: _arrays_of(hint) for name, hint in function.__annotations__.items()
  }
  return beartype.beartype(function)


def _arrays_of(hint):
  """Returns the annotation with `object` in place of all but arrays."""
  if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
    arrays = hint.dtype[_ARRAY, hint.dim_str]
    return arrays if hint.dim_str else arrays | int | float
  origin, args = typing.get_origin(hint), typing.get_args(hint)
  if origin in (typing.Union, types.UnionType):
    return typing.Union[tuple(map(_arrays_of, args))]  # noqa: UP007
  if origin in (tuple, dict):
    return origin[tuple(a if a is ... else _arrays_of(a) for a in args)]
  return type(None) if hint in (None, type(None)) else object
