# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The TPU kernels: on a mesh, checked for races, and compiled for chips."""

import dataclasses
import functools
import importlib.util
import os
import re

from flax.linen import meta
import jax
from jax.experimental import topologies
from jax.experimental.pallas import tpu as pltpu
import jax.numpy as jnp
from jax.sharding import Mesh
import ml_collections
import numpy as np
import optax
import pytest
from support import tiny
from support.attention_cases import Case

from nomic_jax import program
from nomic_jax import step as step_lib
from nomic_jax.data import loader
from nomic_jax.errors import UserError
from nomic_jax.kernels import common
from nomic_jax.kernels.attention import Backend
from nomic_jax.kernels.attention import choose
from nomic_jax.kernels.layout import Layout
from nomic_jax.kernels.layout import Need
from nomic_jax.kernels.layout import Reach
from nomic_jax.losses.mlm import MLM
from nomic_jax.mesh import partition
from nomic_jax.model.config import EncoderConfig
from nomic_jax.model.encoder import Encoder
from nomic_jax.run import optim

NEEDS = [Need(Layout(2, 2, 64))]
ENCODER = EncoderConfig(
  vocab_size=96, width=128, layers=2, heads=2, mlp_width=128, max_length=64
).architecture


@pytest.mark.parametrize("of_keys", [False, True])
@pytest.mark.parametrize(
  "window, causal",
  [(None, False), (0, False), (130, False), (None, True), (130, True)],
)
def test_ranges_leave_out_exactly_what_nobody_sees(window, causal, of_keys):
  ids = np.sort(np.random.default_rng(0).integers(0, 9, (20, 1024)))[:, ::-1]
  ids = np.where(ids > 0, ids.max() + 1 - ids, 0).astype(np.int32)
  seen = (ids[:, :, None] == ids[:, None]) & (ids[:, :, None] > 0)
  at = np.arange(1024)
  if window is not None:
    seen &= abs(at[:, None] - at) <= window
  if causal:
    seen &= at <= at[:, None]
  if of_keys:
    seen = seen.swapaxes(1, 2)
  blocks = seen.reshape(20, 4, 256, 8, 128).any((2, 4)).reshape(80, 8)
  ranges = np.asarray(
    common.ranges(ids, 256, 128, Reach.of(window, causal), of_keys=of_keys)
  )
  for row, a, b in zip(blocks, ranges[:, 0].ravel(), ranges[:, 1].ravel()):
    assert not row[:a].any() and not row[b:].any()
    # No visited block is unnecessary.
    if window is None and not causal:
      assert row[a:b].all() and (b > a) == row.any()
  assert (ranges[:, 1] - ranges[:, 0]).mean() < 5  # of 8


def test_interpreted_for_races(capfd):
  case = Case(((150, 50), (256,)), 256, heads=4)
  backend = Backend(
    "pallas_tpu",
    interpret=pltpu.InterpretParams(detect_races=True),
    blocks=(128, 128, 128, 128),
  )

  @tiny.jit
  def gradient(qkv):
    rows = backend.prepare(
      case.segment_ids(), case.angles(), "float32", case.need
    )
    return jax.grad(lambda x: backend.attend(x, rows, case.need).sum())(qkv)

  assert np.isfinite(gradient(case.qkv())).all()
  assert "RACE DETECTED" not in capfd.readouterr().out


