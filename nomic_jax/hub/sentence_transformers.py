# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The files that tell sentence-transformers how to use a model.

They specify what follows the encoder, the maximum length of a text, prompts and
how vectors are compared. Unsupported settings and unknown keys are errors;
otherwise vectors would differ silently.
"""

import dataclasses
import pathlib
import warnings

from nomic_jax.errors import UserError
from nomic_jax.hub import modules
from nomic_jax.hub import modules_writer
from nomic_jax.model.head import Head
from nomic_jax.model.params import Params
from nomic_jax.model.usage import SIMILARITIES
from nomic_jax.model.usage import Usage
from nomic_jax.model.usage import with_aliases
from nomic_jax.storage.keys import ANY
from nomic_jax.storage.keys import Keys
from nomic_jax.storage.keys import read_json
from nomic_jax.text import tokenizer_settings

SETTINGS = "config_sentence_transformers.json"
# Arguments of transformers' classes that do not change vectors.
_HARMLESS_ARGUMENTS = {
  "trust_remote_code": ANY,
  "torch_dtype": ANY,
  "dtype": ANY,
  "attn_implementation": ANY,
  "add_pooling_layer": ANY,
  "low_cpu_mem_usage": ANY,
  "use_safetensors": ANY,
  "use_fast": ANY,
  "cache_dir": ANY,
  "token": ANY,
  "revision": ANY,
  "local_files_only": ANY,
}
_ARGUMENTS = (
  "model_args",
  "tokenizer_args",
  "config_args",
  "model_kwargs",
  "processor_kwargs",
  "config_kwargs",
)
# Keys of sentence_bert_config.json (versions 1 to 6), and the values that agree
# with what is computed here.
_LENGTH_KEYS = {
  "max_seq_length": ANY,
  "do_lower_case": ANY,
  "transformer_task": (None, "feature-extraction"),
  "modality_config": ANY,
  "module_output_name": (None, "token_embeddings"),
  "processing_kwargs": (None, {}),
  "unpad_inputs": ANY,
  "query_length": (None,),
  "document_length": (None,),
  "query_expansion": (None,),
  "tokenizer_name_or_path": (None,),
  "backend": (None, "torch"),
  "cache_dir": ANY,
  **dict.fromkeys(_ARGUMENTS, ANY),
}
_SETTING_KEYS = {
  "__version__": ANY,
  "requirements": ANY,
  "prompts": ANY,
  "default_prompt_name": ANY,
  "similarity_fn_name": ANY,
  "truncate_dim": (None,),
  "model_type": (None, "SentenceTransformer"),
}
_FORWARD = {"method": "forward", "method_output_name": "last_hidden_state"}


@dataclasses.dataclass(frozen=True)
class Wrapper:
  """What a directory's files specify besides the encoder.

  Attributes:
    head: what follows the encoder.
    params: the parameters of the head's modules, by name.
    usage: prompts, lengths, similarity.
    says_prompts: whether the files specify prompts.
    says_pooling: whether they specify how tokens are pooled.
  """

  head: Head
  params: Params
  usage: Usage
  says_prompts: bool
  says_pooling: bool = True


def write(
  directory: pathlib.Path, head: Head, width: int, params: Params, usage: Usage
) -> None:
  """Writes these files to a model directory.

  Args:
    directory: the directory of the model.
    head: what follows the encoder.
    width: the width of the encoder.
    params: the parameters of the head's modules, by name.
    usage: how to use the model; max_tokens must be a number.

  Raises:
    UserError: if there is a norm or projection but no pooling.
  """
  modules_writer.write(directory, head, width, params, usage.normalize)
  modules_writer.dump(
    directory / tokenizer_settings.LENGTHS[0],
    {"max_seq_length": usage.max_tokens, "do_lower_case": False},
  )
  modules_writer.dump(
    directory / SETTINGS,
    {
      "prompts": with_aliases(usage.prompts),
      "default_prompt_name": usage.default_prompt,
      "similarity_fn_name": usage.similarity,
    },
  )


def read(directory: pathlib.Path, width: int) -> Wrapper:
  """Reads these files.

  Without modules.json, mean pooling is assumed, as in sentence-transformers;
  `warn_of_pooling` warns of that where vectors are pooled.

  Args:
    directory: the directory of the model.
    width: the width of the encoder.

  Raises:
    UserError: for an unsupported module, setting or weight.
  """
  max_tokens = _read_lengths(directory)
  usage, says_prompts = _read_settings(directory)
  says_pooling = (directory / modules.FILE).is_file()
  head, params, normalize = (
    modules.read(directory, width) if (says_pooling) else (Head(), {}, False)
  )
  usage = dataclasses.replace(usage, max_tokens=max_tokens, normalize=normalize)
  return Wrapper(head, params, usage, says_prompts, says_pooling)


def warn_of_pooling(where: object) -> None:
  """Warns that the files of a model do not specify how tokens are pooled."""
  warnings.warn(
    f"{where}: no {modules.FILE} specifies how tokens are pooled; mean pooling "
    "is assumed, as in sentence-transformers",
    stacklevel=3,
  )


def _read_lengths(directory: pathlib.Path) -> int | None:
  """Returns the largest number of tokens in sentence_bert_config.json."""
  path = tokenizer_settings.lengths_file(directory)
  if path is None:
    return None
  keys = Keys(read_json(path), str(path))
  keys.only(_LENGTH_KEYS)
  for name in _ARGUMENTS:
    Keys(keys.any(name) or {}, f"{path}: {name}").only(_HARMLESS_ARGUMENTS)
  modalities = keys.any("modality_config") or {"text": _FORWARD}
  if not isinstance(modalities, dict) or modalities.get("text") != _FORWARD:
    raise UserError(
      f"{path}: modality_config is {modalities!r}; expected a text encoder, "
      f"{ {'text': _FORWARD} }"
    )
  length = keys.get("max_seq_length", int, None)
  if length is not None and length < 1:
    raise UserError(
      f"{path}: max_seq_length={length}; expected 1 or more, or null for the "
      "encoder's own maximum"
    )
  return length


def _read_settings(directory: pathlib.Path) -> tuple[Usage, bool]:
  """Returns prompts and similarity, and whether the file lists prompts."""
  path = directory / SETTINGS
  if not path.is_file():
    return Usage(), False
  keys = Keys(read_json(path), str(path))
  keys.only(_SETTING_KEYS)
  prompts = keys.get("prompts", dict, None)
  for name, text in (prompts or {}).items():
    if not isinstance(text, str):
      raise UserError(f"{path}: prompt '{name}' is {text!r}; expected a string")
  default = keys.get("default_prompt_name", str, None)
  if default is not None and default not in (prompts or {}):
    raise UserError(
      f"{path}: default_prompt_name='{default}' is not one of the prompts, "
      f"{', '.join(prompts or {}) or 'of which there are none'}; set it to "
      "one of them or to null"
    )
  similarity = keys.get("similarity_fn_name", str, "cosine")
  if similarity not in SIMILARITIES:
    raise UserError(
      f"{path}: similarity_fn_name='{similarity}' is not supported; expected "
      f"one of {', '.join(SIMILARITIES)}"
    )
  usage = Usage(with_aliases(prompts or {}), default, similarity=similarity)
  return usage, prompts is not None
