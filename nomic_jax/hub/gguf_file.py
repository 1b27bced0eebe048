# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A model as a GGUF file, which llama.cpp and programs built on it read.

llama.cpp computes BERT (learned positions, GELU) and NomicBERT (rotary
positions, SwiGLU, no biases), pools, and tokenises as BERT does. A model that
needs anything else is refused with the reason, because llama.cpp would compute
other vectors. Tensors have the names of the `gguf` package's own tables, in
float32; llama-quantize makes smaller files.
"""

import dataclasses
import json
import pathlib
from typing import Any
from typing import NoReturn

from nomic_jax import families
from nomic_jax.errors import UserError
from nomic_jax.families import tensors as tensors_lib
from nomic_jax.hub.model_directory import ModelFiles
from nomic_jax.model.architecture import Architecture
from nomic_jax.text import special_tokens
from nomic_jax.text import tokenizer as tokenizer_lib

NAME = "model-f32.gguf"

_POOLINGS = {"mean": "MEAN", "cls": "CLS", "last": "LAST"}
# llama.cpp's GELU is the approximation by tanh; exact GELU differs by 1e-3.
_GELUS = ("gelu", "gelu_tanh")
# What BERT's tokenizers do; the values that llama.cpp has settings for.
_NORMALIZER = {
  "type": ("BertNormalizer",),
  "clean_text": (True,),
  "handle_chinese_chars": (True,),
  "lowercase": (True, False),
  "strip_accents": (None, True, False),
}


def check(model: ModelFiles) -> None:
  """Checks that llama.cpp computes a model and tokenises as it does.

  Raises:
    UserError: naming what llama.cpp does not compute.
  """
  import gguf  # noqa: F401, to see whether it is there

  a = model.architecture
  if model.classification_head is not None:
    _refuse("a classifier")
  if a.head.pooling not in _POOLINGS:
    _refuse(f"pooling '{a.head.pooling}'")
  if a.head.modules:
    _refuse(f"a layer after pooling ({a.head.modules[0].kind})")
  _arch(a)
  _normalizer(model.tokenizer_path)


def write(model: ModelFiles, path: pathlib.Path, name: str) -> None:
  """Writes a model to a GGUF file.

  Args:
    model: one that passed `check`.
    path: the path of the file.
    name: the name of the model.
  """
  import gguf

  a, layer = model.architecture, model.architecture.layers[0]
  arch = _arch(a)
  writer = gguf.GGUFWriter(path, arch)
  writer.add_name(name)
  writer.add_file_type(gguf.LlamaFileType.ALL_F32)
  writer.add_block_count(len(a.layers))
  writer.add_embedding_length(a.width)
  writer.add_feed_forward_length(layer.mlp.width)
  writer.add_head_count(layer.attention.heads)
  writer.add_layer_norm_eps(layer.norm.eps)
  writer.add_causal_attention(False)
  writer.add_pooling_type(gguf.PoolingType[_POOLINGS[a.head.pooling]])
  length = a.embedding.positions or a.max_length
  if rope := layer.attention.rope:
    writer.add_rope_freq_base(rope.base)
    if rope.factor is not None:
      # llama.cpp has no dynamic NTK scaling, which begins after this length.
      length = min(length, rope.trained_length)
  writer.add_context_length(length)
  writer.add_token_type_count(max(1, a.embedding.types))
  _add_vocabulary(writer, model)
  kinds = {value: key for key, value in gguf.MODEL_ARCH_NAMES.items()}
  names = gguf.get_tensor_name_map(kinds[arch], len(a.layers))
  a = dataclasses.replace(a, pooler=False)
  encoder = {k: v for k, v in model.params.items() if k != "pooler"}
  for theirs, values in tensors_lib.write(
    families.of(a), a, {"encoder": encoder}
  ).items():
    found = names.get_name(theirs, try_suffixes=(".weight", ".bias"))
    if found is None:
      raise UserError(f"--gguf: llama.cpp has no name for the tensor {theirs}")
    writer.add_tensor(found, values)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()


def _refuse(what: str) -> NoReturn:
  raise UserError(
    f"--gguf: llama.cpp does not compute {what}; it computes BERT with GELU "
    "and NomicBERT with SwiGLU, with BERT's tokenizer; leave --gguf out"
  )


def _arch(a: Architecture) -> str:
  """Returns llama.cpp's name of an architecture; refuses unsupported ones."""
  one = a.layers[0]
  for i, layer in enumerate(a.layers):
    if layer != one:
      _refuse(f"layers that differ (layers 0 and {i})")
  for what, found, wanted in (
    ("order", one.order, "post"),
    ("norm", one.norm.kind, "layer"),
    ("norm.bias", one.norm.bias, True),
    ("embedding.width", a.embedding.width, None),
    ("embedding.norm", a.embedding.norm, one.norm),
    ("final_norm", a.final_norm, None),
    ("window", one.attention.window, None),
    ("causal", one.attention.causal, False),
    ("kv_heads", one.attention.kv_heads, one.attention.heads),
    ("head width", one.attention.width * one.attention.heads, a.width),
    ("relative", one.attention.relative, None),
    ("qk_norm", one.attention.qk_norm, None),
    ("first_position", a.embedding.first_position, 0),
    ("skips_padding", a.embedding.skips_padding, False),
  ):
    if found != wanted:
      _refuse(f"{what}={found!r}")
  rope, mlp = one.attention.rope, one.mlp
  biases = (one.attention.bias, mlp.in_bias, mlp.out_bias)
  if rope and not a.embedding.positions:
    if rope.fraction != 1 or rope.interleaved:
      _refuse("rotary positions of a part of a head, or interleaved ones")
    if any(biases) or not mlp.gated or mlp.activation != "silu":
      _refuse("rotary positions without SwiGLU, or with biases")
    return "nomic-bert"
  if rope or not a.embedding.positions:
    _refuse("both learned and rotary positions, or neither")
  if not all(biases) or mlp.gated or mlp.activation not in _GELUS:
    _refuse(f"learned positions with {mlp.activation}, a gate or no biases")
  return "bert"


