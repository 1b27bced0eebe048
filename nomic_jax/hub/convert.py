# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Tensors of a PyTorch file to the encoder's tree and back, one at a time."""

import dataclasses
import re
from typing import Any, Collection, Iterator, Mapping

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.hub import names as table
from nomic_jax.hub.config import is_classic
from nomic_jax.model.config import EncoderConfig

Params = dict[str, Any]
Trees = Mapping[str, Params]  # by the names in names.TREES
WORD = "embeddings.word_embeddings.weight"


def to_published(
    config: EncoderConfig, trees: Trees
) -> dict[str, np.ndarray]:
  """A file's tensors: HF BERT's names for classic models, else
  the published ones.

  Names have no prefix, and the decoder's copy of the word embedding is left
  out: transformers ties it, and so opens the file with and without a head.

  Args:
    config: the architecture.
    trees: `encoder`, and `mlm_head` or `classification_head` if there are;
      of numpy or JAX arrays.

  Returns:
    name -> float32 array.

  Raises:
    UserError: if the trees do not fit the config.
  """
  layout = table.BERT if is_classic(config) else table.PUBLISHED
  arrays = _fitting(config, trees)
  host, tensors = {}, {}
  for slot in table.slots(config, layout, *_heads(trees)):
    if slot.path not in host:  # fetched once, and one at a time
      host = {slot.path: np.asarray(arrays[slot.path], np.float32)}
    tensor = host[slot.path][slot.index]
    if slot.transposed:
      tensor = tensor.T
    tensors[slot.name] = np.ascontiguousarray(tensor)
  return tensors


def from_tensors(
    config: EncoderConfig, tensors: Mapping[str, Any], where: str = "tensors"
) -> dict[str, Params]:
  """The trees in a file by the names in `names.TREES`, as float32.

  Args:
    config: the architecture.
    tensors: name -> array, in any known layout, with any known prefix. Each
      needs a `shape` at once and its values (`np.asarray`) only when used.
    where: the file or directory, for messages.

  Raises:
    UserError: naming every tensor that is missing, unexpected or misshapen.
  """
  names = _canonical(tensors, where)
  layout = next(
      (i for i in (table.PUBLISHED, table.BERT, table.NATIVE)
       if any(name.startswith(table.LAYERS[i]) for name in names)),
      table.PUBLISHED,
  )
  with_head = any(name.startswith("cls.predictions.") for name in names)
  labels = _labels(names, tensors)
  slots = list(table.slots(config, layout, with_head, labels))
  wanted = {slot.name: slot.shape for slot in slots}
  _settle_tied(names, wanted, tensors, where)
  _drop_ignored(config, names, wanted, tensors)
  _check(wanted, names, tensors, where)

  trees = {}
  shapes = table.tree_shapes(config, with_head, labels)
  for slot in slots:
    *parents, leaf = slot.path.split("/")
    node = trees
    for parent in parents:
      node = node.setdefault(parent, {})
    if leaf not in node:
      node[leaf] = np.empty(shapes[slot.path], np.float32)
    values = np.asarray(tensors[names[slot.name]])
    node[leaf][slot.index] = values.T if slot.transposed else values
  return trees


def check_trees(config: EncoderConfig, trees: Trees, where: str) -> None:
  """Raises UserError unless the trees have exactly the config's arrays."""
  _fitting(config, trees, where)


def with_modules(
    config: EncoderConfig, tensors: Mapping[str, Any]
) -> EncoderConfig:
  """The config with what only a file's tensors tell: pooler, projection.

  The pooler under a classifier is part of that head, and not of the encoder.
  """
  pooler = any(p + "pooler.dense.weight" in tensors for p in table.PREFIXES)
  projection = tensors.get("proj.weight")
  return dataclasses.replace(
      config, pooler=pooler and "classifier.weight" not in tensors,
      projection=0 if projection is None else projection.shape[0],
  )


def vocabulary(tensors: Mapping[str, Any], where: str) -> int:
  """Rows of a file's table of word embeddings."""
  return tensors[_canonical(tensors, where)[WORD]].shape[0]


def _heads(trees: Trees) -> tuple[bool, int]:
  """Whether there is an MLM head, and the labels of a classification head."""
  labels = 0
  if "classification_head" in trees:
    labels = trees["classification_head"]["classifier"]["kernel"].shape[-1]
  return "mlm_head" in trees, labels


