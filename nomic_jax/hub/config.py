# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A config.json, in every convention in use, to an EncoderConfig.

A NomicBERT file may carry two families of keys: the GPT2-style ones of the
published models and of contrastors (n_embd, rotary_emb_base, ...), and those
of transformers' own class (hidden_size, rope_parameters, ...), which ignores
the first without a word. Where a file has both, the GPT2-style ones win: v1's
native keys say 8192 trained positions, its code says 2048.
"""

from typing import Any, Mapping

from nomic_jax.errors import UserError
from nomic_jax.model.config import EncoderConfig
from nomic_jax.storage.keys import ANY
from nomic_jax.storage.keys import Keys

# Ours -> what transformers calls the activation: plain MLPs (BERT) ...
BERT_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_tanh": "gelu_pytorch_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
}
# ... and gated ones, where it names the gate's function.
NATIVE_ACTIVATIONS = {"swiglu": "silu", "geglu": "gelu", "glu": "sigmoid"}
# GPT2-style name -> ours. The reference computes the exact GELU for all
# spellings of it.
PUBLISHED_ACTIVATIONS = {
    "swiglu": "swiglu", "geglu": "geglu", "glu": "glu", "gelu": "gelu",
    "gelu_new": "gelu", "gelu_fast": "gelu", "gelu_pytorch_tanh": "gelu",
    "quick_gelu": "quick_gelu",
}
# Keys that ask for something this encoder does not do, unless they hold one
# of these values.
REQUIRED = {
    "prenorm": (False,),
    "parallel_block": (False,),
    "causal": (False,),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "use_rms_norm": (False,),
    "rotary_emb_scale_base": (None,),
    "tie_word_embeddings": (True,),
    "position_embedding_type": (None, "absolute"),
    "is_encoder_decoder": (False,),
    "pruned_heads": (None, {}),
    "quantization_config": (None,),
}


def is_classic(config: EncoderConfig) -> bool:
  """Whether transformers' BertModel computes this architecture."""
  return (
      config.position == "learned"
      and config.activation in BERT_ACTIVATIONS
      and config.qkv_bias and config.mlp_in_bias and config.mlp_out_bias
      and config.type_vocab_size > 0
  )


def is_native(config: EncoderConfig) -> bool:
  """Whether transformers' NomicBertModel computes this architecture."""
  return (
      config.position == "rotary"
      and config.rotary_fraction == 1.0
      and not config.rotary_interleaved
      and config.activation in NATIVE_ACTIVATIONS
      and not (config.qkv_bias or config.mlp_in_bias or config.mlp_out_bias)
      and config.type_vocab_size > 0
  )


def from_json(values: Mapping[str, Any], where: str) -> EncoderConfig:
  """Reads the contents of a config.json.

  What config.json does not say (pooling, the pooled norm, whether a pooler is
  stored) is left at its default.

  Args:
    values: the file's contents.
    where: the file, for messages.

  Raises:
    UserError: naming the key, for an architecture that is not supported or a
      key that is missing or of the wrong type.
  """
  keys = Keys(values, where)
  kind = keys.get("model_type", str, None)
  published = "n_embd" in values
  if kind not in ("nomic_bert", "bert", None) and not published:
    raise UserError(
        f"{where}: model_type '{kind}' is not supported; expected nomic_bert "
        "or bert"
    )
  if keys.get("num_experts", int, 0) > 0 or (
      keys.get("moe_every_n_layers", int, -1) > 0):
    raise UserError(
        f"{where}: a mixture of experts (num_experts="
        f"{values.get('num_experts')}); experts are not supported yet, use a "
        "dense model"
    )
  for key, allowed in REQUIRED.items():
    if key in values and values[key] not in allowed:
      raise UserError(
          f"{where}: {key}={values[key]!r} is not supported; expected "
          f"{allowed[-1]!r}"
      )
  for key, same in (
      ("embedding_size", "hidden_size"),
      ("num_key_value_heads", "num_attention_heads")):
    if keys.any(key) not in (None, keys.any(same)):
      raise UserError(
          f"{where}: {key}={values[key]!r} is not supported; expected that of "
          f"{same}, {keys.any(same)!r}"
      )
  if published:
    return _from_published(keys)
  return _from_bert(keys) if kind == "bert" else _from_native(keys)


