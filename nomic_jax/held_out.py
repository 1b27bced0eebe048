# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The loss on a split that is not trained on, while training goes on."""

import math
from typing import Any

import jax
import ml_collections
import tokenizers

from nomic_jax import partition
from nomic_jax.data import loader


class HeldOut:
  """Means over the same few batches whenever it is called.

  They are those of `config.data`, changed as `config.eval.data` says: another
  split, say, or for masked language modelling 15 % of the tokens. The loss is
  the one trained with, without dropout.
  """

  def __init__(
      self, config: ml_collections.ConfigDict,
      tokenizer: tokenizers.Tokenizer, run: Any,
  ):
    """Opens the data and traces the computation, which runs on being called.

    Args:
      config: of the training; `eval.batches` says how many batches.
      tokenizer: of the model.
      run: of train.setup.

    Raises:
      UserError: if the data is missing or does not fit.
    """
    fields = config.data.copy_and_resolve_references()
    with fields.unlocked():
      fields.update(config.eval.data)
    self._batches, self._run = config.eval.batches, run
    self._data = loader.make(fields, tokenizer, config.seed)
    self._first = self._data.get_state()
    jax.eval_shape(run.measure, run.state.params, self._next())

  def __call__(self, params: Any) -> dict[str, float]:
    """Returns eval/loss, the loss's other means, and eval/perplexity."""
    self._data.set_state(self._first)
    sums = self._run.measure(params, self._next())
    for _ in range(self._batches - 1):
      more = self._run.measure(params, self._next())
      sums = jax.tree.map(lambda a, b: a + b, sums, more)
    sums = jax.device_get(sums)
    weight = float(sums.pop("weight")) or 1.0
    means = {f"eval/{k}": float(v) / weight for k, v in sums.items()}
    if self._run.perplexity:
      # One of a model that has lost its way is no number any more.
      means["eval/perplexity"] = math.exp(min(means["eval/loss"], 700.0))
    return means

  def _next(self) -> dict[str, jax.Array]:
    sharding = partition.batch_sharding(self._run.mesh)
    return loader.to_devices(next(self._data), sharding)
