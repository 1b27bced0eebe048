# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Statistics of a data set: lengths of texts, unknown tokens, dropped rows."""

from collections.abc import Mapping
from collections.abc import Sequence
import statistics
from typing import Any

import numpy as np
import tokenizers

from nomic_jax.errors import UserError
from nomic_jax.storage import drawing
from nomic_jax.text import special_tokens

# Number of characters of a text that are tokenised to measure its length; a
# whole book would take minutes and belong to the last bar anyway.
_MOST_CHARACTERS = 100_000

# Maximum share of unknown tokens, and of texts that are mostly unknown. Beyond
# it, a model would learn mostly from fragments of texts.
_MOST_UNKNOWN = 0.05

# If there are more sources, such as packages, only stats.json lists them.
_SHOWN = 40


def token_lengths(
  words: tokenizers.Tokenizer, rows: Sequence[Mapping[str, Any]]
) -> tuple[dict, dict[str, list[int]]]:
  """Returns statistics of queries and documents, and the lengths of all texts.

  Args:
    words: the tokenizer.
    rows: a sample of the data.

  Returns:
    {"query": {"mean", "p95", "unk", "lost"}, "document": {...}}, without a side
    that is empty in all rows; and the number of tokens of each text. `mean` and
    `p95` are numbers of tokens, special ones included. `unk` is the share of
    unknown tokens among those that are not special, and `lost` the share of
    texts that have no tokens or mostly unknown ones.
  """
  figures, lengths = {}, {}
  special = special_tokens.of(words)
  for name in ("query", "document"):
    texts = [row[name][:_MOST_CHARACTERS] for row in rows if row[name]]
    ids = [e.ids for e in words.encode_batch_fast(texts)]
    if name == "document":
      ids += [row["ids"] for row in rows if row["ids"]]
    if not ids:
      continue
    sizes = sorted(map(len, ids))
    ends = len(special.head) + len(special.tail)
    unknown = [
      (sum(n == special.unk for n in each), len(each) - ends) for each in ids
    ]
    figures[name] = {
      "mean": round(statistics.fmean(sizes), 1),
      "p95": sizes[int(0.95 * (len(sizes) - 1))],
      "unk": sum(n for n, _ in unknown) / max(sum(k for _, k in unknown), 1),
      "lost": statistics.fmean(2 * n >= k for n, k in unknown),
    }
    lengths[name] = sizes
  return figures, lengths


def lengths(words: tokenizers.Tokenizer, texts: Sequence[str]) -> list[int]:
  """Returns the number of tokens of each text, special ones included."""
  cut = [text[:_MOST_CHARACTERS] for text in texts]
  return [len(e.ids) for e in words.encode_batch_fast(cut)]


def draw(sizes: Mapping[str, Sequence[int]]) -> str:
  """Draws a histogram of text lengths with bins that double in size.

  Args:
    sizes: the number of tokens of each text, by kind of text.

  Returns:
    The figure as SVG.
  """
  figure, panels = drawing.panels(len(sizes), 1, 6.6, 2.1)
  for panel, (name, lengths) in zip(panels, sizes.items()):
    edges = 2 ** np.arange(0, max(max(lengths).bit_length(), 3) + 1)
    shares = np.histogram(lengths, edges)[0] / len(lengths)
    bars = panel.bar(
      range(len(shares)),
      shares,
      color=drawing.COLORS["main"],
      align="edge",
      width=0.94,
    )
    panel.bar_label(bars, [f"{s:.0%}" if s else "" for s in shares], fontsize=8)
    panel.set_xticks(range(len(shares)), map(str, edges[:-1]), ha="left")
    panel.set_yticks([])
    panel.spines["left"].set_visible(False)
    panel.set_title(f"tokens per {name}", loc="left", fontweight="bold")
  return drawing.svg(figure)


def check_known(
  figures: dict,
  where: str,
  advice: str = "choose a larger --vocab_size, or a --tokenizer of these "
  "languages, or --allow_unk to train on the rest",
) -> None:
  """Raises UserError if too many tokens are unknown to a tokenizer.

  Args:
    figures: the result of `token_lengths`.
    where: names the data.
    advice: how to fix it.

  Raises:
    UserError: if more than 5 % of the tokens of a side are unknown, or more
      than 5 % of its texts are mostly unknown.
  """
  for name, n in figures.items():
    if max(n["unk"], n["lost"]) > _MOST_UNKNOWN:
      raise UserError(f"{where}: {_unknown(name, n)}; {advice}")


def _unknown(name: str, n: dict) -> str:
  return (
    f"{n['unk']:.2%} of the {name} tokens are [UNK], and {n['lost']:.2%} "
    f"of the {name} texts are mostly [UNK]"
  )


def print_table(stats: dict, seconds: dict[str, float]) -> None:
  """Prints the contents of stats.json and the duration of each step."""
  files, dropped = stats["counts"]["files"], stats["counts"]["dropped"]
  lines = [(f"files: {what}", f"{n:,}") for what, n in sorted(files.items())]
  lines += [
    (f"dropped: {what}", f"{n:,}") for what, n in sorted(dropped.items())
  ]
  made = stats["counts"].get("made", {})
  lines += [(f"made: {what}", f"{n:,}") for what, n in sorted(made.items())]
  lines += [(f"rows: {name}", f"{n:,}") for name, n in stats["rows"].items()]
  if 1 < len(stats["sources"]) <= _SHOWN:
    lines += [
      (f"rows read of {name}", f"{n:,}") for name, n in stats["sources"].items()
    ]
  lines += [
    (f"tokens per {name}", f"mean {n['mean']:.0f}, 95th percentile {n['p95']}")
    for name, n in stats["tokens"].items()
  ]
  lines += [
    (
      f"[UNK] per {name}",
      f"{n['unk']:.2%} of the tokens; {n['lost']:.2%} of "
      "the texts are mostly unknown",
    )
    for name, n in stats["tokens"].items()
  ]
  lines.append(("vocabulary", f"{stats['vocab_size']:,} tokens"))
  lines.append(
    ("seconds", ", ".join(f"{name} {n:.1f}" for name, n in seconds.items()))
  )
  for name, value in lines:
    print(f"{name:<33} {value}")
  if stats["held_out"]:
    print("held out whole: " + ", ".join(stats["held_out"]))
