# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Every mesh computes the same step; its collectives.

As a script, this file is one of two processes: see `_process`.
"""

import math
import os
import pathlib
import pickle
import re
import subprocess
import sys

import jax
import ml_collections
import numpy as np
import pytest
from support import tiny

from nomic_jax import program
from nomic_jax import step as step_lib
from nomic_jax.data import loader
from nomic_jax.losses import transforms
from nomic_jax.mesh import own_rows
from nomic_jax.mesh import partition
from nomic_jax.model.encoder import Encoder
from nomic_jax.run import optim

pytestmark = pytest.mark.slow

# name -> (config.loss, dropout, batch [A, ...])
LOSSES = {
  "mlm": (dict(name="mlm", chunks=2), 0.1, lambda: tiny.mlm_batch(64)),
  "info_nce": (
    dict(name="info_nce", chunk_tokens=16, trainable_temperature=True),
    0.0,
    lambda: tiny.pair_batch(rows=16),
  ),
  "classification": (
    dict(name="classification", chunk_tokens=16, kind="single", labels=2),
    0.2,
    lambda: _labelled(),
  ),
  "distill": (dict(name="distill", kind="relational"), 0.0, lambda: _taught()),
  # More queries per device than the vectors' width, so they form blocks.
  "kd": (dict(name="distill", kind="kd"), 0.0, lambda: _taught(256, rows=256)),
}
PROCESSES = ("mlm", "info_nce", "classification", "distill")
MESHES = [
  ("mlm", "replicated", 8, 1, 1),
  ("mlm", "fsdp", 2, 2, 2),
  ("mlm", "fsdp", 1, 8, 1),
  ("info_nce", "fsdp", 1, 2, 1),
  ("info_nce", "replicated", 8, 1, 1),
  ("classification", "replicated", 8, 1, 1),
  ("distill", "replicated", 8, 1, 1),
  ("kd", "replicated", 8, 1, 1),
]


def _labelled():
  batch = tiny.pair_batch(rows=16)
  labels = np.arange(8, dtype="f")[:, None] % 2
  return {k: batch[k] for k in ("inputs", "content")} | {
    "text": batch["query"],
    "labels": labels,
  }


def _taught(queries=8, rows=16):
  draw = np.random.default_rng(0).normal
  return tiny.pair_batch(queries, rows=rows) | {
    f"teacher_{side}": draw(size=(queries, 16)).astype("f")
    for side in ("query", "document")
  }


def _rows(name):
  """Returns config.data: the kind of rows that the loss reads."""
  lengths = dict(batch_size=64, query_length=16, document_length=16)
  if name == "mlm":
    return dict(kind="text", row_length=16, batch_size=64)
  if name == "classification":
    return dict(kind="labels", classes=2, text_length=16, batch_size=64)
  return dict(kind="pairs", **lengths)


def _setup(name, rules="replicated", *sizes, **optimizer):
  """The step that `nomic-jax train` runs, and a batch for it."""
  loss, dropout, batch = LOSSES[name]
  sizes = sizes or (1, 1, 1)
  config = ml_collections.ConfigDict(
    dict(
      seed=0,
      steps=10,
      loss=loss,
      data=_rows(name),
      compute=dict(
        dtype="float32",
        attention="reference",
        remat=False,
        unroll=1,
        dropout=dropout,
      ),
      mesh=dict(zip(partition.AXES, sizes), rules=rules, unsharded_limit=1.0),
      # With eps = 1 an update is nearly the gradient instead of its sign, so a
      # gradient of 1e-9 ± 1e-9 does not matter.
      optimizer=dict(
        learning_rate=1.0,
        schedule="constant",
        warmup="0",
        b1=0.9,
        b2=0.99,
        eps=1.0,
        weight_decay=0.01,
        clip_norm=0.0,
        lr_multipliers=((".*", 1.0),),
        decay_multipliers=optim.DECAY_RULE,
      )
      | optimizer,
    )
  )
  run = program.setup(
    config, tiny.ARCHITECTURE, jax.devices()[: math.prod(sizes)]
  )
  micro_batches = 2 if name == "mlm" else 1
  batch = jax.tree.map(
    lambda x: x.reshape(micro_batches, -1, *x.shape[1:]), batch()
  )
  batch = batch.pop("inputs") | batch
  # Each process has its rows.
  share = lambda x: np.split(x, jax.process_count(), 1)[jax.process_index()]
  batch = loader.to_devices(
    jax.tree.map(share, batch), partition.batch_sharding(run.mesh)
  )
  return run, batch


def _two_steps(name, start=None, rules="replicated", *sizes, **optimizer):
  """Takes two steps.

  Returns:
    The first state, the metrics and the last parameters, on the host; the share
    of the parameters that are replicated; and the compiled program.
  """
  run, batch = _setup(name, rules, *sizes, **optimizer)
  step = run.step.lower(run.state, batch).compile(tiny.FAST)
  fresh = run.init.lower().compile(tiny.FAST)
  if jax.process_count() > 1:
    state = fresh()
  else:
    start = start or jax.device_get(fresh())
    state = jax.device_put(start, jax.tree.map(lambda s: s.sharding, run.state))
  seen = []
  for _ in range(2):
    before = state
    state, metrics = step(state, batch)
    # The gradient of a single number may be only rounding: compare all.
    del metrics["group_norms"]
    seen.append(jax.device_get(metrics))
    # The state is donated: no second copy of it lives on.
    assert all(x.is_deleted() for x in jax.tree.leaves(before))
  share = partition.unsharded_share(
    state.params, jax.tree.map(lambda x: x.sharding, state.params)
  )
  params = jax.device_get(state.params)
  return start, seen, params, share, step.as_text()


@pytest.fixture(name="alone", scope="module")
def _alone():
  """The two steps on one device."""
  return {name: _two_steps(name) for name in LOSSES}


@pytest.mark.parametrize("name, rules, data, fsdp, tensor", MESHES)
def test_every_mesh_takes_the_same_steps(
  alone, name, rules, data, fsdp, tensor
):
  start, seen, params, *_ = alone[name]
  _, *actual, share, program = _two_steps(
    name, start, rules, data, fsdp, tensor
  )
  assert (share < 0.1) == (rules == "fsdp")
  tiny.assert_close(actual, [seen, params], 1e-5)
  if data == 8:
    in_loops, largest = _collectives(program)
    assert in_loops == [] and 0 < largest < _activations(name) / 2
  if fsdp == 8:
    in_loops, _ = _collectives(program)
    assert any(line.startswith("all-gather") for line in in_loops)
    assert not _of_all_layers(program)


FROZEN = ((".*/(word|up|gate|down|qkv|out)/.*", 0), (".*", 1.0))


@pytest.mark.parametrize("rules, data, fsdp", [("zero1", 4, 2), ("fsdp", 1, 8)])
def test_frozen_parameters_on_a_mesh(alone, rules, data, fsdp):
  start, seen, *_ = alone["mlm"]
  run, _ = _setup("mlm", lr_multipliers=FROZEN)
  start = start.replace(
    opt_state=jax.tree.map(
      lambda s: np.zeros(s.shape, s.dtype), run.state.opt_state
    )
  )
  _, *expected, _, _ = _two_steps(
    "mlm", start, "replicated", 1, 1, 1, lr_multipliers=FROZEN
  )
  _, *actual, _, _ = _two_steps(
    "mlm", start, rules, data, fsdp, 1, lr_multipliers=FROZEN
  )
  tiny.assert_close(actual, expected, 1e-5)
  split = lambda p: step_lib.split(p, optim.trainable(FROZEN, p))
  (trained, frozen), (before, same) = split(actual[1]), split(start.params)
  jax.tree.map(np.testing.assert_array_equal, frozen, same)
  with pytest.raises(AssertionError):  # control: what is trained moves
    tiny.assert_close(trained, before, 1e-2)
  assert expected[0][0]["gradient_norm"] < seen[0]["gradient_norm"]


def test_frozen_parameters_need_no_memory_but_their_own():
  def memory(**optimizer):
    run, batch = _setup("mlm", **optimizer)
    compiled = run.step.lower(run.state, batch).compile(tiny.FAST)
    return run.state.params, compiled.memory_analysis()

  params, everything = memory()
  _, few = memory(lr_multipliers=FROZEN)
  _, frozen = step_lib.split(params, optim.trainable(FROZEN, params))
  size = sum(4 * p.size for p in jax.tree.leaves(frozen))
  assert size > 20_000
  saved = lambda of: getattr(everything, of) - getattr(few, of)
  # Two moments and a gradient.
  assert saved("argument_size_in_bytes") == 2 * size
  assert saved("temp_size_in_bytes") >= size


def test_both_steps_changed_the_parameters(alone):
  """Control: the loss changes, and every kind of parameter moves."""
  for start, seen, params, *_ in alone.values():
    assert abs(seen[0]["loss"] - seen[1]["loss"]) > 1e-3
    with pytest.raises(AssertionError):
      tiny.assert_close(params, start.params, 1e-2)
    moved = jax.tree.map(
      lambda a, b: np.abs(a - b).max() > 1e-4, params, start.params
    )
    assert all(jax.tree.leaves(moved))


def _activations(name):
  """Size of one layer's activations of a micro-batch, on all devices."""
  rows, length = LOSSES[name][2]()["inputs"]["ids"].shape
  return rows * length * tiny.CONFIG.width / (2 if name == "mlm" else 1)


