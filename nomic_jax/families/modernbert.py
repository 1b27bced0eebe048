# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""ModernBERT (Warner et al. 2024), as transformers computes it.

mmBERT, gte-modernbert, modernbert-embed and granite-embedding-r2 belong to it.
"""

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.families.bert import ACTIVATIONS
from nomic_jax.families.bert import READ
from nomic_jax.families.family import classes
from nomic_jax.families.family import Family
from nomic_jax.families.family import fresh_by
from nomic_jax.families.family import Layout
from nomic_jax.families.family import NUMBERS
from nomic_jax.families.family import Part
from nomic_jax.families.family import sizes
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.architecture import Attention
from nomic_jax.model.architecture import Classifier
from nomic_jax.model.architecture import DROPOUTS
from nomic_jax.model.architecture import Embedding
from nomic_jax.model.architecture import Layer
from nomic_jax.model.architecture import MLP
from nomic_jax.model.architecture import Norm
from nomic_jax.model.architecture import Prediction
from nomic_jax.model.architecture import Rope
from nomic_jax.storage.keys import ANY
from nomic_jax.storage.keys import Keys
from nomic_jax.storage.values import JsonObject

# Kinds of layers, with the key of older configs for the base of their rotary
# embeddings, and its default.
_FULL, _LOCAL = "full_attention", "sliding_attention"
_BASES = {
  _FULL: ("global_rope_theta", 160_000.0),
  _LOCAL: ("local_rope_theta", 10_000.0),
}
_PAD = 50_283


def _from_json(keys: Keys) -> Architecture:
  """Reads a ModernBertConfig with its defaults."""
  get = keys.get
  width, heads = (
    get("hidden_size", int, 768),
    get("num_attention_heads", int, 12),
  )
  if get("head_dim", int, width // heads) * heads != width:
    raise UserError(
      f"{keys.where}: head_dim times num_attention_heads={heads} must be "
      f"hidden_size={width}; expected head_dim={width // heads}"
    )
  vocab = get("vocab_size", int, 50368)
  max_length = get("max_position_embeddings", int, 8192)
  norm = Norm(get("norm_eps", float, 1e-5), bias=get("norm_bias", bool, False))
  attend = lambda kind, window: Attention(
    heads,
    heads,
    width // heads,
    window,
    rope=Rope(_base(keys, kind), trained_length=max_length),
    bias=get("attention_bias", bool, False),
  )
  kinds = {_FULL: attend(_FULL, None), _LOCAL: attend(_LOCAL, _window(keys))}
  mlp = MLP(
    get("intermediate_size", int, 1152),
    keys.activation("hidden_activation", READ, "gelu"),
    True,
    *2 * [get("mlp_bias", bool, False)],
  )
  activation = keys.activation("classifier_activation", READ, "gelu")
  dense_bias = get("classifier_bias", bool, False)
  pooling = get("classifier_pooling", str, "cls")
  one_of(
    pooling, ("cls", "mean"), f"{keys.where}: classifier_pooling='{pooling}'"
  )
  rate, after = _dropout(keys)
  return Architecture(
    vocab_size=vocab,
    width=width,
    embedding=Embedding(norm=norm),
    layers=tuple(
      Layer(kinds[kind], mlp, norm, "pre", attention_norm=i > 0)
      for i, kind in enumerate(_kinds(keys))
    ),
    prediction=Prediction(
      activation, get("decoder_bias", bool, True), norm, dense_bias
    ),
    classifier=Classifier(
      activation,
      pooler=False,
      pooling=pooling,
      bias=dense_bias,
      norm=norm,
      mlm_head=True,
    ),
    final_norm=norm,
    max_length=max_length,
    # null: there is no padding token, so any row of the table will do.
    pad_token_id=get("pad_token_id", int, _PAD if _PAD < vocab else 0),
    initializer_range=get("initializer_range", float, 0.02),
    initializer_cutoff=get("initializer_cutoff_factor", float, 2.0),
    scaled_outputs=True,
    dropout=rate,
    head_dropout=get("classifier_dropout", float, 0.0),
    dropout_after=after,
  )


def _window(keys: Keys) -> int:
  """Returns how many tokens to either side a local layer sees."""
  # local_attention is the width of both sides together.
  both = keys.get("local_attention", int, 128)
  window = keys.get("sliding_window", int, both // 2)
  if window < 0:
    raise UserError(
      f"{keys.where}: a window of {window} tokens to either side is not "
      "supported; expected local_attention=0 or more"
    )
  return window


def _base(keys: Keys, kind: str) -> float:
  """Returns the rotary base of one kind of layer, in either spelling."""
  where = f"{keys.where}: rope_parameters"
  kinds = Keys(keys.any("rope_parameters") or {}, where)
  kinds.only(dict.fromkeys(_BASES, ANY))
  rope = Keys(kinds.any(kind) or {}, f"{where}.{kind}")
  for values, key in (
    (rope, "rope_type"),
    (rope, "type"),
    (keys, "rope_scaling"),
  ):
    if values.any(key) not in (None, "default"):
      raise UserError(
        f"{values.where}: {key}={values.any(key)!r} is not supported; "
        "expected 'default'"
      )
  old, default = _BASES[kind]
  base = rope.get("rope_theta", float, keys.get(old, float, default))
  if base <= 0:
    raise UserError(
      f"{keys.where}: {old}={base:g} is not supported; expected more than 0"
    )
  return base


def _kinds(keys: Keys) -> list[str]:
  """Returns the kind of every layer, in either spelling."""
  count = keys.get("num_hidden_layers", int, 22)
  every = keys.get("global_attn_every_n_layers", int, 3)
  kinds = keys.get("layer_types", list, _pattern(every, count))
  if len(kinds) != count or not set(kinds) <= set(_BASES):
    raise UserError(
      f"{keys.where}: layer_types={kinds!r} is not supported; expected "
      f"'{_FULL}' or '{_LOCAL}' for each of num_hidden_layers={count}"
    )
  return kinds


def _pattern(every: int, count: int) -> list[str]:
  return [_LOCAL if i % every else _FULL for i in range(count)]


def _dropout(keys: Keys) -> tuple[float, tuple[str, ...]]:
  """Returns the rate and the parts it follows, by default the paper's part."""
  rates = {x: keys.get(f"{x}_dropout", float, 0.0) for x in DROPOUTS}
  if len(set(rates.values()) - {0.0}) > 1:
    raise UserError(
      f"{keys.where}: different dropout rates, {rates}, are not supported; "
      "expected each to be 0 or the same rate"
    )
  after = tuple(x for x, rate in rates.items() if rate)
  return max(rates.values()), after or ("attention",)


