# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Chooses sizes for an adaptation, and whether to use hard negatives."""

from collections.abc import Callable
from collections.abc import Sequence
import pathlib

import jax
import ml_collections
import numpy as np
import tokenizers

from nomic_jax import training
from nomic_jax.adapting import checks
from nomic_jax.adapting.folder import Folder
from nomic_jax.curate import mine
from nomic_jax.data import dataset
from nomic_jax.data import loader
from nomic_jax.data import statistics
from nomic_jax.hub.model_directory import ModelFiles
from nomic_jax.model.architecture import Architecture
from nomic_jax.run import best as best_lib
from nomic_jax.run import metrics
from nomic_jax.run import sizes
from nomic_jax.storage.files import read_json
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject

_SIDES = ("query", "document")
_BATCHES = 32  # by which rows are chosen
_FEWEST_ROWS = 300  # for a trial of hard negatives
_TRIAL_STEPS = (8, 50)  # minimum and maximum
_POOL = 8  # negatives mined for each query; each epoch samples some

Chosen = tuple[Json, str]  # the value of a field of the config, and why
# From "--config.KEY=VALUE" to the config of a training run.
Configured = Callable[[Sequence[str]], ml_collections.ConfigDict]


def of_sizes(
  folder: Folder,
  data: pathlib.Path,
  files: ModelFiles,
  words: tokenizers.Tokenizer,
  rows: int,
  configured: Configured,
) -> dict[str, Chosen]:
  """Returns {config field: (value, reason)}.

  The choices are stored, so a resumed run gets the same ones.

  Args:
    folder: the folder of the adaptation; its chosen.json stores the choices.
    data: the training rows.
    files: `ModelFiles` of the model.
    words: its tokenizer.
    rows: number of training rows.
    configured: builds the config from a list of flags; the user's flags take
      precedence over them.
  """
  if folder.path("chosen.json").is_file():
    known = read_json(folder.path("chosen.json"))
    return {key: (value, why) for key, (value, why) in known.items()}
  a, usage = files.architecture, files.usage
  most = usage.max_tokens or a.max_length
  texts = {
    side: [usage.prompt(side) + row[side] for row in checks.sample(data)]
    for side in _SIDES
  }
  tokens = {side: statistics.lengths(words, texts[side]) for side in _SIDES}
  found: dict[str, Chosen] = {}
  for side in _SIDES:
    length = sizes.text_length(tokens[side], most)
    found[f"data.{side}_length"] = (
      length.limit,
      f"tokens; {length.truncated:.1%} are longer and truncated; the model "
      f"reads at most {most}",
    )
  devices = jax.device_count()
  accelerator = jax.default_backend() != "cpu"
  memory = sizes.memory()
  batch_size = sizes.batch_size(rows, accelerator, devices)
  found["data.batch_size"] = batch_size, f"pairs, of {rows:,}"
  found["loss.chunk_tokens"] = (
    sizes.chunk_tokens(a, memory),
    f"tokens at a time, with {memory / 1e9:.0f} GB of memory",
  )
  if not accelerator:
    # A loop copies what each layer keeps for the backward pass and, in
    # bfloat16, holds a float32 copy of all weights.
    found["compute.unroll"] = len(a.layers), "layers, compiled without a loop"
  found["epochs"] = sizes.epochs(rows, batch_size, accelerator), "at most"
  config = configured([f"--config.{k}={v}" for k, (v, _) in found.items()])
  found |= (
    _rows_of_blocks(config.data, devices)
    if accelerator
    else _rows_on_cpu(a, loader.with_steps(config, words), texts, tokens)
  )
  folder.write("chosen.json", found)
  return found


