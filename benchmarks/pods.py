# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Estimated cost of pre-training and fine-tuning on TPU slices.

  pip install -e '.[tpu-aot]'
  python benchmarks/pods.py --output=pods [--config.KEY=VALUE ...]

Runs `nomic-jax compile` for each stage in a separate process, which takes a few
minutes on two cores; reports already in the folder `pods` are kept. All texts
are assumed to have full length, so real data takes less. ModernBERT's batches
are rounded to a size that divides over the chips.
"""

import argparse
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
  "modernbert": ("mlm.py:modernbert", 4608, 9),
  "modernbert-large": ("mlm.py:modernbert-large", 5120, 4),
  "modernbert-8192": ("mlm.py:modernbert-8192", 512, 1),
  "modernbert-large-8192": ("mlm.py:modernbert-large-8192", 512, 1),
  "xlm-roberta": ("contrastive.py", 0, 0),
}
# Stage -> further fields of its config. XLM-R-base reads 512 tokens.
FIELDS = {
  "xlm-roberta": {
    "encoder.family": "xlm-roberta",
    "encoder.max_length": 512,
    "encoder.rotary_factor": 0.0,
    "data.row_length": 512,
    "data.query_length": 512,
    "data.document_length": 512,
  }
}
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


def command(stage: str, topology: str, slices: int, chips: int) -> list[str]:
  """Returns the arguments of nomic-jax for a stage on a topology."""
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
  ]


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
  moved = [
    sum(c["bytes"] for c in report["collectives"] if c["in_loop"] == inside)
    for inside in (True, False)
  ]
  return [
    *shown,
    f"{guess['step_seconds']:.2f} s",
    f"{speed:,.0f}",
    f"{guess['mfu']:.0%}",
    f"{guess['hours']:.1f}",
    f"{guess['chip_hours']:,.0f}",
    *(f"{m / 2**20:,.0f} MiB" for m in moved),
  ]


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--output", type=pathlib.Path, default="pods")
  parser.add_argument("--only", default="", help="stages, comma-separated")
  parser.add_argument("--timeout", type=float, default=3600)
  a, flags = parser.parse_known_args()
  table = [list(HEAD)]
  for at in SLICES:
    for stage in STAGES:
      topology, slices, _ = at
      file = a.output / f"{stage}-{slices}x{topology.replace(':', '-')}.json"
      if a.only and stage not in a.only.split(","):
        continue
      if not file.exists():
        arguments = command(stage, *at)
        print("nomic-jax", *arguments, *flags, flush=True)
        subprocess.run(
          [
            sys.executable,
            "-m",
            "nomic_jax.main",
            *arguments,
            *flags,
            f"--output={file}",
          ],
          timeout=a.timeout,
          check=False,
        )
      if file.exists():
        table.append(line(stage, json.loads(file.read_text())))
  for number, row in enumerate(table):
    print("| " + " | ".join(row) + " |")
    if not number:
      print("|" + "---|" * len(row))


if __name__ == "__main__":
  main()
