# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Answers questions from a corpus, best documents first.

The vectors of the corpus are kept in an index directory, so only the first
question waits for them. The index records the weights and files it was made
from and is rebuilt when either changes.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import json
import os
import pathlib
import shutil
import sys
from typing import cast

import numpy as np

import nomic_jax
from nomic_jax.embed import quantize
from nomic_jax.embed import vectors
from nomic_jax.embed.model import Model
from nomic_jax.errors import UserError
from nomic_jax.search import bm25
from nomic_jax.search import corpus as corpus_lib
from nomic_jax.search import fusion
from nomic_jax.search import neighbours
from nomic_jax.storage import buckets
from nomic_jax.storage import decoding
from nomic_jax.storage import fingerprints
from nomic_jax.storage import places
from nomic_jax.storage import staging
from nomic_jax.storage import unicode_text
from nomic_jax.storage.files import replacing


@places.expanding("model", "corpus", "index")
def search(
  model: str,
  corpus: str,
  questions: Sequence[str] = (),
  top: int = 5,
  index: str | None = None,
  hybrid: str | None = None,
  as_json: bool = False,
  precision: str = "float32",
) -> None:
  """Prints the documents nearest to each question.

  The arguments are the flags of `nomic-jax search`, described in
  jobs/search.py.

  Raises:
    UserError: if the corpus is missing, empty or of an unknown kind, or `index`
      exists and is not a search index.
  """
  if top < 1:
    raise UserError(f"--top={top}: expected at least 1")
  local = staging.file_or_folder(
    corpus, lambda name: not name.startswith("tokens/")
  )
  if not pathlib.Path(local).exists():
    raise UserError(
      f"--corpus={corpus}: no such file or directory; expected a data "
      "directory, a BEIR folder, a folder of Markdown, .txt, .jsonl, .csv, "
      ".tsv or .parquet"
    )
  loaded = cast(Model, nomic_jax.load(model))  # by_cosine is only a Model's
  path = pathlib.Path(index) if index else _default_index(model, corpus)
  unit = loaded.by_cosine  # raises before the long work
  if precision == "int8" and not unit:
    raise UserError(
      "--precision=int8: keeps no lengths, but this model compares by dot "
      "product; leave it out"
    )
  # With JSON, standard output holds nothing else.
  with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):
    documents, shown = _indexed(
      loaded, pathlib.Path(local), path, bool(index), precision
    )
  nearest = neighbours.Index(documents, store=precision)
  words = None
  if hybrid:
    words = bm25.Bm25(list(_texts(pathlib.Path(local))), hybrid)
  interactive = not questions and sys.stdin.isatty()
  for question in questions or _questions():
    query = vectors.encode(loaded, [question], "search_query", normalize=unit)
    if words:
      depth = min(max(top, fusion.DEPTH), len(documents))
      scores, hits = fusion.reciprocal_rank(
        [nearest.search(query, depth)[1], words.search([question], depth)[1]],
        min(top, len(documents)),
      )
    else:
      scores, hits = nearest.search(query, min(top, len(documents)))
    found = [shown[i] for i in hits[0]]
    if as_json:
      listed = [
        {"score": float(score), "location": location, "title": title}
        for score, (location, title) in zip(scores[0], found)
      ]
      value = {"question": question, "hits": listed}
      print(json.dumps(value, ensure_ascii=False), flush=True)
      continue
    if not interactive:
      print(f"\n? {question}")
    lines = _lines(scores[0], found)
    print("\n".join(lines), flush=True)


def _default_index(model: str, corpus: str) -> pathlib.Path:
  """Returns MODEL.index/CORPUS-HASH, so that each corpus has its own index."""
  if buckets.is_remote(model):  # then in the current folder
    model = model.rstrip("/").rpartition("/")[2]
  home = pathlib.Path(model).resolve()
  if not buckets.is_remote(corpus):
    corpus = os.path.realpath(corpus)
  key = fingerprints.of_values(corpus)[:8]
  stem = pathlib.Path(corpus).stem
  return home.with_name(home.name + ".index") / f"{stem}-{key}"


def _cached(path: pathlib.Path) -> pathlib.Path:
  """Returns where to keep an index that cannot be written to `path`."""
  key = fingerprints.of_values(str(path))[:8]
  base = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
  return base.expanduser() / "nomic_jax" / "index" / f"{path.name}-{key}"


