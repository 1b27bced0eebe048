# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""From a data directory to global arrays on the mesh."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import itertools
import math
from typing import Any

import grain
import jax
from jax.sharding import NamedSharding
import ml_collections
import numpy as np
import tokenizers

from nomic_jax.cli import ranges
from nomic_jax.data import dataset
from nomic_jax.data import labels
from nomic_jax.data import pairs
from nomic_jax.data import records
from nomic_jax.data import text
from nomic_jax.data import tokens
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.text import prompts as prompts_lib

_KINDS = {
  "text": text.batches,
  "pairs": pairs.batches,
  "labels": labels.batches,
}


def make(
  config: ml_collections.ConfigDict, tokenizer: tokenizers.Tokenizer, seed: int
) -> grain.DatasetIterator:
  """An endless iterator of this host's numpy batches; its state is saved.

  Args:
    config: `kind` (one of _KINDS), `path`, `split`, `tokenised` (read what
      `tokens.tokenise` made), and that kind's fields.
    tokenizer: of the model that is trained.
    seed: of order, masks and negatives.

  Raises:
    UserError: for an unknown kind, missing data, or sizes that do not fit.
  """
  return iter(
    _open(config, tokenizer)(
      _KINDS[config.kind], seed, jax.process_index(), jax.process_count()
    )
  )


def advice(config: ml_collections.ConfigDict, hosts: int) -> str:
  """What would make input faster on so many hosts, in a line; "" if nothing."""
  if config.kind != "text" or config.get("tokenised") or hosts == 1:
    return ""
  return (
    f"config.data.tokenised is false: each of {hosts} hosts reads and "
    "tokenises all texts of a batch to find its own rows; run nomic-jax "
    f"tokenise --input={config.path} and set it to true"
  )


def held_out(
  config: ml_collections.ConfigDict,
  tokenizer: tokenizers.Tokenizer,
  seed: int,
  most: int,
) -> Callable[[], Iterator[dict[str, np.ndarray]]]:
  """What gives the same batches, at most so many, whenever it is called.

  Of pairs and of labels each row comes once. Text is packed across its
  documents, and where there is little of it, it comes again with other masks.

  Arguments and errors are those of `make`, but a batch may be larger than the
  split.
  """
  opened = _open(config, tokenizer)
  place = jax.process_index(), jax.process_count()
  if config.kind == "pairs":
    found = opened(pairs.one_pass, seed, *place)
    return lambda: itertools.islice(iter(found), most)
  if config.kind == "labels":
    shuffled = lambda source, *more: labels.one_pass(
      _Shuffled(source, seed), *more
    )
    return lambda: (
      batch for batch, _ in itertools.islice(opened(shuffled, *place), most)
    )
  endless = iter(opened(_KINDS[config.kind], seed, *place))
  first = endless.get_state()

  def again() -> Iterator[dict[str, np.ndarray]]:
    endless.set_state(first)
    return itertools.islice(endless, most)

  return again


class _Shuffled(records.Rows):
  """Rows in another order, since the first of a file may be all alike."""

  def __init__(self, source: dataset.Source, seed: int):
    self._source = source
    self._order = np.random.default_rng(seed).permutation(len(source))

  def __len__(self) -> int:
    return len(self._source)

  def __getitems__(self, indices: Sequence[int]) -> list[records.Row]:
    return self._source.__getitems__(self._order[list(indices)].tolist())


def text_lengths(config: ml_collections.ConfigDict) -> dict[str, int]:
  """Returns the options that limit the tokens of a text, by name.

  Raises:
    UserError: for a kind of data that does not exist.
  """
  _check_kind(config)
  names = {"text": ("row_length",), "labels": ("text_length",)}.get(
    config.kind, ("query_length", "document_length")
  )
  return {name: config[name] for name in names}


def _check_kind(config: ml_collections.ConfigDict) -> None:
  one_of(config.kind, _KINDS, f"config.data.kind: no kind '{config.kind}'")


def _open(
  config: ml_collections.ConfigDict, tokenizer: tokenizers.Tokenizer
) -> Callable[..., Any]:
  """The data of a config, as the first arguments of what makes batches."""
  ranges.check_data(config)
  _check_kind(config)
  ids = config.kind == "text"  # no other kind can use rows without texts
  if config.get("tokenised"):
    source = tokens.open_split(
      config.path, config.split, tokenizer, _joined(config), ids
    )
  else:
    source = dataset.open_split(config.path, config.split, ids)
  _check_texts(source, config)
  return lambda f, *more: f(source, tokenizer, config, *more)


