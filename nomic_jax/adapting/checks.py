# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of an adaptation before training; each error is one line."""

from collections.abc import Sequence
import pathlib

import tokenizers

from nomic_jax.adapting import given
from nomic_jax.data import dataset
from nomic_jax.data import statistics
from nomic_jax.errors import UserError
from nomic_jax.report import adaptation as report_lib
from nomic_jax.storage.values import JsonObject

_FEWEST = 50  # pairs
_FEWEST_HELD_OUT = 20  # rows; fewer are an error
_FEW_HELD_OUT = 200  # rows; fewer give a note
_WIDEST = 0.15  # maximum half-width of the confidence interval of a score
# Smallest value of each argument, and whether it is itself too small.
_LEAST = {
  "negatives": (0, False),
  "epochs": (0, True),
  "batch_size": (2, False),  # the other pairs of a batch are the negatives
  "learning_rate": (0, True),
  "held_out": (0, True),
}
_SAMPLE = 2000  # rows that are inspected


def numbers(**values: float | None) -> None:
  """Raises UserError for a number outside its range; None is not given.

  Checked first, since the config that they end up in is read only after the
  data is prepared and the model is scored.
  """
  for name, value in values.items():
    least, open_end = _LEAST[name]
    if value is None:
      continue
    if not (value > least if open_end else value >= least):
      raise UserError(
        f"--{name}={value:g}: expected "
        + (f"more than {least}" if open_end else f"{least} or more")
      )
  held_out = values.get("held_out")
  if held_out is not None and not held_out < 1:
    raise UserError(
      f"--held_out={held_out:g}: expected a share of the rows below 1, such as "
      "0.2"
    )


def sample(data: pathlib.Path) -> list[dataset.Row]:
  """Returns evenly spaced training rows."""
  source = dataset.open_split(data, "train")
  count = min(len(source), _SAMPLE)
  return source.__getitems__([i * len(source) // count for i in range(count)])


def enough(source: str, data: pathlib.Path) -> None:
  """Raises UserError if there are too few pairs, or none held out."""
  splits = dataset.splits(data)
  count = sum(len(dataset.open_split(data, split)) for split in splits)
  if count < _FEWEST:
    raise UserError(
      f"{source}: {count} different pairs; expected {_FEWEST} or more, since "
      "fewer are not enough to train a model or to show that it improved"
    )
  if "test" not in splits:
    raise UserError(f"{data}: no rows were held out; set --held_out above 0")


def rows(
  source: str,
  some: Sequence[dataset.Row],
  kind: str,
  words: tokenizers.Tokenizer,
) -> None:
  """Raises UserError for pairs from which a model cannot learn."""
  equal = sum(row["query"] == row["document"] for row in some) / len(some)
  if equal > 0.5:
    raise UserError(
      f"{source}: in {equal:.0%} of the pairs the document equals the query; "
      "expected documents that answer their query"
    )
  for side in ("query",) if kind == "labels" else ("query", "document"):
    distinct = len({row[side] for row in some})
    if distinct < 10:
      raise UserError(
        f"{source}: the pairs are all alike, with {distinct} different "
        f"{side} texts in {len(some):,} rows; expected 10 or more"
      )
  figures, _ = statistics.token_lengths(words, some)
  statistics.check_known(
    figures,
    source,
    "the model does not know these texts; choose one trained on their language",
  )


def decides(source: str, before: JsonObject) -> str:
  """Returns a note if the held-out split is small, else "".

  Raises:
    UserError: if the held-out split is too small to tell whether a model
      improved.
  """
  task, about = next(iter(before["tasks"].items()))
  result = next(
    m["tasks"][task] for m in before["models"] if m["name"] == report_lib.START
  )
  low, high = result["interval"]
  metric, size = about["metrics"][0], about["size"]
  found = (
    f"{size} give {metric} {result['scores'][metric]:.3f} with a confidence "
    f"interval of {low:.3f} to {high:.3f}"
  )
  tested = int(size.split()[0].replace(",", ""))
  if tested < _FEWEST_HELD_OUT or (high - low) / 2 > _WIDEST:
    raise UserError(
      f"{source}: the held-out split is too small to decide: {found}; use more "
      "data, or hold out more of it"
      + (" with prepare" * given.is_prepared(source))
      + " (--held_out)"
    )
  if tested < _FEW_HELD_OUT:
    return f"{found}: small gains cannot be distinguished from chance"
  return ""
