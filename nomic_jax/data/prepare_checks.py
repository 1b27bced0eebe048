# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks the arguments of `prepare`; each raises a UserError that names one."""

from collections.abc import Sequence

import tokenizers

from nomic_jax.data import kinds as kinds_lib
from nomic_jax.data import origins
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.text import tokenizer as tokenizer_lib

KIND = "wordpiece"  # of a tokenizer that is trained


def kind(kind: str | None, queries: Sequence[str]) -> None:
  """Checks --kind, which --queries may not contradict."""
  if kind is not None:
    one_of(kind, kinds_lib.KINDS, f"--kind={kind}: no such kind")
  if queries and kind not in (None, "pairs"):
    raise UserError(f"--kind={kind}: --queries makes pairs; leave one out")


def numbers(vocab_size: int, limit: int | None, held_out: float | None) -> None:
  """Checks the ranges of numbers."""
  if vocab_size < 1:
    raise UserError(f"--vocab_size={vocab_size}: expected a positive number")
  if limit is not None and limit < 2:
    raise UserError(
      f"--limit={limit}: expected 2 rows or more, one to train on and one "
      "to hold out"
    )
  if held_out is not None and not 0 <= held_out < 1:
    raise UserError(
      f"--held_out={held_out}: expected a share of the rows, at least 0 and "
      "below 1, such as 0.07"
    )


def tokenizer(tokenizer: str | None, kind: str, strip_accents: bool) -> None:
  """Checks that a tokenizer is either given or trained."""
  tokenizer_lib.check_kind(kind, strip_accents)
  if tokenizer and kind != KIND:
    raise UserError(
      f"--tokenizer_kind={kind}: --tokenizer is given, so none is trained; "
      "leave out one of the two"
    )
  if tokenizer and strip_accents:
    raise UserError(
      "--strip_accents: --tokenizer is given, which decides this; leave out "
      "one of the two"
    )


def reading(
  source: str, limit: int | None, whole_batches: int, beam_options: str | None
) -> None:
  """Checks what only some sources can do."""
  packages = origins.is_docstrings(source)
  if whole_batches < 1 or whole_batches > 1 and packages:
    raise UserError(
      f"--whole_batches={whole_batches}: expected the number of rows of a "
      "batch, 1 or more, and a source of files"
    )
  if beam_options is not None and packages:
    raise UserError(
      f"--source={source}: Beam cannot read the packages of this machine; "
      "leave out --beam, or choose files as the source"
    )
  if beam_options is not None and limit is not None:
    raise UserError(
      f"--limit={limit}: --beam reads files in any order, so there are no "
      "first rows; leave out --limit or --beam"
    )


def ids(source: str, largest: int, words: tokenizers.Tokenizer | None) -> None:
  """Raises UserError unless the tokenizer has all token ids of the source."""
  if largest < 0:
    return
  if words is None:
    raise UserError(
      f"{source}: its rows are token ids; specify the tokenizer that made them "
      "as --tokenizer"
    )
  if largest >= words.get_vocab_size():
    raise UserError(
      f"{source}: token id {largest} is beyond the {words.get_vocab_size()} "
      "tokens of --tokenizer; specify the tokenizer that made the ids"
    )
