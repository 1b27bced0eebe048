# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Special tokens of any tokenizer, by their role.

A role is never looked up by one spelling: BERT writes [PAD] where XLM-R
writes <pad>, and another model something else. What stands before and after
each text is found by encoding one with and without special tokens; the other
roles by what the tokenizer's files declare and by the spellings in use.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import json
from typing import Any
from typing import NamedTuple

import numpy as np
import tokenizers

from nomic_jax.errors import UserError

# Spellings by role, the usual ones first.
SPELLINGS = {
  "pad": ("[PAD]", "<pad>", "<|padding|>", "<|pad|>", "<PAD>"),
  "unk": ("[UNK]", "<unk>", "<|unk|>", "<UNK>"),
  "mask": ("[MASK]", "<mask>", "<|mask|>", "<MASK>"),
}
_DECLARED = "declared_tokens"  # an attribute of a tokenizer
_PROBED = 1000  # tokens of the vocabulary tried as a text


class SpecialTokens(NamedTuple):
  """The ids of a tokenizer's special tokens; None where it has no such token.

  Attributes:
    head: ids that stand before every text, perhaps none.
    tail: ids that stand after every text, perhaps none.
    pad: fills up rows.
    unk: stands for what the vocabulary cannot express.
    mask: stands for a token to predict.
  """

  head: tuple[int, ...] = ()
  tail: tuple[int, ...] = ()
  pad: int | None = None
  unk: int | None = None
  mask: int | None = None

  @property
  def fill(self) -> int:
    """What fills up rows; nothing is computed from it, so any id will do."""
    return 0 if self.pad is None else self.pad

  def require(self, role: str, job: str) -> int:
    """The id of pad, unk or mask.

    Raises:
      UserError: if the tokenizer has no such token; `job` needs it.
    """
    found = getattr(self, role)
    if found is None:
      raise UserError(
        f"{job} needs a {role} token, and the tokenizer has none; expected "
        f"{' or '.join(SPELLINGS[role][:2])}, or a token that its "
        f"tokenizer_config.json declares as {role}_token"
      )
    return found

  def around(self, ids: np.ndarray | list[int]) -> np.ndarray:
    """int32 ids of a text between head and tail."""
    return np.concatenate(
      [self.head, ids, self.tail], dtype=np.int32, casting="unsafe"
    )

  def cut(self, ids: np.ndarray | list[int], length: int) -> np.ndarray:
    """Truncates a text's ids to `length`; its tail stays.

    Args:
      ids: [N] of a text with head and tail, or values that belong to them.
      length: the most tokens, head and tail included.
    """
    ids = np.asarray(ids)
    if len(ids) <= length:
      return ids
    tail = min(len(self.tail), length)
    return np.concatenate([ids[: length - tail], ids[len(ids) - tail :]])


