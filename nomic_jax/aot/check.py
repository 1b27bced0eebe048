# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Compiles the step that `train` would run, for chips that are not attached.

What the compiler knows (memory, collectives) is reported exactly. Times are
estimates from its cycle counts, and labelled as such; for GPUs it counts none.
"""

from collections.abc import Iterator
import contextlib
import copy
import dataclasses
import json
import math
import time

import jax
from jax.experimental.compilation_cache import compilation_cache
import jax.numpy as jnp
import ml_collections

from nomic_jax import families
from nomic_jax import program
from nomic_jax.aot import cost
from nomic_jax.aot import hlo
from nomic_jax.aot import topology
from nomic_jax.data import lengths
from nomic_jax.data import loader
from nomic_jax.data import shapes
from nomic_jax.errors import about
from nomic_jax.errors import UserError
from nomic_jax.mesh import partition
from nomic_jax.model import flops
from nomic_jax.model.architecture import Architecture
from nomic_jax.run import start
from nomic_jax.storage import places
from nomic_jax.storage.files import replacing
from nomic_jax.text import tokenizer as tokenizer_lib


@places.expanding("output")
def check(
  config: ml_collections.ConfigDict,
  name: str,
  num_slices: int = 1,
  output: str | None = None,
) -> cost.Report:
  """Compiles the step of `config` for a topology; prints and returns a report.

  Args:
    config: the training config; without `data.path`, the encoder is that of the
      config.
    name: the topology, such as v5e:16x16, or v5e-256.
    num_slices: number of such slices, joined by the data centre network.
    output: a .json file to write the report to.

  Raises:
    UserError: for an unknown topology, a batch that does not divide evenly over
    it,
      or a missing compiler.
  """
  if output:
    places.check_file(output)
  name = topology.canonical(name)
  devices = topology.devices(name, num_slices)
  if config.data.path:
    found = start.find_start(config)
    encoder = found.architecture
    config = loader.with_steps(config, tokenizer_lib.load(found.tokenizer))
  else:
    if config.get("epochs"):
      raise UserError(
        f"config.epochs: the number of steps of {config.epochs:g} epochs "
        "depends on the data; set config.data.path, or config.steps instead"
      )
    with about("config.encoder"):
      encoder = families.fresh(config.encoder)
  if told := lengths.fit(config.data):
    print(told)
  check_batch(config, devices)
  chip = topology.CHIPS[name.split(":")[0]]
  report = {
    "topology": name,
    "slices": num_slices,
    "chips": len(devices) // chip.devices,
  }
  report |= one(config, encoder, devices, chip)
  print(cost.table(report))
  if not report["fits"]:
    report["smaller"] = smaller = _search(config, encoder, devices, name)
    print(_advice(smaller))
  if output:
    with replacing(output) as temporary:
      temporary.write_text(json.dumps(report, indent=2) + "\n")
  return report


def check_batch(
  config: ml_collections.ConfigDict, devices: list[jax.Device]
) -> None:
  """Raises UserError, with valid sizes, if devices cannot divide the batch."""
  mesh = partition.make_mesh(config.mesh, devices)
  parts = mesh.shape["data"] * mesh.shape["fsdp"]
  hosts = _hosts(devices)
  micro = config.data.get("micro_batches", 1)
  step = micro * math.lcm(parts, hosts)
  size = config.data.batch_size
  if size % step:
    near = sorted({max(size // step, 1) * step, (size // step + 1) * step})
    raise UserError(
      f"config.data.batch_size: {size} does not divide evenly over "
      f"{parts} devices"
      + (f" x {micro} micro-batches" if micro > 1 else "")
      + f"; multiples of {step} do, such as {' or '.join(map(str, near))}"
    )
  rows = shapes.of(config.data)["ids"][1]
  if rows % parts:
    raise UserError(
      f"config.data.rows_multiple: {rows} rows do not divide evenly over "
      f"{parts} devices; multiples of {parts} do"
    )


def _hosts(devices: list[jax.Device]) -> int:
  return len({d.process_index for d in devices})


def one(
  config: ml_collections.ConfigDict,
  encoder: Architecture,
  devices: list[jax.Device],
  chip: topology.Chip,
) -> cost.Report:
  """Compiles one config and returns its report."""
  run = program.setup(config, encoder, devices)
  sizes = shapes.of(config.data)
  sharding = partition.batch_sharding(run.mesh)
  batch = loader.nested(
    {
      k: jax.ShapeDtypeStruct(s, jnp.int32, sharding=sharding)
      for k, s in sizes.items()
    }
  )
  report = {
    "mesh": dict(run.mesh.shape),
    "rows": sizes["ids"],
    "parameters": sum(x.size for x in jax.tree.leaves(run.state.params)),
    "flops": flops.of_step(encoder, sizes),
  }
  began = time.monotonic()
  try:
    with jax.set_mesh(run.mesh), _without_cache():
      compiled = run.step.lower(run.state, batch).compile()
  except jax.errors.JaxRuntimeError as e:
    if "RESOURCE_EXHAUSTED" not in str(e):
      raise
    return report | {"fits": False, "memory": cost.exceeded(str(e), chip)}
  memory, text = compiled.memory_analysis(), compiled.as_text()
  assert memory is not None and text is not None, "XLA compiled it"
  summary = hlo.summarise(text)
  # On TPUs less than arguments plus temporaries, some of which are in VMEM.
  peak = memory.peak_memory_in_bytes or (
    memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes
    + memory.temp_size_in_bytes
  )
  report |= {
    "compile_seconds": time.monotonic() - began,
    "fits": peak <= topology.usable(chip),
    "memory": {
      "chip": topology.usable(chip),
      "peak": peak,
      "arguments": memory.argument_size_in_bytes,
      "temporaries": memory.temp_size_in_bytes,
    },
    "cycles": summary.cycles,
    "kernels": [dataclasses.asdict(k) for k in summary.kernels],
    "unknown_loops": summary.unknown_loops,
    "collectives": [dataclasses.asdict(c) for c in summary.collectives],
  }
  if chip.clock is None:
    return report | {"unestimated": chip.unestimated}
  return report | {
    "estimate": cost.estimate(report, config.steps, len(devices), chip)
  }


@contextlib.contextmanager
def _without_cache() -> Iterator[None]:
  """Disables JAX's compilation cache, which can only load local programs."""
  enabled = "jax_enable_compilation_cache"
  before = getattr(jax.config, enabled)
  jax.config.update(enabled, False)
  compilation_cache.reset_cache()  # JAX checks only once whether it is enabled
  try:
    yield
  finally:
    jax.config.update(enabled, before)
    compilation_cache.reset_cache()