def _from_published(keys: Keys) -> EncoderConfig:
  """GPT2-style keys; defaults are those of contrastors' config class."""
  get = keys.get
  activation = keys.activation(
      "activation_function", PUBLISHED_ACTIVATIONS, "gelu_new")
  if "intermediate_size" in keys:  # transformers' own class: taken as it is
    mlp_width = get("intermediate_size", int)
  else:
    mlp_width = get("n_inner", int)
    if activation in NATIVE_ACTIVATIONS:  # the reference rounds gated MLPs up
      mlp_width = -(-mlp_width // 256) * 256
  multiple = get("pad_vocab_size_multiple", int, 1)
  fraction = get("rotary_emb_fraction", float, 0.0)
  return EncoderConfig(
      vocab_size=-(-get("vocab_size", int) // multiple) * multiple,
      width=get("n_embd", int),
      layers=get("n_layer", int),
      heads=get("n_head", int),
      mlp_width=mlp_width,
      max_length=get("n_positions", int, 1024),
      type_vocab_size=get("type_vocab_size", int, 2),
      position="rotary" if fraction > 0 else "learned",
      rotary_base=get("rotary_emb_base", float, 10000.0),
      rotary_fraction=fraction if fraction > 0 else 1.0,
      rotary_interleaved=get("rotary_emb_interleaved", bool, False),
      # Absent, null and 0 all mean none, as in the published code.
      rotary_factor=get("rotary_scaling_factor", float, 0.0) or None,
      trained_length=get("max_trained_positions", int, 2048),
      activation=activation,
      qkv_bias=get("qkv_proj_bias", bool, True),
      mlp_in_bias=get("mlp_fc1_bias", bool, True),
      mlp_out_bias=get("mlp_fc2_bias", bool, True),
      norm_eps=get("layer_norm_epsilon", float, 1e-5),
      initializer_range=get("initializer_range", float, 0.02),
      pad_token_id=get("pad_token_id", int, 0),
      # Of the embeddings, resid_pdrop is the reference's, and embd_pdrop the
      # classifier's.
      dropout=get("resid_pdrop", float, 0.1),
      head_dropout=get(
          "classifier_dropout", float, get("embd_pdrop", float, 0.1)),
  )


def _from_native(keys: Keys) -> EncoderConfig:
  """transformers' NomicBertConfig and its defaults."""
  get = keys.get
  rope = get("rope_parameters", dict, get("rope_scaling", dict, {}))
  rope = Keys(rope, f"{keys.where}: rope_parameters")
  rope.only({
      "rope_type": ANY, "type": ANY, "rope_theta": ANY, "factor": ANY,
      "partial_rotary_factor": (None, 1, 1.0),
      "original_max_position_embeddings": ANY})
  kind = rope.get("rope_type", str, rope.get("type", str, "default"))
  if kind not in ("default", "dynamic"):
    raise UserError(
        f"{rope.where}: rope_type '{kind}' is not supported; expected default "
        "or dynamic"
    )
  width, heads = get("hidden_size", int), get("num_attention_heads", int)
  if keys.get("head_dim", int, width // heads) * heads != width:
    raise UserError(
        f"{keys.where}: head_dim={keys.any('head_dim')} is not supported; "
        f"expected hidden_size / num_attention_heads, {width // heads}"
    )
  trained = get("max_position_embeddings", int, 2048)
  factor = rope.get("factor", float) if kind == "dynamic" else None
  return EncoderConfig(
      vocab_size=get("vocab_size", int),
      mlp_width=get("intermediate_size", int),
      max_length=int(trained * (factor or 1)),
      rotary_base=rope.get(
          "rope_theta", float, get("rope_theta", float, 1000.0)),
      rotary_factor=factor,
      trained_length=trained,
      activation=keys.activation(
          "hidden_act", {v: k for k, v in NATIVE_ACTIVATIONS.items()}, "silu"),
      **_common(keys),
  )


def _from_bert(keys: Keys) -> EncoderConfig:
  """transformers' BertConfig and its defaults."""
  names = {theirs: ours for ours, theirs in BERT_ACTIVATIONS.items()}
  names |= {"gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh", "swish": "silu"}
  get = keys.get
  return EncoderConfig(
      vocab_size=get("vocab_size", int),
      mlp_width=get("intermediate_size", int),
      max_length=get("max_position_embeddings", int, 512),
      position="learned",
      activation=keys.activation("hidden_act", names, "gelu"),
      qkv_bias=True, mlp_in_bias=True, mlp_out_bias=True,
      **_common(keys, dropout=0.1),
  )


def _common(keys: Keys, dropout: float = 0.0) -> dict[str, Any]:
  """The keys on which transformers' two classes agree."""
  dropout = keys.get("hidden_dropout_prob", float, dropout)
  return dict(
      width=keys.get("hidden_size", int),
      layers=keys.get("num_hidden_layers", int),
      heads=keys.get("num_attention_heads", int),
      type_vocab_size=keys.get("type_vocab_size", int, 2),
      norm_eps=keys.get("layer_norm_eps", float, 1e-12),
      initializer_range=keys.get("initializer_range", float, 0.02),
      pad_token_id=keys.get("pad_token_id", int, 0),
      dropout=dropout,
      head_dropout=keys.get("classifier_dropout", float, dropout),
  )
