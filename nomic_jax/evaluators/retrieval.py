# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""How well the encoder in training finds documents: NanoBEIR, or one's own."""

from collections.abc import Callable
from collections.abc import Sequence
import itertools
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np
import tokenizers

from nomic_jax.data import loader
from nomic_jax.data import pack
from nomic_jax.errors import UserError
from nomic_jax.evaluation import retrieval
from nomic_jax.evaluation import tasks as tasks_lib
from nomic_jax.losses import transforms
from nomic_jax.mesh import partition
from nomic_jax.search import neighbours
from nomic_jax.storage import places
from nomic_jax.text import special_tokens
from nomic_jax.text.shorten import shorten

_BLOCK_TOKENS = 8192  # of one device
_TOKENS_PER_SLOT, _MOST_SLOTS = 4, 128
_ROW_TOKENS = 512  # of a row at least, if the model reads as many


class Retrieval:
  """Scores of exact search, by the model's similarity, over a few tasks.

  Texts are tokenised once. They are packed into rows of one length, so that
  one program is compiled; a block of rows is embedded like a chunk of
  GradCache, without a gradient. Every process has all vectors of a task, which
  are gathered block by block, and ranks them.
  """

  def __init__(
    self,
    options: ml_collections.ConfigDict,
    config: ml_collections.ConfigDict,
    tokenizer: tokenizers.Tokenizer,
    run: Any,
  ):
    """See `Evaluator`. Options: `tasks`, folders and names as those of
    nomic-jax evaluate, with commas between, the training's data if empty;
    `data`, where named ones are looked for; `query_length` and
    `document_length` in tokens; `query_prompt` and `document_prompt`.
    """
    architecture = run.encoder.architecture
    architecture.head.check_one_vector()
    lengths = options.query_length, options.document_length
    longest, limit = max(lengths), architecture.max_length
    if not architecture.rotary and longest > limit:
      raise UserError(
        f"texts of {longest} tokens, and this model has {limit} "
        "positions; lower query_length and document_length"
      )
    special = special_tokens.of(tokenizer)
    self._pad = special.fill
    self._unit = options.get("similarity", "cosine") == "cosine"
    self._mesh = run.mesh
    prompts = options.query_prompt, options.document_prompt

    def encode(texts, prompt, length):
      found = tokenizer.encode_batch_fast(
        shorten(tokenizer, [prompt + t for t in texts], length)
      )
      return [special.cut(np.array(e.ids, np.int32), length) for e in found]

    self._tasks = []
    for task in tasks_lib.find(
      places.listed(options.tasks) or [config.data.path],
      pathlib.Path(options.data) if options.data else None,
    ):
      if not isinstance(task, retrieval.RetrievalTask):
        raise UserError(f"tasks: {task.name} is {task.kind} and no retrieval")
      sides = [
        encode(texts, prompt, length)
        for texts, prompt, length in zip(
          (task.queries, task.documents), prompts, lengths
        )
      ]
      self._tasks.append((task, *sides))
    self._length = _row_length(
      longest,
      max(len(t) for _, *sides in self._tasks for side in sides for t in side),
    )
    parts = np.prod([run.mesh.shape[a] for a in partition.ROW_AXES])
    self._rows = int(parts) * max(_BLOCK_TOKENS // self._length, 1)
    self._slots = min(max(self._length // _TOKENS_PER_SLOT, 1), _MOST_SLOTS)
    self.metrics = [*retrieval.METRICS]
    if len(self._tasks) > 1:
      self.metrics += [
        f"{task.name}/{m}"
        for task, *_ in self._tasks
        for m in retrieval.METRICS
      ]
    embed = transforms.chunked(run.encoder.embed, 1)
    self._embed = run.on_mesh(
      lambda params, batch: embed(
        params["encoder"],
        jax.tree.map(lambda x: x[0], batch["inputs"]),
        self._slots,
      )
    )
    jax.eval_shape(self._embed, run.state.params, self._block([[1]], [[0]]))

  def __call__(
    self, params: Any, check: Callable[[], None] = lambda: None
  ) -> dict[str, float]:
    """The mean over tasks of each metric, and each task's if several."""
    found = {}
    for task, queries, documents in self._tasks:
      queries = self._vectors(params, queries, check)
      documents = self._vectors(params, documents, check)
      if not (np.isfinite(queries).all() and np.isfinite(documents).all()):
        found[task.name] = dict.fromkeys(retrieval.METRICS, float("nan"))
        continue
      depth = retrieval.DEPTH + bool(len(task.itself))
      best = neighbours.top_k(queries, documents, min(depth, len(documents)))
      if len(task.itself):
        best = retrieval.without(*best, task.itself)
      scores = retrieval.retrieval_scores(best[1], task.relevant)
      found[task.name] = {m: float(x.mean()) for m, x in scores.items()}
    means = {
      m: float(np.mean([scores[m] for scores in found.values()]))
      for m in retrieval.METRICS
    }
    if len(found) > 1:
      means |= {
        f"{name}/{m}": value
        for name, scores in found.items()
        for m, value in scores.items()
      }
    return means

  def _vectors(
    self, params: Any, texts: Sequence[Sequence[int]], check: Callable[[], None]
  ) -> np.ndarray:
    """Vectors [N, D] of token ids, whose products are the similarity."""
    rows = [
      members
      for _, members in pack.best_fit(
        [len(t) for t in texts], lambda _: self._length, lambda _: self._slots
      )
    ]
    vectors, before = None, None
    # While one block is computed the next one is packed.
    for start in itertools.chain(range(0, len(rows), self._rows), (None,)):
      after = None
      check()
      if start is not None:
        part = rows[start : start + self._rows]
        after = part, self._embed(params, self._block(texts, part))
      if before is not None:
        part, found = before[0], np.asarray(before[1])
        if vectors is None:
          vectors = np.zeros((len(texts), found.shape[-1]), np.float32)
        for members, of_row in zip(part, found):
          vectors[members] = of_row[: len(members)]
      before = after
    if not self._unit:
      return vectors
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12)

  def _block(
    self, texts: Sequence[Sequence[int]], rows: Sequence[Sequence[int]]
  ) -> dict[str, jax.Array]:
    """The encoder's tokens, [1, B, S], rows over the devices."""
    packed = pack.fill(texts, rows, self._rows, self._length, self._pad)
    host, hosts = jax.process_index(), jax.process_count()
    own = slice(self._rows // hosts * host, self._rows // hosts * (host + 1))
    return loader.to_devices(
      {
        "ids": packed.ids[own][None],
        "segment_ids": packed.segment_ids[own][None],
        "positions": packed.positions[own][None],
      },
      partition.batch_sharding(self._mesh),
    )


def _row_length(most: int, longest: int) -> int:
  """Tokens of a row: no more than texts need, since attention costs S².

  Args:
    most: tokens that the model reads of a text.
    longest: tokens of the longest text there is.
  """
  return min(most, max(_ROW_TOKENS, 1 << (longest - 1).bit_length()))
