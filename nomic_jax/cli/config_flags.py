# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""--config=FILE.py:ARG and --config.a.b=value, as ml_collections reads them.

The library does the parsing and the types; here its complaints become one
line that names the key, the nearest one there is, and what was expected.
"""

import ast
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import difflib
import importlib.util
import os
import pathlib
import re
import sys
import traceback
from types import ModuleType
from typing import Any

from absl import flags
import ml_collections
from ml_collections import config_flags

from nomic_jax.cli import ranges
from nomic_jax.cli import recipes
from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.storage import places

_LISTS = "a list of numbers such as (256,64), or of words such as ('qkv','out')"


def load(
  arguments: Sequence[str] | ml_collections.ConfigDict,
) -> ml_collections.ConfigDict:
  """Builds the config that --config and --config.* arguments describe.

  Args:
    arguments: each "--config=FILE.py[:ARG]" or "--config.KEY=VALUE"; or a
      config, which is checked and copied.

  Raises:
    UserError: for a missing file, unknown key, wrong type or unknown ARG.
  """
  if isinstance(arguments, ml_collections.ConfigDict):
    config = arguments.copy_and_resolve_references()
    ranges.check(config)
    return config.lock()
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
      "expected an ml_collections.ConfigDict"
    )
  overrides = [a for a in arguments if a != given[0]]
  recipes.apply(
    config,
    [
      a.partition("=")[2] for a in overrides if a.startswith("--config.recipe=")
    ],
  )
  overrides = _extend(config, overrides)
  overrides = [_checked(override, config, path) for override in overrides]
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
  ranges.check(config)
  return config.lock()


def sets(
  arguments: Sequence[str] | ml_collections.ConfigDict, key: str
) -> bool:
  """Whether the arguments set this field; a config sets all of its fields."""
  return isinstance(arguments, ml_collections.ConfigDict) or any(
    a.startswith(f"--config.{key}=") for a in arguments
  )


def module(path: str) -> ModuleType:
  """Imports a config file, which may import what lies in its folder.

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
  isolated = _importing_from(str(file.parent.absolute()))
  spec = importlib.util.spec_from_file_location(file.stem, file)
  loaded = importlib.util.module_from_spec(spec)
  try:
    isolated(spec.loader.exec_module)(loaded)
  except SyntaxError as e:
    raise UserError(
      f"--config: {e.filename}, line {e.lineno}: {e.msg}; mend the file"
    ) from e
  except Exception as e:
    raise mistake(e, path) from e
  if not hasattr(loaded, "get_config"):
    raise UserError(f"--config: {path} has no function get_config(arg)")
  for name in ("get_config", "sweep"):  # which may import, too
    if hasattr(loaded, name):
      setattr(loaded, name, isolated(getattr(loaded, name)))
  return loaded


@contextlib.contextmanager
def _importing_from(folder: str) -> Iterator[None]:
  """Has `folder` on the path, and forgets what was imported from there.

  Another folder may have a `common` of another kind. Likewise for folders that
  a config file puts on the path.
  """
  path, before = list(sys.path), set(sys.modules)
  sys.path.insert(0, folder)
  try:
    yield
  finally:
    added = {folder} | set(map(os.path.abspath, sys.path)) - set(
      map(os.path.abspath, path)
    )
    sys.path[:] = path
    fresh = [name for name in sys.modules if name not in before]
    own = {
      name
      for name in fresh
      if "." not in name and _home(sys.modules[name]) in added
    }
    for name in fresh:
      if name.partition(".")[0] in own:
        del sys.modules[name]


def _home(module: ModuleType) -> str:
  """The folder from which a module or a package is imported."""
  places = [*getattr(module, "__path__", ()), getattr(module, "__file__", "")]
  return os.path.dirname(os.path.abspath(places[0])) if places[0] else ""


def mistake(error: Exception, file: str) -> UserError:
  """What a config file raised, and where in it or in those beside it."""
  folder = pathlib.Path(file).absolute().parent
  own = [
    f
    for f in traceback.extract_tb(error.__traceback__)
    if pathlib.Path(f.filename).absolute().parent == folder
  ]
  where = f"{own[-1].filename}, line {own[-1].lineno}" if own else file
  text = str(error).strip().partition("\n")[0]
  return UserError(
    f"--config: {where}: {type(error).__name__}: {text}; mend the file"
  )


def keys_of(config: ml_collections.ConfigDict, prefix: str = "") -> Iterator:
  """Every settable key, dotted."""
  for name, value in config.items():
    if isinstance(value, ml_collections.ConfigDict):
      yield from keys_of(value, f"{prefix}{name}.")
    else:
      yield prefix + name


