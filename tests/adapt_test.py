# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""nomic-jax adapt exports a better model, or reports that there is none."""

import functools
import json
import pathlib
import random
import shutil

import jax
from matplotlib import pyplot
import numpy as np
import pytest
from support import hub_random
from support import small_data
import yaml

import nomic_jax
from nomic_jax import adapting
from nomic_jax.adapting import adaptation
from nomic_jax.data import dataset
from nomic_jax.data import pack
from nomic_jax.errors import UserError
from nomic_jax.hub import model_card
from nomic_jax.hub import model_directory
from nomic_jax.main import main
from nomic_jax.model.config import EncoderConfig
from nomic_jax.run import models
from nomic_jax.run import sizes
from nomic_jax.storage import unicode_text
from nomic_jax.text import tokenizer as tokenizer_lib

# German translations of words, which a model of random weights cannot know.
TRANSLATED = {w: w[::-1] for w in small_data.WORDS}
FAST = [
  "--config.optimizer.learning_rate=2e-2",
  "--config.data.batch_size=16",
  "--config.data.row_length=64",
  "--config.data.slots=8",
  "--config.loss.chunk_tokens=0",
]


def _write(path, rows):
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return path


def _pairs(count):
  """Pairs of a query of two words and a document of their translations.

  The document has a third word as well.
  """
  draw = random.Random(3)
  rows = []
  for i in range(count):
    words = draw.sample(small_data.WORDS, 3)
    rows.append(
      {
        "query": f"{words[0]} {words[1]} {i % 7}",
        "document": " ".join(TRANSLATED[w] for w in words) + f" {i}",
      }
    )
  return rows


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  """Pairs, and a model of random weights that can read them."""
  place = tmp_path_factory.mktemp("adapt")
  rows = _pairs(260)
  _write(place / "pairs.jsonl", rows)
  words = tokenizer_lib.train([t for r in rows for t in r.values()] * 2, 400)
  tokenizer_lib.save(words, place / "tokenizer")
  architecture = EncoderConfig(
    vocab_size=512, width=32, layers=1, heads=2, mlp_width=32, max_length=64
  ).architecture
  model_directory.write_model(
    place / "model",
    architecture,
    hub_random.trees(architecture)["encoder"],
    place / "tokenizer",
    {"search_query": "q: ", "search_document": "d: "},
    max_tokens=48,
    card="---\nlicense: mit\n---\n# A model\n",
  )
  return place


def _adapt(place, output, *more, source="pairs.jsonl", model="model"):
  return main(
    [
      "adapt",
      f"--model={place / model}",
      f"--source={place / source}",
      f"--output={place / output}",
      *more,
    ]
  )


@pytest.fixture(name="adapted", scope="module")
def _adapted(place):
  assert _adapt(place, "mine", "--epochs=4", "--negatives=1", *FAST) == 0
  return place / "mine"


@pytest.mark.slow
def test_a_better_model_is_exported_with_its_card(place, adapted, capsys):
  after = json.loads((adapted / "after.json").read_text())
  (scores,) = (
    {m["name"]: m["tasks"]["search"]["scores"]["nDCG@10"]}
    for m in after["models"]
    if m["name"] == "adapted"
  )
  names = {m["name"] for m in after["models"]}
  assert names == {"start", "adapted", "bm25", "start+bm25", "adapted+bm25"}
  before = json.loads((adapted / "before.json").read_text())
  start = [m for m in before["models"] if m["name"] == "start"]
  assert [m for m in after["models"] if m["name"] == "start"] == start
  known = start[0]["tasks"]["search"]["scores"]["nDCG@10"]
  assert scores["adapted"] > known + 0.05

  report = (adapted / "report.md").read_text()
  assert f"{known:.3f} before, {scores['adapted']:.3f} after: better" in report
  for chosen in ("data.query_length", "data.batch_size | 16", "2e-2|0.02"):
    assert any(part in report for part in chosen.split("|"))
  assert (adapted / "report.html").is_file()

  # The export has the training's prompts, length and best weights.
  model = models.read_model(adapted / "model")
  assert model.usage.prompt("query") == "q: " and model.max_tokens == 48
  card = (adapted / "model" / "README.md").read_text()
  front = yaml.safe_load(card.split("---\n")[1])
  assert front["license"] == "mit" and "base_model" not in front
  assert front["library_name"] == "sentence-transformers"
  assert front["pipeline_tag"] == "sentence-similarity"
  assert f"{scores['adapted']:.3f}" in card and "0.02" in card
  assert "\n## Scores\n\n### " in card and "\n\n## " in card
  assert "`pairs.jsonl`" in card and 'prompt_name="search_query"' in card
  assert nomic_jax.load(adapted / "model").encode(["a"]).shape == (1, 32)

  # Run again, it computes nothing and prints the same.
  stamp = (adapted / "work/metrics.jsonl").stat().st_mtime_ns
  capsys.readouterr()
  assert _adapt(place, "mine", "--epochs=4", "--negatives=1", *FAST) == 0
  out = capsys.readouterr().out
  assert "before, " in out and (
    stamp == (adapted / "work/metrics.jsonl").stat().st_mtime_ns
  )
  assert _adapt(place, "mine", "--epochs=5") == 2
  assert "or remove this one" in capsys.readouterr().err


