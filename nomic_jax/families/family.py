# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What a family of encoders is: a config.json and names of tensors.

Each is read into what this project computes and written back; see README.md
in this folder for how to add one.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import re
from typing import Any

from nomic_jax.errors import UserError
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.head import Head
from nomic_jax.storage.keys import Keys

# Our module -> the file's, without the ends `.weight` and `.bias`. Several
# names: the file has queries, keys and values apart. `{}` is a layer's number.
Names = Mapping[str, str | tuple[str, ...]]

# Keys of any config.json that ask for something this project does not compute,
# unless they hold one of these values.
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
  """Names of a file's tensors.

  Attributes:
    encoder: of `word`, `type`, `position`, `norm`, `final_norm`, `pooler`.
    layer: of a layer's `qkv`, `out`, `norm1`, `up`, `gate`, `down`, `norm2`.
    heads: of the trees `mlm_head` (`transform`, `norm` and "" for the bias of
      the logits) and `classification_head` (`pooler`, `classifier`).
    plain: in place of `layer` where the MLP is not gated.
    tied: copies that a file may hold of another tensor.
    mlm_prefix: what the names of the MLM head begin with.
    ignored: patterns of tensors that change no output.
    refused: patterns of tensors -> why a file with them is refused.
  """

  encoder: Names
  layer: Names
  heads: Mapping[str, Names]
  plain: Names = dataclasses.field(default_factory=dict)
  tied: Mapping[str, str] = dataclasses.field(default_factory=dict)
  mlm_prefix: str = "cls.predictions."
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
    """Whether a tensor is one of this layout's layers."""
    known = (*self.layer.values(), *self.plain.values())
    firsts = {x if isinstance(x, str) else x[0] for x in known}
    return any(
      re.match(re.escape(x).replace(r"\{\}", r"\d+") + r"\.", name)
      for x in firsts
    )


@dataclasses.dataclass(frozen=True)
class Family:
  """One family; a module of `nomic_jax.families` has it as FAMILY.

  Attributes:
    name: `model_type` in config.json.
    from_json: a config.json to the architecture. What the file does not say
      (head, whether a pooler is stored) is left at its default.
    to_json: the inverse; the values without those of `classes`. It may raise
      UserError, or write something else that `from_json` then reads.
    classes: names of transformers' classes for the trees `encoder`,
      `mlm_head` and `classification_head`.
    layouts: in which tensors may be named; the first is written.
    reads: whether a config.json is this family's; by default by `name`.
    prefixes: what the names of an encoder's tensors may begin with.
    opens: whether transformers' class computes an architecture of the family.
    prompts: those of models whose files do not say.
    stands_for_code: whether published files name code of their own, in place
      of which the family stands.
  """

  name: str
  from_json: Callable[[Keys], Architecture]
  to_json: Callable[[Architecture], dict[str, Any]]
  classes: Mapping[str, str]
  layouts: tuple[Layout, ...]
  reads: Callable[[Mapping[str, Any]], bool] | None = None
  prefixes: tuple[str, ...] = ("", "trunk.")
  opens: Callable[[Architecture], bool] = lambda architecture: True
  prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)
  stands_for_code: bool = False

  def read(self, values: Mapping[str, Any], where: str) -> Architecture:
    """The architecture of a config.json.

    Raises:
      UserError: naming the key that is missing, wrong or not supported.
    """
    for key, allowed in REQUIRED.items():
      if key in values and values[key] not in allowed:
        raise UserError(
          f"{where}: {key}={values[key]!r} is not supported; expected "
          f"{allowed[-1]!r}"
        )
    code = values.get("auto_map")
    if isinstance(code, Mapping) and not self.stands_for_code:
      for name, place in code.items():
        if name.startswith("AutoModel"):
          raise UserError(
            f"{where}: auto_map has code of its own for {name} ({place}), "
            f"which is never run; expected a model as {self.classes['encoder']}"
            " of transformers computes it. Remove auto_map if it is one"
          )
    return dataclasses.replace(
      self.from_json(Keys(values, where)), family=self.name
    )

  def lacks(self, architecture: Architecture) -> str:
    """Why its config.json cannot express an architecture; "" if it can."""
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
    return (
      differ
      and (f"{self.name}'s config.json cannot express its {', '.join(differ)}")
      or ""
    )


def sizes(a: Architecture) -> dict[str, Any]:
  """Keys on which most of transformers' classes agree."""
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


def numbers(keys: Keys, dropout: float = 0.0) -> dict[str, Any]:
  """The same keys as fields of an `EncoderConfig`, and those of dropout."""
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
