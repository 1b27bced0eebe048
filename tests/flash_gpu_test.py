# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Kernels for NVIDIA GPUs: they lower, and `auto` chooses them."""

import dataclasses
import functools
import re
import types

import jax
from jax._src.cudnn import fused_attention_stablehlo
import jax.numpy as jnp
from jax.sharding import AbstractDevice
from jax.sharding import AbstractMesh
import numpy as np
import pytest

from nomic_jax.errors import UserError
from nomic_jax.kernels import blocks
from nomic_jax.kernels.attention import Backend
from nomic_jax.kernels.attention import choose
from nomic_jax.kernels.layout import Call
from nomic_jax.kernels.layout import Layout
from nomic_jax.kernels.layout import Need

PLAIN = Layout(12, 12, 64)
TRITON = "__gpu$xla.gpu.triton"


def _lowered(kernel, layout, length, dtype, rotary=True, **reach):
  """StableHLO of forward and gradient, for CUDA, without a GPU."""
  shape = jax.ShapeDtypeStruct

  def both(qkv, ids, *angles):
    need = Need(layout, **reach)
    rows = backend.prepare(ids, angles or None, qkv.dtype, need)
    out, back = jax.vjp(lambda x: backend.attend(x, rows, need), qkv)
    return back(out)[0]

  backend = Backend(kernel)
  # From JAX 0.11 on, Triton's lowering queries the GPU.
  gpu = AbstractMesh(
    (1,), ("x",), abstract_device=AbstractDevice("NVIDIA H200", None, "gpu")
  )
  angles = [shape((2, length, layout.width // 2), jnp.float32)] * 2 * rotary
  with jax.sharding.use_abstract_mesh(gpu):
    return (
      jax.jit(both)
      .trace(
        shape((2, length, layout.columns), dtype),
        shape((2, length), jnp.int32),
        *angles,
      )
      .lower(lowering_platforms=("cuda",))
      .as_text()
    )


@pytest.mark.parametrize(
  "length, heads, dtype, rotary, reach",
  [
    (2048, (4, 4, 64), "bfloat16", True, {}),
    (8192, (4, 4, 128), "bfloat16", True, dict(window=128)),
    (200, (4, 4, 64), "float32", True, {}),
    (200, (4, 4, 128), "float32", False, {}),
    (4096, (12, 4, 64), "bfloat16", True, dict(causal=True)),
    (4096, (4, 1, 256), "bfloat16", True, dict(window=256, causal=True)),
  ],
)
def test_lowers_to_triton(length, heads, dtype, rotary, reach):
  text = _lowered("pallas_gpu", Layout(*heads), length, dtype, rotary, **reach)
  assert text.count(f"@{TRITON}(") == 2
  # No array as large as all scores, and no copies of operands.
  sizes = [
    int(np.prod([int(n) for n in dims.split("x")]))
    for dims in re.findall(r"tensor<([\dx]+)x[a-z]", text)
  ]
  assert max(sizes) < length * length or length == 200
  assert "stablehlo.transpose" not in text


def test_lowers_to_cudnn(monkeypatch):
  # JAX queries the version of cuDNN, which needs a GPU.
  monkeypatch.setattr(
    fused_attention_stablehlo, "check_cudnn_version", lambda: 91000
  )
  text = _lowered("cudnn", Layout(4, 4, 64), 2048, "bfloat16")
  assert re.findall(r"@(__cudnn\$\w+)\(", text) == [
    "__cudnn$fmhaScaleBiasSoftmax",
    "__cudnn$fmhaScaleBiasSoftmaxBackward",
  ]


def _mesh(kind, platform="gpu", **more):
  device = types.SimpleNamespace(platform=platform, device_kind=kind, **more)
  return types.SimpleNamespace(
    devices=np.array([device]), shape={"data": 1}, size=1
  )


A100 = _mesh("NVIDIA A100-SXM4-80GB", compute_capability="8.0")
V100 = _mesh("Tesla V100-SXM2-16GB", compute_capability="7.0")
MI300 = _mesh("AMD Instinct MI300X", compute_capability="gfx942")


def test_auto_takes_the_kernel_from_ampere_on():
  said = []
  needs = lambda width: [Need(Layout(12, 12, width))]
  pick = functools.partial(
    choose, rows_over=("data",), needs=needs(64), say=said.append
  )
  found = pick("auto", A100)
  assert (found.implementation, found.rows_over) == ("pallas_gpu", ("data",))
  assert pick("cudnn", A100).implementation == "cudnn"
  for mesh, width in ((V100, 64), (MI300, 64), (A100, 32)):
    found = pick("auto", mesh, needs=needs(width), quiet=width == 32)
    assert (found.implementation, found.rows_over) == ("reference", ())
  assert said == [
    "attention: pallas_gpu, for NVIDIA A100-SXM4-80GB",
    "attention: reference, because pallas_gpu needs an NVIDIA GPU of compute "
    "capability 8.0 (Ampere) or later, not a Tesla V100-SXM2-16GB",
    "attention: reference, because pallas_gpu needs an NVIDIA GPU of compute "
    "capability 8.0 (Ampere) or later, not a AMD Instinct MI300X",
    "attention: reference, because pallas_gpu has no layout for 12 heads of "
    "32; expected a width of 64, 128 or 256",
  ]
  biased = [Need(Layout(12, 12, 64), relative=True)]
  assert pick("auto", A100, needs=biased).implementation == "reference"
  assert said[-1] == (
    "attention: reference, because pallas_gpu adds no relative bias to its "
    "scores"
  )
  for name in ("pallas_gpu", "cudnn"):
    with pytest.raises(UserError, match=f"{name} adds no relative bias"):
      pick(name, A100, needs=biased)
    with pytest.raises(UserError, match=f"{name} needs .* not a Tesla V100"):
      pick(name, V100)
    with pytest.raises(UserError, match=f"{name} runs on gpu, .* are cpu; "):
      pick(name, _mesh("cpu", "cpu"))


def test_auto_chooses_what_fits():
  mesh = _mesh("TPU v4", "tpu")
  pick = functools.partial(
    choose,
    "auto",
    mesh,
    ("data",),
    [Need(PLAIN)],
    dtype="bfloat16",
    say=lambda line: None,
  )
  assert pick(longest=2304).implementation == "pallas_tpu"
  assert pick(longest=4096).implementation == "reference"
  # Without a gradient, larger rows are supported; the kernel itself agrees.
  found = pick(longest=4096, forward_only=True)
  assert found.implementation == "pallas_tpu"
  ids = np.ones((1, 4096), np.int32)
  dataclasses.replace(found, rows_over=()).prepare(
    ids, None, "bfloat16", Need(PLAIN)
  )
  with pytest.raises(
    UserError, match="supports rows of up to 2304 tokens on a TPU"
  ):
    dataclasses.replace(found, forward_only=False).prepare(
      ids, None, "bfloat16", Need(PLAIN)
    )
  assert pick(longest=8192, forward_only=True).implementation == "reference"


def test_wrong_use_names_the_fix():
  ids = np.ones((2, 250), np.int32)
  gpu = Backend("pallas_gpu", interpret=True)
  cudnn = Backend("cudnn")
  with pytest.raises(UserError, match="float32 or bfloat16, not float16; use"):
    gpu.prepare(ids, None, "float16", Need(PLAIN))
  with pytest.raises(UserError, match="in bfloat16, not float32; use refer"):
    cudnn.prepare(ids, None, "float32", Need(PLAIN))
  with pytest.raises(UserError, match="rows of 255 tokens; expected even ones"):
    cudnn.prepare(np.ones((2, 255), np.int32), None, "bfloat16", Need(PLAIN))
  for backend, width, expected in (
    (gpu, 32, "pallas_gpu has no layout for 2 heads of 32; expected a width"),
    (cudnn, 136, "no heads of 136; expected a multiple of 8 up to 128"),
  ):
    with pytest.raises(UserError, match=expected):
      backend.prepare(ids, None, "bfloat16", Need(Layout(2, 2, width)))
  for block in (48, 8, 512):
    with pytest.raises(
      UserError,
      match=f"block of {block} tokens does not "
      "divide rows of 256 .* multiple of 64.* power of two",
    ):
      dataclasses.replace(gpu, blocks=(64, block, 64, 64)).prepare(
        ids, None, "float32", Need(PLAIN)
      )


def test_blocks_divide_every_row():
  for kernel in ("pallas_tpu", "pallas_gpu"):
    for device in ("", "NVIDIA H100 80GB HBM3", "TPU v5 lite", "TPU v6 lite"):
      for dtype in ("float32", "bfloat16"):
        for length in (1, 64, 200, 512, 2048, 2112, 8192):
          call = Call(PLAIN, device=device)
          found = blocks.find(kernel, call, length, dtype)
          whole = length + -length % blocks.MULTIPLE[kernel]
          for block in found:
            blocks.check(kernel, block, whole)
