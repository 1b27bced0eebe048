# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Hard negatives: for each query, similar documents that do not answer it.

Candidates are all documents of `train`, existing negatives of rows, and further
corpora. Texts that differ in case, accents or spaces are one document (see
`corpus`), so a copy of a positive is not a negative, and no document is a
query's negative twice. A candidate nearly as similar as the positive is more
likely an unlabelled answer than a negative; the percentage margin excludes it
(arXiv 2407.15831). Sources that are not retrieval get random negatives, as in
the paper (arXiv 2402.01613, section 4.3), and need no embedding.
"""

from collections.abc import Sequence
import os
from typing import cast

import numpy as np

from nomic_jax.curate import corpus as corpora
from nomic_jax.curate import groups
from nomic_jax.curate import mined_rows
from nomic_jax.curate import parts
from nomic_jax.curate import rewrite
from nomic_jax.curate import select
from nomic_jax.data import dataset
from nomic_jax.data import kinds
from nomic_jax.embed import store as embeddings
from nomic_jax.embed.embedding_model import EmbeddingModel
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.mesh import processes
from nomic_jax.search import neighbours
from nomic_jax.storage import places
from nomic_jax.storage.progress import Progress


@places.expanding("model", "input", "output", "corpus")
def mine_negatives(
  model: embeddings.Given,
  input: str | os.PathLike,
  output: str | os.PathLike,
  *,
  negatives: int = 20,
  minimum: int | None = None,
  depth: int = 100,
  skip: int = 0,
  margin: float | None = 0.95,
  short: str = "random",
  seed: int = 0,
  corpus: Sequence[str] = (),
  random_sources: Sequence[str] | None = None,
  within_source: bool = False,
  query_prompt: str | None = None,
  document_prompt: str | None = None,
  dtype: str = "float32",
  store: str = "float32",
  chunk_size: int = 65_536,
  examples: int = 3,
) -> dict:
  """Writes the pairs of `input` with hard negatives found by `model`.

  Resumes and completes as `filter.filter_pairs` does. Several processes share
  the embedding and hold the documents together for search.

  The arguments are the flags of `nomic-jax mine`, described in jobs/mine.py.
  The model may also be an object, see `embedding_model.adapted`. Up to
  `examples` pairs are printed.

  Returns:
    The content of stats.json: arguments, rows, sources, negatives, similarity.

  Raises:
    UserError: for invalid arguments, too few documents, or an embedding that is
      not finite.
  """
  minimum = negatives if minimum is None else minimum
  flags = select.Flags(
    negatives, minimum, depth, skip, margin, short, seed, chunk_size, store
  )
  select.check(flags)
  rewrite.check_places(input, output)
  rewrite.check_kind(input, "mine")
  model = embeddings.locate(model)
  corpora.check(corpus)
  arguments = {
    "job": "mine",
    "model": parts.identity(model),
    "input": parts.identity(input),
    **flags._asdict(),
    "corpus": [parts.identity(path) for path in corpus],
    "random_sources": random_sources and sorted(random_sources),
    "within_source": within_source,
    "query_prompt": query_prompt,
    "document_prompt": document_prompt,
    "dtype": dtype,
  }
  if (stats := parts.finished(output, arguments)) is not None:
    return stats
  source = dataset.open_split(input, "train")
  random = _random(source, random_sources)
  read = {"model": model} | {
    f"corpus[{i}]": path for i, path in enumerate(corpus)
  }
  model = embeddings.load(model, dtype)  # before anything is written
  split = groups.split(
    source,
    model.prompts,
    query_prompt=query_prompt,
    document_prompt=document_prompt,
    kind=lambda name: (name in random, name if within_source else ""),
  )
  done = parts.shared(output, arguments)
  try:
    mined = _read(source, split, corpus, os.fspath(input), done, flags)
  except UserError:
    if processes.is_first():
      done.remove()  # nothing has been mined yet, and flags may change
    raise
  for group, of in zip(mined, split):
    if len(group.texts.queries) and not group.is_random:
      _mine(model, group, of.prompts, os.fspath(input), done, flags)
  return parts.finish(
    done,
    lambda: _write(
      source, mined, input, output, done, flags, arguments, examples, read
    ),
  )


def _random(
  source: dataset.Source, asked: Sequence[str] | None
) -> frozenset[str]:
  """Returns the sources whose negatives are random.

  Raises:
    UserError: if a requested source does not exist.
  """
  names, _ = groups.sources_of(source)
  if asked is None:
    return frozenset(
      name
      for name in names
      if not groups.is_retrieval(source.prompts.get(name, {}))
    )
  for name in asked:
    one_of(
      name,
      names,
      f"--random_sources: the data has no source '{name}'",
      "it has",
    )
  return frozenset(asked)


def _read(
  source: dataset.Source,
  split: Sequence[groups.Group],
  corpus: Sequence[str],
  input: str,
  done: parts.Parts,
  flags: select.Flags,
) -> list[mined_rows.Group]:
  """Numbers the texts of each group.

  Raises:
    UserError: if there are too few.
  """
  if processes.is_first():
    corpora.copy(corpus, done.path("corpus"))
  processes.barrier("corpus")
  others = corpora.Others(done.path("corpus"))
  result = []
  for i, of in enumerate(split):
    of_random_source, name = cast(tuple[bool, str], of.kind)
    texts = corpora.Corpus(
      source,
      of.rows,
      [] if of_random_source else others,
      f"reading {name or input}",
    )
    group = mined_rows.Group(
      texts,
      f"group-{i:05d}",
      of_random_source or not flags.depth,
      of_random_source,
    )
    _check_size(group, flags, name or input)
    result.append(group)
  if not any(len(group.texts.queries) for group in result):
    raise UserError(f"{input}: every row has an empty query or document")
  return result


def _check_size(
  group: mined_rows.Group, flags: select.Flags, where: str
) -> None:
  # A query's own text may be a document too.
  texts = group.texts
  least = flags.minimum + texts.most_positives() + 1
  distinct = len(np.unique(texts.document_class))
  if not len(texts.queries) or distinct >= least:
    return
  if group.is_random or flags.short == "random":
    raise UserError(
      f"{where}: {distinct} distinct documents are too few for "
      f"{flags.minimum} negatives per query; expected {least}; add data or "
      "lower negatives"
    )


def _mine(
  model: EmbeddingModel,
  group: mined_rows.Group,
  prompts: groups.Prompts,
  input: str,
  done: parts.Parts,
  flags: select.Flags,
) -> None:
  """Finds each query's negatives in chunks of queries, saved in `done`."""
  texts, name = group.texts, group.name
  chunks = mined_rows.chunks(name, len(texts.queries), flags.chunk_size)
  complete = done.has(name) and all(done.has(c.name) for c in chunks)
  if processes.all_true(complete):
    return
  stores = []
  for side, of, prompt in (
    ("query", texts.queries, prompts.query),
    ("document", texts.documents, prompts.document),
  ):
    folder = done.path(f"{name}-{side}")
    embeddings.embed(
      model,
      of,
      prompt,
      folder,
      label=f"{side} embeddings",
      where=lambda i, of=of: f"{input}, {of.where(i)}",
      share=processes.index_and_count(),
    )
    processes.barrier(f"{name}-{side}")
    stores.append(embeddings.Store(folder, len(of)))
  queries, documents = stores
  full = texts.query_of >= 0
  own = np.full(len(full), np.nan, np.float32)
  own[full] = embeddings.products(
    queries, texts.query_of[full], documents, texts.document_of[full]
  )
  limit = select.limits(own, texts, flags.margin)
  depth = min(flags.depth, len(documents))
  index = neighbours.Index(documents, store=flags.store)
  recall = np.nan
  with Progress(len(queries), "queries", "nearest documents") as progress:
    for chunk in chunks:
      # A search is a collective, so all processes take part or none does.
      if processes.all_true(done.has(chunk.name)):
        progress.update(chunk.stop - chunk.start)
        continue
      part = slice(chunk.start, chunk.stop)
      scores, rows = index.search(queries[part], depth, progress=progress)
      if (
        flags.store != "float32" and np.isnan(recall) and (processes.is_first())
      ):  # the process that writes it
        recall = neighbours.recall(queries[part], documents, rows)
      chosen, scores = select.choose(
        scores,
        rows,
        texts.forbidden(chunk.start, rows),
        limit[part],
        flags.skip,
        flags.negatives,
      )
      if processes.is_first():
        done.save(chunk.name, rows=chosen, scores=scores)
  if processes.is_first():
    done.save(name, score=own, recall=np.array(recall, np.float32))
    done.discard(f"{name}-query", f"{name}-document")


