# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Merges models into one by averaging their weights.

The average of models that were fine-tuned from the same checkpoint often scores
better than each of them (model soups, Wortsman et al. 2022a). The average of a
model before and after fine-tuning keeps more of the original's quality
(Wortsman et al. 2022b). An average is meaningful only if the models compute the
same function of their weights, so they may differ only in these.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import math
import pathlib
from typing import Any

from flax import traverse_util
import numpy as np

from nomic_jax.data import manifest
from nomic_jax.errors import UserError
from nomic_jax.hub import fetch
from nomic_jax.hub import matryoshka
from nomic_jax.hub import model_card
from nomic_jax.hub import model_directory
from nomic_jax.hub import sentence_transformers
from nomic_jax.hub.model_directory import ModelFiles
from nomic_jax.model import trees as trees_lib
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.trees import Trees
from nomic_jax.model.usage import with_aliases
from nomic_jax.run import models as models_lib
from nomic_jax.storage import places
from nomic_jax.text import tokenizer as tokenizer_lib

# Merges one array of each model, given as float64.
_Rule = Callable[[Sequence[np.ndarray]], np.ndarray]


@places.expanding("models", "output")
def merge(
  models: Sequence[str],
  output: str,
  weights: Sequence[float] = (),
  slerp: float | None = None,
) -> None:
  """Writes the merged model as a model directory.

  Arrays are computed in float64 and rounded once; each layer is merged
  separately. MLM heads and BERT's poolers, which embeddings do not use, are
  kept if all models have one.

  Args:
    models: model directories, work directories or Hub names.
    output: model directory to write.
    weights: share of each model; (): equal shares.
    slerp: interpolates two models spherically by `arc` instead of averaging.

  Raises:
    UserError: for shares that do not fit, or models that differ in
      architecture, tokenizer or usage; the message names the first difference.
  """
  shares = _shares(len(models), weights, slerp)
  for model in models:
    places.check_apart(output, model)
  places.check_folder(
    output,
    f"{output}: already exists and is not a model directory; choose another "
    "--output or remove it",
    model_directory.is_one,
  )
  found = [fetch.find(model) for model in models]
  parts = _alike([models_lib.read_model(f) for f in found], models)
  first = parts[0]
  if slerp is None:
    rule: _Rule = lambda x: _weighted(x, shares)
    method = "weighted average"
  else:
    rule = lambda x: arc(x[0], x[1], slerp)
    method = "spherical interpolation (slerp)"
  merged = _merged(first.architecture, [_trees(p) for p in parts], rule)
  model_directory.write_model(
    output,
    first.architecture,
    merged["encoder"],
    first.tokenizer_path,
    mlm_head=merged.get("mlm_head"),
    classification_head=merged.get("classification_head"),
    matryoshka_dims=_common_dims(found),
    manifest=lambda directory: manifest.of_merge(
      models, {"method": method, "weights": shares}, directory
    ),
    card=model_card.text(_card(output, first, found, models, shares, method)),
    **first.usage.to_json(),
  )
  listed = ", ".join(
    f"{share:g} of {model}" for model, share in zip(models, shares, strict=True)
  )
  print(f"{output}: {method} of {listed}")