def of(tokenizer: tokenizers.Tokenizer) -> SpecialTokens:
  """The special tokens of a tokenizer.

  Args:
    tokenizer: one that `tokenizer.load` returned also knows which tokens the
      files beside it declare.

  Raises:
    UserError: if it puts no fixed tokens before and after each text.
  """
  declared = declared_of(tokenizer)
  if tokenizer.padding:
    declared.setdefault("pad_token", tokenizer.padding["pad_token"])
  if tokenizer.padding or tokenizer.truncation:  # which would hide the ends
    tokenizer = tokenizers.Tokenizer.from_str(tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
  head, tail = _ends(tokenizer)
  ids = {}
  for role, spellings in SPELLINGS.items():
    named = [declared.get(f"{role}_token"), *spellings]
    if role == "unk":
      named.insert(0, _unk_of_model(tokenizer))
    found = (tokenizer.token_to_id(name) for name in named if name)
    ids[role] = next((i for i in found if i is not None), None)
  return SpecialTokens(head, tail, **ids)


def declared_of(tokenizer: tokenizers.Tokenizer) -> dict[str, str]:
  """Tokens by role that `declare` noted on a tokenizer; {} if it did not."""
  return dict(getattr(tokenizer, _DECLARED, {}))


def declare(
  tokenizer: tokenizers.Tokenizer, declared: Mapping[str, str]
) -> None:
  """Notes on a tokenizer what the files beside it declare.

  The library's class cannot be subclassed, and has no place for it.
  """
  setattr(tokenizer, _DECLARED, dict(declared))


def declared_in(*files: Any) -> dict[str, str]:
  """Tokens by role, such as {"pad_token": "<pad>"}, that JSON files declare.

  Args:
    files: contents of tokenizer_config.json and special_tokens_map.json; the
      first that declares a role settles it.
  """
  found = {}
  for values in filter(lambda f: isinstance(f, Mapping), files):
    for name, token in values.items():
      token = token.get("content") if isinstance(token, Mapping) else token
      if name.endswith("_token") and isinstance(token, str):
        found.setdefault(name, token)
  return found


def settings(
  tokenizer: tokenizers.Tokenizer, pad_id: int | None = None
) -> dict[str, str]:
  """The roles as transformers' tokenizer_config.json names them.

  Every token named is one that the tokenizer has, since transformers adds
  others beyond the end of the model's table.

  Args:
    tokenizer: what is described.
    pad_id: of the token that pads where the tokenizer has none for that.
  """
  special = of(tokenizer)
  pad = pad_id if special.pad is None else special.pad
  ids = {
    "pad_token": pad,
    "unk_token": special.unk,
    "cls_token": special.head[0] if special.head else None,
    "sep_token": special.tail[-1] if special.tail else None,
    "mask_token": special.mask,
  }
  named = {
    role: tokenizer.id_to_token(i) for role, i in ids.items() if i is not None
  }
  others = {
    role: token
    for role, token in declared_of(tokenizer).items()
    if role in ("bos_token", "eos_token")
    and tokenizer.token_to_id(token) is not None
  }
  return {role: token for role, token in (named | others).items() if token}


def vocabulary_rows(tokenizer: tokenizers.Tokenizer) -> int:
  """Rows of an embedding table with a row for each id: the largest id + 1.

  Not the number of tokens, as ids may have gaps.
  """
  return max(tokenizer.get_vocab().values(), default=-1) + 1


def check_rows(tokenizer: tokenizers.Tokenizer, rows: int, where: Any) -> None:
  """Refuses a tokenizer with ids for which a model has no embedding.

  Args:
    tokenizer: gives the ids.
    rows: of the model's table of word embeddings.
    where: the tokenizer's place, for the message.

  Raises:
    UserError: naming the largest id.
  """
  needed = vocabulary_rows(tokenizer)
  if needed > rows:
    raise UserError(
      f"{where}: tokenizer.json has id {needed - 1}, the model {rows} rows; "
      "was resize_token_embeddings forgotten? Give the tokenizer that the "
      "model was trained with"
    )


def _ends(
  tokenizer: tokenizers.Tokenizer,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
  """The ids before and after a text, found on one that has ids of its own."""
  for probe in _probes(tokenizer):
    plain = tokenizer.encode(probe, add_special_tokens=False).ids
    if not plain:
      continue
    found = tokenizer.encode(probe)
    at = (
      found.special_tokens_mask.index(0)
      if (0 in found.special_tokens_mask)
      else 0
    )
    if found.ids[at : at + len(plain)] != plain:
      raise UserError(
        "tokenizer.json: its post-processor changes a text's tokens; "
        "expected one that puts the same tokens before and after each text"
      )
    if any(found.type_ids):
      raise UserError(
        "tokenizer.json: its post-processor gives a text token types other "
        "than 0, which is not supported; expected 0 alone"
      )
    return tuple(found.ids[:at]), tuple(found.ids[at + len(plain) :])
  raise UserError("tokenizer.json: no text has a token; expected a vocabulary")


def _probes(tokenizer: tokenizers.Tokenizer) -> Iterator[str]:
  """Texts, of which one will have tokens in any vocabulary."""
  yield from ("a", "0", ".")
  for i in sorted(tokenizer.get_vocab().values())[:_PROBED]:
    yield tokenizer.decode([i])


def _unk_of_model(tokenizer: tokenizers.Tokenizer) -> str | None:
  model = tokenizer.model
  if not isinstance(model, tokenizers.models.Unigram):
    return model.unk_token
  if any(tokenizer.token_to_id(s) is not None for s in SPELLINGS["unk"]):
    return None  # by its spelling; a large vocabulary is slow to write out
  values = json.loads(tokenizer.to_str())["model"]
  at = values.get("unk_id")
  return None if at is None else values["vocab"][at][0]
