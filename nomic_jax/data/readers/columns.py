# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Converts an object with any column names to a row of a data directory."""

import collections
from collections.abc import Sequence
import decimal
import json
import math
import re
from typing import cast
from typing import NamedTuple

from nomic_jax.data import records
from nomic_jax.data.records import Row
from nomic_jax.storage import decoding
from nomic_jax.storage import unicode_text
from nomic_jax.storage.bad import BadRow
from nomic_jax.storage.rows import spelled
from nomic_jax.storage.values import Json

_TOO_LARGE = 1e30  # labels and scores are float32
# A list of strings or numbers, as JSON, Python or numpy spell it.
_LIST = re.compile(
  r"\s*\[\s*(?:(['\"]).*\1|-?\d[\d\s.,eE+-]*)?\s*\]\s*", re.DOTALL
)


class Columns(NamedTuple):
  """The columns of an object that hold its texts, labels and scores.

  A value is the name of a column; or, if there is no such column, the path to a
  field of an object, such as `resolution.text`; or several of these separated
  by "+", whose texts are joined. A `query` of "" means that rows have no query:
  they are plain text. `classes` are the names of labels, class 0 first.
  `objective` is checked against the objectives that rows list.
  """

  query: str = "query"
  document: str = "document"
  negatives: str = "negatives"
  objective: str = ""  # "self", "paired" or "triplet" in the published format
  classes: tuple[str, ...] = ()
  label: str | None = None  # None: `labels` or `label`, if they are numbers
  score: str = ""  # of a teacher, of the document
  negatives_scores: str = ""  # of a teacher, a list with one for each negative
  title: str = "title"  # of a document, if queries are made from it


MISSING = object()  # returned by `pick` if there is no value


def pick(value: dict, column: str) -> Json:
  """Returns the value of a row in a column, see `Columns`; MISSING if none.

  Texts and numbers of several columns are joined by line breaks, without empty
  ones, and lists are concatenated. A value that cannot be joined is returned
  unchanged.
  """
  if column in value:
    return value[column]
  if "+" in column:
    parts = [pick(value, name.strip()) for name in column.split("+")]
    if any(part is MISSING for part in parts):
      return MISSING
    if any(isinstance(part, list) for part in parts):
      return _concatenated(parts)
    parts = [_text_of(part) for part in parts if part is not None]
    wrong = [part for part in parts if not isinstance(part, str)]
    return wrong[0] if wrong else "\n".join(filter(None, parts))
  inside: Json = value
  for name in column.split("."):
    if not isinstance(inside, dict) or name not in inside:
      return MISSING
    inside = inside[name]
  return inside


def _text_of(value: Json) -> Json:
  """Returns the text of a number, as a table would hold it; others as is."""
  if isinstance(value, int | float) and not isinstance(value, bool):
    return spelled(value) if math.isfinite(value) else value
  return value


def negatives_in(value: dict, column: str) -> Json:
  """Returns the negatives of a row; MISSING if it has none of the columns.

  Several columns, such as `negative_1+negative_2`, are concatenated into a
  list, without those that are empty.
  """
  if "+" not in column or column in value:
    return pick(value, column)
  parts = [pick(value, name.strip()) for name in column.split("+")]
  if all(part is MISSING for part in parts):
    return MISSING
  return _concatenated(
    [part for part in parts if part not in (MISSING, None, "")]
  )


def _concatenated(parts: Sequence[Json]) -> list[Json]:
  lists = [part if isinstance(part, list) else [part] for part in parts]
  return [each for part in lists for each in part]