def _write(
  source,
  mined,
  input,
  output,
  done,
  flags: select.Flags,
  arguments,
  examples,
  inputs,
) -> dict:
  """Writes the output and returns its stats."""
  rows = mined_rows.MinedRows(source, mined, done, flags)
  kind = kinds.of(input)
  if kind.name == "pairs":
    kind = kinds.Kind("triplets", "mined negatives")
  stats = {
    "arguments": arguments,
    "input": os.fspath(input),
    "kind": kind.to_json(),
    "rows": rewrite.count_rows(rows.by_source, len(source)),
    "sources": rows.by_source,
    "negatives": rows.negatives,
    "similarity": rows.similarity,
  }
  if rows.recall is not None:
    stats["recall"] = rows.recall
    rewrite.print_recall(flags.store, rows.recall)
  kept = stats["rows"]["kept"]
  print(
    f"mine: {kept:,} of {len(source):,} pairs kept, with "
    + ", ".join(f"{n:,} {kind}" for kind, n in rows.negatives.items())
    + " negatives"
  )
  print("\n".join(rewrite.table(rows.by_source)))
  for i in np.random.default_rng(0).permutation(rows.kept)[:examples].tolist():
    _print_example(rows.row(i))
  rewrite.write(
    input, output, map(rows.row, rows.kept.tolist()), stats=stats, inputs=inputs
  )
  return stats


def _print_example(row: dataset.Row, most: int = 3) -> None:
  print(f"query            {rewrite.short(row['query'])}")
  print(f"  positive {row['score']:5.3f} {rewrite.short(row['document'])}")
  for text, score in list(zip(row["negatives"], row["negative_scores"]))[:most]:
    label = "random" if np.isnan(score) else f"{score:6.3f}"
    print(f"  negative {label:>6}"[:18] + f" {rewrite.short(text)}")
