# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Parses --config=FILE.py:ARG and --config.a.b=value with ml_collections.

The library does the parsing and checks types. This module turns its errors
into one line that names the key, the nearest existing key and what was
expected.
"""

import ast
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import difflib
import math
import re

from absl import flags
import ml_collections
from ml_collections import config_flags

from nomic_jax.cli import config_files
from nomic_jax.cli import ranges
from nomic_jax.cli import recipes
from nomic_jax.errors import UserError
from nomic_jax.storage import places
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject

# What other trainers call a field -> its name here.
_USUAL = {
  "lr": "learning_rate",
  "num_train_epochs": "epochs",
  "max_steps": "steps",
  "per_device_train_batch_size": "batch_size",
  "gradient_accumulation_steps": "micro_batches",
  "max_grad_norm": "clip_norm",
  "warmup_ratio": "warmup",
  "warmup_steps": "warmup",
  "max_seq_length": "document_length",
}
_LISTS = "a list of numbers such as (256,64), or of words such as ('qkv','out')"


def load(
  arguments: Sequence[str] | ml_collections.ConfigDict,
  recorded: Callable[[], JsonObject | None] = lambda: None,
) -> ml_collections.ConfigDict:
  """Builds the config that --config and --config.* arguments specify.

  Args:
    arguments: each "--config=FILE.py[:ARG]" or "--config.KEY=VALUE"; or a
      config, which is checked and copied.
    recorded: reads the config in a work directory, used without "--config=".

  Returns:
    The config, locked.

  Raises:
    UserError: for a missing file, unknown key, wrong type or unknown ARG.
  """
  if isinstance(arguments, ml_collections.ConfigDict):
    config = arguments.copy_and_resolve_references()
    ranges.check(config)
    return config.lock()
  given = [a for a in arguments if a.startswith("--config=")]
  overrides = [a for a in arguments if a not in given]
  if not given and (values := recorded()) is not None:
    path, config = "the work directory's config.json", _from_json(values)
  elif len(given) == 1:
    path, _, arg = given[0].removeprefix("--config=").partition(":")
    config = config_files.load(path, arg)
  else:
    raise UserError(
      "expected one --config=FILE.py[:ARG], such as "
      f"--config=configs/mlm.py:quickstart; found {len(given)}"
    )
  recipes.apply(
    config,
    [
      a.partition("=")[2] for a in overrides if a.startswith("--config.recipe=")
    ],
  )
  _set_length(config, overrides)
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


def _from_json(values: JsonObject) -> ml_collections.ConfigDict:
  """Returns the config that was written as JSON, where tuples are lists."""

  def restored(value: Json) -> object:
    if isinstance(value, dict):
      return {name: restored(v) for name, v in value.items()}
    return tuple(map(restored, value)) if isinstance(value, list) else value

  return ml_collections.ConfigDict({k: restored(v) for k, v in values.items()})


def sets(
  arguments: Sequence[str] | ml_collections.ConfigDict, key: str
) -> bool:
  """Returns whether arguments set a field; a config sets all its fields."""
  return isinstance(arguments, ml_collections.ConfigDict) or any(
    a.startswith(f"--config.{key}=") for a in arguments
  )


def keys_of(config: ml_collections.ConfigDict, prefix: str = "") -> Iterator:
  """Yields every settable key, with dots."""
  for name, value in config.items():
    if isinstance(value, ml_collections.ConfigDict):
      yield from keys_of(value, f"{prefix}{name}.")
    else:
      yield prefix + name


def _set_length(
  config: ml_collections.ConfigDict, overrides: Sequence[str]
) -> None:
  """Makes a flag for steps replace the file's epochs, and vice versa."""
  lengths = ("steps", "epochs")
  given = [
    name
    for name in lengths
    if any(o.startswith(f"--config.{name}=") for o in overrides)
  ]
  if len(given) == 1 and all(name in config for name in lengths):
    (other,) = set(lengths) - set(given)
    config[other] = 0 if other == "steps" else 0.0


