# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation tasks in folders: how they are read and scored."""

import csv
import json
import math
import pathlib
import re
import sys
import types

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from nomic_jax.data import dataset
from nomic_jax.errors import UserError
from nomic_jax.evaluation import compare
from nomic_jax.evaluation import systems
from nomic_jax.evaluation import tasks
from nomic_jax.search import bm25


class Random:
  """A system with random vectors, biased towards a topic of the text."""

  def __init__(self):
    self.asked = []

  def encode(self, texts, prompt, normalize=True):
    self.asked.append((prompt, normalize))
    vectors = np.stack(
      [
        np.random.default_rng(list(text.encode())).normal(size=16)
        + 2 * np.eye(16)[len(text) % 4]
        for text in texts
      ]
    )
    if normalize:
      vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)

  def search(self, queries, documents, k, prompts=None):
    scores = self.encode(queries, "q") @ self.encode(documents, "d").T
    order = np.argsort(-scores, 1)[:, :k]
    return np.take_along_axis(scores, order, 1), order

  def compare(self, queries, documents, candidates, prompts):
    found = self.encode(documents, prompts[1])
    return [
      found[some] @ one
      for some, one in zip(candidates, self.encode(queries, prompts[0]))
    ]


def write(folder, split, rows, kind="jsonl"):
  folder.mkdir(exist_ok=True)
  path = folder / f"{split}.{kind}"
  if kind == "jsonl":
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  else:
    with path.open("w", newline="") as file:
      table = csv.DictWriter(file, list(rows[0]))
      table.writeheader()
      table.writerows(rows)
  return folder


def words(count, seed=0):
  """Different texts of different lengths."""
  rng = np.random.default_rng(seed)
  return [
    f"text {seed} {i} " + "x" * n
    for i, n in enumerate(rng.integers(0, 8, count))
  ]


def sts(folder, kind="jsonl"):
  gold = np.random.default_rng(1).integers(0, 6, 40)
  return write(
    folder,
    "test",
    [
      {"sentence1": a, "sentence2": b, "score": float(g)}
      for a, b, g in zip(words(40), words(40, 1), gold)
    ],
    kind,
  )


def labelled(count, seed):
  return [
    {"text": t, "label": f"class {len(t) % 4}"} for t in words(count, seed)
  ]


