# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The special tokens of any tokenizer, by role.

A role is never identified by one spelling: BERT writes [PAD] where XLM-R writes
<pad>. The tokens before and after each text are found by encoding one with and
without special tokens; the other roles by the declarations in the tokenizer's
files and by common spellings.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import json
from typing import NamedTuple

import numpy as np
import tokenizers

from nomic_jax.errors import UserError
from nomic_jax.storage.values import Json

# Spellings by role, most common first.
SPELLINGS = {
  "pad": ("[PAD]", "<pad>", "<|padding|>", "<|pad|>", "<PAD>"),
  "unk": ("[UNK]", "<unk>", "<|unk|>", "<UNK>"),
  "mask": ("[MASK]", "<mask>", "<|mask|>", "<MASK>"),
}
_DECLARED = "declared_tokens"  # an attribute of a tokenizer
_PROBED = 1000  # tokens of the vocabulary tried as texts


class SpecialTokens(NamedTuple):
  """The ids of a tokenizer's special tokens; None for a missing one.

  Attributes:
    head: ids before every text; may be empty.
    tail: ids after every text; may be empty.
    pad: fills up rows.
    unk: replaces what the vocabulary cannot express.
    mask: replaces a token to predict.
  """

  head: tuple[int, ...] = ()
  tail: tuple[int, ...] = ()
  pad: int | None = None
  unk: int | None = None
  mask: int | None = None

  @property
  def fill(self) -> int:
    """The id that fills up rows: pad, or 0, since its value does not matter."""
    return 0 if self.pad is None else self.pad

  def require(self, role: str, job: str) -> int:
    """Returns the id of pad, unk or mask.

    Args:
      role: "pad", "unk" or "mask".
      job: what needs the token, for the error message.

    Raises:
      UserError: if the tokenizer has no such token.
    """
    id_ = getattr(self, role)
    if id_ is None:
      raise UserError(
        f"{job} needs a {role} token, and the tokenizer has none; expected "
        f"{' or '.join(SPELLINGS[role][:2])}, or a token that its "
        f"tokenizer_config.json declares as {role}_token"
      )
    return id_

  def around(self, ids: np.ndarray | list[int]) -> np.ndarray:
    """Returns a text's ids between head and tail, as int32."""
    return np.concatenate(
      [self.head, ids, self.tail], dtype=np.int32, casting="unsafe"
    )

  def cut(self, ids: np.ndarray | Sequence[int], length: int) -> np.ndarray:
    """Truncates a text's ids to `length` and keeps its tail.

    Args:
      ids: [N] of a text with head and tail, or values aligned with them.
      length: the largest number of tokens, including head and tail.
    """
    ids = np.asarray(ids)
    if len(ids) <= length:
      return ids
    tail = min(len(self.tail), length)
    return np.concatenate([ids[: length - tail], ids[len(ids) - tail :]])


