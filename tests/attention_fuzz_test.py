# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Kernels in interpret mode on random rows, against float64.

PYTHONPATH=. python tests/attention_fuzz_test.py 3000   # runs 3,000 cases
"""

import functools
import sys

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import numpy as np
import pytest
from support import tiny
from support.attention_cases import exact

from nomic_jax.kernels.attention import Backend
from nomic_jax.kernels.layout import Layout
from nomic_jax.kernels.layout import Need

pytestmark = pytest.mark.slow

PAIR = Layout(2, 2, 64)
# Implementation, tokens in a row, blocks, layout, window, causal.
SHAPES = (
  ("pallas_tpu", 384, (128, 128, 128, 128), PAIR, None, False),
  ("pallas_tpu", 250, (128, 128, 256, 128), PAIR, 40, False),
  # Several blocks of keys.
  ("pallas_tpu", 500, (128, 256, 128, 256), PAIR, None, True),
  # One block of keys.
  ("pallas_tpu", 250, (256, 256, 256, 256), PAIR, 40, False),
  ("pallas_gpu", 128, (32, 64, 64, 32), PAIR, None, False),
  ("pallas_gpu", 250, (64, 32, 32, 64), PAIR, 40, True),
  ("pallas_tpu", 500, (128, 256, 128, 128), Layout(6, 2, 64), 150, True),
  ("pallas_tpu", 250, (128, 128, 128, 128), Layout(2, 1, 128), None, True),
  ("pallas_gpu", 250, (32, 64, 64, 32), Layout(6, 2, 64), None, True),
)


@functools.cache
def compiled(shape):
  kernel, _, blocks, *asked = shape
  backend = Backend(kernel, blocks=blocks, interpret=True)

  @tiny.jit
  def both(qkv, weight, ids, angle):
    angles = jax.numpy.cos(angle), jax.numpy.sin(angle)
    rows = backend.prepare(ids, angles, qkv.dtype, Need(*asked))
    out, back = jax.vjp(lambda x: backend.attend(x, rows, Need(*asked)), qkv)
    return out, back(weight)[0]

  return both


# A row as runs of ids, in any order, possibly repeated, with padding anywhere.
RUNS = st.lists(
  st.tuples(st.integers(0, 3) | st.integers(0, 65535), st.integers(1, 200)),
  max_size=12,
)


def check(shape, runs, seed, size):
  _, length, _, layout, *reach = shape
  ids = [i for i, n in runs for _ in range(n)] + [0] * length
  ids = np.array(ids[:length], np.int32)
  rng = np.random.default_rng(seed)
  normal = lambda *shape: rng.normal(size=shape).astype("f")
  qkv = size * normal(length, layout.columns)
  weight = normal(length, layout.heads * layout.width)
  angle = 9 * normal(length, layout.width // 2)
  actual = compiled(shape)(*(x[None] for x in (qkv, weight, ids, angle)))
  expected = exact(
    qkv, weight, ids, np.exp(1j * angle.astype("d")), layout, *reach
  )
  for a, e in zip(actual, expected):
    a = np.asarray(a[0])
    assert not a[ids == 0].any()
    # Scores, and their rounding errors, grow with the square of `size`.
    limit = 3e-6 * max(1, size**2) * max(abs(e).max(), size)
    assert abs(a - e).max() < limit, (abs(a - e).max(), limit)


CASES = dict(
  shape=st.sampled_from(SHAPES),
  runs=RUNS,
  seed=st.integers(0, 9999),
  size=st.sampled_from([0.1, 1, 3]),
)

test_random_rows = settings(
  max_examples=27, derandomize=True, deadline=None, database=None
)(given(**CASES)(check))

if __name__ == "__main__":
  settings(max_examples=int(sys.argv[1]), deadline=None, database=None)(
    given(**CASES)(check)
  )()
