# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Writes a data directory from another: new `train`, other splits copied."""

import collections
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import functools
import os
import pathlib

from nomic_jax.data import dataset
from nomic_jax.data import kinds
from nomic_jax.data import manifest
from nomic_jax.data import sources
from nomic_jax.errors import UserError
from nomic_jax.storage import decoding

_LOOKED_AT = 100  # rows
EMPTY = "empty text"  # the outcome of a row that cannot be used


def check_kind(input: str | os.PathLike, job: str) -> None:
  """Raises UserError for rows without queries, and for rows whose scores the
  job would overwrite.
  """
  kind = kinds.of(input).name
  if kind == "scores":
    raise UserError(
      f"{input}: its pairs have scores to train on, which {job} would replace; "
      "give it pairs without scores (prepare --kind=pairs)"
    )
  source = dataset.open_split(input, "train", ids=True)
  first = source.__getitems__(range(min(len(source), _LOOKED_AT)))
  if kind in ("text", "labels") and not any(row["query"] for row in first):
    raise UserError(
      f"{input}: its rows are single texts ({kind}), but {job} compares a "
      "query with its document; give it pairs, such as those that "
      "prepare --queries makes from documents"
    )


def check_places(input: str | os.PathLike, output: str | os.PathLike) -> None:
  """Raises UserError for problems that would otherwise appear hours later."""
  decoding.check_name(output, "a data directory")
  dataset.tokenizer_path(input)
  if pathlib.Path(input).resolve() == pathlib.Path(output).resolve() or str(
    input
  ).rstrip("/") == str(output).rstrip("/"):
    raise UserError(
      f"{output}: --output is the same as --input; choose another, since the "
      "input is not changed"
    )


def write(
  input: str | os.PathLike,
  output: str | os.PathLike,
  train: Iterable[dataset.Row],
  *,
  stats: dict,
  others: Mapping[str, str | bytes | pathlib.Path] | None = None,
  inputs: Mapping[str, object] | None = None,
) -> None:
  """Writes `output`: the given `train` rows, and the rest of `input`.

  Args:
    input: the data directory that `train` was made from.
    output: the data directory to write.
    train: its rows.
    stats: the content of stats.json; its `rows` specify the number of rows,
      and nothing is written if it differs. Its `kind` is recorded, since the
      first rows of the output may not show it.
    others: further files, by name.
    inputs: other inputs that `train` was made from, such as the model, by name.

  Raises:
    UserError: if there are no rows, or the path is not writable.
  """
  kept, inputs = stats["rows"]["kept"], inputs or {}
  if not kept:
    raise UserError(
      f"{output}: not written, since every pair of {input} was dropped; see "
      "the reasons above"
      + (" and check that the model is trained" if "model" in inputs else "")
    )
  splits = {
    name: iter(dataset.open_split(input, name))
    for name in dataset.splits(input)
    if name != "train"
  }
  dataset.write(
    output,
    {"train": _counted(train, kept), **splits},
    stats=stats,
    tokenizer=dataset.tokenizer_path(input),
    prompts=sources.read(dataset.index(input)).prompts,
    others=others,
    manifest=functools.partial(
      manifest.of_data,
      stats["arguments"],
      stats["rows"],
      {
        name: manifest.of_input(path)
        for name, path in {"input": input, **inputs}.items()
      },
    ),
  )
  written = len(dataset.open_split(output, "train"))
  if written != kept:
    raise AssertionError(f"{output}: {written} rows written of {kept}")


def _counted(rows: Iterable, expected: int) -> Iterator:
  count = 0
  for row in rows:
    count += 1
    yield row
  if count != expected:
    raise AssertionError(f"train has {count} rows instead of {expected}")


def count_sources(
  sources: Iterable[str], outcomes: Iterable[str]
) -> dict[str, dict[str, int]]:
  """Returns the number of rows with each outcome, for each source."""
  counts = collections.defaultdict(collections.Counter)
  for source, outcome in zip(sources, outcomes, strict=True):
    counts[source][outcome] += 1
  return {source: dict(count) for source, count in sorted(counts.items())}


def add_counts(
  total: dict[str, dict[str, int]], more: Mapping[str, Mapping[str, int]]
) -> None:
  """Adds counts from `count_sources` to others, in place."""
  for source, counts in more.items():
    into = total.setdefault(source, {})
    for outcome, n in counts.items():
      into[outcome] = into.get(outcome, 0) + n


def count_rows(
  by_source: Mapping[str, Mapping[str, int]], rows: int
) -> dict[str, int | dict[str, int]]:
  """Returns the numbers of input, kept, dropped and bad rows.

  Dropped and bad rows are counted by reason; the counts must add up.

  Args:
    by_source: as from `count_sources`; outcomes are "kept" or a reason.
    rows: number of input rows; every row must have an outcome.
  """
  total = collections.Counter()
  for counts in by_source.values():
    total.update(counts)
  if total.total() != rows:
    raise AssertionError(f"{total.total()} rows decided of {rows}")
  kept, bad = total.pop("kept", 0), total.pop(EMPTY, 0)
  return {
    "input": rows,
    "kept": kept,
    "dropped": dict(sorted(total.items())),
    "bad": {EMPTY: bad} if bad else {},
  }


def table(
  by_source: Mapping[str, Mapping[str, int]], most: int = 20
) -> list[str]:
  """Returns lines with the fraction kept, in total and of large sources."""

  def line(name, counts):
    rows, kept = sum(counts.values()), counts.get("kept", 0)
    reasons = ", ".join(
      f"{reason} {n:,}"
      for reason, n in sorted(counts.items())
      if reason != "kept"
    )
    text = (
      f"  {name or '(no source)':32} {rows:>12,} {kept:>12,} "
      f"{kept / max(rows, 1):7.1%}  {reasons}"
    )
    return text.rstrip()

  total = collections.Counter()
  for counts in by_source.values():
    total.update(counts)
  lines = [
    f"  {'source':32} {'rows':>12} {'kept':>12} {'share':>7}  dropped for",
    line("all", total),
  ]
  if len(by_source) < 2:
    return lines
  largest = sorted(by_source, key=lambda s: -sum(by_source[s].values()))
  lines += [line(name, by_source[name]) for name in largest[:most]]
  if len(largest) > most:
    lines.append(f"  and {len(largest) - most} more sources, in stats.json")
  return lines


def print_recall(store: str, recall: float) -> None:
  """Prints how exact the search was; see `neighbours.recall`."""
  print(
    f"{store} store: finds {recall:.2%} of the nearest documents that float32 "
    "finds, on a sample of queries"
  )


def short(text: str, width: int = 60) -> str:
  """Returns `text` on one line, truncated to `width` characters."""
  text = " ".join(text.split())
  return text if len(text) <= width else text[: width - 3] + "..."
