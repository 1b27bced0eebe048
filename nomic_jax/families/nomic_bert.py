# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""NomicBERT (Nussbaum et al. 2024), with all options of its published code.

Its config.json may have two sets of keys: the GPT2-style ones of the published
models and of contrastors (n_embd, rotary_emb_base, ...), and those of
transformers' own class (hidden_size, rope_parameters, ...), which ignores the
first. If a file has both, the GPT2-style ones take precedence: v1's native keys
give 8192 trained positions, but its code uses 2048. Both are written.
"""

import dataclasses

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.families.family import classes
from nomic_jax.families.family import Family
from nomic_jax.families.family import Layout
from nomic_jax.families.family import numbers
from nomic_jax.families.family import sizes
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.architecture import Rope
from nomic_jax.model.config import EncoderConfig
from nomic_jax.model.config import GATED
from nomic_jax.storage.keys import ANY
from nomic_jax.storage.keys import Keys
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject
from nomic_jax.text.prompts import PROMPTS

_NATIVE = {gate: name for name, gate in GATED.items()}
# GPT2-style name of the activation -> ours. The reference computes the exact
# GELU for all spellings of it.
_PUBLISHED = {
  "swiglu": "swiglu",
  "geglu": "geglu",
  "glu": "glu",
  "gelu": "gelu",
  "gelu_new": "gelu",
  "gelu_fast": "gelu",
  "gelu_pytorch_tanh": "gelu",
  "quick_gelu": "quick_gelu",
}
# Where versions of transformers before 5 find the code (with the user's
# trust_remote_code), as in the published models.
_CODE = "nomic-ai/nomic-bert-2048--"
_MODELING = _CODE + "modeling_hf_nomic_bert.NomicBert"
_AUTO_MAP = {
  "AutoConfig": _CODE + "configuration_hf_nomic_bert.NomicBertConfig",
  "AutoModel": _MODELING + "Model",
  "AutoModelForMaskedLM": _MODELING + "ForPreTraining",
  "AutoModelForSequenceClassification": (
    _MODELING + "ForSequenceClassification"
  ),
}


def _from_json(keys: Keys) -> Architecture:
  if keys.get("num_experts", int, 0) > 0 or (
    keys.get("moe_every_n_layers", int, -1) > 0
  ):
    raise UserError(
      f"{keys.where}: a mixture of experts (num_experts="
      f"{keys.any('num_experts')}); experts are not supported yet, use a "
      "dense model"
    )
  return _from_published(keys) if "n_embd" in keys else _from_native(keys)


def _from_published(keys: Keys) -> Architecture:
  """GPT2-style keys; defaults are those of contrastors' config class."""
  get = keys.get
  activation = keys.activation("activation_function", _PUBLISHED, "gelu_new")
  if "intermediate_size" in keys:  # transformers' own class: used unchanged
    mlp_width = get("intermediate_size", int)
  else:
    mlp_width = get("n_inner", int)
    if activation in GATED:  # the reference rounds gated MLPs up
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
    # In the reference, resid_pdrop is also the rate after the embeddings, and
    # embd_pdrop that of the classifier.
    dropout=get("resid_pdrop", float, 0.1),
    head_dropout=get(
      "classifier_dropout", float, get("embd_pdrop", float, 0.1)
    ),
  ).architecture


def _from_native(keys: Keys) -> Architecture:
  """Transformers' NomicBertConfig and its defaults."""
  get = keys.get
  rope = get("rope_parameters", dict, get("rope_scaling", dict, {}))
  rope = Keys(rope, f"{keys.where}: rope_parameters")
  rope.only(
    {
      "rope_type": ANY,
      "type": ANY,
      "rope_theta": ANY,
      "factor": ANY,
      "partial_rotary_factor": (None, 1, 1.0),
      "original_max_position_embeddings": ANY,
    }
  )
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
    **numbers(keys),
    max_length=int(trained * (factor or 1)),
    rotary_base=rope.get("rope_theta", float, get("rope_theta", float, 1000.0)),
    rotary_factor=factor,
    trained_length=trained,
    activation=keys.activation("hidden_act", _NATIVE, "silu"),
  ).architecture


def _fresh(**numbers: Json) -> Architecture:
  if "rotary_base_local" in numbers:
    raise UserError(
      "rotary_base_local: a NomicBERT has no layers with a window; leave it out"
    )
  return EncoderConfig(**numbers).architecture


def _is_native(a: Architecture) -> bool:
  """Returns whether transformers' NomicBertModel computes an architecture."""
  layer, rope = a.layers[0], a.rope
  biased = layer.attention.bias or layer.mlp.in_bias or layer.mlp.out_bias
  return bool(
    rope
    and rope.fraction == 1.0
    and not rope.interleaved
    and layer.mlp.gated
    and not biased
    and a.embedding.types
  )


