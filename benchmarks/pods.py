# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Estimated cost of pre-training and fine-tuning on TPU slices.

  pip install -e '.[tpu-aot]'
  python benchmarks/pods.py --output=pods [--config.KEY=VALUE ...]

Runs `nomic-jax compile` for each stage in a separate process, which takes a few
minutes on two cores; reports already in the folder `pods` are kept. All texts
are assumed to have full length, so real data takes less. ModernBERT's batches
are rounded to a size that divides over the chips.

Compile time grows with the number of layers. --depths=A,B compiles models of A
and of B layers instead, and extrapolates times, memory and collectives linearly
to the stage's own number. B - A must be a multiple of the layers that repeat:
3 for ModernBERT, whose depths are 1 more than such a multiple, such as 1,4.
"""

import argparse
import importlib
import json
import math
import pathlib
import subprocess
import sys

# (topology, slices, chips)
SLICES = (
  ("v5e:16x16", 1, 256),
  ("v5e:8x8", 1, 64),
  ("v5p:2x4x4", 1, 32),
  ("v6e:8x8", 1, 64),
  ("v5e:8x8", 2, 128),
)
# Stage -> config and, for text, rows per batch and rows per chip at a time.
STAGES = {
  "mlm": ("mlm.py", 4096, 4),
  "contrastive": ("contrastive.py", 0, 0),
  "finetune": ("finetune.py", 0, 0),
  "modernbert": ("mlm.py:modernbert", 4608, 18),
  "modernbert-large": ("mlm.py:modernbert-large", 5120, 4),
  "modernbert-8192": ("mlm.py:modernbert-8192", 512, 1),
  "modernbert-large-8192": ("mlm.py:modernbert-large-8192", 512, 1),
}
# Stage -> further fields of its config.
FIELDS: dict[str, dict] = {}
# Contrastive pre-training of other families, whose limit is 512 tokens.
for _family in ("bert", "roberta", "xlm-roberta", "distilbert", "mpnet"):
  STAGES[_family] = ("contrastive.py", 0, 0)
  FIELDS[_family] = {
    "encoder.family": _family,
    "encoder.max_length": 512,
    "encoder.rotary_factor": 0.0,
    "data.row_length": 512,
    "data.query_length": 512,
    "data.document_length": 512,
  }
FIELDS["distilbert"]["encoder.layers"] = 6
HEAD = (
  "stage",
  "slices",
  "chips",
  "memory a chip",
  "of it",
  "step",
  "tokens/s a chip",
  "MFU",
  "hours",
  "chip-hours",
  "exchanged in loops",
  "and once",
)


def command(
  stage: str, topology: str, slices: int, chips: int, depth: int = 0
) -> list[str]:
  """Returns the arguments of nomic-jax for a stage on a topology.

  Args:
    stage: a key of STAGES.
    topology: of each slice, such as v5e:16x16.
    slices: number of slices.
    chips: number of chips of all slices.
    depth: number of layers; 0 for the stage's own.
  """
  config, rows, own = STAGES[stage]
  divided = [f"--config.data.rows_multiple={chips}"]
  if rows:
    step = own * chips
    micro = max(round(rows / step), 1)
    divided = [
      f"--config.data.batch_size={micro * step}",
      f"--config.data.micro_batches={micro}",
    ]
  return [
    "compile",
    f"--config=configs/{config}",
    f"--topology={topology}",
    f"--num_slices={slices}",
    *divided,
    *(f"--config.{k}={v}" for k, v in FIELDS.get(stage, {}).items()),
    *(
      f"--config.{k}={depth}"
      for k in ("encoder.layers", "compute.unroll")
      if depth
    ),
  ]


def extrapolate(reports: dict[int, dict], depth: int) -> dict:
  """Returns the report of a model of `depth` layers, from two of other depths.

  Memory, operations, bytes and seconds are linear in the number of layers.
  """
  (a, first), (b, second) = sorted(reports.items())
  for report in (first, second):
    if not report["fits"]:
      return report
  at = lambda x, y: x + (y - x) * (depth - a) / (b - a)
  memory = at(first["memory"]["peak"], second["memory"]["peak"])
  report = first | {
    "fits": memory <= first["memory"]["chip"],
    "memory": first["memory"] | {"peak": memory},
    "collectives": [
      {
        "in_loop": inside,
        "bytes": at(*(_moved(r, inside) for r in (first, second))),
      }
      for inside in (True, False)
    ],
  }
  guesses = [r["estimate"] for r in (first, second)]
  seconds = at(*(g["step_seconds"] for g in guesses))
  hours = guesses[0]["steps"] * seconds / 3600
  report["estimate"] = {
    "step_seconds": seconds,
    # MFU x seconds is proportional to the operations.
    "mfu": at(*(g["mfu"] * g["step_seconds"] for g in guesses)) / seconds,
    "hours": hours,
    "chip_hours": hours * report["chips"],
  }
  return report


def _moved(report: dict, inside: bool) -> float:
  return sum(
    c["bytes"] for c in report["collectives"] if c["in_loop"] == inside
  )


def line(stage: str, report: dict) -> list[str]:
  """Returns one row of the table, from a report of `nomic-jax compile`."""
  at = f"{report['slices']} x {report['topology']}"
  memory = report["memory"]
  peak = memory.get("peak", math.nan)
  shown = [
    stage,
    at,
    str(report["chips"]),
    f"{peak / 2**30:.1f} GiB",
    f"{peak / memory['chip']:.0%}",
  ]
  if not report["fits"]:
    return [*shown, "does not fit", *[""] * (len(HEAD) - 6)]
  guess = report["estimate"]
  speed = math.prod(report["rows"]) / guess["step_seconds"] / report["chips"]
  return [
    *shown,
    f"{guess['step_seconds']:.2f} s",
    f"{speed:,.0f}",
    f"{guess['mfu']:.0%}",
    f"{guess['hours']:.1f}",
    f"{guess['chip_hours']:,.0f}",
    *(f"{_moved(report, i) / 2**20:,.0f} MiB" for i in (True, False)),
  ]


def _layers(stage: str) -> int:
  """Returns the number of layers of a stage's model."""
  if layers := FIELDS.get(stage, {}).get("encoder.layers"):
    return layers
  sys.path.insert(0, "configs")
  name, _, arg = STAGES[stage][0].partition(":")
  module = importlib.import_module(name.removesuffix(".py"))
  return module.get_config(arg or None).encoder.layers