def _labels(names: Mapping[str, str], tensors: Mapping[str, Any]) -> int:
  classifier = names.get("classifier.weight")
  return 0 if classifier is None else tensors[classifier].shape[0]


def _canonical(tensors: Mapping[str, Any], where: str) -> dict[str, str]:
  """Names without prefix and with today's leaves -> names in the file."""
  for name in tensors:
    if re.fullmatch(table.EXPERTS, name):
      raise UserError(
          f"{where}: '{name}' belongs to a mixture of experts; experts are not "
          "supported yet, use a dense model"
      )
  prefix = next((p for p in table.PREFIXES if p + WORD in tensors), None)
  if prefix is None:
    raise UserError(
        f"{where}: no '{WORD}', with or without one of the prefixes "
        f"{', '.join(table.PREFIXES[1:])}; found {_few(tensors)}; expected the "
        "weights of a NomicBERT or BERT model"
    )
  names = {}
  for name in tensors:
    short = name.removeprefix(prefix)
    for old, new in table.OLD_LEAVES.items():
      if short.endswith(old):
        short = short.removesuffix(old) + new
    names[short] = name
  return names


def _settle_tied(
    names: dict[str, str], wanted: Collection[str],
    tensors: Mapping[str, Any], where: str,
) -> None:
  """Leaves of each tied pair the one that is wanted; both must be equal."""
  for copy, original in table.TIED.items():
    if copy not in names:
      copy, original = original, copy
    if original in names and copy in names:
      a, b = (np.asarray(tensors[names[n]]) for n in (copy, original))
      if not np.array_equal(a, b):
        raise UserError(
            f"{where}: '{names[copy]}' differs from '{names[original]}'; "
            "expected them to be tied, an untied decoder is not supported"
        )
      names.pop(copy if original in wanted else original)
    elif copy in names and copy not in wanted and original in wanted:
      names[original] = names.pop(copy)


def _drop_ignored(
    config: EncoderConfig, names: dict[str, str],
    wanted: Collection[str], tensors: Mapping[str, Any],
) -> None:
  """Drops what may be ignored, and head biases that are all zero.

  transformers' NomicBertForMaskedLM always has biases in its head, zero
  unless it was trained; the published head has none.
  """
  patterns = table.IGNORED
  if not config.pooler:
    patterns += table.IGNORED_WITHOUT_POOLER
  for name in [name for name in names if name not in wanted]:
    if any(re.fullmatch(pattern, name) for pattern in patterns):
      del names[name]
    elif name.startswith("cls.predictions.") and name.endswith(".bias"):
      if not np.any(np.asarray(tensors[names[name]])):
        del names[name]


def _check(
    wanted: Mapping[str, tuple[int, ...]], names: Mapping[str, str],
    tensors: Mapping[str, Any], where: str,
) -> None:
  """Raises UserError unless exactly the wanted names and shapes are there."""
  problems = []
  if missing := [name for name in wanted if name not in names]:
    problems.append(f"missing {_few(missing)}")
  if extra := [names[name] for name in names if name not in wanted]:
    problems.append(f"unexpected {_few(extra)}")
  shapes = {
      name: tuple(tensors[names[name]].shape) for name in wanted
      if name in names
  }
  wrong = [
      f"{names[name]} (expected {list(wanted[name])}, found {list(shape)})"
      for name, shape in shapes.items() if shape != wanted[name]
  ]
  if wrong:
    problems.append(f"misshapen {_few(wrong)}")
  if problems:
    raise UserError(
        f"{where}: the tensors do not fit the config: {'; '.join(problems)}"
    )


def _fitting(
    config: EncoderConfig, trees: Trees, where: str = "the parameters"
) -> dict[str, Any]:
  """Path -> array, after checking paths and shapes against the config."""
  arrays = dict(_flatten(trees))
  wanted = table.tree_shapes(config, *_heads(trees))
  _check(wanted, {path: path for path in arrays}, arrays, where)
  return arrays


def _flatten(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple]:
  for key, value in tree.items():
    if isinstance(value, Mapping):
      yield from _flatten(value, f"{path}{key}/")
    else:
      yield path + key, value


def _few(names: Any, most: int = 4) -> str:
  """The first few names, and how many more."""
  names = list(names)
  more = f" and {len(names) - most} more" if len(names) > most else ""
  return ", ".join(names[:most]) + more
