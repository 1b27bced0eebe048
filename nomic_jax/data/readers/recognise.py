# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Recognises the role of each column of a source, and the kind of its rows.

Columns that the user names are kept. Others are recognised by their names,
ignoring case, with the tables below, and by the first rows: a score is a number
in each of them. Every decision is printed, one line per column.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import itertools
import re
from typing import Any

from nomic_jax.data import kinds
from nomic_jax.data.readers import queries as making
from nomic_jax.data.readers.columns import Columns
from nomic_jax.data.readers.columns import MISSING
from nomic_jax.data.readers.columns import number_of
from nomic_jax.data.readers.columns import pick
from nomic_jax.data.readers.reader import Part
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.storage.bad import BadRows

# Column pairs of the two texts of a row; the first that both exist are used.
_SIDES = (
  ("query", "document"),
  ("anchor", "positive"),
  ("query", "positive"),
  ("question", "answer"),
  ("query", "passage"),
  ("query", "answer"),
  ("sentence1", "sentence2"),
  ("sentence_a", "sentence_b"),
  ("text1", "text2"),
)
_TEXT = ("text", "document", "sentence", "body", "content")
_NEGATIVES = ("negatives", "negative", "hard_negatives", "hard_negative")
_SCORE = ("score", "similarity_score", "relatedness_score", "similarity")
_LABEL = ("labels", "label", "category", "intent", "class")

_FIRST = 100  # rows that are inspected
_SHOWN = 12  # unused columns listed in a line
_ID = re.compile(r"[\w.:/#-]*\d[\w.:/#-]*")
ROLES = ("query", "document", "negatives", "score", "label", "title")


def parse(columns: Sequence[str], asked: Columns) -> Columns:
  """Returns `asked` with the columns of --columns, each "ROLE=COLUMN".

  Raises:
    UserError: for an unknown role, or one for which another flag names another
      column.
  """
  named = {}
  for each in columns:
    role, equals, column = each.partition("=")
    if not equals:
      raise UserError(
        f"--columns={each}: expected ROLE=COLUMN, such as --columns "
        "query=subject,document=resolution.text"
      )
    one_of(role, ROLES, f"--columns={each}: no such role '{role}'")
    if role in named:
      raise UserError(f"--columns: '{role}' is given twice")
    named[role] = column
  for role, column in named.items():
    before = getattr(asked, role)
    if before not in (Columns._field_defaults[role], column):
      raise UserError(
        f"--columns {role}={column} and --{role}_column={before}: give one"
      )
  if asked.query == "" and "query" not in named:
    named["query"] = ""
  return asked._replace(**named)


def recognise(
  parts: Sequence[Part],
  asked: Columns,
  kind: str | None,
  classify: bool,
  queries: Sequence[str] = (),
) -> tuple[list[Part], kinds.Kind]:
  """Returns the parts with the columns of each, and the kind of the rows.

  Prints how each column is used.

  Args:
    parts: of a source.
    asked: the columns that the user named.
    kind: named by the user, one of `kinds.KINDS`; None: by the columns.
    classify: whether all rows may be read for the names of their classes.
    queries: how pairs are made of the documents, see `queries`; () of rows that
      have their queries.

  Raises:
    UserError: if no kind fits the columns, or files have different kinds.
  """
  from nomic_jax.data import readers  # here, because it imports this module

  found, done = {}, []
  for part in parts:
    where = part.paths[0]
    # A format may determine the kind of its rows and their columns.
    told = part.row_kind or part.columns != asked
    first = []
    if not part.row_kind:
      first = _first(readers.records(part, where, _lenient()))
    if queries and told:
      raise UserError(
        f"--queries: rows of the format {part.kind} are pairs already, or have "
        "columns of their own; leave it out"
      )
    if told or not first:
      found.setdefault(_of_told(part, first), where)
      done.append(part)
      continue
    columns, name, why = _columns(
      where, first, asked, "text" if queries else kind
    )
    part = dataclasses.replace(part, columns=columns, queries=tuple(queries))
    if queries:
      if "title" in queries and not _has(first, columns.title):
        raise UserError(
          f"--queries=title: {where} has no column '{columns.title}'; name it "
          "with --columns title=COLUMN"
        )
      name, why = "pairs", making.told(queries)
    known = kinds.Kind(name, why)
    if name == "labels" and classify:
      columns, known = _classes(readers, part, why)
      part = dataclasses.replace(part, columns=columns)
    _tell(where, first, part)
    if name != "labels" and not part.documents:
      _warn_of_ids(first, columns)
    found.setdefault(known, where)
    done.append(part)
  names = {each.name for each in found} - {"text"} or {"text"}
  if len(names) > 1:
    listed = " and ".join(f"{k.name} in {path}" for k, path in found.items())
    raise UserError(
      f"--source: {listed}: one kind of rows is expected; choose files with "
      "--include, or say which it is with --kind"
    )
  (name,) = names
  of_name = [each for each in found if each.name == name]
  if len({each.classes for each in of_name}) > 1:
    raise UserError(
      "--source: its files have different classes; name all with --classes"
    )
  print(f"{'kind':<34}{name}: {of_name[0].why}")
  return done, of_name[0]


