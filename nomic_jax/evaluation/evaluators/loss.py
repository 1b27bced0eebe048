# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The loss on a held-out split."""

from collections.abc import Callable
from collections.abc import Iterator
import math

import jax

from nomic_jax import step as step_lib
from nomic_jax.data import loader
from nomic_jax.evaluation.evaluators.evaluator import Evaluator
from nomic_jax.losses.loss import Params
from nomic_jax.mesh import partition


class HeldOutLoss(Evaluator):
  """Means over the same batches at each call.

  For pairs and labels, each row of the split is used once, or the rows of the
  first batches; a split may be smaller than a batch (see `loader.held_out`).

  The data is `config.data` with the overrides in the options' `data`, such as
  another split or, for masked language modelling, 15 % masked tokens. The loss
  is that of the training run, without dropout.

  Options: `data`; `batches`, the largest number of batches.
  """

  def open(self) -> None:
    """Opens the data and traces the loss."""
    run, fields = self.run, self.config.data.copy_and_resolve_references()
    with fields.unlocked():
      fields.update(self.options.data)
    self._sharding = partition.batch_sharding(run.mesh)
    self._data = loader.held_out(
      fields, self.tokenizer, self.config.seed, self.options.batches
    )
    self._measure = run.on_mesh(step_lib.make_measure(run.loss))
    sums = jax.eval_shape(
      self._measure, run.state.params, next(self._batches())
    )
    self._perplexity = run.loss.perplexity
    self.metrics = [name for name in sums if name != "weight"] + (
      ["perplexity"] if self._perplexity else []
    )

  def measure(
    self, params: Params, check: Callable[[], None]
  ) -> dict[str, float]:
    """Returns the loss, its other metrics, and perplexity where it applies."""
    sums = None
    for batch in self._batches():
      check()
      more = self._measure(params, batch)
      sums = (
        more if sums is None else jax.tree.map(lambda a, b: a + b, sums, more)
      )
    sums = jax.device_get(sums)
    weight = float(sums.pop("weight")) or 1.0
    means = {k: float(v) / weight for k, v in sums.items()}
    if self._perplexity:
      # Prevents overflow for a model that has diverged.
      means["perplexity"] = math.exp(min(means["loss"], 700.0))
    return means

  def _batches(self) -> Iterator[dict[str, jax.Array]]:
    for batch in self._data():
      yield loader.to_devices(batch, self._sharding)
