# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs set compiler flags themselves; the user's own take precedence."""

import os

import pytest

from nomic_jax import training
from nomic_jax.aot import topology
from nomic_jax.mesh import compiler_flags

VMEM = "--xla_tpu_scoped_vmem_limit_kib"
HIDING = "--xla_gpu_enable_latency_hiding_scheduler"


@pytest.mark.parametrize("chip", ["v5e", "v5p", "v6e", "tpu7x"])
def test_flags_of_a_tpu(chip):
  assert compiler_flags.variables(chip, {}) == {
    "LIBTPU_INIT_ARGS": f"{VMEM}=32768"
  }


def test_flags_of_a_gpu():
  assert compiler_flags.variables("gpu", {}) == {
    "XLA_FLAGS": f"{HIDING}=true",
    "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.9",
  }


@pytest.mark.parametrize("chip", ["v2", "v3", "v4", ""])
def test_no_flags_elsewhere(chip):
  assert not compiler_flags.variables(chip, {})


def test_what_the_user_has_set_wins():
  of = compiler_flags.variables
  assert not of("v5e", {"LIBTPU_INIT_ARGS": f"--a=1 {VMEM}=65536"})
  assert of("v5e", {"LIBTPU_INIT_ARGS": f"--a=1 {VMEM}_other=2"}) == {
    "LIBTPU_INIT_ARGS": f"{VMEM}=32768 --a=1 {VMEM}_other=2"
  }
  assert not of(
    "gpu",
    {"XLA_FLAGS": f"{HIDING}=false", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.5"},
  )
  # Setting them twice changes nothing.
  assert not of("gpu", of("gpu", {}))


def test_every_flag_has_a_reason_and_chips_that_exist():
  for flag in compiler_flags.FLAGS:
    assert len(flag.reason) > 40 and flag.name.startswith("--")
    assert set(flag.chips) <= {*compiler_flags.TPUS, "gpu"}


@pytest.mark.parametrize(
  "vendor, device, chip",
  [
    ("0x1ae0", "0x0063", "v5e"),
    ("0x1ae0", "0x006f", "v6e"),
    ("0x1ae0", "0x0042", ""),
    ("0x10de", "0x0063", ""),
  ],
)
def test_a_tpu_is_known_by_its_pci_device(tmp_path, vendor, device, chip):
  folder = tmp_path / "sys" / "bus" / "pci" / "devices" / "0000:00:04.0"
  folder.mkdir(parents=True)
  (folder / "vendor").write_text(vendor + "\n")
  (folder / "device").write_text(device + "\n")
  assert compiler_flags.chip_here(tmp_path) == chip
  (tmp_path / "dev").mkdir()
  (tmp_path / "dev" / "nvidiactl").touch()
  assert compiler_flags.chip_here(tmp_path) == (chip or "gpu")


class _Started(Exception):
  """Raised where the backend would start."""


def _starts(*_, **__):
  raise _Started(os.environ.get("LIBTPU_INIT_ARGS"))


@pytest.mark.parametrize("given", ["", f"{VMEM}=1"])
def test_train_sets_them_before_the_backend_starts(
  monkeypatch, tmp_path, given
):
  monkeypatch.setenv("LIBTPU_INIT_ARGS", given)
  monkeypatch.setattr(compiler_flags, "chip_here", lambda: "v5e")
  monkeypatch.setattr(training, "_train", _starts)
  with pytest.raises(_Started, match=f"^{given or VMEM + '=32768'}$"):
    training.train(None, str(tmp_path / "run"))


@pytest.mark.parametrize(
  "chip, given, told",
  [("v5e", "", f"{VMEM}=32768"), ("v5e", f"{VMEM}=1", f"{VMEM}=1")],
)
def test_compile_sets_them_before_the_compiler_starts(
  monkeypatch, chip, given, told
):
  pytest.importorskip("libtpu")
  monkeypatch.setenv("LIBTPU_INIT_ARGS", given)
  monkeypatch.setattr(topology.topologies, "get_topology_desc", _starts)
  with pytest.raises(_Started, match=f"^{told}$"):
    topology.devices(f"{chip}:2x2")
