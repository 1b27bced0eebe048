# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Loads batches of a data directory into global arrays on the mesh."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import copy
import itertools
import math
from typing import Any
from typing import TypeVar

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
from nomic_jax.data.growing import Growing
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.model.params import Batch
from nomic_jax.text import prompts as prompts_lib

T = TypeVar("T")

_KINDS = {
  "text": text.batches,
  **dict.fromkeys(pairs.KINDS, pairs.batches),
  "labels": labels.batches,
}


def make(
  config: ml_collections.ConfigDict, tokenizer: tokenizers.Tokenizer, seed: int
) -> grain.DatasetIterator:
  """Returns an endless iterator of this host's batches, with a state to save.

  Args:
    config: `kind` (one of _KINDS), `path`, `split`, `tokenised` (read what
      `tokens.tokenise` made), and the fields of that kind.
    tokenizer: the tokenizer of the model that is trained.
    seed: the seed of order, masks and negatives.

  Raises:
    UserError: for an unknown kind, missing data, or sizes that do not fit.
  """
  steps = config.get("batch_warmup", 0)
  chain = iter(
    _open(_of_one_part(config) if steps else config, tokenizer)(
      _KINDS[config.kind], seed, jax.process_index(), jax.process_count()
    )
  )
  return Growing(chain, config.micro_batches, steps) if steps else chain


def _of_one_part(
  config: ml_collections.ConfigDict,
) -> ml_collections.ConfigDict:
  """Returns the config with a batch of one micro-batch."""
  if config.batch_size % config.micro_batches:
    raise UserError(
      f"config.data.batch_size: {config.batch_size} rows do not divide evenly "
      f"over {config.micro_batches} micro-batches, the units of batch_warmup"
    )
  part = copy.deepcopy(config)
  part.batch_size //= config.micro_batches
  part.micro_batches = 1
  return part


def with_steps(
  config: ml_collections.ConfigDict, tokenizer: tokenizers.Tokenizer
) -> ml_collections.ConfigDict:
  """Returns the config of a training run with `steps` in place of its `epochs`.

  An epoch has as many steps as there are whole batches of rows; the remaining
  rows differ in each epoch. For text, whose documents are packed, an epoch is
  the number of tokens. Counting them reads all text unless it was tokenised
  ahead of time.

  Args:
    config: the training config.
    tokenizer: the tokenizer of the model that is trained.

  Raises:
    UserError: unless exactly one of the two is set, or if the data is missing.
  """
  ranges.check_length(config)
  epochs = config.get("epochs", 0)
  if not epochs:
    return config
  data = config.data
  if data.get("batch_warmup"):
    raise UserError(
      "config.epochs: an epoch has no fixed number of steps while the batch "
      "grows (config.data.batch_warmup); set config.steps instead"
    )

  def of_epoch(source, *_: object) -> float:
    if data.kind != "text":
      return len(source) // data.batch_size
    tokens_of_all = text.count_tokens(source, tokenizer)
    return tokens_of_all / (data.batch_size * data.row_length)

  steps = max(round(epochs * _open(data, tokenizer)(of_epoch)), 1)
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.steps, config.epochs = steps, 0.0
  return config


def advice(config: ml_collections.ConfigDict, hosts: int) -> str:
  """Returns a line that says how to speed up input on several hosts, or ""."""
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
  """Returns a function that returns the same batches whenever called.

  There are at most `most` batches. Each pair or row with labels occurs once.
  Text is packed across documents. If the split has too little text, it is
  repeated with different masks.

  Arguments and errors are those of `make`, but a batch may be larger than the
  split.
  """
  opened = _open(config, tokenizer)
  host_and_count = jax.process_index(), jax.process_count()
  if config.kind in pairs.KINDS:
    batches = opened(pairs.one_pass, seed, *host_and_count)
    return lambda: itertools.islice(iter(batches), most)
  if config.kind == "labels":
    shuffled = lambda source, *more: labels.one_pass(
      _Shuffled(source, seed), *more
    )
    return lambda: (
      batch
      for batch, _ in itertools.islice(opened(shuffled, *host_and_count), most)
    )
  endless = iter(opened(_KINDS[config.kind], seed, *host_and_count))
  first = endless.get_state()

  def again() -> Iterator[dict[str, np.ndarray]]:
    endless.set_state(first)
    return itertools.islice(endless, most)

  return again


