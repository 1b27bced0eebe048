# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Embeds texts with checks, and fingerprints what the vectors depend on."""

from collections.abc import Sequence
import hashlib
import json
from typing import Any

import numpy as np

from nomic_jax.embed import finite
from nomic_jax.embed.embedding_model import EmbeddingModel
from nomic_jax.embed.model import Model
from nomic_jax.errors import UserError
from nomic_jax.model.params import leaves
from nomic_jax.storage.fingerprints import FORMAT


def encode(
  model: EmbeddingModel, texts: Sequence[str], prompt: str, **options
) -> np.ndarray:
  """Embeds texts; a prompt that the model does not have is ignored.

  As in sentence-transformers, texts get the model's default prompt instead,
  unless they are queries or documents.

  Args:
    model: embeds the texts.
    texts: N texts.
    prompt: name of the prompt, such as "search_query".
    **options: of the model's `encode`, such as show_progress or normalize.

  Returns:
    [N, D] float32 vectors, of length 1 unless normalize is False.

  Raises:
    UserError: if a vector is not finite; the message quotes its text.
  """
  name = prompt if prompt in model.prompts else None
  if name is None:
    if prompt.startswith("search_") and model.default_prompt:
      model = model.without_default_prompt()
  options.setdefault("normalize", True)
  vectors = model.encode(texts, prompt=name, **options)
  bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
  if len(bad):
    raise UserError(
      f"{len(bad)} of {len(texts)} embeddings are not finite, the first for "
      f"the text {texts[bad[0]][:40]!r}; {finite.about(model.params)}"
    )
  return vectors


def model_fingerprint(model: Model) -> str:
  """Returns a hash of everything that determines a model's vectors."""
  digest = hashlib.sha256(
    f"{FORMAT} {model.architecture} {model.max_tokens}".encode()
  )
  digest.update(json.dumps(model.prompts, sort_keys=True).encode())
  used = model.default_prompt, model.similarity_fn_name, model.normalize
  digest.update(json.dumps(used).encode())
  digest.update(model.tokenizer.to_str().encode())
  _add(digest, model.params)
  return digest.hexdigest()[:32]


def params_fingerprint(params: dict) -> str:
  """Returns a hash of nested dicts of arrays."""
  digest = hashlib.sha256()
  _add(digest, params)
  return digest.hexdigest()[:32]


def _add(digest: Any, params: dict) -> None:
  for path, leaf in leaves(params):
    leaf = np.ascontiguousarray(leaf)
    digest.update(f"/{path} {leaf.dtype} {leaf.shape}".encode())
    digest.update(leaf.view(np.uint8).data)
