# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""config.json in the conventions of published models."""

import pytest
import transformers

from nomic_jax import families
from nomic_jax.errors import UserError
from nomic_jax.model.config import EncoderConfig

# Values of the released config.json files, from the model pages.
BERT_2048 = dict(
  model_type="nomic_bert",
  activation_function="swiglu",
  attn_pdrop=0.0,
  causal=False,
  layer_norm_epsilon=1e-12,
  mlp_fc1_bias=False,
  mlp_fc2_bias=False,
  n_embd=768,
  n_head=12,
  n_inner=3072,
  n_layer=12,
  n_positions=2048,
  pad_vocab_size_multiple=64,
  parallel_block=False,
  prenorm=False,
  qkv_proj_bias=False,
  rotary_emb_base=1000,
  rotary_emb_fraction=1.0,
  rotary_emb_interleaved=False,
  rotary_emb_scale_base=None,
  tie_word_embeddings=True,
  type_vocab_size=2,
  use_rms_norm=False,
  vocab_size=30528,
)
V1 = BERT_2048 | dict(
  n_positions=8192,
  rotary_scaling_factor=2,
  max_position_embeddings=8192,
  rope_parameters=dict(rope_type="dynamic", factor=2.0, rope_theta=1000.0),
)
V15 = BERT_2048 | dict(
  n_positions=8192,
  max_trained_positions=2048,
  rotary_scaling_factor=None,
  max_position_embeddings=2048,
  hidden_size=768,
  rope_parameters=dict(rope_type="default", rope_theta=1000.0),
)
XLM_2048 = BERT_2048 | dict(
  activation_function="gelu",
  qkv_proj_bias=True,
  mlp_fc1_bias=True,
  mlp_fc2_bias=True,
  type_vocab_size=1,
  vocab_size=250048,
  pad_token_id=1,
  layer_norm_epsilon=1e-5,
  rotary_emb_base=10000,
)


@pytest.mark.parametrize(
  "values, expected",
  [
    (BERT_2048, EncoderConfig(max_length=2048)),
    # v1's native keys say 8192 trained positions; its code says 2048.
    (V1, EncoderConfig(max_length=8192, rotary_factor=2.0)),
    (V15, EncoderConfig(max_length=8192)),
    (
      XLM_2048,
      EncoderConfig(
        max_length=2048,
        activation="gelu",
        qkv_bias=True,
        mlp_in_bias=True,
        mlp_out_bias=True,
        type_vocab_size=1,
        vocab_size=250048,
        pad_token_id=1,
        norm_eps=1e-5,
        rotary_base=10000.0,
      ),
    ),
    # The reference rounds both of these up when it builds the model.
    (
      BERT_2048 | dict(n_inner=300, vocab_size=30522),
      EncoderConfig(max_length=2048, mlp_width=512),
    ),
    # transformers uses the width of the MLP unchanged.
    (
      BERT_2048 | dict(n_inner=300, intermediate_size=300),
      EncoderConfig(max_length=2048, mlp_width=300),
    ),
    # Defaults of contrastors' config class: a BERT with learned positions.
    (
      dict(n_embd=64, n_layer=2, n_head=4, n_inner=128, vocab_size=96),
      EncoderConfig(
        vocab_size=96,
        width=64,
        layers=2,
        heads=4,
        mlp_width=128,
        max_length=1024,
        position="learned",
        rotary_base=10000.0,
        activation="gelu",
        qkv_bias=True,
        mlp_in_bias=True,
        mlp_out_bias=True,
        norm_eps=1e-5,
      ),
    ),
  ],
)
def test_released_conventions(values, expected):
  assert families.read(values, "config.json") == expected.architecture


def test_transformers_defaults_are_ours():
  native = transformers.NomicBertConfig()
  assert (
    families.read(native.to_dict(), "")
    == EncoderConfig(max_length=2048).architecture
  )
  bert = transformers.BertConfig()
  assert (
    families.read(bert.to_dict(), "")
    == EncoderConfig(
      vocab_size=30522,
      max_length=512,
      position="learned",
      activation="gelu",
      qkv_bias=True,
      mlp_in_bias=True,
      mlp_out_bias=True,
    ).architecture
  )