def _extend(
  config: ml_collections.ConfigDict, overrides: Sequence[str]
) -> list[str]:
  """Adds keys that a config leaves open; returns the remaining overrides.

  A group without keys accepts numbers under any name, such as
  data.source_weights.NAME=2. An evaluator's data accepts the keys of
  config.data; a key given there overrides the value of the training run.
  """
  remaining, opened = [], [*_open_groups(config)]
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
          if not math.isfinite(float(value)):
            raise ValueError
        except ValueError:
          raise UserError(
            f"--config.{key}: '{value}' is not a number; expected for example "
            f"--config.{group}.NAME=2"
          ) from None
        break
    else:
      remaining.append(override)
  return remaining


def _open_groups(
  config: ml_collections.ConfigDict, prefix: str = ""
) -> Iterator[str]:
  """Yields the dotted names of the groups that a config file left empty."""
  for name, value in config.items():
    if isinstance(value, ml_collections.ConfigDict):
      yield from _open_groups(value, f"{prefix}{name}.")
      if not any(True for _ in keys_of(value)):
        yield prefix + name


def _find(config: ml_collections.ConfigDict, key: str) -> Json:
  """Returns the value of a dotted key, or None."""
  for part in key.split("."):
    if part not in config:
      return None
    config = config[part]
  return config


def _checked(
  override: str, config: ml_collections.ConfigDict, path: str
) -> str:
  """Returns an override in the form that ml_collections parses.

  Raises:
    UserError: for an unknown key, or a value of the wrong type.
  """
  key, equals, value = override.removeprefix("--config.").partition("=")
  known = list(keys_of(config))
  if key not in known:
    # Compare the last part, since users tend to omit the group.
    full = {k.rpartition(".")[2]: k for k in known}
    last = key.rpartition(".")[2]
    near = (
      [_USUAL[last]]
      if _USUAL.get(last) in full
      else difflib.get_close_matches(last, full, 1, 0.5)
    )
    hint = (
      f"Did you mean '{full[near[0]]}'?" if near else (f"{path} lists the keys")
    )
    raise UserError(f"--config.{key}: the config has no such key. {hint}")
  if not equals:
    raise UserError(f"{override}: expected --config.{key}=VALUE")
  node = _find(config, key)
  group, _, leaf = key.rpartition(".")
  # The type of a field that is None, and thus left to the model, is kept.
  kind = (_find(config, group) if group else config).get_type(leaf)
  if kind is type(None):
    raise UserError(
      f"--config.{key}: the file has None without a type, so a flag cannot set "
      "it; write ml_collections.config_dict.placeholder(int), for example, in "
      "the file"
    )
  try:
    if kind is bool:
      if value.lower() not in ("true", "false", "1", "0"):
        raise ValueError
    elif kind in (int, float):
      if not math.isfinite(kind(value)):
        raise ValueError
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
  """Parses a list of numbers or words: 256,64 or ('qkv','out').

  Args:
    text: the text to parse; "" is an empty list.
    like: the current value. If it holds words, quotes are optional; if it is
      empty, either kind is accepted.

  Raises:
    ValueError, SyntaxError: if `text` is not such a list.
  """
  words = bool(like) and isinstance(like[0], str)
  bare = re.fullmatch(r"(\()?([^'\"()\[\]]*)(?(1)\))", text)
  try:
    parsed = ast.literal_eval(text.strip() or "()")
  except (ValueError, SyntaxError):
    if not (words and bare):
      raise
    parsed = tuple(map(str.strip, bare[2].split(",")))
    if not all(parsed):
      raise
  parsed = parsed if isinstance(parsed, tuple) else (parsed,)
  kinds = (str,) if words else (int, float) if like else (int, float, str)
  if not all(isinstance(x, kinds) for x in parsed):
    raise ValueError
  return parsed


def _holds_pairs(value: object) -> bool:
  """Returns whether it is ((regex, value), ...), as the optimizer expects."""
  return (
    isinstance(value, tuple)
    and len(value) > 0
    and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value)
  )


def _expand(config: ml_collections.ConfigDict) -> None:
  """Expands a leading ~/ in all string values, in place."""
  for key, value in config.items():
    if isinstance(value, ml_collections.ConfigDict):
      _expand(value)
    elif isinstance(value, str) and value.startswith("~/"):
      config[key] = places.expanded(value)