def _joined(config: ml_collections.ConfigDict) -> Callable:
  """The texts that a kind of batch joins, see `tokens.open_split`."""
  if config.kind == "text":
    return tokens.joins_lines
  own = dataset.open_split(config.path, config.split).prompts
  default = {
    side: prompts_lib.of(config, side) for side in ("query", "document")
  }
  return lambda row: tokens.joins_prompts(**own.get(row["source"], default))(
    row
  )


def _check_texts(
  source: dataset.Source, config: ml_collections.ConfigDict
) -> None:
  """A training without its texts would run, and be another one."""
  first = source.__getitems__(range(min(len(source), 100)))
  if config.get("negatives") and not any(row["negatives"] for row in first):
    raise UserError(
      f"config.data.negatives: {config.negatives} for each query, but the "
      f"rows of {config.path} have none; add them with nomic-jax mine, or "
      "set it to 0"
    )
  if config.kind == "pairs" and not any(row["query"] for row in first):
    raise UserError(
      f"{config.path}: its rows are plain text without queries; train on "
      "them with configs/mlm.py, or prepare pairs"
    )


def to_devices(
  batch: dict[str, np.ndarray], sharding: NamedSharding
) -> dict[str, jax.Array]:
  """Joins the hosts' batches into global arrays, rows over the devices.

  Names of sources, which are text, stay behind. The result is nested, see
  `nested`.

  Raises:
    UserError: see `check_rows`.
  """
  batch = {k: v for k, v in batch.items() if k != "source"}
  for name, array in batch.items():
    rows = array.shape[1] * jax.process_count()
    check_rows(rows, sharding, f"a batch's {name}")
  return nested(
    {
      k: jax.make_array_from_process_local_data(sharding, v)
      for k, v in batch.items()
    }
  )


INPUTS = ("ids", "segment_ids", "positions", "types")


def nested(batch: Mapping[str, Any]) -> dict[str, Any]:
  """A batch as a loss takes it: what the encoder reads under `inputs`.

  Args:
    batch: arrays, or shapes, by name, as data chains make them.
  """
  inputs = {k: v for k, v in batch.items() if k in INPUTS}
  return {"inputs": inputs} | {
    k: v for k, v in batch.items() if k not in INPUTS
  }


def check_rows(
  rows: int | None, sharding: NamedSharding, what: str = "rows_multiple"
) -> None:
  """Raises UserError unless rows divide over the devices.

  Args:
    rows: how many, of all hosts; None passes.
    sharding: of a batch.
    what: has these rows, for the message.
  """
  hosts = jax.process_count()
  parts = math.prod(sharding.mesh.shape[axis] for axis in sharding.spec[1])
  if parts % hosts:
    raise UserError(
      f"config.mesh: {parts} devices split the rows (data x fsdp), which do "
      f"not divide over {hosts} hosts; each host reads rows of its own"
    )
  if rows is not None and rows % parts:
    raise UserError(
      f"config.data: {what} has {rows} rows, which do not divide over "
      f"{parts} devices; make data.batch_size and "
      f"data.rows_multiple multiples of {parts}"
    )


def sources_in(batch: dict[str, np.ndarray]) -> str:
  """Names of the sources that a host's batch is from; "" if it has none."""
  names = [n for n in np.unique(batch.get("source", [])) if n]
  more = f" and {len(names) - 3} more sources" if len(names) > 3 else ""
  return ", ".join(names[:3]) + more


def accuracy_of_source(
  batch: dict[str, np.ndarray], result: Mapping[str, Any]
) -> dict[str, Any]:
  """{"accuracy/NAME": accuracy}, if a batch is of one source on all hosts."""
  names = np.unique(batch.get("source", []))
  if not np.all(batch.get("one_source", 1)):  # another host has other sources
    return {}
  if len(names) != 1 or not names[0] or "accuracy" not in result:
    return {}
  return {f"accuracy/{names[0]}": result["accuracy"]}


def tokens_in(batch: dict[str, np.ndarray]) -> tuple[int, int]:
  """Tokens that are text, and token slots, of a host's batch."""
  return int((batch["segment_ids"] > 0).sum()), batch["segment_ids"].size
