# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Static description of what an attention implementation computes."""

import dataclasses
from typing import Any
from typing import NamedTuple

from jax import Array
import jax.numpy as jnp
from jaxtyping import Bool
from jaxtyping import Float

from nomic_jax.errors import UserError

# Cosines and sines of the angles by which dimensions (i, i + d/2) are rotated.
Angles = tuple[Float[Array, "B S half"], Float[Array, "B S half"]]


@dataclasses.dataclass(frozen=True)
class Layout:
  """The columns of a fused projection [B, S, (H + 2 K) d]: q, then k, then v.

  Attributes:
    heads: H, the number of query heads.
    kv_heads: K, the number of key and value heads, a divisor of H: query head
      h reads key and value head h // (H / K).
    width: d, the width of a head.
  """

  heads: int
  kv_heads: int
  width: int

  def __post_init__(self):
    if min(self.heads, self.kv_heads, self.width) < 1 or (
      self.heads % self.kv_heads
    ):
      raise UserError(
        f"{self.heads} query heads cannot share {self.kv_heads} key and "
        f"value heads (of width {self.width}); expected a multiple"
      )

  def __str__(self) -> str:
    shared = "" if self.group == 1 else f" ({self.kv_heads} of keys and values)"
    return f"{self.heads} heads{shared} of {self.width}"

  def of_each(self, devices: int) -> "Layout":
    """Returns the layout on each of `devices` that share the heads."""
    return dataclasses.replace(
      self, heads=self.heads // devices, kv_heads=self.kv_heads // devices
    )

  @property
  def group(self) -> int:
    """Number of query heads per key and value head."""
    return self.heads // self.kv_heads

  @property
  def columns(self) -> int:
    """Number of columns of q, k and v together."""
    return (self.heads + 2 * self.kv_heads) * self.width

  def parts(self, qkv: Float[Array, "*rows columns"]) -> list[Array]:
    """Splits qkv [..., (H + 2 K) d] into q [..., H d], k and v [..., K d]."""
    q, k = self.heads * self.width, self.kv_heads * self.width
    return jnp.split(qkv, [q, q + k], axis=-1)

  def split(
    self, qkv: Float[Array, "B S columns"]
  ) -> tuple[
    Float[Array, "B S H d"], Float[Array, "B S K d"], Float[Array, "B S K d"]
  ]:
    """Splits qkv [B, S, (H + 2 K) d]: q [B, S, H, d], k and v [B, S, K, d]."""
    x = qkv.reshape(*qkv.shape[:2], -1, self.width)
    # The gradient of a split is one concatenation; that of three slices is a
    # sum of three padded arrays, which takes a CPU as long as a product.
    ends = [self.heads, self.heads + self.kv_heads]
    q, k, v = jnp.split(x, ends, axis=2)
    return q, k, v


class Need(NamedTuple):
  """What an architecture requires of attention; static.

  Attributes:
    layout: the layout of the columns of qkv.
    window: how many tokens a token sees to either side; None: its whole text.
    causal: whether a token sees no later ones.
    relative: whether a bias that depends on the distance of two tokens is added
      to their score.
  """

  layout: Layout
  window: int | None = None
  causal: bool = False
  relative: bool = False


class Reach(NamedTuple):
  """How far a token sees in its row; None for the whole text."""

  back: int | None = None
  ahead: int | None = None

  @classmethod
  def of(cls, window: int | None, causal: bool) -> "Reach":
    """Returns at most `window` tokens to either side; if causal, none ahead."""
    return cls(window, 0 if causal else window)

  @property
  def widest(self) -> int | None:
    """The farther of both sides; None if either is not limited."""
    if self.back is None or self.ahead is None:
      return None
    return max(self.back, self.ahead)

  @property
  def suffix(self) -> str:
    """Suffix of a kernel's name, which identifies local layers in profiles."""
    return "" if None in self else "_window"

  @property
  def limited(self) -> bool:
    """Whether some tokens of a text do not see each other."""
    return self != (None, None)

  def sees(
    self, query: int | Array, key: int | Array
  ) -> bool | Bool[Array, "..."]:
    """Returns whether queries at some positions see keys at others.

    Args:
      query: integers, positions of queries in the row.
      key: positions of keys; the two broadcast.
    """
    distance, seen = query - key, True
    if self.back is not None:
      seen = distance <= self.back
    if self.ahead is not None:
      seen &= distance >= -self.ahead
    return seen


@dataclasses.dataclass(frozen=True)
class Call:
  """A layout and reach and how to compute them: static in all kernels.

  Attributes:
    layout: the layout of the columns of qkv.
    reach: which keys a query sees.
    relative: whether a relative bias is added to the scores.
    device: the `jax.Device.device_kind` it runs on.
    blocks: see `nomic_jax.kernels.attention.Backend`.
    forward_only: whether gradients are not needed.
    interpret: as in `pallas_call`.
  """

  layout: Layout
  reach: Reach = Reach()
  relative: bool = False
  device: str = ""
  blocks: tuple[int, int, int, int] | None = None
  forward_only: bool = False
  interpret: Any = False
