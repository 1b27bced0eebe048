# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The job behind `nomic-jax teach`: a model's vectors of a data directory."""

import functools
import os
import pathlib
from typing import Any

from nomic_jax.curate import embeddings
from nomic_jax.data import dataset
from nomic_jax.data import teacher


def teach(
    model: Any, input: str | os.PathLike, output: str | os.PathLike,
    split: str = "train",
) -> None:
  """Embeds every query and document of a split, for losses.distill.

  Killed half way, the same call goes on where it was.

  Args:
    model: the teacher: a model or work directory, or a loaded model.
    input: data directory.
    output: folder for SPLIT-query.npy and SPLIT-document.npy, float32 [N, D].
    split: of the data directory.

  Raises:
    UserError: if model, data or split is not there, or a vector not finite.
  """
  source = dataset.open_split(input, split)
  loaded = functools.cache(lambda: embeddings.load(model))
  prompts = loaded().prompts
  pathlib.Path(output).mkdir(parents=True, exist_ok=True)
  for side, path in teacher.paths(output, split).items():
    prompt = f"search_{side}"
    vectors = embeddings.embed(
        loaded, _Column(source, side), prompt if prompt in prompts else None,
        path, label=f"{side} embeddings",
        where=lambda i, side=side: f"{input}, split {split}, row {i}, {side}",
    )
    print(f"{path}: {vectors.shape[0]:,} vectors of {vectors.shape[1]}")


class _Column:
  """One column of the rows, read when it is asked for."""

  def __init__(self, source: dataset.Source, name: str):
    self._source, self._name = source, name

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, at: slice) -> list[str]:
    return [
        self._source[i][self._name] for i in range(*at.indices(len(self)))]
