# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A family of encoders: the meaning of its config.json and tensor names.

A family converts both to this project's own representation and back. README.md
in this folder explains how to add a family.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import re
from typing import NamedTuple

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.head import Head
from nomic_jax.storage.keys import Keys
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject


class Part(NamedTuple):
  """One of several modules that a file stores as a single one.

  Attributes:
    name: the name of the file's module.
    index: the index of this part, along the output axis.
    count: the number of equal parts.
  """

  name: str
  index: int  # pyright: ignore[reportIncompatibleMethodOverride]
  count: int  # pyright: ignore[reportIncompatibleMethodOverride]


# Our module -> the file's, without the suffixes `.weight` and `.bias`. Several
# names: the file stores queries, keys and values separately. `{}` stands for
# the number of the layer.
Names = Mapping[str, str | tuple[str, ...] | Part]

# Keys of any config.json that request something this project does not compute,
# unless they have one of these values.
REQUIRED = {
  "prenorm": (False,),
  "parallel_block": (False,),
  "causal": (False,),
  "use_rms_norm": (False,),
  "rotary_emb_scale_base": (None,),
  "position_embedding_type": (None, "absolute"),
  "is_decoder": (False,),
  "add_cross_attention": (False,),
  "tie_word_embeddings": (True,),
  "is_encoder_decoder": (False,),
  "pruned_heads": (None, {}),
  "quantization_config": (None,),
  "cross_attention_hidden_size": (None,),
  "lora_adaptations": (None,),
}


@dataclasses.dataclass(frozen=True)
class Layout:
  """The names of a file's tensors.

  Attributes:
    encoder: names of `word`, `type`, `position`, `relative`, `norm`,
      `final_norm` and `pooler`, as far as the family has them.
    layer: names of a layer's `qkv`, `out`, `norm1`, `up`, `gate`, `down` and
      `norm2`.
    heads: names in the trees `mlm_head` (`transform`, `norm`, and "" for the
      bias of the logits) and `classification_head` (`pooler`, `norm`,
      `classifier`).
    plain: replaces entries of `layer` if the MLP is not gated.
    tied: tensors that may be stored as copies of another tensor.
    mlm_prefix: prefix, or prefixes, of the names of the MLM head. In a file
      with a classifier, names that the classifier also uses belong to it.
    ignored: patterns of tensors that affect no output.
    refused: patterns of tensors -> why a file that contains them is refused.
  """

  encoder: Names
  layer: Names
  heads: Mapping[str, Names]
  plain: Names = dataclasses.field(default_factory=dict)
  tied: Mapping[str, str] = dataclasses.field(default_factory=dict)
  mlm_prefix: str | tuple[str, ...] = "cls.predictions."
  ignored: tuple[str, ...] = (
    r"embeddings\.position_ids",
    r"embeddings\.token_type_ids",
    r".*\binv_freq",
    r"cls\.seq_relationship\..*",
  )  # next-sentence prediction
  refused: Mapping[str, str] = dataclasses.field(default_factory=dict)

  @property
  def word(self) -> str:
    """The name of the word embedding's tensor."""
    return f"{self.encoder['word']}.weight"

  def begins(self, name: str) -> bool:
    """Returns whether a tensor belongs to one of this layout's layers."""
    known = (*self.layer.values(), *self.plain.values())
    firsts = {x if isinstance(x, str) else x[0] for x in known}
    return any(
      re.match(re.escape(x).replace(r"\{\}", r"\d+") + r"\.", name)
      for x in firsts
    )


@dataclasses.dataclass(frozen=True)
class Family:
  """A family, which a module of `nomic_jax.families` defines as FAMILY.

  Attributes:
    name: the `model_type` in config.json.
    from_json: converts a config.json to an architecture. What the file does not
      specify (head, whether a pooler is stored) keeps its default.
    to_json: the inverse, without the keys that name `classes`. It may raise
      UserError, or write something that `from_json` reads as something else.
    classes: transformers' class for each of the trees `encoder`, `mlm_head`
      and `classification_head`.
    layouts: the layouts that files may have; the first one is written.
    reads: returns whether a config.json is of this family; by default it is if
      `model_type` is `name`.
    required: supported values of further keys; they override REQUIRED.
    prefixes: prefixes that the names of an encoder's tensors may have.
    opens: returns whether transformers' class computes an architecture of the
      family.
    prompts: the prompts of models whose files do not specify any.
    replaces_code: whether published files name code of their own (auto_map)
      that the family replaces.
    fresh: makes the architecture of fresh weights from the keys of
      config.encoder that are not None; see `fresh_by`.
  """

  name: str
  from_json: Callable[[Keys], Architecture]
  to_json: Callable[[Architecture], JsonObject]
  classes: Mapping[str, str]
  layouts: tuple[Layout, ...]
  reads: Callable[[Mapping[str, Json]], bool] | None = None
  required: Mapping[str, tuple[Json, ...]] = dataclasses.field(
    default_factory=dict
  )
  prefixes: tuple[str, ...] = ("", "trunk.")
  opens: Callable[[Architecture], bool] = lambda architecture: True
  prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)
  replaces_code: bool = False
  fresh: Callable[..., Architecture] | None = None

  def read(self, values: Mapping[str, Json], where: str) -> Architecture:
    """Returns the architecture of a config.json.

    Raises:
      UserError: if a key is missing, wrong or not supported; the message names
        it.
    """
    for key, allowed in {**REQUIRED, **self.required}.items():
      if key in values and values[key] not in allowed:
        raise UserError(
          f"{where}: {key}={values[key]!r} is not supported; expected "
          f"{allowed[-1]!r}"
        )
    code = values.get("auto_map")
    if isinstance(code, Mapping) and not self.replaces_code:
      for name, place in code.items():
        if name.startswith("AutoModel"):
          raise UserError(
            f"{where}: auto_map names the model's own code for {name} "
            f"({place}), which is never run; expected a model that "
            f"transformers' {self.classes['encoder']} computes. Remove "
            "auto_map if it does"
          )
    a = self.from_json(Keys(values, where))
    if not -a.vocab_size <= a.pad_token_id < a.vocab_size:
      raise UserError(
        f"{where}: pad_token_id={a.pad_token_id} has no row in a table of "
        f"vocab_size={a.vocab_size}; expected the id of the padding token"
      )
    return dataclasses.replace(a, family=self.name)

  def lacks(self, architecture: Architecture) -> str:
    """Returns why config.json cannot express an architecture; "" if it can."""
    a = dataclasses.replace(architecture, head=Head(), pooler=False)
    try:
      again = self.read(self.to_json(a), "config.json")
    except UserError as e:
      return str(e)
    differ = [
      f.name
      for f in dataclasses.fields(a)
      if f.compare and getattr(again, f.name) != getattr(a, f.name)
    ]
    if not differ:
      return ""
    return f"{self.name}'s config.json cannot express its {', '.join(differ)}"


