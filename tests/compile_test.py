# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Compiling a training for absent chips: its options and reports.

Tests that need libtpu or the CUDA plugin (the extras tpu-aot and gpu-aot) are
skipped if it is not installed.
"""

import contextlib
import importlib.util
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from support import small_data
from support import tiny

from nomic_jax import families
from nomic_jax import main
from nomic_jax.aot import check as compile_lib
from nomic_jax.aot import cost
from nomic_jax.aot import topology
from nomic_jax.cli import config_flags
from nomic_jax.data import pairs
from nomic_jax.data import shapes
from nomic_jax.data import text
from nomic_jax.errors import UserError
from nomic_jax.mesh import partition

pytestmark = [pytest.mark.slow, pytest.mark.aot]

CHIP = topology.CHIPS["v5e"]
needs_libtpu = pytest.mark.skipif(
  not importlib.util.find_spec("libtpu"),
  reason="libtpu is not installed: pip install -e .[tpu-aot]",
)


def _config(name, *overrides):
  return config_flags.load(
    [
      small_data.config(name),
      *small_data.TINY,
      *(f"--config.{o}" for o in overrides),
    ]
  )


@pytest.mark.parametrize("hosts", [1, 2])
@pytest.mark.parametrize(
  "name, batches",
  [
    ("mlm", text.batches),
    ("contrastive", pairs.batches),
    ("finetune", pairs.batches),
  ],
)
def test_shapes_are_those_of_real_batches(name, batches, hosts):
  data = _config(name).data.unlock()
  data.one_source = False
  source, tokenizer = tiny.rows(), tiny.words()
  made = [
    next(iter(batches(source, tokenizer, data, 0, host, hosts)))
    for host in range(hosts)
  ]
  joined = {
    k: (v.shape[0], hosts * v.shape[1], *v.shape[2:])
    for k, v in made[0].items()
    if k != "source"  # stays on the host
  }
  told = shapes.of(data)
  assert told.keys() == joined.keys()
  assert all(made[0][k].dtype == np.int32 for k in told)
  if name == "mlm":
    assert told == joined
    return
  # Short texts are packed into fewer rows than texts of full length need.
  for key, shape in joined.items():
    assert len(shape) == len(told[key])
    assert all(a <= b for a, b in zip(shape, told[key]))
  assert told["query"] == joined["query"]
  assert told["candidate"] == joined["candidate"]


def test_a_report_of_a_step_on_this_machine():
  config = _config("mlm", "data.micro_batches=2", "steps=3600")
  report = compile_lib.one(
    config, families.fresh(config.encoder), jax.devices(), CHIP
  )
  assert report["fits"] and report["rows"] == (2, 8, 64)
  assert report["mesh"] == {"data": 8, "fsdp": 1, "tensor": 1}
  parameters = report["parameters"]
  gradients = sum(
    c["bytes"] for c in report["collectives"] if c["kind"] == "all-reduce"
  )
  assert gradients >= 4 * parameters
  memory = report["memory"]
  assert memory["arguments"] >= 3 * 4 * parameters  # Adam's two moments
  assert memory["peak"] > memory["arguments"]

  report["cycles"] = {"matmul": 3e9, "attention": 0, "other": 1.5e9}
  report["kernels"] = []
  report["collectives"] = [  # one second each at 1.8e11 bytes/s
    {"kind": "all-reduce", "in_loop": False, "count": 1, "bytes": 90 * 10**9},
    {"kind": "all-gather", "in_loop": True, "count": 9, "bytes": 180 * 10**9},
  ]
  guess = cost.estimate(report, config.steps, 8, CHIP)
  assert guess["step_seconds"] == pytest.approx(5.0)
  assert guess["hours"] == pytest.approx(5.0)
  assert guess["chip_hours"] == pytest.approx(40.0)
  assert guess["mfu"] == pytest.approx(report["flops"] / 5 / 8 / 197e12)
  # Two rows of 2,048 tokens, two heads: the bundles in the chip's table.
  report["kernels"] = [
    {"name": "flash_forward", "shape": (2, 2048, 128), "count": 3},
    {"name": "flash_backward", "shape": (2, 2048, 384), "count": 1},
  ]
  slower = cost.estimate(report, config.steps, 8, CHIP)
  assert slower["seconds"]["attention"] == pytest.approx(
    4 * (3 * 15864 + 29926) / 1.5e9
  )
  # With half as many key and value heads, there are as many query heads.
  report["kernels"][1]["shape"] = (2, 2048, 256)
  assert cost.estimate(report, config.steps, 8, CHIP) == slower
  # Lengths between and beyond those in the table, and on two cores.
  assert CHIP.kernel_cycles("flash_forward", 2**10.5) == pytest.approx(
    (4526 * 15864) ** 0.5, rel=1e-3
  )
  assert CHIP.kernel_cycles("flash_forward", 2**14) == pytest.approx(4 * 219464)
  assert CHIP.kernel_cycles("flash_forward", 64) == pytest.approx(274)
  assert topology.CHIPS["v5p"].kernel_cycles(
    "flash_backward", 8192
  ) == pytest.approx(407073 / 2)
  report["estimate"] = guess
  lines = cost.table(report).splitlines()
  assert any("all-gather, IN A LOOP" in x for x in lines)
  assert any("step (estimate)" in x and "5.000 s" in x for x in lines)


def test_too_much_memory_is_reported_with_the_amount():
  for message, gib in (
    ("RESOURCE_EXHAUSTED: Used 19.20G of 15.75G hbm.", 19.2),
    (
      "RESOURCE_EXHAUSTED: total memory required for HLO temporaries (72.12G) "
      "exceeds available HBM (15.75G).",
      72.12,
    ),
    ("RESOURCE_EXHAUSTED", None),
  ):
    memory = cost.exceeded(message, CHIP)
    assert memory.get("peak") == (gib and int(gib * 2**30))


@pytest.mark.parametrize(
  "name, overrides, expected",
  [
    (
      "mlm",
      ["data.batch_size=64", "data.micro_batches=2"],
      [{"data.micro_batches": 4}, {"data.micro_batches": 8}],
    ),
    # 32 rows of two queries each and 64 of one document: 12 per device.
    (
      "contrastive",
      ["data.batch_size=64", "data.rows_multiple=8", "loss.chunk_tokens=0"],
      [
        {"loss.chunk_tokens": 384},
        {"loss.chunk_tokens": 192},
        {"loss.chunk_tokens": 96},
        {"data.batch_size": 32, "loss.chunk_tokens": 64},
        {"data.batch_size": 16, "loss.chunk_tokens": 64},
        {"data.batch_size": 8, "loss.chunk_tokens": 64},
      ],
    ),
  ],
)
def test_the_search_goes_from_the_least_change_to_the_greatest(
  name, overrides, expected
):
  tried = [
    dict(zip(fields, values))
    for fields, values in compile_lib._smaller(
      _config(name, *overrides), jax.devices()
    )
  ]
  assert tried == expected


def test_a_search_finds_what_fits(monkeypatch):
  def one(config, encoder, devices, chip):
    del encoder, devices, chip
    return {"fits": config.data.micro_batches >= 4}

  monkeypatch.setattr(compile_lib, "one", one)
  config = _config("mlm", "data.batch_size=64", "data.micro_batches=1")
  found = compile_lib._search(config, None, jax.devices(), "v5e:2x4")
  assert found["flags"] == "--config.data.micro_batches=4"
  assert config.data.micro_batches == 1  # the user's config is unchanged
  monkeypatch.setattr(compile_lib, "one", lambda *a: {"fits": False})
  assert compile_lib._search(config, None, jax.devices(), "v5e:2x4") is None


@pytest.mark.parametrize(
  "name, overrides, message",
  [
    (
      "mlm",
      ["data.batch_size=20"],
      "batch_size: 20 does not divide evenly over 8 devices x 2 micro-batches; "
      "multiples of 16 do, such as 16 or 32",
    ),
    (
      "contrastive",
      ["data.batch_size=3"],
      "3 does not divide evenly over 8 devices; multiples of 8 do, such as 8$",
    ),
    (
      "contrastive",
      ["data.rows_multiple=5"],
      "rows_multiple: .* do not divide evenly over 8 devices; multiples of 8",
    ),
  ],
)
def test_a_batch_that_does_not_divide_names_numbers_that_do(
  name, overrides, message
):
  with pytest.raises(UserError, match=message):
    compile_lib.check_batch(_config(name, *overrides), jax.devices())


def _complaint(capsys, *flags):
  assert main.main(["compile", small_data.config("mlm"), *flags]) == 2
  return small_data.complaint(capsys.readouterr().err)


def test_a_topology_that_does_not_exist_lists_those_that_do(
  capsys, monkeypatch
):
  line = _complaint(capsys, "--topology=v5e:16x15")
  assert "v5e:2x2|2x4|4x4|4x8|8x8|8x16|16x16" in line
  assert line.endswith("Did you mean 'v5e:16x16'?")
  assert topology.canonical("v5e-8") == "v5e:2x4"
  assert topology.canonical("v5litepod-256") == "v5e:16x16"
  assert topology.canonical("v5p-8") == "v5p:2x2x1"  # TensorCores
  assert topology.canonical("v6e-64") == "v6e:8x8"
  assert "no 'v5e-7'; expected one of" in _complaint(capsys, "--topology=v5e-7")
  assert "Did you mean 'h100:8'?" in _complaint(capsys, "--topology=h100:7")
  assert "--num_slices: 2; GPUs have no slices" in _complaint(
    capsys, "--topology=h100:8", "--num_slices=2"
  )
  assert "--num_slices: 0" in _complaint(
    capsys, "--topology=v5e:2x2", "--num_slices=0"
  )
  monkeypatch.setattr(topology.importlib.util, "find_spec", lambda name: None)
  assert "pip install 'nomic_jax[tpu-aot]'" in _complaint(
    capsys, "--topology=v5e:2x2"
  )
  assert "pip install 'nomic_jax[gpu-aot]'" in _complaint(
    capsys, "--topology=h100:8"
  )


@needs_libtpu
@pytest.mark.parametrize("name", ["mlm", "contrastive", "finetune"])
def test_a_stage_compiles_for_a_slice(name, tmp_path, capsys, recwarn):
  """Compiles two layers with the kernels, in micro-batches or chunks."""
  output = tmp_path / "report.json"
  flags = [
    "--config.encoder.width=128",
    "--config.encoder.heads=2",
    "--config.encoder.layers=2",
    "--config.compute.dtype=bfloat16",
    "--config.data.row_length=128",
    "--config.compute.remat=full",
  ]
  if name != "mlm":
    flags.append("--config.loss.chunk_tokens=128")
  if name == "finetune":  # queries are one block of the loss, documents more
    flags += ["--config.data.batch_size=64", "--config.data.negatives=7"]
  with _kept(tmp_path / "compiled"):
    assert not main.main(
      [
        "compile",
        small_data.config(name),
        "--topology=v5e:2x2",
        *flags,
        f"--output={output}",
      ]
    )
  assert not [w for w in recwarn if "cache" in str(w.message)]
  assert not list((tmp_path / "compiled").glob("jit_step*"))
  report = json.loads(output.read_text())
  assert report["fits"] and report["chips"] == 4
  assert 3 * 4 * report["parameters"] < report["memory"]["peak"] < 2**30
  assert report["cycles"]["matmul"] > 0 and not report["unknown_loops"]
  assert report["estimate"]["seconds"]["attention"] > 0
  assert 0 < report["estimate"]["mfu"] < 1
  turns = 2 * report["rows"][0] if name == "mlm" else 2
  backward = [k for k in report["kernels"] if k["name"] == "flash_backward"]
  assert sum(k["count"] for k in backward) >= turns  # each layer, each turn
  # Gradients of all parameters are summed once, and not within a loop.
  collectives = report["collectives"]
  once = sum(c["bytes"] for c in collectives if not c["in_loop"])
  assert 2 * report["parameters"] < once
  assert [c for c in collectives if c["in_loop"]] == []
  printed = capsys.readouterr().out
  assert "fits" in printed and "v5e:2x2, 4 chips" in printed


@pytest.mark.parametrize("name", ["mlm", "contrastive", "finetune"])
def test_a_stage_compiles_for_gpus(name, tmp_path):
  """Compiles for two hosts, with the kernels, if there is a CUDA plugin."""
  if not _has_cuda_plugin():
    pytest.skip("pip install -e .[gpu-aot] brings what compiles for GPUs")
  output = tmp_path / "report.json"
  # In a separate process, since JAX looks for the plugin when it starts.
  done = subprocess.run(
    [
      sys.executable,
      "-m",
      "nomic_jax.main",
      "compile",
      small_data.config(name),
      "--topology=h100:16",
      "--config.encoder.width=128",
      "--config.encoder.heads=2",
      "--config.compute.dtype=bfloat16",
      "--config.data.row_length=128",
      "--config.data.batch_size=32",
      f"--output={output}",
      *(["--config.data.rows_multiple=16"] if name != "mlm" else []),
    ],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert "attention: pallas_gpu" in done.stdout
  assert "times" in done.stdout and "not estimated" in done.stdout
  report = json.loads(output.read_text())
  assert report["fits"] and report["chips"] == 16
  assert report["memory"]["chip"] == int(0.9 * 84_978_434_048)
  assert 3 * 4 * report["parameters"] < report["memory"]["peak"] < 2**30
  assert "estimate" not in report
  collectives = report["collectives"]
  assert sum(c["bytes"] for c in collectives) > 2 * report["parameters"]
  assert not [c for c in collectives if c["in_loop"]]


def _has_cuda_plugin():
  return bool(
    importlib.util.find_spec("jax_plugins")
    and importlib.util.find_spec("jax_plugins.xla_cuda12")
  )


@contextlib.contextmanager
def _kept(folder):
  """Sets a folder for compiled programs, as `nomic_jax.load` does."""
  names = {
    "jax_compilation_cache_dir": str(folder),
    "jax_persistent_cache_min_compile_time_secs": 0.0,
  }
  before = {name: getattr(jax.config, name) for name in names}
  for name, value in names.items():
    jax.config.update(name, value)
  try:
    yield
  finally:
    for name, value in before.items():
      jax.config.update(name, value)


@needs_libtpu
def test_two_slices_are_two_slices():
  devices = topology.devices("v5e:2x2", 2)
  assert sorted(d.slice_index for d in devices) == [0] * 4 + [1] * 4
  mesh = partition.make_mesh(_config("mlm").mesh, devices)
  assert mesh.shape["data"] == 8


@needs_libtpu
def test_a_step_compiles_for_tpu7x(tmp_path, capsys):
  """A chip is two devices, and its sparse cores sum the gradients."""
  output = tmp_path / "report.json"
  assert not main.main(
    [
      "compile",
      small_data.config("mlm"),
      "--topology=tpu7x:2x2x1",
      "--config.encoder.width=128",
      "--config.encoder.heads=2",
      "--config.encoder.layers=1",
      "--config.compute.dtype=bfloat16",
      "--config.data.row_length=128",
      "--config.data.batch_size=16",
      f"--output={output}",
    ]
  )
  printed = capsys.readouterr().out
  assert "pallas_tpu, for TPU7x" in printed and "4 chips" in printed
  assert "not estimated: the clock of this chip" in printed
  report = json.loads(output.read_text())
  assert report["mesh"]["data"] == 8 and "estimate" not in report
  assert report["memory"]["chip"] == 96 * 2**30
  exchanged = sum(c["bytes"] for c in report["collectives"])
  assert exchanged >= 4 * report["parameters"]
