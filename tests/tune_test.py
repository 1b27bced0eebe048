# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The table of block sizes: how it is written and read."""

import importlib.util
import json
import subprocess
import sys

import jax
import pytest

from nomic_jax.aot import bundles
from nomic_jax.aot import topology
from nomic_jax.aot import tune
from nomic_jax.errors import UserError
from nomic_jax.kernels import blocks
from nomic_jax.kernels.layout import Call
from nomic_jax.kernels.layout import Layout

pytestmark = [pytest.mark.slow, pytest.mark.aot]

KIND = dict(kernel="pallas_gpu", device="NVIDIA X", dtype="bfloat16")


def _records(length, way, **costs):
  return [
    KIND
    | {
      "length": length,
      "pass": way,
      "blocks": [int(n) for n in sizes.strip("_").split("_")],
    }
    | (
      {"cost": cost, "unit": "bundles a head"}
      if cost
      else {"failed": "out of memory"}
    )
    for sizes, cost in costs.items()
  ]


def test_the_cheapest_of_the_next_longer_length_is_taken(
  tmp_path, monkeypatch, capsys
):
  path = tmp_path / "blocks.json"
  tune.add(path, _records(512, "forward", _64_64=9.0, _128_32=7.0, _16_16=0))
  tune.add(path, _records(2048, "forward", _64_32=5.0, _128_64=4.0))
  tune.add(path, _records(512, "forward", _64_64=9.0, _32_32=8.0, _16_16=0))
  assert "512 tokens, forward: blocks of 128 and 32, 7.0 bundles a head" in (
    capsys.readouterr().out
  )
  assert len(json.loads(path.read_text())) == 5  # the first three are replaced
  monkeypatch.setattr(blocks, "TABLE", path)
  blocks._table.cache_clear()
  layout = Layout(12, 12, 64)
  call = Call(layout, device="NVIDIA X")
  find = lambda length: blocks.find("pallas_gpu", call, length, "bfloat16")
  try:
    default = (128, 32, 32, 32)
    assert find(256) == find(512) == (32, 32, *default[2:])
    assert find(513) == (64, 64, *default[2:])  # 576 tokens: what divides them
    assert find(1024) == find(8192) == (128, 64, *default[2:])
    other = Call(layout, device="NVIDIA Y")
    assert blocks.find("pallas_gpu", other, 512, "bfloat16") == default
  finally:
    blocks._table.cache_clear()


def test_committed_block_sizes_are_valid_and_used():
  for r in blocks._table():
    assert ("cost" in r) != ("failed" in r)
    for block in r["blocks"]:
      blocks.check(r["kernel"], block, r["length"])
  for device in ("TPU v5 lite", "TPU v6 lite"):
    for length in (512, 2048, 8192):
      for way in ("forward", "backward"):
        assert blocks.tuned("pallas_tpu", device, length, "bfloat16", way)


LISTING = """
LB: loop body
 0x0   :  { something }
   0x1 LB: > { of the grid }
   0x2   : > { sbr.rel over what follows }
   0x3 LB: >> { within }
   0x4   : > { of the grid, scheduled within }
   0x5 PF: >> { within }
   0x6   : > { of the grid }
   0x7 LB: >> { another }
   0x8   :  {}
   0x9   : > {}
   0xa   :  { ends }
"""


def test_bundles_are_counted_by_loop(tmp_path):
  (tmp_path / "1-flash_forward.7-88-final_bundles.txt").write_text(LISTING)
  program = "%flash_forward.7 = bf16[8] custom-call(%x), tpu_custom_call"
  loop = bundles.Loop
  grid = loop(5, [loop(3, [], 3), loop(1, [], 1)], 2)
  assert list(bundles.kernels(program, str(tmp_path))) == [
    ("flash_forward", loop(2, [grid], 1))
  ]


def test_a_single_iteration_is_no_loop():
  loop = bundles.Loop
  program = lambda *inner: loop(9, [loop(1000, list(inner))])
  count = lambda forward, backward, *sizes: bundles.of_flash_tpu(
    dict(flash_forward=forward, flash_backward=backward), *sizes
  )
  # Rows of four blocks, prepared in two iterations of 512.
  assert count(
    program(loop(10, []), loop(1, [])),
    program(loop(10, []), loop(100, [loop(1, [])]), loop(30, [])),
    1024,
    (256, 256, 256, 256),
  ) == (4000 + 20 + 16, 1000 + 400 + 16 + 80)
  # One block, prepared in one iteration.
  assert count(program(), program(), 512, (512,) * 4) == (1000, 1000)
  # Two blocks of queries forward, of keys backward.
  assert count(program(), program(loop(7, [])), 512, (256, 512, 512, 256)) == (
    2000,
    1014,
  )
  # And the other way round.
  assert count(
    program(loop(5, [])), program(loop(7, [])), 512, (512, 256, 256, 512)
  ) == (1010, 1014)


def test_a_device_without_a_kernel_is_an_error_with_a_fix():
  with pytest.raises(UserError, match="no kernel for cpu; use --chips"):
    list(tune.timed(jax.local_devices()[0], 512, "bfloat16"))


def test_failures_are_kept(monkeypatch):
  def fail(*args, **more):
    raise ValueError("no room\nat all")

  monkeypatch.setattr(tune, "_compiled", fail)
  device = jax.local_devices()[0]
  found = list(tune.listed(device, 128, "bfloat16", "nowhere"))
  assert [r["failed"] for r in found] == ["ValueError: no room"] * 2


def test_the_command_lists_its_choices():
  run = _command("--help")
  assert run.returncode == 0 and "--chips" in run.stdout
  run = _command("--chips=v9")
  assert run.returncode and "no 'v9'; expected v5e, v5p, v6e" in run.stderr


def _command(*flags):
  return subprocess.run(
    [sys.executable, "-m", "nomic_jax.aot.tune", *flags],
    capture_output=True,
    text=True,
    check=False,
  )


def test_tuning_needs_no_tpu(tmp_path):
  if importlib.util.find_spec("libtpu") is None:
    pytest.skip("no libtpu, the compiler for TPUs: pip install .[tpu-aot]")
  path = tmp_path / "blocks.json"
  run = _command("--chips=v5e", "--lengths=256", f"--output={path}")
  assert run.returncode == 0, run.stderr
  table = json.loads(path.read_text())
  assert len(table) == 8 and {r["device"] for r in table} == {"TPU v5 lite"}
  # One block of queries and keys costs about as much as several.
  for way in ("forward", "backward"):
    costs = [r["cost"] for r in table if r["pass"] == way]
    assert 300 < min(costs) and max(costs) < 2 * min(costs), costs
    # `nomic-jax compile` uses this number.
    assert min(costs) == pytest.approx(
      topology.CHIPS["v5e"].kernel_cycles(f"flash_{way}", 256), rel=0.02
    )
