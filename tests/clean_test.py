# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Which rows clean drops, the reasons, and which it keeps."""

import json
import pathlib
import random
import re

import pytest

from nomic_jax import curate
from nomic_jax.curate import clean as cleaning
from nomic_jax.curate import duplicates
from nomic_jax.curate import quality
from nomic_jax.curate.clean import clean
from nomic_jax.data import dataset
from nomic_jax.data import kinds
from nomic_jax.errors import UserError

_NO_LIMITS = quality.Limits(None, None)


def _directory(path, rows, test=()):
  tokenizer = path.parent / "tokenizer"
  tokenizer.mkdir(exist_ok=True)
  (tokenizer / "tokenizer.json").write_text("{}")
  splits = {"train": rows} | ({"test": test} if test else {})
  dataset.write(path, splits, stats={}, tokenizer=tokenizer)
  return path


def _clean(tmp_path, rows, name="out", **flags):
  data = tmp_path / "in"
  if not data.exists():
    _directory(data, rows)
  stats = clean(data, tmp_path / name, **flags)
  source = dataset.open_split(tmp_path / name, "train")
  removed = [
    json.loads(line)
    for line in open(tmp_path / name / "removed.jsonl", encoding="utf-8")
  ]
  rows = stats["rows"]
  assert (
    rows["input"]
    == rows["kept"] + len(removed)
    == (
      rows["kept"] + sum(rows["dropped"].values()) + sum(rows["bad"].values())
    )
  )
  return [source[i] for i in range(len(source))], removed, stats


def _words(seed, count):
  rng = random.Random(seed)
  return ["".join(rng.choices("abcdefghij", k=6)) for _ in range(count)]


def test_copies_and_empty_texts(tmp_path):
  rows = [
    dataset.row("One, two", "three four"),
    dataset.row("one two", "Three  four!", location="f:2"),  # A copy.
    dataset.row("another", "three four"),  # Another question about it.
    dataset.row("one two", "five"),
    dataset.row("x", " \n"),
    dataset.row("", "text alone"),
    dataset.row("", "Text, alone"),
  ]
  kept, removed, stats = _clean(tmp_path, rows)
  assert [r["query"] for r in kept] == ["One, two", "another", "one two", ""]
  assert [(r["row"], r["reason"], r["detail"]) for r in removed] == [
    (1, "copy", "of row 0"),
    (4, "empty text", ""),
    (6, "copy", "of row 5"),
  ]
  assert removed[0]["location"] == "f:2"
  assert stats["rows"]["bad"] == {"empty text": 1}
  assert clean(tmp_path / "in", tmp_path / "out") == stats  # Complete.


@pytest.mark.parametrize(
  "query,document,reason",
  [
    ("what is it", "It is a perfectly ordinary sentence.", ""),
    ("what is it", "What is it?", "query is the document"),
    ("q", "0x1f, 0x2e; 12 ++ -- 4711 {}", "few letters"),
    ("q", "日本語の文章です。", ""),
    ("q", "menu home\nabout us\n" * 6 + "one line more", "repeated lines"),
    ("q", "one\ntwo\nthree\nfour\none", ""),
    ("q", "Please enable JavaScript to view this page.", "boilerplate"),
    ("q", "Please enable JavaScript. " + "Long prose on the web. " * 60, ""),
  ],
)
def test_rules(query, document, reason):
  assert quality.fault(query, document, _NO_LIMITS) == reason


def test_lengths():
  fault = lambda n: quality.fault("q", "word " * n, quality.Limits(3, 5))
  assert [fault(n) for n in (2, 3, 5, 6)] == [
    "document too short",
    "",
    "",
    "document too long",
  ]


