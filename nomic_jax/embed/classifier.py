# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A trained classifier of texts, or of pairs of texts."""

from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
import tokenizers

from nomic_jax.data import labels as labels_lib
from nomic_jax.data import loader
from nomic_jax.data import records
from nomic_jax.embed.model import Model
from nomic_jax.errors import UserError
from nomic_jax.hub import fetch
from nomic_jax.hub.model_directory import ModelFiles
from nomic_jax.losses.classification import Classification
from nomic_jax.model.encoder import Encoder
from nomic_jax.run import models
from nomic_jax.text import tokenizer as tokenizer_lib

_BATCH = 64  # texts
_SHORTEST = 32  # tokens of a row

Text = str | tuple[str, str]


def load(
  path: str, dtype: str = "float32", pooled_norm: bool = False
) -> "Model | Classifier":
  """Opens an embedding model, or a classifier; see `nomic_jax.load`."""
  files = models.read_model(fetch.find(path))
  if files.classification_head is not None and files.other:
    return Classifier(files, str(path), dtype)
  return Model.load(path, dtype, pooled_norm)


class Classifier:
  """An encoder with a classification head, and its tokenizer.

  Attributes:
    path: its directory.
    classes: names of the classes, class 0 first; () of a regression.
    task: single (one class per text), multi (any number) or regression.
    max_tokens: longer texts are truncated to this.
    tokenizer: a `tokenizers.Tokenizer`.
    params: `encoder` and `classification_head`, float32.
  """

  def __init__(self, files: ModelFiles, path: str, dtype: str = "float32"):
    head = files.classification_head
    assert head is not None, "see `load`"
    self.path = path
    self.params = {
      "encoder": {k: v for k, v in files.params.items() if k != "pooler"},
      "classification_head": head,
    }
    count = head["classifier"]["bias"].size
    usage = files.usage
    self.task = usage.task or ("regression" if count == 1 else "single")
    self.classes: tuple[str, ...] = ()
    if self.task != "regression":
      self.classes = tuple(usage.classes) or tuple(
        f"LABEL_{i}" for i in range(count)
      )
      if len(self.classes) != count:
        raise UserError(
          f"{path}: names {len(self.classes)} classes, but its head has "
          f"{count}; correct id2label in config.json"
        )
    a = files.architecture
    self.architecture = a
    self.max_tokens = min(usage.max_tokens or a.max_length, a.max_length)
    self.tokenizer: tokenizers.Tokenizer = tokenizer_lib.load(
      files.tokenizer_path
    )
    loss = Classification(Encoder(a, dtype=dtype), kind=self.task, labels=count)
    self._predict = jax.jit(loss.predict)

  def __getattr__(self, name: str) -> Any:
    if not name.startswith("_") and hasattr(Model, name):
      raise UserError(
        f"{self.path}: a classifier, not an embedding model, so it has no "
        f"{name}; it has predict and predict_proba"
      )
    raise AttributeError(name)

  def logits(self, texts: Sequence[Text]) -> np.ndarray:
    """Returns float32 logits [N, classes], or the numbers of a regression.

    Args:
      texts: each a text, or a pair of texts for a classifier of pairs.

    Raises:
      UserError: if an element is neither.
    """
    if isinstance(texts, str) or not hasattr(texts, "__len__"):
      raise UserError(
        f"expected a list of texts, found an object of type "
        f"{type(texts).__name__}"
      )
    rows = [_row(text, number) for number, text in enumerate(texts)]
    if not rows:
      return np.zeros((0, max(len(self.classes), 1)), np.float32)
    found = [
      np.asarray(self._predict(self.params, batch))
      for batch in self._batches(rows)
    ]
    return np.concatenate(found)[: len(rows)]

  def predict_proba(self, texts: Sequence[Text]) -> np.ndarray:
    """Returns float32 probabilities [N, classes].

    If a text may have several classes, the probabilities are independent.

    Raises:
      UserError: for a regression, or see `logits`.
    """
    if self.task == "regression":
      raise UserError(
        f"{self.path}: a regression has no probabilities; use predict, which "
        "returns numbers"
      )
    return self.probabilities(self.logits(texts))

  def probabilities(self, logits: np.ndarray) -> np.ndarray:
    """Returns the probabilities of `logits`, see `predict_proba`."""
    logits = logits.astype(np.float64)
    if self.task == "multi":
      return (1 / (1 + np.exp(-logits))).astype(np.float32)
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return (shifted / shifted.sum(1, keepdims=True)).astype(np.float32)

  def predict(self, texts: Sequence[Text]) -> list:
    """Returns the class of each text, or a list if there may be several.

    A regression returns a number for each text, or a list of numbers.

    Raises:
      UserError: see `logits`.
    """
    return self.named(self.logits(texts))

  def named(self, logits: np.ndarray) -> list:
    """Returns the predictions for these logits, see `predict`."""
    if self.task == "regression":
      return [x[0] if len(x) == 1 else x for x in logits.tolist()]
    if self.task == "single":
      return [self.classes[i] for i in logits.argmax(1)]
    return [
      [name for name, x in zip(self.classes, row) if x > 0]
      for row in logits.tolist()
    ]

  def _batches(self, rows: Sequence[records.Row]) -> Iterator[dict]:
    """Yields batches on the device; the last one is padded."""
    longest = max(
      len(e.ids)
      for e in self.tokenizer.encode_batch_fast(
        [r["query"] + " " + r["document"] for r in rows]
      )
    )
    most = min(self.max_tokens, max(_SHORTEST, 1 << (longest + 2).bit_length()))
    config = ml_collections.ConfigDict(
      dict(
        batch_size=min(_BATCH, 1 << (len(rows) - 1).bit_length()),
        row_length=most,
        slots=max(most // 8, 1),
        rows_multiple=8,
        text_length=most,
        labels=1,
        classes=0,
      )
    )
    for batch, _ in labels_lib.one_pass(
      rows, self.tokenizer, config, host=0, hosts=1
    ):
      yield loader.nested(
        {k: v[0] for k, v in batch.items() if k not in ("labels", "source")}
      )


def _row(text: Text, number: int) -> records.Row:
  """Returns a text, or a pair of texts, as a row."""
  pair = ("", text) if isinstance(text, str) else text
  if (
    not isinstance(pair, tuple | list)
    or len(pair) != 2
    or not all(isinstance(t, str) for t in pair)
  ):
    raise UserError(
      f"text {number} is of type {type(text).__name__}; expected str, or a "
      "pair of them"
    )
  return records.row(*pair, labels=[0.0])
