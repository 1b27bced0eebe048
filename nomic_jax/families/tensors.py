# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Converts tensors of PyTorch files to a model's trees and back, one by one.

A tree stacks its layers and has kernels [in, out]; files have one tensor per
layer, [out, in], and may have separate query, key and value projections. A
`Layout` names them; shapes are those of the modules.
"""

from collections import Counter
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import re
from typing import Any
from typing import NamedTuple

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.families.family import Family
from nomic_jax.families.family import Layout
from nomic_jax.families.family import Part
from nomic_jax.model import trees as trees_lib
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.head import Head
from nomic_jax.model.trees import Trees

_LEAVES = {
  "kernel": "weight",
  "embedding": "weight",
  "scale": "weight",
  "bias": "bias",
}
_OLD_LEAVES = {".gamma": ".weight", ".beta": ".bias"}  # TensorFlow's BERT


class _Slot(NamedTuple):
  """A tensor of a file and its place in the trees."""

  name: str
  shape: tuple[int, ...]  # in the file
  path: str  # in the trees
  # Index of the tensor in the tree's array, where it may be transposed.
  index: tuple[Any, ...]  # pyright: ignore[reportIncompatibleMethodOverride]
  transposed: bool
  rows: slice  # of the tensor, if it holds several modules


def write(
  family: Family, architecture: Architecture, trees: Trees
) -> dict[str, np.ndarray]:
  """Returns a file's tensors, named by the family's first layout.

  Names have no prefix, and the decoder's copy of the word embedding is left
  out: transformers ties the two and opens the file with and without a head.
  Modules after pooling are not included, since they have files of their own.

  Args:
    family: the family of the file.
    architecture: the architecture of the encoder.
    trees: `encoder` and, if the model has one, `mlm_head` or
      `classification_head`; of numpy or JAX arrays.

  Returns:
    name -> float32 array.

  Raises:
    UserError: if the trees do not fit the architecture.
  """
  arrays = trees_lib.arrays(architecture, trees)
  host, tensors = {}, {}
  slots = list(
    _slots(_trunk(architecture), family.layouts[0], *trees_lib.heads(trees))
  )
  _check_apart(family, slots)
  for slot in slots:
    if slot.path not in host:  # fetched once, and one at a time
      host = {slot.path: np.asarray(arrays[slot.path], np.float32)}
    tensor = host[slot.path][slot.index]
    if slot.transposed:
      tensor = tensor.T
    if slot.rows == slice(None):
      tensors[slot.name] = np.ascontiguousarray(tensor)
    else:
      whole = tensors.setdefault(slot.name, np.empty(slot.shape, np.float32))
      whole[slot.rows] = tensor
  return tensors


def read(
  family: Family,
  architecture: Architecture,
  tensors: Mapping[str, Any],
  where: str = "tensors",
) -> tuple[Architecture, dict[str, trees_lib.Params]]:
  """Returns the trees in a file, as float32.

  Args:
    family: the family of the file.
    architecture: as in its config.json; modules after pooling are ignored.
    tensors: name -> array, in any of the family's layouts, with any of its
      prefixes. `shape` is used at once, values (`np.asarray`) only when needed.
    where: the file or directory, for messages.

  Returns:
    The architecture, with a pooler if the file has one outside of a
    classifier; and the trees by the names of `trees.TREES`.

  Raises:
    UserError: naming every tensor that is missing, unexpected or misshapen.
  """
  layout, names = _named(family, tensors, where)
  head = layout.heads.get("classification_head", {})
  classifier = names.get(f"{head.get('classifier')}.weight")
  labels = tensors[classifier].shape[0] if classifier else 0
  pooler = layout.encoder.get("pooler")
  of_head = labels and pooler == head["pooler"]
  architecture = dataclasses.replace(
    architecture, pooler=f"{pooler}.weight" in names and not of_head
  )
  own = layout.heads["classification_head"].values() if labels else ()
  own = tuple(f"{name}." for name in own)
  with_head = any(
    name.startswith(layout.mlm_prefix) and not name.startswith(own)
    for name in names
  )
  trunk = _trunk(architecture)
  slots = list(_slots(trunk, layout, with_head, labels, where))
  wanted = {slot.name: slot.shape for slot in slots}
  _settle_tied(layout, names, wanted, tensors, where)
  _drop_ignored(layout, names, wanted, tensors)
  trees_lib.check(wanted, names, tensors, where)

  trees = {}
  shapes = trees_lib.shapes(trunk, with_head, labels)
  for slot in slots:
    *parents, leaf = slot.path.split("/")
    node = trees
    for parent in parents:
      node = node.setdefault(parent, {})
    if leaf not in node:
      node[leaf] = np.empty(shapes[slot.path], np.float32)
    values = np.asarray(tensors[names[slot.name]])[slot.rows]
    node[leaf][slot.index] = values.T if slot.transposed else values
  return architecture, trees


def vocabulary(family: Family, tensors: Mapping[str, Any], where: str) -> int:
  """Returns the number of rows of a file's word embedding."""
  layout, names = _named(family, tensors, where)
  return tensors[names[layout.word]].shape[0]


