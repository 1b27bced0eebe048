# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Training, loading and saving tokenizers.

The default is a lower-case WordPiece tokenizer like BERT's; `subwords.py` has
the other kinds. Unlike BERT's, it supports every script: characters are
composed (NFC) and keep their marks, the vocabulary contains as many characters
as the texts need, and a long run without spaces is split instead of becoming
unknown.

Objects and files are those of the `tokenizers` library, so PyTorch users can
open them with `transformers.AutoTokenizer`.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterable
import json
import os
import pathlib
import unicodedata

import tokenizers

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.storage import decoding
from nomic_jax.storage import hub_cache
from nomic_jax.storage import places
from nomic_jax.text import special_tokens
from nomic_jax.text import subwords
from nomic_jax.text import tokenizer_settings

# Files of a Hub repository that define a tokenizer.
_FILES = (
  "tokenizer*.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "sentence_*_config.json",
  "config.json",
)
KINDS = ("wordpiece", "bpe", "unigram")
SPECIAL_TOKENS = {
  "pad_token": "[PAD]",
  "unk_token": "[UNK]",
  "cls_token": "[CLS]",
  "sep_token": "[SEP]",
  "mask_token": "[MASK]",
}

# The boundaries between words of an identifier: getItem, HTTPServer.
APART = "(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"

# The alphabet has at least _ALPHABET characters and covers this fraction of the
# texts. Rarer characters become [UNK] and take no space in the vocabulary.
_COVER, _ALPHABET = 0.9999, 200
# Training uses at most this many characters of a text.
_LONGEST = 1_000_000
# WordPiece maps longer words to [UNK], so words are split into pieces of this
# many characters. Only scripts without spaces have longer words.
_WORD = 100
PIECES = f".{{1,{_WORD}}}"


def train(
  texts: Iterable[str],
  vocab_size: int,
  *,
  kind: str = "wordpiece",
  strip_accents: bool = False,
  cover: float = 0.95,
) -> tokenizers.Tokenizer:
  """Trains a tokenizer on `texts`; equal texts give an equal vocabulary.

  Args:
    texts: any number of texts; the first million characters of each are kept
      in memory during training.
    vocab_size: the largest number of tokens, including the special ones
      ([PAD]=0 … [MASK]=4).
    kind: a name in KINDS: wordpiece (lower case, like BERT's), bpe (of bytes,
      so that nothing is unknown, like RoBERTa's) or unigram (like XLM-R's).
    strip_accents: whether to drop nonspacing marks, as uncased BERT does: café
      becomes cafe, but Japanese か also becomes が, and Hindi कुल becomes कल.
    cover: the smallest fraction of the texts' characters that the vocabulary
      must contain.

  Returns:
    The tokenizer, with special tokens around each text.

  Raises:
    UserError: if `vocab_size` is too small for `cover`, or the kind is unknown.
  """
  check_kind(kind, strip_accents)
  texts = [text[:_LONGEST] for text in texts]
  if kind == "bpe":
    return subwords.bpe(texts, vocab_size)
  if kind == "unigram":
    letters = _alphabet(texts, vocab_size, subwords.UNIGRAM, cover, lambda _: 1)
    return subwords.unigram(texts, vocab_size, letters)
  special = list(SPECIAL_TOKENS.values())
  normalizer = _normalizer(strip_accents)
  cost = lambda letter: 1 + _joins(letter, normalizer)
  letters = _alphabet(texts, vocab_size, normalizer, cover, cost)
  # The library's trainer iterates over randomly seeded hash tables. It numbers
  # the "##x" pieces, chooses among equally rare characters and breaks ties
  # between merges in that order, so two runs would differ. Therefore we specify
  # the alphabet, and fix the order of pieces by passing them as special tokens.
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


def check_kind(kind: str, strip_accents: bool) -> None:
  """Raises UserError unless `train` supports these arguments."""
  one_of(kind, KINDS, f"--tokenizer_kind={kind} is unknown")
  if kind != "wordpiece" and strip_accents:
    raise UserError(
      f"--strip_accents: not supported with --tokenizer_kind={kind}; expected "
      "wordpiece"
    )


