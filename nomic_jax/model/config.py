# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What an encoder is: the numbers that fix its parameters and its output."""

import dataclasses

from nomic_jax.errors import UserError

GATED = ("swiglu", "geglu", "glu")


def _unseen(default: float) -> float:
  """A field that does not tell one architecture from another."""
  return dataclasses.field(default=default, repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class OutputLayer:
  """A layer after pooling; see `output_layers`.

  Attributes:
    kind: dense, norm (a LayerNorm with scale and bias) or normalize (to
      length 1, without parameters).
    width: of what it returns.
    bias: whether a dense layer adds one.
    activation: of a dense layer, a name in `output_layers.ACTIVATIONS`.
  """

  kind: str
  width: int
  bias: bool = True
  activation: str = "identity"


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
  """The architecture of a NomicBERT or classic BERT encoder.

  Everything here travels with the weights (a model directory, a work
  directory). How to compute it (dtype, attention kernel, rematerialisation)
  belongs to `Encoder`, since it changes from machine to machine.

  Defaults are nomic-bert-2048's (Nomic Embed, section 3; its config.json).
  """

  vocab_size: int = 30528
  width: int = 768
  layers: int = 12
  heads: int = 12
  mlp_width: int = 3072
  max_length: int = 8192  # tokens accepted at inference
  type_vocab_size: int = 2  # 0: no token-type table
  position: str = "rotary"  # or "learned": one table row per position
  rotary_base: float = 1000.0
  rotary_fraction: float = 1.0  # share of a head's dimensions that rotate
  rotary_interleaved: bool = False  # pairs (0,1),(2,3) instead of halves
  rotary_factor: float | None = None  # dynamic NTK beyond trained_length
  trained_length: int = 2048
  activation: str = "swiglu"  # swiglu, geglu, glu: gated; gelu: plain
  qkv_bias: bool = False  # also of the attention output projection
  mlp_in_bias: bool = False  # fc1, or fc11 and fc12
  mlp_out_bias: bool = False  # fc2
  norm_eps: float = 1e-12
  initializer_range: float = 0.02
  pad_token_id: int = 0
  pooling: str = "mean"  # mean, cls, last, or none: a vector per token
  pooled_norm: bool = False  # v1.5: LayerNorm, no affine, of the pooled vector
  projection: int = 0  # width of a linear layer after those; 0: no layer
  pooler: bool = False  # BERT's tanh(dense(first token)) weights
  # What the model's files say of dropout, for trainings that ask for it with
  # compute.dropout=-1; not part of what the model computes.
  dropout: float = _unseen(0.0)
  head_dropout: float = _unseen(0.0)
  output_layers: tuple[OutputLayer, ...] = ()  # further ones, after those

  def __post_init__(self):
    for field in dataclasses.fields(self):  # None in a config: the default
      if getattr(self, field.name) is None:
        object.__setattr__(self, field.name, field.default)
    if not self.rotary_factor:  # 0 says none, too
      object.__setattr__(self, "rotary_factor", None)
    layers = tuple(  # from JSON they come as dicts
        x if isinstance(x, OutputLayer) else OutputLayer(**x)
        for x in self.output_layers)
    object.__setattr__(self, "output_layers", layers)
    odd = self.position == "rotary" and self.head_width % 2
    if self.width % self.heads or odd:
      raise UserError(
          f"config.encoder: a width of {self.width} does not divide into "
          f"{self.heads} heads{' of even width' if odd else ''}; change width "
          "or heads"
      )

  @property
  def gated(self) -> bool:
    return self.activation in GATED

  @property
  def output_width(self) -> int:
    """Dimensions of an embedding."""
    widths = [layer.width for layer in self.output_layers]
    return widths[-1] if widths else self.projection or self.width

  @property
  def head_width(self) -> int:
    return self.width // self.heads


def output_name(i: int) -> str:
  """Of the parameters of output layer `i` in the encoder's tree."""
  return f"output_{i}"
