# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs as Python functions: `nomic_jax.train(config, workdir)`."""

import argparse
from collections.abc import Callable
from collections.abc import Sequence
import functools
import inspect
import math
import numbers
import os
import typing
from typing import Any

from nomic_jax.cli import flags
from nomic_jax.errors import nearest
from nomic_jax.errors import UserError

_EXPECTED = {int: "a whole number", float: "a number", bool: "True or False"}


def function(job: Callable[..., Any]) -> Callable[..., Any]:
  """Returns the job as a function whose arguments are the flags.

  Arguments are positional in the order of the signature, or named. A string is
  parsed as on the command line, so dim="512,256" is dim=[512, 256]; a path may
  be any os.PathLike. A config is an `ml_collections.ConfigDict`, "FILE.py:ARG",
  or a list of that and of what follows --config. on the command line, such as
  ["configs/mlm.py:quickstart", "steps=100"].
  """
  signature = inspect.signature(job)
  hints = typing.get_type_hints(job, include_extras=True)
  names = list(signature.parameters)

  @functools.wraps(job)
  def call(*args: Any, **kwargs: Any) -> Any:
    given = dict(zip(names, args, strict=False))
    unknown = [name for name in kwargs if name not in names]
    twice = [name for name in kwargs if name in given]
    missing = [
      name
      for name, p in signature.parameters.items()
      if p.default is p.empty and name not in given | kwargs
    ]
    for wrong, problem in (
      (args[len(names) :], f"takes at most {len(names)} arguments"),
      (unknown, f"has no argument {unknown and unknown[0]}"),
      (twice, f"was given {twice and twice[0]} twice"),
      (missing, f"needs the argument {missing and missing[0]}"),
    ):
      if wrong:
        hint = nearest(unknown[0], names) if wrong is unknown else ""
        raise TypeError(f"nomic_jax.{job.__name__} {problem}.{hint}")
    given = {
      name: _value(name, value, hints[name])
      for name, value in (given | kwargs).items()
    }
    bound = signature.bind_partial()
    bound.arguments.update(
      {name: given[name] for name in names if name in given}
    )
    return job(*bound.args, **bound.kwargs)

  return call


def _value(name: str, value: Any, hint: Any) -> Any:
  """The value of an argument as the job takes it."""
  if isinstance(value, os.PathLike):
    value = os.fspath(value)
  if hint is flags.ConfigFlags:
    return _config(value)
  if hint is flags.ConfigKeys:
    return _keys(value)
  flag, many, _, kind = flags.described(hint)
  if isinstance(value, str) and flag.parse:
    try:
      value = flag.parse(value)
    except argparse.ArgumentTypeError as e:
      raise UserError(f"{name}: {e}") from None
  if kind in _EXPECTED and not (flag.parse or many or value is None):
    value = _typed(name, value, kind)
  if isinstance(value, float) and not math.isfinite(value):
    raise UserError(f"{name}={value}: expected a finite number")
  if not many or value is None:
    return value
  if isinstance(value, str) or not isinstance(value, Sequence):
    value = [value]
  return [os.fspath(v) if isinstance(v, os.PathLike) else v for v in value]


def _typed(name: str, value: Any, kind: type) -> Any:
  """Returns a value as the command would read it: "4" and NumPy's 4 are 4.

  Raises:
    UserError: for a value of another type; True is not a number.
  """
  is_bool = isinstance(value, bool)
  try:
    if kind is bool and not (is_bool or type(value) is int and value in (0, 1)):
      raise ValueError
    if kind is not bool and is_bool:
      raise ValueError
    if kind is int and not isinstance(value, (numbers.Integral, str)):
      raise ValueError
    return kind(value)
  except (TypeError, ValueError):
    raise UserError(f"{name}={value!r}: expected {_EXPECTED[kind]}") from None


def _config(value: Any) -> Any:
  """A config, or the flags that describe it."""
  if isinstance(value, str):
    value = [value]
  if not isinstance(value, Sequence):
    return value
  return [
    a if a.startswith("--") else f"--config.{a}" if i else f"--config={a}"
    for i, a in enumerate(value)
  ]


def _keys(value: Any) -> list[str]:
  """The flags that set fields of a job's own config."""
  return [
    a if a.startswith("--") else f"--config.{a}"
    for a in ([value] if isinstance(value, str) else value)
  ]