def beir(folder):
  (folder / "qrels").mkdir(parents=True)
  documents = words(30)
  corpus = [
    {"_id": f"d{i}", "title": "A" if i % 2 else "", "text": t}
    for i, t in enumerate(documents)
  ]
  corpus.append({"_id": "q2", "title": "B", "text": "question 2"})
  (folder / "corpus.jsonl").write_text(
    "".join(json.dumps(row) + "\n" for row in corpus)
  )
  (folder / "queries.jsonl").write_text(
    "".join(
      json.dumps({"_id": f"q{i}", "text": f"question {i}"}) + "\n"
      for i in range(9)
    )
  )
  lines = ["query-id\tcorpus-id\tscore"] + [
    f"q{i}\td{(7 * i + j) % 30}\t{j}" for i in range(8) for j in range(3)
  ]
  (folder / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n")
  return folder


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_sts_is_scipys_correlation_of_cosines(tmp_path, kind):
  (task,) = tasks.find([str(sts(tmp_path / "set", kind))])
  system = Random()
  outcome = task.run(system)
  assert (task.kind, task.size) == ("sts", "40 pairs")
  assert system.asked == [("classification", True)]
  a, b = system.encode(task.first, ""), system.encode(task.second, "")
  cosine = [x @ y for x, y in zip(a, b)]
  expected = {
    "Spearman": stats.spearmanr(cosine, task.gold).statistic,
    "Pearson": stats.pearsonr(cosine, task.gold).statistic,
  }
  assert task.scores(outcome.items) == pytest.approx(expected, abs=1e-6)
  drawn = outcome.items[[3, 3, 5, 9, 9, 11, 30]]
  assert task.main(drawn) == pytest.approx(
    stats.spearmanr(drawn[:, 0], drawn[:, 1]).statistic
  )
  assert outcome.worst[0]["texts"][0] in task.first


def test_a_model_blind_to_everything_has_no_correlation(tmp_path):
  (task,) = tasks.find([str(sts(tmp_path / "set"))])
  items = np.array([[0.5, 1], [0.5, 2], [0.5, 3]])
  assert all(math.isnan(v) for v in task.scores(items).values())


def test_pairs_are_scored_by_average_precision(tmp_path):
  folder = write(
    tmp_path / "set",
    "test",
    [
      {"sentence1": a, "sentence2": b, "label": i % 3 == 0}
      for i, (a, b) in enumerate(zip(words(40), words(40, 1)))
    ],
  )
  (task,) = tasks.find([str(folder)])
  items = task.run(Random()).items
  order = np.argsort(-items[:, 0])
  hits = items[order, 1]
  by_hand = (np.cumsum(hits) / np.arange(1, 41) * hits).sum() / hits.sum()
  assert task.scores(items) == pytest.approx({"AP": by_hand})


def test_classification_learns_from_eight_of_each_class(tmp_path):
  folder = write(tmp_path / "set", "train", labelled(120, 0))
  write(folder, "test", labelled(60, 1))
  (task,) = tasks.find([str(folder)])
  system = Random()
  outcome = task.run(system)
  assert system.asked[0] == ("classification", False)
  assert outcome.items.shape == (60, 11)
  scores = task.scores(outcome.items)
  gold, *said = outcome.items.T
  assert scores["accuracy"] == pytest.approx(
    np.mean([metrics.accuracy_score(gold, s) for s in said])
  )
  assert 0.5 < scores["accuracy"] < 1, "classes are partly told apart"
  worst = outcome.worst[0]
  assert worst["expected"] == f"class {len(worst['texts'][0]) % 4}"
  assert worst["found"].split(" in ")[0] != worst["expected"]


def test_clustering_of_one_set_or_several(tmp_path):
  rows = labelled(80, 0)
  one = write(tmp_path / "one", "test", rows)
  sets = [
    {
      "sentences": [r["text"] for r in part],
      "labels": [r["label"] for r in part],
    }
    for part in (rows, labelled(50, 1))
  ]
  two = write(tmp_path / "two", "test", sets)
  first, both = tasks.find([str(one), str(two)])
  assert first.kind == both.kind == "clustering"
  assert (first.size, both.size) == ("80 texts", "130 texts in 2 sets")
  items = both.run(Random()).items
  parts = [
    metrics.v_measure_score(*items[items[:, 0] == n, 1:].T) for n in (0, 1)
  ]
  assert both.scores(items)["v-measure"] == pytest.approx(np.mean(parts))
  assert first.scores(first.run(Random()).items)["v-measure"] == parts[0] > 0.1


def test_reranking_is_average_precision_of_candidates(tmp_path):
  texts = words(60)
  folder = write(
    tmp_path / "set",
    "test",
    [
      {
        "query": f"query {i}",
        "positive": texts[6 * i : 6 * i + 2],
        "negative": texts[6 * i + 2 : 6 * i + 6 - i % 2],
      }
      for i in range(9)
    ]
    + [{"query": "left out", "positive": ["x"], "negative": []}],
  )
  (task,) = tasks.find([str(folder)])
  assert task.size == "9 queries, 50 candidates"
  items = task.run(Random()).items
  for q in range(9):
    documents = [*task.positives[q], *task.negatives[q]]
    cosine = (
      Random().encode(documents, "") @ Random().encode([task.queries[q]], "")[0]
    )
    gold = [1, 1] + [0] * (len(documents) - 2)
    assert items[q, 0] == pytest.approx(
      metrics.average_precision_score(gold, cosine), abs=1e-6
    )


def test_candidates_that_tie_are_ranked_at_their_worst(tmp_path):
  folder = write(
    tmp_path / "set",
    "test",
    [{"query": "q", "positive": ["a"], "negative": ["b", "c"]}],
  )
  (task,) = tasks.find([str(folder)])

  class Blind:
    def compare(self, queries, documents, candidates, prompts):
      return [np.zeros(len(some)) for some in candidates]

  assert task.run(Blind()).items[0, 0] == pytest.approx(1 / 3)


@pytest.mark.parametrize("baseline", bm25.BASELINES)
def test_words_rerank_as_they_search(tmp_path, baseline):
  documents = ["the red kettle", "a green kettle and a pan", "two blue cars"]
  system = systems.Lexical(baseline)
  queries = ["green kettle", "nothing known"]
  some, none = system.compare(queries, documents, [[2, 1, 0], [0, 1]])
  scores, order = system.search(queries, documents, 3)
  found = dict(zip(order[0].tolist(), scores[0].tolist()))
  assert some.tolist() == pytest.approx([0, found[1], found[0]])
  assert found[1] > found[0] > 0 and none.tolist() == [0, 0]
  folder = write(
    tmp_path / "set",
    "test",
    [
      {
        "query": "green kettle",
        "positive": documents[1:2],
        "negative": documents[::2],
      }
    ],
  )
  (task,) = tasks.find([str(folder)])
  assert task.lexical and task.run(system).items.tolist() == [[1, 1]]


def test_beir_folder(tmp_path):
  (task,) = tasks.find([f"toys={beir(tmp_path / 'set')}"])
  assert (task.name, task.kind) == ("toys", "retrieval")
  assert task.size == "8 queries, 31 documents"
  assert task.documents[1].startswith("A text 0 1") and (
    task.documents[0].startswith("text 0 0")
  )
  assert task.relevant[1] == {7: 0, 8: 1, 9: 2}
  assert list(task.itself) == [-1, -1, 30, -1, -1, -1, -1, -1]
  outcome = task.run(Random())
  assert all(
    r["location"] != "q2"
    for worst in outcome.worst
    if worst["query"] == "question 2"
    for r in worst["retrieved"]
  )
  other = tasks.find([f"{tmp_path}/set/qrels/test.tsv"])[0]
  assert other.name == "set-test" and other.fingerprint() == task.fingerprint()


def test_intervals_cover_the_mean_of_what_was_drawn_from(tmp_path):
  (task,) = tasks.find([str(beir(tmp_path / "set"))])
  rng = np.random.default_rng(0)
  covered = 0
  for _ in range(40):
    items = np.repeat(rng.exponential(0.1, (50, 1)), 5, 1)
    low, high = compare.interval(
      float(items.mean()), compare.draws(task, items)
    )
    covered += low < 0.1 < high
  assert 33 <= covered <= 40
  assert high - low == pytest.approx(
    2 * 1.96 * items[:, 0].std() / 50**0.5, rel=0.2
  )


def test_differences_are_paired(tmp_path):
  (task,) = tasks.find([str(beir(tmp_path / "set"))])
  rng = np.random.default_rng(0)
  one = np.repeat(rng.normal(size=(200, 1)), 5, 1)
  both = {
    name: (float(items.mean()), compare.draws(task, items))
    for name, items in {
      "one": one,
      "better": one + 0.01,
      "same": rng.permutation(one),
    }.items()
  }
  gap = compare.difference(*both["better"], *both["one"])
  assert gap.value == pytest.approx(0.01) and gap.significant
  assert not compare.difference(*both["same"], *both["one"]).significant


def test_one_query_of_many_is_not_significant(tmp_path):
  (task,) = tasks.find([str(beir(tmp_path / "set"))])
  one, other = np.ones((20, 5)), np.ones((20, 5))
  other[3] = 0.5
  gap = compare.difference(
    1.0, compare.draws(task, one), 0.975, compare.draws(task, other)
  )
  assert gap.value == pytest.approx(0.025) and not gap.significant
  other[:9] = 0.5
  assert compare.difference(
    1.0, compare.draws(task, one), 0.775, compare.draws(task, other)
  ).significant


def _spoil(folder, name, old, new):
  path = folder / name
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
  "file, old, new, message",
  [
    ("qrels/test.tsv", "\t2\n", "\tgood\n", "row 4: expected query-id"),
    ("corpus.jsonl", '"_id": "d4"', '"id": "d4"', "row 5: expected an '_id'"),
  ],
)
def test_mistakes_in_beir_folders(tmp_path, file, old, new, message):
  folder = beir(tmp_path / "set")
  _spoil(folder, file, old, new)
  with pytest.raises(UserError, match=message):
    tasks.find([str(folder)])