def _to_json(a: Architecture) -> JsonObject:
  layer, rope = a.layers[0], a.rope or Rope()
  mlp = layer.mlp
  name = _NATIVE.get(mlp.activation) if mlp.gated else mlp.activation
  one_of(
    name,
    sorted(set(_PUBLISHED.values())),
    f"activation '{mlp.activation}' cannot be written in the published "
    "NomicBERT format",
  )
  dynamic = (
    {"rope_type": "dynamic", "factor": rope.factor}
    if (rope.factor)
    else {"rope_type": "default"}
  )
  return (
    {
      "auto_map": _AUTO_MAP,
      "model_type": "nomic_bert",
      "n_embd": a.width,
      "n_layer": len(a.layers),
      "n_head": layer.attention.heads,
      "n_inner": mlp.width,
      "n_positions": a.max_length,
      "max_trained_positions": rope.trained_length,
      "activation_function": name,
      "rotary_emb_base": rope.base,
      "rotary_emb_fraction": rope.fraction if a.rope else 0.0,
      "rotary_emb_interleaved": rope.interleaved,
      "rotary_emb_scale_base": None,
      "rotary_scaling_factor": rope.factor,
      "qkv_proj_bias": layer.attention.bias,
      "mlp_fc1_bias": mlp.in_bias,
      "mlp_fc2_bias": mlp.out_bias,
      "layer_norm_epsilon": layer.norm.eps,
      "attn_pdrop": 0.0,
      "embd_pdrop": a.head_dropout,
      "resid_pdrop": a.dropout,
      "pad_vocab_size_multiple": 1,  # vocab_size is the padded one
      "prenorm": False,
      "parallel_block": False,
      "parallel_block_tied_norm": False,
      "causal": False,
      "use_rms_norm": False,
      "tie_word_embeddings": True,
      "dense_seq_output": True,
      "fused_bias_fc": True,
      "fused_dropout_add_ln": True,
      "use_flash_attn": True,
      "use_xentropy": True,
    }
    | sizes(a)
    | {
      # That class would open an architecture it cannot compute, drop its
      # tensors and return noise; with this value it raises an error.
      "hidden_act": mlp.activation
      if _is_native(a)
      else ("not an architecture of transformers' NomicBertModel"),
      "hidden_dropout_prob": a.dropout,
      "attention_probs_dropout_prob": 0.0,
      "classifier_dropout": a.head_dropout,
      # Dynamic NTK scaling starts beyond this, so it is the trained length.
      "max_position_embeddings": rope.trained_length,
      "head_dim": layer.attention.width,
      "rope_parameters": dynamic | {"rope_theta": rope.base},
    }
  )


_EXPERTS = {
  r".*\.(experts|router|shared_expert)\..*": (
    "belongs to a mixture of experts; experts are not supported yet, use a "
    "dense model"
  )
}
_WORDS = {
  "word": "embeddings.word_embeddings",
  "type": "embeddings.token_type_embeddings",
  "position": "embeddings.position_embeddings",
  "pooler": "pooler.dense",
}
_HEAD = "cls.predictions."
_CLASSIFIER = {"pooler": "pooler.dense", "classifier": "classifier"}
_TIED = {
  f"{_HEAD}decoder.weight": "embeddings.word_embeddings.weight",
  f"{_HEAD}decoder.bias": f"{_HEAD}bias",
}
_LAYER = "encoder.layers.{}."
PUBLISHED = Layout(
  encoder=_WORDS | {"norm": "emb_ln"},
  layer={
    "qkv": f"{_LAYER}attn.Wqkv",
    "out": f"{_LAYER}attn.out_proj",
    "norm1": f"{_LAYER}norm1",
    "up": f"{_LAYER}mlp.fc11",
    "gate": f"{_LAYER}mlp.fc12",
    "down": f"{_LAYER}mlp.fc2",
    "norm2": f"{_LAYER}norm2",
  },
  plain={"up": f"{_LAYER}mlp.fc1"},
  heads={
    "mlm_head": {
      "transform": f"{_HEAD}transform.dense",
      "norm": f"{_HEAD}transform.layer_norm",
      "": f"{_HEAD}decoder",
    },
    "classification_head": _CLASSIFIER,
  },
  tied=_TIED,
  refused=_EXPERTS,
)
_ATTENTION = "layers.{}.self_attn."
NATIVE = dataclasses.replace(
  PUBLISHED,
  encoder=_WORDS | {"norm": "embeddings.LayerNorm"},
  layer={
    "qkv": tuple(f"{_ATTENTION}{x}_proj" for x in "qkv"),
    "out": f"{_ATTENTION}o_proj",
    "norm1": "layers.{}.post_attention_layernorm",
    "up": "layers.{}.mlp.up_proj",
    "gate": "layers.{}.mlp.gate_proj",
    "down": "layers.{}.mlp.down_proj",
    "norm2": "layers.{}.post_mlp_layernorm",
  },
  plain={"up": ""},  # transformers has no such MLP here
  heads={
    "mlm_head": {
      "transform": f"{_HEAD}transform.dense",
      "norm": f"{_HEAD}transform.layer_norm",
      "": "cls.predictions",
    },
    "classification_head": _CLASSIFIER,
  },
)

FAMILY = Family(
  name="nomic_bert",
  from_json=_from_json,
  to_json=_to_json,
  classes=classes("NomicBert"),
  layouts=(PUBLISHED, NATIVE),
  # contrastors' own files may have no type, or another one.
  reads=lambda values: (
    "n_embd" in values or values.get("model_type") in (None, "nomic_bert")
  ),
  prefixes=("", "trunk.", "bert.", "nomic_bert."),
  opens=_is_native,
  replaces_code=True,
  prompts=PROMPTS,
  fresh=_fresh,
)
