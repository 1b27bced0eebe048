# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""BPE and Unigram tokenizers keep every script and open in other libraries."""

import inspect
import json
import os
import random
import subprocess
import sys
import unicodedata

import pytest
import transformers

from nomic_jax.data import prepare
from nomic_jax.errors import UserError
from nomic_jax.text import special_tokens
from nomic_jax.text import subwords
from nomic_jax.text import tokenizer as tokenizer_lib

KINDS = ("bpe", "unigram")
_SCRIPTS = {
  "Han": [chr(0x4E00 + i) for i in range(800)],
  "Devanagari": [chr(0x0905 + i) for i in range(70)] + [" "] * 10,
  "Arabic": [chr(0x0627 + i) for i in range(36)] + [" "] * 6,
  "Latin": list("abcdefgABCDEéöß.,-09 "),
}


def _texts(count: int = 60, length: int = 150) -> list[str]:
  draw = random.Random(0)
  texts = [inspect.getsource(json.decoder)]
  for letters in _SCRIPTS.values():
    weight = [1 / (i + 10) for i in range(len(letters))]
    texts += [
      "".join(draw.choices(letters, weight, k=length)).strip()
      for _ in range(count)
    ]
  return texts


TEXTS = _texts()
SIZES = {"bpe": 600, "unigram": 1400}


@pytest.fixture(name="words", scope="module", params=KINDS)
def _words(request):
  kind = request.param
  words = tokenizer_lib.train(TEXTS, SIZES[kind], kind=kind)
  words.kind = kind
  return words


def test_nothing_is_lost_of_any_script(words):
  unk = words.token_to_id("<unk>")
  normal = {"bpe": "NFC", "unigram": "NFKC"}[words.kind]
  for text in TEXTS[1:]:
    encoded = words.encode(text, add_special_tokens=False)
    if words.kind == "unigram":
      assert encoded.ids.count(unk) <= 0.02 * len(text)
      continue
    assert words.decode(encoded.ids) == unicodedata.normalize(normal, text)
  unseen = "\U0001f600 x"
  ids = words.encode(unseen, add_special_tokens=False).ids
  assert (unk in ids) == (words.kind == "unigram")


def test_special_tokens_and_their_roles(words, tmp_path):
  special = special_tokens.of(words)
  assert special == ((2,), (3,), 0, 1, 4)
  assert words.get_vocab_size() <= SIZES[words.kind]
  assert words.encode("de <mask> def").ids.count(special.mask) == 1
  tokenizer_lib.save(words, tmp_path)
  again = tokenizer_lib.load(tmp_path)
  theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
  for text in [*TEXTS[::20], "", " two  spaces\n", "a <mask> b"]:
    assert again.encode(text).ids == words.encode(text).ids
    assert theirs(text)["input_ids"] == words.encode(text).ids
  assert (theirs.pad_token_id, theirs.mask_token_id) == (0, 4)
  assert (theirs.cls_token_id, theirs.sep_token_id) == (2, 3)


def test_training_again_gives_the_same_file(words, tmp_path):
  """In another process, since the library's hash tables are seeded in each."""
  program = (
    "import json, sys; from nomic_jax.text import tokenizer\n"
    "texts, kind, size = json.load(open(sys.argv[1]))\n"
    "tokenizer.save(tokenizer.train(texts, size, kind=kind), sys.argv[2])\n"
  )
  job = tmp_path / "job.json"
  job.write_text(json.dumps((TEXTS, words.kind, SIZES[words.kind])))
  subprocess.run(
    [sys.executable, "-c", program, job, tmp_path / "again"],
    check=True,
    env={**os.environ, "PYTHONHASHSEED": "7"},
  )
  tokenizer_lib.save(words, tmp_path / "once")
  once, again = (
    (tmp_path / name / "tokenizer.json").read_bytes()
    for name in ("once", "again")
  )
  assert once == again


def test_prepare_trains_and_takes_them(words, tmp_path, capsys):
  source = tmp_path / "texts.jsonl"
  rows = [{"query": t[:20], "document": t[20:]} for t in TEXTS[1:]]
  source.write_text("\n".join(map(json.dumps, rows)))
  prepare.prepare(
    str(source),
    tmp_path / "trained",
    vocab_size=SIZES[words.kind],
    tokenizer_kind=words.kind,
  )
  found = tokenizer_lib.load(tmp_path / "trained" / "tokenizer")
  assert type(found.model) is type(words.model)
  tokenizer_lib.save(words, tmp_path / "words")
  prepare.prepare(
    str(source), tmp_path / "taken", tokenizer=str(tmp_path / "words")
  )
  taken = tokenizer_lib.load(tmp_path / "taken" / "tokenizer")
  assert taken.to_str() == tokenizer_lib.load(tmp_path / "words").to_str()
  assert "unknown" not in capsys.readouterr().err


@pytest.mark.parametrize(
  "arguments, message",
  [
    (dict(tokenizer_kind="bpe", vocab_size=200), "too small for BPE.* 261"),
    (dict(tokenizer_kind="unigram", vocab_size=9), "=9: too small"),
    (dict(tokenizer_kind="words"), "tokenizer_kind=words is unknown.*bpe"),
    (dict(tokenizer_kind="bpe", strip_accents=True), "--strip_accents: not"),
    (dict(tokenizer_kind="bpe", tokenizer="x"), "leave out one of the two"),
    (dict(strip_accents=True, tokenizer="x"), "--strip_accents: --tokenizer"),
  ],
)
def test_what_cannot_be_trained_is_told_in_one_line(
  arguments, message, tmp_path
):
  source = tmp_path / "texts.jsonl"
  rows = [{"query": f"what {i}", "document": f"a text {i}"} for i in range(9)]
  source.write_text("\n".join(map(json.dumps, rows)))
  with pytest.raises(UserError, match=message) as error:
    prepare.prepare(str(source), tmp_path / "data", **arguments)
  assert "\n" not in str(error.value)
  assert not (tmp_path / "data").exists()


def test_names_of_the_special_tokens_are_known_by_role():
  for role, token in (("pad", subwords.PAD), ("mask", subwords.MASK)):
    assert token in special_tokens.SPELLINGS[role]
