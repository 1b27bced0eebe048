# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A NaN in a training is reported, and skipped as often as allowed."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import small_data

from nomic_jax import losses
from nomic_jax import training
from nomic_jax.cli import config_flags
from nomic_jax.data import loader
from nomic_jax.errors import UserError
from nomic_jax.losses.loss import Loss
from nomic_jax.run import checkpoint
from nomic_jax.run import metrics
from nomic_jax.text import tokenizer

pytestmark = pytest.mark.slow

BAD = (3, 5)  # steps
FLAGS = (
  "steps=6",
  "checkpoint.every=2",
  "loss.chunk_tokens=0",
  "data.batch_size=8",
  "data.rows_multiple=16",
)


class _Poisoned(Loss):
  """A loss that is NaN on batches of certain sums of ids."""

  similarity = "cosine"

  def __init__(self, loss, sums):
    self._loss, self._sums = loss, sums

  def init(self, rng):
    return self._loss.init(rng)

  def __call__(self, params, batch, rng):
    total, *others = self._loss(params, batch, rng)
    bad = jnp.isin(batch["inputs"]["ids"].sum(), jnp.array(self._sums))
    kernel = params["encoder"]["layers"]["out"]["kernel"]
    return total + jnp.where(bad, jnp.nan, 0.0) * kernel.sum(), *others


@pytest.fixture(name="run", scope="module")
def _run(tmp_path_factory):
  """Returns a function that trains with a NaN in steps BAD.

  It returns the work directory and the error.
  """
  place = tmp_path_factory.mktemp("not_finite")
  data = small_data.make(place)

  def run(skip):
    workdir = place / f"skip{skip}"
    _, *arguments = small_data.train(
      "contrastive", data, workdir, *FLAGS, f"skip_nonfinite={skip}"
    )
    config = config_flags.load(
      [a for a in arguments if a.startswith("--config")]
    )
    batches = loader.make(
      config.data, tokenizer.load(data / "tokenizer"), config.seed
    )
    sums = [int(b["ids"].sum()) for b in itertools.islice(batches, 6)]
    assert len(set(sums)) == 6
    make = losses.make
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(
        losses,
        "make",
        lambda *a: _Poisoned(make(*a), [sums[step - 1] for step in BAD]),
      )
      try:
        training.train(config, workdir)
      except UserError as e:
        return workdir, str(e)
    return workdir, ""

  return run


def test_it_stops_and_names_step_source_and_group(run):
  workdir, message = run(0)
  assert message.startswith("step 3: loss is nan on a batch of pairs, ")
  assert "not finite in encoder/layers/out;" in message  # and no other
  assert checkpoint.latest_step(workdir) == 2
  kept = checkpoint.restore_params(workdir)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(kept))


def test_as_many_steps_as_allowed_are_skipped(run):
  workdir, message = run(2)
  assert not message and checkpoint.latest_step(workdir) == 6
  rows = metrics.read(workdir / "metrics.jsonl")
  assert [(r["step"], r["skipped"]) for r in rows] == [
    (1, 0),
    (2, 0),
    (4, 1),
    (6, 2),
  ]
  assert all(np.isfinite(r["loss"]) for r in rows)


def test_one_more_than_allowed_is_an_error(tmp_path):
  file = metrics.MetricsFile(tmp_path / "metrics.jsonl", 0)
  log = metrics.StepLog(file, lambda step: 1.0, 1, skip_at_most=1)
  result = {
    "loss": 1.0,
    "gradient_norm": float("inf"),
    "group_norms": {"a": 1.0, "b": float("inf")},
  }
  log.add(1, result | {"skipped": 1}, (1, 1), 0.0, "here")
  with pytest.raises(
    UserError,
    match="step 2: gradient_norm is inf on a "
    "batch of here, with gradients not finite in b; the last",
  ):
    log.add(2, result | {"skipped": 2}, (1, 1), 0.0, "here")