def _add(path, *lines):
  with open(path, "a") as file:
    file.writelines(line + "\n" for line in lines)


def test_judgements_of_texts_that_are_not_there(tmp_path, capsys):
  """As in trec_eval, missing documents count in the ideal ranking."""
  import pytrec_eval

  folder = beir(tmp_path / "set")
  judged = folder / "qrels" / "test.tsv"
  _add(judged, "q1\tgone\t2", "q8\tgone\t1", "q99\td1\t1", "")
  (task,) = tasks.find([str(folder)])
  out = capsys.readouterr().out
  assert "2 judgements name 1 documents that are not in the corpus" in out
  assert "1 judged queries have no text" in out and out.count("\n") == 2
  assert len(task.queries) == 9  # q8 has no answer that could be found
  system = Random()
  outcome = task.run(system)
  _, rankings = system.search(task.queries, task.documents, 101)
  run = {
    f"q{q}": {
      task.locations[d]: -float(place)
      for place, d in enumerate(ranking)
      if task.locations[d] != f"q{q}"
    }
    for q, ranking in enumerate(rankings.tolist())
  }
  qrels = {}
  for line in judged.read_text().splitlines()[1:]:
    query, document, grade = line.split("\t") if line else ("q99", "", 0)
    if query != "q99":
      qrels.setdefault(query, {})[document] = int(grade)
  expected = pytrec_eval.RelevanceEvaluator(
    qrels, {"ndcg_cut_10", "recall_100", "map_cut_100"}
  ).evaluate(run)
  for column, measure in (
    (0, "ndcg_cut_10"),
    (2, "recall_100"),
    (3, "map_cut_100"),
  ):
    np.testing.assert_allclose(
      outcome.items[:, column],
      [expected[f"q{q}"][measure] for q in range(9)],
      atol=1e-6,
    )
  assert outcome.items[8].max() == 0
  assert any(
    w["answer"]["title"] == "(not in the corpus)"
    for w in outcome.worst
    if w["query"] == "question 8"
  )
  judged.write_text("q0\tgone\t1\nq99\td1\t1\n")
  with pytest.raises(UserError, match="no judgement names a query and a doc"):
    tasks.find([str(folder)])


