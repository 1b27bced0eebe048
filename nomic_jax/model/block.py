# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""One transformer block, as its `Layer` specifies, and units of blocks."""

import dataclasses
from typing import Protocol

from flax import linen as nn
import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import PyTree

from nomic_jax.kernels.attention import Backend
from nomic_jax.model import architecture as spec
from nomic_jax.model import layers
from nomic_jax.model import matmul
from nomic_jax.model import rotary
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.norm import AddNorm

# Layers that route tokens to experts sow their statistics in this collection of
# variables: one array [B, ...] for each statistic, of which each row depends on
# that row of the batch only.
ROUTER = "router"

# What an implementation of attention needs of a batch, for each kind.
Rows = tuple[PyTree, ...]


class Computed(Protocol):
  """The attributes of `Encoder` that blocks use."""

  @property
  def architecture(self) -> Architecture:
    """What to compute."""
    ...

  @property
  def dtype(self) -> str:
    """The dtype of activations and matmuls."""
    ...

  @property
  def dropout(self) -> float:
    """Dropout rate: the fraction of elements set to 0."""
    ...

  @property
  def attends(self) -> Backend:
    """The backend that computes attention."""
    ...


def fold(key: Array, number: int | Array) -> Array:
  """Applies `jax.random.fold_in` to one key, or to each of [B] keys."""
  if not key.ndim:
    return jax.random.fold_in(key, number)
  return jax.vmap(jax.random.fold_in, (0, None))(key, number)


def drop(
  rate: float, key: Array, x: Array, shape: tuple[int, ...] | None = None
) -> Array:
  """Applies dropout; with a key per row, masks are drawn row by row.

  Args:
    rate: dropout rate: the fraction of elements set to 0.
    key: one key, or a key for each row.
    x: float [...].
    shape: the shape (B, ...) that x would have with a separate batch axis; None
      if x already has one.
  """
  shape = shape or x.shape
  draw = lambda key, shape: jax.random.bernoulli(key, 1 - rate, shape)
  kept = (
    draw(key, shape)
    if not key.ndim
    else jax.vmap(lambda key: draw(key, shape[1:]))(key)
  )
  return jnp.where(kept.reshape(x.shape), x / (1 - rate), 0).astype(x.dtype)


class Unit(nn.Module):
  """Several blocks in order."""

  encoder: Computed
  layers: tuple[spec.Layer, ...]

  @nn.compact
  def __call__(
    self, x: Array, rows: Rows, keys: Array | None
  ) -> tuple[Array, None]:
    """Returns [B S, D] after the layers, and None, as a scan's body does.

    Args:
      x: [B S, D].
      rows: what attention needs of the batch, for each of `attentions`.
      keys: dropout keys: for each layer, one key or [B] keys. None disables
        dropout.
    """
    for i, layer in enumerate(self.layers):
      key = None if keys is None else keys[i : i + 1]
      block = Block(self.encoder, (layer,), name=f"layer_{i}")
      x, _ = block(x, rows, key)
    return x, None


class Block(nn.Module):
  """One transformer block, specified by its `Layer`.

  Attributes:
    encoder: how to compute it.
    layers: the single layer.
  """

  encoder: Computed
  layers: tuple[spec.Layer, ...]

  @nn.compact
  def __call__(
    self, x: Array, rows: Rows, keys: Array | None
  ) -> tuple[Array, None]:
    """Applies the block; arguments and result are those of `Unit`."""
    (layer,) = self.layers
    a = self.encoder.architecture
    own = rows[a.attentions.index(layer.attention)]
    count = jax.tree.leaves(own)[0].shape[0]

    def dropped(y: Array, name: str, number: int) -> Array:
      if keys is None or name not in a.dropout_after:
        return y
      shape = count, y.shape[0] // count, y.shape[-1]
      return drop(self.encoder.dropout, fold(keys[0], number), y, shape)

    parts = {
      "attention": lambda y: self._attention(
        layer.attention, y.reshape(count, -1, y.shape[-1]), own
      ),
      "mlp": lambda y: self._mlp(layer.mlp, y),
    }
    for number, (name, part) in enumerate(parts.items(), 1):
      normed = AddNorm(**dataclasses.asdict(layer.norm), name=f"norm{number}")
      if layer.order == "post":
        x = normed(x, dropped(part(x), name, number))
      elif name == "attention" and not layer.attention_norm:
        x += dropped(part(x), name, number)
      else:
        x += dropped(part(normed(x)), name, number)
    return x, None

  def _dense(
    self,
    features: int,
    axes: tuple[str, str],
    bias: bool,
    name: str,
    output: bool = False,
  ) -> matmul.Linear:
    init = self.encoder.architecture.fresh(output)
    return layers.dense(features, axes, bias, init, self.encoder.dtype, name)

  def _attention(self, a: spec.Attention, x: Array, rows: PyTree) -> Array:
    """Maps [B, S, D] to [B S, D]."""
    columns = a.layout.columns
    qkv = self._dense(columns, ("embed", "heads"), a.bias, "qkv")(
      x.reshape(-1, x.shape[-1])
    ).reshape(*x.shape[:2], columns)
    if a.qk_norm:
      qkv = self._normed_heads(a, a.qk_norm, qkv)
    if a.rope:
      qkv = rotary.pairs_apart(a, qkv)
    y = self.encoder.attends.attend(qkv, rows, a.need)
    return self._dense(x.shape[-1], ("heads", "embed"), a.bias, "out", True)(
      y.reshape(-1, y.shape[-1])
    )

  def _normed_heads(
    self, a: spec.Attention, norm: spec.Norm, qkv: Array
  ) -> Array:
    """Normalizes each head of the queries and of the keys."""
    ends = [a.heads * a.width, (a.heads + a.kv_heads) * a.width]
    q, k, v = jnp.split(qkv, ends, axis=-1)
    q, k = (
      AddNorm(**dataclasses.asdict(norm), axis="head", name=name)(
        y.reshape(*y.shape[:2], -1, a.width)
      ).reshape(y.shape)
      for y, name in ((q, "q_norm"), (k, "k_norm"))
    )
    return jnp.concatenate([q, k, v], axis=-1)

  def _mlp(self, m: spec.MLP, x: Array) -> Array:
    act = layers.ACTIVATIONS[m.activation]
    y = self._dense(m.width, ("embed", "mlp"), m.in_bias, "up")(x)
    if m.gated:
      y *= act(self._dense(m.width, ("embed", "mlp"), m.in_bias, "gate")(x))
    else:
      y = act(y)
    return self._dense(x.shape[-1], ("mlp", "embed"), m.out_bias, "down", True)(
      y
    )
