# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Reports training runs and scores in one HTML file.

The page is self-contained: charts are inline SVG, and it supports light and
dark mode.
"""

from collections.abc import Sequence
import json
import pathlib
import statistics

from nomic_jax.errors import UserError
from nomic_jax.evaluation.paths import named_paths
from nomic_jax.report import charts
from nomic_jax.report import page
from nomic_jax.report import scores as report_scores
from nomic_jax.run import metrics
from nomic_jax.storage import buckets
from nomic_jax.storage import places
from nomic_jax.storage.files import replacing


@places.expanding("workdirs", "scores", "output")
def report(workdirs: Sequence[str], scores: str | None, output: str) -> None:
  """Writes a report of training runs and of the scores of their models.

  Args:
    workdirs: work directories in the order of the stages, each "PATH" or
      "NAME=PATH".
    scores: the .json file written by `nomic-jax evaluate`; None for training
      runs only.
    output: the .html file to write.

  Raises:
    UserError: if a work directory or the scores are missing or not of that
      kind.
  """
  places.check_file(output)
  places.check_apart(output, scores)
  stages = [
    _read_stage(name, path)
    for name, path in named_paths(
      workdirs, "--workdir", checkpoints=False
    ).items()
  ]
  results = _read_scores(scores) if scores else None
  if not stages and not results:
    raise UserError("nothing to report: specify --workdir=DIR or --scores=FILE")
  body = []
  if results:
    body += report_scores.scores(results)
  if stages:
    body += _stages_section(stages)
  if results:
    body += report_scores.worst(results)
  body += _config_section(stages)
  with replacing(output) as temporary:
    temporary.write_text(page.page(body), encoding="utf-8")


def _read_stage(name: str, path: pathlib.Path) -> dict:
  configs = {}
  for file in ("config.json", "encoder.json"):
    if (path / file).is_file():
      configs[file] = (path / file).read_text(encoding="utf-8")
  if not configs and not (path / "metrics.jsonl").is_file():
    raise UserError(
      f"--workdir={path}: has neither metrics.jsonl nor config.json; expected "
      "the work directory of nomic-jax train"
    )
  rows = [
    row
    for row in metrics.read(path / "metrics.jsonl")
    if isinstance(row, dict) and isinstance(row.get("step"), int)
  ]
  return {"name": name, "path": path, "rows": rows, "configs": configs}


def _read_scores(path: str) -> dict:
  try:
    place = buckets.as_path(path)
    with buckets.errors(place):
      text = place.read_text(encoding="utf-8")
    results = json.loads(text)
    results["models"][0]["tasks"]
    [(about["kind"], about["size"]) for about in results["tasks"].values()]
    [(model["name"], model["path"]) for model in results["models"]]
  except OSError as e:
    raise UserError(
      f"--scores={path}: {e.strerror}; expected the file written by nomic-jax "
      "evaluate --output"
    ) from e
  except (ValueError, LookupError, TypeError) as e:
    raise UserError(
      f"--scores={path}: not a file of nomic-jax evaluate; expected the one "
      "written to --output"
    ) from e
  return results


def _series(rows: list[dict], key: str) -> tuple[list[float], list[float]]:
  """Returns (steps, values) of the rows with a number under `key`."""
  pairs = [
    (row["step"], float(row[key]))
    for row in rows
    if isinstance(row.get(key), (int, float))
  ]
  return [s for s, _ in pairs], [v for _, v in pairs]


def _stages_section(stages: list[dict]) -> list[str]:
  heads = [
    "stage",
    "steps",
    "minutes",
    "tokens/s",
    "padding",
    "loss, first",
    "loss, last",
    "peak learning rate",
  ]
  total = sum(
    max(_series(stage["rows"], "seconds")[1], default=0) for stage in stages
  )
  parts = [
    "<h2>Training</h2>",
    page.table(heads, [_stage_cells(stage) for stage in stages]),
  ]
  parts.append(
    f'<p class="note">Total: {total / 60:.1f} minutes. Tokens/s, which '
    "excludes padding, and padding are medians over the logged steps; first "
    "and last loss are means over a twentieth of them.</p>"
  )
  figures = [_figure(stage) for stage in stages]
  return parts + ['<div class="charts halves">', *figures, "</div>"]


def _figure(stage: dict) -> str:
  """Returns the curves of one training run, stacked vertically."""
  parts = [f"<figure><figcaption>{page.escape(stage['name'])}</figcaption>"]
  steps, losses = _series(stage["rows"], "loss")
  if steps:
    window = max(len(losses) // 25, 1) | 1
    smooth = charts.running_mean(losses, window) if window > 1 else None
    label = f"loss; bold: mean of {window} logged points" if smooth else "loss"
    parts.append(charts.curve(steps, losses, label, smooth=smooth))
  else:
    parts.append('<p class="note">no steps logged</p>')
  for key in ("accuracy", "learning_rate"):
    steps, values = _series(stage["rows"], key)
    if steps:
      label = key.replace("_", " ")
      parts.append(charts.curve(steps, values, label, height=1.55))
  return "".join(parts) + "</figure>"


def _stage_cells(stage: dict) -> list[str]:
  rows = stage["rows"]
  _, clock = _series(rows, "seconds")
  _, losses = _series(rows, "loss")
  _, rates = _series(rows, "learning_rate")
  _, speeds = _series(rows, "tokens_per_second")
  _, paddings = _series(rows, "padding")
  part = max(len(losses) // 20, 1)
  return [
    page.escape(stage["name"]),
    f"{rows[-1]['step']:,}" if rows else "–",
    f"{clock[-1] / 60:.1f}" if clock else "–",
    f"{statistics.median(speeds):,.0f}" if speeds else "–",
    f"{statistics.median(paddings):.1%}" if paddings else "–",
    f"{statistics.fmean(losses[:part]):.3f}" if losses else "–",
    f"{statistics.fmean(losses[-part:]):.3f}" if losses else "–",
    f"{max(rates):.2g}" if rates else "–",
  ]


def _config_section(stages: list[dict]) -> list[str]:
  parts = []
  for stage in stages:
    for file, text in stage["configs"].items():
      try:
        text = json.dumps(json.loads(text), indent=2)
      except ValueError:
        pass  # shown unformatted
      parts.append(
        f"<details><summary>{page.escape(stage['name'])}: "
        f"{page.escape(str(stage['path'] / file))}</summary>"
        f"<pre>{page.escape(text)}</pre></details>"
      )
  return ["<h2>Configuration</h2>", *parts] if parts else []
