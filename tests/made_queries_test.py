# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Markdown, and pairs made from documents without queries."""

import json

import numpy as np
import pytest

from nomic_jax.curate import dev
from nomic_jax.data import dataset
from nomic_jax.data import kinds
from nomic_jax.data import readers
from nomic_jax.data import splits
from nomic_jax.data.prepare import prepare
from nomic_jax.data.readers import markdown
from nomic_jax.data.readers import queries
from nomic_jax.errors import UserError

PAGE = """---
layout: x
title: "The guide"
---
# The guide

Before all sections there are these few words.

## Install `it` {#here}

Run the program that is named in the next line:

```sh
# not a heading
make
```

### Linux

Of this system we say only five or more words.

Upgrade
-------

Short.

| a | b |
|---|---|
| 1 | 2 |
"""


def _prepare(tmp_path, source, **options):
  options = {"vocab_size": 80, "held_out": 0, "allow_unk": True} | options
  prepare(str(source), tmp_path / "out", overwrite=True, **options)
  rows = {
    name: list(
      dataset.open_split(tmp_path / "out", name).__getitems__(
        range(len(dataset.open_split(tmp_path / "out", name)))
      )
    )
    for name in dataset.splits(tmp_path / "out")
  }
  return rows


@pytest.fixture
def docs(tmp_path):
  folder = tmp_path / "docs"
  (folder / "more" / "deep").mkdir(parents=True)
  (folder / ".git").mkdir()
  (folder / "guide.md").write_text(PAGE)
  (folder / "README.md").write_text("Only these words, and no heading.\n")
  (folder / "more" / "deep" / "a_page.markdown").write_text(
    "# One\n\n" + " ".join(f"word{i}" for i in range(600)) + "\n"
  )
  (folder / ".git" / "x.md").write_text("# Not read\n")
  return folder


def test_sections_are_those_of_the_page():
  found = markdown.sections(PAGE.split("---\n", 2)[2])
  assert [s.headings for s in found] == [
    ("The guide",),
    ("The guide", "Install it"),
    ("The guide", "Install it", "Linux"),
    ("The guide", "Upgrade"),
  ]
  assert "# not a heading\nmake" in found[1].text
  assert found[3].text.startswith("Short.") and "| 1 | 2 |" in found[3].text
  assert [s.headings for s in markdown.sections("a\n\nb")] == [()]


def test_code_blocks_end_with_the_fence_that_they_began_with():
  for fence, inside in (
    ("````", "```sh\n# no\n```"),
    ("```", "~~~\n# no\n~~~"),
    ("```", "```sh\n# no"),
    ("~~~", "~~~~ x\n# no"),
  ):
    text = f"# One\n\n{fence}md\n{inside}\n{fence}\n\n# Two\n\nx"
    found = [s.headings for s in markdown.sections(text)]
    assert found == [("One",), ("Two",)], (fence, inside)
  # Code in a line is no block.
  assert len(markdown.sections("# One\n\n```a``` b\n\n# Two")) == 2


def test_folders_with_a_point_in_their_name_are_read(tmp_path, docs):
  for name in ("v1.2", "Vue.js"):
    (docs / name).mkdir()
    (docs / name / "a.md").write_text(f"Words about {name}.")
  rows = _prepare(tmp_path, docs)["train"]
  assert {"Words about v1.2.", "Words about Vue.js."} <= {
    r["document"] for r in rows
  }


def test_a_folder_of_markdown_is_pages(tmp_path, docs, capsys):
  rows = _prepare(tmp_path, docs)["train"]
  assert [r["location"].removeprefix(f"{docs}/") for r in rows] == [
    *("README.md:1", "guide.md:1", "more/deep/a_page.markdown:1")
  ]
  assert rows[1]["document"].startswith("# The guide") and not rows[1]["query"]
  assert {r["source"] for r in rows} == {"docs"}
  assert kinds.of(tmp_path / "out").name == "text"
  (docs / "pairs.jsonl").write_text('{"query": "a", "document": "b"}\n')
  assert len(_prepare(tmp_path, docs)["train"]) == 1  # its rows, as before
  (docs / "empty.md").write_text("\n")
  with pytest.raises(UserError, match="empty.md: has no text"):
    _prepare(tmp_path, docs / "empty.md")