def _writable(path: pathlib.Path, given: bool) -> pathlib.Path | None:
  """Returns where the index can be written; None for nowhere.

  Raises:
    UserError: if the path was given and is not writable.
  """
  refusal = (
    f"--index={path}: exists and is not a search index; choose another path"
  )
  is_index = lambda path: (path / "index.json").is_file()
  try:
    places.check_folder(path, refusal, is_index)
    return path
  except UserError:
    if given:
      raise
  try:
    places.check_folder(_cached(path), refusal, is_index)
    return _cached(path)
  except UserError:
    return None


def _indexed(
  model: Model,
  corpus: pathlib.Path,
  path: pathlib.Path,
  given: bool,
  precision: str,
) -> tuple[neighbours.Vectors, list[tuple[str, str]]]:
  """Returns vectors [C, D] and (location, title) of C texts, from the index.

  Builds the index if it was not made from this model and these files. It is
  kept at `path` or, if `path` was not given by the user and is not writable, in
  the cache.
  """
  header = {
    "model": vectors.model_fingerprint(model),
    "corpus": fingerprints.of_stamps(fingerprints.stamps(corpus)),
  }
  if precision != "float32":  # earlier indexes do not name theirs
    header["precision"] = precision
  for folder in (path,) if given else (path, _cached(path)):
    found = _header(folder)
    if found == header:
      shown = json.loads((folder / "documents.json").read_text())
      stored = np.load(folder / "vectors.npy", mmap_mode="r")
      return quantize.Directions.of(stored), shown
    if found:
      changed = [
        key
        for key in sorted(header.keys() | found.keys())
        if found.get(key) != header.get(key)
      ]
      what = " and the ".join(changed)
      print(f"{folder}: rebuilding, since the {what} changed")
  output = _writable(path, given)
  texts = _texts(corpus)
  if not texts:
    raise UserError(f"--corpus={corpus}: contains no texts")
  embedded = quantize.quantize(
    vectors.encode(
      model,
      list(texts),
      "search_document",
      show_progress=True,
      normalize=model.by_cosine,
    ),
    precision,
  )
  documents = quantize.Directions.of(embedded)
  shown = [
    (location, unicode_text.title(text)) for text, location in texts.items()
  ]
  if output is None:
    print("the index is not saved; use --index=DIR to save it", file=sys.stderr)
    return documents, shown
  try:
    with replacing(output) as temporary:
      temporary.mkdir()
      np.save(temporary / "vectors.npy", embedded)
      (temporary / "documents.json").write_text(json.dumps(shown))
      (temporary / "index.json").write_text(json.dumps(header))
    print(f"saved the index of {len(embedded):,} texts in {output}")
  except UserError as e:  # answer even if the disk is full
    print(f"the index is not saved: {e}", file=sys.stderr)
  return documents, shown


def _texts(corpus: pathlib.Path) -> dict[str, str]:
  """Returns text -> location of a corpus; the first of equal texts."""
  texts = {}
  for text, location in corpus_lib.read(corpus):
    if not unicode_text.blank(text):
      texts.setdefault(text, location)
  return texts


def _header(path: pathlib.Path) -> dict:
  """Returns the header of an index; {} if there is none."""
  try:
    return json.loads((path / "index.json").read_text())
  except (OSError, ValueError):
    return {}


def _questions() -> Iterator[str]:
  """Yields questions from a terminal, or from standard input in UTF-8."""
  if not sys.stdin.isatty():
    for number, data in decoding.lines(sys.stdin.buffer):
      line = decoding.decode(
        data or b"", f"standard input, row {number}"
      ).strip()
      if not unicode_text.blank(line):
        yield line
    return
  while True:
    try:
      question = input("\n? ").strip()
    except EOFError:
      return
    if not question:
      return
    yield question


def _lines(
  scores: Sequence[float], hits: Sequence[tuple[str, str]]
) -> list[str]:
  """Returns a line per hit: score, location and title, up to 100 columns."""
  columns = min(max(shutil.get_terminal_size((100, 24)).columns, 60), 100)
  room = columns // 2 - 10
  locations = [_short(location, room) for location, _ in hits]
  width = max(map(len, locations))
  lines = []
  for score, location, (_, text) in zip(scores, locations, hits):
    line = f"  {score:5.3f}  {location:{width}}  {text}"
    lines.append(line if len(line) <= columns else line[: columns - 1] + "…")
  return lines


def _short(location: str, width: int) -> str:
  """Returns a path relative to the current folder, truncated at the front."""
  here = os.getcwd() + os.sep
  location = location.removeprefix(here)
  if len(location) <= width:
    return location
  tail = location[-(width - 1) :]
  return "…" + (tail[tail.index(os.sep) :] if os.sep in tail else tail)
