# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Speed of attention on a GPU: ours, cuDNN's, JAX's, tokamax's, PyTorch's.

    python benchmarks/attention_gpu.py [--lengths=512,2048,8192]

bfloat16, 12 heads of width 64, 32,768 tokens in rows of each length: rows of
one text, and rows of eight. All systems get the same queries, keys and values,
which are already rotated (with `--rotary`, ours rotates them in the kernel and
the others before it). Each result is compared with float32 arithmetic. Then
systems take turns, and the median time is reported. TFLOP/s count only the
required scores: a packed row has an eighth of those of a full row. If a system
is not installed or fails, its row says so. Without a GPU, only `reference` and
`torch` run.
"""

import argparse
from collections.abc import Callable
import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nomic_jax.kernels import reference
from nomic_jax.kernels.attention import Backend
from nomic_jax.kernels.layout import Layout
from nomic_jax.kernels.layout import Need

HEADS, WIDTH, TOKENS, TEXTS = 12, 64, 32_768, 8
LAYOUT = Layout(HEADS, HEADS, WIDTH)
# Largest difference that rounding to bfloat16 explains, for values near 1 and
# for gradients relative to the largest.
TOLERANCE = 0.03


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--lengths", default="512,2048,8192")
  parser.add_argument("--systems", default=",".join(SYSTEMS))
  parser.add_argument("--tokens", type=int, default=TOKENS, help="in all rows")
  parser.add_argument("--rounds", type=int, default=20)
  parser.add_argument("--rotary", action="store_true")
  a = parser.parse_args()
  print(
    f"{jax.devices()[0].device_kind}, jax {jax.__version__}; the last "
    "columns are the system's time over ours\n"
  )
  print(
    "| tokens | rows | system | forward, ms | TFLOP/s | with gradient, ms "
    "| TFLOP/s | off by | over ours, forward | with gradient |"
  )
  print("|---|---|---|---|---|---|---|---|---|---|")
  for length in map(int, a.lengths.split(",")):
    for texts in (1, TEXTS):
      _compare(a, length, texts)


def _compare(a: argparse.Namespace, length: int, texts: int) -> None:
  """Prints the rows of the table for one length, full or packed."""
  rows = max(a.tokens // length, 1)
  qkv, ids, angles = _inputs(rows, length, texts, a.rotary)
  wanted = _results(_exact(qkv, ids, angles))
  runs: dict[str, dict[str, Callable[[], Any]]] = {}
  wrong, off = {}, {}
  for name in a.systems.split(","):
    try:
      runs[name] = SYSTEMS[name](qkv, ids, angles)
      off[name] = _off(runs[name], wanted)
    except Exception as e:  # a result like others
      runs.pop(name, None)
      wrong[name] = f"{type(e).__name__}: {str(e).splitlines()[0][:80]}"
  took = _turns(runs, a.rounds)
  # Two products of 2 S^2 d each forward, five more backward.
  flops = 4 * rows * HEADS * WIDTH * length**2 / texts
  for name in a.systems.split(","):
    start = f"| {length:,} | {'full' if texts == 1 else f'{texts} texts'} "
    if name in wrong:
      print(f"{start}| {name} | {wrong[name]} |||||||", flush=True)
      continue
    forward, both = took[name]
    ours = took.get("ours", (float("nan"),) * 2)
    print(
      f"{start}| {name} | {forward * 1e3:.3f} | {flops / forward / 1e12:.1f} "
      f"| {both * 1e3:.3f} | {3.5 * flops / both / 1e12:.1f} | "
      f"{off[name]:.0e}{'' if off[name] < TOLERANCE else ' (wrong)'} | "
      f"{forward / ours[0]:.2f}× | {both / ours[1]:.2f}× |",
      flush=True,
    )


def _inputs(rows: int, length: int, texts: int, rotary: bool):
  """Returns qkv bfloat16 [B, S, 3 H d], segment ids [B, S], angles or None."""
  qkv = jax.random.normal(
    jax.random.key(0), (rows, length, 3 * HEADS * WIDTH), jnp.bfloat16
  )
  ids = jnp.tile(1 + jnp.arange(length) * texts // length, (rows, 1))
  if not rotary:
    return qkv, ids, None
  speed = 1000.0 ** -(jnp.arange(0, WIDTH, 2) / WIDTH)
  turn = (jnp.arange(length) % (length // texts))[:, None] * speed
  return (
    qkv,
    ids,
    tuple(jnp.tile(f(turn)[None], (rows, 1, 1)) for f in (jnp.cos, jnp.sin)),
  )


def _exact(qkv, ids, angles) -> dict[str, Callable[[], Any]]:
  """Returns the reference for the first row, computed in true float32."""
  one = jax.tree.map(lambda x: x[:1], (qkv.astype(jnp.float32), ids, angles))
  with jax.default_matmul_precision("highest"):
    return jax.tree.map(
      lambda f: functools.partial(jax.block_until_ready, f()),
      _ours("reference", *one),
    )


def _results(runs) -> tuple[np.ndarray, np.ndarray]:
  """Returns the first row's output, and the gradient of its norm² / 2."""
  return tuple(
    np.asarray(runs[way](), np.float32)[0] for way in ("forward", "both")
  )


