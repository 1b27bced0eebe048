# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What a data set is like: how long its texts are, what became of its rows."""

import statistics
from typing import Sequence

import numpy as np
import tokenizers

from nomic_jax.data.dataset import Row

# Characters of a text that are tokenised to tell its length; a book would
# take minutes and fall into the last bar all the same.
_MOST_CHARACTERS = 100_000

# More sources than this, such as packages, are in stats.json alone.
_SHOWN = 40


def token_lengths(
    words: tokenizers.Tokenizer, rows: Sequence[Row]
) -> tuple[dict, str]:
  """Returns figures of queries and documents, and their histograms as SVG.

  Args:
    words: the tokenizer.
    rows: some of the data, enough to tell.

  Returns:
    {"query": {"mean", "p95"}, "document": {...}} in tokens, special ones
    included, without texts that are empty in all rows; and an SVG drawing.
  """
  figures, drawings = {}, []
  for name in ("query", "document"):
    texts = [row[name][:_MOST_CHARACTERS] for row in rows if row[name]]
    sizes = [len(e.ids) for e in words.encode_batch_fast(texts)]
    if name == "document":
      sizes += [len(row["ids"]) for row in rows if row["ids"]]
    if not sizes:
      continue
    sizes.sort()
    figures[name] = {
        "mean": round(statistics.fmean(sizes), 1),
        "p95": sizes[int(0.95 * (len(sizes) - 1))],
    }
    drawings.append(_histogram(f"tokens per {name}", sizes, len(drawings)))
  height = 150 * len(drawings)
  svg = (
      f'<svg xmlns="http://www.w3.org/2000/svg" width="480" height="{height}" '
      'font-family="sans-serif" font-size="11">\n'
      '<rect width="100%" height="100%" fill="white"/>\n'
      + "".join(drawings) + "</svg>\n")
  return figures, svg


def _histogram(title: str, sizes: Sequence[int], place: int) -> str:
  """Draws shares of texts by length, each bar twice as long as the last."""
  edges = 2 ** np.arange(0, max(int(sizes[-1]).bit_length(), 3) + 1)
  shares = np.histogram(sizes, edges)[0] / len(sizes)
  width, top, height = 440 / len(shares), 150 * place + 30, 90
  parts = [f'<text x="20" y="{top - 12}" font-weight="bold">{title}</text>\n']
  for i, share in enumerate(shares.tolist()):
    x, bar = 20 + i * width, height * share / max(shares.max(), 1e-9)
    label = f"{share:.0%}" if share else ""
    parts.append(
        f'<rect x="{x:.1f}" y="{top + height - bar:.1f}" '
        f'width="{width - 3:.1f}" height="{bar:.1f}" fill="#2f6fde"/>'
        f'<text x="{x:.1f}" y="{top + height - bar - 2:.1f}">{label}</text>'
        f'<text x="{x:.1f}" y="{top + height + 14}">{edges[i]}</text>\n')
  return "".join(parts)


def print_table(stats: dict, seconds: dict[str, float]) -> None:
  """Prints what stats.json holds, and how long each part of the job took."""
  files, dropped = stats["counts"]["files"], stats["counts"]["dropped"]
  lines = [(f"files: {what}", f"{n:,}") for what, n in sorted(files.items())]
  lines += [
      (f"dropped: {what}", f"{n:,}") for what, n in sorted(dropped.items())]
  lines += [(f"rows: {name}", f"{n:,}") for name, n in stats["rows"].items()]
  if 1 < len(stats["sources"]) <= _SHOWN:
    lines += [
        (f"rows read of {name}", f"{n:,}")
        for name, n in stats["sources"].items()]
  lines += [
      (f"tokens per {name}", f"{n['mean']:.0f} on average, 95 % up to "
       f"{n['p95']}") for name, n in stats["tokens"].items()]
  lines.append(("vocabulary", f"{stats['vocab_size']:,} tokens"))
  lines.append(("seconds", ", ".join(
      f"{name} {n:.1f}" for name, n in seconds.items())))
  for name, value in lines:
    print(f"{name:<34}{value}")
  if stats["held_out"]:
    print("held out whole: " + ", ".join(stats["held_out"]))
