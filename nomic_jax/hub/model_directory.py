# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A model directory, which PyTorch's libraries can open too.

Weights are safetensors, never pickles, since opening a pickle runs its code.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import json
import os
import pathlib
from typing import Any
from typing import NamedTuple

import safetensors.numpy

from nomic_jax import families
from nomic_jax.errors import UserError
from nomic_jax.families import tensors as tensors_lib
from nomic_jax.hub import bi_encoder
from nomic_jax.hub import fetch
from nomic_jax.hub import matryoshka
from nomic_jax.hub import model_card
from nomic_jax.hub import modules
from nomic_jax.hub import sentence_transformers
from nomic_jax.hub import tokenizer as tokenizer_files
from nomic_jax.hub.weights import open_tensors
from nomic_jax.hub.weights import WEIGHTS
from nomic_jax.model import trees as trees_lib
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.params import Params
from nomic_jax.model.usage import Usage
from nomic_jax.storage import files
from nomic_jax.storage import format_number
from nomic_jax.storage import hub_cache
from nomic_jax.storage import places
from nomic_jax.storage.keys import read_json
from nomic_jax.storage.values import JsonObject

# Suffixes of names of transformers' classes whose weights embed texts.
_EMBEDDERS = ("Model", "ForMaskedLM", "ForPreTraining", "BiEncoder")


# Our task -> problem_type in transformers' config.json.
_PROBLEMS = {
  "single": "single_label_classification",
  "multi": "multi_label_classification",
  "regression": "regression",
}


class ModelFiles(NamedTuple):
  """A model read from disk.

  Attributes:
    architecture: what the model computes.
    params: the encoder's tree, float32 numpy arrays.
    mlm_head: the MLM head's tree, if stored.
    tokenizer_path: a tokenizer.json.
    usage: prompts, lengths and similarity.
    classification_head: the classifier's tree, if stored.
    other: the class that its files name, such as
      BertForSequenceClassification, if it is not an embedding model; else "".
    says_pooling: whether its files specify how tokens are pooled; otherwise
      mean pooling is used.
  """

  architecture: Architecture
  params: Params
  mlm_head: Params | None
  tokenizer_path: pathlib.Path
  usage: Usage
  classification_head: Params | None = None
  other: str = ""
  says_pooling: bool = True

  @property
  def prompts(self) -> Mapping[str, str]:
    """Prefixes of texts, by name."""
    return self.usage.prompts

  @property
  def max_tokens(self) -> int | None:
    """The longest text in tokens; None: `architecture.max_length`."""
    return self.usage.max_tokens


def read_model(path: str | os.PathLike) -> ModelFiles:
  """Reads a model directory or a Hub model.

  Args:
    path: a directory, or a Hub name such as nomic-ai/nomic-embed-text-v1.5 or
      bert-base-uncased, see `fetch.find`.

  Raises:
    UserError: naming the file, key or tensor that is wrong.
  """
  directory = fetch.find(path)
  if (directory / "config.json").is_file():
    return _read_model_directory(directory)
  if (directory / modules.FILE).is_file():
    modules.folders(directory)  # refuses modules that are not supported
  raise UserError(
    f"{directory}: not a model, since it has no config.json; expected a model "
    "directory, a training work directory or a Hub name such as "
    "nomic-ai/nomic-embed-text-v1.5" + hub_cache.hint(directory)
  )


def is_one(path: pathlib.Path) -> bool:
  """Returns whether a local path holds a model that `write_model` wrote."""
  return all((path / name).is_file() for name in (WEIGHTS, modules.FILE))


