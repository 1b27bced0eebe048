# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Kernels, run as Python, on rows laid out at random, against float64.

    PYTHONPATH=. python tests/attention_fuzz_test.py 3000   # more of them
"""

import functools
import sys

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import numpy as np

from nomic_jax.kernels.attention import Attention
import tiny

HEADS, WIDTH = 2, 64
# Implementation, tokens in a row, blocks, window.
SHAPES = (
    ("pallas_tpu", 384, (128, 128, 128, 128), None),
    ("pallas_tpu", 250, (128, 128, 256, 128), 40),
    ("pallas_tpu", 500, (128, 256, 128, 256), None),  # keys in parts
    ("pallas_tpu", 250, (256, 256, 256, 256), 40),  # one block, all parts
    ("pallas_gpu", 128, (32, 64, 64, 32), None),
    ("pallas_gpu", 250, (64, 32, 32, 64), 40),
)


@functools.cache
def compiled(shape):
  kernel, _, blocks, window = shape
  attention = Attention(kernel, blocks=blocks, window=window, interpret=True)

  @tiny.jit
  def both(qkv, weight, ids, angle):
    rows = attention.prepare(ids, (jax.numpy.cos(angle),
                                   jax.numpy.sin(angle)), qkv.dtype)
    out, back = jax.vjp(lambda x: attention(x, rows, HEADS), qkv)
    return out, back(weight)[0]

  return both


def exact(qkv, weight, ids, angle, window):
  """Attention and the gradient of its weighted sum, written out in float64."""
  qkv, weight, angle = (np.asarray(x, "d") for x in (qkv, weight, angle))
  q, k, v = qkv.reshape(len(ids), 3, HEADS, WIDTH).transpose(1, 2, 0, 3)
  do = weight.reshape(len(ids), HEADS, WIDTH).transpose(1, 0, 2)
  turn = np.exp(1j * angle)
  to_complex = lambda x: x[..., :WIDTH // 2] + 1j * x[..., WIDTH // 2:]
  to_real = lambda z: np.concatenate([z.real, z.imag], -1)
  q, k = (to_real(to_complex(x) * turn) for x in (q, k))
  seen = (ids[:, None] == ids) & (ids > 0)
  if window is not None:
    at = np.arange(len(ids))
    seen &= abs(at[:, None] - at) <= window
  scores = np.where(seen, q @ k.swapaxes(1, 2) / WIDTH**0.5, -np.inf)
  top = scores.max(-1, keepdims=True, initial=-1e30)
  p = np.exp(scores - top)
  p /= np.maximum(p.sum(-1, keepdims=True), 1e-300)
  out = p @ v
  ds = p * (do @ v.swapaxes(1, 2) - (do * out).sum(-1, keepdims=True))
  ds /= WIDTH**0.5
  dq, dk = (to_real(to_complex(x) / turn)
            for x in (ds @ k, ds.swapaxes(1, 2) @ q))
  flat = lambda *x: np.stack(x).transpose(2, 0, 1, 3).reshape(len(ids), -1)
  return flat(out), flat(dq, dk, p.swapaxes(1, 2) @ do)


# A row as runs of an id: any order, again after others, padding anywhere.
RUNS = st.lists(
    st.tuples(st.integers(0, 3) | st.integers(0, 65535), st.integers(1, 200)),
    max_size=12)


def check(shape, runs, seed, size):
  _, length, _, window = shape
  ids = [i for i, n in runs for _ in range(n)] + [0] * length
  ids = np.array(ids[:length], np.int32)
  rng = np.random.default_rng(seed)
  normal = lambda *shape: rng.normal(size=shape).astype("f")
  qkv = size * normal(length, 3 * HEADS * WIDTH)
  args = qkv, normal(length, HEADS * WIDTH), ids, 9 * normal(
      length, WIDTH // 2)
  actual = compiled(shape)(*(x[None] for x in args))
  for a, e in zip(actual, exact(*args, window)):
    a = np.asarray(a[0])
    assert not a[ids == 0].any()
    # Scores grow with the square of `size`, and so do their roundings.
    limit = 3e-6 * max(1, size**2) * max(abs(e).max(), size)
    assert abs(a - e).max() < limit, (abs(a - e).max(), limit)


CASES = dict(
    shape=st.sampled_from(SHAPES), runs=RUNS, seed=st.integers(0, 9999),
    size=st.sampled_from([0.1, 1, 3]))

test_random_rows = settings(
    max_examples=24, derandomize=True, deadline=None, database=None,
)(given(**CASES)(check))

if __name__ == "__main__":
  settings(max_examples=int(sys.argv[1]), deadline=None, database=None)(
      given(**CASES)(check))()
