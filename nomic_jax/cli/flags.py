# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Flags from signatures: a job is a function and its docstring is its --help.

The first paragraph of the docstring describes the job, `Args:` each flag. A
parameter before `*` is a positional argument; one after it is --NAME=VALUE,
required if it has no default. Annotations determine the rest:

  bool: --NAME; if the default is not False, also --no-NAME.
  Literal["a", "b"]: one of these.
  Sequence[T] or list[T]: may be repeated.
  T | None: as T.
  Annotated[T, Flag(...)]: adds what the type does not express; see Path below.
  ConfigFlags: --config and --config.KEY=VALUE, for `config_flags.load`.
  ConfigKeys: only --config.KEY=VALUE, for a job with a config of its own.

Flags that several jobs have in common are described once: see `shares`.
"""

import argparse
import collections.abc
from collections.abc import Callable
from collections.abc import Sequence
import inspect
import math
import re
import types
import typing
from typing import Annotated
from typing import Any
from typing import NamedTuple
from typing import TypeVar

from nomic_jax.cli import command_line
from nomic_jax.storage import places

T = TypeVar("T")


class Flag(NamedTuple):
  """How a flag is parsed, beyond its type.

  Attributes:
    metavar: the name of the value in --help.
    parse: converts the text to the value; for a Sequence, to a list of values.
    bare: the value of the flag without "=VALUE"; None if a value is required.
  """

  metavar: str | None = None
  parse: Callable[[str], Any] | None = None
  bare: str | None = None


def rows_or_share(text: str) -> int | str:
  """Parses a number of rows, or a share of them such as 5%."""
  return int(text) if text.isdigit() else text


def number(text: str) -> float:
  """Parses a number; NaN and infinity pass most checks of a range."""
  try:
    value = float(text)
  except ValueError:
    value = math.nan
  if not math.isfinite(value):
    raise argparse.ArgumentTypeError(f"invalid float value: '{text}'")
  return value


def _names(text: str) -> list[str]:
  return [name for name in text.split(",") if name]


def _numbers(text: str) -> list[int]:
  try:
    return [int(number) for number in _names(text)]
  except ValueError:
    raise argparse.ArgumentTypeError(
      f"'{text}' is not a list of whole numbers such as 512,256"
    ) from None


ConfigFlags = typing.NewType("ConfigFlags", Sequence[str])
ConfigKeys = typing.NewType("ConfigKeys", Sequence[str])
NO_FLAGS = ConfigFlags(())
NO_KEYS = ConfigKeys(())
Names = Annotated[Sequence[str], Flag("NAME,...", _names)]
Numbers = Annotated[Sequence[int], Flag("N,...", _numbers)]
Path = Annotated[str, Flag(parse=places.expanded)]
Paths = Annotated[Sequence[str], Flag("PATH,...", places.listed)]


def parser(
  jobs: Sequence[Callable[..., None]],
) -> tuple[command_line.Parser, dict[str, command_line.Parser]]:
  """Returns the parser of the whole command, and those of its jobs by name."""
  command = command_line.Parser(
    prog="nomic-jax",
    allow_abbrev=False,
    description="Train your own long-context text embedding model.",
    epilog="Run nomic-jax JOB --help to list the flags of a job.",
  )
  subparsers = command.add_subparsers(
    dest="command", required=True, metavar="JOB", title="jobs"
  )
  for job in jobs:
    _add_job(subparsers, job)
  return command, subparsers.choices


def _add_job(subparsers: Any, job: Callable[..., None]) -> None:
  text, helps = documented(job)
  added = subparsers.add_parser(
    job.__name__,
    help=text,
    description=text,
    allow_abbrev=False,
    formatter_class=command_line.Formatter,
  )
  added.run = job
  hints = typing.get_type_hints(job, include_extras=True)
  for name, parameter in inspect.signature(job).parameters.items():
    if hints[name] in (ConfigFlags, ConfigKeys):
      added.takes_config = True
      file = hints[name] is ConfigFlags
      command_line.add_config_help(added, helps[name], file)
    else:
      names, options = _argument(parameter, hints[name])
      added.add_argument(*names, help=helps[name], **options)


def shares(
  flags: Callable[..., None],
) -> Callable[[Callable[..., T]], Callable[..., T]]:
  """Returns a decorator that adds the flags of a function to those of a job.

  The job takes them as `**kwargs`, to pass on. They come after its required
  flags, and their help from the docstring of `flags`.
  """

  def decorate(job: Callable[..., T]) -> Callable[..., T]:
    own = inspect.signature(job)
    required, optional = [], []
    for p in own.parameters.values():
      if p.kind is not p.VAR_KEYWORD:
        (required if p.default is p.empty else optional).append(p)
    shared = inspect.signature(flags).parameters.values()
    job.__signature__ = own.replace(parameters=[*required, *shared, *optional])
    job.__annotations__ = flags.__annotations__ | job.__annotations__
    _, _, helps = (inspect.getdoc(flags) or "").partition("\nArgs:\n")
    job.__doc__ = f"{inspect.getdoc(job)}\n{helps}"
    return job

  return decorate


def documented(job: Callable[..., None]) -> tuple[str, dict[str, str]]:
  """Returns the help of a job and of each parameter, escaped for argparse."""
  text = inspect.getdoc(job) or ""
  plain = lambda part: " ".join(part.split()).replace("%", "%%")
  _, _, arguments = text.partition("\nArgs:\n")
  helps = dict.fromkeys(inspect.signature(job).parameters, "")
  return plain(text.partition("\n\n")[0]), helps | {
    name: plain(said)
    for name, said in re.findall(
      r"^  (\w+): (.*(?:\n    .*)*)", arguments, re.M
    )
  }


def described(hint: Any) -> tuple[Flag, str | None, tuple | None, Any]:
  """Returns the properties of a flag that its annotation specifies.

  Returns:
    The `Flag`; argparse's action if the flag may be repeated; its choices; and
    the type of its value.

  Raises:
    TypeError: for an unsupported type.
  """
  flag, many, choices = Flag(), None, None
  while inner := typing.get_args(hint):
    origin = typing.get_origin(hint)
    if origin is Annotated:
      for further in reversed(inner[1:]):  # the outermost wins
        flag = Flag._make(
          new if old is None else old for old, new in zip(flag, further)
        )
    elif origin in (collections.abc.Sequence, list):
      many = "extend" if flag.parse else "append"
    elif origin is typing.Literal:
      choices, inner = inner, (type(inner[0]),)
    elif origin not in (typing.Union, types.UnionType):
      raise TypeError(f"{hint}: unsupported type of a flag; see {__name__}")
    hint = inner[0]  # also for a union, where None comes last
  return flag, many, choices, hint


def _argument(
  parameter: inspect.Parameter, hint: Any
) -> tuple[list[str], dict[str, Any]]:
  """Returns the arguments of `add_argument` for a parameter."""
  flag, many, choices, hint = described(hint)
  required = parameter.default is parameter.empty
  default = None if required else parameter.default
  options = {"default": [] if default == () else default}
  if hint is bool:
    options["action"] = (
      "store_true" if default is False else (argparse.BooleanOptionalAction)
    )
  else:
    options |= {
      "type": flag.parse or (number if hint is float else hint),
      "metavar": flag.metavar,
      "choices": choices,
    }
  if parameter.kind is not parameter.KEYWORD_ONLY:
    if many:
      options["nargs"] = "+" if required else "*"
    return [parameter.name], options
  if many:
    options["action"] = many
  if flag.bare is not None:
    options |= {"nargs": "?", "const": flag.bare}
  return [f"--{parameter.name}"], options | {"required": required}