@pytest.mark.slow
def test_the_splits_share_no_text(adapted):
  rows = {
    name: dataset.open_split(adapted / folder, split)
    for name, folder, split in (
      ("train", "trial/data", "train"),
      ("dev", "trial/data", "test"),
      ("test", "data", "test"),
    )
  }
  texts = {
    name: {unicode_text.same(r[s]) for r in of for s in ("query", "document")}
    for name, of in rows.items()
  }
  assert (
    not texts["train"] & texts["dev"] and not texts["train"] & texts["test"]
  )
  assert not texts["dev"] & texts["test"]
  assert sum(map(len, rows.values())) == 260
  corpus = (adapted / "held_out/search/corpus.jsonl").read_text().splitlines()
  assert len(corpus) == 260  # the documents of all rows
  mined = dataset.open_split(adapted / "trial/mined", "train")
  negatives = {n for row in mined for n in row["negatives"]}
  assert negatives and not negatives & {r["document"] for r in rows["test"]}


@pytest.mark.slow
def test_a_model_that_does_not_improve_is_not_exported(place, capsys):
  still = ["--negatives=0", "--config.optimizer.learning_rate=0", *FAST[1:]]
  assert _adapt(place, "still", *still) == 0
  out = capsys.readouterr().out
  assert "no checkpoint was better than the original model" in out
  assert "no better (+0.000, 95 % CI +0.000 to +0.000)" in out
  assert "no model was written" in out and "--export_start" in out
  assert not (place / "still/model").exists()
  assert "No model was exported" in (place / "still/report.md").read_text()
  shutil.rmtree(place / "still")
  assert _adapt(place, "still", *still, "--export_start") == 0
  given, written = (
    models.read_model(place / name).params for name in ("model", "still/model")
  )
  assert jax.tree.all(jax.tree.map(np.array_equal, given, written))


def _labelled(count):
  """Texts of two words, of which the first determines the class."""
  draw = random.Random(5)
  rows = []
  for i in range(count):
    one, other = draw.sample(small_data.WORDS[:4], 2)
    rows.append({"text": f"{one} {other} {i}", "category": f"the_{one}"})
  return rows


@pytest.mark.slow
@pytest.mark.parametrize(
  "rows, tasks, best",
  [
    (
      _labelled(140),
      {"classes": "accuracy", "search": "nDCG@10"},
      "retrieval/nDCG@10",
    )
  ],
)
def test_the_kind_of_the_rows_decides(place, tmp_path, rows, tasks, best):
  _write(tmp_path / "rows.jsonl", rows)
  result = adaptation.adapt(
    str(place / "model"),
    str(tmp_path / "rows.jsonl"),
    tmp_path / "out",
    batch_size=16,
    overrides=["--config.steps=2", "--config.loss.chunk_tokens=0"],
  )
  about = result["scores"]["tasks"]
  assert {n: t["metrics"][0] for n, t in about.items()} == tasks
  config = json.loads((tmp_path / "out/work/config.json").read_text())
  assert config["checkpoint"]["best"] == best and config["steps"] == 2
  trained = dataset.open_split(tmp_path / "out/trial/data", "train")[0]
  word = trained["query"].split()[0]
  assert trained["document"] == f"the {word}"