def arc(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
  """Returns the point at `share` of the arc from a to b, float64 of one shape.

  Spherical linear interpolation (Shoemake 1985) of the tensors as vectors:
  sin((1 - s) t) / sin(t) a + sin(s t) / sin(t) b, where t is the angle between
  them. Parallel, opposite and zero tensors are interpolated linearly.
  """
  lengths = np.linalg.norm(a), np.linalg.norm(b)
  if min(lengths):
    u, v = a / lengths[0], b / lengths[1]
    # Accurate for small angles also, where arccos of a product is not.
    angle = 2 * math.atan2(np.linalg.norm(u - v), np.linalg.norm(u + v))
    if math.sin(angle) > 1e-6:
      parts = math.sin((1 - share) * angle), math.sin(share * angle)
      return (parts[0] * a + parts[1] * b) / math.sin(angle)
  return _weighted([a, b], (1 - share, share))


def _weighted(x: Sequence[np.ndarray], shares: Sequence[float]) -> np.ndarray:
  # Not from 0, which would turn -0.0 into 0.0.
  total = shares[0] * x[0]
  for values, share in zip(x[1:], shares[1:], strict=True):
    total += share * values
  return total


def _merged(a: Architecture, trees: Sequence[Trees], rule: _Rule) -> Trees:
  """Applies the rule to the arrays of each layer, and to all others."""
  stacks = tuple(f"encoder/{path}/" for path, _, _ in trees_lib.layers(a))
  flat = [trees_lib.arrays(a, t) for t in trees]
  merged = {}
  for path in flat[0]:
    arrays = [np.asarray(arrays[path], np.float64) for arrays in flat]
    if path.startswith(stacks):
      value = np.stack([rule(layer) for layer in zip(*arrays, strict=True)])
    else:
      value = rule(arrays)
    merged[path] = value.astype(np.float32)
  return traverse_util.unflatten_dict(merged, sep="/")


def _shares(
  count: int, weights: Sequence[float], slerp: float | None
) -> list[float]:
  """Returns the share of each model."""
  if count < 2:
    raise UserError("merge: specify two or more models")
  if slerp is not None:
    if weights:
      raise UserError("--weights and --slerp: specify only one of them")
    if count != 2:
      raise UserError(
        f"--slerp: interpolates between two models, but {count} are specified; "
        "specify two, or use --weights"
      )
    if not 0 <= slerp <= 1:
      raise UserError(
        f"--slerp={slerp:g}: expected a share of the second model, from 0 to 1"
      )
    return [1 - slerp, slerp]
  if not weights:
    return [1 / count] * count
  if len(weights) != count:
    raise UserError(
      f"--weights: {len(weights)} for {count} models; specify one for each"
    )
  total = math.fsum(weights)
  if not abs(total - 1) < 1e-6:
    raise UserError(
      f"--weights: they sum to {total:.6g}; expected 1, such as "
      f"{','.join(f'{w / total:.4g}' for w in weights)}"
      if math.isfinite(total) and total
      else f"--weights: they sum to {total:g}; expected 1"
    )
  return [w / total for w in weights]


def _alike(
  parts: Sequence[ModelFiles], names: Sequence[str]
) -> list[ModelFiles]:
  """Returns the models with only the parts that all of them have.

  Raises:
    UserError: if they differ in what their weights mean or in how they are
      used.
  """
  for model, name in zip(parts, names, strict=True):
    if model.other and model.classification_head is None:
      raise UserError(
        f"{name}: {model.other}, neither an embedding model nor a classifier; "
        "specify one of these"
      )
    if not model.says_pooling and model.classification_head is None:
      sentence_transformers.warn_of_pooling(name)
  first = parts[0]
  vocabulary = lambda m: tokenizer_lib.load(m.tokenizer_path).to_str()
  words = vocabulary(first)
  for other, name in zip(parts[1:], names[1:], strict=True):
    differ = _difference(first, other)
    if not differ and vocabulary(other) != words:
      differ = "their tokenizers differ; a token must have the same id in both"
    if differ:
      raise UserError(f"{names[0]} and {name} cannot be merged: {differ}")
  pooler = all(m.architecture.pooler for m in parts)
  mlm_head = all(m.mlm_head is not None for m in parts)
  return [
    m._replace(
      architecture=dataclasses.replace(m.architecture, pooler=pooler),
      params={k: v for k, v in m.params.items() if pooler or k != "pooler"},
      mlm_head=m.mlm_head if mlm_head else None,
    )
    for m in parts
  ]


def _difference(first: ModelFiles, other: ModelFiles) -> str:
  """Returns what differs in architecture or usage, with both values, or ""."""
  kinds = ("an embedding model", "a classifier")
  heads = [m.classification_head is not None for m in (first, other)]
  if heads[0] != heads[1]:
    return f"the first is {kinds[heads[0]]}, the second {kinds[heads[1]]}"
  a, b = first.architecture, other.architecture
  if a.family != b.family:
    return f"the first is a {a.family} model, the second {b.family}"
  fields = [f.name for f in dataclasses.fields(a) if f.compare]
  if len(a.layers) != len(b.layers):
    return f"the first has {len(a.layers)} layers, the second {len(b.layers)}"
  for name in ("head", *fields):
    if name not in ("pooler", "max_length"):  # the latter is compared in usage
      if differ := _values(name, getattr(a, name), getattr(b, name)):
        return f"architectures differ, {differ}"
  usages = [
    dataclasses.asdict(m.usage) | {"prompts": with_aliases(m.usage.prompts)}
    for m in (first, other)
  ]
  for name, value in usages[0].items():
    if differ := _values(name, value, usages[1][name]):
      return f"usage differs, {differ}"
  return ""


def _values(name: str, a: Any, b: Any) -> str:
  """Returns the innermost field that differs, and its two values; or ""."""
  if a == b:
    return ""
  if dataclasses.is_dataclass(a) and type(a) is type(b):
    for field in dataclasses.fields(a):
      inner = (getattr(x, field.name) for x in (a, b))
      if differ := _values(f"{name}.{field.name}", *inner):
        return differ
  if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
    for i, pair in enumerate(zip(a, b, strict=True)):
      if differ := _values(f"{name}[{i}]", *pair):
        return differ
  return f"{name}: {a!r} and {b!r}"


def _trees(model: ModelFiles) -> Trees:
  trees = {
    "encoder": model.params,
    "mlm_head": model.mlm_head,
    "classification_head": model.classification_head,
  }
  return {name: tree for name, tree in trees.items() if tree is not None}


def _common_dims(found: Sequence[pathlib.Path]) -> list[int]:
  """Returns the dims to which the vectors of all models may be truncated."""
  return sorted(set.intersection(*(set(matryoshka.read(f)) for f in found)))


def _card(
  output: str,
  first: ModelFiles,
  found: Sequence[pathlib.Path],
  models: Sequence[str],
  shares: Sequence[float],
  method: str,
) -> model_card.Card:
  licences = {model_card.licence_of(f) for f in found}
  return model_card.Card(
    pathlib.PurePath(output).name,
    first.architecture,
    first.usage,
    licence=licences.pop() if len(licences) == 1 else "",
    merged=tuple(zip(models, shares, strict=True)),
    method=method,
    classifier=first.classification_head is not None,
  )
