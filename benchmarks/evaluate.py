# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Compares scores and wall time with mteb and sentence-transformers on a CPU.

python benchmarks/evaluate.py --model=DIR --data=DIR [--rounds=1]

--model is a model directory that both open, such as that of all-MiniLM-L6-v2.
--data has stsb-test.csv (sentence, sentence, score; no header) and
banking77-train.csv and banking77-test.csv (text, category). Both read the same
rows, in turn, with the model loaded; ours also computes confidence intervals.
Classification does not normalise vectors, so a normalising last module of the
model is removed on the other side too.
"""

import argparse
import csv
import json
import pathlib
import tempfile
import time

import mteb
import sentence_transformers

import nomic_jax
from nomic_jax.evaluation import compare
from nomic_jax.evaluation import mteb_tasks
from nomic_jax.evaluation import systems
from nomic_jax.evaluation import tasks as tasks_lib

NAMES = ("STSBenchmark", "Banking77Classification")


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--model", required=True)
  parser.add_argument("--data", required=True, type=pathlib.Path)
  parser.add_argument("--rounds", type=int, default=1)
  parser.add_argument("--tasks", default=",".join(NAMES))
  a = parser.parse_args()
  _ = mteb.evaluate  # imported on first access
  ours = systems.Dense(nomic_jax.load(a.model))
  theirs = sentence_transformers.SentenceTransformer(a.model, device="cpu")
  theirs = sentence_transformers.SentenceTransformer(
    modules=[m for m in theirs if "Normalize" not in type(m).__name__],
    device="cpu",
  )
  print(
    "| task | nomic_jax | mteb | seconds | mteb's seconds | ratio |\n"
    "|---|---|---|---|---|---|"
  )
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    _write(folder, a.data)
    for name in a.tasks.split(","):
      best = [float("inf"), float("inf")]
      # Importing what mteb needs is not part of the time.
      their_task = mteb.get_task(name, eval_splits=["test"])
      mteb_tasks.locate(their_task, folder)
      for _ in range(a.rounds):
        began = time.perf_counter()
        other = (
          mteb.evaluate(
            theirs,
            their_task,
            cache=None,
            show_progress_bar=False,
            encode_kwargs={"show_progress_bar": False},
          )
          .task_results[0]
          .get_score()
        )
        best[1] = min(best[1], time.perf_counter() - began)
        began = time.perf_counter()
        (task,) = tasks_lib.find([str(folder / name)])
        with ours.caching():
          items = task.run(ours).items
        score = task.main(items)
        low, high = compare.interval(score, compare.draws(task, items))
        best[0] = min(best[0], time.perf_counter() - began)
      print(
        f"| {name}, {task.size} | {100 * score:.2f} ({100 * low:.1f} to "
        f"{100 * high:.1f}) | {100 * other:.2f} | {best[0]:.1f} | "
        f"{best[1]:.1f} | {best[1] / best[0]:.2f}× |",
        flush=True,
      )


def _write(folder: pathlib.Path, data: pathlib.Path) -> None:
  """Writes the rows in the layout of repositories on the Hub."""
  with (data / "stsb-test.csv").open(encoding="utf-8", newline="") as file:
    rows = [
      {"sentence1": x, "sentence2": y, "score": float(s)}
      for x, y, s in csv.reader(file)
    ]
  _write_rows(folder / NAMES[0] / "test.jsonl", rows)
  for split in ("train", "test"):
    with (data / f"banking77-{split}.csv").open(
      encoding="utf-8", newline=""
    ) as file:
      rows = [
        {"text": row["text"], "label": row["category"]}
        for row in csv.DictReader(file)
      ]
    _write_rows(folder / NAMES[1] / f"{split}.jsonl", rows)


def _write_rows(path: pathlib.Path, rows: list[dict]) -> None:
  path.parent.mkdir(exist_ok=True)
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
  main()
