# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A trained model that embeds texts."""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from collections.abc import Set
from collections.abc import Sized
import contextlib
import dataclasses
import os
from typing import Any
import warnings

import jax
import numpy as np
import tokenizers

from nomic_jax.embed import aliases
from nomic_jax.embed import finite
from nomic_jax.embed import quantize
from nomic_jax.embed.embedding_model import EmbeddingModel
from nomic_jax.embed.inference import Embedder
from nomic_jax.embed.pipeline import Pipeline
from nomic_jax.embed.pipeline import Vectors
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.hub import fetch
from nomic_jax.hub import matryoshka
from nomic_jax.hub import model_directory
from nomic_jax.hub import sentence_transformers
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.head import Module
from nomic_jax.run import models
from nomic_jax.storage.progress import Progress
from nomic_jax.text import special_tokens
from nomic_jax.text import tokenizer as tokenizer_lib
from nomic_jax.text import tokenizer_settings


class Model(EmbeddingModel):
  """An encoder with its weights, tokenizer and prompts.

  Attributes:
    architecture: what the model computes.
    params: the encoder's parameters.
    tokenizer: a `tokenizers.Tokenizer`.
    prompts: prefixes of texts, by name.
    max_tokens: longer texts are truncated to this; can be set, up to the
      architecture's max_length.
    dtype: the dtype of activations and matmuls.
    matryoshka_dims: the dims it was trained for, if its files list them.
    default_prompt: name of the prompt used if none is specified.
    similarity_fn_name: how its vectors are compared, see
      `usage.SIMILARITIES`.
    normalize: whether its vectors have length 1 by default.
  """

  def __init__(
    self,
    architecture: Architecture,
    params: dict,
    tokenizer: tokenizers.Tokenizer,
    prompts: Mapping[str, str],
    max_tokens: int | None = None,
    dtype: str = "float32",
    devices: Sequence[jax.Device] | None = None,
    matryoshka_dims: Sequence[int] = (),
    default_prompt: str | None = None,
    similarity: str = "cosine",
    normalize: bool = True,
    tokenizer_path: os.PathLike | None = None,
  ):
    a = architecture
    a.head.check_one_vector()
    special_tokens.check_rows(tokenizer, a.vocab_size, "the tokenizer")
    self.architecture, self.tokenizer = a, tokenizer
    self._special = special_tokens.of(tokenizer)
    self.prompts = prompts
    self._max_tokens = max_tokens or a.max_length
    self.dtype = dtype
    self.matryoshka_dims = tuple(matryoshka_dims)
    self.default_prompt = default_prompt
    self.similarity_fn_name = similarity
    self.normalize = normalize
    self._tokenizer_path = tokenizer_path
    self._devices = devices
    self._embedder = Embedder(a, params, dtype, devices, self.max_tokens)

  @property
  def width(self) -> int:
    """Number of dimensions of a vector."""
    return self.architecture.output_width

  @property
  def max_tokens(self) -> int:
    """Longer texts are truncated to this number of tokens."""
    return self._max_tokens

  @max_tokens.setter
  def max_tokens(self, tokens: int) -> None:
    most = self.architecture.max_length
    if not 0 < tokens <= most:
      raise UserError(
        f"max_tokens={tokens}: the model reads at most {most} tokens of a text"
      )
    self._max_tokens = tokens
    if tokens > self._embedder.longest:
      # The attention is chosen for the longest text.
      self._embedder = Embedder(
        self.architecture, self.params, self.dtype, self._devices, tokens
      )

  @property
  def params(self) -> dict:
    """The encoder's parameters, on the devices."""
    return self._embedder.params

  @classmethod
  def load(
    cls, path: str, dtype: str = "float32", pooled_norm: bool = False
  ) -> "Model":
    """Reads a model directory or a work directory; see `nomic_jax.load`."""
    directory = fetch.find(path)
    files = models.read_model(directory)
    if files.other:
      raise UserError(
        f"{path}: {files.other}, not an embedding model, so its vectors are "
        "meaningless; specify an embedding model, or fine-tune this one with "
        "config.init_from"
      )
    if not files.says_pooling:
      sentence_transformers.warn_of_pooling(path)
    a = files.architecture
    if pooled_norm and not a.head.pooled_norm:
      print(
        f"{path}: its files specify no LayerNorm of the pooled vector; add one "
        "with --pooled_norm"
      )
      norm = Module("norm", a.width, affine=False)
      a = a.with_head(modules=(norm, *a.head.modules))
    tokenizer = tokenizer_lib.load(files.tokenizer_path)
    special_tokens.check_rows(
      tokenizer, a.vocab_size, files.tokenizer_path.parent
    )
    tokenizer_settings.warn_of_no_ends(tokenizer, files.tokenizer_path.parent)
    return cls(
      a,
      files.params,
      tokenizer,
      dtype=dtype,
      matryoshka_dims=matryoshka.read(directory),
      tokenizer_path=files.tokenizer_path,
      **{
        k: v
        for k, v in files.usage.to_json().items()
        if k not in ("classes", "task")
      },
    )

  def save_pretrained(self, path: str | os.PathLike) -> None:
    """Writes a model directory that sentence-transformers opens.

    Args:
      path: the directory; an existing one is replaced, entirely or not at all.

    Raises:
      UserError: if the architecture has no published format.
    """
    model_directory.write_model(
      path,
      self.architecture,
      self.params,
      self._tokenizer_path or self.tokenizer,
      self.prompts,
      max_tokens=self.max_tokens,
      matryoshka_dims=self.matryoshka_dims,
      default_prompt=self.default_prompt,
      similarity=self.similarity_fn_name,
      normalize=self.normalize,
    )

  def __getattr__(self, name: str) -> Any:
    raise AttributeError(aliases.about(type(self).__name__, name))

  def __setattr__(self, name: str, value: Any) -> None:
    aliases.check_attribute(type(self).__name__, name)
    super().__setattr__(name, value)

  def reading(self, tokens: int) -> "Model":
    """Returns a model that reads up to `tokens` tokens of a text.

    Rotary positions beyond those trained on are scaled by dynamic NTK, with a
    factor of 2 if the model's files specify none (Nomic Embed, section 3).

    Raises:
      UserError: if it has fewer learned positions.
    """
    a = self.architecture
    if not a.rotary and tokens > a.max_length:
      raise UserError(
        f"texts of {tokens:,} tokens: this model has only {a.max_length:,} "
        "learned positions; use a model with rotary positions"
      )
    if a.rotary:
      assert a.rope, "a model without a table of positions has one"
      factor = a.rope.factor or (
        2.0 if tokens > a.rope.trained_length else None
      )
      a = dataclasses.replace(
        a.with_rope(factor=factor), max_length=max(tokens, a.max_length)
      )
    return Model(
      a,
      self.params,
      self.tokenizer,
      self.prompts,
      tokens,
      self.dtype,
      matryoshka_dims=self.matryoshka_dims,
      default_prompt=self.default_prompt,
      similarity=self.similarity_fn_name,
      normalize=self.normalize,
      tokenizer_path=self._tokenizer_path,
    )

  def encode(
    self,
    texts: str | Sequence[str],
    prompt: str | None = None,
    dim: int | None = None,
    normalize: bool | None = None,
    show_progress: bool = False,
    precision: str = "float32",
    **other: Any,
  ) -> np.ndarray:
    """Embeds texts; a text's vector does not depend on the others.

    Args:
      texts: the texts, or one text. Texts longer than `max_tokens` are
        truncated, keeping the special tokens at the end; one warning reports
        how many.
      prompt: name of a prompt to put before each text; None for the model's
        default prompt, if it has one.
      dim: number of dimensions to keep (Matryoshka); None keeps all. Warns if
        the model's files list the dims it was trained for and this is not one
        of them.
      normalize: whether to scale vectors to length 1, after truncation to
        `dim`; None for the model's default.
      show_progress: whether to show a bar, or lines in a log.
      precision: the precision of the result; computation uses `dtype`. With
        "float32", values that are not finite are kept. "int8" is each vector
        times 127 / its largest |x|, rounded, without calibration: compare by
        cosine. "binary" is the bits x > 0, eight per int8, as in
        sentence-transformers. See `nomic_jax.embed.quantize.quantize`.
      **other: arguments under their names in sentence-transformers, such as
        `prompt_name` for `prompt`; see `embed.aliases`.

    Returns:
      float32 or int8 [N, dim]; int8 [N, dim / 8] if binary. For a single text,
      the same without N.

    Raises:
      UserError: for an unknown prompt or precision, an invalid dim, or a text
        that is not a str.
    """
    if other:
      given = dict(
        prompt=prompt,
        dim=dim,
        normalize=normalize,
        show_progress=show_progress or None,
      )
      return self.encode(
        texts, precision=precision, **aliases.ours(given, other)
      )
    if isinstance(texts, str):
      return self.encode(
        [texts], prompt, dim, normalize, show_progress, precision
      )[0]
    _check_texts(texts)
    width = self._check(prompt, dim, precision)
    dtype, columns = quantize.stored_as(precision, width)
    out = np.zeros((len(texts), columns), dtype)
    done = cut = 0
    progress = contextlib.nullcontext()
    if show_progress:
      progress = Progress(len(texts), "texts", "embedding")
    with progress as shown:
      for part in self._stream(texts, prompt, dim, normalize, precision):
        if len(part.broken) and precision != "float32":
          raise UserError(
            f"encode: the embedding of text {done + part.broken[0]} is not "
            f"finite, which {precision} cannot represent; "
            f"{finite.about(self.params)}"
          )
        out[done : done + len(part.vectors)] = part.vectors
        done += len(part.vectors)
        cut += part.cut
        if shown:
          shown.update(len(part.vectors))
    if cut:
      warnings.warn(self.cut_message(cut, len(texts)), stacklevel=2)
    return out

  def encode_stream(
    self,
    texts: Iterable[str],
    prompt: str | None = None,
    dim: int | None = None,
    normalize: bool | None = None,
    precision: str = "float32",
  ) -> Iterator[Vectors]:
    """Embeds any number of texts, reading them as needed.

    Arguments and errors are those of `encode`. Yields the vectors of a few
    thousand texts at a time, in order.
    """
    self._check(prompt, dim, precision)
    return self._stream(texts, prompt, dim, normalize, precision)

  def cut_message(self, cut: int, total: int) -> str:
    """Returns a line that says how many texts were truncated."""
    return (
      f"{cut:,} of {total:,} texts had more than {self.max_tokens:,} tokens "
      "and were truncated"
    )

  def _check(self, prompt: str | None, dim: int | None, precision: str) -> int:
    """Checks the arguments of `encode`; returns the width of its vectors."""
    name = (self.default_prompt or None) if prompt is None else prompt
    if name is not None:
      as_text = " (a name; put a text of your own before each text)"
      one_of(
        name,
        self.prompts,
        f"encode: no prompt '{name}'{as_text if ' ' in name else ''}",
        "this model has",
      )
    self._embedder.check_process()
    width, dims = self.width, self.matryoshka_dims
    if dim is not None:
      matryoshka.check(dim, width, dims, "encode")
    quantize.check(precision, dim or width)
    return dim or width

  def _stream(
    self,
    texts: Iterable[str],
    prompt: str | None,
    dim: int | None,
    normalize: bool | None,
    precision: str,
  ) -> Iterator[Vectors]:
    name = self.default_prompt if prompt is None else prompt
    return self._pipeline().vectors(
      texts,
      self.prompts[name] if name else "",
      dim,
      self.normalize if normalize is None else normalize,
      precision,
    )

  def identities(self, texts: Sequence[str]) -> list[bytes]:
    """Returns the token ids of each text as bytes, without prompts."""
    return self._pipeline().identities(texts)

  def _pipeline(self) -> Pipeline:
    return Pipeline(
      self.tokenizer, self._special, self._embedder, self.max_tokens
    )


def _check_texts(texts: Sequence[str]) -> None:
  # A table's or a mapping's elements would be names, and those of a set have no
  # order.
  if (
    not isinstance(texts, Sized)
    or isinstance(texts, Mapping | Set)
    or getattr(texts, "ndim", 1) != 1
  ):
    found = type(texts).__name__
    raise UserError(
      f"encode: expected a list of texts, found an object of type {found}"
    )
  for i, text in enumerate(texts):
    if not isinstance(text, str):
      raise UserError(
        f"encode: text {i} is of type {type(text).__name__}; expected str"
      )
