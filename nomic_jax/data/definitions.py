# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs of summary and code from the functions and classes of a Python file.

The code is cut from the source instead of being generated from the syntax
tree: that is faster and keeps the author's comments.
"""

import ast
import bisect
from collections.abc import Iterator
import textwrap
from typing import Any
from typing import NamedTuple

from nomic_jax.data import summary

# The small encoders trained on this data read a few hundred tokens of a
# document. Long prose is cut so that half of the space is left for code.
DOCUMENT_CHARACTERS = 2000
PROSE_CHARACTERS = 1000

# Number of words of a summary: shorter ones say little, and longer ones are
# rarely one sentence.
MIN_WORDS = 4
MAX_WORDS = 50

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Pair(NamedTuple):
  """A definition with a docstring; `reason` is why it is dropped, or ""."""

  reason: str
  query: str = ""
  document: str = ""
  line: int = 0
  content: str = ""  # Document without its qualified name, to detect copies.
  body: str = ""


def pairs(source: bytes, tree: ast.Module, module: str) -> Iterator[Pair]:
  """Yields a pair for each definition with a docstring, in source order."""
  starts = [0]
  for line in source.split(b"\n"):
    starts.append(starts[-1] + len(line) + 1)
  definitions, spans = [], []
  pending: list[tuple[ast.AST, str]] = [(tree, module + ".")]
  while pending:
    parent, prefix = pending.pop()
    for node in _statements(parent):
      if not isinstance(node, _DEFINITIONS):
        pending.append((node, prefix))
        continue
      pending.append((node, prefix + node.name + "."))
      text = node.body[0]
      if (
        isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
      ):
        definitions.append((node, prefix + node.name))
        spans.append((_offset(starts, text), _offset(starts, text, end=True)))
  definitions.sort(key=lambda d: (d[0].lineno, d[0].col_offset))
  spans.sort()
  for node, name in definitions:
    yield _pair(source, starts, spans, node, name)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
  """Yields the statements directly under `node` that may hold definitions."""
  for field in ("body", "orelse", "finalbody", "handlers"):
    for child in getattr(node, field, ()):
      if isinstance(child, _DEFINITIONS) or hasattr(child, "body"):
        yield child


def _offset(starts: list[int], node: ast.stmt, end: bool = False) -> int:
  """Returns the byte offset of the start or end of `node`."""
  if end:
    assert node.end_lineno is not None and node.end_col_offset is not None
    return starts[node.end_lineno - 1] + node.end_col_offset
  return starts[node.lineno - 1] + node.col_offset


def _pair(
  source: bytes,
  starts: list[int],
  spans: list[tuple[int, int]],
  node: Any,
  name: str,
) -> Pair:
  """Returns the query and the document of one definition.

  Args:
    source: the file.
    starts: the byte offset of each line.
    spans: start and end of its docstrings, in order.
    node: the definition.
    name: its qualified name.
  """
  docstring = node.body[0]
  sentence, prose = summary.split(docstring.value.value, 2 * PROSE_CHARACTERS)
  if summary.words(sentence) < MIN_WORDS:
    return Pair(f"summary under {MIN_WORDS} words")
  if summary.words(sentence) > MAX_WORDS:
    return Pair(f"summary over {MAX_WORDS} words")
  head = source[_offset(starts, node) : _offset(starts, docstring)]
  head = " ".join(head.decode("utf-8").split())
  body = _body(
    source,
    spans,
    _offset(starts, docstring, end=True),
    _offset(starts, node, end=True),
  )
  head = summary.without(sentence, head)
  prose = summary.without(sentence, prose)[:PROSE_CHARACTERS].rstrip()
  body = summary.without(sentence, body)
  content = "\n".join(part for part in (head, prose, body) if part)
  document = f"{name}\n{content}"[:DOCUMENT_CHARACTERS].rstrip()
  return Pair("", sentence, document, node.lineno, content, body)


def _body(
  source: bytes, spans: list[tuple[int, int]], start: int, end: int
) -> str:
  """Returns the code between two bytes, dedented and without docstrings."""
  pieces, size = [], 0
  for span in spans[bisect.bisect_left(spans, (start, start)) :]:
    if span[0] >= end or size > 2 * DOCUMENT_CHARACTERS:
      break
    pieces.append(source[start : span[0]])
    size += len(pieces[-1])
    start = span[1]
  pieces.append(source[start : min(end, start + 3 * DOCUMENT_CHARACTERS)])
  text = b"".join(pieces).decode("utf-8", "ignore")
  lines = [line.rstrip() for line in text.split("\n")]
  return textwrap.dedent("\n".join(line for line in lines if line)).strip()
