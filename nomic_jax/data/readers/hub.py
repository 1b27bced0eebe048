# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of a Hugging Face data set: hf:OWNER/NAME[:CONFIG][@SPLIT].

Rows are streamed, so neither the disk nor memory has to hold the data set.
"""

from collections.abc import Iterator

from nomic_jax.data.readers.reader import Asked
from nomic_jax.data.readers.reader import Part
from nomic_jax.errors import UserError
from nomic_jax.storage.bad import BadRows

SUFFIXES = ()


def known(path: str) -> bool:
  """Returns False: only the prefix hf: selects this format."""
  del path
  return False


def parts(paths: tuple[str, ...], asked: Asked) -> list[Part]:
  """Returns the data set as a part."""
  return [Part("hf", paths, asked.path, asked.columns, beside=None)]


def records(path: str, bad: BadRows) -> Iterator[tuple[int, dict]]:
  """Yields (row number from 1, columns); `path` is the part after hf:."""
  del bad  # The library yields whole rows or raises an error.
  import datasets.exceptions

  rest, _, split = path.partition("@")
  name, _, config = rest.partition(":")
  try:
    rows = datasets.load_dataset(
      name, config or None, split=split or "train", streaming=True
    )
    yield from enumerate(rows, 1)
  except (
    OSError,
    ValueError,
    RuntimeError,
    datasets.exceptions.DatasetsError,
  ) as e:
    raise UserError(
      f"hf:{path}: cannot be read ({' '.join(str(e).split()):.300}); "
      "expected hf:OWNER/NAME[:CONFIG][@SPLIT]"
    ) from e
