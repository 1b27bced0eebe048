# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Errors that a user can cause, reported in one line; others are bugs."""

from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import difflib


class UserError(Exception):
  """An error that the user can fix.

  The message is one line that says what was wrong, where, what was expected and
  how to fix it. The command line prints it without a stack trace.
  """


@contextlib.contextmanager
def about(place: str) -> Iterator[None]:
  """Prefixes a UserError of the body with the flag, key or file at fault.

  Code that computes reports only what is wrong; code that knows where the value
  was set adds the place.
  """
  try:
    yield
  except UserError as e:
    e.args = (f"{place}: {e}", *e.args[1:])
    raise


class OptionError(UserError):
  """An invalid value of an option: "OPTION: what is wrong".

  The code that reads an option knows it by the name of an argument;
  `options_of` names the group that it was set in.
  """


@contextlib.contextmanager
def options_of(group: str) -> Iterator[None]:
  """Prefixes an OptionError with its group: "config.loss.kind: ..."."""
  try:
    yield
  except OptionError as e:
    raise UserError(f"{group}.{e}") from e


class Diverged(UserError):
  """A training run whose loss or gradient is not finite at `step`."""

  def __init__(self, message: str, step: int):
    super().__init__(message)
    self.step = step


class Stopped(Exception):
  """Ended early through no fault of its own and can be resumed.

  The command line prints the message and exits with the status RESUME.
  """


RESUME = 75  # EX_TEMPFAIL of sysexits.h: run the same command again


def status(error: BaseException) -> int:
  """Returns the exit status of the command line for an error."""
  if isinstance(error, (UserError, ModuleNotFoundError)):
    return 2
  if isinstance(error, Stopped):
    return RESUME
  return 130 if isinstance(error, KeyboardInterrupt) else 1


def one_of(
  name: object,
  names: Collection[str],
  what: str,
  expected: str = "expected one of",
  error: type[UserError] = UserError,
) -> None:
  """Raises an error, with the nearest name, unless `name` is in `names`.

  Args:
    name: the given value.
    names: the valid ones, in the order in which to list them.
    what: where it was given and what is wrong: "config.loss.name: no loss 'x'".
    expected: text before the list.
    error: the type of error.
  """
  if name in names:
    return
  listed = list(map(str, names))
  more = f" and {len(listed) - 20} more" if len(listed) > 20 else ""
  raise error(
    f"{what}; {expected} {', '.join(listed[:20]) or 'none'}{more}."
    f"{nearest(str(name), listed)}"
  )


def check_choice(option: str, value: object, choices: Collection[str]) -> None:
  """Raises OptionError, with the nearest choice, for an unknown value."""
  one_of(value, choices, f"{option}: '{value}' is unknown", error=OptionError)


def nearest(name: str, names: Iterable[str]) -> str:
  """Returns " Did you mean 'x'?" for the closest of `names`, or ""."""
  close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
  return f" Did you mean '{close[0]}'?" if close else ""
