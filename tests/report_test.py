# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The report: whole, self-contained, true to its files and hard to break."""

import html.parser
import json
import math
import xml.etree.ElementTree

import pytest

from nomic_jax.errors import UserError
from nomic_jax.report import charts
from nomic_jax.report.report import report

HIT = {"title": "zip.open(name)", "location": "zip.py:3"}


@pytest.fixture(name="place")
def _place(tmp_path):
  workdir = tmp_path / "contrastive"
  workdir.mkdir()
  rows = [
      {"step": i, "loss": 5 / i, "learning_rate": 1e-3,
       "tokens_per_second": 9000, "padding": 0.05,
       "seconds": 6.0 * i}
      for i in range(1, 61)
  ]
  lines = [json.dumps(row) for row in rows] + ['{"step": 61, "lo']
  (workdir / "metrics.jsonl").write_text("\n".join(lines))
  (workdir / "config.json").write_text('{"seed": 7}')
  worst = [{"query": "Open <b>it</b> & read", "answer": HIT, "rank": None,
            "retrieved": [{"score": 0.7, **HIT}]}]
  models = [("bm25", None, 0.4), ("contrastive", "x", 0.5), ("worse", "y", 0.3)]
  (tmp_path / "scores.json").write_text(json.dumps({
      "tasks": {"docs": {
          "kind": "retrieval", "size": "1,585 queries", "group": "",
          "published": {}, "metrics": ["nDCG@10", "MRR@10"]}},
      "baselines": ["bm25"],
      "models": [
          {"name": name, "path": path, "tasks": {"docs": {
              "scores": {"nDCG@10": s, "MRR@10": s},
              "interval": [s - 0.1, s + 0.1], "draws": [s - 0.01, s, s + 0.02],
              "worst": worst}}} for name, path, s in models],
  }))
  return tmp_path


class _Links(html.parser.HTMLParser):

  def __init__(self):
    super().__init__()
    self.tags, self.links = [], []

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self.links += [v for k, v in attrs if k in ("src", "href")]


def test_page_stands_alone_and_says_what_the_files_say(place):
  output = place / "report.html"
  report([f"{place}/contrastive"], f"{place}/scores.json", output)
  page = output.read_text()
  found = _Links()
  found.feed(page)
  assert not found.links and "script" not in found.tags
  assert "@import" not in page and "url(" not in page
  assert found.tags.count("svg") == 4  # two metrics, loss, learning rate
  assert ("</b>, nDCG@10 0.500, 0.100 above bm25 (the dashed line; "
          "significant)") in page
  assert "<b>+0.100*</b>" in page and "0.400–0.600" in page
  assert "<td>6.0</td><td>9,000</td><td>5.0%</td>" in page
  assert "Where contrastive is most wrong" in page
  assert "Open &lt;b&gt;it&lt;/b&gt; &amp; read" in page
  assert "not among the first 100" in page and "zip.py:3" in page
  assert "&quot;seed&quot;: 7" in page


def test_parts_may_be_missing(place):
  (place / "fresh").mkdir()
  (place / "fresh" / "config.json").write_text("{}")
  report([f"{place}/fresh"], None, place / "a.html")
  assert "no steps logged" in (place / "a.html").read_text()
  report([], f"{place}/scores.json", place / "b.html")
  assert "Training" not in (place / "b.html").read_text()


def test_mistakes_are_one_line(place):
  (place / "empty").mkdir()
  with pytest.raises(UserError, match="neither metrics.jsonl nor config.json"):
    report([f"{place}/empty"], None, place / "r.html")
  with pytest.raises(UserError, match="no such directory"):
    report([f"{place}/nowhere"], None, place / "r.html")
  with pytest.raises(UserError, match="not a file of nomic-jax evaluate"):
    report([], f"{place}/contrastive/config.json", place / "r.html")
  with pytest.raises(UserError, match="nothing to report"):
    report([], None, place / "r.html")
  assert not (place / "r.html").exists()


@pytest.mark.parametrize("values", [
    [3.0], [2.0, 2.0], [0.0, 0.0, 0.0], [5.0, math.nan, 4.0, 3.5, math.inf],
    [math.nan], [1e-9, 5e4],
])
def test_curves_of_odd_values_are_drawn(values):
  svg = xml.etree.ElementTree.fromstring(
      charts.curve(range(len(values)), values, "loss & <co>"))
  for line in svg.iter("polyline"):
    for point in line.get("points").split():
      assert all(0 <= float(c) <= 460 for c in point.split(","))
  drawn = sum(len(p.get("points").split()) for p in svg.iter("polyline"))
  assert drawn == sum(map(math.isfinite, values))


def test_bars_grey_every_baseline_and_mark_the_strongest():
  rows = [("bm25", 0.4), ("bm25-tuned", 0.5), ("ours", 0.6), ("none", None)]
  svg = xml.etree.ElementTree.fromstring(charts.bars(
      "nDCG@10", rows, ["bm25", "bm25-tuned"], "bm25-tuned",
      {"ours": (0.5, 0.7), "none": (None, None)}))
  bars = {b.find("title").text.split(":")[0]: b for b in svg.iter("rect")}
  assert {n: b.get("class") for n, b in bars.items()} == {
      "bm25": "bar plain", "bm25-tuned": "bar plain", "ours": "bar",
      "none": "bar"}
  mark, = [b for b in svg.iter("line") if b.get("class") == "mark"]
  tuned = bars["bm25-tuned"]
  assert float(mark.get("x1")) == pytest.approx(
      float(tuned.get("x")) + float(tuned.get("width")), abs=0.1)
  span, = [b for b in svg.iter("line") if b.get("class") == "range"]
  assert float(span.get("x1")) < float(bars["ours"].get("x")) + float(
      bars["ours"].get("width")) < float(span.get("x2"))
  assert [t.text for t in svg.iter("text")][-1] == "–"


def test_points_of_a_map_are_within_it_and_have_their_texts():
  points = [[-1, -1], [1, 1], [0, 0.5]]
  labels = [{"text": f"a <{i}>", "group": "xy"[i % 2]} for i in range(3)]
  svg = xml.etree.ElementTree.fromstring(
      charts.scatter("map", points, labels))
  dots = [c for c in svg.iter("circle") if c.find("title") is not None]
  assert [d.find("title").text for d in dots] == ["x: a <0>", "y: a <1>",
                                                  "x: a <2>"]
  assert dots[0].get("class") == dots[2].get("class") != dots[1].get("class")
  for dot in dots:
    assert 0 < float(dot.get("cx")) < 420 and 0 < float(dot.get("cy")) < 430
  assert float(dots[0].get("cy")) > float(dots[1].get("cy")), "y goes up"


def test_running_mean_by_hand():
  means = charts.running_mean([0.0, 3.0, 6.0, math.nan, 2.0], 3)
  assert means[:3] == [1.5, 3.0, 4.5]
  assert math.isnan(means[3]) and means[4] == 2.0