def _compile(file: pathlib.Path, arguments: list[str], timeout: float) -> None:
  print("nomic-jax", *arguments, flush=True)
  subprocess.run(
    [sys.executable, "-m", "nomic_jax.main", *arguments, f"--output={file}"],
    timeout=timeout,
    check=False,
  )


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--output", type=pathlib.Path, default="pods")
  parser.add_argument("--only", default="", help="stages, comma-separated")
  parser.add_argument("--timeout", type=float, default=3600)
  parser.add_argument("--on", default="", help="topologies, comma-separated")
  parser.add_argument("--depths", default="", help="two, comma-separated")
  a, flags = parser.parse_known_args()
  depths = [int(d) for d in a.depths.split(",") if d] or [0]
  table = [list(HEAD)]
  for at in SLICES:
    for stage in STAGES:
      topology, slices, _ = at
      if a.only and stage not in a.only.split(","):
        continue
      if a.on and topology not in a.on.split(","):
        continue
      reports = {}
      for depth in depths:
        name = f"{stage}-{slices}x{topology.replace(':', '-')}"
        file = a.output / f"{name}{f'-{depth}' if depth else ''}.json"
        if not file.exists():
          _compile(file, [*command(stage, *at, depth), *flags], a.timeout)
        if file.exists():
          reports[depth] = json.loads(file.read_text())
      if len(reports) == len(depths):
        report = reports[depths[0]]
        if len(depths) > 1:
          report = extrapolate(reports, _layers(stage))
        table.append(line(stage, report))
  for number, row in enumerate(table):
    print("| " + " | ".join(row) + " |")
    if not number:
      print("|" + "---|" * len(row))


if __name__ == "__main__":
  main()
