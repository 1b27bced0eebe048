# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Training of byte-level BPE (RoBERTa) and Unigram (XLM-R) tokenizers.

Both support any script and are cased. Special tokens are spelled as in those
models and have the same ids as in the WordPiece tokenizer.
"""

import json

import tokenizers
from tokenizers import decoders
from tokenizers import models
from tokenizers import normalizers
from tokenizers import pre_tokenizers
from tokenizers import processors
from tokenizers import trainers

from nomic_jax.errors import UserError

PAD, UNK, HEAD, TAIL, MASK = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")
SPECIAL = [PAD, UNK, HEAD, TAIL, MASK]
# Unifies full-width and half-width characters and ligatures, as XLM-R does.
UNIGRAM = normalizers.Sequence(
  [normalizers.NFKC(), normalizers.Replace(tokenizers.Regex(r"\p{Cc}"), " ")]
)


def bpe(texts: list[str], vocab_size: int) -> tokenizers.Tokenizer:
  """Trains byte-level BPE (Sennrich et al. 2016; Radford et al. 2019).

  Args:
    texts: the training texts.
    vocab_size: the largest number of tokens.

  Raises:
    UserError: if `vocab_size` is too small for the bytes.
  """
  alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
  least = len(alphabet) + len(SPECIAL)
  if vocab_size < least:
    raise UserError(
      f"--vocab_size={vocab_size}: too small for BPE, which needs a token for "
      f"each byte; expected {least} or more"
    )
  tokenizer = tokenizers.Tokenizer(models.BPE())
  tokenizer.normalizer = normalizers.NFC()
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokenizer.decoder = decoders.ByteLevel()
  tokenizer.train_from_iterator(
    texts,
    trainers.BpeTrainer(
      vocab_size=vocab_size,
      special_tokens=SPECIAL,
      initial_alphabet=alphabet,
      show_progress=False,
    ),
  )
  return _with_ends(tokenizer)


def unigram(
  texts: list[str], vocab_size: int, letters: list[str]
) -> tokenizers.Tokenizer:
  """Trains a unigram language model of pieces (Kudo 2018).

  Args:
    texts: the training texts.
    vocab_size: the largest number of tokens.
    letters: the characters to include, normalized by UNIGRAM; others become
      <unk>.
  """
  tokenizer = _unigram(models.Unigram())
  known = {ord(letter): letter for letter in letters}
  trained = [
    "".join(known.get(ord(c), " ") for c in UNIGRAM.normalize_str(text))
    for text in texts
  ]
  tokenizer.train_from_iterator(
    trained,
    trainers.UnigramTrainer(
      vocab_size=vocab_size,
      special_tokens=SPECIAL,
      unk_token=UNK,
      initial_alphabet=letters,
      show_progress=False,
    ),
  )
  vocab = json.loads(tokenizer.to_str())["model"]["vocab"]
  pieces = _in_order(vocab[len(SPECIAL) :])
  vocab = [(token, 0.0) for token in SPECIAL] + pieces
  return _with_ends(_unigram(models.Unigram(vocab, SPECIAL.index(UNK))))


def _in_order(vocab: list) -> list[tuple[str, float]]:
  """Returns the pieces with their scores, made equal in every run.

  The library iterates over randomly seeded hash tables, so two things differ
  between runs: the last digits of sums; and the order in which characters that
  the model does not need get the lowest scores, at intervals of 0.0001.
  """
  scores = {piece: round(score, 6) for piece, score in vocab}
  least = min(scores.values())
  unused = [
    piece
    for piece, score in scores.items()
    if len(piece) == 1 and abs((score - least) / 1e-4 % 1 - 0.5) > 0.48
  ]
  steps = sorted((scores[piece] for piece in unused), reverse=True)
  scores |= zip(sorted(unused), steps, strict=True)
  return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


def _unigram(model: models.Unigram) -> tokenizers.Tokenizer:
  tokenizer = tokenizers.Tokenizer(model)
  tokenizer.normalizer = UNIGRAM
  tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
  )
  tokenizer.decoder = decoders.Metaspace()
  return tokenizer


def _with_ends(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
  """Adds the special tokens, and puts two of them around each text."""
  # <mask> includes the space before a masked word, as in those models.
  tokenizer.add_special_tokens(
    [*SPECIAL[:-1], tokenizers.AddedToken(MASK, lstrip=True)]
  )
  tokenizer.post_processor = processors.TemplateProcessing(
    single=f"{HEAD} $A {TAIL}",
    pair=f"{HEAD} $A {TAIL} {TAIL} $B {TAIL}",
    special_tokens=[(t, tokenizer.token_to_id(t)) for t in (HEAD, TAIL)],
  )
  return tokenizer
