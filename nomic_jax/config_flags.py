# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""--config=FILE.py:ARG and --config.a.b=value, as ml_collections reads them.

The library does the parsing and the types; here its complaints become one
line that names the key, the nearest one there is, and what was expected.
"""

import ast
import difflib
import importlib.util
import pathlib
import sys
import traceback
from types import ModuleType
from typing import Any, Iterator, Sequence

from absl import flags
import ml_collections
from ml_collections import config_flags

from nomic_jax import places
from nomic_jax import recipes
from nomic_jax.errors import nearest
from nomic_jax.errors import UserError

# Whole numbers that may be 0; every other one counts what there must be.
_MAY_BE_ZERO = {"seed", "negatives", "projection", "skip_nonfinite",
                "type_vocab_size", "workers", "keep_every", "classes",
                "chunk_tokens"}


def load(arguments: Sequence[str]) -> ml_collections.ConfigDict:
  """Builds the config that --config and --config.* arguments describe.

  Args:
    arguments: each "--config=FILE.py[:ARG]" or "--config.KEY=VALUE".

  Raises:
    UserError: for a missing file, unknown key, wrong type or unknown ARG.
  """
  given = [a for a in arguments if a.startswith("--config=")]
  if len(given) != 1:
    raise UserError(
        "expected one --config=FILE.py[:ARG], such as "
        f"--config=configs/mlm.py:quickstart; found {len(given)}"
    )
  path, _, arg = given[0].removeprefix("--config=").partition(":")
  try:
    config = module(path).get_config(arg or None)
  except ValueError as e:
    raise UserError(str(e)) from e
  except UserError:
    raise
  except Exception as e:
    raise mistake(e, path) from e
  if not isinstance(config, ml_collections.ConfigDict):
    raise UserError(
        f"--config: {path}: get_config returned a {type(config).__name__}; "
        "expected an ml_collections.ConfigDict")
  overrides = [a for a in arguments if a != given[0]]
  recipes.apply(config, [
      a.partition("=")[2] for a in overrides
      if a.startswith("--config.recipe=")])
  for override in overrides:
    _check(override, config, path)
  values = flags.FlagValues()
  argv = ["nomic-jax", *overrides]
  config_flags.DEFINE_config_dict(
      "config", config, flag_values=values, sys_argv=argv
  )
  try:
    values(argv)
  except (flags.Error, TypeError, ValueError) as e:
    raise UserError(str(e).strip().splitlines()[0]) from e
  _expand(config)
  _check_counts(config)
  return config.lock()


def module(path: str) -> ModuleType:
  """Imports a config file; its folder is on the path, so `common` is found.

  Raises:
    UserError: if there is no such file, or it is no config.
  """
  file = pathlib.Path(path)
  if not file.is_file():
    there = [str(f) for f in sorted(file.parent.glob("*.py"))]
    raise UserError(
        f"--config: no file {path}; expected a Python file with get_config."
        f"{nearest(path, there)}"
    )
  folder = str(file.parent.absolute())
  if folder not in sys.path:
    sys.path.insert(0, folder)
  spec = importlib.util.spec_from_file_location(file.stem, file)
  loaded = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(loaded)
  except SyntaxError as e:
    raise UserError(
        f"--config: {e.filename}, line {e.lineno}: {e.msg}; mend the file"
    ) from e
  except Exception as e:
    raise mistake(e, path) from e
  if not hasattr(loaded, "get_config"):
    raise UserError(f"--config: {path} has no function get_config(arg)")
  return loaded


def mistake(error: Exception, file: str) -> UserError:
  """What a config file raised, and where in it or in those beside it."""
  folder = pathlib.Path(file).absolute().parent
  own = [f for f in traceback.extract_tb(error.__traceback__)
         if pathlib.Path(f.filename).absolute().parent == folder]
  where = f"{own[-1].filename}, line {own[-1].lineno}" if own else file
  text = str(error).strip().partition("\n")[0]
  return UserError(
      f"--config: {where}: {type(error).__name__}: {text}; mend the file")


def keys_of(config: ml_collections.ConfigDict, prefix: str = "") -> Iterator:
  """Every settable key, dotted."""
  for name, value in config.items():
    if isinstance(value, ml_collections.ConfigDict):
      yield from keys_of(value, f"{prefix}{name}.")
    else:
      yield prefix + name


def _check(
    override: str, config: ml_collections.ConfigDict, path: str
) -> None:
  """Complains about an unknown key, or a value that is not of its type."""
  key, equals, value = override.removeprefix("--config.").partition("=")
  known = list(keys_of(config))
  if key not in known:
    # By the last part: the group it is in is what people leave out.
    full = {k.rpartition(".")[2]: k for k in known}
    near = difflib.get_close_matches(key.rpartition(".")[2], full, 1, 0.5)
    hint = f"Did you mean '{full[near[0]]}'?" if near else (
        f"{path} says which there are")
    raise UserError(f"--config.{key}: the config has no such key. {hint}")
  if not equals:
    raise UserError(f"{override}: expected --config.{key}=VALUE")
  node = _value(config, key)
  try:
    if isinstance(node, bool):
      if value.lower() not in ("true", "false", "1", "0"):
        raise ValueError
    elif isinstance(node, (int, float)):
      type(node)(value)
    elif _holds_pairs(node):
      if not _holds_pairs(ast.literal_eval(value)):
        raise ValueError
    elif isinstance(node, tuple) and value.strip("()"):
      list(map(float, value.strip("()").rstrip(",").split(",")))
  except (ValueError, SyntaxError):
    names = {int: "a whole number", float: "a number", bool: "true or false",
             tuple: "a list of numbers such as (256,64)"}
    expected = names[type(node)]
    if _holds_pairs(node):
      expected = "a list such as \"(('.*/word/.*',0.1),('.*',1.0))\""
    raise UserError(
        f"--config.{key}: '{value}' is not {expected} (the file has {node!r})"
    ) from None


def _holds_pairs(value: Any) -> bool:
  """Whether it is ((regex, value), ...), as the optimiser takes them."""
  return isinstance(value, tuple) and len(value) > 0 and all(
      isinstance(pair, tuple) and len(pair) == 2 for pair in value)


def _check_counts(config: ml_collections.ConfigDict) -> None:
  """Complains about a whole number that is too small for what it counts."""
  for key in keys_of(config):
    value = _value(config, key)
    least = int(not _MAY_BE_ZERO & {key, key.rsplit(".")[-1]})
    if key.startswith("evaluators.") and key.endswith(".every"):
      least = 0
    elif key.startswith("mesh."):  # sizes, and -1 for what is left
      least = -1
    if type(value) is int and value < least:
      raise UserError(
          f"--config.{key}: {value} is too small; expected {least} or more"
      )


def _expand(config: ml_collections.ConfigDict) -> None:
  """Expands the ~/ at the start of any text, in place."""
  for key, value in config.items():
    if isinstance(value, ml_collections.ConfigDict):
      _expand(value)
    elif isinstance(value, str) and value.startswith("~/"):
      config[key] = places.expanded(value)


def _value(config: ml_collections.ConfigDict, key: str) -> Any:
  for part in key.split("."):
    config = config[part]
  return config