@pytest.mark.parametrize(
  "file, equal, other, message",
  [
    (
      "corpus.jsonl",
      '{"_id": "q2", "title": "B", "text": "question 2"}',
      '{"_id": "q2", "text": "another"}',
      "corpus.jsonl, rows 31 and 33: both have the _id 'q2' and differ",
    ),
    (
      "queries.jsonl",
      '{"_id": "q8", "text": "question 8"}',
      '{"_id": "q0", "text": "another"}',
      "rows 1 and 11: both have the _id 'q0",
    ),
    (
      "qrels/test.tsv",
      "q1\td8\t1",
      "q1\td8\t0",
      "rows 6 and 27: both have the pair 'q1 and d8' and differ",
    ),
  ],
)
def test_ids_of_two_texts(tmp_path, capsys, file, equal, other, message):
  folder = beir(tmp_path / "set")
  (before,) = tasks.find([str(folder)])
  _add(folder / file, equal)
  (task,) = tasks.find([str(folder)])
  assert task.fingerprint() == before.fingerprint()
  assert f"{file}: 1 rows repeat an earlier row" in capsys.readouterr().out
  _add(folder / file, other)
  with pytest.raises(UserError, match=message):
    tasks.find([str(folder)])


@pytest.mark.parametrize(
  "content, message",
  [
    ("text,label,text\na,1,b\n", "two columns are called 'text'"),
    ("text,label\na,1\nb, c,2\n", "row 2: expected 2 cells, as in the header"),
    ("text,label\na\n", "row 1: expected 2 cells"),
    (
      "text,label\na,\nb,1\nc,\nd,\n",
      "row 1: 'label' is not a label; .*; 2 more rows cannot be used",
    ),
  ],
)
def test_tables_that_are_not_whole(tmp_path, content, message):
  folder = tmp_path / "set"
  folder.mkdir()
  (folder / "test.csv").write_text(content)
  with pytest.raises(UserError, match=message):
    tasks.find([f"clustering:{folder}"])
  (folder / "test.jsonl").write_text(
    '{"text": "a", "label": 1.0}\n{"text": "b", "label": 2.5}\n'
  )
  with pytest.raises(
    UserError, match="holds test.jsonl and test.csv; expected"
  ):
    tasks.find([str(folder)])
  (folder / "test.csv").unlink()
  tasks.find([str(folder)])  # a label may be a number of any kind


