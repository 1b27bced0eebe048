# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Model directories of random weights, one for each family, for `export`."""

import pathlib

import pytest
from support import family_cases
from support import hub_random
from support import tiny
import tokenizers

from nomic_jax.hub import model_directory
from nomic_jax.model.architecture import Architecture

NOMIC = tiny.ARCHITECTURE
FAMILIES = (*family_cases.CASES, "nomic_bert")


def bert_tokenizer(lowercase=True) -> tokenizers.Tokenizer:
  """A WordPiece tokenizer of two words that splits texts as BERT's does."""
  made = hub_random.tokenizer()
  made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lowercase)
  made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
  made.post_processor = tokenizers.processors.TemplateProcessing(
    single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
  )
  return made


def write(path: pathlib.Path, a: Architecture, **kwargs) -> pathlib.Path:
  """Writes a model of an architecture of ours, with `bert_tokenizer`."""
  kwargs = {"tokenizer": bert_tokenizer(), "prompts": {}} | kwargs
  model_directory.write_model(path, a, hub_random.trees(a)["encoder"], **kwargs)
  return path


def write_family(path: pathlib.Path, name: str) -> pathlib.Path:
  """Writes a model of a family, by transformers except for NomicBERT's."""
  if name == "nomic_bert":
    card = '# name\n\n    SentenceTransformer("name")\n'
    return write(path, NOMIC, card=card)
  path.mkdir()
  family_cases.CASES[name].random("Model").save_pretrained(path)
  bert_tokenizer().save(str(path / "tokenizer.json"))
  return path


@pytest.fixture(name="models", scope="session")
def models(tmp_path_factory) -> dict[str, pathlib.Path]:
  """A directory for each family; tests import this fixture."""
  place = tmp_path_factory.mktemp("models")
  return {name: write_family(place / name, name) for name in FAMILIES}
