# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Reports what Orbax raises and logs when a checkpoint fails as one line."""

from collections.abc import Iterator
import contextlib
import gc
import logging
import sys
from typing import Any
import warnings

from absl import logging as absl_logging

from nomic_jax.errors import UserError
from nomic_jax.storage import buckets
from nomic_jax.storage.values import Place


@contextlib.contextmanager
def silenced() -> Iterator[None]:
  """Silences what Orbax and asyncio report besides the exception they raise.

  Orbax logs every step it takes, and one failed read or write is reported four
  more times: in two logs, as a warning, and by concurrent reads or writes whose
  event loop is gone. Everything is restored on exit.
  """
  asyncio_logger = logging.getLogger("asyncio")
  verbosity, level = absl_logging.get_verbosity(), asyncio_logger.level
  before = sys.unraisablehook

  def without_closed_loops(unraisable: Any) -> None:
    if str(unraisable.exc_value) != "Event loop is closed":
      before(unraisable)

  with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "coroutine .* was never awaited")
    absl_logging.set_verbosity(absl_logging.FATAL)
    asyncio_logger.setLevel(logging.CRITICAL)
    sys.unraisablehook = without_closed_loops
    try:
      yield
    except BaseException:
      gc.collect()  # destroys unfinished coroutines now rather than later
      raise
    finally:
      absl_logging.set_verbosity(verbosity)
      asyncio_logger.setLevel(level)
      if sys.unraisablehook is without_closed_loops:
        sys.unraisablehook = before


_FULL = (
  "No space left",
  "File too large",
  "Disk quota",
  "Read-only file",
  "Permission denied",
)


@contextlib.contextmanager
def disk_errors(workdir: Place) -> Iterator[None]:
  """Turns errors of a full or unwritable disk into one line."""
  try:
    yield
  except Exception as error:
    if buckets.is_remote(workdir):
      raise
    e = error
    while e is not None:
      for reason in _FULL:
        if reason in str(e):
          raise UserError(
            f"{workdir}: cannot write a checkpoint: {reason}; earlier ones are "
            "complete: fix that and run the same command to resume from the "
            "last one"
          ) from error
      e = e.__cause__ or e.__context__
    raise


@contextlib.contextmanager
def damage(path: Place) -> Iterator[None]:
  """Turns Orbax's errors for a damaged checkpoint into one line."""
  try:
    yield
  except MemoryError:
    raise
  except Exception as e:  # Orbax raises many types, none of its own.
    if buckets.is_remote(path) and buckets.classify(e):
      raise
    reason = " ".join(str(e).split())
    raise UserError(
      f"{path}: cannot be read ({reason:.200}); copy it again or, if it is "
      "damaged, move it away to resume from the previous checkpoint"
    ) from e
