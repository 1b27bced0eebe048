# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Reads a model from a model directory, the Hub or a training run."""

import dataclasses
import os
import pathlib

import jax
import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.hub import fetch
from nomic_jax.hub import matryoshka
from nomic_jax.hub import model_directory
from nomic_jax.hub import tokenizer
from nomic_jax.hub.model_directory import ModelFiles
from nomic_jax.model import trees as trees_lib
from nomic_jax.run import checkpoint
from nomic_jax.run import work_directory


def read_model(path: str | os.PathLike) -> ModelFiles:
  """Reads a model directory, a training work directory or a Hub model.

  Args:
    path: a directory, or the checkpoints/STEP of a work directory; or a Hub
      name such as nomic-ai/nomic-embed-text-v1.5 or bert-base-uncased, which is
      downloaded into huggingface_hub's cache (HF_HOME) or, with
      HF_HUB_OFFLINE=1, only looked up there.

  Raises:
    UserError: naming the file, key or tensor that is wrong.
  """
  directory = fetch.find(path)
  workdir = matryoshka.training_of(directory)
  if (directory / "checkpoints").is_dir():
    model = _of_training(directory)
  elif workdir != directory:
    model = _of_training(pathlib.Path(workdir), int(directory.name))
  else:
    model = model_directory.read_model(directory)
  _check_finite(model, directory)
  return model


def _check_finite(model: ModelFiles, directory: pathlib.Path) -> None:
  """Raises UserError for weights that hold NaN or infinity.

  Every vector of such a model may be NaN. Jobs would notice this only after
  their work, or write the vectors.
  """
  trees = (model.params, model.mlm_head, model.classification_head)
  for place, leaf in jax.tree_util.tree_leaves_with_path(trees):
    if not np.isfinite(leaf).all():
      name = "/".join(str(key.key) for key in place[1:])
      raise UserError(
        f"{directory}: the weights {name} hold NaN or infinity, so its vectors "
        "would too; copy the model again, or export an earlier checkpoint"
      )


def _of_training(
  directory: pathlib.Path, step: int | None = None
) -> ModelFiles:
  """Returns the model of a work directory; default: its latest checkpoint."""
  a = work_directory.read_architecture(directory)
  saved = checkpoint.restore_params(directory, step)
  trees = {name: saved[name] for name in trees_lib.TREES if name in saved}
  trees_lib.arrays(a, trees, str(directory))  # raises if something does not fit
  usage = work_directory.read_usage(directory)
  head = trees.get("classification_head")
  return ModelFiles(
    a,
    trees["encoder"],
    trees.get("mlm_head"),
    tokenizer.find(directory / "tokenizer"),
    dataclasses.replace(
      usage, max_tokens=min(usage.max_tokens or a.max_length, a.max_length)
    ),
    head,
    "a classifier" if head is not None else "",
  )
