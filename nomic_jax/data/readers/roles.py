# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Assigns roles to the columns of a table, and so the kind of its rows.

Roles that the user assigns are kept. Others are recognised by the names of
columns, ignoring case, with the tables below, and by the first rows: a column
of scores has a number in each row.
"""

from collections.abc import Sequence
import re

from nomic_jax.data.readers.columns import Columns
from nomic_jax.data.readers.columns import MISSING
from nomic_jax.data.readers.columns import negatives_in
from nomic_jax.data.readers.columns import number_of
from nomic_jax.data.readers.columns import pick
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.storage.values import Json

# Names of the two text columns; the first pair that exists is used.
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

# A number, perhaps with a decimal comma.
_COMMA = re.compile(r"\s*[-+]?\d*(,\d+)?\s*")

ROLES = ("query", "document", "negatives", "score", "label", "title")


def parse(columns: Sequence[str], asked: Columns) -> Columns:
  """Returns `asked` with the columns of --columns, each "ROLE=COLUMN".

  Raises:
    UserError: for an unknown role, or if another flag names a different column
      for the role.
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
        f"--columns {role}={column} and --{role}_column={before}: specify only "
        "one of the two"
      )
  if asked.query == "" and "query" not in named:
    named["query"] = ""
  return asked._replace(**named)


def assign(
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
    if given(role) and column and not has(first, column):
      one_of(
        column,
        names,
        f"{where}: no row has the column '{column}', specified as {role}",
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
        f"{where}: 'query' is missing; specify --columns query=COLUMN, or "
        "--columns query= if the rows are only text; their columns are "
        f"{', '.join(names)}"
      )
    else:
      columns = columns._replace(query=query)
  elif given("query") and asked.query and not given("document"):
    document = own(("document", "answer", "passage", "positive"))
    columns = columns._replace(document=document or "document")
  elif asked.query == "" and not given("document"):
    columns = columns._replace(document=own(_TEXT) or "document")
  if kind == "text":  # use the documents of pairs
    columns = columns._replace(query="")
  if not given("negatives"):
    columns = columns._replace(negatives=own(_NEGATIVES) or "negatives")
  there = lambda column: bool(column) and has(first, column)
  negatives = any(not empty(negatives_in(r, columns.negatives)) for r in first)
  pair = there(columns.query) and there(columns.document)
  label = asked.label or ("" if asked.label == "" else own(_LABEL))
  score = asked.score or own(_SCORE)
  if asked.classes and not label:
    raise UserError(
      f"{where}: --classes is set, but no column of labels was found among "
      f"{', '.join(names)}; name it, as in --columns "
      f"document={columns.document},label={names[-1]}"
    )
  if label and columns.document == label:
    raise UserError(
      f"{where}: the column {label} is both the document and the label; name "
      "the column of the texts with --columns document=COLUMN"
    )
  shown = f"columns {columns.query} and {columns.document}"
  named = bool(asked.label or asked.classes or kind == "labels")
  possible = {
    "triplets": pair and negatives,
    "scores": pair and (bool(asked.score) or _numbers(first, score)),
    "labels": there(label)
    and (named or not columns.query or _numbers(first, label)),
    "pairs": pair,
    "text": there(columns.document) and not columns.query,
  }
  if kind is None and pair and not possible["triplets"]:
    _check_scores(where, first, score)
  if there(label) and (kind in (None, "labels")) and not columns.query:
    _check_commas(where, first, label)
  order = ["labels", *possible] if named else [*possible]
  if kind is not None:
    order = [kind]
  name = next((each for each in order if possible[each]), "")
  if not name and kind in (None, "text") and has(first, "input_ids"):
    return columns, "text", "token ids in input_ids"
  if name:
    # Columns of other kinds are read only if the user names them.
    if name == "scores":
      columns = columns._replace(score=score)
    if name == "labels":
      columns = columns._replace(label=label)
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
      f"--kind={kind}: {where} lacks the columns of {kind}; it has "
      f"{', '.join(names)}; assign their roles with --columns"
    )
  texts = _texts(first) or names
  if any(_like_data(column) for column in names):
    raise UserError(
      f"{where}: its first line, {', '.join(names)}, does not seem to name "
      "the columns; number them, as in --columns query=#1,document=#2 (and "
      "score=#3), or insert a line of names"
    )
  raise UserError(
    f"{where}: its columns are {', '.join(names)}; assign their roles, as in "
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


def by_name(column: str) -> str:
  """Returns the role that the name of a column suggests, among negatives, score
  and label; "" if none.
  """
  options = {"negatives": _NEGATIVES, "score": _SCORE, "label": _LABEL}
  plain = _plain(column)
  return next((role for role, names in options.items() if plain in names), "")


def texts(row: dict) -> list[str]:
  """Returns the columns of a row that hold texts and have a usual name."""
  known = {name for sides in _SIDES for name in sides} | {*_TEXT}
  return [
    n for n, v in row.items() if _plain(n) in known and isinstance(v, str)
  ]


def has_role(row: dict, role: str) -> bool:
  """Returns whether a row has a value in a column named for a role."""
  return any(by_name(n) == role and not empty(v) for n, v in row.items())


def _plain(name: str) -> str:
  return re.sub(r"[\s-]+", "_", name.strip()).casefold()


def has(first: Sequence[dict], column: str) -> bool:
  """Returns whether some row has a column that is not empty."""
  return any(not empty(pick(r, column)) for r in first)


def empty(value: Json) -> bool:
  """Returns whether a value is missing or empty."""
  return value in (MISSING, None, "", [])


def _like_data(column: str) -> bool:
  """Returns whether the name of a column is a number or a sentence."""
  return not isinstance(number_of(column), str) or len(column.split()) > 5


def _check_scores(where: str, first: Sequence[dict], column: str) -> None:
  """Raises UserError if some values of a column of scores are not numbers.

  A column of words that is called a score is not one.
  """
  wrong = _not_number(first, column) if column else None
  if wrong is None or not any(
    re.search(r"\d", str(pick(row, column))) for row in first
  ):
    return
  _check_commas(where, first, column)
  raise UserError(
    f"{where}: the column '{column}' holds {wrong!r}, which is not a number; "
    "correct such rows, name another column with --columns score=COLUMN, or "
    "leave the scores out with --kind=pairs"
  )


def _check_commas(where: str, first: Sequence[dict], column: str) -> None:
  """Raises UserError if a column has numbers with decimal commas."""
  values = [v for r in first if isinstance(v := pick(r, column), str) and v]
  if all(map(_COMMA.fullmatch, values)) and any("," in v for v in values):
    shown = next(v for v in values if "," in v)
    raise UserError(
      f"{where}: the column '{column}' holds {shown!r}, with a decimal comma; "
      f"write numbers with a point, as in {shown.replace(',', '.')}"
    )


def _not_number(first: Sequence[dict], column: str) -> Json:
  """Returns a value of a column that is not a number; None if all are."""
  for row in first:
    value = pick(row, column)
    if value in (MISSING, None, ""):
      continue
    if not isinstance(number_of(value), int | float):
      return value
  return None


def _numbers(first: Sequence[dict], column: str) -> bool:
  """Returns whether a column has values and all of them are numbers."""
  values = [row.get(column) for row in first] if column else []
  values = [
    each
    for value in values
    if value not in (None, "")
    for each in (value if isinstance(value, list) else [value])
  ]
  is_number = lambda x: isinstance(x, int | float)
  return bool(values) and all(is_number(number_of(x)) for x in values)
