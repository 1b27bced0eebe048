# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A model's parameter trees: their names, shapes and single layers.

Shapes come from the modules themselves and are not restated here.
"""

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
import functools
from typing import Any

from flax import traverse_util
from flax.linen import meta
import jax
import jax.numpy as jnp
import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.encoder import Encoder
from nomic_jax.model.heads import ClassificationHead
from nomic_jax.model.heads import MLMHead
from nomic_jax.model.params import Params

Trees = Mapping[str, Params]  # by the names of TREES
TREES = ("encoder", "mlm_head", "classification_head")


@functools.lru_cache(maxsize=16)
def shapes(
  architecture: Architecture, mlm_head: bool = False, labels: int = 0
) -> dict[str, tuple[int, ...]]:
  """Returns path to shape of every array, such as encoder/layers/qkv/kernel.

  Args:
    architecture: the architecture of the encoder.
    mlm_head: whether there is one.
    labels: the number of outputs of a classification head; 0: there is none.
  """

  def make() -> Params:
    a, key = architecture, jax.random.key(0)
    hidden = jnp.zeros((1, a.width))
    made: Params = {"encoder": Encoder(a).init(key)}
    if mlm_head:
      words = jnp.zeros((a.vocab_size, a.table_width))
      made["mlm_head"] = MLMHead(a).init(key, hidden, words)["params"]
    if labels:
      made["classification_head"] = ClassificationHead(a, labels).init(
        key, hidden
      )["params"]
    return made

  made: dict[str, Any] = traverse_util.flatten_dict(
    meta.unbox(jax.eval_shape(make)), sep="/"
  )
  return {path: leaf.shape for path, leaf in made.items()}


def heads(trees: Trees) -> tuple[bool, int]:
  """Returns whether there is an MLM head, and a classifier's labels, or 0."""
  labels = 0
  if "classification_head" in trees:
    labels = trees["classification_head"]["classifier"]["kernel"].shape[-1]
  return "mlm_head" in trees, labels


def arrays(
  architecture: Architecture, trees: Trees, where: str = "the parameters"
) -> dict[str, Any]:
  """Returns path to array of trees that must match the architecture.

  Raises:
    UserError: naming arrays that are missing, unexpected or misshapen.
  """
  flat = traverse_util.flatten_dict(dict(trees), sep="/")
  wanted = shapes(architecture, *heads(trees))
  check(wanted, {path: path for path in flat}, flat, where)
  return flat


def check(
  wanted: Mapping[str, tuple[int, ...]],
  names: Mapping[str, str],
  tensors: Mapping[str, Any],
  where: str,
) -> None:
  """Raises UserError unless names and shapes match exactly.

  Args:
    wanted: name to shape.
    names: name to its key in `tensors`, which the message shows.
    tensors: objects with a shape.
    where: the file or directory, for the message.
  """
  problems = []
  if missing := [name for name in wanted if name not in names]:
    problems.append(f"missing {few(missing)}")
  if extra := [names[name] for name in names if name not in wanted]:
    problems.append(f"unexpected {few(extra)}")
  found = {
    name: tuple(tensors[names[name]].shape) for name in wanted if name in names
  }
  if wrong := [
    f"{names[name]} (expected {list(wanted[name])}, found {list(shape)})"
    for name, shape in found.items()
    if shape != wanted[name]
  ]:
    problems.append(f"misshapen {few(wrong)}")
  if problems:
    raise UserError(
      f"{where}: the tensors do not fit the config: {'; '.join(problems)}"
    )


def few(names: Collection[str], most: int = 4) -> str:
  """Returns the first few names, and how many more there are."""
  names = list(names)
  more = f" and {len(names) - most} more" if len(names) > most else ""
  return ", ".join(names[:most]) + more


def layers(architecture: Architecture) -> Iterator[tuple[str, int, int]]:
  """Yields each layer's path under `encoder`, index there, and number."""
  for run in architecture.runs:
    for repeat in range(run.repeats):
      for i in range(len(run.unit)):
        yield run.path(i), repeat, run.start + repeat * len(run.unit) + i


def unstacked(architecture: Architecture, params: Params) -> list[Params]:
  """Returns the encoder's tree of each layer."""
  trees = []
  for path, at, _ in layers(architecture):
    node = params
    for name in path.split("/"):
      node = node[name]
    trees.append(jax.tree.map(lambda x, at=at: np.asarray(x)[at], node))
  return trees


def stacked(architecture: Architecture, parts: list[Params]) -> Params:
  """Inverts `unstacked`: returns the layers' part of the encoder's tree."""
  by_path: dict[str, list[Params]] = {}
  for path, _, number in layers(architecture):
    by_path.setdefault(path, []).append(parts[number])
  return traverse_util.unflatten_dict(
    {
      path: jax.tree.map(lambda *x: np.stack(x), *trees)
      for path, trees in by_path.items()
    },
    sep="/",
  )