def of(tokenizer: tokenizers.Tokenizer) -> SpecialTokens:
  """Returns the special tokens of a tokenizer.

  Args:
    tokenizer: one from `tokenizer.load` also carries the tokens declared in
      the files beside it.

  Raises:
    UserError: if it does not put fixed tokens before and after each text.
  """
  declared = declared_of(tokenizer)
  if tokenizer.padding:
    declared.setdefault("pad_token", tokenizer.padding["pad_token"])
  if tokenizer.padding or tokenizer.truncation:  # would hide head and tail
    tokenizer = tokenizers.Tokenizer.from_str(tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
  head, tail = _ends(tokenizer)
  ids = {}
  for role, spellings in SPELLINGS.items():
    named = [declared.get(f"{role}_token"), *spellings]
    if role == "unk":
      named.insert(0, _unk_of_model(tokenizer))
    ids_of_names = (tokenizer.token_to_id(name) for name in named if name)
    ids[role] = next((i for i in ids_of_names if i is not None), None)
  return SpecialTokens(head, tail, **ids)


def declared_of(tokenizer: tokenizers.Tokenizer) -> dict[str, str]:
  """Returns the tokens by role that `declare` recorded; {} if none."""
  return dict(getattr(tokenizer, _DECLARED, {}))


def declare(
  tokenizer: tokenizers.Tokenizer, declared: Mapping[str, str]
) -> None:
  """Records on a tokenizer the tokens that the files beside it declare.

  The class of the library cannot be subclassed and has no field for them.
  """
  setattr(tokenizer, _DECLARED, dict(declared))


def declared_in(*files: Json) -> dict[str, str]:
  """Returns the tokens that JSON files declare, such as {"pad_token": "<pad>"}.

  Args:
    *files: contents of tokenizer_config.json and special_tokens_map.json; the
      first that declares a role wins.
  """
  declared = {}
  for values in filter(lambda f: isinstance(f, Mapping), files):
    for name, token in values.items():
      token = token.get("content") if isinstance(token, Mapping) else token
      if name.endswith("_token") and isinstance(token, str):
        declared.setdefault(name, token)
  return declared


def settings(
  tokenizer: tokenizers.Tokenizer, pad_id: int | None = None
) -> dict[str, str]:
  """Returns the roles as transformers' tokenizer_config.json names them.

  Only tokens in the vocabulary are named, because transformers would add
  others beyond the end of the model's embedding table.

  Args:
    tokenizer: the tokenizer to describe.
    pad_id: the id to use for padding if the tokenizer has no padding token.
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
  """Returns the number of embedding rows the ids need: the largest id + 1.

  This may exceed the number of tokens, since ids may have gaps.
  """
  return max(tokenizer.get_vocab().values(), default=-1) + 1


def check_rows(
  tokenizer: tokenizers.Tokenizer, rows: int, where: object
) -> None:
  """Refuses a tokenizer with ids for which a model has no embedding.

  Args:
    tokenizer: produces the ids.
    rows: number of rows of the model's word embeddings.
    where: the tokenizer's path, for the error message.

  Raises:
    UserError: naming the largest id.
  """
  needed = vocabulary_rows(tokenizer)
  if needed > rows:
    raise UserError(
      f"{where}: tokenizer.json has id {needed - 1}, but the model has {rows} "
      "embedding rows; specify the tokenizer that the model was trained with, "
      "or resize the model's embeddings (resize_token_embeddings)"
    )


def _ends(
  tokenizer: tokenizers.Tokenizer,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
  """Returns the ids before and after a text, found by encoding a probe."""
  for probe in _probes(tokenizer):
    plain = tokenizer.encode(probe, add_special_tokens=False).ids
    if not plain:
      continue
    encoded = tokenizer.encode(probe)
    at = (
      encoded.special_tokens_mask.index(0)
      if (0 in encoded.special_tokens_mask)
      else 0
    )
    if encoded.ids[at : at + len(plain)] != plain:
      raise UserError(
        "tokenizer.json: its post-processor changes the tokens of a text; "
        "expected one that adds the same tokens before and after each text"
      )
    if any(encoded.type_ids):
      raise UserError(
        "tokenizer.json: its post-processor assigns token types other than 0, "
        "which is not supported; expected only 0"
      )
    return tuple(encoded.ids[:at]), tuple(encoded.ids[at + len(plain) :])
  raise UserError(
    "tokenizer.json: gives no tokens for any text; expected a vocabulary"
  )


def _probes(tokenizer: tokenizers.Tokenizer) -> Iterator[str]:
  """Yields texts of which at least one has tokens, whatever the vocabulary."""
  yield from ("a", "0", ".")
  for i in sorted(tokenizer.get_vocab().values())[:_PROBED]:
    yield tokenizer.decode([i])


def _unk_of_model(tokenizer: tokenizers.Tokenizer) -> str | None:
  model = tokenizer.model
  if not isinstance(model, tokenizers.models.Unigram):
    return model.unk_token
  if any(tokenizer.token_to_id(s) is not None for s in SPELLINGS["unk"]):
    return None  # found by spelling; serializing a large vocabulary is slow
  values = json.loads(tokenizer.to_str())["model"]
  at = values.get("unk_id")
  return None if at is None else values["vocab"][at][0]
