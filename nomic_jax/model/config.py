# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The keys of config.encoder, and the architecture they determine."""

import dataclasses
import functools
from typing import Any

from nomic_jax.errors import UserError
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.architecture import Attention
from nomic_jax.model.architecture import Embedding
from nomic_jax.model.architecture import Layer
from nomic_jax.model.architecture import MLP
from nomic_jax.model.architecture import Norm
from nomic_jax.model.architecture import Prediction
from nomic_jax.model.architecture import Rope
from nomic_jax.model.head import Head
from nomic_jax.model.head import Module

# Gated activations -> the gate's function.
GATED = {"swiglu": "silu", "geglu": "gelu", "glu": "sigmoid"}


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
  """The parameters of a NomicBERT or classic BERT encoder.

  These are the keys of config.encoder; they determine `architecture`. The
  defaults are those of nomic-bert-2048 (Nomic Embed, section 3; its
  config.json).
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
  pooling: str = "mean"  # a name in `pooling.POOLINGS`
  pooled_norm: bool = False  # v1.5: LayerNorm, no affine, of the pooled vector
  projection: int = 0  # width of a linear layer after pooled_norm; 0: no layer
  pooler: bool = False  # BERT's tanh(dense(first token)) weights
  # For training runs with compute.dropout=-1; not part of the computation.
  dropout: float = 0.0
  head_dropout: float = 0.0
  output_layers: tuple[Module, ...] = ()  # further layers, after projection

  def __post_init__(self):
    for field in dataclasses.fields(self):  # None in a config: the default
      if getattr(self, field.name) is None:
        object.__setattr__(self, field.name, field.default)
    if not self.rotary_factor:  # 0 means none, too
      object.__setattr__(self, "rotary_factor", None)
    given: tuple[Any, ...] = self.output_layers  # dicts if read from JSON
    layers = tuple(x if isinstance(x, Module) else Module(**x) for x in given)
    object.__setattr__(self, "output_layers", layers)
    odd = self.position == "rotary" and self.width // self.heads % 2
    if self.width % self.heads or odd:
      raise UserError(
        f"a width of {self.width} does not divide into "
        f"{self.heads} heads{' of even width' if odd else ''}; change width "
        "or heads"
      )

  @functools.cached_property
  def architecture(self) -> Architecture:
    """Returns the architecture that these keys determine."""
    norm = Norm(self.norm_eps)
    rope = Rope(
      self.rotary_base,
      self.rotary_fraction,
      self.rotary_interleaved,
      self.rotary_factor,
      self.trained_length,
    )
    rotary = self.position == "rotary"
    activation = GATED.get(self.activation, self.activation)
    layer = Layer(
      Attention(
        heads=self.heads,
        kv_heads=self.heads,
        width=self.width // self.heads,
        rope=rope if rotary else None,
        bias=self.qkv_bias,
      ),
      MLP(
        self.mlp_width,
        activation,
        self.activation in GATED,
        self.mlp_in_bias,
        self.mlp_out_bias,
      ),
      norm,
    )
    modules = self.output_layers
    if self.projection:
      modules = (Module("dense", self.projection), *modules)
    if self.pooled_norm:
      modules = (Module("norm", self.width, affine=False), *modules)
    return Architecture(
      vocab_size=self.vocab_size,
      width=self.width,
      embedding=Embedding(
        self.type_vocab_size, 0 if rotary else self.max_length, norm=norm
      ),
      layers=(layer,) * self.layers,
      # The head's activation is the encoder's: SiLU for swiglu, GELU for the
      # other gated ones.
      prediction=Prediction(
        "gelu" if activation == "sigmoid" else activation,
        self.mlp_in_bias,
        norm,
      ),
      max_length=self.max_length,
      pad_token_id=self.pad_token_id,
      initializer_range=self.initializer_range,
      pooler=self.pooler,
      head=Head(self.pooling, modules),
      dropout=self.dropout,
      head_dropout=self.head_dropout,
    )
