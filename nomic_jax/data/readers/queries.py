# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Makes pairs from documents without queries.

  title    the title of a document, and its text
  heading  the headings above a section of Markdown, and its text
  crop     two crops of a document, drawn independently

Crops are those of Contriever (Izacard et al. 2022, section 3.1), but in words.
A document is divided into passages of 256 words, and each gives two independent
spans of 10 to 50 % of its words. They are a function of the seed, the file's
name and the row. Texts that are too short give no pair and are counted. All
rows made from a document have the same `group`, so they are in one split.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import hashlib
import re

import numpy as np

from nomic_jax.data import records
from nomic_jax.data.readers import columns as columns_lib
from nomic_jax.data.readers import markdown
from nomic_jax.data.readers.columns import Columns
from nomic_jax.data.records import Row
from nomic_jax.errors import one_of
from nomic_jax.storage import streams
from nomic_jax.storage import unicode_text
from nomic_jax.storage.bad import BadRow
from nomic_jax.storage.bad import BadRows
from nomic_jax.storage.values import JsonObject

KINDS = ("title", "heading", "crop")
PASSAGE = 256  # words
SHARES = (0.1, 0.5)  # of a passage's words, in a crop
_FEWEST = 20  # words of a passage that is cropped
_FEWEST_BODY = 5  # words under a title or a heading
_SEED = 0
# A word with the space after it; characters of scripts without spaces count.
_WORD = re.compile(r"\S+\s*")


def document_of(location: str) -> str:
  """Returns the part of a location that rows of one document share."""
  path = location.rpartition(":")[0]
  return path if path.endswith(markdown.PAGES) else location


def check(kinds: Sequence[str]) -> tuple[str, ...]:
  """Returns `kinds` without repeats; raises UserError for unknown ones."""
  for kind in kinds:
    one_of(kind, KINDS, f"--queries={kind}: unknown")
  return tuple(dict.fromkeys(kinds))


def rows(
  file: str,
  number: int,
  value: dict,
  columns: Columns,
  kinds: Sequence[str],
  source: str,
  bad: BadRows,
) -> Iterator[Row]:
  """Yields the pairs made from one document.

  Args:
    file: the file of the document.
    number: the number of its row in the file.
    value: the row.
    columns: the columns of its text and title.
    kinds: the kinds of pairs, names in KINDS.
    source: the name of the data set.
    bad: counts the pairs made, and the documents without pairs.

  Raises:
    BadRow: if the row has no text.
  """
  if found := columns_lib.problem(value, columns.document):
    reason, told = found
    raise BadRow(reason, f"{file}, row {number}: '{columns.document}' {told}")
  text = columns_lib.pick(value, columns.document)
  title = columns_lib.pick(value, columns.title)
  title = title.strip() if isinstance(title, str) else ""
  group = f"{file}:{number}"
  make = {"title": _titles, "heading": _headings, "crop": _crops}
  for kind in kinds:
    count = 0
    for line, query, document in make[kind](file, number, title, text):
      count += 1
      row = records.row(
        query, document, source=source, location=f"{file}:{line}"
      )
      row["group"] = group
      yield row
    bad.made[f"{kind} pairs"] += count
    if not count:
      bad.left[f"documents without a {kind} pair"] += 1


def _titles(
  file: str, number: int, title: str, text: str
) -> Iterator[tuple[int, str, str]]:
  del file
  body = text
  sections = markdown.sections(text)
  if sections and sections[0].headings == (title,):  # starts with its title
    body = text.split("\n", sections[0].line)[-1].strip()
  elif body.startswith(title):
    body = body[len(title) :].strip()
  if title and _long(body, _FEWEST_BODY):
    yield number, title, body


def _headings(
  file: str, number: int, title: str, text: str
) -> Iterator[tuple[int, str, str]]:
  for section in markdown.sections(text):
    if not section.headings or not _long(section.text, _FEWEST_BODY):
      continue
    above = [h for h in (title, *section.headings) if h]
    line = section.line if file.endswith(markdown.PAGES) else number
    yield line, ": ".join(dict.fromkeys(above)), section.text


def _crops(
  file: str, number: int, title: str, text: str
) -> Iterator[tuple[int, str, str]]:
  del title
  spans = _spans(text)
  for first in range(0, len(spans), PASSAGE):
    passage = spans[first : first + PASSAGE]
    if len(passage) < _FEWEST:
      continue
    key = f"{_SEED} {streams.name(file)} {number} {first}"
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    rng = np.random.default_rng(int.from_bytes(digest, "little"))
    crops = []
    while len(crops) < 2:
      low, high = (max(int(len(passage) * s), 2) for s in SHARES)
      size = int(rng.integers(low, high + 1))
      start = int(rng.integers(0, len(passage) - size + 1))
      begin, end = passage[start][0], passage[start + size - 1][1]
      crops.append(text[begin:end].strip())
    if any(map(unicode_text.blank, crops)):
      continue
    yield number, *crops


def _spans(text: str) -> list[tuple[int, int]]:
  """Returns start and end of each word.

  Runs of 12 or more characters that are not ASCII, as in scripts without
  spaces, are divided into pieces of 4.
  """
  found: list[tuple[int, int]] = []
  for match in _WORD.finditer(text):
    begin, end = match.span()
    if match[0].isascii() or end - begin < 12:
      found.append((begin, end))
      continue
    found += [(i, min(i + 4, end)) for i in range(begin, end, 4)]
  return found


def _long(text: str, words: int) -> bool:
  return not unicode_text.blank(text) and len(_spans(text)) >= words


def told(kinds: Sequence[str]) -> str:
  """Returns a line that describes how the pairs are made."""
  how: JsonObject = {
    "title": "title -> text",
    "heading": "headings -> section",
    "crop": f"two crops of {SHARES[0]:.0%} to {SHARES[1]:.0%} of each "
    f"{PASSAGE} words",
  }
  return (
    f"made from documents: {'; '.join(how[kind] for kind in kinds)}; real "
    "queries are better if there are any"
  )