@pytest.mark.parametrize(
  "rows, message",
  [
    (_pairs(30), "30 different pairs; expected 50 or more"),
    (
      [{"query": r["query"], "document": r["query"]} for r in _pairs(90)],
      "the document equals the query",
    ),
    (
      [
        {"query": f"{r['query']}", "document": f"lamp {i % 4}"}
        for i, r in enumerate(_pairs(90))
      ],
      "all alike",
    ),
    (
      [
        {
          "query": f"漢字{chr(0x4E00 + i)}",
          "document": f"仮名{chr(0x5E00 + i)}",
        }
        for i in range(90)
      ],
      r"\[UNK\].*the model does not know these texts",
    ),
    (_pairs(64), "too small to decide: .* queries, .* give nDCG@10 0.* to 0"),
  ],
)
def test_bad_input_is_one_line_before_the_training(
  place, tmp_path, rows, message
):
  _write(tmp_path / "bad.jsonl", rows)
  with pytest.raises(UserError, match=message) as caught:
    adaptation.adapt(
      str(place / "model"), str(tmp_path / "bad.jsonl"), tmp_path / "out"
    )
  assert "\n" not in str(caught.value)
  assert not (tmp_path / "out/work").exists()


def test_queries_are_made_if_there_are_none(place, tmp_path, capsys):
  """Also when a run resumes, whose data have them already."""
  pages = tmp_path / "pages"
  pages.mkdir()
  for i, row in enumerate(_pairs(12)):
    body = " ".join([row["document"]] * 8)
    (pages / f"{i}.md").write_text(f"# About {row['query']}\n\n{body}\n")
  command = [
    "adapt",
    f"--model={place / 'model'}",
    f"--source={pages}",
    f"--output={tmp_path / 'run'}",
  ]
  for _ in range(2):
    assert main(command) == 2
    out, err = capsys.readouterr()
    assert "so pairs are made (title, heading, crop); real queries" in out
    assert "expected 50 or more" in small_data.complaint(err)
  assert "already exists, made with the same arguments" in out
  stats = json.loads((tmp_path / "run/data/stats.json").read_text())
  assert stats["counts"]["made"]["heading pairs"] == 12


@pytest.mark.parametrize(
  "given, message",
  [
    (dict(epochs=0.0), "--epochs=0: expected more than 0"),
    (dict(batch_size=1), "--batch_size=1: expected 2 or more"),
    (dict(learning_rate=-1.0), "--learning_rate=-1: expected more than 0"),
    (dict(negatives=-1), "--negatives=-1: expected 0 or more"),
    (dict(held_out=1.0), "--held_out=1: expected a share of the rows below 1"),
  ],
)
def test_numbers_are_checked_before_anything_is_read(tmp_path, given, message):
  with pytest.raises(UserError, match=message):
    adaptation.adapt("no model", "no source", tmp_path / "out", **given)
  assert not (tmp_path / "out").exists()


def test_a_flag_that_does_not_fit_is_named_before_the_scores(place, tmp_path):
  with pytest.raises(UserError, match="loss.nonsense: the config has no such"):
    adaptation.adapt(
      str(place / "model"),
      str(place / "pairs.jsonl"),
      tmp_path / "out",
      overrides=["--config.loss.nonsense=1"],
    )
  assert not (tmp_path / "out/before.json").exists()


def test_a_model_that_does_not_fit_is_named(place, monkeypatch):
  monkeypatch.setattr(sizes, "memory", lambda: 1000)
  with pytest.raises(UserError, match="weights take .* GB to train"):
    adaptation.adapt(
      str(place / "model"), str(place / "pairs.jsonl"), place / "small"
    )


