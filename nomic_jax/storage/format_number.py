# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The format of data, work and model directories, as a number.

The reproduce.json of a directory records the format that it was written in.
This version reads that format and all earlier ones, and refuses a later one
before it reads anything else, since its files may have another meaning.
Directories without a number are read: those of 0.1.0 and of other programs.
"""

import json

from nomic_jax.errors import UserError
from nomic_jax.storage import buckets
from nomic_jax.storage.values import Place

# Raise this with a change that earlier versions would read wrongly, but not for
# one that they ignore or refuse by name, such as a new key.
FORMAT = 1
KEY = "format"
FILE = "reproduce.json"


def check(directory: Place) -> None:
  """Refuses a directory whose format is later than this version's.

  Args:
    directory: to check.

  Raises:
    UserError: naming both formats and the version that wrote the directory.
  """
  try:
    text = buckets.retry((directory / FILE).read_text)
    values = json.loads(text)
  except (OSError, ValueError, RecursionError):  # none, or nothing to learn
    return
  found = values.get(KEY, FORMAT) if isinstance(values, dict) else FORMAT
  if isinstance(found, int) and found <= FORMAT:
    return
  code = values.get("code")
  writer = code.get("nomic_jax") if isinstance(code, dict) else None
  raise UserError(
    f"{directory}: written in format {found!r}"
    + (f" by nomic_jax {writer}" if writer else "")
    + f"; this version reads formats up to {FORMAT}; install "
    + (f"nomic_jax {writer} or later" if writer else "a later nomic_jax")
  )
