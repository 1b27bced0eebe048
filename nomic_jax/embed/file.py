# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Embeds a file of texts into a file of vectors.

Neither file has to fit in memory. Vectors are written to .OUTPUT.partial/ as
they are computed, with a record of how many are valid. If the job is killed,
the same command resumes there. For an output in a bucket, this directory is in
the current directory.
"""

from collections.abc import Iterator
import json
import os
import pathlib
import shutil
import sys
from typing import cast

import numpy as np

import nomic_jax
from nomic_jax.embed import finite
from nomic_jax.embed import quantize
from nomic_jax.embed.model import Model
from nomic_jax.embed.vectors import model_fingerprint
from nomic_jax.errors import Stopped
from nomic_jax.errors import UserError
from nomic_jax.storage import buckets
from nomic_jax.storage import formats
from nomic_jax.storage import places
from nomic_jax.storage import staging
from nomic_jax.storage import streams
from nomic_jax.storage.files import replacing
from nomic_jax.storage.progress import Progress
from nomic_jax.storage.values import JsonObject

_OUTPUTS = (".npy", ".parquet")
_VECTORS = "embedding"  # their column in parquet
_GROUP = 16384  # rows per parquet row group


@places.expanding("model", "input", "output")
def embed_file(
  model: str,
  input: str,
  output: str,
  *,
  column: str = "text",
  prompt: str | None = None,
  dim: int | None = None,
  normalize: bool | None = None,
  precision: str = "float32",
  dtype: str = "float32",
  pooled_norm: bool = False,
) -> None:
  """Embeds every text of a file, resuming an interrupted run.

  The arguments are the flags of `nomic-jax embed`, described in jobs/embed.py.

  Raises:
    UserError: for malformed input, naming the file and row, or a partial output
      of another command.
  """
  input, output = os.fspath(input), os.fspath(output)
  if not output.endswith(_OUTPUTS):
    raise UserError(
      f"--output={output}: expected a name that ends in {' or '.join(_OUTPUTS)}"
    )
  if output.endswith(".parquet") and column == _VECTORS:
    raise UserError(
      f"--column={column}: in a .parquet this is the column of the vectors; "
      "rename the column, or write .npy"
    )
  places.check_file(output)
  places.check_apart(output, input)
  source = staging.file_or_folder(input)
  # Reading everything first reports errors before the long work.
  total = sum(1 for _ in formats.texts(source, column))
  if not total:
    raise UserError(f"{source}: contains no texts")
  # A classifier raises when asked for what only a Model has.
  loaded = cast(Model, nomic_jax.load(model, dtype, pooled_norm))
  if normalize is None:
    normalize = loaded.normalize
  options = {
    "prompt": prompt,
    "dim": dim,
    "normalize": normalize,
    "precision": precision,
  }
  rest = formats.texts(source, column)
  stream = loaded.encode_stream(rest, **options)  # checks its arguments
  width = dim or loaded.width
  remote = buckets.is_remote(input)
  partial = _Partial(
    output,
    total,
    quantize.stored_as(precision, width),
    {
      "--model": model_fingerprint(loaded),
      "--input": input if remote else str(places.real(input)),
      "the size and time of --input": streams.stamp(input)[1:],
      "--column": column,
      "--dtype": dtype,
      **{f"--{name}": value for name, value in options.items()},
    },
  )
  for _ in zip(range(partial.done), rest):
    pass
  with Progress(total, "texts", "embedding", start=partial.done) as progress:
    for part in stream:
      if len(part.broken):
        raise UserError(
          f"{source}: the embedding of text "
          f"{partial.done + part.broken[0] + 1} is not finite (NaN or "
          "infinity), and no output was written; "
          f"{finite.about(loaded.params)}"
        )
      partial.add(part.vectors, part.cut)
      progress.update(len(part.vectors))
  if partial.cut:
    print(loaded.cut_message(partial.cut, total), file=sys.stderr)
  partial.finish(formats.texts(source, column), column)
  print(f"{output}: {total:,} vectors of width {width}")


class _Partial:
  """The vectors computed so far, in files.

  Attributes:
    done: number of vectors.
    cut: number of truncated texts among them.
  """

  def __init__(
    self,
    output: str,
    total: int,
    stored_as: tuple[np.dtype, int],
    command: JsonObject,
  ):
    self._output, self._command = output, command
    remote = buckets.is_remote(output)
    target = places.real(streams.name(output) if remote else output)
    if remote:
      command["--output"] = output
    self._folder = target.with_name(f".{target.name}.partial")
    self._vectors = self._folder / "vectors.npy"
    self._mark = self._folder / "done.json"
    self.done = self.cut = 0
    if self._mark.is_file():
      self._resume()
      return
    try:
      self._folder.mkdir(parents=True, exist_ok=True)
      dtype, columns = stored_as
      np.lib.format.open_memmap(self._vectors, "w+", dtype, (total, columns))
    except OSError as e:
      raise UserError(
        f"cannot write {self._folder}: {e.strerror or e}; free some space or "
        "choose another --output"
      ) from e
    self._write_mark()

  def add(self, vectors: np.ndarray, cut: int) -> None:
    """Saves the vectors of the next texts; a kill does not lose them."""
    # Mapped again each time, so that written pages do not stay in memory.
    store = np.load(self._vectors, mmap_mode="r+")
    store[self.done : self.done + len(vectors)] = vectors
    store.flush()
    self.done += len(vectors)
    self.cut += cut
    self._write_mark()

  def finish(self, texts: Iterator[str], column: str) -> None:
    """Writes the output and removes the partial folder."""
    if self._output.endswith(".parquet"):
      with replacing(self._output) as temporary:
        vectors = np.load(self._vectors, mmap_mode="r")
        _write_parquet(temporary, texts, column, vectors)
    elif buckets.is_remote(self._output):
      with buckets.errors(self._output, unreachable=Stopped):
        buckets.upload(self._vectors, self._output)
    elif self._vectors.exists():  # if not, an earlier run has renamed it
      self._vectors.replace(places.real(self._output))
    shutil.rmtree(self._folder)

  def _resume(self) -> None:
    state = json.loads(self._mark.read_text())
    changed = [
      name
      for name, value in self._command.items()
      if state["command"].get(name) != value
    ]
    if changed:
      raise UserError(
        f"{self._folder}: was started with different {', '.join(changed)}; run "
        "that command again, or remove the folder to start over"
      )
    self.done, self.cut = state["done"], state["cut"]

  def _write_mark(self) -> None:
    state = {"command": self._command, "done": self.done, "cut": self.cut}
    with replacing(self._mark) as temporary:
      temporary.write_text(json.dumps(state))


def _write_parquet(
  path: pathlib.Path, texts: Iterator[str], column: str, vectors: np.ndarray
) -> None:
  import pyarrow as pa
  from pyarrow import parquet

  element = pa.from_numpy_dtype(vectors.dtype)
  schema = pa.schema(
    {column: pa.string(), _VECTORS: pa.list_(element, vectors.shape[1])}
  )
  # Opened here because the name may not be UTF-8.
  with (
    path.open("wb") as stream,
    parquet.ParquetWriter(stream, schema) as writer,
  ):
    for start in range(0, len(vectors), _GROUP):
      part = np.array(vectors[start : start + _GROUP])
      rows = [text for _, text in zip(range(len(part)), texts)]
      embedding = pa.FixedSizeListArray.from_arrays(
        pa.array(part.reshape(-1)), part.shape[1]
      )
      writer.write_table(
        pa.table([pa.array(rows, pa.string()), embedding], schema)
      )
