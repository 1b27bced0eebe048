# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A lower-case WordPiece tokenizer, as BERT's: trained, loaded and saved.

Unlike BERT's it serves every script: characters are composed (NFC) and keep
their marks, as many of them as the texts need are in the vocabulary, and a
long run without spaces is cut rather than unknown.

The same object and the same files as the `tokenizers` library's, so that
PyTorch users open them with `transformers.AutoTokenizer`.
"""

import collections
from collections.abc import Iterable
import json
import os
import pathlib
import unicodedata

import tokenizers

from nomic_jax.errors import UserError
from nomic_jax.storage import decoding
from nomic_jax.storage import hub_cache
from nomic_jax.storage import places
from nomic_jax.text import special_tokens
from nomic_jax.text import tokenizer_settings

# Files of a hub repository that a tokenizer is read from.
_FILES = (
  "tokenizer*.json",
  "special_tokens_map.json",
  "sentence_bert_config.json",
  "config.json",
)
SPECIAL_TOKENS = {
  "pad_token": "[PAD]",
  "unk_token": "[UNK]",
  "cls_token": "[CLS]",
  "sep_token": "[SEP]",
  "mask_token": "[MASK]",
}

# Where an identifier's words meet: getItem, HTTPServer.
APART = "(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"

# The vocabulary has the commonest characters: those that together make up this
# share of the texts, and this many in any case. Rarer ones become [UNK] rather
# than take up the vocabulary.
_COVER, _ALPHABET = 0.9999, 200
# Of a text this many characters are trained on.
_LONGEST = 1_000_000
# WordPiece takes a longer word as unknown; so words are cut into pieces of
# this many characters, which only writing without spaces has.
_WORD = 100
PIECES = f".{{1,{_WORD}}}"


def train(
  texts: Iterable[str],
  vocab_size: int,
  *,
  strip_accents: bool = False,
  cover: float = 0.95,
) -> tokenizers.Tokenizer:
  """Trains WordPiece on `texts`; the same texts give the same vocabulary.

  Args:
    texts: any number of texts, of which the first million characters each are
      kept in memory while training.
    vocab_size: the most tokens, special ones ([PAD]=0 … [MASK]=4) included.
    strip_accents: drop nonspacing marks, as uncased BERT does: café becomes
      cafe, but also Japanese か is then が, and Hindi कुल is कल.
    cover: the least share of the texts' characters that the vocabulary must
      have.

  Raises:
    UserError: if `vocab_size` has no room for that.
  """
  texts = [text[:_LONGEST] for text in texts]
  special = list(SPECIAL_TOKENS.values())
  normalizer = _normalizer(strip_accents)
  letters = _alphabet(texts, vocab_size, normalizer, cover)
  # The library's trainer numbers "##x" pieces, and picks among equally rare
  # letters, in the order of a randomly seeded hash table, and settles ties
  # between merges by those numbers: two runs differ. So the letters are given
  # to it, and the pieces pose as special tokens to be numbered in this order.
  pieces = ["##" + letter for letter in letters if _joins(letter, normalizer)]
  tokenizer = _wordpiece(None, normalizer)
  tokenizer.train_from_iterator(
    texts,
    tokenizers.trainers.WordPieceTrainer(
      vocab_size=vocab_size,
      special_tokens=special + pieces,
      initial_alphabet=letters,
      limit_alphabet=len(letters),
      show_progress=False,
      continuing_subword_prefix="##",
    ),
  )
  return _wordpiece(tokenizer.get_vocab(), normalizer)


def _alphabet(
  texts: list[str],
  vocab_size: int,
  normalizer: tokenizers.normalizers.Normalizer,
  cover: float,
) -> list[str]:
  """Returns the commonest characters as the model will see them, in order.

  Args:
    texts: where they are counted.
    vocab_size: as of `train`.
    normalizer: makes of a text what the model sees.
    cover: as of `train`.

  Raises:
    UserError: if the characters that fit are a smaller share than `cover`.
  """
  raw, seen = collections.Counter(), collections.Counter()
  for text in texts:
    raw.update(unicodedata.normalize("NFC", text))
  for character, count in raw.items():
    for normalized in normalizer.normalize_str(character):
      if not normalized.isspace():
        seen[normalized] += count
  found, taken, total = [], 0, seen.total()
  room = vocab_size - len(SPECIAL_TOKENS)
  for letter in sorted(seen, key=lambda c: (-seen[c], c)):
    tokens = 1 + _joins(letter, normalizer)
    if len(found) >= _ALPHABET and taken >= _COVER * total or (tokens >= room):
      break
    found.append(letter)
    taken += seen[letter]
    room -= tokens
  if not found or taken < cover * total:
    raise UserError(
      f"--vocab_size={vocab_size}: too small, it has room for {len(found):,} "
      f"of the {len(seen):,} characters of these texts, which are "
      f"{taken / max(total, 1):.0%} of what is written; 8192 is usual for a "
      "small corpus"
    )
  return sorted(found)


def _joins(letter: str, normalizer: tokenizers.normalizers.Normalizer) -> bool:
  """Whether `letter` can continue a word, not being a word of its own."""
  word = normalizer.normalize_str(f"a{letter}a")
  return len(_pre_tokenizer().pre_tokenize_str(word)) == 1


def _normalizer(strip_accents: bool) -> tokenizers.normalizers.Normalizer:
  """BERT's, after taking identifiers apart: addItem reads as add item.

  Otherwise a word inside an identifier would be another token ("##item") than
  the same word in a question, and no training could tell for rare ones.
  """
  return tokenizers.normalizers.Sequence(
    [
      tokenizers.normalizers.Replace(tokenizers.Regex(APART), " "),
      tokenizers.normalizers.NFC(),
      tokenizers.normalizers.BertNormalizer(
        lowercase=True, strip_accents=strip_accents
      ),
    ]
  )


def _pre_tokenizer() -> tokenizers.pre_tokenizers.PreTokenizer:
  """BERT's, and long words in pieces."""
  return tokenizers.pre_tokenizers.Sequence(
    [
      tokenizers.pre_tokenizers.BertPreTokenizer(),
      tokenizers.pre_tokenizers.Split(tokenizers.Regex(PIECES), "isolated"),
    ]
  )


