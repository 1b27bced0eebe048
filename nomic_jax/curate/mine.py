# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Hard negatives: for each query, similar documents that do not answer it.

Candidates are the documents of all of `train`, and negatives that rows have
already. Equal texts are one document, so a positive's twin is no negative. A
candidate nearly as similar as the positive is more likely an unlabelled
answer than a negative; the percentage margin leaves it out (arXiv 2407.15831).
"""

import functools
import os
from typing import Any

import numpy as np

from nomic_jax.curate import corpus as corpora
from nomic_jax.curate import embeddings
from nomic_jax.curate import neighbours
from nomic_jax.curate import parts
from nomic_jax.curate import rewrite
from nomic_jax.curate import select
from nomic_jax.data import dataset
from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.progress import Progress

SHORT = ("random", "drop", "keep")


def mine_negatives(
    model: Any,
    input: str | os.PathLike,
    output: str | os.PathLike,
    *,
    negatives: int = 7,
    depth: int = 100,
    skip: int = 0,
    margin: float | None = 0.95,
    short: str = "random",
    seed: int = 0,
    chunk_size: int = 65_536,
    examples: int = 3,
) -> dict:
  """Writes the pairs of `input` with hard negatives found by `model`.

  Resumes and completes as `filter.filter_pairs` does.

  Args:
    model: a directory, or an object whose `encode` returns unit vectors.
    input: data directory; `train` gets negatives, other splits are copied.
    output: data directory; `score` becomes the pair's cosine, and
      `negative_scores` those of its negatives, NaN for random ones.
    negatives: negatives per pair.
    depth: nearest documents looked at; with 0 all negatives are random.
    skip: pass over this many of the nearest that are not positives.
    margin: leave out a candidate more similar than this share of the query's
      least similar positive; None for no limit.
    short: what becomes of a pair with too few candidates: "random" fills up
      with random documents, "drop" drops it, "keep" keeps it with fewer.
    seed: of the random documents.
    chunk_size: queries searched between two marks to resume from.
    examples: how many pairs to print.

  Returns:
    What stats.json holds: arguments, rows, sources, negatives, similarity.

  Raises:
    UserError: bad arguments, too few documents, an embedding not finite.
  """
  _check(negatives, depth, skip, margin, short, chunk_size)
  rewrite.check_places(input, output)
  flags = dict(
      negatives=negatives, depth=depth, skip=skip, margin=margin, short=short,
      seed=seed, chunk_size=chunk_size)
  arguments = {
      "job": "mine", "model": parts.identity(model),
      "input": parts.identity(input), **flags,
  }
  if (stats := parts.finished(output, arguments)) is not None:
    return stats
  source = dataset.open_split(input, "train")
  corpus = corpora.Corpus(source, f"reading {input}")
  _check_size(corpus, negatives, short, input)
  load = functools.cache(lambda: embeddings.load(model))
  if not parts.Parts.begun(output):
    load()  # before anything is written, in case it cannot be read
  done = parts.Parts(output, arguments)
  _search_all(load, corpus, os.fspath(input), done, flags)
  stats = _finish(source, corpus, input, output, done, arguments, examples)
  done.remove()
  return stats


def _check(negatives, depth, skip, margin, short, chunk_size) -> None:
  for name, value, least in (
      ("negatives", negatives, 1), ("depth", depth, 0), ("skip", skip, 0),
      ("chunk_size", chunk_size, 1),
  ):
    if value < least:
      raise UserError(f"{name}={value}: expected at least {least}")
  if depth and depth < skip + negatives:
    raise UserError(
        f"depth={depth}: expected at least skip + negatives = "
        f"{skip + negatives}, or 0 for random negatives only"
    )
  if margin is not None and not 0 < margin <= 1:
    raise UserError(
        f"margin={margin}: expected a share of the positive's similarity, "
        "above 0 and up to 1"
    )
  if short not in SHORT:
    raise UserError(
        f"short={short}: expected one of {', '.join(SHORT)}."
        + nearest(short, SHORT)
    )


def _check_size(corpus, negatives: int, short: str, input) -> None:
  if not len(corpus.queries):
    raise UserError(f"{input}: every row has an empty query or document")
  # A query's own text may be a document too.
  least = negatives + corpus.most_positives() + 1
  if short == "random" and len(corpus.documents) < least:
    raise UserError(
        f"{input}: {len(corpus.documents)} distinct documents are too few for "
        f"{negatives} negatives per query; expected {least}, give more data "
        "or lower negatives"
    )


def _search_all(load, corpus, input: str, done: parts.Parts, flags) -> None:
  """Finds each query's negatives, in chunks of queries kept in `done`."""
  chunks = _chunks(corpus, flags["chunk_size"])
  if done.has("pairs") and all(done.has(_name(i)) for i in range(len(chunks))):
    return
  queries = embeddings.embed(
      load, corpus.queries, "search_query", done.path("queries.npy"),
      label="query embeddings",
      where=lambda i: f"{input}, split train, {corpus.queries.where(i)}")
  documents = embeddings.embed(
      load, corpus.documents, "search_document", done.path("documents.npy"),
      label="document embeddings",
      where=lambda i: f"{input}, split train, {corpus.documents.where(i)}")
  full = corpus.query_of >= 0
  own = np.full(len(full), np.nan, np.float32)
  own[full] = embeddings.products(
      queries, corpus.query_of[full], documents, corpus.document_of[full])
  done.save("pairs", score=own)
  limit = select.limits(own, corpus, flags["margin"])
  depth = min(flags["depth"], len(documents))
  index = neighbours.Index(documents) if depth else None
  with Progress(len(queries), "queries", "nearest documents") as progress:
    for i, at in enumerate(chunks):
      if done.has(_name(i)):
        progress.update(len(at))
        continue
      part = slice(at.start, at.stop)
      scores, rows = (
          index.search(queries[part], depth, progress=progress) if depth
          else (np.empty((len(at), 0), np.float32),
                np.empty((len(at), 0), np.int32)))
      found = select.choose(
          scores, rows, corpus.forbidden(at.start, rows), limit[part],
          flags["skip"], flags["negatives"])
      if flags["short"] == "random":
        select.fill(found[0], corpus, at.start, flags["seed"])
      done.save(_name(i), rows=found[0], scores=found[1])