def _lenient() -> BadRows:
  """Returns a `BadRows` without limit: bad rows are reported after reading."""
  return BadRows(1 << 62)


def _first(rows: Iterable[tuple[int, dict]]) -> list[dict]:
  return [row for _, row in itertools.islice(rows, _FIRST)]


def _of_told(part: Part, first: Sequence[dict]) -> kinds.Kind:
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


def _columns(
  where: str, first: Sequence[dict], asked: Columns, kind: str | None
) -> tuple[Columns, str, str]:
  """Returns the columns of a source, its kind, and the reason."""
  names = list(dict.fromkeys(name for row in first for name in row))
  by_name = {_plain(name): name for name in reversed(names)}
  own = lambda options: next((by_name[o] for o in options if o in by_name), "")
  default = Columns()
  given = lambda role: getattr(asked, role) != getattr(default, role)
  for role in ROLES:
    column = getattr(asked, role)
    if given(role) and column and not _has(first, column):
      one_of(
        column,
        names,
        f"{where}: no row has a column '{column}', which is to be its {role}",
        "they have",
      )
  columns = asked
  if not given("query") and not given("document"):
    if sides := next((s for s in _SIDES if set(s) <= by_name.keys()), None):
      columns = columns._replace(
        query=by_name[sides[0]], document=by_name[sides[1]]
      )
    elif text := own(_TEXT):
      columns = columns._replace(query="", document=text)
  elif given("document") and not given("query"):
    # "document" alone is plain text, or a text with a label.
    query = own(("query", "question", "anchor"))
    if not query and (kind in ("text", "labels") or asked.label or own(_LABEL)):
      columns = columns._replace(query="")
    elif not query:
      raise UserError(
        f"{where}: 'query' is missing; name its column with --columns query="
        f"COLUMN, or with --columns query= if the rows are text alone; they "
        f"have {', '.join(names)}"
      )
    else:
      columns = columns._replace(query=query)
  elif given("query") and asked.query and not given("document"):
    document = own(("document", "answer", "passage", "positive"))
    columns = columns._replace(document=document or "document")
  elif asked.query == "" and not given("document"):
    columns = columns._replace(document=own(_TEXT) or "document")
  if not given("negatives"):
    columns = columns._replace(negatives=own(_NEGATIVES) or "negatives")
  there = lambda column: bool(column) and _has(first, column)
  pair = there(columns.query) and there(columns.document)
  label = asked.label or ("" if asked.label == "" else own(_LABEL))
  score = asked.score or own(_SCORE)
  if asked.classes and not label:
    raise UserError(
      f"{where}: --classes names classes, and no column has them: they are "
      f"{', '.join(names)}; name it, as in --columns "
      f"document={columns.document},label={names[-1]}"
    )
  if label and columns.document == label:
    raise UserError(
      f"{where}: the column {label} is both the document and the label; name "
      "the texts with --columns document=COLUMN"
    )
  shown = f"columns {columns.query} and {columns.document}"
  named = bool(asked.label or asked.classes or kind == "labels")
  possible = {
    "triplets": pair and there(columns.negatives),
    "scores": pair and (bool(asked.score) or _numbers(first, score)),
    "labels": there(label)
    and (named or not columns.query or _numbers(first, label)),
    "pairs": pair,
    "text": there(columns.document) and not columns.query,
  }
  order = ["labels", *possible] if named else [*possible]
  if kind is not None:
    order = [kind]
  name = next((each for each in order if possible[each]), "")
  if not name and kind in (None, "text") and _has(first, "input_ids"):
    return columns, "text", "token ids in input_ids"
  if name:
    # Columns of other kinds are read only if the user names them.
    if name == "scores":
      columns = columns._replace(score=score)
    if name == "labels" and label not in ("label", "labels"):
      columns = columns._replace(
        label=label
      )  # of these two a row may have none
    if kind is not None and name != "labels" and asked.label is None:
      columns = columns._replace(label="")
    if name != "triplets" and kind is not None and not given("negatives"):
      columns = columns._replace(negatives="")
    why = {
      "triplets": f"{shown}, negatives in {columns.negatives}",
      "scores": f"{shown}, score in {columns.score}",
      "labels": f"{shown}, label in {label}"
      if pair
      else f"column {columns.document}, label in {label}",
      "pairs": shown,
      "text": f"column {columns.document} alone",
    }[name]
    return columns, name, why
  if kind is not None:
    raise UserError(
      f"--kind={kind}: the rows of {where} are not {kind}; they have "
      f"{', '.join(names)}; name their columns with --columns"
    )
  texts = _texts(first) or names
  raise UserError(
    f"{where}: its columns are {', '.join(names)}; say which has what, as in "
    f"--columns query={texts[0]},document={texts[-1]} (roles: "
    f"{', '.join(ROLES)})"
  )


