# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Implements `nomic-jax teach`: embeds a data directory with a teacher."""

from collections.abc import Mapping
import json
import os
import pathlib

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

  After an interruption, the same call resumes.

  The arguments are the flags of `nomic-jax teach`, described in jobs/teach.py.
  The model may also be an object, see `embedding_model.adapted`.

  Raises:
    UserError: if the model, data or split does not exist, or a vector is not
      finite.
  """
  places.check_local(output)
  places.check_folder(
    output,
    f"{output}: is a file; specify a folder as --output",
    lambda path: True,
  )
  source = dataset.open_split(input, split)
  model = embeddings.locate(model)
  arguments = {
    "job": "teach",
    "model": parts.identity(model),
    "input": parts.identity(input),
    "split": split,
    "dtype": dtype,
  }
  path_of_model, model = model, embeddings.load(model, dtype)
  if not model.by_cosine:
    raise UserError(
      "similarity_fn_name: this model compares by inner products, but a "
      "student learns the cosines of its teacher's vectors; expected 'cosine'"
    )
  for side, path in teacher.paths(output, split).items():
    record = path.with_suffix(".json")
    if path.is_file():
      if not record.is_file() or json.loads(record.read_text()) != arguments:
        raise UserError(
          f"{path}: already exists, made from another model or other data; "
          "choose another --output or remove it"
        )
      print(f"{path}: already complete, nothing to do")
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
    with files.replacing(record) as temporary:
      temporary.write_text(json.dumps(arguments))
    with files.replacing(path) as temporary:
      _join(vectors, temporary)
    done.remove()
    print(f"{path}: {vectors.shape[0]:,} vectors of width {vectors.shape[1]}")
  _record(
    pathlib.Path(output),
    split,
    arguments,
    len(source),
    {f"{split}: model": path_of_model, f"{split}: input": input},
  )


def _record(
  folder: pathlib.Path,
  split: str,
  arguments: dict,
  rows: int,
  inputs: dict[str, object],
) -> None:
  """Adds a split to the manifest of the folder."""
  recorded = manifest.read(folder) or {
    "arguments": {},
    "rows": {},
    "inputs": {},
  }
  if recorded["arguments"].get(split) == arguments:
    return
  values = manifest.of_data(
    recorded["arguments"] | {"job": "teach", split: arguments},
    recorded["rows"] | {split: rows},
    recorded["inputs"]
    | {name: manifest.of_input(location) for name, location in inputs.items()},
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
  """One column of the rows, with its prompts, read on demand."""

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
