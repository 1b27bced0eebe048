# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A smaller encoder that starts from some weights of a larger one.

Weight selection (Xu et al. 2024, "Initializing Models with Larger Ones"), the
uniform kind, which contrastors starts its distilled students with: of every
axis evenly spaced elements, of the layers evenly spaced ones.
"""

import dataclasses

from flax.linen import meta
import jax
import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.model.config import EncoderConfig
from nomic_jax.model.encoder import Encoder

SIZES = ("width", "layers", "heads", "mlp_width")


def select(
    config: EncoderConfig, params: dict, **sizes: int
) -> tuple[EncoderConfig, dict]:
  """Returns a smaller encoder and its parameters.

  Args:
    config: of the larger one.
    params: its tree of arrays.
    **sizes: those of SIZES that the smaller one has.

  Raises:
    UserError: if one of the sizes is larger than it was.
  """
  for name, size in sizes.items():
    if size > getattr(config, name):
      raise UserError(
          f"config.encoder.{name}: {size} is more than the "
          f"{getattr(config, name)} of the model of config.init_from, from "
          "which init_as=selection selects; lower it")
  smaller = dataclasses.replace(
      config, pooler=False, projection=0, output_layers=(), **sizes)
  shapes = meta.unbox(
      jax.eval_shape(Encoder(smaller).init, jax.random.key(0)))
  parts = {"qkv": 3}  # side by side on the last axis

  def pick(path, shape):
    names = [key.key for key in path]
    found = params
    for name in names:
      found = found[name]
    found = np.asarray(found)
    for axis, size in enumerate(shape.shape):
      count = parts.get(names[-2], 1) if axis == len(shape.shape) - 1 else 1
      found = np.take(
          found, evenly(found.shape[axis], size, count), axis)
    return found

  return smaller, jax.tree_util.tree_map_with_path(pick, shapes)


def evenly(there: int, wanted: int, parts: int = 1) -> np.ndarray:
  """Places of `wanted` evenly spaced elements of `there`, int64 [wanted].

  Every n-th, if that is whole; else as near to it as can be, first and last
  included. Of several parts that lie side by side each gives as many.
  """
  there, wanted = there // parts, wanted // parts
  if there % wanted == 0:
    one = np.arange(wanted) * (there // wanted)
  else:
    one = np.rint(np.linspace(0, there - 1, wanted)).astype(np.int64)
  return (np.arange(parts)[:, None] * there + one).ravel()
