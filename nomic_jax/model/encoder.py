# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The encoder: NomicBERT, and classic BERT, from one config (linen).

Post-norm blocks: x = LN1(x + Attention(x)); x = LN2(x + MLP(x)), without a
final norm (Nomic Embed, section 3). Layers are stacked on a leading axis and
scanned, so that a compiled step does not grow with depth.
"""

import dataclasses
import functools
from typing import Any

from flax import linen as nn
from flax.linen import meta
import jax
from jax import Array
import jax.numpy as jnp

from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.kernels.attention import Backend
from nomic_jax.kernels.layout import Layout
from nomic_jax.mesh import partition
from nomic_jax.model import matmul
from nomic_jax.model import output_layers
from nomic_jax.model import pooling
from nomic_jax.model import rotary
from nomic_jax.model.config import EncoderConfig
from nomic_jax.model.config import output_name
from nomic_jax.model.norm import AddNorm

Params = dict[str, Any]
# ids, segment_ids, positions and, where not all are 0, types: int32 [B, S]
Tokens = dict[str, Array]


@functools.partial(jax.checkpoint, prevent_cse=False)
def _gelu(x: Array) -> Array:
  """The exact GELU, in float32, by erf; the backward pass keeps x alone.

  jax.nn's is by erfc, which takes longer, and rounds every step to the dtype.
  """
  y = x.astype(jnp.float32)
  return (y * (0.5 + 0.5 * jax.lax.erf(y * 0.5**0.5))).astype(x.dtype)


ACTIVATIONS = {
    "swiglu": jax.nn.silu,
    "geglu": _gelu,
    "glu": jax.nn.sigmoid,
    "gelu": _gelu,
    "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
}
_POLICIES = jax.checkpoint_policies


def _keep(products: Any, *names: str) -> Any:
  """Keeps `products`, and what model/matmul.py or a kernel gave a name."""
  return _POLICIES.save_from_both_policies(
      products, _POLICIES.save_only_these_names(*names))


# Name of a rematerialisation -> which results of a layer are kept.
REMAT = {
    "none": _POLICIES.everything_saveable,
    "full": _POLICIES.nothing_saveable,
    "gathered": _POLICIES.save_anything_except_these_names(
        partition.GATHERED),
    "attention": _POLICIES.save_only_these_names("attention"),
    "dots": _keep(_POLICIES.dots_saveable, "product", "attention"),
    "weight_dots": _keep(
        _POLICIES.dots_with_no_batch_dims_saveable, "product"),
}


@dataclasses.dataclass(frozen=True)
class Encoder:
  """An architecture and the way to compute it; pure functions of params.

  Attributes:
    config: the architecture.
    dtype: of activations and matmuls; parameters, norms and softmax stay
      float32.
    attention: how to compute it, or the name of an implementation.
    remat: what of a layer the backward pass recomputes, a name in REMAT:
      none, gathered (parameters that lie over several devices), full (only a
      layer's input is kept), attention (and what comes of attention), dots
      (matmuls are kept) or weight_dots (those with weights are kept, attention
      is not). True and False are full and none.
    unroll: layers per iteration of the scan; `config.layers` unrolls all.
    dropout: after the embeddings and on each residual branch.
    head_dropout: of a classifier on top, before its last layer.
    ntk_length: "text" scales dynamic NTK by a text's own length, "batch" by
      the longest of the batch, as the reference does.
  """

  config: EncoderConfig
  dtype: str = "float32"
  attention: Backend | str = "reference"
  remat: str | bool = "none"
  unroll: int = 1
  dropout: float = 0.0
  head_dropout: float = 0.0
  ntk_length: str = "text"

  def __post_init__(self):
    switch = {"true": "full", "false": "none"}
    remat = switch.get(str(self.remat).lower(), self.remat)
    object.__setattr__(self, "remat", remat)
    for field, known in (("remat", REMAT), ("ntk_length", ("text", "batch"))):
      value = getattr(self, field)
      if value not in known:
        raise UserError(
            f"config.compute.{field}: '{value}' is unknown; expected one of "
            f"{', '.join(known)}.{nearest(value, known)}"
        )

  def with_pooling(self, pooling: str) -> "Encoder":
    """The same encoder, pooled so and neither normed nor projected."""
    return dataclasses.replace(self, config=dataclasses.replace(
        self.config, pooling=pooling, pooled_norm=False, projection=0,
        output_layers=()))

  def init(self, rng: Array) -> Params:
    """Fresh parameters, each boxed with the logical names of its axes.

    `flax.linen.meta.unbox` gives the plain nested dict of arrays.
    """
    tokens = dict.fromkeys(
        ("ids", "segment_ids", "positions"), jnp.zeros((1, 8), jnp.int32)
    )
    # Kernels have nothing to say about parameters, and their devices.
    plain = dataclasses.replace(self, attention="reference")
    return _Trunk(plain).init(rng, tokens)["params"]

  def apply(
      self, params: Params, tokens: Tokens, rng: Array | None = None
  ) -> Array:
    """Hidden states, float32 [B, S, D]; arbitrary at padded positions.

    Args:
      params: the encoder's tree.
      tokens: `ids`, `segment_ids` (0 is padding), `positions` and `types`
        (optional: BERT's token types), [B, S].
      rng: for dropout: a key for all rows, or [B] of them, from which each
        row draws its own masks, whatever rows are beside it; None computes
        without dropout.
    """
    return _Trunk(self).apply({"params": params}, tokens, rng)

  def embed(
      self, params: Params, tokens: Tokens, slots: int,
      rng: Array | None = None,
  ) -> Array:
    """One vector per text, not normalised: float32 [B, slots, output_width].

    Slot i of a row is its segment i + 1; slots without a text mean nothing.
    With `config.pooling` none, one vector per token: [B, S, output_width].
    """
    hidden = self.apply(params, tokens, rng)
    pooled = pooling.pool(self.config, hidden, tokens["segment_ids"], slots)
    if self.config.projection:
      layer = meta.unbox(params["projection"])
      pooled = layer["bias"] + jnp.einsum(
          "bsd,dp->bsp", pooled, layer["kernel"],
          precision=jax.lax.Precision.HIGHEST,
      )
    return output_layers.apply(self.config.output_layers, params, pooled)

  @property
  def attends(self) -> Backend:
    """How attention is computed."""
    a = self.attention
    return Backend(a) if isinstance(a, str) else a


def layout(c: EncoderConfig) -> Layout:
  """Of the fused projection of q, k and v."""
  return Layout(c.heads, c.heads, c.head_width)


def _fold(key: Array, number: int | Array) -> Array:
  """`jax.random.fold_in` of one key, or of each of [B]."""
  fold = jax.random.fold_in
  return fold(key, number) if not key.ndim else jax.vmap(
      fold, (0, None))(key, number)


def _drop(rate: float, key: Array, x: Array, shape: Any = None) -> Array:
  """Dropout; only its mask is drawn row by row, if there is a key for each.

  Args:
    rate: share of the elements that become 0.
    key: one key, or a key for each row.
    x: float [...].
    shape: (B, ...) of x with the rows apart; None: it is that.
  """
  shape = shape or x.shape
  draw = lambda key, shape: jax.random.bernoulli(key, 1 - rate, shape)
  kept = draw(key, shape) if not key.ndim else jax.vmap(
      lambda key: draw(key, shape[1:]))(key)
  return jnp.where(kept.reshape(x.shape), x / (1 - rate), 0).astype(x.dtype)


class _Trunk(nn.Module):
  """Embeddings and the stack of blocks."""

  encoder: Encoder

  @nn.compact
  def __call__(self, tokens: Tokens, key: Array | None = None) -> Array:
    c, dtype = self.encoder.config, self.encoder.dtype
    ids, segment_ids = tokens["ids"], tokens["segment_ids"]
    positions = tokens["positions"]
    table = functools.partial(_table, c)
    x = table(c.vocab_size, "word", "vocab", c.pad_token_id)(ids)
    if c.type_vocab_size:
      types = tokens.get("types", jnp.zeros_like(ids))
      last = c.type_vocab_size - 1  # a model may know but one
      x += table(c.type_vocab_size, "type")(jnp.minimum(types, last))
    angles = None
    if c.position == "learned":
      x += table(c.max_length, "position")(positions)
    else:
      angles = rotary.tables(
          c, positions, segment_ids, self.encoder.ntk_length)
    rate = self.encoder.dropout
    x = norm(c, "norm")(x)
    keys = None  # of each layer
    if key is not None and rate:
      x = _drop(rate, _fold(key, c.layers + 1), x)
      keys = jax.vmap(functools.partial(_fold, key))(
          jnp.arange(1, c.layers + 1))
    x = x.astype(dtype)
    rows = self.encoder.attends.prepare(
        segment_ids, angles, x.dtype, layout(c))

    block = _Block
    if self.encoder.remat != "none":
      block = nn.remat(
          block, prevent_cse=False, policy=REMAT[self.encoder.remat])
    stack = nn.scan(
        block,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=(nn.broadcast, 0),
        length=c.layers,
        unroll=self.encoder.unroll,
        metadata_params={nn.PARTITION_NAME: "layers"},
    )
    # Blocks see tokens as one axis: XLA multiplies plain matrices faster, on
    # CPU almost twice as fast backward as with rows and tokens apart.
    x, _ = stack(self.encoder, name="layers")(
        x.reshape(-1, c.width), rows, keys
    )
    x = x.reshape(*ids.shape, c.width)
    if c.pooler:
      # Held for checkpoints and classification; embeddings do not use it.
      dense(c, c.width, ("embed", "embed_out"), True, dtype, "pooler")(
          x[:, 0]
      )
    if c.projection:  # applied by `embed`, to what is pooled
      dense(c, c.projection, ("embed", "projected"), True, dtype,
            "projection")(x[:, 0])
    y = jnp.zeros((1, c.projection or c.width), dtype)  # for shapes alone
    for i, layer in enumerate(c.output_layers):
      if layer.kind == "dense":
        y = dense(c, layer.width, ("embed", "projected"), layer.bias, dtype,
                  output_name(i))(y)
      elif layer.kind == "norm":
        y = norm(c, output_name(i))(y)
    return x.astype(jnp.float32)


class _Block(nn.Module):
  """One post-norm transformer block: the body of the scan."""

  encoder: Encoder

  @nn.compact
  def __call__(self, x: Array, rows: Any, key: Array | None) -> tuple:
    c, dtype = self.encoder.config, self.encoder.dtype
    count = jax.tree.leaves(rows)[0].shape[0]

    def drop(y: Array, number: int) -> Array:
      if key is None:
        return y
      shape = count, y.shape[0] // count, c.width
      return _drop(self.encoder.dropout, _fold(key, number), y, shape)

    linear = lambda features, axes, bias, name: dense(
        c, features, axes, bias, dtype, name
    )

    y = linear(3 * c.width, ("embed", "heads"), c.qkv_bias, "qkv")(x)
    y = y.reshape(count, -1, 3 * c.width)
    if c.position == "rotary":
      y = rotary.pairs_apart(c, y)
    y = self.encoder.attends.attend(y, rows, layout(c)).reshape(x.shape)
    y = linear(c.width, ("heads", "embed"), c.qkv_bias, "out")(y)
    x = AddNorm(c.norm_eps, name="norm1")(x, drop(y, 1))

    act = ACTIVATIONS[c.activation]
    y = linear(c.mlp_width, ("embed", "mlp"), c.mlp_in_bias, "up")(x)
    if c.gated:
      y *= act(
          linear(c.mlp_width, ("embed", "mlp"), c.mlp_in_bias, "gate")(x)
      )
    else:
      y = act(y)
    y = linear(c.width, ("mlp", "embed"), c.mlp_out_bias, "down")(y)
    return AddNorm(c.norm_eps, name="norm2")(x, drop(y, 2)), None


def _table(
    c: EncoderConfig, rows: int, name: str, axis: str = "rows",
    zero_row: int | None = None,
) -> nn.Embed:
  def init(rng, shape, dtype):
    values = c.initializer_range * jax.random.normal(rng, shape, dtype)
    return values if zero_row is None else values.at[zero_row].set(0)

  init = nn.with_logical_partitioning(init, (axis, "embed"))
  return nn.Embed(rows, c.width, embedding_init=init, name=name)


def dense(
    c: EncoderConfig, features: int, axes: tuple[str, str], bias: bool,
    dtype: str, name: str,
) -> matmul.Linear:
  """A linear layer with BERT's initialisation and named axes."""
  init = nn.initializers.normal(c.initializer_range)
  zeros = nn.with_logical_partitioning(nn.initializers.zeros, axes[1:])
  return matmul.Linear(
      features, dtype, nn.with_logical_partitioning(init, axes),
      zeros if bias else None, name=name,
  )


def norm(c: EncoderConfig, name: str) -> nn.LayerNorm:
  """A float32 LayerNorm with scale and bias."""
  one = nn.with_logical_partitioning(nn.initializers.ones, ("embed",))
  zero = nn.with_logical_partitioning(nn.initializers.zeros, ("embed",))
  # The two-pass variance is what PyTorch computes; the fast one loses digits.
  return nn.LayerNorm(
      epsilon=c.norm_eps, dtype=jnp.float32, use_fast_variance=False,
      scale_init=one, bias_init=zero, name=name,
  )