def test_an_empty_corpus_and_no_judgements(tmp_path):
  folder = beir(tmp_path / "set")
  (folder / "qrels" / "test.tsv").rename(folder / "qrels" / "dev.tsv")
  with pytest.raises(
    UserError, match="test.tsv: no such file; existing files are dev"
  ):
    tasks.find([str(folder)])
  (folder / "corpus.jsonl").write_text("\n")
  with pytest.raises(UserError, match="corpus.jsonl: no texts"):
    tasks.find([f"{folder}/qrels/dev.tsv"])


@pytest.mark.parametrize(
  "rows, message",
  [
    (
      [{"sentence1": "a", "sentence2": "b", "score": math.nan}],
      "test.jsonl, row 1: 'score' is not a finite number",
    ),
    (
      [{"sentence1": "a", "sentence2": "b", "score": 1}] * 3,
      "the score of every pair is 1",
    ),
    ([{"sentence1": "a", "sentence2": "b", "label": 2}], "row 1: label 2"),
    (
      [{"sentence1": "a", "sentence2": "b", "label": 1}] * 3,
      "all labels are 1; expected pairs of both classes",
    ),
    (
      [{"sentence1": "a", "sentence2": None, "score": 1}],
      "'sentence2' is not a text",
    ),
    ([{"text": "a", "label": "x"}] * 2, "all labels are the same"),
    ([{"sentences": ["a", "b"], "labels": ["x"]}], "2 sentences and 1 labels"),
    ([{"query": "a", "positive": [], "negative": ["b"]}], "no query has"),
    ([{"question": "a"}], "has a test file with question; expected data: a"),
    ([], "has no test file with rows"),
  ],
)
def test_mistakes_in_tables(tmp_path, rows, message):
  with pytest.raises(UserError, match=message):
    tasks.find([str(write(tmp_path / "set", "test", rows))])


def test_classes_must_be_two_and_a_kind_can_be_told(tmp_path):
  folder = write(tmp_path / "set", "test", labelled(20, 0))
  with pytest.raises(UserError, match="set: no train file; expected train"):
    tasks.find([f"classification:{folder}"])
  write(folder, "train", [{"text": "a", "label": "x"}] * 3)
  with pytest.raises(UserError, match="train.jsonl: all labels are 'x'"):
    tasks.find([str(folder)])
  (task,) = tasks.find([f"topics=clustering:{folder}"])
  assert (task.name, task.kind) == ("topics", "clustering")


def test_folders_of_one_name_need_another(tmp_path):
  one, two = (str(beir(tmp_path / name / "set")) for name in "ab")
  for spec in (two, f"set={two}"):
    with pytest.raises(
      UserError,
      match=(
        f"--tasks={spec}: the name 'set' is taken; choose another, as in "
        f"--tasks=NAME={two}$"
      ),
    ):
      tasks.find([one, spec])
  assert [t.name for t in tasks.find([one, f"NAME={two}"])] == ["set", "NAME"]


def test_the_page_adds_a_kind_of_task(tmp_path, monkeypatch):
  """The code of the page is run as it is."""
  page = pathlib.Path(tasks.__file__).parent / "README.md"
  code, line = re.findall(
    r"^```python\n(.*?)^```", page.read_text(), re.M | re.S
  )
  triplets = types.ModuleType("nomic_jax.evaluation.triplets")
  monkeypatch.setitem(sys.modules, triplets.__name__, triplets)
  exec(compile(code, "triplets.py", "exec"), triplets.__dict__)
  monkeypatch.setattr(tasks, "FOLDERS", dict(tasks.FOLDERS))
  exec(line, vars(tasks) | {"triplets": triplets})
  draw = words(90)
  found = [
    dict(zip(("anchor", "positive", "negative"), draw[i : i + 3]))
    for i in range(0, 90, 3)
  ]
  (task,) = tasks.find([str(write(tmp_path / "own", "test", found))])
  assert (task.kind, task.size) == ("triplets", "30 triplets")
  system = Random()
  items = task.run(system).items
  expected = [
    [float(np.dot(a, p) > np.dot(a, n))]
    for a, p, n in (
      system.encode([*row.values()], "classification") for row in found
    )
  ]
  assert items.tolist() == expected and 0 < np.mean(expected) < 1
  assert task.scores(items) == {"accuracy": np.mean(expected)}
  other = write(tmp_path / "other", "test", found[::-1])
  (turned,) = tasks.find([str(other)])
  assert turned.fingerprint() != task.fingerprint()
  lexical = task.run(systems.Lexical("bm25")).items
  assert lexical.shape == items.shape


