# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""How much of a score remains with fewer dimensions and fewer bits."""

from collections.abc import Sequence
import math
from typing import TYPE_CHECKING

from nomic_jax.embed import quantize
from nomic_jax.evaluation import systems
from nomic_jax.evaluation.task import Task
from nomic_jax.storage import drawing

if TYPE_CHECKING:
  from matplotlib.figure import Figure


_SMALLEST = 64  # smallest dimension of the paper's curve


def dims(width: int, trained: Sequence[int] = ()) -> list[int]:
  """Returns the dimensions to try, in decreasing order.

  Args:
    width: the width of the model's vectors.
    trained: dimensions that the model was trained for. Without any, the width
      is halved down to about 64, keeping multiples of 8.
  """
  candidates = {width, *trained}
  dim = width
  while not trained and dim % 2 == 0 and dim // 2 >= min(_SMALLEST, width // 4):
    dim //= 2
    candidates.add(dim)
  return sorted(
    (d for d in candidates if d % 8 == 0 or d == width), reverse=True
  )


def curve(task: Task, system: systems.Dense) -> list[dict]:
  """Returns the main score at each dimension and precision.

  The first dimension is the system's, whose vectors may be truncated.

  Each item is {"dim", "precision", "bytes" per vector, "score"}.
  """
  model = system.model
  widest = system.dim or model.width
  trained = [dim for dim in model.matryoshka_dims if dim <= widest]
  points = []
  for precision in quantize.PRECISIONS:
    for dim in dims(widest, trained):
      if precision == "binary" and dim % 8:
        continue
      dtype, columns = quantize.stored_as(precision, dim)
      outcome = task.run(system.at(dim, precision))
      score = task.main(outcome.items)
      points.append(
        {
          "dim": dim,
          "precision": precision,
          "bytes": columns * dtype.itemsize,
          "score": score if math.isfinite(score) else None,
        }
      )
  return points


def draw(results: dict) -> "Figure":
  """Returns a figure of all curves: a panel per task, a colour per model."""
  names = [
    t
    for t in results["tasks"]
    if any("curve" in m["tasks"].get(t, {}) for m in results["models"])
  ]
  figure, panels = drawing.panels(*drawing.grid(len(names)), 4.6, 3.6)
  styles = dict(zip(quantize.PRECISIONS, ("o-", "s--", "^:")))
  for panel, name in zip(panels, names):
    seen = set()
    models = [m for m in results["models"] if m["path"] is not None]
    for number, model in enumerate(models):
      for precision, style in styles.items():
        points = [
          p
          for p in model["tasks"].get(name, {}).get("curve", ())
          if p["precision"] == precision and p["score"] is not None
        ]
        seen |= {p["dim"] for p in points}
        if points:
          panel.plot(
            [p["dim"] for p in points],
            [p["score"] for p in points],
            style,
            color=drawing.CYCLE[number % len(drawing.CYCLE)],
            markersize=4,
            label=f"{model['name']}, {precision}",
          )
    panel.set_xscale("log", base=2)
    panel.set_xticks(sorted(seen), map(str, sorted(seen)))
    panel.set_xticks([], minor=True)
    panel.set(
      title=name,
      xlabel="dimensions",
      ylabel=results["tasks"][name]["metrics"][0],
    )
    panel.legend(fontsize=7, frameon=False)
  for panel in panels[len(names) :]:
    panel.remove()
  return figure
