# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The report is complete, self-contained and consistent with its files."""

import html.parser
import json
import math
import xml.etree.ElementTree

import matplotlib.colors
import pytest

from nomic_jax.errors import UserError
from nomic_jax.report import adaptation
from nomic_jax.report import charts
from nomic_jax.report.report import report
from nomic_jax.storage import drawing

HIT = {"title": "zip.open(name)", "location": "zip.py:3"}


@pytest.fixture(name="place")
def _place(tmp_path):
  workdir = tmp_path / "contrastive"
  workdir.mkdir()
  rows = [
    {
      "step": i,
      "loss": 5 / i,
      "learning_rate": 1e-3,
      "tokens_per_second": 9000,
      "padding": 0.05,
      "seconds": 6.0 * i,
    }
    for i in range(1, 61)
  ]
  lines = [json.dumps(row) for row in rows] + ['{"step": 61, "lo']
  (workdir / "metrics.jsonl").write_text("\n".join(lines))
  (workdir / "config.json").write_text('{"seed": 7}')
  worst = [
    {
      "query": "Open <b>it</b> & read",
      "answer": HIT,
      "rank": None,
      "retrieved": [{"score": 0.7, **HIT}],
    }
  ]
  models = [("bm25", None, 0.4), ("contrastive", "x", 0.5), ("worse", "y", 0.3)]
  (tmp_path / "scores.json").write_text(
    json.dumps(
      {
        "tasks": {
          "docs": {
            "kind": "retrieval",
            "size": "1,585 queries",
            "group": "",
            "published": {},
            "metrics": ["nDCG@10", "MRR@10"],
          }
        },
        "baselines": ["bm25"],
        "models": [
          {
            "name": name,
            "path": path,
            "tasks": {
              "docs": {
                "scores": {"nDCG@10": s, "MRR@10": s},
                "interval": [s - 0.1, s + 0.1],
                "draws": [s - 0.01, s, s + 0.02],
                "worst": worst,
              }
            },
          }
          for name, path, s in models
        ],
      }
    )
  )
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
  assert (
    "</b>, nDCG@10 0.500, 0.100 above bm25 (the dashed line; significant)"
  ) in page
  assert "<b>+0.100*</b>" in page and "0.400–0.600" in page
  assert "<td>6.0</td><td>9,000</td><td>5.0%</td>" in page
  assert "Worst errors of contrastive" in page
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


@pytest.fixture(name="drawn")
def _drawn(monkeypatch):
  """Draws and returns (panel, titles, the element of the page)."""
  seen = []
  inline = drawing.inline

  def spy(figure, label, titles):
    seen.append((figure.axes[0], titles))
    return inline(figure, label, titles)

  def draw(chart, *arguments, **options):
    text = chart(*arguments, **options)
    return *seen.pop(), xml.etree.ElementTree.fromstring(text)

  monkeypatch.setattr(drawing, "inline", spy)
  return draw


def _titles(svg):
  return [e.text for e in svg.iter() if e.tag.rpartition("}")[2] == "title"]


@pytest.mark.parametrize(
  "values",
  [
    [3.0],
    [2.0, 2.0],
    [0.0, 0.0, 0.0],
    [5.0, math.nan, 4.0, 3.5, math.inf],
    [math.nan],
    [1e-9, 5e4],
  ],
)
def test_curves_of_odd_values_are_drawn(drawn, values):
  panel, _, svg = drawn(charts.curve, range(len(values)), values, "loss & <co>")
  (line,) = panel.get_lines()
  points = [(x, y) for x, y in zip(*line.get_data()) if math.isfinite(y)]
  assert points == [(i, v) for i, v in enumerate(values) if math.isfinite(v)]
  for point in panel.transData.transform(points):  # within the panel
    assert panel.bbox.padded(1).contains(*point)
  assert svg.get("aria-label") == "loss & <co>"