def test_a_step_on_a_mesh_equals_the_plain_one():
  batch = jax.tree.map(lambda x: x[None], tiny.mlm_batch(8, 16))
  params = {}
  for kind in ("reference", "pallas_tpu"):
    loss = MLM(
      Encoder(
        ENCODER,
        attention=Backend(
          kind,
          rows_over=partition.ROW_AXES if kind == "pallas_tpu" else (),
          interpret=True,
        ),
      )
    )
    tx = optax.sgd(1.0)
    mesh = partition.make_mesh(
      ml_collections.ConfigDict(dict(data=4, fsdp=2, tensor=1)), jax.devices()
    )
    state = meta.unbox(jax.eval_shape(lambda: step_lib.init_state(loss, tx, 0)))
    state = tiny.jit(lambda: meta.unbox(step_lib.init_state(loss, tx, 0)))()
    step = tiny.jit(
      partition.in_mesh(step_lib.make_train_step(loss, tx), mesh),
      in_shardings=(None, partition.batch_sharding(mesh)),
    )
    params[kind] = (
      jax.device_get(step(state, batch)[0].params),
      (jax.device_get(state.params)),
    )
  tiny.assert_close(params["pallas_tpu"][0], params["reference"][0], 1e-5)
  with pytest.raises(AssertionError):  # control: it did learn
    tiny.assert_close(*params["reference"], 1e-5)


def test_wrong_use_names_the_fix():
  cpu = Mesh(np.array(jax.devices()[:1]).reshape(1, 1, 1), partition.AXES)
  with pytest.raises(UserError, match="Did you mean 'reference'"):
    choose("refrence", cpu, partition.ROW_AXES, NEEDS)
  with pytest.raises(UserError, match="pallas_tpu runs on tpu, .* are cpu; "):
    choose("pallas_tpu", cpu, partition.ROW_AXES, NEEDS)
  ids, qkv = np.ones((2, 256), np.int32), np.zeros((2, 256, 384), "f")
  backend = Backend("pallas_tpu", interpret=True)
  (need,) = NEEDS
  rows = backend.prepare(ids, None, "float32", need)
  with pytest.raises(UserError, match="no layout for 3 heads of 32"):
    backend.prepare(ids, None, "float32", Need(Layout(3, 3, 32)))
  with pytest.raises(UserError, match="float32 or bfloat16, not float16"):
    backend.prepare(ids, None, "float16", need)
  with pytest.raises(UserError, match="block of 384 .* not divide rows of 256"):
    dataclasses.replace(backend, blocks=(384,) * 4).prepare(
      ids, None, "f4", need
    )
  with pytest.raises(
    UserError, match="rows of up to 2304 .* a TPU v4, not 4096"
  ):
    dataclasses.replace(backend, device="TPU v4").prepare(
      np.ones((1, 4096), np.int32), None, "bfloat16", need
    )
  mesh = Mesh(np.array(jax.devices()).reshape(4, 2, 1), partition.AXES)
  backend = dataclasses.replace(backend, rows_over=partition.ROW_AXES)
  with pytest.raises(UserError, match="cannot divide 2 rows among 8 devices"):
    partition.in_mesh(lambda: backend.attend(qkv, rows, need), mesh)()


def test_auto_is_the_plain_path_on_cpu(capsys):
  cpu = Mesh(np.array(jax.devices()[:1]).reshape(1, 1, 1), partition.AXES)
  chosen = choose("auto", cpu, partition.ROW_AXES, NEEDS)
  assert chosen.implementation == "reference"
  assert "attention: reference, for cpu" in capsys.readouterr().out


@pytest.fixture(name="topology", scope="module")
def _topology():
  if importlib.util.find_spec("libtpu") is None:
    pytest.skip("no libtpu, the compiler for TPUs: pip install .[tpu-aot]")
  os.environ |= dict(
    TPU_SKIP_MDS_QUERY="1",
    TPU_WORKER_HOSTNAMES="localhost",
    TPU_ACCELERATOR_TYPE="v5litepod-16",
    ALLOW_MULTIPLE_LIBTPU_LOAD="1",
  )
  return lambda name: (
    topologies.get_topology_desc(platform="tpu", topology_name=name).devices
  )


PLAIN = Layout(12, 12, 64), None, False


