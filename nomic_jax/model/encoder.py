# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The encoder: embeddings, a stack of blocks and a head (Flax Linen).

An `Architecture` determines everything. Its layers are grouped into units that
repeat; the parameters of a unit are stacked on a leading axis and scanned, so
the size of a compiled step does not grow with depth.
"""

import dataclasses
import functools
from typing import Any
from typing import cast

from flax import linen as nn
import jax
from jax import Array
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Float32
from jaxtyping import Int
from jaxtyping import PyTree

from nomic_jax.errors import check_choice
from nomic_jax.kernels.attention import Backend
from nomic_jax.mesh import own_rows
from nomic_jax.model import architecture as spec
from nomic_jax.model import layers
from nomic_jax.model import matmul
from nomic_jax.model import relative
from nomic_jax.model import rotary
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.head import Head
from nomic_jax.model.norm import AddNorm

Params = dict[str, Any]
# ids, segment_ids, positions and, if not all are 0, types.
Tokens = dict[str, Int[Array, "B S"]]

# What attention needs of a batch, for each of the architecture's `attentions`.
Rows = tuple[PyTree, ...]

_POLICIES = jax.checkpoint_policies


def _keep(products: Any, *names: str) -> Any:
  """Saves `products`, and values named in model/matmul.py or by a kernel."""
  return _POLICIES.save_from_both_policies(
    products, _POLICIES.save_only_these_names(*names)
  )


# Name of a rematerialisation -> which results of a layer are kept.
REMAT = {
  "none": _POLICIES.everything_saveable,
  "full": _POLICIES.nothing_saveable,
  "gathered": _POLICIES.save_anything_except_these_names(own_rows.GATHERED),
  "attention": _POLICIES.save_only_these_names("attention"),
  "dots": _keep(_POLICIES.dots_saveable, "product", "attention"),
  "weight_dots": _keep(_POLICIES.dots_with_no_batch_dims_saveable, "product"),
}


@dataclasses.dataclass(frozen=True)
class Encoder:
  """An architecture and the way to compute it; pure functions of params.

  Attributes:
    architecture: what to compute.
    dtype: of activations and matmuls; parameters, norms and softmax stay
      float32.
    attention: how to compute it, or the name of an implementation.
    remat: what the backward pass recomputes within a layer, a name in REMAT:
      none; gathered (sharded parameters are gathered again); full (only the
      input of a layer is saved); attention (only the output of attention is
      saved); dots (matmuls are saved) or weight_dots (only matmuls with
      weights are saved). True and False mean full and none.
    unroll: layers per iteration of a scan; the number of layers unrolls all.
    dropout: rate after the parts in `architecture.dropout_after`; a residual
      branch is dropped before it is added.
    head_dropout: rate before the last layer of a classifier on top.
    ntk_length: dynamic NTK scales by each text's own length ("text"), or by
      the longest of the batch ("batch"), as in the reference.
  """

  architecture: Architecture
  dtype: str = "float32"
  attention: Backend | str = "reference"
  remat: str = "none"
  unroll: int = 1
  dropout: float = 0.0
  head_dropout: float = 0.0
  ntk_length: str = "text"

  def __post_init__(self):
    switch = {"true": "full", "false": "none"}
    remat = switch.get(str(self.remat).lower(), self.remat)  # YAML's true, too
    object.__setattr__(self, "remat", remat)
    for field, known in (("remat", REMAT), ("ntk_length", ("text", "batch"))):
      check_choice(field, getattr(self, field), known)

  def with_pooling(self, pooling: str) -> "Encoder":
    """Returns the same encoder with this pooling and no modules after it."""
    return dataclasses.replace(
      self,
      architecture=dataclasses.replace(self.architecture, head=Head(pooling)),
    )

  def init(self, rng: Array) -> Params:
    """Returns initial parameters, boxed with the logical names of their axes.

    `flax.linen.meta.unbox` gives the plain nested dict of arrays.
    """
    tokens = dict.fromkeys(
      ("ids", "segment_ids", "positions"), jnp.zeros((1, 8), jnp.int32)
    )
    # Parameters do not depend on the attention kernel, which may not run here.
    plain = dataclasses.replace(self, attention="reference")
    a = self.architecture
    trunk = cast(Params, _Trunk(plain).init(rng, tokens)["params"])
    return trunk | a.head.init(rng, a.width, a.initializer_range)

  def apply(
    self, params: Params, tokens: Tokens, rng: Array | None = None
  ) -> Float32[Array, "B S D"]:
    """Returns hidden states, float32 [B, S, D]; arbitrary at padding.

    Args:
      params: the encoder's tree.
      tokens: `ids`, `segment_ids` (0 is padding), `positions` and `types`
        (optional: BERT's token types), [B, S].
      rng: for dropout: one key, or [B] keys, from which each row draws its own
        masks, independent of other rows; None computes without dropout.
    """
    return cast(Array, _Trunk(self).apply({"params": params}, tokens, rng))

  def embed(
    self, params: Params, tokens: Tokens, slots: int, rng: Array | None = None
  ) -> Float32[Array, "B slots_or_S width"]:
    """Returns one vector per text, float32 [B, slots, output_width].

    Vectors are not normalized. Slot i of a row is its segment i + 1; slots
    without a text are arbitrary. With pooling none, there is one vector per
    token: [B, S, output_width].
    """
    hidden = self.apply(params, tokens, rng)
    return self.architecture.head.apply(
      params, hidden, tokens["segment_ids"], slots
    )

  @property
  def attends(self) -> Backend:
    """The backend that computes attention."""
    a = self.attention
    return Backend(a) if isinstance(a, str) else a


def _fold(key: Array, number: int | Array) -> Array:
  """Applies `jax.random.fold_in` to one key, or to each of [B] keys."""
  fold = jax.random.fold_in
  return (
    fold(key, number)
    if not key.ndim
    else jax.vmap(fold, (0, None))(key, number)
  )


def _drop(
  rate: float, key: Array, x: Array, shape: tuple[int, ...] | None = None
) -> Array:
  """Applies dropout; with a key per row, masks are drawn row by row.

  Args:
    rate: share of the elements that become 0.
    key: one key, or a key for each row.
    x: float [...].
    shape: (B, ...), the shape of x with an axis of rows; None: that of x.
  """
  shape = shape or x.shape
  draw = lambda key, shape: jax.random.bernoulli(key, 1 - rate, shape)
  kept = (
    draw(key, shape)
    if not key.ndim
    else jax.vmap(lambda key: draw(key, shape[1:]))(key)
  )
  return jnp.where(kept.reshape(x.shape), x / (1 - rate), 0).astype(x.dtype)


class _Trunk(nn.Module):
  """Embeddings and the stack of blocks."""

  encoder: Encoder

  @nn.compact
  def __call__(self, tokens: Tokens, key: Array | None = None) -> Array:
    a, dtype = self.encoder.architecture, self.encoder.dtype
    ids = tokens["ids"]
    x = self._embed(tokens)
    rate, count = self.encoder.dropout, len(a.layers)
    keys = None  # of each layer
    if key is not None and rate:
      if "embedding" in a.dropout_after:
        x = _drop(rate, _fold(key, count + 1), x)
      keys = jax.vmap(functools.partial(_fold, key))(jnp.arange(1, count + 1))
    x = x.astype(dtype)
    rows = self._rows(tokens, x.dtype)
    # Blocks see tokens as one axis: XLA multiplies plain matrices faster, on
    # CPU almost twice as fast backward as with rows and tokens apart.
    x = x.reshape(-1, a.width)
    for run in a.runs:
      x = self._scan(run, x, rows, keys)
    x = x.reshape(*ids.shape, a.width)
    if a.final_norm:
      x = layers.norm(a.final_norm, "final_norm")(x)
    if a.pooler:
      # Only creates the parameters, for checkpoints and classifiers.
      layers.dense(
        a.width, ("embed", "embed_out"), True, a.fresh(), dtype, "pooler"
      )(x[:, 0])
    return x.astype(jnp.float32)

  def _embed(self, tokens: Tokens) -> Array:
    """Returns the first hidden states, float32 [B, S, D]."""
    a = self.encoder.architecture
    e = a.embedding
    table = lambda rows, *args: layers.table(rows, a.width, a.fresh(), *args)
    x = table(a.vocab_size, "word", "vocab", a.pad_token_id)(tokens["ids"])
    if e.types:
      types = tokens.get("types", jnp.zeros_like(tokens["ids"]))
      # A model may have only one type.
      x += table(e.types, "type")(jnp.minimum(types, e.types - 1))
    if e.positions:
      x += table(e.positions, "position")(_position_rows(a, tokens))
    return layers.norm(e.norm, "norm")(x) if e.norm else x

  def _rows(self, tokens: Tokens, dtype: DTypeLike) -> Rows:
    """Returns what attention needs of a batch, for each of `attentions`."""
    ids, rows = tokens["segment_ids"], []
    for attention in self.encoder.architecture.attentions:
      angles = None
      if attention.rope:
        angles = rotary.tables(
          attention.rope,
          attention.width,
          tokens["positions"],
          ids,
          self.encoder.ntk_length,
        )
      bias = None
      if attention.relative:
        bias = self._bias(attention.relative, attention.heads, ids.shape[1])
      rows.append(
        self.encoder.attends.prepare(
          ids, angles, dtype, *attention.need, bias=bias
        )
      )
    return tuple(rows)

  def _bias(self, r: spec.Relative, heads: int, length: int) -> Array:
    """Returns the bias of scores by distance, float32 [H, 2 length - 1]."""
    buckets = relative.buckets(r, length)
    init = self.encoder.architecture.fresh()
    table = layers.table(r.buckets, heads, init, "relative")
    return table(buckets).T

  def _scan(
    self, run: spec.Run, x: Array, rows: Rows, keys: Array | None
  ) -> Array:
    """Computes the layers of a run; the body of the scan is one unit."""
    size = len(run.unit)
    body = _Block if size == 1 else _Unit
    if self.encoder.remat != "none":
      body = nn.remat(body, prevent_cse=False, policy=REMAT[self.encoder.remat])
    stack = nn.scan(
      body,
      variable_axes={"params": 0},
      split_rngs={"params": True},
      in_axes=(nn.broadcast, 0),  # pyright: ignore[reportArgumentType]
      length=run.repeats,
      unroll=max(self.encoder.unroll // size, 1),
      metadata_params={nn.PARTITION_NAME: "layers"},
    )
    if keys is not None:
      keys = keys[run.start : run.start + run.repeats * size]
      keys = keys.reshape(run.repeats, size, *keys.shape[1:])
    return stack(self.encoder, run.unit, name=run.name)(x, rows, keys)[0]


def _position_rows(a: Architecture, tokens: Tokens) -> Array:
  """Returns each token's row of the table of positions, int32 [B, S]."""
  e, places = a.embedding, tokens["positions"]
  if not e.skips_padding:
    return places + e.first_position
  skipped = (tokens["ids"] == a.pad_token_id) & (tokens["segment_ids"] > 0)
  before = jnp.cumsum(skipped, 1) - skipped  # in the row
  first = jnp.arange(places.shape[1]) - places  # token of the text
  before -= jnp.take_along_axis(before, jnp.maximum(first, 0), 1)  # in the text
  return jnp.where(skipped, 0, places - before + 1) + e.first_position - 1


class _Unit(nn.Module):
  """Several blocks in order."""

  encoder: Encoder
  layers: tuple[spec.Layer, ...]

  @nn.compact
  def __call__(
    self, x: Array, rows: Rows, keys: Array | None
  ) -> tuple[Array, None]:
    for i, layer in enumerate(self.layers):
      key = None if keys is None else keys[i : i + 1]
      block = _Block(self.encoder, (layer,), name=f"layer_{i}")
      x, _ = block(x, rows, key)
    return x, None


class _Block(nn.Module):
  """One transformer block, specified by its `Layer`.

  Attributes:
    encoder: how to compute it.
    layers: the single layer.
  """

  encoder: Encoder
  layers: tuple[spec.Layer, ...]

  @nn.compact
  def __call__(
    self, x: Array, rows: Rows, keys: Array | None
  ) -> tuple[Array, None]:
    (layer,) = self.layers
    a = self.encoder.architecture
    own = rows[a.attentions.index(layer.attention)]
    count = jax.tree.leaves(own)[0].shape[0]

    def drop(y: Array, name: str, number: int) -> Array:
      if keys is None or name not in a.dropout_after:
        return y
      shape = count, y.shape[0] // count, y.shape[-1]
      return _drop(self.encoder.dropout, _fold(keys[0], number), y, shape)

    parts = {
      "attention": lambda y: self._attention(
        layer.attention, y.reshape(count, -1, y.shape[-1]), own
      ),
      "mlp": lambda y: self._mlp(layer.mlp, y),
    }
    for number, (name, part) in enumerate(parts.items(), 1):
      normed = AddNorm(**dataclasses.asdict(layer.norm), name=f"norm{number}")
      if layer.order == "post":
        x = normed(x, drop(part(x), name, number))
      elif name == "attention" and not layer.attention_norm:
        x += drop(part(x), name, number)
      else:
        x += drop(part(normed(x)), name, number)
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
    y = self.encoder.attends.attend(qkv, rows, *a.need)
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
