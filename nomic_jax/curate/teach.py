# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The job behind `nomic-jax teach`: a model's vectors of a data directory."""

from collections.abc import Mapping
import json
import os
import pathlib
from typing import Any

import numpy as np

from nomic_jax.curate import groups
from nomic_jax.curate import parts
from nomic_jax.data import dataset
from nomic_jax.data import manifest
from nomic_jax.data import teacher
from nomic_jax.embed import store as embeddings
from nomic_jax.errors import UserError
from nomic_jax.storage import files
from nomic_jax.storage import places


@places.expanding("model", "input", "output")
def teach(
  model: embeddings.Given,
  input: str | os.PathLike,
  output: str | os.PathLike,
  split: str = "train",
  dtype: str = "float32",
) -> None:
  """Embeds every query and document of a split, for losses.distill.

  Killed half way, the same call goes on where it was.

  Arguments are the flags of `nomic-jax teach`, described in jobs/teach.py. The
  model may also be an object, see `embedding_model.adapted`.

  Raises:
    UserError: if model, data or split is not there, or a vector not finite.
  """
  places.check_folder(
    output,
    f"{output}: a file stands there; give a folder as --output",
    lambda path: True,
  )
  source = dataset.open_split(input, split)
  model = embeddings.place(model)
  arguments = {
    "job": "teach",
    "model": parts.identity(model),
    "input": parts.identity(input),
    "split": split,
    "dtype": dtype,
  }
  place, model = model, embeddings.load(model, dtype)
  if not model.by_cosine:
    raise UserError(
      "similarity_fn_name: this model compares by inner products, and a "
      "student learns the cosines of its teacher's vectors; expected "
      "'cosine'"
    )
  for side, path in teacher.paths(output, split).items():
    told = path.with_suffix(".json")
    if path.is_file():
      if not told.is_file() or json.loads(told.read_text()) != arguments:
        raise UserError(
          f"{path}: there already, and of another model or data; choose "
          "another --output or remove it"
        )
      print(f"{path}: already complete, left as it is")
      continue
    done = parts.Parts(path, arguments)
    texts = _Column(source, side, model.prompts)
    embeddings.embed(
      model,
      texts,
      "",
      done.path("vectors"),
      label=f"{side} embeddings",
      where=lambda i, side=side: f"{input}, split {split}, row {i}, {side}",
    )
    vectors = embeddings.Store(done.path("vectors"), len(texts))
    with files.replacing(told) as temporary:
      temporary.write_text(json.dumps(arguments))
    with files.replacing(path) as temporary:
      _join(vectors, temporary)
    done.remove()
    print(f"{path}: {vectors.shape[0]:,} vectors of {vectors.shape[1]}")
  _tell(
    pathlib.Path(output),
    split,
    arguments,
    len(source),
    {f"{split}: model": place, f"{split}: input": input},
  )


def _tell(
  folder: pathlib.Path,
  split: str,
  arguments: dict,
  rows: int,
  inputs: dict[str, Any],
) -> None:
  """Adds a split to the manifest of the folder."""
  told = manifest.read(folder) or {"arguments": {}, "rows": {}, "inputs": {}}
  if told["arguments"].get(split) == arguments:
    return
  values = manifest.of_data(
    told["arguments"] | {"job": "teach", split: arguments},
    told["rows"] | {split: rows},
    told["inputs"]
    | {name: manifest.of_input(place) for name, place in inputs.items()},
    folder,
    devices=True,
  )
  with files.replacing(folder / manifest.FILE) as temporary:
    temporary.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def _join(vectors: embeddings.Store, path, step: int = 65536) -> None:
  whole = np.lib.format.open_memmap(path, "w+", np.float32, vectors.shape)
  for i in range(0, len(vectors), step):
    whole[i : i + step] = vectors[i : i + step]
  whole.flush()


class _Column:
  """One column of the rows, with its prompts, read when it is asked for."""

  def __init__(
    self, source: dataset.Source, name: str, known: Mapping[str, str]
  ):
    self._source, self._name = source, name
    self._prompt = {
      of: groups.prompts_of(own, known)._asdict()[name]
      for of, own in source.prompts.items()
    }
    self._default = groups.prompts_of({}, known)._asdict()[name]

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, at: slice) -> list[str]:
    rows = self._source.__getitems__(range(*at.indices(len(self))))
    return [
      self._prompt.get(row["source"], self._default) + row[self._name]
      for row in rows
    ]
