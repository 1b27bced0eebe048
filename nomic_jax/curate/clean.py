# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax clean`: drops rows without using a model.

Rows are read once, in order. Rules apply in order and the first that fails
decides; dropped rows are not used to detect duplicates. This is fast compared
with embedding, so an interrupted run is not resumed: the output appears whole
or not at all.
"""

from collections.abc import Callable
from collections.abc import Sequence
import json
import os
import pathlib
import tempfile
from typing import NamedTuple

import numpy as np

from nomic_jax.curate import contamination
from nomic_jax.curate import duplicates
from nomic_jax.curate import parts
from nomic_jax.curate import quality
from nomic_jax.curate import rewrite
from nomic_jax.data import dataset
from nomic_jax.data import kinds
from nomic_jax.errors import UserError
from nomic_jax.storage import places
from nomic_jax.storage import staging
from nomic_jax.storage import unicode_text
from nomic_jax.storage.progress import Progress

_HEAD = 1000  # characters used to identify a language


class Fate(NamedTuple):
  """Why a row is dropped, with details."""

  reason: str
  detail: str = ""


Rule = Callable[[int, dataset.Row], Fate | None]


@places.expanding("input", "output", "against")
def clean(
  input: str | os.PathLike,
  output: str | os.PathLike,
  *,
  min_words: int | None = None,
  max_words: int | None = None,
  languages: Sequence[str] = (),
  near: float | None = None,
  against: Sequence[str] = (),
  ngram: int = 8,
  overlap: float = 0.5,
) -> dict:
  """Writes the rows of `input` that pass all rules to `output`.

  Copies (texts that differ at most in case and punctuation) and rows with a
  `quality.fault` are always dropped.

  The arguments are the flags of `nomic-jax clean`, described in jobs/clean.py.

  Returns:
    The content of stats.json: arguments, rows, sources.

  Raises:
    UserError: for invalid arguments, or if no row remains.
  """
  _check(min_words, max_words, near, ngram, overlap)
  rewrite.check_places(input, output)
  arguments = {
    "job": "clean",
    "input": parts.identity(input),
    "min_words": min_words,
    "max_words": max_words,
    "languages": sorted(languages),
    "near": near,
    "against": [
      parts.identity(p) if os.path.exists(p) else p
      for p in (staging.file_or_folder(a, dataset.is_held_out) for a in against)
    ],
    "ngram": ngram,
    "overlap": overlap,
  }
  if (stats := parts.finished(output, arguments)) is not None:
    return stats
  source = dataset.open_split(input, "train")
  limits = quality.Limits(min_words, max_words)
  rules = [_empty, lambda i, row: _faulty(row, limits)]
  if languages:
    rules.append(_Language(languages))
  if against:
    rules.append(_Contaminated(list(against), ngram, overlap))
  rules.append(_Duplicate("copy", duplicates.Exact()))
  if near is not None:
    query_of = lambda i: source[i]["query"]
    rules.append(_Duplicate("near-duplicate", duplicates.Near(near, query_of)))
  with tempfile.TemporaryDirectory() as folder:
    removed = pathlib.Path(folder) / "removed.jsonl"
    kept, by_source = _pass(source, rules, removed)
    stats = {
      "arguments": arguments,
      "input": os.fspath(input),
      "kind": kinds.of(input).to_json(),
      "rows": rewrite.count_rows(by_source, len(source)),
      "sources": by_source,
    }
    print(f"clean: {len(kept):,} of {len(source):,} pairs kept")
    print("\n".join(rewrite.table(by_source)))
    rewrite.write(
      input,
      output,
      (source[i] for i in kept.tolist()),
      stats=stats,
      others={"removed.jsonl": removed},
      inputs={f"against[{i}]": path for i, path in enumerate(against)},
    )
  print(f"{output}/removed.jsonl lists the dropped rows and why")
  return stats


def _check(min_words, max_words, near, ngram, overlap) -> None:
  for name, value in (
    ("min_words", min_words),
    ("max_words", max_words),
    ("ngram", ngram),
  ):
    if value is not None and value < 1:
      raise UserError(f"{name}={value}: expected at least 1")
  for name, value in (("near", near), ("overlap", overlap)):
    if value is not None and not 0 < value <= 1:
      raise UserError(f"{name}={value}: expected a number above 0, at most 1")


def _pass(
  source: dataset.Source, rules: Sequence[Rule], removed: pathlib.Path
) -> tuple[np.ndarray, dict]:
  """Returns the numbers of the rows kept, and outcome counts by source."""
  kept, sources, outcomes = [], [], []
  # A path that is not UTF-8 is escaped, as in JSON.
  with (
    open(removed, "w", encoding="utf-8", errors="backslashreplace") as report,
    Progress(len(source), "rows", "clean") as progress,
  ):
    for i, row in enumerate(source):
      fate = next(filter(None, (rule(i, row) for rule in rules)), None)
      sources.append(row["source"])
      outcomes.append(fate.reason if fate else "kept")
      if fate:
        report.write(
          json.dumps(
            {
              "row": i,
              "reason": fate.reason,
              "detail": fate.detail,
              "source": row["source"],
              "location": row["location"],
              "query": rewrite.short(row["query"], 200),
              "document": rewrite.short(row["document"], 200),
            },
            ensure_ascii=False,
          )
          + "\n"
        )
      else:
        kept.append(i)
      progress.update()
  return np.array(kept, np.int64), rewrite.count_sources(sources, outcomes)


def _empty(i: int, row: dataset.Row) -> Fate | None:
  # Text for masked language modelling has no query.
  return Fate(rewrite.EMPTY) if unicode_text.blank(row["document"]) else None


def _faulty(row: dataset.Row, limits: quality.Limits) -> Fate | None:
  reason = quality.fault(row["query"], row["document"], limits)
  return Fate(reason) if reason else None


class _Language:
  """Drops rows that are probably in another language than the given ones."""

  def __init__(self, languages: Sequence[str]):
    from py3langid import langid  # in the extra `curate`

    self._identify = langid.LanguageIdentifier.from_model_file(
      langid.MODEL_FILE, norm_probs=True
    )
    known = sorted(set(map(str, self._identify.labels)))
    for name in languages:
      if name not in known:
        raise UserError(
          f"--languages: no language '{name}'; expected some of "
          f"{', '.join(known)}"
        )
    self._languages = set(languages)

  def __call__(self, i: int, row: dataset.Row) -> Fate | None:
    text = f"{row['query']}\n{row['document']}"[:_HEAD]
    language, probability = self._identify.classify(text)
    if language in self._languages:
      return None
    return Fate("language", f"{language}, {probability:.2f}")


class _Contaminated:
  """Drops rows that contain an evaluation text."""

  def __init__(self, paths: list[str], ngram: int, overlap: float):
    self._evaluation = contamination.Evaluation(paths, ngram, overlap)

  def __call__(self, i: int, row: dataset.Row) -> Fate | None:
    match = self._evaluation.find(row["query"], row["document"])
    return match and Fate(
      "in an evaluation set",
      f"{match.share:.0%} of a text of {match.origin}: "
      f"{rewrite.short(match.text, 200)}",
    )


class _Duplicate:
  """Drops rows that repeat an earlier one."""

  def __init__(self, reason: str, rows: duplicates.Exact | duplicates.Near):
    self._reason, self._rows = reason, rows

  def __call__(self, i: int, row: dataset.Row) -> Fate | None:
    first = self._rows.earlier(i, row["query"], row["document"])
    return None if first is None else Fate(self._reason, f"of row {first}")
