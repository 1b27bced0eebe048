# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Prepares the source of an adaptation and detects changed inputs."""

import pathlib

import tokenizers

from nomic_jax.adapting import given
from nomic_jax.adapting.folder import Folder
from nomic_jax.curate import dev
from nomic_jax.data import dataset
from nomic_jax.data import earlier
from nomic_jax.data import prepare as prepare_lib
from nomic_jax.data import splits
from nomic_jax.data.readers import queries as making
from nomic_jax.embed import vectors
from nomic_jax.hub import model_directory
from nomic_jax.storage import fingerprints as fingerprints_lib
from nomic_jax.storage.files import read_json
from nomic_jax.storage.values import JsonObject


def fingerprints(
  folder: Folder, files: model_directory.ModelFiles, words: tokenizers.Tokenizer
) -> dict[str, str]:
  """Returns hashes of the model and, if it is a data directory, the source.

  For any other source, `prepare` detects changes.
  """
  found = {
    "model": fingerprints_lib.of_values(
      vectors.params_fingerprint(files.params),
      str(files.architecture),
      files.usage.to_json(),
      words.to_str(),
    )
  }
  if given.is_prepared(folder.source):
    found["source"] = fingerprints_lib.of_content(folder.source)
  return found


def prepare(
  folder: Folder,
  tokenizer: pathlib.Path,
  held_out: float | None,
  reading: JsonObject,
) -> pathlib.Path:
  """Returns the data directory, with splits train and test."""
  source, data = pathlib.Path(folder.source), folder.path("data")
  if not given.is_prepared(folder.source):
    chosen = reading.keys() & {"queries", "kind"}

    def run() -> None:
      # Equal to what an interrupted run recorded as --queries.
      made = {"queries": _made_queries(data), "queries_if_none": making.KINDS}
      prepare_lib.prepare(
        folder.source,
        data,
        tokenizer=str(tokenizer),
        held_out=held_out,
        allow_unk=True,  # `checks` refuses these, with better advice
        **({} if chosen else made) | reading,
      )

    try:
      run()
    except earlier.Changed:
      folder.discard("--source has changed since these results were made")
      run()
    made = _made_queries(data)
    if made and not chosen:
      folder.note(
        f"the rows have no queries, so pairs are made ({', '.join(made)}); "
        "real queries give better models"
      )
    return data
  if "test" in dataset.splits(source):
    return source
  rows = len(dataset.open_split(source, "train"))
  share = splits.share_of(rows) if held_out is None else held_out
  dev.split(source, data, round(share * rows))
  return data


def _made_queries(data: pathlib.Path) -> list[str]:
  """Returns the kinds of queries that were made for a data directory."""
  stats = data / "stats.json"
  if not stats.is_file():
    return []
  return read_json(stats)["arguments"].get("queries", [])
