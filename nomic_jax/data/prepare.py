# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""From text on this machine to a data directory that training reads.

Whatever the source, its rows fall into groups that share something, packages
or texts, and whole groups are held out: a model is never tested on what it
has seen the twin of.
"""

import collections
import hashlib
import json
import os
import pathlib
import statistics
import tempfile
import time
from typing import Iterable, Iterator, Mapping

import tokenizers

from nomic_jax.data import dataset
from nomic_jax.data import docstrings
from nomic_jax.data import jsonl
from nomic_jax.data import tokenizer as tokenizer_lib
from nomic_jax.data.dataset import Row
from nomic_jax.errors import UserError

# The share of the rows that is held out where none is given.
HELD_OUT = 0.07

# No group may take more of the held-out rows than this, while smaller ones are
# left to choose from: one large package would make the test all about itself.
_LARGEST_GROUP = 0.25

# The most rows that a tokenizer is trained on, and that are tokenised to tell
# how long texts are; more change neither.
_TRAINED = 200_000
_MEASURED = 2_000


def prepare(
    source: str,
    output: str | os.PathLike,
    vocab_size: int = 8192,
    tokenizer: str | None = None,
    limit: int | None = None,
    held_out: float = HELD_OUT,
    query_column: str = "query",
    document_column: str = "document",
    negatives_column: str = "negatives",
    overwrite: bool = False,
) -> dict:
  """Makes the data directory `output` and returns what stats.json holds.

  Args:
    source: "docstrings", all Python on this machine; "docstrings:FOLDER", the
      Python in a folder; or a .jsonl or .jsonl.gz file, or a folder of them.
    output: the data directory; appears when it is complete.
    vocab_size: tokens of the tokenizer to train.
    tokenizer: a folder or tokenizer.json to use instead of training one.
    limit: the most rows: the first of jsonl, evenly spaced ones of docstrings.
    held_out: share of the rows for the split `test`; 0 makes no such split.
    query_column: where jsonl rows have the query, a string.
    document_column: where they have the document that answers it, a string.
    negatives_column: where they may have wrong answers, a list of strings.
    overwrite: make it anew even if a data directory is there.

  Raises:
    UserError: on a source, row or argument that cannot be used.
  """
  columns = (query_column, document_column, negatives_column)
  _check(vocab_size, limit, held_out)
  output = pathlib.Path(output)
  arguments = {
      "source": _absolute(source), "limit": limit, "held_out": held_out,
      "tokenizer": os.path.abspath(tokenizer) if tokenizer else None,
      "vocab_size": None if tokenizer else vocab_size, "columns": list(columns),
  }
  done = _already(output, arguments, overwrite)
  if done:
    print(f"{output}: already there, made with the same arguments")
    return done
  reused = tokenizer_lib.load(tokenizer) if tokenizer else None

  clock = _Clock()
  rows, groups, counts = _read(source, limit, columns)
  splits = _split(rows, groups, held_out)
  clock.lap("read")
  words = reused or tokenizer_lib.train(
      _texts(_spaced(splits["train"], _TRAINED)), vocab_size)
  stats = {
      "arguments": arguments,
      "counts": counts,
      "rows": {name: len(split) for name, split in splits.items()},
      "held_out": sorted({row["source"] for row in splits.get("test", ())})
      if _is_docstrings(source) else [],
      "tokens": _token_lengths(words, _spaced(rows, _MEASURED)),
      "vocab_size": words.get_vocab_size(),
  }
  clock.lap("tokenizer")
  with tempfile.TemporaryDirectory() as folder:
    kept = pathlib.Path(folder) / "tokenizer"
    tokenizer_lib.save(words, kept)
    dataset.write(output, splits, stats=stats, tokenizer=kept)
  clock.lap("write")
  _print_table(stats, clock.seconds)
  print(f"wrote {output}")
  return stats


class _Clock:
  """Seconds of each part of a job."""

  def __init__(self):
    self.seconds: dict[str, float] = {}
    self._began = time.monotonic()

  def lap(self, name: str) -> None:
    now = time.monotonic()
    self.seconds[name], self._began = now - self._began, now


def _check(vocab_size: int, limit: int | None, held_out: float) -> None:
  if vocab_size < 1:
    raise UserError(f"--vocab_size={vocab_size}: expected a positive number")
  if limit is not None and limit < 2:
    raise UserError(
        f"--limit={limit}: expected 2 rows or more, one to train on and one "
        "to hold out"
    )
  if not 0 <= held_out < 1:
    raise UserError(
        f"--held_out={held_out}: expected a share of the rows, from 0 to "
        "below 1, such as 0.07"
    )


def _is_docstrings(source: str) -> bool:
  return source == "docstrings" or source.startswith("docstrings:")


def _absolute(source: str) -> str:
  """Returns `source` as it reads from any working directory."""
  if source == "docstrings":
    return source
  if _is_docstrings(source):
    return "docstrings:" + os.path.abspath(source.split(":", 1)[1])
  return os.path.abspath(source)


def _already(
    output: pathlib.Path, arguments: dict, overwrite: bool
) -> dict | None:
  """Returns the stats of `output` if it is what is asked for.

  Raises:
    UserError: if something else is there.
  """
  if not output.exists() or (output.is_dir() and not any(output.iterdir())):
    return None
  stats = output / "stats.json"
  if not stats.is_file() or not (output / "dataset_info.json").is_file():
    raise UserError(
        f"{output}: exists and is no data directory; choose another --output, "
        "nothing there was touched"
    )
  if overwrite:
    return None
  made = json.loads(stats.read_text(encoding="utf-8"))
  before = made.get("arguments", {})
  different = [
      f"{key} was {before.get(key)!r} and is now {arguments[key]!r}"
      for key in arguments if before.get(key) != arguments[key]
  ]
  if different:
    raise UserError(
        f"{output}: made with other arguments ({', '.join(different)}); choose "
        "another --output, or --overwrite to replace it"
    )
  return made


def _read(
    source: str, limit: int | None, columns: tuple[str, str, str]
) -> tuple[list[Row], list[str], dict]:
  """Returns the rows, the group of each, and counts for the table."""
  if _is_docstrings(source):
    folder = source.partition(":")[2]
    found = docstrings.read(pathlib.Path(folder) if folder else None)
    rows = found.rows
    rows = rows if limit is None else _spaced(rows, limit)
    counts = {"files": found.files, "dropped": found.dropped}
    # `_x` often holds the code of `x`: one package in two places.
    groups = [r["source"].strip("_") for r in rows]
  else:
    rows, duplicates = jsonl.read(pathlib.Path(source), limit, columns)
    counts = {"files": {}, "dropped": {"duplicate row": duplicates}}
    groups = jsonl.connected(rows)
  if not rows:
    raise UserError(
        f"{source}: no rows to make a data set of; expected text, see the "
        "counts of what was dropped: " + json.dumps(counts)
    )
  return rows, groups, counts


def _split(
    rows: list[Row], groups: list[str], held_out: float
) -> dict[str, list[Row]]:
  """Returns `train`, and `test` unless nothing is to be held out."""
  chosen = choose_groups(collections.Counter(groups), held_out)
  splits = {"train": [], "test": []}
  for row, group in zip(rows, groups):
    splits["test" if group in chosen else "train"].append(row)
  return splits if chosen else {"train": rows}


def choose_groups(sizes: Mapping[str, int], share: float) -> set[str]:
  """Chooses whole groups that together hold about `share` of all rows.

  Groups are visited in the order of a hash of their name, so that a new group
  seldom changes the fate of the others, and each is taken if it still fits:
  never more than the target in all, nor more than a quarter of it in one
  group while smaller ones are left. If none fits, the smallest is taken.

  Raises:
    UserError: if there is but one group.
  """
  target = share * sum(sizes.values())
  if not target:
    return set()
  if len(sizes) < 2:
    raise UserError(
        f"all rows belong together ({next(iter(sizes))!r:.60}), so none can be "
        "held out; use more sources, or --held_out=0 for no test split"
    )
  order = sorted(
      sizes, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
  chosen, total = set(), 0
  for largest in (_LARGEST_GROUP * target, target):
    for name in order:
      if name not in chosen and (
          sizes[name] <= largest and total + sizes[name] <= target):
        chosen.add(name)
        total += sizes[name]
  return chosen or {min(order, key=lambda name: sizes[name])}


def _texts(rows: Iterable[Row]) -> Iterator[str]:
  for row in rows:
    yield row["query"]
    yield row["document"]


def _spaced(rows: list[Row], most: int) -> list[Row]:
  """Returns all of `rows`, or `most` of them that are evenly spaced."""
  if len(rows) <= most:
    return rows
  return [rows[i * len(rows) // most] for i in range(most)]


def _token_lengths(words: tokenizers.Tokenizer, rows: list[Row]) -> dict:
  """Returns mean and 95th percentile of tokens in queries and documents."""
  lengths = {}
  for name in ("query", "document"):
    encoded = words.encode_batch([row[name] for row in rows])
    sizes = sorted(len(each.ids) for each in encoded)
    lengths[name] = {
        "mean": round(statistics.fmean(sizes), 1),
        "p95": sizes[int(0.95 * (len(sizes) - 1))],
    }
  return lengths


def _print_table(stats: dict, seconds: dict[str, float]) -> None:
  files, dropped = stats["counts"]["files"], stats["counts"]["dropped"]
  lines = [(f"files: {what}", f"{n:,}") for what, n in sorted(files.items())]
  lines += [
      (f"dropped: {what}", f"{n:,}") for what, n in sorted(dropped.items())]
  lines += [(f"rows: {name}", f"{n:,}") for name, n in stats["rows"].items()]
  lines += [
      (f"tokens per {name}", f"{n['mean']:.0f} on average, 95 % up to "
       f"{n['p95']}") for name, n in stats["tokens"].items()]
  lines.append(("vocabulary", f"{stats['vocab_size']:,} tokens"))
  lines.append(("seconds", ", ".join(
      f"{name} {n:.1f}" for name, n in seconds.items())))
  for name, value in lines:
    print(f"{name:<34}{value}")
  if stats["held_out"]:
    print("held out whole: " + ", ".join(stats["held_out"]))