def _extend(
  config: ml_collections.ConfigDict, overrides: Sequence[str]
) -> list[str]:
  """Adds keys that a config leaves open; returns the overrides still to apply.

  A group without keys takes numbers by any name, such as
  data.source_weights.NAME=2. An evaluator's data takes the keys of the
  training's, from which it differs in those it has.
  """
  left, opened = [], [*_open_groups(config)]
  for override in overrides:
    key, equals, value = override.removeprefix("--config.").partition("=")
    group, _, name = key.rpartition(".")
    if equals and re.fullmatch(r"evaluators\.\w+\.data", group):
      node = _find(config, group)
      if (
        isinstance(node, ml_collections.ConfigDict)
        and name not in node
        and (name in config.data)
      ):
        node[name] = config.data[name]
    for group in opened:
      name = key.removeprefix(f"{group}.")
      if equals and name != key:
        try:
          _find(config, group)[name] = float(value)
        except ValueError:
          raise UserError(
            f"--config.{key}: '{value}' is not a number; expected such as "
            f"--config.{group}.NAME=2"
          ) from None
        break
    else:
      left.append(override)
  return left


def _open_groups(
  config: ml_collections.ConfigDict, prefix: str = ""
) -> Iterator[str]:
  """Dotted names of the groups that a config file left empty."""
  for name, value in config.items():
    if isinstance(value, ml_collections.ConfigDict):
      yield from _open_groups(value, f"{prefix}{name}.")
      if not any(True for _ in keys_of(value)):
        yield prefix + name


def _find(config: ml_collections.ConfigDict, key: str) -> Any:
  """The value of a dotted key, or None."""
  for part in key.split("."):
    if part not in config:
      return None
    config = config[part]
  return config


def _checked(
  override: str, config: ml_collections.ConfigDict, path: str
) -> str:
  """Returns an override as ml_collections reads it.

  Raises:
    UserError: for an unknown key, or a value that is not of its type.
  """
  key, equals, value = override.removeprefix("--config.").partition("=")
  known = list(keys_of(config))
  if key not in known:
    # By the last part: the group it is in is what people leave out.
    full = {k.rpartition(".")[2]: k for k in known}
    near = difflib.get_close_matches(key.rpartition(".")[2], full, 1, 0.5)
    hint = (
      f"Did you mean '{full[near[0]]}'?"
      if near
      else (f"{path} says which there are")
    )
    raise UserError(f"--config.{key}: the config has no such key. {hint}")
  if not equals:
    raise UserError(f"{override}: expected --config.{key}=VALUE")
  node = _find(config, key)
  group, _, leaf = key.rpartition(".")
  # Of None, which leaves a field to the model, the type is kept beside it.
  kind = (_find(config, group) if group else config).get_type(leaf)
  if kind is type(None):
    raise UserError(
      f"--config.{key}: the file has None and no type, so a flag cannot set "
      "it; write ml_collections.config_dict.placeholder(int), say, in the "
      "file"
    )
  try:
    if kind is bool:
      if value.lower() not in ("true", "false", "1", "0"):
        raise ValueError
    elif kind in (int, float):
      kind(value)
    elif _holds_pairs(node):
      if not _holds_pairs(ast.literal_eval(value)):
        raise ValueError
    elif isinstance(node, tuple):
      return f"--config.{key}={_list(value, node)!r}"
  except (ValueError, SyntaxError):
    names = {
      int: "a whole number",
      float: "a number",
      bool: "true or false",
      tuple: _LISTS,
    }
    expected = names[kind]
    if _holds_pairs(node):
      expected = "a list such as \"(('.*/word/.*',0.1),('.*',1.0))\""
    raise UserError(
      f"--config.{key}: '{value}' is not {expected} (the file has {node!r})"
    ) from None
  return override


def _list(text: str, like: tuple) -> tuple:
  """Reads numbers, or words: 256,64 or ('qkv','out').

  Args:
    text: what to read; "" is an empty list.
    like: of numbers; of words, which then need no quotes; or empty, which says
      nothing of the kind.

  Raises:
    ValueError, SyntaxError: if it is neither, or not of that kind.
  """
  words = bool(like) and isinstance(like[0], str)
  bare = re.fullmatch(r"(\()?([^'\"()\[\]]*)(?(1)\))", text)
  try:
    found = ast.literal_eval(text.strip() or "()")
  except (ValueError, SyntaxError):
    if not (words and bare):
      raise
    found = tuple(map(str.strip, bare[2].split(",")))
    if not all(found):
      raise
  found = found if isinstance(found, tuple) else (found,)
  kinds = (str,) if words else (int, float) if like else (int, float, str)
  if not all(isinstance(x, kinds) for x in found):
    raise ValueError
  return found


def _holds_pairs(value: Any) -> bool:
  """Whether it is ((regex, value), ...), as the optimiser takes them."""
  return (
    isinstance(value, tuple)
    and len(value) > 0
    and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value)
  )


def _expand(config: ml_collections.ConfigDict) -> None:
  """Expands the ~/ at the start of any text, in place."""
  for key, value in config.items():
    if isinstance(value, ml_collections.ConfigDict):
      _expand(value)
    elif isinstance(value, str) and value.startswith("~/"):
      config[key] = places.expanded(value)
