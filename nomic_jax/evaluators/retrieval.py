# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Retrieval during training, on NanoBEIR or other tasks."""

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

_BLOCK_TOKENS = 8192  # per device
_TOKENS_PER_SLOT, _MOST_SLOTS = 4, 128
_ROW_TOKENS = 512  # smallest row, if the model reads as many


class Retrieval:
  """Scores of exact search by the model's similarity, over several tasks.

  Texts are tokenized once. They are packed into rows of one length, so one
  program is compiled, and a block of rows is embedded like a chunk of GradCache
  without gradients. Every process holds all vectors of a task, gathered block
  by block, and ranks them.
  """

  def __init__(
    self,
    options: ml_collections.ConfigDict,
    config: ml_collections.ConfigDict,
    tokenizer: tokenizers.Tokenizer,
    run: Any,
  ):
    """Reads the tasks; see `Evaluator`.

    Args:
      options: `tasks`, folders and names as for nomic-jax evaluate, separated
        by commas (default: the training's data); `data`, a folder with the
        data of tasks with names; `query_length` and `document_length` in
        tokens; `query_prompt` and `document_prompt`.
      config: of the training.
      tokenizer: of the model.
      run: from `training.setup`.
    """
    architecture = run.encoder.architecture
    architecture.head.check_one_vector()
    lengths = options.query_length, options.document_length
    longest, limit = max(lengths), architecture.max_length
    if not architecture.rotary and longest > limit:
      raise UserError(
        f"texts of {longest} tokens, but this model has {limit} positions; "
        "lower query_length and document_length"
      )
    special = special_tokens.of(tokenizer)
    self._pad = special.fill
    self._unit = options.get("similarity", "cosine") == "cosine"
    self._mesh = run.mesh
    prompts = options.query_prompt, options.document_prompt

    def encode(texts, prompt, length):
      encoded = tokenizer.encode_batch_fast(
        shorten(tokenizer, [prompt + t for t in texts], length)
      )
      return [special.cut(np.array(e.ids, np.int32), length) for e in encoded]

    self._tasks = []
    for task in tasks_lib.find(
      places.listed(options.tasks) or [config.data.path],
      pathlib.Path(options.data) if options.data else None,
    ):
      if not isinstance(task, retrieval.RetrievalTask):
        raise UserError(f"tasks: {task.name} is {task.kind}, not retrieval")
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
    """Returns each metric's mean over tasks, and for each task if several."""
    by_task = {}
    for task, queries, documents in self._tasks:
      queries = self._vectors(params, queries, check)
      documents = self._vectors(params, documents, check)
      if not (np.isfinite(queries).all() and np.isfinite(documents).all()):
        by_task[task.name] = dict.fromkeys(retrieval.METRICS, float("nan"))
        continue
      depth = retrieval.DEPTH + bool(len(task.itself))
      best = neighbours.top_k(queries, documents, min(depth, len(documents)))
      if len(task.itself):
        best = retrieval.without(*best, task.itself)
      scores = retrieval.retrieval_scores(best[1], task.relevant)
      by_task[task.name] = {m: float(x.mean()) for m, x in scores.items()}
    means = {
      m: float(np.mean([scores[m] for scores in by_task.values()]))
      for m in retrieval.METRICS
    }
    if len(by_task) > 1:
      means |= {
        f"{name}/{m}": value
        for name, scores in by_task.items()
        for m, value in scores.items()
      }
    return means

  def _vectors(
    self, params: Any, texts: Sequence[Sequence[int]], check: Callable[[], None]
  ) -> np.ndarray:
    """Returns vectors [N, D] of token ids; products are the similarity."""
    rows = [
      members
      for _, members in pack.best_fit(
        [len(t) for t in texts], lambda _: self._length, lambda _: self._slots
      )
    ]
    vectors, previous = None, None
    # The next block is packed while one is being computed.
    for start in itertools.chain(range(0, len(rows), self._rows), (None,)):
      current = None
      check()
      if start is not None:
        part = rows[start : start + self._rows]
        current = part, self._embed(params, self._block(texts, part))
      if previous is not None:
        part, block = previous[0], np.asarray(previous[1])
        if vectors is None:
          vectors = np.zeros((len(texts), block.shape[-1]), np.float32)
        for members, of_row in zip(part, block):
          vectors[members] = of_row[: len(members)]
      previous = current
    if not self._unit:
      return vectors
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12)

  def _block(
    self, texts: Sequence[Sequence[int]], rows: Sequence[Sequence[int]]
  ) -> dict[str, jax.Array]:
    """Returns a batch of tokens [1, B, S], with rows over the devices."""
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
  """Returns the tokens of a row: as few as texts need, as attention costs S².

  Args:
    most: tokens of a text that the model reads.
    longest: tokens of the longest text.
  """
  return min(most, max(_ROW_TOKENS, 1 << (longest - 1).bit_length()))
