# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The encoder: embeddings, a stack of blocks and a head (Flax Linen).

An `Architecture` determines everything. Its layers are grouped into units that
repeat; the parameters of a unit are stacked on a leading axis and scanned, so
the size of a compiled step does not grow with depth.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import cast
from typing import NamedTuple

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
from nomic_jax.model import block
from nomic_jax.model import layers
from nomic_jax.model import relative
from nomic_jax.model import rotary
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.head import Head
from nomic_jax.model.params import Params

# ids, segment_ids, positions and, if not all are 0, types.
Tokens = dict[str, Int[Array, "B S"]]

Policy = Callable[..., bool]  # whether a result is kept; see jax.checkpoint

_POLICIES = jax.checkpoint_policies


def _keep(products: Policy, *names: str) -> Policy:
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


class Embedded(NamedTuple):
  """The result of `Encoder.embed` for B rows.

  Attributes:
    vectors: float32 [B, slots, output_width], or with pooling none
      [B, S, output_width]; not normalized, arbitrary where there is no text.
    router: what layers recorded with `sow` in the collection `block.ROUTER`, a
      tree of arrays [B, layers, ...] per run of layers; () if there are no such
      layers. Each row depends on that row of the batch only, so chunks, packed
      rows and devices do not change it.
  """

  vectors: Float32[Array, "B slots_or_S width"]
  router: PyTree = ()


@dataclasses.dataclass(frozen=True)
class Encoder:
  """An architecture and the way to compute it; pure functions of params.

  Attributes:
    architecture: what to compute.
    dtype: the dtype of activations and matmuls; parameters, norms and softmax
      stay float32.
    attention: how to compute it, or the name of an implementation.
    remat: what the backward pass recomputes within a layer, a name in REMAT:
      none; gathered (sharded parameters are gathered again); full (only the
      input of a layer is saved); attention (only the output of attention is
      saved); dots (matmuls are saved) or weight_dots (only matmuls with
      weights are saved). True and False mean full and none.
    unroll: layers per scan iteration; set it to the number of layers to unroll
      the whole stack.
    dropout: rate after the parts in `architecture.dropout_after`; a residual
      branch is dropped before it is added.
    head_dropout: rate before the last layer of a classifier on top.
    ntk_length: dynamic NTK scales by each text's own length ("text"), or by the
      longest text of the batch ("batch"), as in contrastors.
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
    return self._apply(params, tokens, rng)[0]

  def embed(
    self, params: Params, tokens: Tokens, slots: int, rng: Array | None = None
  ) -> Embedded:
    """Returns one vector per text: slot i of a row is its segment i + 1.

    With pooling none, there is one vector per token. The other arguments are
    those of `apply`.
    """
    hidden, router = self._apply(params, tokens, rng)
    vectors = self.architecture.head.apply(
      params, hidden, tokens["segment_ids"], slots
    )
    return Embedded(vectors, router)

  def _apply(
    self, params: Params, tokens: Tokens, rng: Array | None
  ) -> tuple[Array, PyTree]:
    """Returns hidden states, and the layers' statistics with rows first."""
    hidden, sown = _Trunk(self).apply(
      {"params": params}, tokens, rng, mutable=[block.ROUTER]
    )
    by_row = lambda stacked: jnp.swapaxes(stacked, 0, 1)  # [layers, B, ...]
    return cast(Array, hidden), jax.tree.map(by_row, sown.get(block.ROUTER, ()))

  @property
  def attends(self) -> Backend:
    """The backend that computes attention."""
    a = self.attention
    return Backend(a) if isinstance(a, str) else a


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
        x = block.drop(rate, block.fold(key, count + 1), x)
      keys = jax.vmap(functools.partial(block.fold, key))(
        jnp.arange(1, count + 1)
      )
    x = x.astype(dtype)
    if a.embedding.width:
      x = layers.dense(
        a.width, ("embed", "embed_out"), True, a.fresh(), dtype, "project"
      )(x)
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
    """Returns the sum of the embeddings, float32 [B, S, table_width]."""
    a = self.encoder.architecture
    e = a.embedding
    width, init = a.table_width, a.fresh()
    table = lambda rows, *args: layers.table(rows, width, init, *args)
    x = table(a.vocab_size, "word", "vocab", a.pad_token_id)(tokens["ids"])
    if e.types:
      types = tokens.get("types", jnp.zeros_like(tokens["ids"]))
      # A model may have only one type.
      x += table(e.types, "type")(jnp.minimum(types, e.types - 1))
    if e.positions:
      x += table(e.positions, "position")(_position_rows(a, tokens))
    return layers.norm(e.norm, "norm")(x) if e.norm else x

  def _rows(self, tokens: Tokens, dtype: DTypeLike) -> block.Rows:
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
          ids, angles, dtype, attention.need, bias=bias
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
    self, run: spec.Run, x: Array, rows: block.Rows, keys: Array | None
  ) -> Array:
    """Computes the layers of a run; the body of the scan is one unit."""
    size = len(run.unit)
    body = block.Block if size == 1 else block.Unit
    if self.encoder.remat != "none":
      body = nn.remat(body, prevent_cse=False, policy=REMAT[self.encoder.remat])
    stack = nn.scan(
      body,
      variable_axes={"params": 0, block.ROUTER: 0},
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
