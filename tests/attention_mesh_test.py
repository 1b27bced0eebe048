# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Kernels where the mesh splits the heads of a row over `tensor`."""

import dataclasses
import types

import jax
from jax.sharding import Mesh
import numpy as np
import pytest
from support import tiny

from nomic_jax.errors import UserError
from nomic_jax.kernels import flash_gpu
from nomic_jax.kernels import flash_tpu
from nomic_jax.kernels.attention import Backend
from nomic_jax.kernels.attention import choose
from nomic_jax.kernels.layout import Layout
from nomic_jax.kernels.layout import Need
from nomic_jax.mesh import own_rows
from nomic_jax.mesh import partition
from nomic_jax.model.architecture import Attention
from nomic_jax.model.architecture import Rope
from nomic_jax.model.encoder import Encoder

KERNELS = {"pallas_tpu": flash_tpu, "pallas_gpu": flash_gpu}


def _architecture(heads, kv_heads):
  attention = Attention(heads, kv_heads, 64, rope=Rope(1000.0))
  layer = dataclasses.replace(tiny.ARCHITECTURE.layers[0], attention=attention)
  return dataclasses.replace(tiny.ARCHITECTURE, layers=(layer,))


def _tokens():
  """Two rows of two texts and padding."""
  rng = np.random.default_rng(0)
  lengths = np.array([[50, 60], [1, 90]])
  ids = np.zeros((2, 128), np.int32)
  positions = np.zeros_like(ids)
  for row, (a, b) in enumerate(lengths):
    ids[row, : a + b] = np.repeat([1, 2], [a, b])
    positions[row, : a + b] = [*range(a), *range(b)]
  drawn = rng.integers(1, 96, ids.shape).astype(np.int32)
  return {
    "ids": np.where(ids > 0, drawn, 0),
    "segment_ids": ids,
    "positions": positions,
  }


@pytest.mark.slow
@pytest.mark.parametrize(
  "kernel, heads, kv_heads, in_rows",
  [
    ("pallas_tpu", 12, 4, False),
    ("pallas_tpu", 4, 2, True),
    ("pallas_gpu", 12, 4, True),
    ("pallas_gpu", 4, 2, False),
  ],
)
def test_heads_split_over_tensor_equal_one_device(
  monkeypatch, kernel, heads, kv_heads, in_rows
):
  architecture, tokens = _architecture(heads, kv_heads), _tokens()
  params = tiny.params(Encoder(architecture))
  seen = tokens["segment_ids"][:, :, None] > 0
  weight = np.random.default_rng(1).normal(size=(*seen.shape[:2], 16)) * seen

  def both(encoder, spread=lambda f: f):
    def f(params, tokens, weight):
      hidden = spread(encoder.apply)(params, tokens)
      return (hidden * weight).sum(), hidden * seen

    return jax.value_and_grad(f, has_aux=True)

  expected = tiny.jit(both(Encoder(architecture)))(params, tokens, weight)
  layouts, module = set(), KERNELS[kernel]
  attend = module.attend
  monkeypatch.setattr(
    module,
    "attend",
    lambda call, *rest: layouts.add(call.layout) or attend(call, *rest),
  )
  mesh = Mesh(np.array(jax.devices()[:4]).reshape(2, 1, 2), partition.AXES)
  encoder = Encoder(
    architecture,
    attention=Backend(
      kernel,
      rows_over=partition.ROW_AXES,
      heads_over=("tensor",),
      shares=2,
      interpret=True,
    ),
  )
  at = partition.state_shardings(
    mesh, "fsdp", jax.eval_shape(encoder.init, jax.random.key(0))
  )
  assert "tensor" in at["layers"]["qkv"]["kernel"].spec
  rows = jax.NamedSharding(mesh, jax.P(partition.ROW_AXES))
  f = both(encoder, own_rows.by_rows) if in_rows else both(encoder)
  step = tiny.jit(partition.in_mesh(f, mesh), in_shardings=(at, rows, rows))
  actual = step(params, tokens, weight)
  assert layouts == {Layout(heads // 2, kv_heads // 2, 64)}
  tiny.assert_close(actual, expected, 1e-5)


@pytest.mark.parametrize(
  "layout, devices",
  [(Layout(12, 4, 64), 8), (Layout(12, 4, 64), 3), (Layout(4, 1, 64), 2)],
)
def test_heads_that_do_not_divide_are_refused_by_name(layout, devices):
  device = types.SimpleNamespace(
    platform="gpu", device_kind="NVIDIA A100", compute_capability="8.0"
  )
  mesh = types.SimpleNamespace(
    devices=np.array([device]),
    shape={"data": 2, "tensor": devices},
    size=2 * devices,
  )
  said = []
  pick = lambda name, layout: choose(
    name, mesh, ("data",), [Need(layout)], say=said.append
  )
  with pytest.raises(
    UserError,
    match=rf"pallas_gpu cannot divide {layout.heads} heads \({layout.kv_heads} "
    rf"of keys and values\) of 64 between {devices} devices; expected auto or",
  ):
    pick("pallas_gpu", layout)
  assert pick("auto", layout).implementation == "reference"
  assert "reference, because pallas_gpu cannot divide" in said[0]
  whole = pick("auto", Layout(24, 24, 64))
  assert (whole.implementation, whole.heads_over) == ("pallas_gpu", ("tensor",))
  assert whole.shares == devices
  # A single head of width 64 does not fill the lanes of a TPU.
  device.platform, device.device_kind = "tpu", "TPU v6 lite"
  with pytest.raises(UserError, match="pallas_tpu has no layout for"):
    pick("pallas_tpu", Layout(devices, devices, 64))
