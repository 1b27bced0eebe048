# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Accuracy of the consistency filter, and how curation affects fine-tuning.

PYTHONPATH=. python benchmarks/curation.py --model=DIR --data=DIR --folder=DIR

Takes `rows` evenly spaced rows of a data directory of docstrings and embeds
them with the model. Vectors are kept in the folder, so that later runs reuse
them.

1. The documents of a tenth of the pairs are exchanged. Reports the share of
   these pairs that the filter drops (recall), and the share of dropped pairs
   that were exchanged (precision).
2. On unchanged rows, a small encoder is trained on all pairs. Then it is
   fine-tuned for `steps` steps on all pairs, on those that the filter keeps,
   and on the latter with mined or random negatives. Reports the scores of each
   on held-out packages.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

import nomic_jax
from nomic_jax.curate import filter as filter_lib
from nomic_jax.curate import mine
from nomic_jax.data import dataset
from nomic_jax.storage import files

_PIECE = 512


class Lookup:
  """A model whose vectors of texts are stored in a folder."""

  prompts: dict = {}

  def __init__(self, folder: pathlib.Path):
    self._folder, self._vectors = folder, {}
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("*.json")):
      vectors = np.load(path.with_suffix(".npy"))
      self._vectors.update(zip(json.loads(path.read_text()), vectors))

  def fill(self, model: str, texts: list[str]) -> None:
    """Embeds the texts whose vectors are not stored yet."""
    missing = [t for t in dict.fromkeys(texts) if t not in self._vectors]
    if not missing:
      return
    loaded, began = nomic_jax.load(model, "bfloat16"), time.monotonic()
    for i in range(0, len(missing), _PIECE):
      part = missing[i : i + _PIECE]
      vectors = loaded.encode(part)
      path = self._folder / f"{len(self._vectors):09d}.json"
      with files.replacing(path.with_suffix(".npy")) as temporary:
        with open(temporary, "wb") as f:
          np.save(f, vectors)
      with files.replacing(path) as temporary:
        temporary.write_text(json.dumps(part))
      self._vectors.update(zip(part, vectors))
      rate = (i + len(part)) / (time.monotonic() - began)
      print(
        f"{i + len(part):,} of {len(missing):,} texts embedded, "
        f"{rate:.0f} texts/s",
        flush=True,
      )

  def encode(self, texts: list[str]) -> np.ndarray:
    return np.stack([self._vectors[t] for t in texts])


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--model", required=True, help="the teacher")
  parser.add_argument("--data", required=True, help="data directory")
  parser.add_argument("--folder", required=True, help="kept, to run again")
  parser.add_argument("--rows", type=int, default=20_000)
  parser.add_argument("--tested", type=int, default=2_000)
  parser.add_argument("--steps", type=int, default=150)
  parser.add_argument(
    "--parts",
    default="embed,find,train",
    help="what to do, separated by commas",
  )
  a = parser.parse_args()
  folder, wanted = pathlib.Path(a.folder), a.parts.split(",")
  data = folder / "pairs"
  if not data.exists():
    _write(
      a.data,
      data,
      _some(a.data, "train", a.rows),
      _some(a.data, "test", a.tested),
    )
  rows = _some(data, "train", a.rows)
  lookup = Lookup(folder / "vectors")
  if "embed" in wanted:
    lookup.fill(a.model, [r[c] for c in ("query", "document") for r in rows])
  if "find" in wanted:
    find_shuffled(lookup, data, folder, rows)
  if "train" in wanted:
    train_all(lookup, data, folder, a.steps)


