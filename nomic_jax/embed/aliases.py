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
  "pool": "every device of this process is used",
  "chunk_size": "every device of this process is used",
}
# Values of these that ask for what is done anyway.
_DONE = {
  "batch_size": (None,),
  "device": (None,),
  "convert_to_numpy": (True,),
  "convert_to_tensor": (False,),
  "output_value": ("sentence_embedding",),
  "pool": (None,),
  "chunk_size": (None,),
}
# Arguments of SentenceTransformer(...) -> what to do here.
_LOADING = {
  "device": _OTHERS["device"],
  "trust_remote_code": "the code of a model is never run; leave it out",
  "truncate_dim": "give `dim` to encode",
  "prompts": "set `prompts` of the loaded model",
  "default_prompt_name": "set `default_prompt` of the loaded model",
  "similarity_fn_name": "set `similarity_fn_name` of the loaded model",
  "model_kwargs": "give `dtype` to load",
  "torch_dtype": "give `dtype` to load",
  "backend": "the model runs in JAX",
  "token": "set HF_TOKEN",
  "cache_folder": "set HF_HOME",
  "local_files_only": "set HF_HUB_OFFLINE=1",
  "revision": "download it with `hf download NAME --revision=REVISION` and "
  "give the folder",
}
_ATTRIBUTES = {
  "max_seq_length": "max_tokens",
  "get_max_seq_length": "max_tokens",
  "truncate_dim": "the argument `dim` of encode",
  "truncate_embeddings": "the argument `dim` of encode",
  "truncate_sentence_embeddings": "the argument `dim` of encode",
  "get_sentence_embedding_dimension": "width",
  "get_embedding_dimension": "width",
  "default_prompt_name": "default_prompt",
  "tokenize": "tokenizer.encode_batch",
  "preprocess": "tokenizer.encode_batch",
  "encode_multi_process": "encode, which uses every device",
  "start_multi_process_pool": "encode, which uses every device",
  "stop_multi_process_pool": "encode, which uses every device",
  "push_to_hub": "save_pretrained, then `nomic-jax export --model=DIR "
  "--push_to_hub=OWNER/NAME`",
  "save_to_hub": "save_pretrained, then `nomic-jax export --model=DIR "
  "--push_to_hub=OWNER/NAME`",
  "save": "save_pretrained",
  "fit": "nomic_jax.adapt or nomic_jax.train",
  "evaluate": "nomic_jax.evaluate",
  "device": "jax.devices(); set JAX_PLATFORMS=cpu before the import",
  "to": "the variable JAX_PLATFORMS, set before the import",
  "cpu": "the variable JAX_PLATFORMS, set before the import",
  "cuda": "the variable JAX_PLATFORMS, set before the import",
  "half": 'the argument dtype="bfloat16" of nomic_jax.load',
  "bfloat16": 'the argument dtype="bfloat16" of nomic_jax.load',
  "parameters": "params",
  "state_dict": "params",
  "config": "architecture",
  "auto_model": "architecture and params",
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
      if value in _DONE[name]:
        continue
      raise UserError(f"encode: no argument {name}: {_OTHERS[name]}")
    if name not in _SAME:
      raise UserError(
        f"encode: no argument {name}.{nearest(name, [*given, *_SAME])}"
      )
    if _SAME[name] in merged:
      raise UserError(f"encode: {name} and {_SAME[name]} are the same argument")
    merged[_SAME[name]] = value
  return {k: v for k, v in merged.items() if v is not None}


def check_loading(other: Mapping[str, Any]) -> None:
  """Raises UserError for an argument that `nomic_jax.load` does not have."""
  for name in other:
    if name in _LOADING:
      raise UserError(f"load: no argument {name}: {_LOADING[name]}")
    raise UserError(
      f"load: no argument {name}.{nearest(name, ['dtype', 'pooled_norm'])}"
    )


def check_attribute(owner: str, name: str) -> None:
  """Raises AttributeError for setting an attribute that is not read here."""
  if name in _ATTRIBUTES:
    raise AttributeError(about(owner, name))


def about(owner: str, name: str) -> str:
  """Returns a message about a missing attribute, with our name for it."""
  here = _ATTRIBUTES.get(name)
  return f"'{owner}' has no attribute '{name}'" + (
    f"; its name here is {here}" if here else ""
  )
