# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Recognises the columns of a source and the kind of its rows.

Every decision of `roles` is printed, one line per column.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math
import re

from nomic_jax.data import kinds
from nomic_jax.data import readers
from nomic_jax.data.readers import first_rows
from nomic_jax.data.readers import folder
from nomic_jax.data.readers import queries as making
from nomic_jax.data.readers import roles
from nomic_jax.data.readers.columns import Columns
from nomic_jax.data.readers.columns import MISSING
from nomic_jax.data.readers.columns import negatives_in
from nomic_jax.data.readers.columns import number_of
from nomic_jax.data.readers.columns import pick
from nomic_jax.data.readers.reader import Part
from nomic_jax.errors import UserError
from nomic_jax.storage.bad import BadRows
from nomic_jax.storage.rows import spelled
from nomic_jax.storage.values import Json

_PARTS = ("split", "set", "partition", "subset", "fold")  # columns of these
_SHOWN = 12  # unused columns listed in a line
_ID = re.compile(r"[\w.:/#-]*\d[\w.:/#-]*")


class NoTitles(UserError):
  """Queries are to be made from titles, but the rows have none."""


def recognise(
  parts: Sequence[Part],
  asked: Columns,
  kind: str | None,
  queries: Sequence[str] = (),
) -> tuple[list[Part], kinds.Kind]:
  """Returns the parts with the columns of each, and the kind of the rows.

  Prints how each column is used.

  Args:
    parts: the parts of a source.
    asked: the columns that the user named.
    kind: a name in `kinds.KINDS`; None: recognised by the columns.
    queries: how to make pairs from documents, see `queries`; () if rows have
      queries.

  Raises:
    NoTitles: if `queries` has title, and rows have no column of titles.
    UserError: if no kind fits the columns, or files have different kinds.
  """
  found, done = {}, []
  for part in parts:
    where = part.paths[0]
    # A format may determine the kind of its rows and their columns.
    fixed = part.row_kind or part.columns != asked
    first = []
    if not part.row_kind:
      first = _first(part, where, asked, "text" if queries else kind)
    if queries and fixed:
      raise UserError(
        f"--queries: cannot make pairs from the format {part.kind}, whose "
        "columns are fixed; leave --queries out"
      )
    if fixed or not first:
      found.setdefault(_kind_of_format(part, first), where)
      done.append(part)
      continue
    columns, name, why = roles.assign(
      where, first, asked, "text" if queries else kind
    )
    part = dataclasses.replace(part, columns=columns, queries=tuple(queries))
    if queries:
      if "title" in queries and not roles.has(first, columns.title):
        raise NoTitles(
          f"--queries=title: {where} has no column '{columns.title}'; name the "
          "column of titles with --columns title=COLUMN"
        )
      name, why = "pairs", making.told(queries)
    name, why = _of_all_files(part, columns, name, why, asked, kind)
    if kind is None and not queries:
      part = dataclasses.replace(part, first=first_rows.determined(name, first))
    known = kinds.Kind(name, why)
    if name == "labels":
      columns, known = _classes(part, why)
      part = dataclasses.replace(part, columns=columns)
    _tell(where, first, part, known)
    _warn_of_held_out(first)
    if name != "labels" and not part.documents:
      _warn_of_ids(first, columns)
    found.setdefault(known, where)
    done.append(part)
  names = {each.name for each in found} - {"text"} or {"text"}
  if len(names) > 1:
    listed = " and ".join(f"{k.name} in {path}" for k, path in found.items())
    raise UserError(
      f"--source: {listed}; expected one kind of rows: choose files with "
      "--include, or specify --kind"
    )
  (name,) = names
  of_name = [each for each in found if each.name == name]
  if len({each.classes for each in of_name}) > 1:
    raise UserError(
      "--source: its files have different classes; list all of them with "
      "--classes"
    )
  print(f"{'kind':<34}{name}: {of_name[0].why}")
  return done, of_name[0]


def _of_all_files(
  part: Part,
  columns: Columns,
  name: str,
  why: str,
  asked: Columns,
  kind: str | None,
) -> tuple[str, str]:
  """Returns the kind of a part's rows and the reason, given its first file's.

  Triplets may lie beside pairs, since a row may have no negatives.

  Raises:
    UserError: if files differ in their columns or kinds.
  """
  if part.queries:
    return name, why
  for path in part.paths[1:]:
    first = _first(part, path, asked, kind)
    if not first:
      continue
    others, other, because = roles.assign(path, first, asked, kind)
    pairs = {name, other} <= {"pairs", "triplets"}
    if others != columns or (other != name and not pairs):
      raise UserError(
        f"--source: {path} has {other} ({because}), but {part.paths[0]} has "
        f"{name} in {columns.query or 'no query'} and {columns.document}; "
        "expected files with the same columns: choose files with --include, "
        "or specify --columns or --kind"
      )
    if other == "triplets":
      name, why = other, because
  return name, why


def _lenient() -> BadRows:
  """Returns a `BadRows` without limit; `prepare` reports bad rows later."""
  return BadRows(1 << 62)


def _first(
  part: Part, path: str, asked: Columns, kind: str | None
) -> list[dict]:
  rows = (row for _, row in readers.records(part, path, _lenient()))
  return first_rows.read(rows, asked, kind)