def test_pairs_are_made_and_counted(tmp_path, docs, capsys):
  rows = _prepare(tmp_path, docs, queries=["title", "heading", "crop"])["train"]
  out = capsys.readouterr().out
  for line in (
    "made: title pairs                 3",
    "made: heading pairs               5",
    "dropped: documents without a heading pair 1",
    "dropped: documents without a crop pair",
    "real queries are better",
    "two crops of 10% to 50% of each 256 words",
  ):
    assert line in out, line
  made = {(r["query"], r["document"][:12]) for r in rows}
  assert ("The guide", "Before all s") in made
  assert ("The guide: Install it: Linux", "Of this syst") in made
  assert ("README", "Only these w") in made
  long = [r for r in rows if "a_page" in r["location"]]
  crops = [r for r in long if r["query"].startswith("word")]
  assert len(crops) == 3  # of 256, 256 and 88 words
  for row in crops:
    for crop in (row["query"], row["document"]):
      words = [int(w[4:]) for w in crop.split()]
      assert words == [*range(words[0], words[0] + len(words))]
      assert 8 <= len(words) <= 128
    # Both are from the same passage.
    passage = {int(w[4:]) // 256 for c in row["query"].split() for w in [c]}
    assert len(passage) == 1
  assert kinds.of(tmp_path / "out").name == "pairs"
  again = _prepare(tmp_path, docs, queries=["crop"])["train"]
  assert [r["query"] for r in again if "a_page" in r["location"]] == [
    r["query"] for r in crops
  ]


def test_crops_are_as_long_as_they_say():
  text = " ".join(f"w{i}" for i in range(256 * 200))
  bad = readers.BadRows()
  rows = list(
    queries.rows(
      "f", 1, {"text": text}, readers.Columns("", "text"), ["crop"], "", bad
    )
  )
  assert len(rows) == 200 == bad.made["crop pairs"]
  lengths = np.array([len(r["query"].split()) for r in rows])
  assert lengths.min() < 40 and lengths.max() > 110
  assert abs(lengths.mean() - 256 * 0.3) < 8
  overlap = np.mean(
    [bool(set(r["query"].split()) & set(r["document"].split())) for r in rows]
  )
  assert 0.2 < overlap < 0.9  # drawn independently
  thai = queries._spans("ก" * 100)
  assert len(thai) == 25


def test_rows_of_one_document_are_on_one_side(tmp_path):
  source = tmp_path / "docs.jsonl"
  rng = np.random.default_rng(0)
  source.write_text(
    "".join(
      json.dumps(
        {
          "title": f"title {i}",
          "text": " ".join(f"d{i}n{n}" for n in rng.permutation(600)),
        }
      )
      + "\n"
      for i in range(30)
    )
  )
  rows = _prepare(tmp_path, source, queries=["title", "crop"], held_out=0.2)
  sides = [{r["location"] for r in rows[name]} for name in ("train", "test")]
  assert sides[1] and not sides[0] & sides[1]
  assert len(rows["train"]) + len(rows["test"]) == 30 * 4
  # Control: without the common document they would be separated.
  found = splits.survey(
    {**r, "group": None} for name in rows for r in rows[name]
  )
  fates = splits.fates(found, 0.2)
  places = [r["location"] for name in rows for r in rows[name]]
  parted = {p for p, f in zip(places, fates) if f} & {
    p for p, f in zip(places, fates) if not f
  }
  assert parted


@pytest.mark.parametrize("suffix", [".jsonl", ".md"])
def test_rows_of_one_document_are_on_one_side_of_a_dev_split(tmp_path, suffix):
  page = lambda i: "\n\n".join(
    f"# h{i}x{s}\n\n" + " ".join(f"d{i}s{s}n{n}" for n in range(9))
    for s in range(3)
  )
  source = tmp_path / "docs"
  source.mkdir()
  for i in range(20):
    if suffix == ".md":
      (source / f"{i}.md").write_text(page(i))
    else:
      with open(source / "a.jsonl", "a") as f:
        f.write(json.dumps({"title": f"t{i}", "text": page(i)}) + "\n")
  _prepare(tmp_path, source, queries=["heading"])
  sizes = dev.split(tmp_path / "out", tmp_path / "dev", 9)
  assert sizes == {"train": 51, "test": 9}
  documents = [
    {
      queries.document_of(row["location"])
      for row in map(source.__getitem__, range(len(source)))
    }
    for source in (
      dataset.open_split(tmp_path / "dev", name) for name in ("train", "test")
    )
  ]
  assert len(documents[0]) == 17 and len(documents[1]) == 3
  # Of few documents, none is held out whole.
  assert dev.split(tmp_path / "out", tmp_path / "two", 2)["test"] == 2


def test_what_cannot_be_made_is_refused(tmp_path, docs):
  with pytest.raises(UserError, match="--queries=titel: unknown.*title"):
    _prepare(tmp_path, docs, queries=["titel"])
  source = tmp_path / "a.csv"
  source.write_text("name,text\nx,a b c\n")
  with pytest.raises(UserError, match="no column 'title'.*columns title="):
    _prepare(tmp_path, source, queries=["title"])
  source.write_text("name,text\nx,a b c d e f\n")
  rows = _prepare(tmp_path, source, queries=["title"], columns=["title=name"])
  assert rows["train"][0]["query"] == "x"
  source.write_text("query,document,title\nq,a b c d e f,t\n")
  row = _prepare(tmp_path, source, queries=["title"])["train"][0]
  assert (row["query"], row["document"]) == ("t", "a b c d e f")
  with pytest.raises(UserError, match="--kind=labels: --queries makes pairs"):
    _prepare(tmp_path, source, queries=["title"], kind="labels")
  with pytest.raises(UserError, match="--include: not supported for Markdown"):
    _prepare(tmp_path, docs, include=["*.md"])
