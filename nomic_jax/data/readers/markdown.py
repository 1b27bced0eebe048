# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Pages of Markdown, and their sections.

If no other reader knows a folder or its files, its pages are read in the order
of names, including those in subfolders. The title of a page is that of
its front matter, else its first heading, else the name of its file.
"""

from collections.abc import Iterator
import re
from typing import NamedTuple

from nomic_jax.data.readers.reader import Asked
from nomic_jax.data.readers.reader import Part
from nomic_jax.errors import UserError
from nomic_jax.storage import places
from nomic_jax.storage import streams
from nomic_jax.storage import text_lines
from nomic_jax.storage import unicode_text
from nomic_jax.storage.bad import BadRow
from nomic_jax.storage.bad import BadRows

SUFFIXES = ()  # folders with their subfolders

PAGES = (".md", ".markdown", ".mdx")
_HEADING = re.compile(r" {0,3}(#{1,6})\s+(.*?)\s*#*\s*")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)\s*")
# The fence of a code block: three or more of one mark. Code between backticks
# on one line is not a fence.
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})(.*)")
_TITLE = re.compile(r"title:\s*[\"']?(.*?)[\"']?\s*")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


class Section(NamedTuple):
  """Text under a heading, up to the next one of any level.

  Attributes:
    line: the line number of the heading, from 1.
    headings: the heading after those above it, outermost first; () for text
      before the first heading.
    text: the text of the section, without the heading.
  """

  line: int
  headings: tuple[str, ...]
  text: str


def known(path: str) -> bool:
  """Returns whether a path is a page, or a folder with one."""
  if path.endswith(PAGES):
    return streams.is_file(path)
  return bool(pages(path, first=True))


def parts(paths: tuple[str, ...], asked: Asked) -> list[Part]:
  """Returns all pages as one part."""
  (path,) = paths
  path = streams.absolute(path)
  if asked.include:
    raise UserError(
      f"--include: not supported for Markdown, of which all of {path} is read; "
      "specify a subfolder as the source instead"
    )
  found = [path] if streams.is_file(path) else pages(path)
  if not found:
    raise UserError(f"{path}: holds no {' or '.join(PAGES)} files")
  name = streams.name(path).partition(".")[0]
  return [Part("markdown", tuple(found), name, asked.columns)]


def pages(folder: str, first: bool = False) -> list[str]:
  """Returns the pages of a folder and its subfolders, or only the first."""
  found = []
  for path in streams.list_folder(folder) or ():
    name = streams.name(path)
    if name.startswith((".", "_")) or places.is_system(name):
      continue
    if name == "node_modules":
      continue
    if name.endswith(PAGES):
      found.append(path)
    else:  # perhaps a folder; its name may have a dot, as in v1.2
      found += pages(path, first)
    if first and found:
      return found[:1]
  return found


def records(path: str, bad: BadRows) -> Iterator[tuple[int, dict]]:
  """Yields (1, {"title", "text"}); the text includes all headings."""
  lines = [line for _, line in text_lines.read(path, bad)]
  title, start = _title(lines, path)
  text = "\n".join(lines[start:]).strip()
  if unicode_text.blank(text):
    bad.add(BadRow("empty text", f"{path}: has no text"))
    return
  yield 1, {"title": title, "text": text}


def sections(text: str) -> list[Section]:
  """Returns the sections of a page in order; code blocks have no headings."""
  found: list[Section] = []
  above: list[tuple[int, str]] = []
  body: list[str] = []
  at, fence = 1, ""
  lines = text.split("\n")

  def close(line: int) -> None:
    nonlocal body
    inside = "\n".join(body).strip()
    if above or inside:
      found.append(Section(at, tuple(name for _, name in above), inside))
    body = []

  for number, line in enumerate(lines, 1):
    fence = _fence(line, fence)
    heading = None if fence else _HEADING.fullmatch(line)
    level, name = (len(heading[1]), heading[2]) if heading else (0, "")
    underline = _UNDERLINE.fullmatch(line) if not fence else None
    if (
      underline
      and body
      and body[-1].strip()
      and (len(body) < 2 or not body[-2].strip())
      and not body[-1].lstrip().startswith(("|", "-", "*", ">", "#"))
      and len(line.strip()) > 1
    ):
      level, name = 1 + (underline[1][0] == "-"), body.pop().strip()
    if not level:
      body.append(line)
      continue
    close(number)
    above = [each for each in above if each[0] < level]
    above.append((level, _plain(name)))
    at = number
  close(len(lines))
  return found


def _fence(line: str, fence: str) -> str:
  """Returns the fence of the code block after a line; "" if none is open.

  A fence ends a block if it is at least as long as the one that began it, of
  the same marks, and nothing follows on its line.
  """
  found = _FENCE.match(line)
  if not found:
    return fence
  mark, rest = found.groups()
  if not fence:
    return mark
  return "" if mark.startswith(fence) and not rest.strip() else fence


def _title(lines: list[str], path: str) -> tuple[str, int]:
  """Returns the title of a page, and the first line of its text, from 0."""
  start, title = 0, ""
  if lines and lines[0].strip() == "---":
    for number, line in enumerate(lines[1:], 1):
      if line.strip() == "---":
        start = number + 1
        break
      if match := _TITLE.fullmatch(line):
        title = match[1]
    else:
      title = ""  # a horizontal rule rather than front matter
  if not title:
    first = [s for s in sections("\n".join(lines[start:])) if s.headings]
    title = first[0].headings[0] if first else ""
  if not title:
    stem = streams.name(path).partition(".")[0]
    title = stem.replace("_", " ").replace("-", " ")
  return title, start


def _plain(heading: str) -> str:
  """Returns a heading without links, code marks and emphasis."""
  heading = _LINK.sub(r"\1", heading)
  heading = re.sub(r"\s*\{#[^}]*\}$", "", heading)
  return re.sub(r"[`*]", "", heading).strip()
