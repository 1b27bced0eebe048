# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Applies the settings in the files beside a tokenizer.json.

transformers and sentence-transformers apply these settings when they load a
tokenizer. Reading tokenizer.json alone would give other ids.
"""

import json
import pathlib
from typing import Any
import warnings

import tokenizers
from tokenizers import normalizers
from tokenizers import pre_tokenizers
from tokenizers import processors

from nomic_jax.errors import UserError
from nomic_jax.storage.keys import Keys
from nomic_jax.storage.keys import read_json
from nomic_jax.storage.values import JsonObject
from nomic_jax.text import added_tokens
from nomic_jax.text import special_tokens

SETTINGS = "tokenizer_config.json"
TOKENS = "special_tokens_map.json"
ADDED = "added_tokens.json"
# Names of one file, in sentence-transformers' order; the first that exists
# counts.
LENGTHS = tuple(
  f"sentence_{kind}_config.json"
  for kind in (
    "bert",
    "roberta",
    "distilbert",
    "camembert",
    "albert",
    "xlm-roberta",
    "xlnet",
  )
)
MODEL = "config.json"
# Classes of transformers that build BERT's normalizer from these keys,
# whatever tokenizer.json contains, and the defaults of the keys.
_BERTS = ("Bert", "DistilBert", "Electra", "MobileBert", "MPNet")
_CLASSES = tuple(
  f"{name}Tokenizer{end}" for name in _BERTS for end in ("", "Fast")
)
# The class of a tokenizer if no file names another -> the model types it is
# for, as transformers' AutoTokenizer has them, also without a family here.
_TYPES = {
  "BertTokenizer": (
    "align",
    "bark",
    "bert",
    "blip",
    "bros",
    "chinese_clip",
    "convbert",
    "distilbert",
    "electra",
    "ernie",
    "flava",
    "git",
    "grounding-dino",
    "layoutlm",
    "megatron-bert",
    "mm-grounding-dino",
    "nomic_bert",
    "squeezebert",
    "tvp",
    "vilt",
    "visual_bert",
  ),
  "CamembertTokenizer": ("camembert",),
  "MobileBertTokenizer": ("mobilebert",),
  "MPNetTokenizer": ("mpnet",),
  "RobertaTokenizer": (
    "bart",
    "bridgetower",
    "clap",
    "data2vec-text",
    "ibert",
    "lilt",
    "longformer",
    "mra",
    "roberta",
    "roberta-prelayernorm",
  ),
  "XLMRobertaTokenizer": (
    "gte",
    "jina_embeddings_v3",
    "metaclip_2",
    "trocr",
    "xlm-roberta",
    "xmod",
  ),
}
# Model types for which transformers reads tokenizer.json as it is, whatever
# class the files name.
_AS_IT_IS = ("modernbert", "modernbert-decoder")
OF_TYPE = {kind: name for name, kinds in _TYPES.items() for kind in kinds}
# Classes that add a space before a text depending only on this key.
_BYTE_LEVEL = tuple(
  f"{name}Tokenizer{end}"
  for name in ("Roberta", "GPT2", "Bart", "Longformer")
  for end in ("", "Fast")
)
# Classes that split texts at white space, whatever tokenizer.json contains.
_SENTENCEPIECE = tuple(
  f"{name}Tokenizer{end}"
  for name in ("XLMRoberta", "Camembert")
  for end in ("", "Fast")
)
_KEYS = {
  "do_lower_case": ("lowercase", True),
  "strip_accents": ("strip_accents", None),
  "tokenize_chinese_chars": ("handle_chinese_chars", True),
}


def apply(tokenizer: tokenizers.Tokenizer, folder: pathlib.Path) -> None:
  """Changes a tokenizer as the files beside its tokenizer.json specify.

  Some tokenizer classes of transformers override tokenizer.json. The class is
  named in tokenizer_config.json or config.json, or follows from the model type.
  Also records the declared special tokens, which `special_tokens.of` reads.

  Args:
    tokenizer: as read from the tokenizer.json in `folder`.
    folder: may contain the other files.

  Raises:
    UserError: for an unreadable file or an unsupported setting.
  """
  settings, tokens, model = (
    _read(folder / name) for name in (SETTINGS, TOKENS, MODEL)
  )
  special_tokens.declare(
    tokenizer,
    special_tokens.declared_in(settings, tokens, tokenizer.padding or {}),
  )
  keys = Keys(settings, str(folder / SETTINGS))
  side = keys.get("truncation_side", str, None) or (
    tokenizer.truncation or {}
  ).get("direction", "right")
  if side != "right":
    raise UserError(
      f"{folder}: its tokenizer has truncation_side='{side}', which is not "
      "supported; expected 'right', which keeps the start of a long text"
    )
  if keys.get("split_special_tokens", bool, False):
    raise UserError(
      f"{keys.where}: split_special_tokens=true is not supported; expected "
      "false, which reads a special token in a text as one token"
    )
  kind = _class(settings, model)
  added_tokens.add(tokenizer, keys, tokens, folder / ADDED)
  if kind in _CLASSES:
    _as_bert(tokenizer, keys)
  elif kind in _BYTE_LEVEL:
    _set_prefix_space(tokenizer, keys.get("add_prefix_space", bool, False))
  elif kind in _SENTENCEPIECE and isinstance(
    tokenizer.model, tokenizers.models.Unigram
  ):
    _as_xlm_roberta(tokenizer, keys.get("add_prefix_space", bool, True))
  lengths = lengths_file(folder)
  if lengths and Keys(_read(lengths), str(lengths)).get(
    "do_lower_case", bool, False
  ):
    _prepend(tokenizer, normalizers.Lowercase())


def lengths_file(folder: pathlib.Path) -> pathlib.Path | None:
  """Returns the path of sentence_bert_config.json, or of its older names."""
  return next((folder / n for n in LENGTHS if (folder / n).is_file()), None)


def _read(path: pathlib.Path) -> JsonObject:
  values = read_json(path) if path.is_file() else {}
  if not isinstance(values, dict):
    raise UserError(f"{path}: expected a JSON object; copy it again")
  return values


def _class(settings: JsonObject, model: JsonObject) -> Any:
  """Returns the tokenizer's class in transformers, as AutoTokenizer does."""
  if model.get("model_type") in _AS_IT_IS:
    return None
  return (
    settings.get("tokenizer_class")
    or model.get("tokenizer_class")
    or OF_TYPE.get(str(model.get("model_type")))
  )