def test_a_class_is_the_same_in_every_format(tmp_path):
  folder = write(tmp_path / "set", "train", labelled(80, 0), "csv")
  texts = [(row["text"], row["label"]) for row in labelled(40, 1)]
  number = {name: i for i, name in enumerate(sorted({n for _, n in texts}))}
  write(
    folder,
    "train",
    [{"text": r["text"], "label": number[r["label"]]} for r in labelled(80, 0)],
    "csv",
  )
  scores = []
  for label in (int, float, str):
    write(
      folder, "test", [{"text": t, "label": label(number[n])} for t, n in texts]
    )
    if label is str:  # control: the names themselves are other classes
      with pytest.raises(UserError, match="none of the classes of the test"):
        write(folder, "test", [{"text": t, "label": n} for t, n in texts])
        tasks.find([str(folder)])
      continue
    (task,) = tasks.find([str(folder)])
    assert task.size == "40 texts, 4 classes"
    scores.append(task.main(task.run(Random()).items))
  assert scores[0] == scores[1] > 0.5


def test_classes_that_cannot_be_predicted_are_counted(tmp_path, capsys):
  folder = write(tmp_path / "set", "train", labelled(80, 0))
  more = [{"text": "odd", "label": "new"}] * 3
  write(folder, "test", labelled(40, 1) + more)
  (task,) = tasks.find([str(folder)])
  assert (
    "train.jsonl: has no text of the class 'new'; 3 of 43 test texts have "
    "such classes and count as wrong" in capsys.readouterr().out
  )
  items = task.run(Random()).items
  assert not (items[40:, 1:] == items[40:, :1]).any()


def test_rows_without_queries_or_with_one_class_are_refused(tmp_path):
  rows = [dataset.row("", f"text {i}") for i in range(8)]
  dataset.write(tmp_path / "texts", {"test": rows}, stats={})
  with pytest.raises(UserError, match="rows are texts without queries"):
    tasks.find([str(tmp_path / "texts")])
  rows = [dataset.row("", f"text {i}", labels=[0.0]) for i in range(8)]
  dataset.write(tmp_path / "one", {"train": rows, "test": rows}, stats={})
  with pytest.raises(UserError, match="one, split 'train': all labels are '0'"):
    tasks.find([str(tmp_path / "one")])


def test_too_few_items_have_no_interval(tmp_path):
  (task,) = tasks.find([str(beir(tmp_path / "set"))])
  for count in (1, 2, 5, 6):
    # All differences have one sign: by chance in 2 of 2 ** count cases.
    one, other = np.ones((count, 5)), np.full((count, 5), 0.5)
    drawn, against = (compare.draws(task, items) for items in (one, other))
    gap = compare.difference(1.0, drawn, 0.5, against)
    assert gap.significant == (2 / 2**count < 0.05)
    assert math.isnan(compare.interval(1.0, drawn)[0]) == (count < 6)


def test_queries_without_an_answer_score_zero_and_are_counted(tmp_path, capsys):
  folder = beir(tmp_path / "set")
  qrels = folder / "qrels/test.tsv"
  (before,) = tasks.find([str(folder)])
  assert "grade above 0" not in capsys.readouterr().out  # control
  qrels.write_text(qrels.read_text() + "q8\td1\t0\nq8\td2\t-1\n")
  (task,) = tasks.find([str(folder)])
  assert (
    "test.tsv: 1 queries have no document with a grade above 0, so they "
    "score 0" in capsys.readouterr().out
  )
  outcome, other = task.run(Random()), before.run(Random())
  assert not outcome.items[8].any()
  np.testing.assert_array_equal(outcome.items[:8], other.items)
  assert outcome.worst == other.worst  # it has no answer to be shown
