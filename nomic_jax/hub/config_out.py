# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""An EncoderConfig to a config.json that every reader understands."""

from typing import Any, Mapping

from nomic_jax.errors import one_of
from nomic_jax.hub.config import BERT_ACTIVATIONS
from nomic_jax.hub.config import NATIVE_ACTIVATIONS
from nomic_jax.hub.config import PUBLISHED_ACTIVATIONS
from nomic_jax.hub.config import is_classic
from nomic_jax.hub.config import is_native
from nomic_jax.model.config import EncoderConfig

# Where transformers before 5 find the code of a nomic_bert (with the user's
# trust_remote_code), as in the published models.
AUTO_MAP = {
    "AutoConfig": "configuration_hf_nomic_bert.NomicBertConfig",
    "AutoModel": "modeling_hf_nomic_bert.NomicBertModel",
    "AutoModelForMaskedLM": "modeling_hf_nomic_bert.NomicBertForPreTraining",
    "AutoModelForSequenceClassification": (
        "modeling_hf_nomic_bert.NomicBertForSequenceClassification"),
}
REMOTE_CODE = "nomic-ai/nomic-bert-2048"


def to_json(
    config: EncoderConfig, trees: Mapping[str, Any] | None = None
) -> dict[str, Any]:
  """The config.json of a model directory.

  Classic architectures become BertModel's; all others the published
  NomicBERT's with both families of keys.

  Args:
    config: the architecture.
    trees: whose heads name the class that transformers opens.

  Raises:
    UserError: if no published format can say this architecture.
  """
  head = _head(trees or {})
  if is_classic(config):
    head["architectures"] = ["Bert" + head["architectures"]]
    return head | _to_bert(config)
  head["architectures"] = ["NomicBert" + head["architectures"]]
  one_of(
      config.activation, [ours for theirs, ours in PUBLISHED_ACTIVATIONS.items()
                          if ours == theirs],
      f"activation '{config.activation}' cannot be written in the published "
      "NomicBERT format")
  return head | _to_published(config) | _to_native(config)


def _head(trees: Mapping[str, Any]) -> dict[str, Any]:
  """The end of the class's name, and what a classifier's labels are called."""
  if "classification_head" not in trees:
    head = "ForMaskedLM" if "mlm_head" in trees else "Model"
    return {"architectures": head}
  bias = trees["classification_head"]["classifier"]["bias"]
  names = [f"LABEL_{i}" for i in range(bias.shape[0])]
  return {
      "architectures": "ForSequenceClassification",
      "id2label": {str(i): name for i, name in enumerate(names)},
      "label2id": {name: i for i, name in enumerate(names)},
  }


def _to_bert(c: EncoderConfig) -> dict[str, Any]:
  return _sizes(c) | {
      "model_type": "bert",
      "hidden_act": BERT_ACTIVATIONS[c.activation],
      "hidden_dropout_prob": c.dropout,
      "attention_probs_dropout_prob": c.dropout,  # in BERT's files the same
      "classifier_dropout": c.head_dropout,
      "max_position_embeddings": c.max_length,
      "position_embedding_type": "absolute",
  }


def _to_native(c: EncoderConfig) -> dict[str, Any]:
  """The keys transformers' NomicBertModel reads."""
  rope = {"rope_type": "default", "rope_theta": c.rotary_base}
  if c.rotary_factor:
    rope |= {"rope_type": "dynamic", "factor": c.rotary_factor}
  return _sizes(c) | {
      # That class would open an architecture it cannot compute, leave its
      # tensors out and answer with noise; this makes it stop and say why.
      "hidden_act": NATIVE_ACTIVATIONS[c.activation] if is_native(c) else (
          "not an architecture of transformers' NomicBertModel"),
      "hidden_dropout_prob": c.dropout,
      "attention_probs_dropout_prob": 0.0,
      "classifier_dropout": c.head_dropout,
      # Dynamic NTK sets in beyond this, so it is what was trained on.
      "max_position_embeddings": c.trained_length,
      "head_dim": c.head_width,
      "rope_parameters": rope,
  }


def _sizes(c: EncoderConfig) -> dict[str, Any]:
  return {
      "vocab_size": c.vocab_size,
      "hidden_size": c.width,
      "num_hidden_layers": c.layers,
      "num_attention_heads": c.heads,
      "intermediate_size": c.mlp_width,
      "type_vocab_size": c.type_vocab_size,
      "layer_norm_eps": c.norm_eps,
      "initializer_range": c.initializer_range,
      "pad_token_id": c.pad_token_id,
      "torch_dtype": "float32",
  }


def _to_published(c: EncoderConfig) -> dict[str, Any]:
  """The keys of the published models' own code."""
  rotary = c.position == "rotary"
  return {
      "auto_map": {k: f"{REMOTE_CODE}--{v}" for k, v in AUTO_MAP.items()},
      "model_type": "nomic_bert",
      "n_embd": c.width,
      "n_layer": c.layers,
      "n_head": c.heads,
      "n_inner": c.mlp_width,
      "n_positions": c.max_length,
      "max_trained_positions": c.trained_length,
      "activation_function": c.activation,
      "rotary_emb_base": c.rotary_base,
      "rotary_emb_fraction": c.rotary_fraction if rotary else 0.0,
      "rotary_emb_interleaved": c.rotary_interleaved,
      "rotary_emb_scale_base": None,
      "rotary_scaling_factor": c.rotary_factor,
      "qkv_proj_bias": c.qkv_bias,
      "mlp_fc1_bias": c.mlp_in_bias,
      "mlp_fc2_bias": c.mlp_out_bias,
      "layer_norm_epsilon": c.norm_eps,
      "attn_pdrop": 0.0,
      "embd_pdrop": c.head_dropout,
      "resid_pdrop": c.dropout,
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
