# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Special tokens are found by role, whatever their names."""

import json

import ml_collections
import numpy as np
import pytest
from support import tiny
import tokenizers
from tokenizers import processors

from nomic_jax.data import collate
from nomic_jax.data import labels
from nomic_jax.data import pairs
from nomic_jax.data import text
from nomic_jax.errors import UserError
from nomic_jax.text import special_tokens
from nomic_jax.text import tokenizer as tokenizer_lib
from nomic_jax.text import words

BERT = tiny.words()
NAMES = {
  "[PAD]": "<pad>",
  "[CLS]": "<s>",
  "[SEP]": "</s>",
  "[UNK]": "<unk>",
  "[MASK]": "<mask>",
}


def renamed(names: dict[str, str]) -> tokenizers.Tokenizer:
  """BERT's tokenizer with the same ids and other names of special tokens."""
  written = BERT.to_str()
  for old, new in names.items():
    written = written.replace(json.dumps(old), json.dumps(new))
  return tokenizers.Tokenizer.from_str(written)


def templated(template: str) -> tokenizers.Tokenizer:
  made = tokenizers.Tokenizer.from_str(BERT.to_str())
  made.post_processor = processors.TemplateProcessing(
    single=template,
    pair=template + " $B",
    special_tokens=[(t, BERT.token_to_id(t)) for t in ("[CLS]", "[SEP]")],
  )
  return made


XLMR = renamed(NAMES)
ENDS = {  # by template, the ids before and after a text
  "[CLS] $A [SEP]": ((2,), (3,)),
  "[CLS] $A": ((2,), ()),
  "$A [SEP]": ((), (3,)),
  "$A": ((), ()),
  "[CLS] [CLS] $A [SEP] [SEP]": ((2, 2), (3, 3)),
}


@pytest.mark.parametrize("template", ENDS)
def test_head_and_tail_are_the_added_tokens(template):
  made = templated(template)
  special = special_tokens.of(made)
  assert (special.head, special.tail) == ENDS[template]
  for probe in ("", "alpha beta", "[SEP] alpha [CLS]"):
    plain = made.encode(probe, add_special_tokens=False).ids
    assert special.around(plain).tolist() == made.encode(probe).ids
  ids = made.encode("alpha " * 9).ids
  for length in range(12):
    cut = special.cut(ids, length).tolist()
    assert len(cut) == min(length, len(ids))
    tail = list(special.tail)[:length]
    assert not tail or cut[-len(tail) :] == tail
    kept = cut[: len(cut) - len(tail)]
    assert kept == ids[: len(kept)]


def test_roles_do_not_depend_on_spelling(tmp_path):
  expected = special_tokens.SpecialTokens((2,), (3,), pad=0, unk=1, mask=4)
  odd = {old: f"#{i}#" for i, old in enumerate(NAMES)}
  assert special_tokens.of(BERT) == special_tokens.of(XLMR) == expected
  # Unusual names: the model names its unk token, and files beside it declare
  # the others.
  alone = special_tokens.of(renamed(odd))
  assert alone == expected._replace(pad=None, mask=None) and alone.fill == 0
  renamed(odd).save(str(tmp_path / "tokenizer.json"))
  (tmp_path / "tokenizer_config.json").write_text(
    json.dumps(
      {
        "pad_token": {"content": odd["[PAD]"], "lstrip": False},
        "mask_token": "[MASK]",
      }
    )
  )  # a token that it lacks
  (tmp_path / "special_tokens_map.json").write_text(
    json.dumps({"pad_token": odd["[MASK]"], "eos_token": odd["[SEP]"]})
  )
  found = special_tokens.of(tokenizer_lib.load(tmp_path))
  assert found == expected._replace(mask=None)  # the first file wins
  with pytest.raises(UserError, match="MLM needs a mask token, and the tok"):
    found.require("mask", "MLM")
  unigram = tokenizers.Tokenizer(
    tokenizers.models.Unigram([("a", 0.0), ("?", -1.0)], unk_id=1)
  )
  assert special_tokens.of(unigram).unk == 1