def _of_all_layers(program):
  """Collectives of the stacked MLP matrices of both layers."""
  return re.findall(rf"f32\[2,(?:16,32|32,16)\]\S* (?:{KINDS})", program)


KINDS = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"


def _collectives(program):
  """Lines of collectives within loops, and the size of the largest of all."""
  parts = re.split(r"^(?:ENTRY )?%(\S+) \(.*\{$", program, flags=re.M)
  parts = dict(zip(parts[1::2], parts[2::2]))
  called = {
    name: set(re.findall(r"(?:body|condition|calls|to_apply)=%([^\s,]+)", text))
    for name, text in parts.items()
  }
  looped = set(re.findall(r"body=%([^\s,]+)", program))
  while more := {c for name in looped for c in called[name]} - looped:
    looped |= more
  in_loops, largest = [], 0
  for name, text in parts.items():
    for shapes, kind in re.findall(rf" = (.*?) ({KINDS})(?:-start)?\(", text):
      sizes = [
        math.prod(map(int, filter(None, dims.split(","))))
        for dims in re.findall(r"\w+\[([\d,]*)\]", shapes)
      ]
      largest = max(largest, *sizes)
      if name in looped:
        in_loops.append(f"{kind} {shapes}")
  return in_loops, largest


class _Whole(Encoder):
  """An encoder whose hidden states are replicated."""

  def _apply(self, *args):
    hidden, router = super()._apply(*args)
    return jax.lax.with_sharding_constraint(
      hidden, jax.sharding.PartitionSpec()
    ), router