def _normalizer(path: pathlib.Path) -> dict[str, Any]:
  """Returns the settings of BERT's normalizer of a tokenizer, or refuses it."""
  values = json.loads(tokenizer_lib.load(path).to_str())
  normalizer, model = values["normalizer"] or {}, values["model"]
  for name, allowed in _NORMALIZER.items():
    if normalizer.get(name) not in allowed:
      _refuse(f"a tokenizer with normalizer.{name}={normalizer.get(name)!r}")
  if values["pre_tokenizer"] != {"type": "BertPreTokenizer"}:
    kind = (values["pre_tokenizer"] or {}).get("type")
    _refuse(f"a tokenizer with pre_tokenizer={kind}")
  prefix = model.get("continuing_subword_prefix")
  if model["type"] != "WordPiece" or prefix != "##":
    _refuse(f"a tokenizer of the kind {model['type']} with prefix {prefix!r}")
  ends = special_tokens.of(tokenizer_lib.load(path))
  if len(ends.head) != 1 or len(ends.tail) != 1:
    _refuse("a tokenizer without one token before and one after each text")
  return normalizer


def _add_vocabulary(writer: Any, model: ModelFiles) -> None:
  """Adds tokens in llama.cpp's spelling, in which words begin with a mark."""
  import gguf

  tokenizer = tokenizer_lib.load(model.tokenizer_path)
  normalizer = _normalizer(model.tokenizer_path)
  special = tokenizer.get_added_tokens_decoder()
  kinds = [gguf.TokenType.UNUSED] * model.architecture.vocab_size
  tokens = [f"[PAD{i}]" for i in range(model.architecture.vocab_size)]
  for token, i in tokenizer.get_vocab().items():
    if i in special and special[i].special:
      tokens[i], kinds[i] = token, gguf.TokenType.CONTROL
    else:
      within = token.startswith("##")
      tokens[i] = token.removeprefix("##") if within else f"\u2581{token}"
      kinds[i] = gguf.TokenType.NORMAL
  lowercase = normalizer["lowercase"]
  strip = normalizer["strip_accents"]
  writer.add_tokenizer_model("bert")
  writer.add_tokenizer_pre("default")
  writer.add_bool("tokenizer.ggml.normalizer.lowercase", lowercase)
  writer.add_bool(
    "tokenizer.ggml.normalizer.strip_accents",
    lowercase if strip is None else strip,
  )
  writer.add_token_list(tokens)
  writer.add_token_types(kinds)
  ends = special_tokens.of(tokenizer)
  writer.add_bos_token_id(ends.head[0])
  writer.add_sep_token_id(ends.tail[0])
  writer.add_eos_token_id(ends.tail[0])
  for role in ("pad", "unk", "mask"):
    if (i := getattr(ends, role)) is not None:
      getattr(writer, f"add_{role}_token_id")(i)