def _to_json(a: Architecture) -> JsonObject:
  layers, first = a.layers, a.layers[0]
  kinds = [_LOCAL if x.attention.window else _FULL for x in layers]
  ropes = {k: x.attention.rope for k, x in zip(kinds, layers)}
  windows, count = [w for x in layers if (w := x.attention.window)], len(layers)
  bases = {
    kind: rope.base if (rope := ropes.get(kind)) else default
    for kind, (_, default) in _BASES.items()
  }
  for name in (first.mlp.activation, a.classifier.activation):
    one_of(name, ACTIVATIONS, f"ModernBertModel has no activation '{name}'")
  return sizes(a) | {
    "model_type": "modernbert",
    "hidden_activation": ACTIVATIONS[first.mlp.activation],
    "max_position_embeddings": a.max_length,
    "norm_eps": first.norm.eps,
    "norm_bias": first.norm.bias,
    "attention_bias": first.attention.bias,
    "mlp_bias": first.mlp.in_bias,
    "layer_types": kinds,
    "local_attention": 2 * windows[-1] if windows else 128,
    "rope_parameters": {
      kind: {"rope_type": "default", "rope_theta": base}
      for kind, base in bases.items()
    },
    # What versions of transformers before 5 read in place of these.
    **{_BASES[kind][0]: base for kind, base in bases.items()},
    "global_attn_every_n_layers": next(
      (n for n in range(1, count + 1) if _pattern(n, count) == kinds), None
    ),
    "initializer_cutoff_factor": a.initializer_cutoff,
    "decoder_bias": a.prediction.bias,
    "classifier_activation": ACTIVATIONS[a.classifier.activation],
    "classifier_bias": a.classifier.bias,
    "classifier_pooling": a.classifier.pooling,
    "classifier_dropout": a.head_dropout,
    **{f"{x}_dropout": a.dropout * (x in a.dropout_after) for x in DROPOUTS},
    # The tokenizer's files say which these are.
    **dict.fromkeys(f"{x}_token_id" for x in ("bos", "eos", "cls", "sep")),
  }


_LAYER = "layers.{}."
_HEAD = {"norm": "head.norm"}
LAYOUT = Layout(
  encoder={
    "word": "embeddings.tok_embeddings",
    "norm": "embeddings.norm",
    "final_norm": "final_norm",
  },
  layer={
    "norm1": f"{_LAYER}attn_norm",
    "qkv": f"{_LAYER}attn.Wqkv",
    "out": f"{_LAYER}attn.Wo",
    "norm2": f"{_LAYER}mlp_norm",
    # One matrix, whose first half goes through the activation.
    "gate": Part(f"{_LAYER}mlp.Wi", 0, 2),
    "up": Part(f"{_LAYER}mlp.Wi", 1, 2),
    "down": f"{_LAYER}mlp.Wo",
  },
  heads={
    "mlm_head": _HEAD | {"transform": "head.dense", "": "decoder"},
    "classification_head": _HEAD
    | {"pooler": "head.dense", "classifier": "classifier"},
  },
  tied={"decoder.weight": "embeddings.tok_embeddings.weight"},
  mlm_prefix=("head.", "decoder."),
)

FAMILY = Family(
  name="modernbert",
  from_json=_from_json,
  to_json=_to_json,
  classes=classes("ModernBert"),
  layouts=(LAYOUT,),
  # The class no longer reads this key; mmBERT's value means rotary positions.
  required={"position_embedding_type": (None, "sans_pos", "absolute")},
  prefixes=("", "model."),
  fresh=fresh_by(
    _from_json,
    NUMBERS
    | {
      "rotary_base": "global_rope_theta",
      "rotary_base_local": "local_rope_theta",
    },
  ),
)
