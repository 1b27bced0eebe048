# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The report of `nomic-jax adapt`."""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import NamedTuple

from nomic_jax.errors import UserError
from nomic_jax.evaluation import compare
from nomic_jax.report import tables
from nomic_jax.storage.values import Json

START, ADAPTED = "start", "adapted"  # the names of the models in the scores


class Report(NamedTuple):
  """The contents of the report.

  Attributes:
    model: the original model.
    source: the data that it was adapted to.
    results: from `report.evaluate`, for both models, BM25 and the hybrids.
    chosen: (name, value with reason) of each choice.
    notes: lines of warning or explanation.
    minutes: spent in each step.
    verdict: see `verdict`.
    exported: path of the exported model, or "".
  """

  model: str
  source: str
  results: Mapping[str, Json]
  chosen: Sequence[tuple[str, str]]
  notes: Sequence[str]
  minutes: Mapping[str, float]
  verdict: str
  exported: str


def gain(results: Mapping[str, Json]) -> compare.Difference:
  """Returns the gain over the original model in the first task's main score.

  Raises:
    UserError: if either has no score.
  """
  task = next(iter(results["tasks"]))
  found = tables.difference(results, task, ADAPTED, START)
  if found is None:
    raise UserError(
      f"{task}: the model has no score before or after the training, so they "
      "cannot be compared; its vectors may not be finite"
    )
  return found


def verdict(results: Mapping[str, Json]) -> str:
  """Returns one line: whether the model improved, with the interval."""
  task, about = next(iter(results["tasks"].items()))
  scores = tables.main_scores(results, task)
  gap, metric = gain(results), about["metrics"][0]
  side = "better" if gap.value > 0 else "no better"
  why = "the interval includes 0"
  interval = f", 95 % CI {gap.low:+.3f} to {gap.high:+.3f}"
  if math.isnan(gap.low):
    why, interval = "too few held-out rows", ""
  chance = gap.value and not gap.significant
  sure = f", which may be due to chance: {why}" if chance else ""
  return (
    f"{metric} {scores[START]:.3f} before, {scores[ADAPTED]:.3f} after: "
    f"{side} ({gap.value:+.3f}{interval}){sure}"
  )


def markdown(report: Report) -> str:
  """Returns report.md."""
  chosen = "\n".join(f"| {what} | {value} |" for what, value in report.chosen)
  minutes = "\n".join(f"| {s} | {m:.1f} |" for s, m in report.minutes.items())
  notes = "".join(f"- {note}\n" for note in report.notes)
  kinds = {about["kind"] for about in report.results["tasks"].values()}
  searched = (
    "A name with `+` is\nthat model fused with BM25 by reciprocal rank. The "
    "held-out queries search the\ndocuments of all rows."
    if "retrieval" in kinds
    else "The rows were held out."
  )
  exported = (
    f"The model is in `{report.exported}`, with its card."
    if report.exported
    else "No model was exported."
  )
  return f"""# {report.model} adapted to {report.source}

**{report.verdict}**

{exported}

{notes}
{tables.markdown(dict(report.results))}
`{START}` is the original model, `{ADAPTED}` the adapted one. {searched}

## Choices

| | |
|---|---|
{chosen}

## Minutes

| step | minutes |
|---|---:|
{minutes}
| total | {sum(report.minutes.values()):.1f} |
"""