def _texts(rows: Sequence[dict], inside: str = "") -> list[str]:
  """Returns the columns with texts, including those inside objects."""
  found: dict[str, None] = {}
  for row in rows:
    for name, value in row.items():
      if isinstance(value, str):
        found[inside + name] = None
      elif isinstance(value, dict):
        found |= dict.fromkeys(_texts([value], f"{inside}{name}."))
  return list(found)


def _plain(name: str) -> str:
  return re.sub(r"[\s-]+", "_", name.strip()).casefold()


def _has(first: Sequence[dict], column: str) -> bool:
  """Returns whether some row has a column that is not empty."""
  return any(pick(r, column) not in (MISSING, None, "", []) for r in first)


def _numbers(first: Sequence[dict], column: str) -> bool:
  """Returns whether a column's values are all numbers, and there are some."""
  values = [row.get(column) for row in first] if column else []
  values = [
    each
    for value in values
    if value not in (None, "")
    for each in (value if isinstance(value, list) else [value])
  ]
  is_number = lambda x: isinstance(x, int | float)
  return bool(values) and all(is_number(number_of(x)) for x in values)


def _classes(readers: Any, part: Part, why: str) -> tuple[Columns, kinds.Kind]:
  """Reads all labels of a part; its classes are the names that occur."""
  columns = part.columns
  names, numbers, most, read = set(columns.classes), {0.0}, 1, False
  for path in part.paths:
    for _, row in readers.records(part, path, _lenient()):
      name = columns.label
      if name is None:
        name = "label" if row.get("labels") is None else "labels"
      value = pick(row, name)
      if value in (None, "", MISSING):
        continue
      values = value if isinstance(value, list) else [value]
      most, read = max(most, len(values)), True
      if columns.classes:
        continue
      for each in values:
        number = number_of(each)
        if isinstance(number, int | float):
          numbers.add(float(number))
        else:
          names.add(str(each))
  if names and not columns.classes and len(numbers) > 1:
    # A class named 7 among classes named by words.
    names |= {f"{n:g}" for n in numbers - {0.0}}
  if not read:
    return columns, kinds.Kind("labels", why)
  if names and not columns.classes:
    columns = columns._replace(classes=tuple(sorted(names)))
  rows = [[0.0] * most]
  return columns, kinds.of_labels([*numbers], rows, why, columns.classes)


def _tell(where: str, first: Sequence[dict], part: Part) -> None:
  """Prints how each column is used, one line per column that is read."""
  columns = part.columns
  roles = {
    "query": columns.query,
    "document": columns.document,
    "negatives": columns.negatives,
    "score": columns.score,
    "label": columns.label,
    "title": columns.title if part.queries else "",
  }
  if columns.label is None:
    own = [n for n in ("labels", "label") if _has(first, n)]
    roles["label"] = own[0] if own else ""
  read: dict[str, list[str]] = {}
  for role, column in roles.items():
    if column and _has(first, column):
      read.setdefault(column, []).append(role)
  for column, of in read.items():
    more = ""
    if "label" in of and columns.classes:
      more = f", {len(columns.classes):,} classes"
    if part.documents and {"document", "negatives"} & {*of}:
      more += (
        f", by {part.documents.id} from {part.documents.text} of "
        f"{part.documents.path}"
      )
    empty = sum(pick(r, column) in (MISSING, None, "", []) for r in first)
    if empty:
      more += f" (empty in {empty} of the first {len(first)} rows)"
    print(f"{f'column {column}':<34}{' and '.join(of)}{more}")
  used = {
    each.strip().split(".")[0] for column in read for each in column.split("+")
  } | {*read}
  names = dict.fromkeys(name for row in first for name in row)
  left = [name for name in names if name not in used]
  if left:
    more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
    print(f"{'columns not read':<34}{', '.join(left[:_SHOWN])}{more}")


def looks_like_ids(texts: Sequence[Any]) -> bool:
  """Returns whether texts are ids such as d17 rather than texts."""
  texts = [t for t in texts if isinstance(t, str) and t]
  ids = sum(len(t) <= 40 and bool(_ID.fullmatch(t)) for t in texts)
  return len(texts) > 1 and ids >= 0.9 * len(texts)


def _warn_of_ids(first: Sequence[Mapping], columns: Columns) -> None:
  documents = [pick(dict(row), columns.document) for row in first]
  if not looks_like_ids(documents):
    return
  shown = next(d for d in documents if isinstance(d, str) and d)
  print(
    f"warning: the documents look like ids ('{shown}'), of which a model "
    "learns nothing; --documents=TABLE --document_id=COLUMN takes their "
    "texts from a table"
  )