def _trunk(architecture: Architecture) -> Architecture:
  """Returns the architecture without modules after pooling."""
  return dataclasses.replace(architecture, head=Head())


def _named(
  family: Family, tensors: Mapping[str, Any], where: str
) -> tuple[Layout, dict[str, str]]:
  """Returns the layout, and the names without prefix -> those in the file."""
  for pattern, why in family.layouts[0].refused.items():
    for name in tensors:
      if re.fullmatch(pattern, name):
        raise UserError(f"{where}: '{name}' {why}")
  word = family.layouts[0].word
  prefix = next((p for p in family.prefixes if p + word in tensors), None)
  if prefix is None:
    raise UserError(
      f"{where}: no '{word}', with or without one of the prefixes "
      f"{', '.join(family.prefixes[1:])}; found {trees_lib.few(tensors)}; "
      f"expected the weights of a {family.name} model"
    )
  names = {}
  for name in tensors:
    short = name.removeprefix(prefix)
    for old, new in _OLD_LEAVES.items():
      if short.endswith(old):
        short = short.removesuffix(old) + new
    names[short] = name
  layout = next(
    (x for x in family.layouts if any(map(x.begins, names))), family.layouts[0]
  )
  return layout, names


def _slots(
  architecture: Architecture,
  layout: Layout,
  mlm_head: bool,
  labels: int,
  where: str = "the parameters",
) -> Iterator[_Slot]:
  """Yields every tensor of a file with this architecture and layout."""
  units = {
    run.path(i): (
      layer,
      range(
        run.start + i, run.start + run.repeats * len(run.unit), len(run.unit)
      ),
    )
    for run in architecture.runs
    for i, layer in enumerate(run.unit)
  }
  shapes = trees_lib.shapes(architecture, mlm_head, labels)
  for path, shape in shapes.items():
    tree, _, rest = path.partition("/")
    module, _, leaf = rest.rpartition("/")
    place, _, part = module.rpartition("/")
    if tree == "encoder" and place in units:
      layer, numbers = units[place]
      names = layout.layer.get(part)
      if not layer.mlp.gated:
        names = layout.plain.get(part, names)
    else:
      layer, numbers, part = None, (None,), module
      names = (
        layout.encoder if tree == "encoder" else layout.heads.get(tree, {})
      ).get(part)
    if not names:
      raise UserError(
        f"{where}: files of this family have no tensor for {path}, so the "
        "weights belong to another architecture; correct config.json"
      )
    rows, count = slice(None), 1
    if isinstance(names, Part):
      names, index, count = names
      rows = slice(index * shape[-1], (index + 1) * shape[-1])
    names = (names,) if isinstance(names, str) else names
    widths = [shape[-1]]
    if layer and len(names) > 1:
      a = layer.attention
      widths = [a.heads * a.width] + 2 * [a.kv_heads * a.width]
    inner = shape[1 if layer else 0 : -1]
    for i, number in enumerate(numbers):
      index, start = (i,) if layer else (), 0
      for name, width in zip(names, widths, strict=True):
        torch_shape = (*inner, count * width)
        yield _Slot(
          name=f"{name.format(number)}.{_LEAVES[leaf]}",
          shape=torch_shape[::-1] if leaf == "kernel" else torch_shape,
          path=path,
          index=(*index, ..., slice(start, start + width)),
          transposed=leaf == "kernel",
          rows=rows,
        )
        start += width


def _check_apart(family: Family, slots: list[_Slot]) -> None:
  """Raises UserError if two heads would be written under the same names."""
  whole = [slot.name for slot in slots if slot.rows == slice(None)]
  twice = [name for name, count in Counter(whole).items() if count > 1]
  if twice:
    raise UserError(
      f"{family.name}: its files have only one {trees_lib.few(twice)}, of "
      "either the MLM head or the classifier; write it with only one head"
    )


def _settle_tied(
  layout: Layout,
  names: dict[str, str],
  wanted: Collection[str],
  tensors: Mapping[str, Any],
  where: str,
) -> None:
  """Checks that tied tensors are equal, and keeps only the one in `wanted`."""
  for copy, original in layout.tied.items():
    if copy not in names:
      copy, original = original, copy
    if original in names and copy in names:
      a, b = (np.asarray(tensors[names[n]]) for n in (copy, original))
      if not np.array_equal(a, b):
        raise UserError(
          f"{where}: '{names[copy]}' differs from '{names[original]}'; "
          "expected equal tensors: an untied decoder is not supported"
        )
      names.pop(copy if original in wanted else original)
    elif copy in names and copy not in wanted and original in wanted:
      names[original] = names.pop(copy)


def _drop_ignored(
  layout: Layout,
  names: dict[str, str],
  wanted: Collection[str],
  tensors: Mapping[str, Any],
) -> None:
  """Drops tensors that may be ignored, and head biases that are all zero.

  The head of transformers' NomicBertForMaskedLM always has biases, which are
  zero unless it was trained; the published head has none.
  """
  for name in [name for name in names if name not in wanted]:
    if any(re.fullmatch(pattern, name) for pattern in layout.ignored):
      del names[name]
    elif name.startswith(layout.mlm_prefix) and name.endswith(".bias"):
      if not np.any(np.asarray(tensors[names[name]])):
        del names[name]