def _chunks(corpus, size: int) -> list[range]:
  count = len(corpus.queries)
  return [range(i, min(i + size, count)) for i in range(0, count, size)]


def _name(chunk: int) -> str:
  return f"chunk-{chunk:05d}"


def _finish(source, corpus, input, output, done, arguments, examples) -> dict:
  """Writes the output and returns its stats."""
  chunks = [
      done.load(_name(i))
      for i in range(len(_chunks(corpus, arguments["chunk_size"])))
  ]
  rows = np.concatenate([c["rows"] for c in chunks])
  scores = np.concatenate([c["scores"] for c in chunks])
  own, query_of = done.load("pairs")["score"], corpus.query_of
  enough = (rows >= 0).all(axis=1) | (arguments["short"] != "drop")
  outcome = [
      "empty text" if q < 0 else "kept" if enough[q] else "too few negatives"
      for q in query_of.tolist()
  ]
  by_source = rewrite.count_sources(corpus.sources, outcome)
  kept = [i for i, o in enumerate(outcome) if o == "kept"]
  there = rows[query_of[kept]] >= 0
  mined = ~np.isnan(scores[query_of[kept]])
  stats = {
      "arguments": arguments,
      "input": os.fspath(input),
      "rows": rewrite.count_rows(by_source, len(source)),
      "sources": by_source,
      "negatives": {
          "mined": int(mined.sum()),
          "random": int((there & ~mined).sum()),
          "missing": int((~there).sum()),
      },
      "similarity": {
          "positive": _mean(own[kept]),
          "mined": _mean(scores[query_of[kept]][mined]),
      },
  }
  print(f"mine: {len(kept):,} of {len(source):,} pairs kept, with " + ", ".join(
      f"{n:,} {kind}" for kind, n in stats["negatives"].items()) + " negatives")
  rewrite.print_sources(by_source)

  def train(i: int) -> dataset.Row:
    q = query_of[i]
    given = np.flatnonzero(rows[q] >= 0)
    return {
        **source[i],
        "score": float(own[i]),
        "negatives": [corpus.documents[d] for d in rows[q][given].tolist()],
        "negative_scores": scores[q][given].tolist(),
    }

  _print_examples([train(i) for i in _some(kept, examples)])
  rewrite.write(
      input, output, map(train, kept), kept=len(kept), stats=stats)
  return stats


def _mean(x: np.ndarray) -> float | None:
  return float(np.mean(x)) if x.size else None


def _some(rows: list[int], count: int) -> list[int]:
  return np.random.default_rng(0).permutation(rows)[:count].tolist()


def _print_examples(rows: list[dataset.Row], most: int = 3) -> None:
  for row in rows:
    print(f"query            {rewrite.short(row['query'])}")
    print(f"  positive {row['score']:5.3f} {rewrite.short(row['document'])}")
    for text, score in list(
        zip(row["negatives"], row["negative_scores"]))[:most]:
      told = "random" if np.isnan(score) else f"{score:6.3f}"
      print(f"  negative {told:>6}"[:18] + f" {rewrite.short(text)}")