def _some(path, split: str, count: int) -> list[dataset.Row]:
  source = dataset.open_split(path, split)
  count = min(count, len(source))
  return [source[i * len(source) // count] for i in range(count)]


def _write(origin, path: pathlib.Path, train, test) -> None:
  dataset.write(
    path,
    {"train": train, "test": test},
    stats={},
    tokenizer=dataset.tokenizer_path(origin),
  )


def find_shuffled(lookup, data, folder, rows) -> None:
  """Part 1."""
  rng = np.random.default_rng(0)
  chosen = rng.permutation(len(rows))[: len(rows) // 10]
  wrong = list(rows)
  for i, j in zip(chosen, np.roll(chosen, 1)):
    wrong[i] = {**rows[i], "document": rows[j]["document"]}
  place = folder / "shuffled"
  if not place.exists():
    _write(data, place, wrong, _some(data, "test", 10))
  bad = {rows[i]["query"] for i in chosen.tolist()}
  print(f"\n{len(rows):,} pairs, {len(chosen):,} of them shuffled\n")
  print("| filter | dropped | precision | recall | good pairs lost |")
  print("|---|---|---|---|---|")
  for flags in (
    dict(k=1),
    dict(k=2),
    dict(k=5),
    dict(k=20),
    dict(k=100),
    dict(k=2, margin=0.05),
    dict(k=2, margin=0.1),
    dict(k=2, margin=0.2),
    dict(k=0, minimum_similarity=0.1),
    dict(k=0, minimum_similarity=0.2),
    dict(k=0, minimum_similarity=0.3),
  ):
    name = " ".join(f"--{k}={v}" for k, v in flags.items())
    out = folder / f"found{name}"
    with _silent():
      filter_lib.filter_pairs(lookup, place, out, **flags)
    kept = {r["query"] for r in _some(out, "train", len(rows))}
    dropped = {r["query"] for r in rows} - kept
    hit = len(dropped & bad)
    good = len(dropped) - hit
    print(
      f"| `{name}` | {len(dropped):,} | {hit / max(len(dropped), 1):.3f} | "
      f"{hit / len(bad):.3f} | {good / (len(rows) - len(bad)):.1%} |",
      flush=True,
    )


def train_all(lookup, data, folder, steps: int) -> None:
  """Part 2."""
  filtered = folder / "filtered"
  with _silent():
    filter_lib.filter_pairs(lookup, data, filtered, k=20)
    mine.mine_negatives(lookup, filtered, folder / "mined", negatives=7)
    mine.mine_negatives(
      lookup, filtered, folder / "random", negatives=7, depth=0
    )
  start = folder / "runs" / "start"
  _run(
    "train",
    "--config=configs/contrastive.py:quickstart",
    f"--workdir={start}",
    f"--config.data.path={data}",
    log=folder / "train.log",
  )
  arms = {
    "no curation": (data, 0),
    "filter": (filtered, 0),
    "filter, mined negatives": (folder / "mined", 2),
    "filter, random negatives": (folder / "random", 2),
  }
  models = [f"start={start}"]
  for name, (path, negatives) in arms.items():
    workdir = folder / "runs" / name.replace(", ", "-").replace(" ", "-")
    began = time.monotonic()
    _run(
      "train",
      "--config=configs/finetune.py:quickstart",
      f"--workdir={workdir}",
      f"--config.init_from={start}",
      f"--config.data.path={path}",
      f"--config.steps={steps}",
      f"--config.data.negatives={negatives}",
      "--config.data.one_source=False",
      log=folder / "train.log",
    )
    print(
      f"{name}: {time.monotonic() - began:.0f} s, "
      f"{len(dataset.open_split(path, 'train')):,} pairs",
      flush=True,
    )
    models.append(f"{name}={workdir}")
  _run(
    "evaluate",
    f"--tasks={data}",
    f"--output={folder / 'scores.json'}",
    *[f"--model={m}" for m in models],
    log=folder / "evaluate.log",
  )
  print((folder / "evaluate.log").read_text(encoding="utf-8")[-1500:])


def _run(*command: str, log: pathlib.Path) -> None:
  with open(log, "a", encoding="utf-8") as f:
    done = subprocess.run(
      [sys.executable, "-m", "nomic_jax.main", *command],
      stdout=f,
      stderr=subprocess.STDOUT,
      env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
  if done.returncode:
    sys.exit(f"{command[0]} failed, see {log}")


class _silent:
  """Suppresses what a job prints."""

  def __enter__(self):
    self._kept = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")

  def __exit__(self, *error):
    sys.stdout.close()
    sys.stdout, sys.stderr = self._kept


if __name__ == "__main__":
  main()
