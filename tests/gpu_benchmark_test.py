# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Traces the code that benchmarks/gpu.sh runs, so that it stays valid."""

import importlib.util

import jax
import pytest
from support import small_data

pytestmark = pytest.mark.slow


@pytest.fixture(name="gpu", scope="module")
def _gpu():
  spec = importlib.util.spec_from_file_location(
    "gpu_benchmark", small_data.ROOT / "benchmarks" / "gpu.py"
  )
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.mark.parametrize("name", ["mlm_step", "contrastive_step"])
@pytest.mark.parametrize("attention", ["reference", "pallas_gpu"])
def test_a_step_is_a_program(gpu, name, attention):
  model, make, batch = getattr(gpu, name)(tiny=True)
  init, step = gpu.program(model, make, attention)
  start = jax.eval_shape(init)
  end, metrics = jax.eval_shape(step, start, batch)
  assert jax.tree.map(lambda x: x.shape, end) == jax.tree.map(
    lambda x: x.shape, start
  )
  assert metrics["loss"].shape == ()
