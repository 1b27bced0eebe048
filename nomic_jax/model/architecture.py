# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What a model computes, as data: its layers and everything around them.

An `Architecture` determines parameters and output, and is stored with the
weights. How it is computed (dtype, attention kernel, rematerialization) belongs
to `Encoder`, since that depends on the machine. All classes are frozen and
hashable, so that equal layers are found by comparison.
"""

from collections.abc import Callable
import dataclasses
import functools
import math
from typing import Any

from nomic_jax.errors import UserError
from nomic_jax.kernels.layout import Layout
from nomic_jax.kernels.layout import Need
from nomic_jax.model import layers as layers_lib
from nomic_jax.model.head import Head

ORDERS = ("post", "pre")
DROPOUTS = ("embedding", "attention", "mlp")


def _unseen(default: Any) -> Any:
  """Returns a field that comparisons of architectures ignore."""
  return dataclasses.field(default=default, repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class Norm:
  """A LayerNorm over the width, or an RMSNorm.

  Attributes:
    eps: added to the variance.
    kind: "layer", or "rms": neither centred nor shifted.
    bias: whether a LayerNorm has a bias.
  """

  eps: float = 1e-12
  kind: str = "layer"
  bias: bool = True


@dataclasses.dataclass(frozen=True)
class Rope:
  """Rotary position embedding (Su et al. 2021).

  Attributes:
    base: the base of the geometric series of wavelengths (theta).
    fraction: share of a head's dimensions that are rotated.
    interleaved: whether pairs are (0, 1), (2, 3), ... instead of (i, i + d/2).
    factor: the factor of dynamic NTK scaling beyond `trained_length`; None: no
      scaling.
    trained_length: tokens of the longest text trained on.
  """

  base: float = 1000.0
  fraction: float = 1.0
  interleaved: bool = False
  factor: float | None = None
  trained_length: int = 2048


@dataclasses.dataclass(frozen=True)
class Relative:
  """A relative position bias of the scores (Raffel et al. 2020), as in MPNet.

  All layers share one table with a value for each bucket and head.

  Attributes:
    buckets: number of buckets, one half for tokens before the query. Small
      distances have their own; larger ones share buckets logarithmically.
    furthest: the distance at and beyond which tokens share the last bucket.
  """

  buckets: int = 32
  furthest: int = 128


@dataclasses.dataclass(frozen=True)
class Attention:
  """Softmax attention within each text.

  Attributes:
    heads: number of query heads.
    kv_heads: number of key and value heads, a divisor of `heads`.
    width: dimensions of a head.
    window: number of tokens to either side that a token sees; None: all.
    causal: whether later tokens are masked.
    rope: rotary embedding of queries and keys; None: none.
    relative: bias added to the scores; None: no bias.
    qk_norm: norm of each head's queries and keys, before rotation; None: none.
    bias: whether the projections have a bias.
  """

  heads: int
  kv_heads: int
  width: int
  window: int | None = None
  causal: bool = False
  rope: Rope | None = None
  relative: Relative | None = None
  qk_norm: Norm | None = None
  bias: bool = False

  def __post_init__(self):
    Layout(self.heads, self.kv_heads, self.width)  # raises if inconsistent
    if self.rope and self.width % 2:
      raise UserError(
        f"heads of width {self.width} cannot be rotated; expected an even width"
      )

  @property
  def layout(self) -> Layout:
    """The layout of queries, keys and values in a projection."""
    return Layout(self.heads, self.kv_heads, self.width)

  @property
  def need(self) -> Need:
    """What it needs of an implementation."""
    return Need(
      self.layout, self.window, self.causal, self.relative is not None
    )


@dataclasses.dataclass(frozen=True)
class MLP:
  """down(activation(up(x))), or down(up(x) * activation(gate(x))) if gated."""

  width: int
  activation: str
  gated: bool = False
  in_bias: bool = False
  out_bias: bool = False


@dataclasses.dataclass(frozen=True)
class Layer:
  """Attention and an MLP, each with a norm and a residual connection.

  Attributes:
    attention, mlp, norm: the parts; both norms have the same settings.
    order: "post": x = norm(x + f(x)); "pre": x = x + f(norm(x)).
    attention_norm: whether a "pre" layer normalizes the input of attention.
      ModernBERT's first layer does not: its input is normalized embeddings.
  """

  attention: Attention
  mlp: MLP
  norm: Norm
  order: str = "post"
  attention_norm: bool = True


@dataclasses.dataclass(frozen=True)
class Embedding:
  """The normalized sum of a token's embeddings.

  Attributes:
    types: rows of the token-type table; 0: no such table.
    positions: rows of the table of learned positions; 0: no such table.
    first_position: row of a text's first token.
    skips_padding: whether padding tokens inside a text take no position and
      use the row before the first one, as in fairseq and RoBERTa.
    norm: the normalization of the sum; None: no norm.
    width: the width of the tables and the norm, from which a dense layer
      (`project`) maps to that of the hidden states, as in ALBERT and ELECTRA;
      None: the width of the hidden states, without such a layer. Ask
      `Architecture.table_width`.
  """

  types: int = 0
  positions: int = 0
  first_position: int = 0
  skips_padding: bool = False
  norm: Norm | None = Norm()
  width: int | None = None


@dataclasses.dataclass(frozen=True)
class Prediction:
  """The masked-language-model head: norm(activation(dense(x))) · words.

  The dense layer maps to the width of the word embedding.

  Attributes:
    activation: a name in `layers.ACTIVATIONS`.
    bias: whether the logits have one.
    norm: before the product with the word embedding.
    dense_bias: whether the dense layer has one; None: the same as `bias`.
  """

  activation: str
  bias: bool
  norm: Norm
  dense_bias: bool | None = None

  def __post_init__(self):
    if self.dense_bias is None:
      object.__setattr__(self, "dense_bias", self.bias)


@dataclasses.dataclass(frozen=True)
class Classifier:
  """The sequence classifier: dense(norm(activation(dense(pooled)))).

  Attributes:
    activation: a name in `layers.ACTIVATIONS`.
    pooler: whether the first dense layer is BERT's pretrained pooler.
    drops_input: whether dropout is also applied before that layer.
    pooling: the pooling of the hidden states, a name in `pooling.POOLINGS`.
    bias: whether the first dense layer has a bias; the last always has.
    norm: applied after the activation; None: no norm.
    mlm_head: whether the first dense layer and the norm are those of the
      pretrained masked-language-model head.
  """

  activation: str = "tanh"
  pooler: bool = True
  drops_input: bool = False
  pooling: str = "cls"
  bias: bool = True
  norm: Norm | None = None
  mlm_head: bool = False


@dataclasses.dataclass(frozen=True)
class Architecture:
  """A text encoder.

  Attributes:
    vocab_size: rows of the word embedding.
    width: the width of the hidden states.
    embedding: maps tokens to the first hidden states.
    layers: the blocks, in order.
    prediction: its masked-language-model head.
    classifier: its sequence classifier.
    final_norm: the normalization of the last hidden states; None: no norm.
    max_length: maximum number of tokens of a text.
    pad_token_id: id of the padding token.
    initializer_range: standard deviation of initial matrices and tables.
    initializer_cutoff: number of standard deviations at which the normal
      distribution of initial values is truncated; None: not truncated.
    scaled_outputs: whether initial matrices that write to the residual stream
      are smaller by sqrt(2 x layers) (Megatron-LM).
    pooler: whether the weights include BERT's tanh(dense(first token)), which
      embeddings do not use.
    head: maps hidden states to vectors.
    dropout, head_dropout: the rates in the model's files, which training runs
      with compute.dropout=-1 use.
    dropout_after: the parts that dropout follows if a training run uses it.
    family: `name` of the family that read its files.
  """

  vocab_size: int
  width: int
  embedding: Embedding
  layers: tuple[Layer, ...]
  prediction: Prediction
  classifier: Classifier = Classifier()
  final_norm: Norm | None = None
  max_length: int = 8192
  pad_token_id: int = 0
  initializer_range: float = 0.02
  initializer_cutoff: float | None = None
  scaled_outputs: bool = False
  pooler: bool = False
  head: Head = Head()
  dropout: float = _unseen(0.0)
  head_dropout: float = _unseen(0.0)
  dropout_after: tuple[str, ...] = _unseen(DROPOUTS)
  family: str = _unseen("")

  @property
  def attentions(self) -> tuple[Attention, ...]:
    """The different attentions, in order of appearance."""
    return tuple(dict.fromkeys(layer.attention for layer in self.layers))

  @property
  def needs(self) -> tuple[Need, ...]:
    """The different `Attention.need`s, in order of appearance."""
    return tuple(dict.fromkeys(a.need for a in self.attentions))

  @property
  def rotary(self) -> bool:
    """Whether no position table limits the length of a text."""
    return not self.embedding.positions

  @property
  def table_width(self) -> int:
    """The width of the word embedding and the other tables."""
    return self.embedding.width or self.width

  @property
  def rope(self) -> Rope | None:
    """The `Rope` of the first layer; None without rotary positions."""
    return self.layers[0].attention.rope

  @property
  def output_width(self) -> int:
    """Number of dimensions of an embedding."""
    return self.head.output_width(self.width)

  @property
  def runs(self) -> tuple["Run", ...]:
    """The layers in runs of repeated units; see `runs`."""
    return runs(self.layers)

  def fresh(self, output: bool = False) -> layers_lib.Initializer:
    """Returns the initializer of matrices and tables.

    Args:
      output: whether a matrix writes to the residual stream.
    """
    stddev = self.initializer_range
    if output and self.scaled_outputs:
      stddev /= math.sqrt(2 * len(self.layers))
    return layers_lib.normal(stddev, self.initializer_cutoff)

  def each_layer(self, change: Callable[[Layer], Layer]) -> "Architecture":
    """Returns a copy with `change` applied to every layer."""
    return dataclasses.replace(self, layers=tuple(map(change, self.layers)))

  def with_rope(
    self, *, local: bool = False, **changes: object
  ) -> "Architecture":
    """Returns a copy with these fields of the `Rope` of some layers replaced.

    Args:
      local: True changes the layers with a window, False the others. A window
        is never wider than in training, so long texts affect only the others.
      **changes: fields of a `Rope`.
    """

    def change(layer: Layer) -> Layer:
      a = layer.attention
      if a.rope is None or local != (a.window is not None):
        return layer
      return dataclasses.replace(
        layer,
        attention=dataclasses.replace(
          a, rope=dataclasses.replace(a.rope, **changes)
        ),
      )

    return self.each_layer(change)

  def with_head(self, **changes: object) -> "Architecture":
    """Returns a copy with these fields of the head replaced."""
    return dataclasses.replace(
      self, head=dataclasses.replace(self.head, **changes)
    )


@dataclasses.dataclass(frozen=True)
class Run:
  """Consecutive layers that repeat a unit; computed as one scan.

  Attributes:
    name: the name of its parameters in the tree, "layers" if it is the only
      run.
    unit: the layers of a unit, in order.
    repeats: number of units.
    start: index of its first layer in the architecture.
  """

  name: str
  unit: tuple[Layer, ...]
  repeats: int
  start: int

  def path(self, i: int) -> str:
    """Returns the path of layer i of the unit in the tree."""
    return self.name if len(self.unit) == 1 else f"{self.name}/layer_{i}"


@functools.lru_cache
def runs(layers: tuple[Layer, ...]) -> tuple[Run, ...]:
  """Groups layers into units that repeat, so that few are compiled.

  At each position, the unit is chosen whose repetition covers most layers, the
  shortest of equally good ones; layers that do not repeat are units of one. For
  example, one global layer, then (local, local, global) seven times.
  """
  found, start = [], 0
  while start < len(layers):
    unit, repeats = 1, 1
    for size in range(1, (len(layers) - start) // 2 + 1):
      count = 1
      while layers[start + count * size :][:size] == layers[start:][:size]:
        count += 1
      if count > 1 and count * size > unit * repeats:
        unit, repeats = size, count
    found.append((layers[start : start + unit], repeats, start))
    start += unit * repeats
  names = (
    ["layers"]
    if len(found) == 1
    else [f"layers_{i}" for i in range(len(found))]
  )
  return tuple(Run(n, *run) for n, run in zip(names, found, strict=True))