class _Shuffled(records.Rows):
  """Rows in random order, since a file may start with rows of one class."""

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
    UserError: for a kind of data that does not exist, or an option that the
    config does not have.
  """
  _check_kind(config)
  names = {"text": ("row_length",), "labels": ("text_length",)}.get(
    config.kind, ("query_length", "document_length")
  )
  for name in names:
    if name not in config:
      raise UserError(
        f"config.data.kind: {config.kind} needs config.data.{name}, which the "
        "config does not have; start from a config of this kind, see "
        "configs/README.md"
      )
  return {name: config[name] for name in names}


def _check_kind(config: ml_collections.ConfigDict) -> None:
  one_of(config.kind, _KINDS, f"config.data.kind: no kind '{config.kind}'")


def _open(
  config: ml_collections.ConfigDict, tokenizer: tokenizers.Tokenizer
) -> Callable[..., Any]:
  """Returns a function that calls another with source, tokenizer and config."""
  ranges.check_data(config)
  _check_kind(config)
  ids = config.kind == "text"  # no other kind can use rows without texts
  if config.get("tokenised") and config.kind == "scores":
    raise UserError(
      "config.data.tokenised: scores are read with their texts; set it to false"
    )
  if config.get("tokenised"):
    source = tokens.open_split(
      config.path, config.split, tokenizer, _joined(config), ids
    )
  else:
    source = dataset.open_split(config.path, config.split, ids)
  _check_texts(source, config)
  return lambda f, *more: f(source, tokenizer, config, *more)


def _joined(config: ml_collections.ConfigDict) -> Callable:
  """Returns the `joined` of `tokens.open_split` for this kind of batch."""
  if config.kind == "text":
    return tokens.joins_lines
  prompts = dataset.open_split(config.path, config.split).prompts
  default = {
    side: prompts_lib.of(config, side) for side in ("query", "document")
  }
  return lambda row: tokens.joins_prompts(
    **prompts.get(row["source"], default)
  )(row)


def _check_texts(
  source: records.Rows, config: ml_collections.ConfigDict
) -> None:
  """Raises UserError if rows lack the texts, negatives or scores of the config.

  Otherwise training would run without them, on another task than configured.
  """
  first = source.__getitems__(range(min(len(source), 100)))
  if config.get("negatives") and not any(row["negatives"] for row in first):
    raise UserError(
      f"config.data.negatives: {config.negatives} for each query, but the "
      f"rows of {config.path} have none; add them with nomic-jax mine, or "
      "set it to 0"
    )
  if config.kind in pairs.KINDS and not any(row["query"] for row in first):
    raise UserError(
      f"{config.path}: its rows are plain text without queries; train on it "
      "with configs/mlm.py, or prepare pairs"
    )
  if config.kind == "scores" and not all(
    np.isfinite(row["score"]) for row in first
  ):
    raise UserError(
      f"{config.path}: config.data.kind=scores, but its rows have no scores; "
      "prepare it from a source with a score column, see prepare --columns"
    )
  if config.kind == "triplets" and not config.negatives:
    raise UserError(
      "config.data.kind=triplets needs config.data.negatives of 1 or more"
    )


def to_devices(batch: dict[str, np.ndarray], sharding: NamedSharding) -> Batch:
  """Joins the hosts' batches into global arrays, rows sharded over devices.

  Names of sources, which are text, are left out. The result is nested, see
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


def nested(batch: Mapping[str, T]) -> dict[str, T | dict[str, T]]:
  """Returns a batch as losses take it, with encoder inputs under `inputs`.

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
  """Raises UserError unless rows divide evenly over the devices.

  Args:
    rows: number of rows of all hosts; None skips the check of rows.
    sharding: the sharding of a batch.
    what: the array with these rows, for the message.
  """
  hosts = jax.process_count()
  parts = math.prod(sharding.mesh.shape[axis] for axis in sharding.spec[1])
  if parts % hosts:
    raise UserError(
      f"config.mesh: data x fsdp = {parts} devices, which do not divide evenly "
      f"over {hosts} hosts; each host reads its own rows"
    )
  if rows is not None and rows % parts:
    raise UserError(
      f"config.data: {what} has {rows} rows, which do not divide evenly "
      f"over {parts} devices; make data.batch_size and "
      f"data.rows_multiple multiples of {parts}"
    )


def sources_in(batch: dict[str, np.ndarray]) -> str:
  """Returns the names of the sources of a host's batch; "" if it has none."""
  names = [n for n in np.unique(batch.get("source", [])) if n]
  more = f" and {len(names) - 3} more sources" if len(names) > 3 else ""
  return ", ".join(names[:3]) + more


def accuracy_of_source(
  batch: dict[str, np.ndarray], result: Mapping[str, T]
) -> dict[str, T]:
  """Returns {"accuracy/NAME": accuracy} if all hosts have the same source."""
  names = np.unique(batch.get("source", []))
  if not np.all(batch.get("one_source", 1)):  # another host mixes sources
    return {}
  if len(names) != 1 or not names[0] or "accuracy" not in result:
    return {}
  return {f"accuracy/{names[0]}": result["accuracy"]}


def tokens_in(batch: dict[str, np.ndarray]) -> tuple[int, int]:
  """Returns the numbers of text tokens and of token slots of a host's batch."""
  return int((batch["segment_ids"] > 0).sum()), batch["segment_ids"].size