def _wordpiece(
  vocab: dict[str, int] | None, normalizer: tokenizers.normalizers.Normalizer
) -> tokenizers.Tokenizer:
  """Returns BERT's pipeline around a vocabulary, or around none yet."""
  tokenizer = tokenizers.Tokenizer(
    tokenizers.models.WordPiece(
      vocab, unk_token="[UNK]", max_input_chars_per_word=_WORD
    )
  )
  tokenizer.normalizer = normalizer
  tokenizer.pre_tokenizer = _pre_tokenizer()
  tokenizer.decoder = tokenizers.decoders.WordPiece(prefix="##")
  if vocab is not None:
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS.values()))
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
      single="[CLS] $A [SEP]",
      pair="[CLS] $A [SEP] $B:1 [SEP]:1",
      special_tokens=[(t, vocab[t]) for t in ("[CLS]", "[SEP]")],
    )
  return tokenizer


@places.expanding("path")
def load(path: str | os.PathLike) -> tokenizers.Tokenizer:
  """Loads a tokenizer.json, or the one in a folder or of a hub model.

  A limit or padding stored in the file is taken off: how long a text may be
  is the model's to say, and rows are packed, not padded. What the files
  beside it ask for is done, see `tokenizer_settings`.

  Raises:
    UserError: if there is none or it is no tokenizer.
  """
  path = pathlib.Path(path)
  if hub_cache.is_hub_name(path) and path.suffix != ".json":
    path = hub_cache.find(path, _FILES)
  file = path / "tokenizer.json" if path.is_dir() else path
  if not file.is_file():
    raise UserError(
      f"{file}: no such file; expected a tokenizer.json of the tokenizers "
      "library, or a folder that holds one"
    )
  try:
    # Not from_file, which takes no path that is not UTF-8.
    tokenizer = tokenizers.Tokenizer.from_str(
      decoding.decode(file.read_bytes(), "its bytes")
    )
  except Exception as e:  # The library raises bare Exception.
    reason = " ".join(str(e).split())
    raise UserError(
      f"{file}: not a tokenizer.json of the tokenizers library ({reason}); "
      "copy it again or make it with nomic-jax prepare"
    ) from e
  if file.name == "tokenizer.json":
    tokenizer_settings.apply(tokenizer, file.parent)
  tokenizer.no_truncation()
  tokenizer.no_padding()
  return tokenizer


@places.expanding("folder")
def save(tokenizer: tokenizers.Tokenizer, folder: str | os.PathLike) -> None:
  """Writes the files that `transformers.AutoTokenizer` opens to `folder`.

  They declare the special tokens that the tokenizer has and no others.
  """
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  (folder / "tokenizer.json").write_text(
    tokenizer.to_str(pretty=True), encoding="utf-8"
  )
  roles = special_tokens.settings(tokenizer)
  config = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "clean_up_tokenization_spaces": True,
    **roles,
  }
  _write_json(folder / "tokenizer_config.json", config)
  _write_json(folder / "special_tokens_map.json", roles)
  vocab = tokenizer.get_vocab()
  if isinstance(tokenizer.model, tokenizers.models.WordPiece) and (
    len(vocab) == special_tokens.vocabulary_rows(tokenizer)
  ):
    lines = sorted(vocab, key=vocab.__getitem__)
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_json(path: pathlib.Path, value: dict) -> None:
  text = json.dumps(value, indent=2, ensure_ascii=False)
  path.write_text(text + "\n", encoding="utf-8")
