# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Batches that grow over the first steps of a training run."""

import grain
import numpy as np

from nomic_jax.storage.values import JsonObject


class Growing(grain.DatasetIterator):
  """Joins a growing number of batches of a chain, each as a micro-batch.

  Over the first `steps` batches the number grows from 1 to `parts`, and each
  number is used equally often. So a training run compiles its step `parts`
  times, once for each shape.
  """

  def __init__(self, chain: grain.DatasetIterator, parts: int, steps: int):
    """Takes a chain of batches [1, ...]; for `parts`, `steps` see the class."""
    super().__init__()
    self._chain, self._parts, self._steps = chain, parts, steps
    self._number = 0  # batches returned

  def __next__(self) -> dict[str, np.ndarray]:
    grown = self._number * (self._parts - 1) // self._steps
    parts = [next(self._chain) for _ in range(1 + min(grown, self._parts - 1))]
    self._number += 1
    return {k: np.concatenate([x[k] for x in parts]) for k in parts[0]}

  def get_state(self) -> JsonObject:
    """Returns the state of the chain and the number of batches."""
    return {"chain": self._chain.get_state(), "number": self._number}

  def set_state(self, state: JsonObject) -> None:
    """Sets a state from `get_state`."""
    self._chain.set_state(state["chain"])
    self._number = state["number"]