def test_dynamic_ntk_of_a_native_file():
  native = transformers.NomicBertConfig(
    rope_parameters=dict(rope_type="dynamic", factor=2.0, rope_theta=5000.0)
  )
  assert (
    families.read(native.to_dict(), "")
    == EncoderConfig(
      rotary_base=5000.0, rotary_factor=2.0, max_length=4096
    ).architecture
  )


@pytest.mark.parametrize(
  "changes",
  [
    {},
    dict(rotary_factor=2.0, trained_length=512, max_length=2048),
    dict(activation="geglu", rotary_base=500.0, norm_eps=1e-5),
    dict(rotary_fraction=0.5, rotary_interleaved=True),
    dict(
      activation="gelu",
      qkv_bias=True,
      mlp_in_bias=True,
      type_vocab_size=1,
      pad_token_id=1,
    ),
    dict(
      activation="gelu",
      qkv_bias=True,
      mlp_in_bias=True,
      mlp_out_bias=True,
      position="learned",
      max_length=512,
    ),
    dict(position="learned", mlp_width=300),  # neither BERT nor native
  ],
)
def test_a_config_survives_a_round_trip(changes):
  architecture = EncoderConfig(**changes).architecture
  written = families.to_json(architecture)
  assert families.read(written, "config.json") == architecture


def test_both_families_of_keys_are_written():
  written = families.to_json(
    EncoderConfig(rotary_factor=2.0, width=384).architecture
  )
  assert written["n_embd"] == written["hidden_size"] == 384
  # The length from which transformers' dynamic NTK applies.
  assert written["max_position_embeddings"] == 2048
  assert written["rope_parameters"] == {
    "rope_type": "dynamic",
    "rope_theta": 1000.0,
    "factor": 2.0,
  }
  assert written["n_positions"] == 8192
  assert written["auto_map"]["AutoModel"] == (
    "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel"
  )


@pytest.mark.parametrize(
  "values, message",
  [
    (
      V1 | dict(num_experts=8, moe_every_n_layers=2),
      "experts are not supported yet",
    ),
    (BERT_2048 | dict(prenorm=True), "prenorm=True is not supported"),
    (BERT_2048 | dict(n_embd="768"), "n_embd='768' is a str; expected int"),
    (BERT_2048 | dict(activation_function="mish"), "'mish' is not supported"),
    (dict(model_type="bert", hidden_size=64), "key 'vocab_size' is missing"),
    (dict(model_type="t5"), "model_type 't5' is not supported"),
    (dict(model_type="deberta-v2"), "'deberta-v2' is not supported; expect"),
    (
      dict(
        model_type="nomic_bert",
        vocab_size=96,
        rope_parameters=dict(rope_type="yarn"),
      ),
      "rope_type 'yarn' is not supported",
    ),
    (
      dict(
        model_type="nomic_bert",
        rope_parameters=dict(rope_theta=1e3, partial_rotary_factor=0.5),
      ),
      "partial_rotary_factor=0.5 is not supported",
    ),
    (
      dict(
        model_type="nomic_bert",
        hidden_size=64,
        num_attention_heads=4,
        head_dim=32,
      ),
      "head_dim=32 is not supported",
    ),
    (
      dict(model_type="bert", hidden_size=64, embedding_size=32),
      "embedding_size=32 is not supported; expected the value of hidden_size",
    ),
    (dict(model_type="bert", pruned_heads={"0": [1]}), "pruned_heads="),
    (
      dict(model_type="bert", quantization_config={"bits": 4}),
      "quantization_config=",
    ),
    ([], "expected a JSON object"),
  ],
)
def test_what_is_not_supported_is_named(values, message):
  with pytest.raises(UserError, match=message) as error:
    families.read(values, "config.json")
  assert str(error.value).startswith("config.json: ")


def test_an_activation_without_a_published_name_is_not_written():
  with pytest.raises(UserError, match="'relu' cannot be written"):
    families.to_json(EncoderConfig(activation="relu").architecture)