def classes(prefix: str) -> dict[str, str]:
  """Returns transformers' class for each tree, as most families name them."""
  return {
    "encoder": f"{prefix}Model",
    "mlm_head": f"{prefix}ForMaskedLM",
    "classification_head": f"{prefix}ForSequenceClassification",
  }


def sizes(a: Architecture) -> JsonObject:
  """Returns the keys that most of transformers' classes share."""
  layer = a.layers[0]
  return {
    "vocab_size": a.vocab_size,
    "hidden_size": a.width,
    "num_hidden_layers": len(a.layers),
    "num_attention_heads": layer.attention.heads,
    "intermediate_size": layer.mlp.width,
    "type_vocab_size": a.embedding.types,
    "layer_norm_eps": layer.norm.eps,
    "initializer_range": a.initializer_range,
    "pad_token_id": a.pad_token_id,
    "torch_dtype": "float32",
  }


def numbers(keys: Keys, dropout: float = 0.0) -> JsonObject:
  """Returns the same keys, and those of dropout, as `EncoderConfig` fields."""
  keys.same("embedding_size", "hidden_size")
  keys.same("num_key_value_heads", "num_attention_heads")
  dropout = keys.get("hidden_dropout_prob", float, dropout)
  return dict(
    vocab_size=keys.get("vocab_size", int),
    width=keys.get("hidden_size", int),
    layers=keys.get("num_hidden_layers", int),
    heads=keys.get("num_attention_heads", int),
    mlp_width=keys.get("intermediate_size", int),
    type_vocab_size=keys.get("type_vocab_size", int, 2),
    norm_eps=keys.get("layer_norm_eps", float, 1e-12),
    initializer_range=keys.get("initializer_range", float, 0.02),
    pad_token_id=keys.get("pad_token_id", int, 0),
    dropout=dropout,
    head_dropout=keys.get("classifier_dropout", float, dropout),
  )


# Keys of config.encoder -> of config.json, in most of transformers' classes.
NUMBERS = {
  "vocab_size": "vocab_size",
  "pad_token_id": "pad_token_id",
  "width": "hidden_size",
  "layers": "num_hidden_layers",
  "heads": "num_attention_heads",
  "mlp_width": "intermediate_size",
  "max_length": "max_position_embeddings",
}


def fresh_by(
  from_json: Callable[[Keys], Architecture],
  names: Mapping[str, str] = NUMBERS,
  **usual: Json,
) -> Callable[..., Architecture]:
  """Returns a `Family.fresh` that reads a config.json made of the keys.

  Args:
    from_json: the family's.
    names: keys of config.encoder -> of config.json.
    **usual: values in the config.json of published models that differ from the
      defaults of `from_json`.
  """

  def fresh(
    *,
    pooling: str = "mean",
    pooled_norm: bool = False,
    projection: int = 0,
    rotary_factor: float = 0.0,
    dropout: float = 0.0,
    head_dropout: float = 0.0,
    **numbers: Json,
  ) -> Architecture:
    for name in numbers:
      one_of(name, names, f"{name}: this family has no such key")
    values = {names[k]: v for k, v in numbers.items()}
    a = from_json(Keys(usual | values, "config.json"))
    if rotary_factor and not a.rope:
      raise UserError(
        "rotary_factor: this family has no rotary embeddings; leave it out"
      )
    return dataclasses.replace(
      a.with_rope(factor=rotary_factor or None),
      head=Head(pooling).simple(a.width, pooled_norm, projection),
      dropout=dropout,
      head_dropout=head_dropout,
    )

  return fresh
