# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the code of the page on adding a data format."""

import gzip
import pathlib
import re

import pytest

from nomic_jax.data import readers
from nomic_jax.data.readers.reader import Files
from nomic_jax.errors import UserError

PAGE = pathlib.Path(readers.__file__).parent / "README.md"
FAQ = """Q: What is a slot?
A: The place of a text in a row.

Q: What is a row?
A: A sequence of tokens.
"""


@pytest.fixture(name="_reader")
def _added(monkeypatch):
  """Adds the page's reader to the table of files of rows."""
  code, line = re.findall(
    r"^```python\n(.*?)^```",
    PAGE.read_text(encoding="utf-8"),
    flags=re.MULTILINE | re.DOTALL,
  )
  names = {}
  exec(compile(code, "faq.py", "exec"), names)
  reader = eval(line, {"Files": Files, "faq": names["faq"]})
  monkeypatch.setitem(readers.ROWS, reader.kind, reader)


def _rows(source, skip_bad=0):
  rows = readers.Rows(
    readers.find(str(source), readers.Columns()), None, skip_bad
  )
  return list(rows), rows.bad


@pytest.mark.usefixtures("_reader")
def test_the_page_adds_a_format(tmp_path):
  (tmp_path / "a.faq").write_text(FAQ)
  (tmp_path / "b.faq.gz").write_bytes(gzip.compress(FAQ.encode()))
  # Describes the data, as beside a format of the package.
  (tmp_path / "README.md").write_text("# Questions\n\nand their answers.\n")
  rows, _ = _rows(tmp_path)
  assert [r["query"] for r in rows] == ["What is a slot?", "What is a row?"] * 2
  assert rows[1]["document"] == "A sequence of tokens."
  assert [r["source"] for r in rows] == ["a", "a", "b", "b"]
  assert rows[1]["location"] == f"{tmp_path}/a.faq:5"


@pytest.mark.usefixtures("_reader")
def test_a_bad_row_is_named_and_counted(tmp_path):
  path = tmp_path / "a.faq"
  path.write_text(FAQ + "A: To what?\n")
  with pytest.raises(UserError, match="a.faq, row 6: expected 'Q: ...', then"):
    _rows(path)
  rows, bad = _rows(path, skip_bad=1)
  assert len(rows) == 2
  assert bad.counts == {"not a question and its answer": 1}


@pytest.mark.usefixtures("_reader")
@pytest.mark.parametrize(
  ("lines", "row"),
  [("Q: Why?\n", 6), ("Q: Why?\nQ: How?\nA: So.\n", 6), ("Why?\n", 6)],
)
def test_a_question_without_an_answer_is_not_lost(tmp_path, lines, row):
  path = tmp_path / "a.faq"
  path.write_text(FAQ + lines)
  rows, bad = _rows(path, skip_bad=1)
  assert len(rows) + bad.skipped == 2 + lines.count("?")
  with pytest.raises(UserError, match=f"a.faq, row {row}: expected"):
    _rows(path)


def test_without_the_line_there_is_no_such_format(tmp_path):
  path = tmp_path / "a.faq"
  path.write_text(FAQ)
  with pytest.raises(UserError, match="expected .*jsonl"):
    _rows(path)