def _rows_of_blocks(
  data: ml_collections.ConfigDict, devices: int
) -> dict[str, Chosen]:
  """Chooses row lengths that are multiples of the kernels' block size."""
  length = max(-(-max(_limits(data).values()) // 128) * 128, 256)
  return {
    "data.row_length": (length, "tokens of a packed row"),
    "data.slots": (length // 8, "texts in it, at most"),
    "data.rows_multiple": (max(8, devices), "rows"),
  }


def _rows_on_cpu(
  architecture: Architecture,
  config: ml_collections.ConfigDict,
  texts: dict[str, list[str]],
  tokens: dict[str, list[int]],
) -> dict[str, Chosen]:
  """Chooses the row size that takes the least time, mainly by less padding.

  Times are estimated for batches drawn from a sample of the data.

  Args:
    architecture: the architecture of the encoder.
    config: the training config, with batch size, lengths and steps.
    texts: queries and documents of some rows.
    tokens: their lengths.
  """
  rng, batches = np.random.default_rng(0), []
  count, size = len(texts["query"]), config.data.batch_size
  limit = _limits(config.data)
  for _ in range(_BATCHES):
    picked = rng.choice(count, size, replace=count < size)
    # A document is packed once for all of its queries.
    documents = {texts["document"][i]: tokens["document"][i] for i in picked}
    batches.append(
      [min(tokens["query"][i], limit["query"]) for i in picked]
      + [min(n, limit["document"]) for n in documents.values()]
    )
  rows = sizes.rows_on_cpu(
    architecture, batches, max(limit.values()), config.steps, jax.device_count()
  )
  return {
    "data.row_length": (rows.row_length, "tokens of a packed row"),
    "data.slots": (rows.slots, "texts in it, at most"),
    "data.rows_multiple": (
      rows.rows_multiple,
      f"rows, {rows.empty:.0%} of their tokens are padding",
    ),
  }


def _limits(data: ml_collections.ConfigDict) -> dict[str, int]:
  return {side: data[f"{side}_length"] for side in _SIDES}


def of_negatives(
  folder: Folder,
  model: str,
  plain: pathlib.Path,
  asked: int | None,
  steps: int,
  best: str,
  configured: Configured,
) -> tuple[pathlib.Path, int]:
  """Returns the data to train on, and the number of negatives per query.

  If `asked` is None, two short training runs are compared on the development
  rows.

  Args:
    folder: the folder of the adaptation.
    model: used for mining.
    plain: the original training rows.
    asked: number that the user specified; None: a trial decides.
    steps: number of training steps; the trial takes a quarter of them, but at
      least 8 and at most 50.
    best: metric on the development rows.
    configured: builds the config from a list of flags.
  """
  source = dataset.open_split(plain, "train")
  own = bool(source[0]["negatives"])
  count = asked
  if asked is None:
    count = 2 if jax.default_backend() == "cpu" else 4
    if len(source) < _FEWEST_ROWS and not own:
      folder.note(
        f"{len(source):,} training rows: too few to try hard negatives"
      )
      return plain, 0
  if not count:
    return plain, 0
  mined = plain if own else folder.path("trial", "mined")
  if not own:
    mine.mine_negatives(
      model,
      plain,
      mined,
      negatives=max(_POOL, count),
      minimum=0 if asked is None else count,
      short="keep" if asked is None else "random",
    )
  if asked is not None:
    return mined, count
  have = np.mean([bool(row["negatives"]) for row in checks.sample(mined)])
  if have < 0.5:
    folder.note(
      f"no hard negatives: only {have:.0%} of the queries have a document that "
      "is similar, but clearly less similar than the answer"
    )
    return plain, 0
  if not folder.path("trial", "choice.json").is_file():
    _try(
      folder,
      {"without": (plain, 0), "with": (mined, count)},
      steps,
      best,
      configured,
    )
  found = read_json(folder.path("trial", "choice.json"))
  better = found["with"] > found["without"]
  folder.note(
    f"in {found['steps']} steps, {best} on the development rows went from "
    f"{found['start']:.3f} to {found['without']:.3f} without hard negatives "
    f"and to {found['with']:.3f} with {count}: training "
    f"{'with' if better else 'without'} them"
  )
  return (mined, count) if better else (plain, 0)


def _try(
  folder: Folder,
  variants: dict[str, tuple[pathlib.Path, int]],
  steps: int,
  best: str,
  configured: Configured,
) -> None:
  """Trains each variant for some steps and writes trial/choice.json."""
  fewest, most = _TRIAL_STEPS
  tried = min(max(steps // 4, fewest), most)
  found: JsonObject = {"steps": tried}
  for name, (path, count) in variants.items():
    work = folder.path("trial", name)
    training.train(
      configured(
        [
          f"--config.data.path={path}",
          f"--config.data.negatives={count}",
          f"--config.steps={tried}",
          f"--config.evaluators.{best.partition('/')[0]}.every={tried}",
        ]
      ),
      str(work),
    )
    found[name] = metrics.read(work / "metrics.jsonl")[-1][best]
    start = best_lib.start_of(work)
    assert start is not None, work  # checkpoint.best is set
    found["start"] = start[1]
  folder.write("trial/choice.json", found)