@pytest.mark.slow
@pytest.mark.aot
@pytest.mark.parametrize(
  "chip, length, dtype, asked",
  [
    ("v4:2x2x1", 2304, "bfloat16", PLAIN),
    ("v5e:2x2", 8192, "bfloat16", PLAIN),
    ("v5p:2x2x1", 8192, "bfloat16", PLAIN),
    ("v6e:2x2", 8192, "bfloat16", PLAIN),
    ("tpu7x:2x2x1", 8192, "bfloat16", PLAIN),
    ("v5e:2x2", 200, "float32", PLAIN),
    ("v5e:2x2", 512, "bfloat16", (Layout(12, 4, 64), 64, False)),
    ("v6e:2x2", 512, "bfloat16", (Layout(12, 4, 64), None, True)),
    ("v5e:2x2", 512, "bfloat16", (Layout(4, 1, 64), None, True)),
    ("v6e:2x2", 512, "bfloat16", (Layout(4, 2, 128), 64, True)),
    ("v5e:2x2", 512, "bfloat16", (Layout(4, 1, 256), None, True)),
    ("v6e:2x2", 512, "bfloat16", (Layout(4, 1, 256), 256, False)),
  ],
)
def test_compiles_for_the_chip(topology, chip, length, dtype, asked):
  device = topology(chip)[0]
  layout, *_ = asked
  backend = Backend("pallas_tpu", device=device.device_kind)
  shape = functools.partial(
    jax.ShapeDtypeStruct, sharding=jax.sharding.SingleDeviceSharding(device)
  )

  def both(qkv, ids, cos, sin):
    rows = backend.prepare(ids, (cos, sin), qkv.dtype, Need(*asked))
    out, back = jax.vjp(lambda x: backend.attend(x, rows, Need(*asked)), qkv)
    return back(out)[0]

  angle = shape((2, length, layout.width // 2), jnp.float32)
  text = (
    jax.jit(both)
    .lower(
      shape((2, length, layout.columns), dtype),
      shape((2, length), jnp.int32),
      angle,
      angle,
    )
    .compile()
    .as_text()
  )
  assert text.count('custom_call_target="tpu_custom_call"') == 2
  # No arrays are copied around the kernels, except to double a single head.
  if length % 128 == 0 and layout != Layout(4, 1, 64):
    widths = rf"{layout.columns}|{layout.heads * layout.width}"
    assert not re.search(
      rf"\[2,{length},({widths})\]\S* (copy|transpose)\(", text
    )


@pytest.mark.slow
@pytest.mark.aot
@pytest.mark.parametrize("tensor", [1, 2])
def test_the_train_step_has_the_kernels(topology, capsys, tensor):
  architecture = EncoderConfig(
    vocab_size=96, width=256, layers=2, heads=4, mlp_width=128, max_length=64
  ).architecture
  config = ml_collections.ConfigDict(
    dict(
      seed=0,
      steps=10,
      loss=dict(name="mlm", chunks=1),
      data=dict(kind="text", row_length=256, batch_size=8),
      compute=dict(
        dtype="bfloat16", attention="auto", remat=True, unroll=1, dropout=0.0
      ),
      mesh=dict(
        data=-1, fsdp=1, tensor=tensor, rules="fsdp", unsharded_limit=1.0
      ),
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
      ),
    )
  )
  run = program.setup(config, architecture, topology("v5e:2x2"))
  assert "attention: pallas_tpu, for TPU v5 lite" in capsys.readouterr().out
  batch = loader.nested(
    {
      k: jax.ShapeDtypeStruct(
        (1, 8, 20 if k in ("masked", "labels") else 256), jnp.int32
      )
      for k in ("ids", "segment_ids", "positions", "masked", "labels")
    }
  )
  text = run.step.lower(run.state, batch).compile().as_text()
  # Each of 4 devices has 2 rows, or 4 rows and half of the heads.
  calls = re.findall(
    r"%(flash_[a-z]+)\S* = \(?bf16\[(\d),256,(\d+)\].*tpu_custom", text
  )
  rows, columns = str(2 * tensor), 256 // tensor
  assert set(calls) == {
    ("flash_forward", rows, str(columns)),
    ("flash_backward", rows, str(3 * columns)),
  }