def test_sizes_follow_their_rules():
  lengths = sizes.text_length([10] * 97 + [30, 33, 400], 512)
  assert lengths == (32, 400, 0.02)
  assert sizes.text_length([500] * 9, 256).limit == 256
  assert [sizes.batch_size(n, False) for n in (40, 1000, 10**6)] == [16, 32, 64]
  assert sizes.batch_size(10**6, True, 8) == 512
  rows_and_batch = (100, 16), (3000, 64), (10**6, 64)
  assert [sizes.epochs(*n, False) for n in rows_and_batch] == [10, 3, 1]
  assert sizes.epochs(10_000, 256, True) == 10
  assert sizes.evaluate_every(400) == 40 and sizes.evaluate_every(3) == 1


def _batches(drawn, pairs=64):
  rng = np.random.default_rng(0)
  return [[int(n) for n in drawn(rng, 2 * pairs)] for _ in range(32)]


def test_rows_on_a_cpu_leave_little_padding(place):
  architecture = models.read_model(place / "model").architecture
  rows = functools.partial(sizes.rows_on_cpu, architecture)
  # Rows of 8 x 256 tokens, the choice on accelerators, would be 44 % empty.
  short = [[14] * 64 + [4] * 64] * 32
  chosen = rows(short, 40, 100)
  assert chosen.empty < 0.1 and chosen.row_length < 100
  packed = pack.pack([[1] * n for n in short[0]], *chosen[:3])
  assert packed.ids.size * (1 - chosen.empty) == pytest.approx(1152)
  # With many steps, compiling more shapes takes less time than padding.
  varied = _batches(lambda rng, n: np.clip(rng.lognormal(3.5, 0.8, n), 3, 256))
  few, many = rows(varied, 256, 4), rows(varied, 256, 10**6)
  assert many.empty < 0.06 < few.empty
  assert many.rows_multiple < few.rows_multiple
  assert rows(varied, 256, 100, 8).rows_multiple % 8 == 0
  # Where attention counts, rows are as short as the texts allow.
  alike = [[250] * 64] * 32
  assert rows(alike, 256, 100).row_length == 256


def test_a_card_leaves_out_what_is_not_known(place):
  files = models.read_model(place / "model")
  card = model_card.Card("m", files.architecture, files.usage)
  front = yaml.safe_load(model_card.text(card).split("---\n")[1])
  assert not front.keys() & {"license", "base_model", "datasets"}
  known = card._replace(base="owner/name", data="hf:a/b", licence="mit")
  front = yaml.safe_load(model_card.text(known).split("---\n")[1])
  assert front["base_model"] == "owner/name" and front["datasets"] == ["a/b"]


def _cells():
  """The notebook's cells of code, in order."""
  page = pathlib.Path(adapting.__file__).parent / "adapt.ipynb"
  cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
  return ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]


@pytest.mark.slow
def test_the_notebook_adapts_searches_and_draws(place, adapted, capsys):
  settings, *cells = _cells()
  names = {}
  exec(settings, names)
  own = {
    "MODEL": str(place / "model"),
    "SOURCE": str(place / "pairs.jsonl"),
    "OUTPUT": str(adapted),
    "OPTIONS": dict(epochs=4, negatives=1, config=FAST),
  }
  assert own.keys() == {n for n in names if n.isupper()}
  names |= own
  pyplot.switch_backend("agg")
  for cell in cells:
    exec(compile(cell, "adapt.ipynb", "exec"), names)
  out = capsys.readouterr().out
  assert names["result"]["verdict"] in out
  held_out, scores = names["held_out"], names["scores"]
  for i, line in zip(np.argsort(-scores), out.splitlines()[-5:], strict=False):
    assert line.startswith(f"{scores[i]:7.3f}  {held_out.documents[i][:80]}")
    assert ("its document" in line) == (i in held_out.relevant[0])
  # A query and its document are joined, and lie closer after the training.
  joined = [
    np.array([line.get_xydata() for line in axis.lines])
    for axis in names["axes"]
  ]
  assert joined[0].shape == (len(held_out.queries), 2, 2)
  before, after = (
    np.linalg.norm(np.diff(lines, axis=1), axis=-1).mean() for lines in joined
  )
  assert after < 0.8 * before