def to_row(
  file: str,
  number: int,
  value: dict,
  columns: Columns,
  source: str,
  left: collections.Counter[str] | None = None,
) -> Row:
  """Returns the row of one object.

  An object without the columns of a pair may be plain text, `text`, or the
  token ids of one, `input_ids` (without those that `attention_mask` excludes).

  Args:
    file: where the object is from.
    number: its row in the file, from 1.
    value: the object.
    columns: its columns; negatives may be absent except for a triplet.
    source: the name of the data set it is from.
    left: counts, by reason, what is left out of a row that is kept.

  Raises:
    BadRow: naming file, row and column.
  """
  _check_objective(file, number, value, columns)
  labels = _labels(file, number, value, columns, left)
  there = lambda column: pick(value, column) is not MISSING
  if not there(columns.query) and not there(columns.document):
    if "input_ids" in value:
      return records.row(
        "",
        "",
        ids=_ids(file, number, value),
        source=source,
        location=f"{file}:{number}",
      )
    if "text" in value and columns[:2] == Columns()[:2]:
      columns = columns._replace(query="", document="text")
  # A labelled row may be a single text.
  single = not columns.query or (
    "labels" in labels and not there(columns.query)
  )
  for flag, column in (
    ("query", columns.query),
    ("document", columns.document),
  ):
    found = problem(value, column)
    if found and not (single and flag == "query"):
      reason, text = found
      raise BadRow(
        reason,
        f"{file}, row {number}: '{column}' {text}; expected a string; the "
        f"row has {', '.join(map(repr, value)) or 'no columns'}; correct it, "
        f"or choose another column with --{flag}_column",
      )
  negatives = negatives_in(value, columns.negatives)
  if negatives in (None, "", MISSING) and columns.objective != "triplet":
    negatives = []
  elif isinstance(negatives, str) and columns.negatives != Columns().negatives:
    # The user's column may hold a single text.
    _check_no_list(file, number, columns.negatives, negatives)
    negatives = [negatives]
  if not isinstance(negatives, list) or any(
    problem({"": text}, "") for text in negatives
  ):
    raise BadRow(
      "negatives not texts",
      f"{file}, row {number}: '{columns.negatives}' is not a list of strings "
      "that are not empty; correct it, or choose another column with "
      "--negatives_column",
    )
  query = pick(value, columns.query)
  return records.row(
    "" if query is MISSING else query,
    pick(value, columns.document),
    negatives=negatives,
    source=source,
    location=f"{file}:{number}",
    **_scores(file, number, value, columns, len(negatives)),
    **labels,
  )


def _ids(file: str, number: int, value: dict) -> list[int]:
  """Returns `input_ids` without those that `attention_mask` excludes."""
  ids = value["input_ids"]
  mask = value.get("attention_mask") or [1] * len(ids or ())
  if (
    not isinstance(ids, list)
    or len(mask) != len(ids)
    or any(not isinstance(i, int) or i < 0 for i in ids)
  ):
    raise BadRow(
      "token ids not numbers",
      f"{file}, row {number}: 'input_ids' is {_shown(ids)}; expected a list "
      "of token ids, with an attention_mask of the same length or none",
    )
  ids = [i for i, kept in zip(ids, mask) if kept]
  if not ids:
    raise BadRow(
      "empty text", f"{file}, row {number}: 'input_ids' holds no token"
    )
  return ids


def _labels(
  file: str,
  number: int,
  value: dict,
  columns: Columns,
  left: collections.Counter[str] | None,
) -> dict:
  """Returns {"labels": numbers}, or {} if there are none.

  A pair needs no labels: unless the user names the column or its classes, a
  column "label" that does not hold numbers is ignored.
  """
  column, classes = columns.label, columns.classes
  if column is None:
    column = "label" if value.get("labels") is None else "labels"
  found = pick(value, column)
  if found in (None, "", MISSING):
    if columns.label:
      raise BadRow(
        "label missing",
        f"{file}, row {number}: no label in '{column}'; the row has "
        f"{', '.join(map(repr, value)) or 'no columns'}; correct it, or "
        "choose another column with --label_column",
      )
    return {}
  if columns.label:
    _check_no_list(file, number, column, found)
  found = found if isinstance(found, list) else [found]
  found = [_label(x, classes) for x in found]
  wrong = [
    x for x in found if not (isinstance(x, int | float) and abs(x) < _TOO_LARGE)
  ] or [x for x in found if classes and x not in range(len(classes))]
  if columns.label and not found and left is not None:
    left["no labels (rows kept, but not trained on)"] += 1
  if wrong:
    if (
      columns.label is None
      and not classes
      and pick(value, columns.query) is not MISSING
    ):
      if left is not None:
        left["text labels (rows kept)"] += 1
      return {}
    of = (
      f"none of --classes={','.join(classes)}" if classes else ("not a number")
    )
    raise BadRow(
      "label not a number",
      f"{file}, row {number}: the label {_shown(wrong[0])} is {of}; "
      f"expected numbers in '{column}', or a list of them; number classes "
      "from 0, or name them all, as in --classes=no,yes",
    )
  return {"labels": [float(x) for x in found]}


