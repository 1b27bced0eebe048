# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""How the negatives of a mining are chosen."""

from typing import NamedTuple

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.search import neighbours

SHORT = ("random", "drop", "keep")


class Flags(NamedTuple):
  """How negatives are chosen; see `mine.mine_negatives`."""

  negatives: int
  minimum: int
  depth: int
  skip: int
  margin: float | None
  short: str
  seed: int
  chunk_size: int
  store: str


def check(flags: Flags) -> None:
  """Raises UserError for one that cannot be."""
  for name, least in (
      ("negatives", 1), ("minimum", 0), ("depth", 0), ("skip", 0),
      ("chunk_size", 1),
  ):
    if (value := getattr(flags, name)) < least:
      raise UserError(f"{name}={value}: expected at least {least}")
  if flags.minimum > flags.negatives:
    raise UserError(
        f"minimum={flags.minimum}: expected at most negatives="
        f"{flags.negatives}")
  least = flags.skip + flags.negatives
  if flags.depth and flags.depth < least:
    raise UserError(
        f"depth={flags.depth}: expected at least skip + negatives = {least}, "
        "or 0 for random negatives only")
  if flags.margin is not None and not 0 < flags.margin <= 1:
    raise UserError(
        f"margin={flags.margin}: expected a share of the positive's "
        "similarity, above 0 and up to 1")
  one_of(flags.short, SHORT, f"short={flags.short}: unknown")
  neighbours.check_store(flags.store)
