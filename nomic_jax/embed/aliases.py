# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Names of sentence-transformers for users who know them.

An argument that has another name here is accepted under both; an attribute that
has another name raises an error with that name. What does not exist here raises
an error with the reason, and is never ignored.
"""

from collections.abc import Mapping
from typing import Any

from nomic_jax.errors import nearest
from nomic_jax.errors import UserError

# Names of `encode`'s arguments in sentence-transformers -> here.
_SAME = {
  "prompt_name": "prompt",
  "truncate_dim": "dim",
  "normalize_embeddings": "normalize",
  "show_progress_bar": "show_progress",
}
_OTHERS = {
  "batch_size": "texts are packed into rows by their lengths, so there is no "
  "batch size to choose",
  "device": "JAX chooses it; set JAX_PLATFORMS=cpu before the import",
  "convert_to_numpy": "the vectors are a NumPy array",
  "convert_to_tensor": "the vectors are a NumPy array; see torch.from_numpy",
  "output_value": "there is one vector per text",
}
_ATTRIBUTES = {
  "max_seq_length": "max_tokens",
  "get_max_seq_length": "max_tokens",
  "truncate_dim": "the argument `dim` of encode",
  "get_sentence_embedding_dimension": "width",
  "get_embedding_dimension": "width",
  "default_prompt_name": "default_prompt",
  "tokenize": "tokenizer.encode_batch",
  "encode_multi_process": "encode, which uses every device",
  "push_to_hub": "`nomic-jax export`, then huggingface_hub.upload_folder",
  "save": "save_pretrained",
}


def ours(given: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
  """Merges arguments of `encode` with those under other names.

  Args:
    given: the arguments under our names; None: not given.
    other: arguments under other names.

  Raises:
    UserError: for one that is unknown, given twice or has no counterpart.
  """
  merged = {k: v for k, v in given.items() if v is not None}
  for name, value in other.items():
    # In sentence-transformers, False returns what the model's modules compute.
    if name == "normalize_embeddings" and not value:
      value = None
    if name in _OTHERS:
      raise UserError(f"encode: no argument {name}: {_OTHERS[name]}")
    if name not in _SAME:
      raise UserError(
        f"encode: no argument {name}.{nearest(name, [*given, *_SAME])}"
      )
    if _SAME[name] in merged:
      raise UserError(f"encode: {name} and {_SAME[name]} are the same argument")
    merged[_SAME[name]] = value
  return {k: v for k, v in merged.items() if v is not None}


def about(owner: str, name: str) -> str:
  """Returns a message about a missing attribute, with our name for it."""
  here = _ATTRIBUTES.get(name)
  return f"'{owner}' has no attribute '{name}'" + (
    f"; its name here is {here}" if here else ""
  )