def test_bars_grey_every_baseline_and_mark_the_strongest(drawn):
  rows = [("bm25", 0.4), ("bm25-tuned", 0.5), ("ours", 0.6), ("none", None)]
  panel, titles, svg = drawn(
    charts.bars,
    "nDCG@10",
    rows,
    ["bm25", "bm25-tuned"],
    "bm25-tuned",
    {"ours": (0.5, 0.7), "none": (None, None)},
  )
  assert _titles(svg) == [
    "bm25: 0.4000",
    "bm25-tuned: 0.5000",
    "ours: 0.6000",
    "none: –",
  ]
  bars = {titles[b.get_gid()].split(":")[0]: b for b in panel.patches}
  color = lambda b: matplotlib.colors.to_hex(b.get_facecolor())
  assert {n: color(b) for n, b in bars.items()} == {
    n: drawing.COLORS[c]
    for n, c in (
      ("bm25", "plain"),
      ("bm25-tuned", "plain"),
      ("ours", "main"),
      ("none", "main"),
    )
  }
  (mark,) = [x for x in panel.lines if x.get_linestyle() == "--"]
  assert mark.get_xdata()[0] == bars["bm25-tuned"].get_width() == 0.5
  (span,) = [x for x in panel.lines if x.get_linestyle() == "-"]
  assert span.get_xydata().tolist() == [[0.5, 2], [0.7, 2]]
  assert bars["ours"].get_width() == 0.6
  assert panel.texts[-1].get_text() == "–"
  assert bars["bm25"].get_window_extent().y0 > (
    bars["ours"].get_window_extent().y0
  ), "from top to bottom"


def test_points_of_a_map_are_within_it_and_have_their_texts(drawn):
  points = [[-1, -1], [1, 1], [0, 0.5]]
  labels = [{"text": f"a <{i}>", "group": "xy"[i % 2]} for i in range(3)]
  panel, titles, svg = drawn(charts.scatter, "map", points, labels)
  dots = [x for x in panel.lines if x.get_gid()]
  assert (
    [titles[d.get_gid()] for d in dots]
    == _titles(svg)
    == ["x: a <0>", "y: a <1>", "x: a <2>"]
  )
  assert [[*d.get_xdata(), *d.get_ydata()] for d in dots] == points
  assert dots[0].get_color() == dots[2].get_color() != dots[1].get_color()
  for point in panel.transData.transform(points):
    assert panel.bbox.contains(*point)


def test_a_chart_takes_its_colours_from_the_page_and_clips_nothing(drawn):
  page = charts.curve([1, 2], [1.0, 2.0], "x", smooth=[1.0, 1.5])
  assert "var(--pale)" in page and "var(--main)" in page
  assert not any(color in page for color in drawing.COLORS.values())
  assert "clip" not in page and "font-family: sans-serif" in page
  assert page == charts.curve([1, 2], [1.0, 2.0], "x", smooth=[1.0, 1.5])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
  "name", ["$a$b", r"$\frac{", "é 漢字", "a\udce9", "<&>"]
)
def test_names_of_any_characters_are_drawn_as_they_are(drawn, name):
  shown = name.replace("\udce9", "\ufffd")
  _, _, svg = drawn(charts.bars, name, [(name, 0.5)], against=name)
  texts = [e.text for e in svg.iter() if e.tag.rpartition("}")[2] == "text"]
  assert texts.count(shown) == 2  # the title and the bar's
  labels = [{"text": "x", "group": name}] * 3
  _, _, svg = drawn(charts.scatter, name, [(0, 0)] * 3, labels)
  texts = [e.text for e in svg.iter() if e.tag.rpartition("}")[2] == "text"]
  assert texts.count(shown) == 2


def test_running_mean_by_hand():
  means = charts.running_mean([0.0, 3.0, 6.0, math.nan, 2.0], 3)
  assert means[:3] == [1.5, 3.0, 4.5]
  assert math.isnan(means[3]) and means[4] == 2.0


def test_a_verdict_on_few_rows_has_no_interval():
  metric = "nDCG@10"
  scored = lambda name, score: {
    "name": name,
    "path": name,
    "tasks": {"t": {"scores": {metric: score}, "draws": [None] * 3}},
  }
  verdict = adaptation.verdict(
    {
      "tasks": {"t": {"metrics": [metric]}},
      "models": [
        scored(adaptation.START, 0.5),
        scored(adaptation.ADAPTED, 0.75),
      ],
    }
  )
  assert verdict == (
    "nDCG@10 0.500 before, 0.750 after: better (+0.250), which may be due to "
    "chance: too few held-out rows"
  )