def _check_no_list(file: str, number: int, column: str, value: Json) -> None:
  """Raises BadRow if a text spells a list, as pandas writes one to a .csv."""
  if isinstance(value, str) and _LIST.fullmatch(value):
    raise BadRow(
      "list as text",
      f"{file}, row {number}: '{column}' holds the text {_shown(value)}, which "
      "spells a list; expected an actual list, as in .jsonl or .parquet, since "
      "a cell of a table is one text",
    )


def _label(value: Json, classes: Sequence[str]) -> Json:
  """Returns the number of a label.

  That is the index of its name in `classes`. A number may also be an index
  itself, unless classes are named by numbers, with which it could be confused.
  """
  name = spelled(value)
  if name in classes:
    return classes.index(name)
  if any(not isinstance(number_of(c), str) for c in classes):
    return name
  return number_of(value)


def number_of(value: Json) -> Json:
  """Returns the number that a string spells, or the value itself."""
  try:
    if isinstance(value, decimal.Decimal):
      return float(value)
    # Python would read 1_2 as 12.
    if isinstance(value, str) and "_" not in value:
      return float(value)
  except ValueError:
    pass
  return value


def problem(value: dict, column: str) -> tuple[str, str] | None:
  """Returns (reason, message) if a column cannot be used as text, else None."""
  text = pick(value, column)
  if text is MISSING:
    return "column missing", "is missing"
  if not isinstance(text, str):
    return "not a string", f"is {_shown(text)}"
  if decoding.safe(text) != text:
    return "not Unicode", "holds half of a surrogate pair"
  if unicode_text.blank(text):
    return "empty text", "is empty"
  return None


def _shown(value: object) -> str:
  try:
    return json.dumps(value)[:40]
  except (TypeError, ValueError):  # parquet has types that JSON lacks
    return repr(value)[:40]


def _check_objective(
  file: str, number: int, value: dict, columns: Columns
) -> None:
  """Raises BadRow unless the row's metadata lists the objective's columns."""
  if not columns.objective:
    return
  wanted = [columns.query]
  if columns.objective != "self":
    wanted.append(columns.document)
  if columns.objective == "triplet":
    wanted.append(columns.negatives)
  listed = objectives(value).get(columns.objective)
  if not isinstance(listed, list) or not any(
    each == wanted or [each] == wanted for each in listed
  ):
    raise BadRow(
      "objective not listed",
      f"{file}, row {number}: metadata.objective lists {_shown(listed)} under "
      f"'{columns.objective}'; expected {wanted}, as in the specification",
    )


def objectives(value: dict) -> dict:
  """Returns a row's metadata.objective, or {} if it has none."""
  metadata = value.get("metadata")
  found = metadata.get("objective") if isinstance(metadata, dict) else None
  return found if isinstance(found, dict) else {}


def _scores(
  file: str, number: int, value: dict, columns: Columns, count: int
) -> dict:
  """Returns a teacher's scores.

  They are in the columns that the user names or, in the published format, in
  its own columns, which are ignored unless they hold numbers. Numbers that are
  not finite are errors: NaN marks a random negative of `mine`.
  """
  is_number = lambda x: isinstance(x, float | int) and not isinstance(x, bool)
  are_numbers = lambda x: (
    isinstance(x, list) and len(x) == count and all(map(is_number, x))
  )
  scores = {}
  for feature, column, published, good, reason, wanted in (
    (
      "score",
      columns.score,
      "document_score",
      is_number,
      "score not a number",
      "the document's score, a number",
    ),
    (
      "negative_scores",
      columns.negatives_scores,
      "negatives_scores",
      are_numbers,
      "scores not numbers",
      f"{count} numbers, one for each negative",
    ),
  ):
    flag = "score" if feature == "score" else published
    column = published if columns.objective else column
    found = number_of(pick(value, column)) if column else None
    if not column or columns.objective and not good(found):
      continue
    found = None if found is MISSING else found
    if not good(found):
      raise BadRow(
        reason,
        f"{file}, row {number}: '{column}' is {_shown(found)}; expected "
        f"{wanted}; correct it, or choose another column with "
        f"--{flag}_column",
      )
    numbers = found if isinstance(found, list) else [found]
    numbers = cast(list[float], numbers)
    for each in numbers:
      if not abs(each) < _TOO_LARGE:
        raise BadRow(
          "score not finite",
          f"{file}, row {number}: '{column}' holds {_shown(each)}; expected "
          "finite numbers; correct it, or leave the row out with --skip_bad",
        )
    finite = list(map(float, numbers))
    scores[feature] = finite if isinstance(found, list) else finite[0]
  return scores