def _kind_of_format(part: Part, first: Sequence[dict]) -> kinds.Kind:
  """Returns the kind of a part whose format determines its columns."""
  why = f"the format {part.kind}"
  if part.row_kind:
    return kinds.Kind(part.row_kind, why)
  if not part.columns.query:
    return kinds.Kind("text", why)
  if any(row.get("label") is not None for row in first):
    values = [float(row["label"]) for row in first]
    return kinds.of_labels(values, [[x] for x in values], why)
  triplet = part.columns.objective == "triplet"
  return kinds.Kind("triplets" if triplet else "pairs", why)


def _classes(part: Part, why: str) -> tuple[Columns, kinds.Kind]:
  """Reads all labels of a part, which determine its classes.

  Names that occur are the classes, in order, and so are numbers beside names.
  If there are only whole numbers, they number the classes from 0, unless most
  of the numbers up to the largest do not occur: then they are names too. Other
  numbers are targets of a regression.
  """
  columns = part.columns
  names: dict[str, Json] = {}
  most, read = 1, False
  for path in part.paths:
    for _, row in readers.records(part, path, _lenient()):
      value = pick(row, columns.label or "labels")
      if value in (None, "", MISSING):
        continue
      values = value if isinstance(value, list) else [value]
      most, read = max(most, len(values)), True
      # A number that is not finite is a bad row later.
      good = [v for v in values if not (isinstance(v, float) and _infinite(v))]
      names |= {spelled(each): number_of(each) for each in good}
  if not read:
    return columns, kinds.Kind("labels", why)
  rows = [[0.0] * most]
  numbers = [
    float(n)
    for n in names.values()
    if isinstance(n, int | float) and not _infinite(n)
  ]
  if not columns.classes and names:
    listed = [*names]
    if len(numbers) < len(names):
      columns = columns._replace(classes=tuple(sorted(listed)))
    elif all(n == n // 1 >= 0 for n in numbers) and max(numbers) + 1 > 2 * len(
      numbers
    ):
      order = sorted(listed, key=lambda name: float(name))
      columns = columns._replace(classes=tuple(order))
  return columns, kinds.of_labels([0.0, *numbers], rows, why, columns.classes)


def _infinite(number: float) -> bool:
  return not math.isfinite(number)


def _tell(
  where: str, first: Sequence[dict], part: Part, known: kinds.Kind
) -> None:
  """Prints how each column is used, one line per column that is read."""
  columns = part.columns
  of_role = {
    "query": columns.query,
    "document": columns.document,
    "negatives": columns.negatives,
    "score": columns.score,
    "label": columns.label,
    "title": columns.title if part.queries else "",
  }
  if columns.label is None:
    own = [n for n in ("labels", "label") if roles.has(first, n)]
    of_role["label"] = own[0] if own else ""
  read: dict[str, list[str]] = {}
  empty: dict[str, int] = {}
  for role, column in of_role.items():
    value_in = negatives_in if role == "negatives" else pick
    empty[column] = sum(roles.empty(value_in(row, column)) for row in first)
    if column and empty[column] < len(first):
      read.setdefault(column, []).append(role)
  for column, of in read.items():
    more = ""
    if "label" in of and known.name == "labels":
      more = (
        ", numbers to predict"
        if known.task == "regression"
        else f", {len(known.classes):,} classes"
      )
    if part.documents and {"document", "negatives"} & {*of}:
      more += (
        f", by {part.documents.id} from {part.documents.text} of "
        f"{part.documents.path}"
      )
    if empty[column]:
      more += f" (empty in {empty[column]} of the first {len(first)} rows)"
    print(f"{f'column {column}':<34}{' and '.join(of)}{more}")
  used = {
    each.strip().split(".")[0] for column in read for each in column.split("+")
  } | {*read}
  names = dict.fromkeys(name for row in first for name in row)
  left = [name for name in names if name not in used]
  if left:
    more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
    print(f"{'columns not read':<34}{', '.join(left[:_SHOWN])}{more}")


def looks_like_ids(texts: Sequence[Json]) -> bool:
  """Returns whether texts are ids such as d17 rather than texts."""
  texts = [t for t in texts if isinstance(t, str) and t]
  ids = sum(len(t) <= 40 and bool(_ID.fullmatch(t)) for t in texts)
  return len(texts) > 1 and ids >= 0.9 * len(texts)


def _warn_of_held_out(first: Sequence[dict]) -> None:
  """Warns if a column says that some rows are for evaluation."""
  for name in _PARTS:
    values = {v for row in first if isinstance(v := row.get(name), str)}
    marked = sorted(filter(folder.is_held_out, values))
    if marked and len(values) > len(marked):
      print(
        f"warning: the column {name} marks rows as {', '.join(marked)}, but "
        "all rows are read; move such rows to another file to hold them out"
      )


def _warn_of_ids(first: Sequence[Mapping], columns: Columns) -> None:
  documents = [pick(dict(row), columns.document) for row in first]
  if not looks_like_ids(documents):
    return
  shown = next(d for d in documents if isinstance(d, str) and d)
  print(
    f"warning: the documents look like ids ('{shown}'), from which a model "
    "learns nothing; --documents=TABLE --document_id=COLUMN reads their texts "
    "from a table"
  )
