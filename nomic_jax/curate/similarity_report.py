# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Reports what the filter kept and dropped: counts, similarities, examples."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import importlib.util

import numpy as np

from nomic_jax.curate import groups
from nomic_jax.curate import rewrite
from nomic_jax.data import dataset
from nomic_jax.storage import drawing

_WRITTEN = 20  # examples of either kind in report.md
_PANELS = 12  # histograms: of all rows, and of the largest sources
_FEW = 50  # rows; a source with fewer gets no histogram


class Report:
  """The report of one filter run.

  Args:
    source: the rows that were filtered.
    score: [rows], the similarity of each pair, NaN if it has none.
    decision: [rows], the outcome, an index into `outcomes`.
    outcomes: "kept" first, then the reasons for dropping.
    nearest: [rows], the row with the query's nearest document, or -1.
    by_source: counts as from `rewrite.count_sources`.
  """

  def __init__(
    self,
    source: dataset.Source,
    score: np.ndarray,
    decision: np.ndarray,
    outcomes: Sequence[str],
    nearest: np.ndarray,
    by_source: Mapping[str, Mapping[str, int]],
  ):
    self._source, self._score, self._decision = source, score, decision
    self._outcomes, self._nearest = outcomes, nearest
    self._by_source = by_source

  def files(self) -> dict[str, str | bytes]:
    """Returns report.md and, if matplotlib is installed, similarity.png."""
    text = [
      "# Filter",
      "",
      "```",
      *rewrite.table(self._by_source, 1000),
      "```",
      "",
    ]
    files = {}
    if importlib.util.find_spec("matplotlib"):
      files["similarity.png"] = self._drawing()
      text += ["![similarity of kept and dropped pairs](similarity.png)", ""]
    else:
      print(
        "similarity.png: not drawn, since matplotlib is not installed; run "
        "pip install matplotlib"
      )
    text += ["```", *self.examples(_WRITTEN, 300), "```", ""]
    return {"report.md": "\n".join(text), **files}

  def examples(self, count: int, width: int = 60) -> list[str]:
    """Returns lines with up to `count` kept and as many dropped pairs."""
    return [
      line
      for kept in (True, False)
      for line in self._examples(kept, count, width)
    ]

  def _examples(self, kept: bool, count: int, width: int) -> Iterator[str]:
    rows = np.flatnonzero((self._decision == 0) == kept)
    for i in np.random.default_rng(0).permutation(rows)[:count].tolist():
      row, outcome = self._source[i], self._outcomes[int(self._decision[i])]
      label = "kept" if kept else f"dropped ({outcome})"
      yield (
        f"{label}, similarity {self._score[i]:.3f}: row {i} {row['location']}"
      )
      yield f"  query     {rewrite.short(row['query'], width)}"
      yield f"  document  {rewrite.short(row['document'], width)}"
      if not kept and self._nearest[i] >= 0:
        better = self._source[int(self._nearest[i])]["document"]
        yield f"  nearest   {rewrite.short(better, width)}"

  def _drawing(self) -> bytes:
    """Returns a PNG: histograms of similarities of all rows and of sources."""
    names, number = groups.sources_of(self._source)
    sizes = np.bincount(number, minlength=len(names))
    shown: list[tuple[str, slice | np.ndarray]] = [("all", slice(None))]
    if len(names) > 1:
      shown += [
        (names[i] or "(no source)", number == i)
        for i in np.argsort(-sizes)[: _PANELS - 1].tolist()
        if sizes[i] >= _FEW
      ]
    figure, panels = drawing.panels(*drawing.grid(len(shown)), height=2.6)
    finite = np.isfinite(self._score)
    edges = np.linspace(
      np.min(self._score[finite], initial=0),
      np.max(self._score[finite], initial=1),
      51,
    )
    for panel, (name, at) in zip(panels, shown):
      score, kept = self._score[at], self._decision[at] == 0
      panel.hist(
        [score[finite[at] & kept], score[finite[at] & ~kept]],
        edges,
        stacked=True,
        color=drawing.CYCLE[:2],
        label=["kept", "dropped"],
      )
      panel.set_title(
        f"{rewrite.short(name, 28)}: {kept.mean():.1%} of {len(kept):,} kept"
      )
    panels[0].legend(frameon=False)
    for panel in panels[len(shown) :]:
      panel.remove()
    figure.supxlabel("cosine of query and document", fontsize=9)
    figure.supylabel("pairs", fontsize=9)
    return drawing.png(figure)