def _alphabet(
  texts: list[str],
  vocab_size: int,
  normalizer: tokenizers.normalizers.Normalizer,
  cover: float,
  cost: Callable[[str], int],
) -> list[str]:
  """Returns the most common characters after normalization, sorted.

  Args:
    texts: where characters are counted.
    vocab_size: as for `train`.
    normalizer: applied before counting.
    cover: as for `train`.
    cost: returns how many tokens a character takes.

  Raises:
    UserError: if the characters that fit are a smaller fraction than `cover`.
  """
  raw, counts = collections.Counter(), collections.Counter()
  for text in texts:
    raw.update(unicodedata.normalize("NFC", text))
  for character, count in raw.items():
    for normalized in normalizer.normalize_str(character):
      if not normalized.isspace():
        counts[normalized] += count
  letters, covered, total = [], 0, counts.total()
  room = vocab_size - len(SPECIAL_TOKENS)
  for letter in sorted(counts, key=lambda c: (-counts[c], c)):
    tokens = cost(letter)
    if (
      len(letters) >= _ALPHABET
      and covered >= _COVER * total
      or (tokens >= room)
    ):
      break
    letters.append(letter)
    covered += counts[letter]
    room -= tokens
  if not letters or covered < cover * total:
    raise UserError(
      f"--vocab_size={vocab_size}: too small; it holds {len(letters):,} of the "
      f"{len(counts):,} different characters, which cover "
      f"{covered / max(total, 1):.0%} of the texts; 8192 is usual for a small "
      "corpus"
    )
  return sorted(letters)


def _joins(letter: str, normalizer: tokenizers.normalizers.Normalizer) -> bool:
  """Returns whether `letter` joins a word, instead of being one by itself."""
  word = normalizer.normalize_str(f"a{letter}a")
  return len(_pre_tokenizer().pre_tokenize_str(word)) == 1


def _normalizer(strip_accents: bool) -> tokenizers.normalizers.Normalizer:
  """Returns BERT's normalizer, preceded by a split of identifiers.

  addItem becomes add item. Otherwise a word in an identifier ("##item") would
  have another token than the word in a question ("item"), and training cannot
  learn that rare words of both kinds are the same.
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
  """Returns BERT's pre-tokenizer with long words split into pieces."""
  return tokenizers.pre_tokenizers.Sequence(
    [
      tokenizers.pre_tokenizers.BertPreTokenizer(),
      tokenizers.pre_tokenizers.Split(tokenizers.Regex(PIECES), "isolated"),
    ]
  )


def _wordpiece(
  vocab: dict[str, int] | None, normalizer: tokenizers.normalizers.Normalizer
) -> tokenizers.Tokenizer:
  """Returns BERT's pipeline around a vocabulary; None before training."""
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
  """Loads a tokenizer.json, or the one in a folder or of a Hub model.

  Truncation and padding stored in the file are removed: the model determines
  the length of a text, and rows are packed rather than padded. Settings in the
  files beside it are applied (see `tokenizer_settings`).

  Args:
    path: the file, a folder that holds it, or a Hub name.

  Raises:
    UserError: if the file does not exist or is not a tokenizer.
  """
  path = pathlib.Path(path)
  if hub_cache.is_hub_name(path) and path.suffix != ".json":
    path = hub_cache.find(path, _FILES)
  file = path / "tokenizer.json" if path.is_dir() else path
  if not file.is_file():
    raise UserError(
      f"{file}: no such file; expected a tokenizer.json of the tokenizers "
      "library, or a folder that contains one"
    )
  try:
    # Not from_file, which requires a path in UTF-8.
    tokenizer = tokenizers.Tokenizer.from_str(
      decoding.decode(file.read_bytes(), "its bytes")
    )
  except Exception as e:  # The library raises bare Exception.
    reason = " ".join(str(e).split())
    raise UserError(
      f"{file}: not a tokenizer.json of the tokenizers library ({reason}); "
      "copy it again or create it with nomic-jax prepare"
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
    "clean_up_tokenization_spaces": isinstance(
      tokenizer.model, tokenizers.models.WordPiece
    ),
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
