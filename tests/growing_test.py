# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A batch that grows takes the chain's batches in order, each once."""

import grain
import ml_collections
import numpy as np
import pytest

from nomic_jax import program
from nomic_jax.data import loader
from nomic_jax.data.growing import Growing
from nomic_jax.errors import UserError


def _growing():
  chain = grain.MapDataset.range(30).map(
    lambda i: {"ids": np.full((1, 2, 3), i), "labels": np.full((1, 2), i)}
  )
  return Growing(iter(chain.to_iter_dataset()), 3, 5)


def test_numbers_of_micro_batches_take_equally_many_steps():
  batches = _growing()
  found = [next(batches) for _ in range(8)]
  assert [len(x["ids"]) for x in found] == [1, 1, 1, 2, 2, 3, 3, 3]
  for name, shape in (("ids", (2, 3)), ("labels", (2,))):
    joined = np.concatenate([x[name] for x in found])
    assert joined.shape == (16, *shape)
    np.testing.assert_array_equal(joined.reshape(16, -1)[:, 0], np.arange(16))


@pytest.mark.parametrize("at", [0, 2, 4, 7])
def test_its_state_resumes_it(at):
  batches = _growing()
  for _ in range(at):
    next(batches)
  again = _growing()
  again.set_state(batches.get_state())
  for _ in range(4):
    np.testing.assert_array_equal(next(again)["ids"], next(batches)["ids"])


def test_what_a_growing_batch_cannot_be():
  data = ml_collections.ConfigDict(
    dict(kind="text", batch_size=10, micro_batches=4, batch_warmup=3)
  )
  with pytest.raises(
    UserError, match="batch_size: 10 rows do not divide evenly over"
  ):
    loader.make(data, None, 0)
  config = ml_collections.ConfigDict(dict(steps=0, epochs=1.0, data=data))
  with pytest.raises(UserError, match="epochs: .* while the batch grows"):
    loader.with_steps(config, None)
  # Therefore lengths in tokens are refused: see schedules.steps_of.
  assert program._per_step(data) == {}