def _search(
  config: ml_collections.ConfigDict,
  encoder: Architecture,
  devices: list[jax.Device],
  name: str,
) -> cost.Report | None:
  """Returns the largest chunk, micro-batch or else batch that fits."""
  chip = topology.CHIPS[name.split(":")[0]]
  for field, value in _smaller(config, devices):
    trial = copy.deepcopy(config).unlock()
    for key, number in zip(field, value):
      group, _, leaf = key.partition(".")
      trial[group][leaf] = number
    flags = " ".join(f"--config.{k}={v}" for k, v in zip(field, value))
    print(f"trying {flags} ...", flush=True)
    report = one(trial.lock(), encoder, devices, chip)
    if report["fits"]:
      return {"flags": flags} | report
  return None


def _smaller(config: ml_collections.ConfigDict, devices: list[jax.Device]):
  """Yields (fields, values) to try, from the smallest to the largest change.

  For MLM, a micro-batch of one row per device is the minimum. A contrastive
  batch can be halved further, but this changes what is trained.
  """
  mesh = partition.make_mesh(config.mesh, devices)
  parts = mesh.shape["data"] * mesh.shape["fsdp"]
  hosts = _hosts(devices)
  if config.data.kind == "text":
    micro, rows = config.data.micro_batches, config.data.batch_size // parts
    while rows % (2 * micro) == 0:
      micro *= 2
      yield ("data.micro_batches",), (micro,)
    return
  _, rows, length = shapes.of(config.data)["ids"]
  tokens = min(config.loss.chunk_tokens or math.inf, rows // parts * length)
  while (tokens := tokens // 2) >= length:
    yield ("loss.chunk_tokens",), (tokens,)
  data = copy.deepcopy(config.data).unlock()
  while data.batch_size % (2 * math.lcm(parts, hosts)) == 0:
    data.batch_size //= 2
    yield ("data.batch_size", "loss.chunk_tokens"), (data.batch_size, length)


def _advice(smaller: cost.Report | None) -> str:
  if not smaller:
    return "No chunk and no batch size fits this topology."
  return f"With {smaller['flags']} it fits:\n" + cost.table(smaller)