def _set_prefix_space(tokenizer: tokenizers.Tokenizer, wanted: bool) -> None:
  """Sets whether byte-level pre-tokenization starts each text with a space."""
  values = json.loads(tokenizer.to_str())
  step = values["pre_tokenizer"] or {}
  byte_level = [
    s for s in step.get("pretokenizers", [step]) if s.get("type") == "ByteLevel"
  ]
  if any(s["add_prefix_space"] != wanted for s in byte_level):
    for s in byte_level:
      s["add_prefix_space"] = wanted
    tokenizer.pre_tokenizer = _part("pre_tokenizer", step)


def _as_bert(tokenizer: tokenizers.Tokenizer, keys: Keys) -> None:
  """Applies what transformers' BertTokenizer does to a tokenizer.json."""
  wanted = {
    ours: keys.get(theirs, bool, default)
    for theirs, (ours, default) in _KEYS.items()
  }
  parts = json.loads(tokenizer.to_str())["normalizer"] or {}
  steps = parts.get("normalizers", [parts])
  berts = [s for s in steps if s.get("type") == "BertNormalizer"]
  if len(berts) == 1:
    if any(berts[0].get(name) != value for name, value in wanted.items()):
      tokenizer.normalizer = normalizers.Sequence(
        [
          normalizers.BertNormalizer(clean_text=step["clean_text"], **wanted)
          if step is berts[0]
          else _part("normalizer", step)
          for step in steps
        ]
      )
  elif wanted["lowercase"] and "Lowercase" not in str(steps):
    _prepend(tokenizer, normalizers.Lowercase())
  if tokenizer.post_processor is None:
    _add_ends(tokenizer)


def _as_xlm_roberta(tokenizer: tokenizers.Tokenizer, prefix: bool) -> None:
  """Applies what transformers' XLMRobertaTokenizer does to a tokenizer.json.

  It keeps only the table of the normalizer that SentencePiece compiled.
  """
  parts = json.loads(tokenizer.to_str())["normalizer"] or {}
  tables = [
    step
    for step in parts.get("normalizers", [parts])
    if step.get("type") == "Precompiled"
  ]
  tokenizer.normalizer = _part("normalizer", tables[0]) if tables else None
  tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
    [
      pre_tokenizers.WhitespaceSplit(),
      pre_tokenizers.Metaspace(prepend_scheme="always" if prefix else "never"),
    ]
  )


def _part(name: str, step: JsonObject) -> Any:
  """Returns a normalizer or pre-tokenizer, as `name` says, from its JSON."""
  bare = tokenizers.Tokenizer(tokenizers.models.WordLevel({}, unk_token=""))
  values = json.loads(bare.to_str()) | {name: step}
  return getattr(tokenizers.Tokenizer.from_str(json.dumps(values)), name)


def _add_ends(tokenizer: tokenizers.Tokenizer) -> None:
  """Adds BERT's tokens around a text: [CLS] and [SEP], however spelled.

  If no file declares them, the vocabulary's spelling is used.
  """
  declared = special_tokens.declared_of(tokenizer)
  usual = ("[CLS]", "[SEP]")
  if tokenizer.token_to_id("[CLS]") is None:
    usual = ("<s>", "</s>")  # as MPNet writes them
  head, tail = (
    declared.get(f"{role}_token", token)
    for role, token in zip(("cls", "sep"), usual)
  )
  ids = [(t, tokenizer.token_to_id(t)) for t in (head, tail)]
  if all(i is not None for _, i in ids):
    tokenizer.post_processor = processors.TemplateProcessing(
      single=f"{head} $A {tail}",
      pair=f"{head} $A {tail} $B:1 {tail}:1",
      special_tokens=ids,
    )


def _prepend(
  tokenizer: tokenizers.Tokenizer, step: normalizers.Normalizer
) -> None:
  before = tokenizer.normalizer
  tokenizer.normalizer = (
    step if before is None else (normalizers.Sequence([step, before]))
  )


def warn_of_no_ends(tokenizer: tokenizers.Tokenizer, where: object) -> None:
  """Warns if a model's tokenizer adds no special tokens around a text."""
  special = special_tokens.of(tokenizer)
  if not special.head and not special.tail:
    warnings.warn(
      f"{where}: tokenizer.json has no post-processor that adds special "
      "tokens, so texts are read without them and an empty text has no tokens",
      stacklevel=3,
    )
