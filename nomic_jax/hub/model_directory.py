# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A model as one directory, which PyTorch's libraries open too.

Weights are safetensors and never pickles, since opening a pickle runs it.
"""

import dataclasses
import json
import os
import pathlib
from typing import Any, Callable, Mapping, NamedTuple, Sequence

import safetensors.numpy

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.hub import bi_encoder
from nomic_jax.hub import config as config_json
from nomic_jax.hub import config_out
from nomic_jax.hub import convert
from nomic_jax.hub import fetch
from nomic_jax.hub import matryoshka
from nomic_jax.hub import modules
from nomic_jax.hub import names as table
from nomic_jax.hub import sentence_transformers
from nomic_jax.hub import tokenizer as tokenizer_files
from nomic_jax.hub.weights import open_tensors
from nomic_jax.hub.weights import WEIGHTS
from nomic_jax.model.config import EncoderConfig
from nomic_jax.model.usage import Usage
from nomic_jax.storage import files
from nomic_jax.storage import hub_cache
from nomic_jax.storage import places
from nomic_jax.storage.keys import read_json
from nomic_jax.text.prompts import PROMPTS

Params = dict[str, Any]

# How the names of classes end whose weights give embeddings.
_EMBEDDERS = ("Model", "ForMaskedLM", "ForPreTraining", "BiEncoder")


class ModelFiles(NamedTuple):
  """A model as read from disk.

  Attributes:
    config: the architecture and the pooling.
    params: the encoder's tree, float32 numpy arrays.
    mlm_head: the MLM head's tree, if it is stored.
    tokenizer_path: a tokenizer.json.
    usage: prompts, lengths and similarity.
    classification_head: the classifier's tree, if it is stored.
    other: what its files say that it is, such as
      BertForSequenceClassification, if that is no embedding model.
    says_pooling: whether its files say how tokens are pooled; if not, it is
      the mean.
  """

  config: EncoderConfig
  params: Params
  mlm_head: Params | None
  tokenizer_path: pathlib.Path
  usage: Usage
  classification_head: Params | None = None
  other: str = ""
  says_pooling: bool = True

  @property
  def prompts(self) -> Mapping[str, str]:
    """Name -> text put before a text."""
    return self.usage.prompts

  @property
  def max_tokens(self) -> int | None:
    """The longest text; None: `config.max_length`."""
    return self.usage.max_tokens


def read_model(path: str | os.PathLike) -> ModelFiles:
  """Reads a model directory, a training work directory or a hub model.

  Args:
    path: a directory, of a work directory also its checkpoints/STEP; or a hub
      name such as nomic-ai/nomic-embed-text-v1.5 or bert-base-uncased, which
      is downloaded into huggingface_hub's cache (HF_HOME) and, with
      HF_HUB_OFFLINE=1, only looked up there.

  Raises:
    UserError: saying which file, key or tensor is wrong.
  """
  directory = fetch.find(path)
  if (directory / "checkpoints").is_dir():
    return _read_work_directory(directory)
  workdir = matryoshka.training_of(directory)
  if workdir != directory:
    return _read_work_directory(workdir, int(directory.name))
  if not (directory / "config.json").is_file():
    if (directory / modules.FILE).is_file():
      modules.folders(directory)  # refuses modules that are not supported
    raise UserError(
        f"{directory}: not a model, as there is no config.json in it; expected "
        "a model directory, a training work directory or a hub name such as "
        "nomic-ai/nomic-embed-text-v1.5" + hub_cache.hint(directory)
    )
  return _read_model_directory(directory)


@places.expanding("output", "tokenizer")
def write_model(
    output: str | os.PathLike,
    config: EncoderConfig,
    params: Params,
    tokenizer: Any,
    prompts: Mapping[str, str],
    mlm_head: Params | None = None,
    max_tokens: int | None = None,
    classification_head: Params | None = None,
    matryoshka_dims: Sequence[int] = (),
    manifest: Callable[[pathlib.Path], dict] | None = None,
    **usage: Any,
) -> None:
  """Writes a model directory, whole or not at all.

  Args:
    output: the directory; what stands there is replaced.
    config: the architecture.
    params: the encoder's tree, of numpy or JAX arrays.
    tokenizer: a tokenizer.json, a directory with one, or a
      `tokenizers.Tokenizer`.
    prompts: name -> text.
    mlm_head: the MLM head's tree, to go on training from.
    max_tokens: the longest text; `config.max_length` if None.
    classification_head: the classifier's tree; its pooler takes the place of
      the encoder's.
    matryoshka_dims: where its vectors may be cut, if it was trained so.
    manifest: makes what reproduce.json will hold of the directory with the
      weights; see `nomic_jax.run.manifest`.
    **usage: other fields of a `Usage`.

  Raises:
    UserError: if the trees do not fit the config, it cannot be written in a
      published format, or the disk is full.
  """
  max_tokens = min(max_tokens or config.max_length, config.max_length)
  trees = {"encoder": params}
  if mlm_head is not None:
    trees["mlm_head"] = mlm_head
  if classification_head is not None:
    trees["classification_head"] = classification_head
    config = dataclasses.replace(config, pooler=False)
    trees["encoder"] = {k: v for k, v in params.items() if k != "pooler"}
  values = config_out.to_json(config, trees)
  if matryoshka_dims:
    values[matryoshka.KEY] = sorted(matryoshka_dims)
  tensors = convert.to_published(config, trees)
  after = {
      name: tensors.pop(name) for name in list(tensors)
      if name.startswith(("proj.", "output_"))}
  with files.replacing(output) as directory:
    directory.mkdir()
    safetensors.numpy.save_file(
        tensors, directory / WEIGHTS, metadata={"format": "pt"})
    (directory / "config.json").write_text(
        json.dumps(values, indent=2) + "\n", encoding="utf-8")
    if manifest:
      (directory / "reproduce.json").write_text(
          json.dumps(manifest(directory), indent=2, sort_keys=True) + "\n",
          encoding="utf-8")
    tokenizer_files.write(
        directory, tokenizer, max_tokens, config.pad_token_id)
    sentence_transformers.write(
        directory, config, Usage(prompts, max_tokens=max_tokens, **usage),
        after)


def _read_model_directory(directory: pathlib.Path) -> ModelFiles:
  where = directory / "config.json"
  values = read_json(where)
  if (directory / "adapter_config.json").is_file():
    raise UserError(
        f"{directory}: adapter_config.json, an adapter (PEFT) that is not "
        "merged into the weights, is not supported; merge_and_unload() it")
  other = _other(values)
  trained_there = bi_encoder.is_one(values)
  if trained_there:
    output = bi_encoder.output(directory, values)
    tensors_after: Mapping[str, Any] = {}
    usage, says_prompts, says_pooling = Usage(), False, True
    values, where = bi_encoder.trunk_config(directory, values)
    config = config_json.from_json(values, str(where))
  else:
    config = config_json.from_json(values, str(where))
    wrapper = sentence_transformers.read(directory, config.width)
    usage, says_prompts = wrapper.usage, wrapper.says_prompts
    says_pooling = wrapper.says_pooling
    tensors_after = wrapper.output.tensors
    output = {
        "pooling": wrapper.output.pooling,
        "pooled_norm": wrapper.output.pooled_norm,
        "output_layers": wrapper.output.layers}
  config = dataclasses.replace(config, **output)
  max_tokens = usage.max_tokens or tokenizer_files.longest_text(
      directory) or config.max_length
  if config.position == "rotary":  # no table of positions sets a limit
    longest = max(max_tokens, config.max_length)
    config = dataclasses.replace(config, max_length=longest)
  with open_tensors(directory) as tensors:
    tensors |= tensors_after
    config = convert.with_modules(config, tensors)
    if trained_there:  # its vocabulary may be padded where the trunk's is not
      config = dataclasses.replace(
          config, vocab_size=convert.vocabulary(tensors, str(directory)))
    trees = convert.from_tensors(config, tensors, str(directory))
  # v1 and v1.5 name their prompts only in the model card.
  if not says_prompts and values.get("model_type") == "nomic_bert":
    usage = dataclasses.replace(usage, prompts=dict(PROMPTS))
  usage = dataclasses.replace(
      usage, max_tokens=min(max_tokens, config.max_length))
  return ModelFiles(
      config, trees["encoder"], trees.get("mlm_head"),
      tokenizer_files.find(directory), usage,
      trees.get("classification_head"), other, says_pooling)


def _other(values: Any) -> str:
  """What a config.json says it is of, if of no encoder alone."""
  names = values.get("architectures") if isinstance(values, dict) else None
  names = names if isinstance(names, list) else []
  wrong = [n for n in names if not str(n).endswith(_EMBEDDERS)]
  return str(wrong[0]) if wrong else ""


def _read_work_directory(
    directory: pathlib.Path, step: int | None = None
) -> ModelFiles:
  from nomic_jax.run import checkpoint  # brings in JAX and Orbax
  from nomic_jax.run import work_directory

  where = directory / "encoder.json"
  values = read_json(where)
  fields = [field.name for field in dataclasses.fields(EncoderConfig)]
  if not isinstance(values, dict):
    raise UserError(f"{where}: expected a JSON object")
  for name in values:
    one_of(name, fields, f"{where}: unknown key '{name}'")
  config = EncoderConfig(**values)
  saved = checkpoint.restore_params(directory, step)
  trees = {name: saved[name] for name in table.TREES if name in saved}
  convert.check_trees(config, trees, str(directory))
  head, usage = trees.get("classification_head"), (
      work_directory.read_usage(directory))
  return ModelFiles(
      config, trees["encoder"], trees.get("mlm_head"),
      tokenizer_files.find(directory / "tokenizer"),
      dataclasses.replace(usage, max_tokens=min(
          usage.max_tokens or config.max_length, config.max_length)), head,
      "a classifier" if head is not None else "")
