# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Plots for `nomic-jax plot` and for sweeps, as PNG files."""

from collections.abc import Iterable
from collections.abc import Sequence
import pathlib
from typing import TYPE_CHECKING

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.run import metrics
from nomic_jax.storage import buckets
from nomic_jax.storage import drawing
from nomic_jax.storage import places
from nomic_jax.storage.files import replacing
from nomic_jax.storage.values import JsonObject
from nomic_jax.storage.values import Place

if TYPE_CHECKING:
  from matplotlib.figure import Figure


# Drawn by default, where a run has them; those of held-out rows first.
DEFAULT = (
  "retrieval/nDCG@10",
  "scores/spearman",
  "eval/accuracy",
  "eval/loss",
  "loss",
  "accuracy",
  "gradient_norm",
  "learning_rate",
  "tokens_per_second",
  "mfu",
  "data_wait_share",
)
_POINTS = 400  # drawn per curve; longer curves are averaged


@places.expanding("workdirs", "output")
def plot(
  workdirs: Sequence[str], output: str, chosen: Sequence[str] = ()
) -> None:
  """Draws each metric of several training runs in one picture.

  Args:
    workdirs: the work directories of training runs, each "PATH" or "NAME=PATH".
    output: the .png file to write.
    chosen: metrics in metrics.jsonl to draw; default: those in DEFAULT.

  Raises:
    UserError: for a folder without metrics, or a metric that no run has.
  """
  check(output)
  runs = dict(_read(spec) for spec in workdirs)
  if len(runs) < len(workdirs):
    raise UserError(
      "two work directories have the same name; specify each as NAME=PATH"
    )
  known = list(
    dict.fromkeys(
      k
      for rows in runs.values()
      for row in rows
      for k, v in row.items()
      if isinstance(v, (int, float)) and k != "step"
    )
  )
  for name in chosen:
    one_of(name, known, f"--metric: no run has '{name}'", "they have")
  names = list(chosen) or [n for n in DEFAULT if n in known]
  figure, panels = drawing.panels(*drawing.grid(len(names)))
  for panel, name in zip(panels, names):
    for number, (run, rows) in enumerate(runs.items()):
      steps, values = _curve(rows, name)
      panel.plot(
        steps,
        values,
        color=f"C{number}",
        label=run,
        marker="o" if len(steps) == 1 else None,
      )
    panel.set(title=name, xlabel="step")
  for panel in panels[len(names) :]:
    panel.remove()
  handles = [
    panels[0].plot([], [], color=f"C{n}", label=run)[0]
    for n, run in enumerate(runs)
  ]
  figure.legend(
    handles=handles,
    loc="outside upper center",
    fontsize=9,
    ncols=min(len(runs), 3),
    frameon=False,
  )
  _save(figure, output)


def points(
  values: Sequence[float],
  varied: Sequence[JsonObject],
  metric: str,
  output: Place,
) -> None:
  """Draws a metric against each setting that differs between points.

  Args:
    values: the values of the metric, one per point.
    varied: the settings of each point, with the same keys.
    metric: its name.
    output: the .png file to write.
  """
  names = list(varied[0])
  figure, panels = drawing.panels(1, len(names))
  for panel, name in zip(panels, names):
    others = [
      ", ".join(f"{_short(k)}={v}" for k, v in point.items() if k != name)
      for point in varied
    ]
    numbers = all(isinstance(p[name], (int, float)) for p in varied)
    coordinate = (lambda v: v) if numbers else str
    for other in dict.fromkeys(others):
      line = [
        (coordinate(p[name]), v)
        for p, v, o in zip(varied, values, others)
        if o == other
      ]
      if numbers:
        line.sort()
      panel.plot(*zip(*line), marker="o", label=other)
    if numbers and _spans(p[name] for p in varied):
      panel.set_xscale("log")
    if numbers:  # ticks at the points rather than at powers of ten
      ticks = sorted({p[name] for p in varied})
      panel.set_xticks(ticks, [f"{t:g}" for t in ticks])
      panel.set_xticks([], minor=True)
    panel.set(xlabel=name, ylabel=metric)
    if any(others):
      panel.legend(frameon=False)
  _save(figure, output)


def _save(figure: "Figure", output: "str | Place") -> None:
  with replacing(output) as temporary:
    temporary.write_bytes(drawing.png(figure))
  print(f"{output}: {len(figure.axes)} charts")


def check(output: str) -> None:
  """Raises UserError unless `output` names a writable .png file."""
  if pathlib.Path(output).suffix != ".png":
    raise UserError(f"--output={output}: expected a name that ends in .png")
  places.check_file(output)


def _read(spec: str) -> tuple[str, list[dict]]:
  """Returns name and rows of "PATH" or "NAME=PATH"; PATH may contain =."""
  name, _, location = spec.partition("=")
  if pathlib.Path(spec).is_dir() or not location or "://" in name:
    name, location = "", spec
  path = pathlib.Path(buckets.fetch(location, checkpoints=False))
  rows = metrics.read(path / "metrics.jsonl")
  if not rows:
    raise UserError(
      f"{path}: no metrics.jsonl, or an empty one; expected the work "
      "directory of a training run, as PATH or NAME=PATH"
    )
  return name or path.name, rows


def _curve(rows: list[dict], name: str) -> tuple[list[float], list[float]]:
  """Returns steps and values, averaging neighbours if there are many."""
  pairs = [
    (r["step"], r[name]) for r in rows if isinstance(r.get(name), (int, float))
  ]
  width = -(-len(pairs) // _POINTS)
  groups = [pairs[i : i + width] for i in range(0, len(pairs), width or 1)]
  return (
    [g[-1][0] for g in groups],
    [sum(v for _, v in g) / len(g) for g in groups],
  )


def _short(key: str) -> str:
  return key.rpartition(".")[2]


def _spans(values: Iterable[float]) -> bool:
  """Returns whether positive values span enough for a logarithmic axis."""
  values = list(values)
  return min(values) > 0 and max(values) >= 4 * min(values)