def test_near_duplicates(tmp_path):
  pytest.importorskip("rensa")
  words = _words(0, 200)
  changed = words[:100] + ["other"] + words[101:]  # Jaccard about 0.97
  far = words[:100] + _words(1, 100)  # about 0.33
  rows = [
    dataset.row("the question", " ".join(words)),
    dataset.row("The question?", " ".join(changed)),
    dataset.row("something else asked", " ".join(changed)),
    dataset.row("the question", " ".join(far)),
    dataset.row("the question", "short text"),
  ]
  kept, removed, _ = _clean(tmp_path, rows, near=0.8)
  assert [(r["row"], r["reason"], r["detail"]) for r in removed] == [
    (1, "near-duplicate", "of row 0")
  ]
  assert len(kept) == 4
  assert len(_clean(tmp_path, rows, "all")[0]) == 5  # Not asked for.


def test_near_duplicates_are_those_of_all_pairs(tmp_path):
  """Compares with the Jaccard index of all pairs, except near the threshold."""
  pytest.importorskip("rensa")
  rng = random.Random(0)
  base = [_words(i, 120) for i in range(12)]
  texts = []
  for i in range(60):
    words = list(base[i % 12])
    for _ in range(rng.choice((0, 1, 2, 30))):
      words[rng.randrange(120)] = f"new{rng.random()}"
    texts.append(" ".join(words))
  near = duplicates.Near(0.7, lambda row: "")
  firsts, wrong = [], 0
  for i, text in enumerate(texts):
    shingles = set(duplicates.shingles(text))
    best = max(
      (len(shingles & s) / len(shingles | s) for _, s in firsts), default=0
    )
    found = near.earlier(i, "", text)
    if abs(best - 0.7) > 0.12:  # 128 hashes estimate it to about 0.04
      wrong += (best > 0.7) != (found is not None)
    if found is None:
      firsts.append((i, shingles))
  assert not wrong and 12 <= len(firsts) < 50


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 0.95])
def test_bands_find_what_is_at_the_threshold(threshold):
  count = duplicates.bands(threshold)
  assert 128 % count == 0
  assert 1 - (1 - threshold ** (128 // count)) ** count > 0.95


def test_languages(tmp_path):
  pytest.importorskip("py3langid")
  rows = [
    dataset.row(
      "how do I reset my password",
      "Open the settings, choose "
      "security and follow the link that we send you.",
    ),
    dataset.row(
      "wie setze ich mein Passwort zurück",
      "Öffnen Sie die Einstellungen und folgen Sie dem Link in der Nachricht.",
    ),
    dataset.row(
      "comment changer mon mot de passe",
      "Ouvrez les paramètres et suivez le lien que nous vous avons envoyé.",
    ),
  ]
  kept, removed, _ = _clean(tmp_path, rows, languages=["en", "fr"])
  assert [r["query"][:4] for r in kept] == ["how ", "comm"]
  assert removed[0]["reason"] == "language"
  assert removed[0]["detail"].startswith("de, ")
  with pytest.raises(UserError, match="no language 'english'; expected"):
    clean(tmp_path / "in", tmp_path / "bad", languages=["english"])


def test_evaluation_texts_are_dropped(tmp_path):
  passage = _words(7, 40)
  test = [dataset.row("who wrote it", " ".join(passage))]
  against = _directory(tmp_path / "evaluation", [dataset.row("x", "y z")], test)
  fresh = " ".join(_words(8, 60))
  rows = [
    dataset.row("a", f"{fresh} {', '.join(passage).upper()} {fresh}"),
    dataset.row("b", " ".join(passage[:30]) + " " + fresh),  # 23 of 33 runs.
    dataset.row("c", " ".join(passage[:15]) + " " + fresh),  # 8 of 33 runs.
    dataset.row(" ".join(passage[:20]), " ".join(passage[:20]) + " it"),
    dataset.row("Who wrote it?", fresh),  # The query, which is short.
    dataset.row("who wrote it then", fresh + " who wrote it"),
    dataset.row("x", "y z"),  # Of the split train, which is not evaluated.
  ]
  kept, removed, _ = _clean(tmp_path, rows, against=[str(against)])
  # The fourth has 13 of 33 runs, in the query and in the document.
  assert [r["query"] for r in kept] == [
    "c",
    rows[3]["query"],
    "who wrote it then",
    "x",
  ]
  assert [r["detail"].split(" of")[0] for r in removed] == [
    "100%",
    "70%",
    "100%",
  ]
  assert " ".join(passage)[:100] in removed[0]["detail"]
  kept, _, _ = _clean(
    tmp_path, rows, "strict", against=[str(against)], overlap=0.2
  )
  assert [r["query"] for r in kept] == ["who wrote it then", "x"]

  beir = tmp_path / "beir"
  (beir / "qrels").mkdir(parents=True)
  (beir / "qrels/test.tsv").write_text(
    "q1\td1\t1\nq1\td2\t0\nq1\tgone\t1\ngone\td1\t1\n"
  )
  (beir / "queries.jsonl").write_text('{"_id": "q1", "text": "unrelated"}\n')
  (beir / "corpus.jsonl").write_text(
    "".join(
      json.dumps({"_id": n, "text": t}) + "\n"
      for n, t in (("d1", " ".join(passage)), ("d2", fresh))
    )
  )
  kept, _, _ = _clean(tmp_path, rows, "without", against=[str(beir)])
  assert [r["query"] for r in kept] == [
    "c",
    rows[3]["query"],
    "Who wrote it?",
    "who wrote it then",
    "x",
  ]


def test_errors(tmp_path):
  data = _directory(tmp_path / "in", [dataset.row("a", "")])
  for flags, message in (
    (dict(near=1.5), "near=1.5: expected a number above 0"),
    (dict(overlap=0), "overlap=0: expected a number above 0"),
    (dict(min_words=0), "min_words=0"),
    (dict(against=["none"]), "--against=none: no such file"),
    (dict(against=[str(data)]), "has only the split train"),
    (dict(), "every pair .* was dropped"),
  ):
    with pytest.raises(UserError, match=message):
      clean(data, tmp_path / "out", **flags)
  assert not (tmp_path / "out").exists()


# Characters of scripts that put no spaces between words.
_SCRIPTS = {
  "Han": [chr(0x4E00 + i) for i in range(3000)],
  "kana": [chr(0x3042 + i) for i in range(80)],
  "Thai": [chr(0x0E01 + i) for i in range(46)],
  "Khmer": [chr(0x1780 + i) for i in range(35)],
}


@pytest.mark.parametrize("script", _SCRIPTS)
def test_scripts_without_spaces(tmp_path, script):
  """Near-duplicates, contamination and lengths are found as in English."""
  pytest.importorskip("rensa")
  rng = random.Random(0)
  draw = lambda n: "".join(rng.choices(_SCRIPTS[script], k=n))
  texts = [draw(60) for _ in range(80)]
  near = [
    f"{t[:30]}{'x' if script == 'kana' else 'ๆ'}{t[31:]}" for t in texts[:50]
  ]
  rows = [dataset.row(t[5:17], t) for t in texts + near]
  kept, removed, _ = _clean(tmp_path, rows, near=0.8)
  assert [r["detail"] for r in removed] == [f"of row {i}" for i in range(50)]
  (tmp_path / "e.txt").write_text(
    "".join(t[10:50] + "\n" for t in texts[:40]), encoding="utf-8"
  )
  kept, removed, _ = _clean(
    tmp_path, rows, "c2", against=[str(tmp_path / "e.txt")]
  )
  assert [r["row"] for r in removed] == [*range(40), *range(80, 120)]
  assert len(_clean(tmp_path, rows, "c3", min_words=50, max_words=61)[0]) == 130
  with pytest.raises(UserError):
    _clean(tmp_path, rows, "c4", min_words=65)


def test_marks_and_symbols_tell_texts_apart(tmp_path):
  rows = [
    dataset.row("q", text)
    for text in (
      "कुल",
      "किल",
      "कल",  # total, nail, tomorrow: differ in a vowel sign
      "かぎ",
      "かき",
      "so good 😀",
      "so good 😡",
      "Cafe\u0301 au lait",
      "café au lait",
      "Café au\u00a0LAIT!",  # one text
      "日本 の茶",
      "日本の茶",  # one text
    )
  ]
  kept, removed, _ = _clean(tmp_path, rows)
  assert [(r["row"], r["detail"]) for r in removed] == [
    (8, "of row 7"),
    (9, "of row 7"),
    (11, "of row 10"),
  ]


@pytest.mark.parametrize(
  "text",
  [
    "មនុស្សទាំងអស់កើតមកមានសេរីភាព",
    "மனிதப் பிறவியினர் சகலரும்",
    "सभी मनुष्यों को गौरव और अधिकारों",
    "လူတိုင်းသည် တူညီ လွတ်လပ်သော",
    "כָּל בְּנֵי אָדָם נוֹלְדוּ בְּנֵי חוֹרִין",
  ],
)
def test_vowel_signs_are_of_letters(text):
  assert quality.fault("q", text, _NO_LIMITS) == ""


def test_the_page_adds_a_rule(tmp_path):
  """The code of the page is run as it is."""
  page = (pathlib.Path(curate.__file__).parent / "README.md").read_text()
  (code,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
  names = {}
  exec(compile(code, "rule.py", "exec"), names)
  rows = [
    {"query": "q", "document": d, "source": "a", "location": ""}
    for d in ("a word https://b.c", "see https://b.c http://d.e", "x://y z")
  ]
  removed = tmp_path / "removed.jsonl"
  kept, by_source = cleaning._pass(rows, [names["links"]], removed)
  assert kept.tolist() == [0, 2]
  assert by_source["a"]["links"] == 1
  dropped = json.loads(removed.read_text())
  assert (dropped["row"], dropped["detail"]) == (1, "67% of the words")


@pytest.mark.parametrize(
  "name, content",
  [
    ("e.jsonl", '{"query": "a secret question", "document": "x"}\n'),
    ("e.jsonl", '{"sentence1": "x", "sentence2": "A secret question?"}\n'),
    ("e.csv", "id;Question;Answer\n1;a secret question;y\n"),
    ("e.txt", "a secret question\n"),
  ],
)
def test_every_text_of_an_evaluation_file_counts(tmp_path, name, content):
  (tmp_path / name).write_text(content)
  rows = [
    dataset.row("A secret question", "answer"),
    dataset.row("another", "document"),
  ]
  kept, removed, _ = _clean(tmp_path, rows, against=[str(tmp_path / name)])
  assert [r["query"] for r in kept] == ["another"]
  assert removed[0]["reason"] == "in an evaluation set"
  (tmp_path / "f.jsonl").write_text('{"id": "x", "url": "y"}\n')
  with pytest.raises(UserError, match="--against=.*row 1: no text;.* id, url"):
    clean(tmp_path / "in", tmp_path / "x", against=[str(tmp_path / "f.jsonl")])


def test_the_kind_is_kept_though_the_first_rows_do_not_tell(
  tmp_path, monkeypatch
):
  rows = [
    dataset.row("one", "two", negatives=["three"]),
    dataset.row("four", "five"),
    dataset.row("six", "seven", negatives=["eight"]),
  ]
  _clean(tmp_path, rows, min_words=1)
  monkeypatch.setattr(kinds, "_LOOKED_AT", 1)
  (tmp_path / "e.txt").write_text("one\n")
  kept, _, stats = _clean(
    tmp_path, rows, "without", against=[str(tmp_path / "e.txt")]
  )
  assert not kept[0]["negatives"] and kept[1]["negatives"]
  assert kinds.of(tmp_path / "without").name == "triplets"
  assert stats["kind"]["name"] == "triplets"


def test_the_message_of_clean_does_not_speak_of_a_model(tmp_path):
  with pytest.raises(UserError, match="every pair .* the reasons above$"):
    _clean(tmp_path, [dataset.row("one", "two")], min_words=5)
