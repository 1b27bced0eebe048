# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors of texts by the encoder in training, for the evaluators."""

from collections.abc import Callable
from collections.abc import Sequence
import itertools

import jax
import ml_collections
import numpy as np
import tokenizers

from nomic_jax.data import loader
from nomic_jax.data import pack
from nomic_jax.embed.embedding_model import unit
from nomic_jax.errors import UserError
from nomic_jax.losses import transforms
from nomic_jax.losses.loss import Params
from nomic_jax.mesh import partition
from nomic_jax.model.usage import check_ranked
from nomic_jax.program import Run
from nomic_jax.text import special_tokens
from nomic_jax.text.shorten import shorten

_BLOCK_TOKENS = 8192  # per device
_BLOCK_TOKENS_ON_CPU = 1024  # which stay in the cache
_TOKENS_PER_SLOT, _MOST_SLOTS = 4, 128
_ROW_TOKENS = 512  # smallest row, if the model reads as many
_ROW_TOKENS_ON_CPU = 64  # a row is a multiple of it


class Embeddings:
  """Embeds texts that were tokenised once, with the parameters being trained.

  Texts are packed into rows of one length, so one program is compiled, and a
  block of rows is embedded like a chunk of GradCache without gradients. Every
  process holds all vectors, gathered block by block.
  """

  def __init__(
    self,
    options: ml_collections.ConfigDict,
    tokenizer: tokenizers.Tokenizer,
    run: Run,
  ):
    """Sets up from an evaluator's options: `query_length`, `document_length`,
    `query_prompt` and `document_prompt`.
    """
    architecture = run.encoder.architecture
    architecture.head.check_one_vector()
    self._lengths = options.query_length, options.document_length
    self._prompts = options.query_prompt, options.document_prompt
    longest, limit = max(self._lengths), architecture.max_length
    if not architecture.rotary and longest > limit:
      raise UserError(
        f"texts of {longest} tokens, but this model has {limit} positions; "
        "lower query_length and document_length"
      )
    self._tokenizer = tokenizer
    self._special = special_tokens.of(tokenizer)
    self._pad = self._special.fill
    similarity = check_ranked(options.get("similarity", "cosine"))
    self._unit = similarity == "cosine"
    self._width = architecture.output_width
    self._mesh = run.mesh

  def encode(
    self, queries: Sequence[str], documents: Sequence[str]
  ) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns the token ids of queries and of documents, prompts included."""
    first, second = (
      self._ids([prompt + text for text in texts], length)
      for texts, prompt, length in zip(
        (queries, documents), self._prompts, self._lengths
      )
    )
    return first, second

  def _ids(self, texts: list[str], length: int) -> list[np.ndarray]:
    encoded = self._tokenizer.encode_batch_fast(
      shorten(self._tokenizer, texts, length)
    )
    return [
      self._special.cut(np.array(e.ids, np.int32), length) for e in encoded
    ]

  def compile(self, run: Run, longest: int) -> None:
    """Traces the program for texts of at most `longest` tokens.

    Args:
      run: the result of `program.setup`.
      longest: tokens of the longest text that will be embedded.
    """
    on_cpu = run.mesh.devices.flat[0].platform == "cpu"
    self._length = _row_length(max(self._lengths), longest, on_cpu)
    parts = np.prod([run.mesh.shape[a] for a in partition.ROW_AXES])
    # Small blocks on a CPU, since the empty rows of the last are computed too.
    block, chunk = (_BLOCK_TOKENS_ON_CPU,) * 2 if on_cpu else (_BLOCK_TOKENS, 1)
    self._rows = int(parts) * max(block // self._length, 1)
    self._slots = min(max(self._length // _TOKENS_PER_SLOT, 1), _MOST_SLOTS)
    embed = transforms.chunked(run.encoder.embed, chunk)
    self._embed = run.on_mesh(
      lambda params, batch: (
        embed(
          params["encoder"],
          jax.tree.map(lambda x: x[0], batch["inputs"]),
          self._slots,
        ).vectors
      )
    )
    jax.eval_shape(self._embed, run.state.params, self._block([[1]], [[0]]))

  def vectors(
    self, params: Params, texts: Sequence[pack.Ids], check: Callable[[], None]
  ) -> np.ndarray:
    """Returns vectors [N, D] of token ids; products are the similarity."""
    if not texts:
      return np.zeros((0, self._width), np.float32)
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
    assert vectors is not None
    return unit(vectors) if self._unit else vectors

  def _block(
    self, texts: Sequence[pack.Ids], rows: Sequence[Sequence[int]]
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


def _row_length(most: int, longest: int, on_cpu: bool) -> int:
  """Returns the row length: as short as texts allow, since attention costs S².

  Args:
    most: tokens of a text that the model reads.
    longest: tokens of the longest text.
    on_cpu: whether the device is a CPU, where attention costs S² even if a row
      holds many texts.
  """
  if on_cpu:
    return min(most, -(-longest // _ROW_TOKENS_ON_CPU) * _ROW_TOKENS_ON_CPU)
  return min(most, max(_ROW_TOKENS, 1 << (longest - 1).bit_length()))
