# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""nomic_jax: train your own long-context text embedding model, in JAX.

Dimensions in array shapes, everywhere: B rows, S tokens in a row, K texts in a
row, D width, H heads, d width of a head, L layers, V vocabulary, F width of the
MLP, Q queries, C candidates, A micro-batches.
"""

import importlib
import pkgutil
from typing import Any

__version__ = "0.1.0"


def load(
  path: str, dtype: str = "float32", pooled_norm: bool = False, **other: Any
):
  """Opens a model directory or a work directory.

  Args:
    path: the directory, or a Hub name.
    dtype: the dtype of activations and matmuls; "bfloat16" is about twice as
      fast, and changes vectors by about 1e-2.
    pooled_norm: whether to apply a LayerNorm to the pooled vector although the
      files specify none: nomic-embed-text-v1.5 as published needs it below 768
      dimensions.
    **other: raises an error with what to do here instead of an argument of
      SentenceTransformer, such as device.

  Returns:
    A `nomic_jax.embed.model.Model`, which has `encode`, or for a classifier a
    `nomic_jax.embed.classifier.Classifier`, which has `predict`.

  Raises:
    nomic_jax.errors.UserError: naming what is missing or does not fit.
  """
  # Imports JAX only when needed.
  from nomic_jax.embed import aliases
  from nomic_jax.embed import classifier

  aliases.check_loading(other)
  return classifier.load(path, dtype, pooled_norm)


def config(path: str, *overrides: str):
  """Reads a config to change and to pass to `train`, `sweep` or `compile`.

  Args:
    path: "FILE.py" or "FILE.py:ARG", such as "configs/mlm.py:quickstart".
    *overrides: what follows --config. on the command line, such as "steps=10".

  Returns:
    An `ml_collections.ConfigDict`.

  Raises:
    nomic_jax.errors.UserError: for a missing file, an unknown key or ARG, or a
      value of the wrong type.
  """
  import ml_collections

  from nomic_jax.cli import config_flags

  flags = [f"--config={path}", *(f"--config.{o}" for o in overrides)]
  return ml_collections.ConfigDict(config_flags.load(flags))


def __getattr__(name: str) -> Any:
  """Returns a command as a function, such as `nomic_jax.train`.

  Commands are imported on first use, since they import JAX. Those with the name
  of a module (embed, search, report, sweep) are not available as functions.
  """
  if name in _functions():
    return importlib.import_module("nomic_jax.jobs").function(name)
  raise AttributeError(f"module 'nomic_jax' has no attribute '{name}'")


def __dir__() -> list[str]:
  return sorted([*globals(), *_functions()])


def _functions() -> list[str]:
  names = importlib.import_module("nomic_jax.jobs").NAMES
  modules = {module.name for module in pkgutil.iter_modules(__path__)}
  return [name for name in names if name not in modules]