def test_the_largest_id_counts_not_the_number_of_tokens():
  gaps = tokenizers.Tokenizer(
    tokenizers.models.WordLevel({"a": 0, "b": 70_000}, unk_token="a")
  )
  assert special_tokens.vocabulary_rows(gaps) == 70_001
  special_tokens.check_rows(gaps, 70_001, "here")
  with pytest.raises(
    UserError,
    match="here: tokenizer.json has id 70000, but the "
    "model has 70000 embedding rows; specify the tokenizer that the",
  ):
    special_tokens.check_rows(gaps, 70_000, "here")


def _config(**values):
  return ml_collections.ConfigDict(
    dict(
      batch_size=8,
      micro_batches=1,
      row_length=32,
      slots=4,
      rows_multiple=4,
      query_length=8,
      document_length=8,
      text_length=8,
      labels=1,
      classes=0,
      mask_rate=0.3,
      negatives=2,
      one_source=False,
      token_dropout=0.0,
      query_prompt="search : ",
      document_prompt="item : ",
    )
    | values
  )


@pytest.mark.parametrize("kind", ["pairs", "text", "labels"])
def test_trainings_do_not_depend_on_spelling(kind):
  make = {"pairs": pairs, "text": text, "labels": labels}[kind].batches
  rows = [r | {"labels": [1.0], "location": ""} for r in tiny.rows()]
  one, other = (
    next(iter(make(rows, t, _config(), 3, 0, 1))) for t in (BERT, XLMR)
  )
  assert one.keys() == other.keys()
  for key in one:
    np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.parametrize("template", ENDS)
def test_a_cut_keeps_only_what_the_template_adds(template):
  made = templated(template)
  rows = [
    {
      "query": "alpha",
      "document": "beta " * 20 + "gamma",
      "negatives": [],
      "source": "",
    }
  ]
  prompts = {"": {"query": "", "document": ""}}
  batch = collate.collate(rows, (0, 0), made, _config(negatives=0), prompts)
  head, tail = ENDS[template]
  beta = made.encode("beta", add_special_tokens=False).ids * 8
  expected = [*head, *beta[len(head) + len(tail) :], *tail]
  assert batch["ids"][0, :8].tolist() == expected
  (found,) = words.Words(made).encode_ids(["alpha beta"])
  assert found.tolist() == made.encode("alpha beta").ids


def test_no_special_tokens_and_dropout_is_no_error():
  made = templated("$A")
  rows = [
    {"query": "\u200b", "document": "beta", "negatives": [], "source": ""}
  ]
  prompts = {"": {"query": "", "document": ""}}
  batch = collate.collate(
    rows, (0, 0), made, _config(negatives=0, token_dropout=0.1), prompts
  )
  assert (batch["segment_ids"] > 0).sum() <= 1


def test_mlm_without_a_mask_token_is_a_one_line_error():
  rows = [r | {"labels": []} for r in tiny.rows()]
  bare = renamed({"[MASK]": "[HIDDEN]"})
  with pytest.raises(UserError, match="training needs a mask token"):
    text.batches(rows, bare, _config(), 3, 0, 1)


def test_saved_files_declare_the_tokens_there_are(tmp_path):
  transformers = pytest.importorskip("transformers")
  tokenizer_lib.save(XLMR, tmp_path)
  theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
  assert len(theirs) == XLMR.get_vocab_size()  # none was added
  assert (theirs.pad_token_id, theirs.mask_token) == (0, "<mask>")
  for probe in ("alpha beta", "", "alpha <mask>"):
    assert theirs(probe)["input_ids"] == XLMR.encode(probe).ids
  tokenizer_lib.save(templated("[CLS] $A"), tmp_path)
  config = json.loads((tmp_path / "tokenizer_config.json").read_text())
  assert config["cls_token"] == "[CLS]" and "sep_token" not in config