def _off(runs, wanted) -> float:
  """Returns the largest difference, relative to the largest value."""
  return max(
    float(abs(got - true).max() / abs(true).max())
    for got, true in zip(_results(runs), wanted)
  )


def _turns(runs, rounds: int) -> dict[str, tuple[float, float]]:
  """Returns median seconds of each system, forward and with the gradient."""
  took: dict[str, list] = {name: [[], []] for name in runs}
  for turn in range(rounds + 2):
    for name, ways in runs.items():
      for n, way in enumerate(("forward", "both")):
        began = time.perf_counter()
        ways[way]()
        if turn > 1:  # the first two warm up
          took[name][n].append(time.perf_counter() - began)
  return {name: tuple(map(np.median, times)) for name, times in took.items()}


def _jax(attend: Callable, qkv) -> dict[str, Callable[[], Any]]:
  """Compiles `attend`, which maps qkv [B, S, 3 H d] to [B, S, H d]."""

  def both(x):
    out, back = jax.vjp(attend, x)
    return back(out)[0]

  compiled = {
    way: jax.jit(f).lower(qkv).compile()
    for way, f in (("forward", attend), ("both", both))
  }
  return {
    way: lambda f=f: jax.block_until_ready(f(qkv))
    for way, f in compiled.items()
  }


def _ours(name: str, qkv, ids, angles):
  backend = Backend(name, device=jax.devices()[0].device_kind)
  rows = jax.jit(
    lambda: backend.prepare(ids, angles, qkv.dtype, Need(LAYOUT))
  )()
  return _jax(lambda x: backend.attend(x, rows, Need(LAYOUT)), qkv)


def _heads(f: Callable, qkv, angles):
  """Compiles f, which maps q, k, v [B, S, H, d] to an array like q."""

  def attend(x):
    q, k, v = (
      part.reshape(*x.shape[:2], HEADS, WIDTH)
      for part in jnp.split(x, 3, axis=-1)
    )
    if angles is not None:
      q, k = (reference.rotate(part, *angles) for part in (q, k))
    return f(q, k, v).reshape(*x.shape[:2], -1)

  return _jax(attend, qkv)


def _cudnn(qkv, ids, angles):
  """cuDNN through `jax.nn`; full rows get no bias, since they need none."""
  if bool((ids == 1).all()):
    return _heads(
      functools.partial(jax.nn.dot_product_attention, implementation="cudnn"),
      qkv,
      angles,
    )
  return _ours("cudnn", qkv, ids, angles)


def _jax_pallas(qkv, ids, angles):
  from jax.experimental.pallas.ops.gpu import attention

  return _heads(
    lambda q, k, v: attention.mha(q, k, v, ids, sm_scale=WIDTH**-0.5),
    qkv,
    angles,
  )


def _tokamax(qkv, ids, angles):
  import tokamax

  packed = not bool((ids == 1).all())
  mask = (ids[:, None, :, None] == ids[:, None, None]) if packed else None
  return _heads(
    lambda q, k, v: tokamax.dot_product_attention(q, k, v, mask=mask),
    qkv,
    angles,
  )


def _torch(qkv, ids, angles):
  """PyTorch's fused kernels; a packed row becomes a batch of unpadded texts."""
  import torch
  from torch.nn import functional

  cuda = jax.default_backend() == "gpu"
  texts = int(ids.max())
  rows, length = ids.shape
  move = lambda x: torch.tensor(
    np.asarray(x, np.float32), device="cuda" if cuda else "cpu"
  )
  x = move(qkv).to(torch.bfloat16).requires_grad_()
  turns = (
    None
    if angles is None
    else [move(t)[:, :, None].to(torch.bfloat16) for t in angles]
  )

  def rotate(part):
    cos, sin = turns
    a, b = part.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)

  def attend():
    q, k, v = x.reshape(rows, length, 3, HEADS, WIDTH).unbind(2)
    if turns:
      q, k = rotate(q), rotate(k)
    q, k, v = (
      part.reshape(rows * texts, -1, HEADS, WIDTH).transpose(1, 2)
      for part in (q, k, v)
    )
    out = functional.scaled_dot_product_attention(q, k, v)
    return out.transpose(1, 2).reshape(rows, length, -1)

  def both():
    out = attend()
    return torch.autograd.grad(out, x, out.detach())[0]

  def forward():
    with torch.no_grad():
      return attend()

  def run(f):
    out = f()
    if cuda:
      torch.cuda.synchronize()
    return _Array(out)

  return {
    way: functools.partial(run, f)
    for way, f in (("forward", forward), ("both", both))
  }


class _Array:
  """A tensor that is converted to NumPy on demand, outside of timed runs."""

  def __init__(self, tensor: Any):
    self._tensor = tensor

  def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
    return self._tensor.float().cpu().numpy().astype(dtype or np.float32)


SYSTEMS = {
  "ours": functools.partial(_ours, "pallas_gpu"),
  "cudnn": _cudnn,
  "jax pallas": _jax_pallas,
  "tokamax": _tokamax,
  "torch": _torch,
  "reference": functools.partial(_ours, "reference"),
}


if __name__ == "__main__":
  main()
