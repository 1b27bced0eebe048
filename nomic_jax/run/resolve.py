# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Fills in what a training config leaves to the model and the data."""

import os

import ml_collections

from nomic_jax.model.usage import Usage
from nomic_jax.run import objective
from nomic_jax.run import work_directory
from nomic_jax.run.start import OWN
from nomic_jax.run.start import Start

# The paper's rate to train an encoder contrastively, with a batch of 16,384; a
# higher one can harm a trained model.
_HIGHEST_RATE = 2e-4


def resolve(
  config: ml_collections.ConfigDict, start: Start
) -> tuple[ml_collections.ConfigDict, Usage]:
  """Fills in what the config leaves to the model.

  Where a config has None for a prompt, for an evaluator's lengths, or for what
  the data says about its labels, that of the model or the data is used, so
  training, evaluation and the exported model agree.

  Returns:
    The config, and the usage of the trained model.
  """
  config = config.copy_and_resolve_references()
  usage = start.usage
  if config.data.kind == "labels" or objective.predicts_labels(config):
    usage = objective.with_classes(config, usage)
  similarity = objective.similarity(config, start.architecture)
  with config.unlocked():
    # What a loss compares is embedded with the prompts of the config, if any.
    sides = ("", "") if similarity else None
    if "query_prompt" in config.data:
      for side in ("query", "document"):
        if config.data[f"{side}_prompt"] is None:
          config.data[f"{side}_prompt"] = usage.prompt(side)
      sides = config.data.query_prompt, config.data.document_prompt
    if sides is not None:
      fresh = start.params is None and usage == work_directory.fresh_usage()
      usage = (
        work_directory.fresh_usage(*sides)
        if fresh
        else usage.with_prompts(*sides)
      )
    if similarity:
      usage = usage.compared_by(similarity)
    own = {
      **{
        f"{side}_prompt": usage.prompt(side) for side in ("query", "document")
      },
      **{
        f"{side}_length": usage.max_tokens or start.architecture.max_length
        for side in ("query", "document")
      },
    }
    for options in config.evaluators.values():
      for name, value in own.items():
        if name in options and options[name] is None:
          options[name] = value
      if "similarity" not in options:
        options.similarity = usage.similarity
  return config, usage


def describe(config: ml_collections.ConfigDict, start: Start) -> str:
  """Returns a line on what is kept of a loaded model and what is changed."""
  _, usage = resolve(config, start)
  prompts = (
    ", ".join(
      f"{side} prompt {usage.prompt(side)!r}" for side in ("query", "document")
    )
    if any(usage.prompt(side) for side in ("query", "document"))
    else "no prompts"
  )
  a, changed = start.architecture, []
  for name in OWN:
    value = config.encoder.get(name)
    if value is not None:
      changed.append(f"config.encoder.{name}={value}")
  for side in ("query", "document"):
    chosen = config.data.get(f"{side}_prompt")
    if chosen is not None and chosen != start.usage.prompt(side):
      changed.append(
        f"config.data.{side}_prompt={chosen!r} instead of "
        f"{start.usage.prompt(side)!r}"
      )
  if usage.similarity != start.usage.similarity:
    changed.append(
      f"similarity {usage.similarity}, which this loss uses, instead of "
      f"{start.usage.similarity}"
    )
  if usage.normalize != start.usage.normalize:
    changed.append("vectors keep their length")
  return (
    f"{config.init_from}: pooling {a.head.pooling}"
    + (", pooled norm" if a.head.pooled_norm else "")
    + (f", projection to {a.head.projection}" if a.head.projection else "")
    + f", {prompts}, at most {usage.max_tokens or a.max_length} tokens"
    + (
      f"; from the config: {', '.join(changed)}"
      if changed
      else "; all the model's own"
    )
    + _warning(config)
  )


def _warning(config: ml_collections.ConfigDict) -> str:
  """Returns a warning of a learning rate for fresh weights, or ""."""
  rate = config.optimizer.learning_rate
  own = os.path.isdir(os.path.join(config.init_from, "checkpoints"))
  if rate <= _HIGHEST_RATE or config.loss.name == "mlm" or own:
    return ""
  return (
    f"\nwarning: a learning rate of {rate:g} is for fresh weights and harms a "
    "trained model; --config.optimizer.learning_rate=2e-5 is usual"
  )