@places.expanding("output", "tokenizer")
def write_model(
  output: str | os.PathLike,
  architecture: Architecture,
  params: Params,
  tokenizer: Any,
  prompts: Mapping[str, str],
  mlm_head: Params | None = None,
  max_tokens: int | None = None,
  classification_head: Params | None = None,
  matryoshka_dims: Sequence[int] = (),
  manifest: Callable[[pathlib.Path], dict] | None = None,
  card: str | None = None,
  further: Callable[[pathlib.Path], None] | None = None,
  **usage: Any,
) -> None:
  """Writes a model directory, which appears whole or not at all.

  Args:
    output: the directory; an existing one is replaced.
    architecture: what the model computes.
    params: the encoder's tree, of numpy or JAX arrays.
    tokenizer: a tokenizer.json, a directory with one, or a
      `tokenizers.Tokenizer`.
    prompts: prefixes of texts, by name.
    mlm_head: the MLM head's tree, to resume training from.
    max_tokens: the longest text; default: `architecture.max_length`.
    classification_head: the classifier's tree; its pooler replaces the
      encoder's.
    matryoshka_dims: dims to which its vectors may be truncated, if it was
      trained for that.
    manifest: returns the content of reproduce.json, given the directory with
      the weights; see `nomic_jax.data.manifest`.
    card: content of README.md, see `model_card`.
    further: adds files to the directory, which is otherwise complete.
    **usage: other fields of `Usage`.

  Raises:
    UserError: if the trees do not fit the architecture, no published format
      can express it, or the disk is full.
  """
  a = architecture
  max_tokens = min(max_tokens or a.max_length, a.max_length)
  trees = {"encoder": params}
  if mlm_head is not None:
    trees["mlm_head"] = mlm_head
  if classification_head is not None:
    trees["classification_head"] = classification_head
    a = dataclasses.replace(a, pooler=False)
    trees["encoder"] = {k: v for k, v in params.items() if k != "pooler"}
  values = families.to_json(a, trees_lib.heads(trees), usage.get("classes", ()))
  if classification_head is not None and usage.get("task"):
    values["problem_type"] = _PROBLEMS[usage["task"]]
  if matryoshka_dims:
    values[matryoshka.KEY] = sorted(matryoshka_dims)
  tensors = tensors_lib.write(families.of(a), a, trees)
  with files.replacing(output) as directory:
    directory.mkdir()
    safetensors.numpy.save_file(
      tensors, directory / WEIGHTS, metadata={"format": "pt"}
    )
    (directory / "config.json").write_text(
      json.dumps(values, indent=2) + "\n", encoding="utf-8"
    )
    if manifest:
      (directory / "reproduce.json").write_text(
        json.dumps(manifest(directory), indent=2, sort_keys=True) + "\n",
        encoding="utf-8",
      )
    if card:
      (directory / model_card.FILE).write_text(card, encoding="utf-8")
    tokenizer_files.write(directory, tokenizer, max_tokens, a.pad_token_id)
    sentence_transformers.write(
      directory,
      a.head,
      a.width,
      params,
      Usage(prompts, max_tokens=max_tokens, **usage),
    )
    if further:
      further(directory)


def _read_model_directory(directory: pathlib.Path) -> ModelFiles:
  format_number.check(directory)
  where = directory / "config.json"
  values = read_json(where)
  if (directory / "adapter_config.json").is_file():
    raise UserError(
      f"{directory}: has adapter_config.json, but a PEFT adapter that is not "
      "merged into the weights is not supported; merge it first with "
      "merge_and_unload()"
    )
  other, trunk = _other(values), bi_encoder.is_one(values)
  wrapper, settings = None, values
  if trunk:
    values, where = bi_encoder.trunk_config(directory, values)
  family = families.of_json(values, str(where))
  a = family.read(values, str(where))
  if not trunk:
    wrapper = sentence_transformers.read(directory, a.width)
  usage = wrapper.usage if wrapper else Usage()
  max_tokens = usage.max_tokens or min(
    tokenizer_files.longest_text(directory) or a.max_length, a.max_length
  )
  if a.rotary:  # no table of positions sets a limit
    a = dataclasses.replace(a, max_length=max(max_tokens, a.max_length))
  with open_tensors(directory) as tensors:
    if wrapper:
      head, params = wrapper.head, wrapper.params
    else:
      head, params = bi_encoder.head(directory, settings, a.width, tensors)
      # Its vocabulary may be padded although the trunk's is not.
      a = dataclasses.replace(
        a, vocab_size=tensors_lib.vocabulary(family, tensors, str(directory))
      )
    a, trees = tensors_lib.read(family, a, tensors, str(directory))
  # v1 and v1.5 list their prompts only in the model card.
  if family.prompts and not (wrapper and wrapper.says_prompts):
    usage = dataclasses.replace(usage, prompts=dict(family.prompts))
  usage = dataclasses.replace(usage, max_tokens=min(max_tokens, a.max_length))
  if trees.get("classification_head") is not None:
    usage = dataclasses.replace(usage, **_labels(values, where))
  return ModelFiles(
    dataclasses.replace(a, head=head),
    {**trees["encoder"], **params},
    trees.get("mlm_head"),
    tokenizer_files.find(directory),
    usage,
    trees.get("classification_head"),
    other,
    wrapper is None or wrapper.says_pooling,
  )


def _labels(values: dict, where: pathlib.Path) -> JsonObject:
  """Returns the classes and the task of a classifier, from its config.json."""
  named = values.get("id2label") or {}
  try:
    classes = [str(named[str(i)]) for i in range(len(named))]
  except (KeyError, TypeError) as e:
    raise UserError(
      f"{where}: id2label does not have the keys 0, 1, ...; correct it"
    ) from e
  kind = values.get("problem_type")
  tasks = [ours for ours, theirs in _PROBLEMS.items() if theirs == kind]
  return {"classes": classes, "task": tasks[0] if tasks else ""}


def _other(values: object) -> str:
  """Returns the class in config.json if it does not embed texts, else ""."""
  names = values.get("architectures") if isinstance(values, dict) else None
  names = names if isinstance(names, list) else []
  wrong = [n for n in names if not str(n).endswith(_EMBEDDERS)]
  return str(wrong[0]) if wrong else ""
