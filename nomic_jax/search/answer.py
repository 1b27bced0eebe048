# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Answers questions from a corpus, the best documents first.

The corpus's vectors are kept in an index directory, so that only the first
question waits for them. The index knows which weights and which files it was
made from and is made again when either changes.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import json
import os
import pathlib
import shutil
import sys

import numpy as np

import nomic_jax
from nomic_jax.embed import vectors
from nomic_jax.embed.model import Model
from nomic_jax.errors import UserError
from nomic_jax.search import corpus as corpus_lib
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
) -> None:
  """Prints the documents nearest to each question.

  Arguments are the flags of `nomic-jax search`, described in jobs/search.py.

  Raises:
    UserError: if the corpus is missing, empty or of another kind, or `index`
      is a directory of something else.
  """
  if top < 1:
    raise UserError(f"--top={top}: expected at least 1")
  here = staging.file_or_folder(
    corpus, lambda name: not name.startswith("tokens/")
  )
  if not pathlib.Path(here).exists():
    raise UserError(
      f"--corpus={corpus}: no such file or directory; expected a data "
      "directory, .jsonl, .jsonl.gz or .txt"
    )
  loaded = nomic_jax.load(model)
  place = pathlib.Path(index) if index else _default_index(model, corpus)
  unit = loaded.by_cosine  # or an error, before the long work
  documents, shown = _indexed(loaded, pathlib.Path(here), place, bool(index))
  nearest = neighbours.Index(documents)
  typed = not questions and sys.stdin.isatty()
  for question in questions or _asked():
    query = vectors.encode(loaded, [question], "search_query", normalize=unit)
    scores, hits = nearest.search(query, min(top, len(documents)))
    if not typed:
      print(f"\n? {question}")
    lines = _lines(scores[0], [shown[i] for i in hits[0]])
    print("\n".join(lines), flush=True)


def _default_index(model: str, corpus: str) -> pathlib.Path:
  """Returns MODEL.index/CORPUS-HASH: one model may know several corpora."""
  if buckets.is_remote(model):  # here, by the model's name
    model = model.rstrip("/").rpartition("/")[2]
  home = pathlib.Path(model).resolve()
  if not buckets.is_remote(corpus):
    corpus = os.path.realpath(corpus)
  key = fingerprints.of_values(corpus)[:8]
  stem = pathlib.Path(corpus).stem
  return home.with_name(home.name + ".index") / f"{stem}-{key}"


def _cached(place: pathlib.Path) -> pathlib.Path:
  """Where an index is kept that cannot be kept at `place`."""
  key = fingerprints.of_values(str(place))[:8]
  base = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
  return base.expanduser() / "nomic_jax" / "index" / f"{place.name}-{key}"


def _place(place: pathlib.Path, given: bool) -> pathlib.Path | None:
  """Returns where an index can be written; None: nowhere.

  Raises:
    UserError: if that is not the place that was given.
  """
  refusal = (
    f"--index={place}: there already, and not a search index; choose "
    "another place"
  )
  is_index = lambda path: (path / "index.json").is_file()
  try:
    places.check_folder(place, refusal, is_index)
    return place
  except UserError:
    if given:
      raise
  try:
    places.check_folder(_cached(place), refusal, is_index)
    return _cached(place)
  except UserError:
    return None


def _indexed(
  model: Model, corpus: pathlib.Path, place: pathlib.Path, given: bool
) -> tuple[np.ndarray, list[tuple[str, str]]]:
  """Returns vectors [C, D] and (location, title) of C texts, from the index.

  Makes the index, or makes it again, if it is not that of this model and
  these files. It is kept at `place`; unless that was `given`, in the cache
  where `place` cannot be written.
  """
  header = {
    "model": vectors.model_fingerprint(model),
    "corpus": fingerprints.of_stamps(fingerprints.stamps(corpus)),
  }
  for there in (place,) if given else (place, _cached(place)):
    found = _header(there)
    if found == header:
      shown = json.loads((there / "documents.json").read_text())
      return np.load(there / "vectors.npy", mmap_mode="r"), shown
    if found:
      changed = [key for key in header if found.get(key) != header[key]]
      print(f"{there}: the {' and the '.join(changed)} changed, building anew")
  place = _place(place, given)
  texts = {}  # of equal texts the first is kept
  for text, location in corpus_lib.read(corpus):
    if not unicode_text.blank(text):
      texts.setdefault(text, location)
  if not texts:
    raise UserError(f"--corpus={corpus}: no texts in it, nothing to search")
  made = vectors.encode(
    model,
    list(texts),
    "search_document",
    show_progress=True,
    normalize=model.by_cosine,
  )
  shown = [
    (location, unicode_text.title(text)) for text, location in texts.items()
  ]
  if place is None:
    print(
      "no index is kept; --index=DIR names a place for one", file=sys.stderr
    )
    return made, shown
  try:
    with replacing(place) as temporary:
      temporary.mkdir()
      np.save(temporary / "vectors.npy", made)
      (temporary / "documents.json").write_text(json.dumps(shown))
      (temporary / "index.json").write_text(json.dumps(header))
    print(f"index of {len(made):,} texts kept in {place}")
  except UserError as e:  # a full disk is no reason not to answer
    print(f"no index is kept: {e}", file=sys.stderr)
  return made, shown


def _header(place: pathlib.Path) -> dict:
  """Returns what an index says of itself; {} if there is none."""
  try:
    return json.loads((place / "index.json").read_text())
  except (OSError, ValueError):
    return {}


def _asked() -> Iterator[str]:
  """Yields questions from a terminal, or from a file, which is UTF-8."""
  if not sys.stdin.isatty():
    for number, data in decoding.lines(sys.stdin.buffer):
      line = decoding.decode(data, f"standard input, row {number}").strip()
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
  """Returns a line per hit: score, place and title, in at most 100 columns."""
  columns = min(max(shutil.get_terminal_size((100, 24)).columns, 60), 100)
  room = columns // 2 - 10
  places = [_short(location, room) for location, _ in hits]
  width = max(map(len, places))
  lines = []
  for score, location, (_, text) in zip(scores, places, hits):
    line = f"  {score:5.3f}  {location:{width}}  {text}"
    lines.append(line if len(line) <= columns else line[: columns - 1] + "…")
  return lines


def _short(location: str, width: int) -> str:
  """Returns a place as seen from here, cut at the front if it is too long."""
  here = os.getcwd() + os.sep
  location = location.removeprefix(here)
  if len(location) <= width:
    return location
  tail = location[-(width - 1) :]
  return "…" + (tail[tail.index(os.sep) :] if os.sep in tail else tail)
