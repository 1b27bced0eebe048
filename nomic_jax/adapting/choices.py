# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Chooses sizes for an adaptation, and whether to use hard negatives."""

from collections.abc import Callable
from collections.abc import Sequence
import pathlib
from typing import Any

import jax
import numpy as np
import tokenizers

from nomic_jax import training
from nomic_jax.adapting import checks
from nomic_jax.adapting.folder import Folder
from nomic_jax.curate import mine
from nomic_jax.data import dataset
from nomic_jax.data import statistics
from nomic_jax.run import best as best_lib
from nomic_jax.run import metrics
from nomic_jax.run import sizes
from nomic_jax.storage.files import read_json

_FEWEST_ROWS = 300  # for a trial of hard negatives
_TRIAL_STEPS = (8, 50)  # minimum and maximum
_POOL = 8  # negatives mined for each query; each epoch samples some


def of_sizes(
  folder: Folder,
  data: pathlib.Path,
  files: Any,
  words: tokenizers.Tokenizer,
  rows: int,
) -> dict[str, tuple[Any, str]]:
  """Returns {config field: (value, reason)}, the same ones after resuming.

  Args:
    folder: of the adaptation; its chosen.json stores the choices.
    data: the training rows.
    files: `ModelFiles` of the model.
    words: its tokenizer.
    rows: number of training rows.
  """
  if folder.path("chosen.json").is_file():
    known = read_json(folder.path("chosen.json"))
    return {key: (value, why) for key, (value, why) in known.items()}
  a, usage = files.architecture, files.usage
  most = usage.max_tokens or a.max_length
  _, tokens = statistics.token_lengths(
    words,
    [
      row | {s: usage.prompt(s) + row[s] for s in ("query", "document")}
      for row in checks.sample(data)
    ],
  )
  found: dict[str, tuple[Any, str]] = {}
  for side in ("query", "document"):
    length = sizes.text_length(tokens[side], most)
    found[f"data.{side}_length"] = (
      length.limit,
      f"tokens; {length.truncated:.1%} are longer and truncated; the model "
      f"reads at most {most}",
    )
  devices = jax.device_count()
  accelerator = jax.default_backend() != "cpu"
  longest = max(found[f"data.{s}_length"][0] for s in ("query", "document"))
  row_length = max(-(-longest // 128) * 128, 256)
  memory = sizes.memory()
  found["data.row_length"] = row_length, "tokens of a packed row"
  found["data.slots"] = row_length // 8, "texts in a row, at most"
  found["data.rows_multiple"] = max(8, devices), "rows"
  batch_size = sizes.batch_size(rows, accelerator, devices)
  found["data.batch_size"] = batch_size, f"pairs, of {rows:,}"
  found["loss.chunk_tokens"] = (
    sizes.chunk_tokens(a, memory),
    f"tokens at a time, with {memory / 1e9:.0f} GB of memory",
  )
  found["epochs"] = sizes.epochs(rows, batch_size, accelerator), "at most"
  folder.write("chosen.json", found)
  return found


def of_negatives(
  folder: Folder,
  model: str,
  plain: pathlib.Path,
  asked: int | None,
  steps: int,
  best: str,
  configured: Callable[..., Any],
) -> tuple[pathlib.Path, int]:
  """Returns the data to train on, and the number of negatives per query.

  If `asked` is None, two short trainings are compared on the development rows.

  Args:
    folder: of the adaptation.
    model: used for mining.
    plain: the original training rows.
    asked: number that the user specified; None: a trial decides.
    steps: of the training; the trial takes a quarter of them.
    best: metric on the development rows.
    configured: returns the config for flags.
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
      f"only {have:.0%} of the queries have a document that is similar, but "
      "clearly less so than the answer: no hard negatives"
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
  configured: Callable[[Sequence[str]], Any],
) -> None:
  """Trains each variant for some steps and writes trial/choice.json."""
  fewest, most = _TRIAL_STEPS
  tried = min(max(steps // 4, fewest), most)
  found: dict[str, Any] = {"steps": tried}
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
    found["start"] = best_lib.start_of(work)[1]
  folder.write("trial/choice.json", found)
