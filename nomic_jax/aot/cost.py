# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The cost of a compiled step: memory, estimated times, and a table of both."""

import re

from nomic_jax.aot import topology
from nomic_jax.storage.values import JsonObject

Report = JsonObject

_GIB = 2**30
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def exceeded(message: str, chip: topology.Chip) -> Report:
  """Returns the peak memory from the compiler's out-of-memory message."""
  memory = {"chip": topology.usable(chip)}
  match = re.search(r"(?:Used |temporaries \()([\d.]+)([KMGT])", message)
  if match:
    memory["peak"] = int(float(match[1]) * _UNITS[match[2]])
  return memory


def estimate(
  report: Report, steps: int, chips: int, chip: topology.Chip
) -> Report:
  """Estimates seconds per step by cause, MFU, and the time of the whole stage.

  Assumes no overlap. The compiler counts no cycles for kernels: attention is
  assumed to take the bundles in `chip.kernels`, for rows of one text.
  Collectives move their bytes over the slice's links at full rate, an
  all-reduce twice.
  """
  seconds = {k: v / chip.clock for k, v in report["cycles"].items()}
  # The number of columns of queries is in the result of the forward kernel.
  # That of the backward kernel includes keys and values, whose heads may be
  # fewer.
  columns = {
    tuple(k["shape"][:2]): k["shape"][2]
    for k in report["kernels"]
    if k["name"].startswith("flash_forward")
  }
  for kernel in report["kernels"]:
    rows, length, _ = kernel["shape"]
    heads = columns[rows, length] / 64
    cycles = chip.kernel_cycles(kernel["name"], length)
    seconds["attention"] += kernel["count"] * rows * heads * cycles / chip.clock
  seconds["collectives"] = (
    sum(
      c["bytes"] * (2 if c["kind"] == "all-reduce" else 1)
      for c in report["collectives"]
    )
    / chip.links
  )
  total = sum(seconds.values())
  hours = steps * total / 3600
  return {
    "seconds": seconds,
    "step_seconds": total,
    "mfu": report["flops"] / (total * chips * chip.peak),
    "steps": steps,
    "hours": hours,
    "chip_hours": hours * chips,
  }


def table(report: Report) -> str:
  """Formats a report for printing."""
  memory = report["memory"]
  gib = lambda key: f"{memory[key] / _GIB:.2f} GiB"
  peak = memory.get("peak")
  lines = [
    ("mesh", ", ".join(f"{k} {v}" for k, v in report["mesh"].items())),
    (
      "rows",
      "{} micro-batches of {:,} rows of {:,} tokens".format(*report["rows"]),
    ),
    ("parameters", f"{report['parameters']:,}"),
    ("fits", "yes" if report["fits"] else "NO"),
    (
      "peak memory",
      f"{gib('peak')} of {gib('chip')} per chip, {peak / memory['chip']:.0%}"
      if peak
      else "unknown",
    ),
  ]
  if "topology" in report:
    slices = f"{report['slices']} x " if report["slices"] > 1 else ""
    lines.insert(
      0, ("topology", f"{slices}{report['topology']}, {report['chips']} chips")
    )
  if "collectives" in report:
    lines += [
      ("arguments", gib("arguments")),
      ("temporaries", gib("temporaries")),
      ("operations", f"{report['flops'] / 1e12:,.1f} TFLOP per step"),
      *(
        (
          f"{kind}, {'IN A LOOP' if inside else 'outside loops'}",
          f"{count:,} per step, {size / 2**20:,.1f} MiB",
        )
        for kind, inside, count, size in (
          c.values() for c in report["collectives"]
        )
      ),
    ]
  if guess := report.get("estimate"):
    lines += [
      *(
        (f"{cause} (estimate)", f"{seconds * 1e3:,.1f} ms")
        for cause, seconds in guess["seconds"].items()
      ),
      (
        "step (estimate)",
        f"{guess['step_seconds']:.3f} s, MFU {guess['mfu']:.0%}",
      ),
      (
        "stage (estimate)",
        f"{guess['steps']:,} steps: "
        f"{guess['hours']:,.1f} hours, {guess['chip_hours']:,.0f} chip-hours",
      ),
    ]
  elif report["fits"]:
    lines.append(("times", f"not estimated: {report['unestimated']}"))
  if report.get("unknown_loops"):
    lines.append(
      (
        "warning",
        f"{report['unknown_loops']} loops of unknown length were counted once",
      )
    )
  width = max(len(k) for k, _ in lines)
  return "\n".join(f"{k:{width}}  {v}" for k, v in lines)
