# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Maps hidden states to vectors: pooling, then modules in order.

The modules are those of sentence-transformers after its Pooling: Dense layers
with activations, LayerNorms, and normalization before further layers.
"""

import dataclasses
from typing import cast

from flax import linen as nn
import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float
from jaxtyping import Int

from nomic_jax.errors import OptionError
from nomic_jax.errors import UserError
from nomic_jax.model import layers
from nomic_jax.model import pooling
from nomic_jax.model.norm import AddNorm
from nomic_jax.model.params import Params

ACTIVATIONS = {
  "identity": lambda x: x,
  "tanh": jnp.tanh,
  "relu": jax.nn.relu,
  "gelu": lambda x: jax.nn.gelu(x, approximate=False),
  "sigmoid": jax.nn.sigmoid,
  "silu": jax.nn.silu,
}


@dataclasses.dataclass(frozen=True)
class Module:
  """One module after pooling.

  Attributes:
    kind: dense, norm (LayerNorm) or normalize (to length 1).
    width: the width of its output.
    bias: whether a dense layer has a bias.
    activation: the activation of a dense layer, a name in ACTIVATIONS.
    affine: whether a norm has a scale and a bias.
  """

  kind: str
  width: int
  bias: bool = True
  activation: str = "identity"
  affine: bool = True


@dataclasses.dataclass(frozen=True)
class Head:
  """One vector per text, or with pooling "none" one per token.

  Attributes:
    pooling: a name in `pooling.POOLINGS`.
    modules: applied after pooling, in order.
  """

  pooling: str = "mean"
  modules: tuple[Module, ...] = ()

  def output_width(self, width: int) -> int:
    """Returns the dimensions of a vector, given those of a hidden state."""
    return self.modules[-1].width if self.modules else width

  @property
  def pooled_norm(self) -> bool:
    """Whether the first module is a LayerNorm without parameters (v1.5)."""
    return (
      bool(self.modules)
      and self.modules[0].kind == "norm"
      and (not self.modules[0].affine)
    )

  @property
  def rest(self) -> tuple[Module, ...]:
    """The modules after that norm."""
    return self.modules[self.pooled_norm :]

  @property
  def projection(self) -> int:
    """Width of a single linear layer after that norm; 0 if there is none."""
    if len(self.rest) != 1:
      return 0
    width = self.rest[0].width
    return width if self.rest[0] == Module("dense", width) else 0

  def simple(
    self, width: int, pooled_norm: bool | None, projection: int | None
  ) -> "Head":
    """Returns a copy with these settings; None keeps those of this head.

    Raises:
      OptionError: if its modules cannot be described by these settings.
    """
    if pooled_norm is None and projection is None:
      return self
    if self.rest and not self.projection:
      name = "projection" if pooled_norm is None else "pooled_norm"
      raise OptionError(
        f"{name}: the model has its own layers after pooling; leave {name} out"
      )
    if pooled_norm is None:
      pooled_norm = self.pooled_norm
    if projection is None:
      projection = self.projection
    norm = (Module("norm", width, affine=False),) * pooled_norm
    dense = (Module("dense", projection),) if projection else ()
    return dataclasses.replace(self, modules=norm + dense)

  @property
  def names(self) -> tuple[str, ...]:
    """Names of the modules' parameters in the encoder's tree."""
    before = ("",) * self.pooled_norm
    if self.projection:
      return (*before, "projection")
    return (*before, *(f"output_{i}" for i in range(len(self.rest))))

  def init(self, rng: Array, width: int, stddev: float) -> Params:
    """Returns initial parameters, boxed with their axes' logical names."""
    vector = jnp.zeros((1, width))
    made = _Modules(self, stddev).init(rng, vector).get("params", {})
    return cast(Params, made)

  def apply(
    self,
    params: Params,
    hidden: Float[Array, "B S D"],
    segment_ids: Int[Array, "B S"],
    slots: int,
  ) -> Float[Array, "B slots_or_S width"]:
    """Returns float32 vectors [B, slots, output width], see `pooling.pool`.

    Args:
      params: the encoder's tree, or at least the parameters of `init`.
      hidden: float32 [B, S, D].
      segment_ids: int32 [B, S].
      slots: the maximum number of texts in a row.
    """
    vectors = pooling.pool(self.pooling, hidden, segment_ids, slots)
    own = {name: params[name] for name in self.names if name in params}
    vectors = cast(Array, _Modules(self, 0.0).apply({"params": own}, vectors))
    if self.pooling == "none" and self.modules:  # zeros at padding, as pooled
      vectors = jnp.where((segment_ids > 0)[:, :, None], vectors, 0)
    return vectors

  def check_one_vector(self) -> None:
    """Raises UserError unless each text has one vector."""
    if self.pooling == "none":
      raise UserError(
        "pooling 'none' gives a vector per token, but one per text is needed; "
        "set the encoder's pooling to one of "
        + ", ".join(p for p in pooling.POOLINGS if p != "none")
      )


class _Modules(nn.Module):
  """The modules of a head, in float32."""

  head: Head
  stddev: float  # of initial kernels

  @nn.compact
  def __call__(self, x: Array) -> Array:
    for name, module in zip(self.head.names, self.head.modules, strict=True):
      if module.kind == "normalize":
        x = pooling.normalize(x)
      elif module.kind == "norm" and module.affine:
        x = AddNorm(1e-5, name=name)(x)
      elif module.kind == "norm":
        x = pooling.plain_layer_norm(x)
      else:
        with jax.default_matmul_precision("highest"):
          x = layers.dense(
            module.width,
            ("embed", "projected"),
            module.bias,
            layers.normal(self.stddev),
            "float32",
            name,
          )(x)
        x = ACTIVATIONS[module.activation](x)
    return x
