# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Initializes a smaller encoder with some of the weights of a larger one.

Uniform weight selection (Xu et al. 2024, "Initializing Models with Larger
Ones"), which contrastors uses for its distilled students: evenly spaced
elements of every axis, and evenly spaced layers.
"""

from collections.abc import Sequence
import dataclasses

from flax import traverse_util
import jax
import numpy as np

from nomic_jax.errors import OptionError
from nomic_jax.model import trees
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.architecture import Attention
from nomic_jax.model.head import Head
from nomic_jax.model.trees import Params

SIZES = ("width", "layers", "heads", "mlp_width")


def select(
  architecture: Architecture,
  params: Params,
  *,
  width: int | None = None,
  layers: int | None = None,
  heads: int | None = None,
  mlp_width: int | None = None,
) -> tuple[Architecture, Params]:
  """Returns a smaller encoder and its parameters.

  Args:
    architecture: the architecture of the larger encoder.
    params: its tree of arrays.
    width: the width of the smaller encoder; None: unchanged.
    layers: number of layers; None: unchanged.
    heads: number of query heads; None: unchanged. Key and value heads become
      fewer in proportion.
    mlp_width: the MLP width of the smaller encoder; None: unchanged.

  Raises:
    OptionError: if a size exceeds that of the larger encoder.
  """
  a, first = architecture, architecture.layers[0]
  larger = dict(
    width=a.width,
    layers=len(a.layers),
    heads=first.attention.heads,
    mlp_width=first.mlp.width,
  )
  asked = dict(width=width, layers=layers, heads=heads, mlp_width=mlp_width)
  sizes = larger | {k: size for k, size in asked.items() if size is not None}
  for name, size in sizes.items():
    if size > larger[name]:
      raise OptionError(
        f"{name}: {size} is more than the {larger[name]} of the model whose "
        "weights are selected; lower it"
      )
  chosen = evenly(len(a.layers), sizes["layers"])
  smaller = dataclasses.replace(
    a,
    width=sizes["width"],
    pooler=False,
    head=Head(a.head.pooling),
    layers=tuple(
      dataclasses.replace(
        layer,
        attention=_fewer_heads(layer.attention, sizes),
        mlp=dataclasses.replace(layer.mlp, width=sizes["mlp_width"]),
      )
      for layer in (a.layers[i] for i in chosen)
    ),
  )
  wanted = {  # arrays of the right shapes that use no memory
    path: np.broadcast_to(np.float32(0), shape)
    for path, shape in trees.shapes(smaller).items()
  }
  wanted = traverse_util.unflatten_dict(wanted, sep="/")["encoder"]
  old, new = trees.unstacked(a, params), trees.unstacked(smaller, wanted)
  selected = trees.stacked(
    smaller,
    [
      _picked(
        old[i],
        layer,
        *(_sections(x.layers[n].attention) for x, n in ((a, i), (smaller, at))),
      )
      for at, (i, layer) in enumerate(zip(chosen, new, strict=True))
    ],
  )
  return smaller, {
    name: selected[name] if name in selected else _picked(params[name], part)
    for name, part in wanted.items()
  }


def _fewer_heads(a: Attention, sizes: dict[str, int]) -> Attention:
  heads = sizes["heads"]
  return dataclasses.replace(
    a,
    heads=heads,
    kv_heads=max(a.kv_heads * heads // a.heads, 1),
    width=sizes["width"] // heads,
  )


def _sections(a: Attention) -> list[int]:
  """Returns the widths of queries, keys and values on the last axis."""
  return [a.heads * a.width] + 2 * [a.kv_heads * a.width]


def _picked(
  old: Params,
  new: Params,
  old_parts: Sequence[int] = (),
  new_parts: Sequence[int] = (),
) -> Params:
  """Returns evenly spaced elements of every array, in the shapes of `new`.

  Args:
    old: a tree with at least the arrays of `new`, of at least their sizes.
    new: a tree of arrays with the wanted shapes.
    old_parts: sections of the last axis of `qkv` in `old`.
    new_parts: likewise, in `new`.
  """

  def pick(path, like):
    x = old
    for key in path:
      x = x[key.key]
    x = np.asarray(x)
    for axis, size in enumerate(like.shape):
      at = evenly(x.shape[axis], size)
      if path[0].key == "qkv" and axis == like.ndim - 1:
        starts = np.cumsum([0, *old_parts])
        at = np.concatenate(
          [
            start + evenly(*parts)
            for start, *parts in zip(starts, old_parts, new_parts)
          ]
        )
      x = np.take(x, at, axis)
    return x

  return jax.tree_util.tree_map_with_path(pick, new)


def evenly(there: int, wanted: int) -> np.ndarray:
  """Returns the indices of `wanted` evenly spaced elements, int64 [wanted].

  If `wanted` divides `there`, every n-th element from the first; otherwise
  rounded positions that include the first and the last element.

  Args:
    there: number of elements.
    wanted: how many of them.
  """
  if there % wanted == 0:
    return np.arange(wanted) * (there // wanted)
  return np.rint(np.linspace(0, there - 1, wanted)).astype(np.int64)
