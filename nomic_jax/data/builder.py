# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Writes data directories: the TFDS builder, and the files beside records."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sized
import contextlib
import functools
import io
import itertools
import json
import os
import pathlib
import re
import shutil
from typing import Any

from array_record.python import array_record_module
import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_builder

from nomic_jax.data import sources as sources_lib
from nomic_jax.data.records import encode
from nomic_jax.data.records import Row
from nomic_jax.errors import UserError
from nomic_jax.storage import decoding
from nomic_jax.storage import files
from nomic_jax.storage.progress import Progress

MANIFEST = "reproduce.json"
_SHARD = 128 << 20  # bytes of records in a file, before compression


def features() -> tfds.features.FeaturesDict:
  """Returns the TFDS features of a `Row`."""
  return tfds.features.FeaturesDict(
    {
      "query": tfds.features.Text(),
      "document": tfds.features.Text(),
      "negatives": tfds.features.Sequence(tfds.features.Text()),
      "source": tfds.features.Text(),
      "location": tfds.features.Text(),
      "score": np.float32,
      "negative_scores": tfds.features.Sequence(np.float32),
      "labels": tfds.features.Sequence(np.float32),
      "ids": tfds.features.Sequence(np.int64),
    }
  )


class Pairs(dataset_builder.FileReaderBuilder):
  """A TFDS builder that writes given rows in order.

  It writes each row to a record file at once: TFDS's GeneratorBasedBuilder
  holds up to 1 GB of a split's rows in memory, and needs TensorFlow beyond
  that. Rows are not shuffled, so they can be traced to their source; training
  shuffles by (seed, step).
  """

  name = "pairs"
  # No downloads, hence no checksums to look for beside this file (the search
  # needs importlib_resources, which TFDS 4.9 forgets to require).
  url_infos: dict = {}
  VERSION = tfds.core.Version("1.0.0")

  def __init__(
    self,
    *,
    splits: Mapping[str, Iterable[Row]],
    prompts: Mapping[str, dict[str, str]] | None = None,
    **kwargs: Any,
  ):
    """Takes rows by split, which are read once; prompts: see `Sources`."""
    self._rows = splits
    self.sources = sources_lib.Sources({}, dict(prompts or {}))
    super().__init__(file_format="array_record", **kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      description="Pairs of a query and a document, with hard negatives.",
      features=features(),
      disable_shuffling=True,
    )

  def _download_and_prepare(
    self, dl_manager: Any, download_config: Any = None
  ) -> None:
    self.info.set_splits(tfds.core.SplitDict(self._write_splits()))

  def _write_splits(self) -> list[tfds.core.SplitInfo]:
    return [self._write_split(*item) for item in self._rows.items()]

  def _write_split(self, name: str, rows: Iterable[Row]) -> tfds.core.SplitInfo:
    template = self._get_filename_template(split_name=name)
    note = self.sources.noting(name)
    lengths, total = [], 0
    temporary = lambda i: f"{template.filepath_prefix()}-{i}"
    with (  # The number of rows is not always known.
      Progress(len(rows), "rows", f"write {name}")
      if isinstance(rows, Sized)
      else contextlib.nullcontext()
    ) as progress:
      rows = iter(rows)
      for first in rows:
        with record_file(temporary(len(lengths))) as write:
          number = size = 0
          for each in itertools.chain([first], rows):
            number += 1
            record = encode(each)
            write(record)
            size += len(record)
            note(each["source"])
            if progress:
              progress.update()
            if size >= _SHARD:
              break
        lengths.append(number)
        total += size
    if not lengths:
      raise UserError(
        f"no rows for split '{name}'; expected at least one; the counts above "
        "show how many were dropped and why"
      )
    for i in range(len(lengths)):  # File names include the number of files.
      os.rename(
        temporary(i),
        template.sharded_filepath(shard_index=i, num_shards=len(lengths)),
      )
    return tfds.core.SplitInfo(
      name=name,
      shard_lengths=lengths,
      num_bytes=total,
      filename_template=template,
    )