@pytest.mark.parametrize(
  "name, encoder", [("mlm", Encoder), ("info_nce", _Whole)]
)
def test_collectives_in_loops_and_of_activations_are_seen(
  monkeypatch, name, encoder
):
  """Controls: steps that the partitioner shards on its own."""
  monkeypatch.setattr(own_rows, "_rows_are_spread", lambda: False)
  monkeypatch.setattr(transforms, "chunks_of", lambda *_: 2)
  monkeypatch.setattr(
    program,
    "make_encoder",
    lambda config, architecture, mesh: encoder(architecture),
  )
  run, batch = _setup(name, "replicated", 8, 1, 1)
  in_loops, largest = _collectives(
    run.step.lower(run.state, batch).compile(tiny.FAST).as_text()
  )
  assert any("all-reduce" in line for line in in_loops)
  assert (largest >= _activations(name) / 2) == (encoder is _Whole)


def test_parameters_that_are_no_shards_are_gathered_at_once(monkeypatch):
  """Control: stacks of layers that the partitioner gathers are detected."""
  monkeypatch.setattr(own_rows, "sharded", lambda *_: lambda params: params)
  run, batch = _setup("mlm", "fsdp", 1, 8, 1)
  assert _of_all_layers(
    run.step.lower(run.state, batch).compile(tiny.FAST).as_text()
  )


@pytest.mark.processes
def test_two_processes_of_two_devices_take_the_same_steps(alone, tmp_path):
  port = 20000 + os.getpid() % 12000
  running = [
    subprocess.Popen(
      [sys.executable, __file__, str(port), str(number), str(tmp_path)],
      env=os.environ
      | {
        "XLA_FLAGS": os.environ["XLA_FLAGS"].replace("=8", "=2"),
        "PYTHONPATH": str(pathlib.Path(program.__file__).parents[1]),
      },
      stderr=subprocess.PIPE,
      text=True,
    )
    for number in range(2)
  ]
  for process in running:
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-2000:]
  for name in PROCESSES:
    seen, params = pickle.loads((tmp_path / name).read_bytes())
    tiny.assert_close([seen, params], [*alone[name][1:3]], 1e-5)


def _process(port: str, number: str, folder: str) -> None:
  """One of two processes, with two devices each."""
  jax.config.update("jax_cpu_collectives_implementation", "gloo")
  jax.distributed.initialize(f"localhost:{port}", 2, int(number))
  assert (jax.device_count(), jax.local_device_count()) == (4, 2)
  for name in PROCESSES:
    _, seen, params, *_ = _two_steps(name, None, "replicated", 4, 1, 1)
    if number == "0":
      (pathlib.Path(folder) / name).write_bytes(pickle.dumps([seen, params]))
  jax.distributed.shutdown()


if __name__ == "__main__":
  _process(*sys.argv[1:])
