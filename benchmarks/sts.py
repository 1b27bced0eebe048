# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Spearman correlations on the STS benchmark and SICK, here and in PyTorch.

python benchmarks/sts.py --model=DIR --data=DIR

--data has stsb-test.csv (sentence, sentence, score; no header) and
sick_test.tsv (pair_ID, sentence_A, sentence_B, relatedness_score, ...).
--model is a model directory or a hub name, read by nomic_jax and by
sentence-transformers.
"""

import argparse
import csv
import pathlib

import numpy as np
from scipy import stats
import sentence_transformers

import nomic_jax


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--model", required=True)
  parser.add_argument("--data", required=True, type=pathlib.Path)
  parser.add_argument(
    "--prompt",
    help="name of a prompt, such as "
    "classification for Nomic Embed; default none",
  )
  a = parser.parse_args()
  ours = nomic_jax.load(a.model)
  theirs = sentence_transformers.SentenceTransformer(a.model, device="cpu")
  print(
    "| test | pairs | nomic_jax | sentence-transformers | largest "
    "difference of a vector |\n|---|---|---|---|---|"
  )
  for name, pairs in {
    "STS benchmark": stsb(a.data / "stsb-test.csv"),
    "SICK": _sick(a.data / "sick_test.tsv"),
  }.items():
    texts = [text for pair in pairs for text in pair[:2]]
    gold = [pair[2] for pair in pairs]
    once = list(dict.fromkeys(texts))  # sentences are in several pairs
    at = [once.index(text) for text in texts]
    x = ours.encode(once, prompt=a.prompt)[at]
    y = theirs.encode(once, prompt_name=a.prompt, normalize_embeddings=True)[at]
    print(
      f"| {name} | {len(pairs):,} | {spearman(x, gold):.2f} | "
      f"{spearman(y, gold):.2f} | {np.abs(x - y).max():.1e} |",
      flush=True,
    )


def spearman(vectors: np.ndarray, gold: list[float]) -> float:
  """Correlates scores with the cosines of vectors 2i and 2i + 1; times 100."""
  cosine = (vectors[0::2] * vectors[1::2]).sum(1)
  return 100 * stats.spearmanr(cosine, gold).statistic


def stsb(path: pathlib.Path) -> list[tuple[str, str, float]]:
  """Reads pairs of sentences with their scores."""
  with path.open(encoding="utf-8", newline="") as file:
    return [(a, b, float(score)) for a, b, score in csv.reader(file)]


def _sick(path: pathlib.Path) -> list[tuple[str, str, float]]:
  with path.open(encoding="utf-8") as file:
    rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    return [
      (r["sentence_A"], r["sentence_B"], float(r["relatedness_score"]))
      for r in rows
    ]


if __name__ == "__main__":
  main()
