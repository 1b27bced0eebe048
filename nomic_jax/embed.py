# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Texts to vectors with a trained model."""

import contextlib
import functools
import os
from typing import Sequence

import jax
import numpy as np
import tokenizers

from nomic_jax.data.pack import pack
from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.model.config import EncoderConfig
from nomic_jax.model.encoder import Encoder
from nomic_jax.model.pooling import check_one_vector
from nomic_jax.progress import Progress

# Rows of a compiled shape hold this many tokens together: enough to keep two
# cores or one chip busy, few enough that the scores of attention stay small.
_BLOCK_TOKENS = 8192
_FEW = 16  # what does not fill a block goes in blocks this much smaller
_SHORTEST_ROW = 64
_SLOTS_PER_ROW = 8
_WINDOW = 4096  # texts tokenised and sorted by length together


class Model:
  """An encoder with its weights, tokenizer and prompts.

  Attributes:
    config: the architecture.
    params: the encoder's parameters.
    tokenizer: a `tokenizers.Tokenizer`.
    prompts: text put in front, by name.
    max_tokens: longer texts are cut to this.
  """

  def __init__(
      self, config: EncoderConfig, params: dict,
      tokenizer: tokenizers.Tokenizer, prompts: dict[str, str],
      max_tokens: int | None = None,
  ):
    check_one_vector(config)
    self.config, self.tokenizer = config, tokenizer
    self.prompts = prompts
    self.max_tokens = max_tokens or config.max_length
    self.params = jax.tree.map(jax.numpy.asarray, params)
    encoder = Encoder(config)
    self._embed = jax.jit(encoder.embed, static_argnums=2)

  @classmethod
  def load(cls, path: str) -> "Model":
    """Reads a model directory or a work directory."""
    _keep_compilations()
    from nomic_jax.data import tokenizer
    from nomic_jax.hub import model_directory

    files = model_directory.read_model(path)
    return cls(
        files.config, files.params, tokenizer.load(files.tokenizer_path),
        files.prompts, files.max_tokens,
    )

  def encode(
      self, texts: Sequence[str], prompt: str | None = None,
      dim: int | None = None, normalize: bool = True,
      show_progress: bool = False,
  ) -> np.ndarray:
    """Embeds texts; a text's vector does not depend on the others.

    Args:
      texts: what to embed; one longer than `max_tokens` is cut.
      prompt: name of a prompt to put in front of each text.
      dim: keep this many dimensions (Matryoshka); None keeps all.
      normalize: to length 1, after cutting.
      show_progress: a bar, or lines in a log.

    Returns:
      float32 [N, dim].

    Raises:
      UserError: for an unknown prompt, a wrong dim, or something not a str.
    """
    if isinstance(texts, str) or not hasattr(texts, "__len__"):
      found = type(texts).__name__
      raise UserError(f"encode: expected a list of texts, found one {found}")
    for i, text in enumerate(texts):
      if not isinstance(text, str):
        raise UserError(
            f"encode: text {i} is {type(text).__name__}, expected str"
        )
    if prompt is not None and prompt not in self.prompts:
      raise UserError(
          f"encode: no prompt '{prompt}'; this model has "
          f"{', '.join(self.prompts) or 'none'}."
          f"{nearest(prompt, self.prompts)}"
      )
    width = self.config.output_width
    if dim is not None and not 0 < dim <= width:
      raise UserError(f"encode: dim {dim} is not between 1 and {width}")
    front = self.prompts[prompt] if prompt else ""
    vectors = np.zeros((len(texts), width), np.float32)
    progress = contextlib.nullcontext()
    if show_progress:
      progress = Progress(len(texts), "texts", "embedding")
    with progress as shown:
      for start in range(0, len(texts), _WINDOW):
        window = [front + t for t in texts[start:start + _WINDOW]]
        self._encode_window(window, vectors[start:start + _WINDOW], shown)
    vectors = vectors[:, :dim]
    if normalize:
      length = np.linalg.norm(vectors, axis=1, keepdims=True)
      vectors = vectors / np.maximum(length, 1e-12)
    return np.ascontiguousarray(vectors)

  def _encode_window(
      self, texts: list[str], out: np.ndarray, progress: Progress | None
  ) -> None:
    """Fills `out` with the pooled vectors of `texts`."""
    # A lone surrogate is no UTF-8; the tokenizer takes what replaces it.
    texts = [t.encode("utf-8", "replace").decode() for t in texts]
    limit = self.max_tokens
    ids = [e.ids for e in self.tokenizer.encode_batch_fast(texts)]
    ids = [i if len(i) <= limit else i[:limit - 1] + i[-1:] for i in ids]
    for row_length, members in _by_length(ids, limit):
      many = max(_BLOCK_TOKENS // row_length, 1)
      few = max(many // _FEW, 1)
      many -= many % few
      slots = max(row_length // _SLOTS_PER_ROW, 1)
      packed = pack(
          [ids[n] for n in members], row_length, slots, few,
          self.config.pad_token_id,
      )
      parts, at = [], 0
      while at < len(packed.ids):
        block = slice(at, at + many)
        if block.stop > len(packed.ids):
          block = slice(at, at + few)
        tokens = {
            "ids": packed.ids[block],
            "segment_ids": packed.segment_ids[block],
            "positions": packed.positions[block],
        }
        parts.append(self._embed(self.params, tokens, slots))
        at = block.stop
      pooled = np.concatenate([np.asarray(p) for p in parts])
      out[members] = pooled.reshape(-1, pooled.shape[-1])[packed.slot_of]
      if progress:
        progress.update(len(members))


def _by_length(ids: list[list[int]], limit: int) -> list[tuple[int, list]]:
  """Texts grouped by the shortest of a few row lengths that holds them."""
  groups: dict[int, list[int]] = {}
  for n, tokens in enumerate(ids):
    length = _SHORTEST_ROW
    while length < len(tokens):
      length *= 2
    groups.setdefault(min(length, max(limit, _SHORTEST_ROW)), []).append(n)
  return sorted(groups.items())


@functools.cache
def _keep_compilations() -> None:
  """JAX's persistent compilation cache, in a folder of the user's."""
  if jax.config.jax_compilation_cache_dir is None:
    base = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    jax.config.update(
        "jax_compilation_cache_dir", os.path.join(base, "nomic_jax", "xla")
    )
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
