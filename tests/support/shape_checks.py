# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Shapes and dtypes of arrays, checked at every call of an annotated function.

conftest.py installs `check` for what computes. Only annotations by jaxtyping
count: a test may pass a NumPy array for JAX's, a number for an array of no
axes, and any object for a type of ours.
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
  """Checks what is imported of these packages from here on."""
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
  """The annotation, with `object` for what is no array."""
  if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
    arrays = hint.dtype[_ARRAY, hint.dim_str]
    return arrays if hint.dim_str else arrays | int | float
  origin, args = typing.get_origin(hint), typing.get_args(hint)
  if origin in (typing.Union, types.UnionType):
    return typing.Union[tuple(map(_arrays_of, args))]  # noqa: UP007
  if origin in (tuple, dict):
    return origin[tuple(a if a is ... else _arrays_of(a) for a in args)]
  return type(None) if hint in (None, type(None)) else object