@contextlib.contextmanager
def record_file(path: str | os.PathLike) -> Iterator[Callable[[bytes], None]]:
  """Yields a function that appends a record to the ArrayRecord file `path`."""
  # One record per group: training reads records in random order.
  writer = array_record_module.ArrayRecordWriter(
    os.fspath(path), "group_size:1"
  )
  try:
    yield writer.write
  finally:
    writer.close()


def write(
  output: str | os.PathLike,
  splits: Mapping[str, Iterable[Row]],
  *,
  stats: dict,
  tokenizer: pathlib.Path | None = None,
  prompts: Mapping[str, dict[str, str]] | None = None,
  others: Mapping[str, str | bytes | pathlib.Path] | None = None,
  manifest: Callable[[pathlib.Path], dict] | None = None,
) -> None:
  """Writes the data directory `output`, which appears when it is complete.

  Args:
    output: the directory; an existing one is replaced at the end.
    splits: rows by split name, read once and in order; may be generators.
    stats: contents of stats.json.
    tokenizer: a directory with tokenizer.json, copied to `output`/tokenizer.
    prompts: see `sources.Sources`.
    others: further files by name: text, bytes, or a file to copy.
    manifest: makes the contents of reproduce.json from the directory with all
      other files; see `nomic_jax.data.manifest`.

  Raises:
    UserError: if a split has no rows, or `output` cannot be written.
  """
  build = functools.partial(Pairs, splits=splits, prompts=prompts)
  with building(output, build) as folder:
    if tokenizer is not None:
      shutil.copytree(tokenizer, folder / "tokenizer")
    complete(folder, stats, others or {}, manifest)


@contextlib.contextmanager
def building(
  output: str | os.PathLike, builder: Callable[..., Pairs]
) -> Iterator[pathlib.Path]:
  """Yields a temporary directory with the rows; on exit, it becomes `output`.

  Args:
    output: an existing directory is replaced.
    builder: makes the TFDS builder, called with data_dir.

  Raises:
    UserError: see `write`.
  """
  decoding.check_name(output, "a data directory")
  with files.replacing(output) as folder:
    folder.mkdir()
    pairs = builder(data_dir=folder / "work")
    _build(pairs)
    for path in pathlib.Path(pairs.data_dir).iterdir():
      path.rename(folder / path.name)
    shutil.rmtree(folder / "work")
    (folder / sources_lib.FILE).write_text(
      pairs.sources.to_json() + "\n", encoding="utf-8"
    )
    yield folder


def complete(
  folder: pathlib.Path,
  stats: dict,
  others: Mapping[str, str | bytes | pathlib.Path],
  manifest: Callable[[pathlib.Path], dict] | None = None,
) -> None:
  """Adds stats.json and other files to a directory that is being built.

  The arguments are those of `write`.
  """
  text = json.dumps(stats, indent=2, sort_keys=True, ensure_ascii=False)
  for name, content in {"stats.json": text + "\n", **others}.items():
    if isinstance(content, pathlib.Path):
      content = content.read_bytes()
    elif isinstance(content, str):
      # An argument may be a file name that is not UTF-8: escape as JSON does.
      content = content.encode("utf-8", "backslashreplace")
    (folder / name).write_bytes(content)
  if manifest:
    (folder / MANIFEST).write_text(
      json.dumps(manifest(folder), indent=2, sort_keys=True) + "\n"
    )


def _build(builder: Pairs) -> None:
  """Runs the builder without network, progress bars or announcements.

  Raises:
    OSError: if the disk is full.
  """
  tfds.disable_progress_bar()
  config = tfds.download.DownloadConfig(
    try_download_gcs=False, compute_stats=tfds.download.ComputeStatsMode.SKIP
  )
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      builder.download_and_prepare(download_config=config)
  except RuntimeError as e:  # Raised by the C++ writer.
    reason = re.search(r"write\(\) failed: ([^;]+);", str(e))
    if reason is None:
      raise
    raise OSError(reason[1]) from e
