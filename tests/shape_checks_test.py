# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Array annotations are checked while testing; see support/shape_checks.py."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from nomic_jax.kernels import reference
from nomic_jax.losses import ranking
from nomic_jax.model import pooling


@pytest.mark.parametrize("make", [np.ones, jnp.ones])
@pytest.mark.parametrize(
  "of_ids, dtype, fits",
  [
    ((2, 8), "int32", True),
    ((2, 7), "int32", False),
    ((8,), "int32", False),
    ((2, 8), "float32", False),
  ],
)
def test_arguments_of_another_shape_or_dtype_are_refused(
  make, of_ids, dtype, fits
):
  pool = lambda: pooling.pool(
    "mean", make((2, 8, 4), "float32"), make(of_ids, dtype), 3
  )
  if fits:
    assert pool().shape == (2, 3, 4)
    assert jax.eval_shape(pool).shape == (2, 3, 4)
    return
  for call in (pool, lambda: jax.eval_shape(pool)):
    with pytest.raises(jaxtyping.TypeCheckError, match="'segment_ids'"):
      call()


def test_axes_of_one_name_have_one_size_in_optional_arguments_too():
  scores = jnp.arange(4.0)
  assert ranking.margin_loss(scores, scores, 0.1).shape == ()
  with pytest.raises(jaxtyping.TypeCheckError, match="'counted'"):
    ranking.margin_loss(scores, scores, 0.1, jnp.ones(3, bool))


def test_results_are_checked():
  ids = jnp.ones((2, 8), jnp.int32)
  assert reference.mask(ids, _Sees(True)).shape == (2, 8, 8)
  with pytest.raises(jaxtyping.TypeCheckError, match="return value"):
    reference.mask(ids, _Sees(jnp.ones((2, 8, 8), jnp.int32)))


class _Sees:
  """Stands for a `Reach`: only types of arrays are checked."""

  def __init__(self, answer):
    self._answer = answer

  def sees(self, query, key):
    return self._answer
