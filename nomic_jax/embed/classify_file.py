# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Classifies the texts of a file into a table."""

from collections.abc import Iterator
import csv
import itertools
import json

import numpy as np

import nomic_jax
from nomic_jax.embed.classifier import Classifier
from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.storage import formats
from nomic_jax.storage import places
from nomic_jax.storage.files import replacing
from nomic_jax.storage.progress import Progress
from nomic_jax.storage.values import JsonObject

_OUTPUTS = (".csv", ".tsv", ".jsonl")
_TOGETHER = 1024  # texts


@places.expanding("model", "input", "output")
def classify_file(
  model: str,
  input: str,
  output: str,
  *,
  column: str = "text",
  second_column: str | None = None,
  all: bool = False,
) -> None:
  """Writes the class of every text of a file, with its probability.

  Arguments are the flags of `nomic-jax classify`, described in
  jobs/classify.py.

  Raises:
    UserError: if the model is not a classifier; for a malformed input, naming
      file and row.
  """
  if not output.endswith(_OUTPUTS):
    raise UserError(
      f"--output={output}: expected a name that ends in {', '.join(_OUTPUTS)}"
    )
  places.check_file(output)
  places.check_apart(output, input)
  # Reads all texts first, so that errors are raised before the work.
  total = sum(1 for _ in _texts(input, column, second_column))
  if not total:
    raise UserError(f"{input}: contains no texts")
  loaded = nomic_jax.load(model)
  if not isinstance(loaded, Classifier):
    raise UserError(
      f"{model}: an embedding model, not a classifier; train a classifier from "
      "it with configs/classify.py, or embed texts with nomic-jax embed"
    )
  texts = _texts(input, column, second_column)
  with (
    replacing(output) as temporary,
    open(temporary, "w", newline="", encoding="utf-8") as stream,
    Progress(total, "texts", "classifying") as progress,
  ):
    if output.endswith(".jsonl"):

      def put(row: dict) -> None:
        stream.write(json.dumps(row, ensure_ascii=False) + "\n")

    else:
      delimiter = "\t" if output.endswith(".tsv") else ","
      writer = None

      def put(row: dict) -> None:
        nonlocal writer
        if writer is None:
          writer = csv.DictWriter(stream, list(row), delimiter=delimiter)
          writer.writeheader()
        writer.writerow(
          {k: "|".join(v) if isinstance(v, list) else v for k, v in row.items()}
        )

    while part := list(itertools.islice(texts, _TOGETHER)):
      for row in _rows(loaded, part, all):
        put(row)
      progress.update(len(part))
  print(
    f"{output}: {total:,} texts, {len(loaded.classes):,} classes"
    if loaded.classes
    else f"{output}: {total:,} texts, numbers"
  )


def _texts(
  path: str, column: str, second: str | None
) -> Iterator[str | tuple[str, str]]:
  """Yields the texts of a file, or pairs of texts."""
  if second is None:
    yield from formats.texts(path, column)
    return
  for number, row in formats.each(path):
    for name in (column, second):
      if not isinstance(row.get(name), str):
        raise UserError(
          f"{path}, row {number}: no text in column '{name}'; the columns are "
          f"{', '.join(row)}.{nearest(name, row)}"
        )
    yield row[column], row[second]


def _rows(
  model: Classifier, texts: list[str | tuple[str, str]], all: bool
) -> Iterator[dict]:
  """Yields the output row of each text."""
  logits = model.logits(texts)
  if not np.isfinite(logits).all():
    raise UserError(
      f"{model.path}: its predictions are not finite (NaN or infinity); check "
      "the model's parameters"
    )
  labels = model.named(logits)
  chances = model.probabilities(logits) if model.classes else None
  for i, (text, label) in enumerate(zip(texts, labels)):
    pair = (text,) if isinstance(text, str) else text
    row: JsonObject = dict(
      zip(("text",) if len(pair) == 1 else ("text", "second"), pair)
    )
    row["label"] = label
    if chances is not None:
      if model.task == "single":
        row["probability"] = round(float(chances[i].max()), 6)
      if all or model.task == "multi":
        row |= {
          f"p_{name}": round(float(p), 6)
          for name, p in zip(model.classes, chances[i])
        }
    yield row
