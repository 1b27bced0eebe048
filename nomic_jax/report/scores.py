# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The scores section of a report: tables, bars, maps and the worst answers."""

from nomic_jax.evaluation import curves
from nomic_jax.report import charts
from nomic_jax.report import tables
from nomic_jax.report.page import escape
from nomic_jax.report.page import table
from nomic_jax.storage import drawing

_EXAMPLES = 8  # worst items shown
_CHARTS = 3  # metrics drawn per task


def scores(results: dict) -> list[str]:
  """Returns the table of all tasks, then charts and numbers of each."""
  parts = ["<h2>Scores on held-out text</h2>"]
  if len(results["tasks"]) > 1:
    parts += _shown(tables.overall(results))
  by_title = {t.title: t for t in tables.tables(results)}
  for task, about in results["tasks"].items():
    if about.get("kind") == "mteb":
      continue
    against = tables.reference(results, task)
    parts.append(
      f"<h3>{escape(task)}</h3><p>{escape(about['size'])}. "
      f"{_headline(results, task, against)}</p>"
      '<div class="charts thirds">'
    )
    for metric in about["metrics"][:_CHARTS]:
      rows = [
        (m["name"], m["tasks"][task]["scores"][metric])
        for m in results["models"]
        if task in m["tasks"]
      ]
      intervals = {
        m["name"]: m["tasks"][task]["interval"]
        for m in results["models"]
        if task in m["tasks"] and metric == about["metrics"][0]
      }
      parts.append(
        charts.bars(metric, rows, _baselines(results), against, intervals)
      )
    parts.append("</div>")
    parts += _shown(by_title[f"{task}: {about['size']}"])
  return parts + _curves(results, by_title) + _maps(results)


def worst(results: dict) -> list[str]:
  """Returns the best model's worst errors, for each task."""
  parts = []
  for task in results["tasks"]:
    best = _best(results, task)
    if best is None or not best["tasks"][task]["worst"]:
      continue
    shown = best["tasks"][task]["worst"][:_EXAMPLES]
    ranked = "retrieved" in shown[0]
    note = (
      "Queries whose answer ranked last or was not found; the most confident "
      "mistakes come first."
      if ranked
      else "Items that differ most from human judgements."
    )
    parts.append(
      f"<h2>Worst errors of {escape(best['name'])} on {escape(task)}"
      f'</h2><p class="note">{note}</p>'
    )
    parts += map(_ranked if ranked else _judged, shown)
  return parts


def _shown(content: tables.Table) -> list[str]:
  rows = [
    [f"<b>{escape(cell)}</b>" if "*" in cell else escape(cell) for cell in row]
    for row in content.rows
  ]
  note = f'<p class="note">{escape(content.note)}</p>' if content.note else ""
  return [table(content.head, rows), note]


def _baselines(results: dict) -> list[str]:
  """Returns the names of the systems that models are compared with."""
  return [m["name"] for m in results["models"] if m["path"] is None] + list(
    results.get("baselines", ())
  )


def _best(results: dict, task: str) -> dict | None:
  """Returns the model, other than BM25, with the highest main score."""
  scores_by_name = tables.main_scores(results, task)
  models = [
    (score, -place, m)
    for place, m in enumerate(results["models"])
    if m["path"] is not None
    and (score := scores_by_name.get(m["name"])) is not None
  ]
  return max(models)[2] if models else None  # places differ: no m is compared


def _headline(results: dict, task: str, against: str | None) -> str:
  """Returns a sentence on the best model and its gap to the baseline."""
  best = _best(results, task)
  if best is None:
    return ""
  metric = results["tasks"][task]["metrics"][0]
  value = tables.main_scores(results, task)[best["name"]]
  text = f"Best: <b>{escape(best['name'])}</b>, {metric} {value:.3f}"
  gap = tables.difference(results, task, best["name"])
  if gap is None:
    return text + "."
  side = "above" if gap.value >= 0 else "below"
  significance = "significant" if gap.significant else "not significant"
  return (
    f"{text}, {abs(gap.value):.3f} {side} {escape(against)} (the dashed "
    f"line; {significance})."
  )


def _curves(
  results: dict, tables_by_title: dict[str, tables.Table]
) -> list[str]:
  titles = [
    title for title in tables_by_title if title.endswith("by dimensions")
  ]
  if not titles:
    return []
  parts = [
    "<h2>Fewer dimensions, fewer bits</h2>",
    drawing.inline(curves.draw(results), "score by dimensions", {}),
  ]
  for title in titles:
    parts += [f"<p>{escape(title)}</p>", *_shown(tables_by_title[title])]
  return parts


def _maps(results: dict) -> list[str]:
  parts = []
  for task in results["tasks"]:
    best = _best(results, task)
    if best is None:
      continue
    if points_of_map := best["tasks"][task].get("map"):
      parts += [
        charts.scatter(
          f"{task}: {method} of {best['name']}", points, points_of_map["labels"]
        )
        for method, points in points_of_map["points"].items()
      ]
  if not parts:
    return []
  return [
    "<h2>Maps of the vectors</h2>",
    '<p class="note">Each point is a text; hover over it to read it.</p>',
    '<div class="charts halves">',
    *parts,
    "</div>",
  ]


def _ranked(item: dict) -> str:
  rank = (
    f"at rank {item['rank']}" if item["rank"] else ("not among the first 100")
  )
  hits = "".join(
    f'<li value="{i}"><span class="score">{hit["score"]:.3f}</span> '
    f"{_hit(hit)}</li>"
    for i, hit in enumerate(item["retrieved"], 1)
  )
  return (
    f'<div class="query"><p class="asked">{escape(item["query"])}</p>'
    f'<p><span class="tag">answer {rank}:</span> '
    f"{_hit(item['answer'])}</p><ol>{hits}</ol></div>"
  )


def _judged(item: dict) -> str:
  texts = "".join(
    f'<p class="asked">{escape(text[:300])}</p>' for text in item["texts"]
  )
  return (
    f'<div class="query">{texts}<p><span class="tag">expected'
    f'</span> {escape(item["expected"])} <span class="tag">found'
    f"</span> {escape(item['found'])}</p></div>"
  )


def _hit(hit: dict) -> str:
  text = f"<code>{escape(hit['title'])}</code>"
  if hit["location"]:
    text += f' <span class="place">{escape(hit["location"])}</span>'
  return text
