# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What Nomic Embed was trained on (arXiv 2402.01613, tables of the appendix).

This prints the .yaml file that `nomic-jax prepare --source=FILE.yaml` reads:

    python configs/mixtures.py pretrain s3://my-bucket > pretrain.yaml

With --check=BATCH it prints the numbers of rows and batches in the data
instead, from its counts.json, beside the paper's.

pretrain, finetune and ablated are the paper's. Their numbers of rows count only
whole batches of each shard (16,384 pairs, 256 triplets), as contrastors' data
loader does, and add up to the paper's totals. `nomic-jax prepare` reads all
rows of the shards unless --whole_batches is set. bge and distill are later
mixtures of contrastors; the numbers of rows of their sources are not published
and are 0 here.
"""

import argparse
from collections.abc import Iterator
import json
import pathlib
import sys
from typing import NamedTuple

import numpy as np


class Prompts(NamedTuple):
  """Names of both sides' prompts; with `query_only`, documents have none."""

  query: str
  document: str
  query_only: bool = False


# The prompts of Snowflake's Arctic models, the teacher of distill's student.
ARCTIC = Prompts(
  "Represent this sentence for searching relevant passages", "", True
)

# The prompts for MTEB's kinds of task.
RETRIEVAL = Prompts("search_query", "search_document")
CLASSIFICATION = Prompts("classification", "classification")
CLUSTERING = Prompts("clustering", "clustering")
CLASSIFICATION_QUERY_ONLY = Prompts("classification", "classification", True)
CLUSTERING_QUERY_ONLY = Prompts("clustering", "clustering", True)

MTEB = {
  "Classification": CLASSIFICATION,
  "PairClassification": CLASSIFICATION,
  "Reranking": CLASSIFICATION,
  "STS": CLASSIFICATION,
  "Summarization": CLASSIFICATION,
  "Clustering": CLUSTERING,
  "Retrieval": RETRIEVAL,
}


class Dataset(NamedTuple):
  """One source: its location, prompts and number of rows.

  `rows` is 0 where the number is not published.
  """

  name: str
  folder: str
  shards: int
  prompts: Prompts
  columns: tuple[str, ...]
  rows: int
  bucket: str = ""  # overrides the mixture's


class Mixture(NamedTuple):
  """The sources of one training run."""

  bucket: str
  objective: str
  datasets: tuple[Dataset, ...]


PRETRAIN = Mixture(
  "contrastive-index-filtered",
  "paired",
  (
    Dataset(
      "reddit_title_body",
      "reddit_full",
      667,
      CLUSTERING,
      ("title", "body"),
      64_978_944,
    ),
    Dataset(
      "amazon_reviews",
      "amazon_reviews_full",
      394,
      CLASSIFICATION,
      ("query", "document"),
      38_682_624,
    ),
    Dataset(
      "paq", "paq_full", 539, RETRIEVAL, ("query", "document"), 52_953_088
    ),
    Dataset(
      "s2orc_citation_titles",
      "s2orc_citation_title_full",
      78,
      CLUSTERING,
      ("query", "pos"),
      7_585_792,
    ),
    Dataset(
      "s2orc_title_abstract",
      "s2orc_title_abstract_full",
      361,
      CLUSTERING,
      ("query", "document"),
      35_438_592,
    ),
    Dataset(
      "s2orc_abstract_citation",
      "s2orc_abstract_citation_full",
      77,
      CLUSTERING,
      ("query", "pos"),
      7_503_872,
    ),
    Dataset(
      "s2orc_abstract_body",
      "s2orc_abstract_body_index_filtered",
      72,
      CLUSTERING,
      ("query", "document"),
      6_389_760,
      "contrastive",
    ),
    Dataset(
      "wikianswers",
      "wikianswers_full",
      101,
      CLASSIFICATION,
      ("query", "document"),
      9_912_320,
    ),
    Dataset(
      "wikipedia",
      "wiki_title_body_full",
      62,
      CLASSIFICATION,
      ("title", "text"),
      6_078_464,
    ),
    Dataset(
      "gooaq", "gooaq_full", 13, RETRIEVAL, ("query", "document"), 1_245_184
    ),
    Dataset(
      "codesearch",
      "codesearch_full",
      9,
      CLUSTERING,
      ("query", "document"),
      835_584,
    ),
    Dataset(
      "yahoo_title_answer",
      "yahoo_title_answer_full",
      3,
      RETRIEVAL,
      ("query", "document"),
      262_144,
    ),
    Dataset(
      "agnews", "agnews_full", 5, CLASSIFICATION, ("query", "document"), 409_600
    ),
    Dataset(
      "amazonqa", "amazon_qa_full", 3, RETRIEVAL, ("query", "pos"), 212_992
    ),
    Dataset(
      "yahoo_qa", "yahoo_qa_full", 2, RETRIEVAL, ("query", "document"), 131_072
    ),
    Dataset(
      "yahoo_title_question",
      "yahoo_title_question_full",
      3,
      RETRIEVAL,
      ("query", "document"),
      196_608,
    ),
    Dataset(
      "ccnews", "ccnews_full", 4, CLASSIFICATION, ("query", "document"), 344_064
    ),
    Dataset(
      "npr", "npr_full", 4, CLASSIFICATION, ("query", "document"), 344_064
    ),
    Dataset("eli5", "eli5_full", 2, RETRIEVAL, ("query", "document"), 98_304),
    Dataset(
      "cnn", "cnn_full", 3, CLASSIFICATION, ("query", "document"), 278_528
    ),
    Dataset(
      "stackexchange_duplicate_questions",
      "stackexchange_question_question_full",
      1,
      CLUSTERING,
      ("query", "document"),
      65_536,
    ),
    Dataset(
      "stackexchange_title_body",
      "stackexchange_title_body_full",
      1,
      CLUSTERING,
      ("query", "document"),
      65_536,
    ),
    Dataset(
      "stackexchange_body_body",
      "stackexchange_body_body_full",
      1,
      CLUSTERING,
      ("query", "document"),
      65_536,
    ),
    Dataset(
      "sentence_compression",
      "sentence_compression_full",
      2,
      CLASSIFICATION,
      ("query", "document"),
      163_840,
    ),
    Dataset(
      "wikihow",
      "wikihow_full",
      1,
      CLASSIFICATION,
      ("query", "document"),
      81_920,
    ),
    Dataset(
      "altlex", "altlex_full", 1, CLASSIFICATION, ("query", "document"), 98_304
    ),
    Dataset(
      "quora", "quora_full", 1, CLASSIFICATION, ("query", "document"), 32_768
    ),
    Dataset(
      "simplewiki",
      "simplewiki_full",
      1,
      CLASSIFICATION,
      ("query", "document"),
      81_920,
    ),
    Dataset("squad", "squad_full", 1, RETRIEVAL, ("query", "document"), 16_384),
  ),
)

FINETUNE = Mixture(
  "contrastive",
  "triplet",
  (
    Dataset(
      "msmarco",
      "msmarco_distillation_simlm_rescored_reranked_min15",
      5,
      RETRIEVAL,
      ("query", "document", "negatives"),
      484_864,
    ),
    Dataset(
      "nq_triples",
      "nq_cocondensor_hn_mine_reranked_min15",
      1,
      RETRIEVAL,
      ("query", "document", "negatives"),
      69_888,
    ),
    Dataset(
      "nli_triplets",
      "nli_simcse_50negs_fixed",
      3,
      CLASSIFICATION,
      ("query", "document", "negatives"),
      275_200,
    ),
    Dataset(
      "reddit",
      "reddit_triples",
      2,
      CLUSTERING_QUERY_ONLY,
      ("query", "document", "negatives"),
      199_680,
    ),
    Dataset(
      "medi_wiki",
      "medi_sts_wiki_rephrasal",
      1,
      CLASSIFICATION_QUERY_ONLY,
      ("query", "pos", "neg"),
      24_832,
    ),
    Dataset(
      "medi_stackexchange",
      "medi_sts_stackexchange_dupe",
      1,
      CLASSIFICATION_QUERY_ONLY,
      ("query", "pos", "neg"),
      100_352,
    ),
    Dataset(
      "medi_flickr",
      "medi_sts_flickr_sampled",
      1,
      CLASSIFICATION_QUERY_ONLY,
      ("query", "pos", "neg"),
      50_944,
    ),
    Dataset(
      "medi_supernli",
      "medi_supernli_sampled",
      1,
      CLASSIFICATION_QUERY_ONLY,
      ("query", "pos", "neg"),
      177_408,
    ),
    Dataset(
      "hotpot",
      "hotpotqa_hn_mine_shuffled",
      2,
      RETRIEVAL,
      ("query", "document", "negatives"),
      169_728,
    ),
    Dataset(
      "fever",
      "fever_hn_mine",
      2,
      RETRIEVAL,
      ("query", "document", "negatives"),
      139_776,
    ),
  ),
)

_OF_FINETUNE = {d.name: d for d in FINETUNE.datasets}

# The same prompt on both sides where FINETUNE has none for documents. The paper
# says that v1-ablated has no data of MEDI; the published list keeps medi_wiki.
ABLATED = Mixture(
  "contrastive",
  "triplet",
  (
    _OF_FINETUNE["msmarco"],
    _OF_FINETUNE["nq_triples"],
    _OF_FINETUNE["nli_triplets"],
    _OF_FINETUNE["reddit"]._replace(prompts=CLUSTERING),
    _OF_FINETUNE["medi_wiki"]._replace(prompts=CLASSIFICATION),
  ),
)


def _mined(
  names: dict[str, str], bucket: str, prompts: Prompts
) -> dict[str, Dataset]:
  """Returns sources of five shards each of (query, pos, neg), by their name."""
  return {
    name: Dataset(name, folder, 5, prompts, ("query", "pos", "neg"), 0, bucket)
    for name, folder in names.items()
  }


_BGE = _mined(
  {
    "msmarco": "msmarco",
    "nq_triples": "nq",
    "hotpot": "hotpotqa",
    "fever": "fever",
  },
  "bge-m3-bge-m3-filtered",
  RETRIEVAL,
)
BGE = Mixture(
  "contrastive",
  "triplet",
  (
    _BGE["msmarco"],
    _BGE["nq_triples"],
    _OF_FINETUNE["nli_triplets"],
    _OF_FINETUNE["reddit"]._replace(prompts=CLUSTERING),
    *(
      _OF_FINETUNE[f"medi_{name}"]._replace(prompts=CLASSIFICATION)
      for name in ("wiki", "stackexchange", "flickr", "supernli")
    ),
    _BGE["hotpot"],
    _BGE["fever"],
  ),
)

# Mined with Stella, at 95 % of the positive's similarity.
DISTILL = Mixture(
  "beir-stella",
  "triplet",
  (
    *_mined(
      {
        "fever": "fever_95.0pct",
        "hotpot": "hotpotqa_95.0pct",
        "msmarco": "msmarco_95.0pct",
        "nq": "nq_95.0pct",
      },
      "beir-stella",
      ARCTIC,
    ).values(),
    *_mined(
      {"stack": "stackexchange-title-body_95.0pct"},
      "stackexchange-title-body-stella",
      ARCTIC,
    ).values(),
    *_mined({"squad": "squad_95.0pct"}, "squad-stella", ARCTIC).values(),
  ),
)

MIXTURES = {
  "pretrain": PRETRAIN,
  "finetune": FINETUNE,
  "ablated": ABLATED,
  "bge": BGE,
  "distill": DISTILL,
}


def specification(
  mixture: Mixture, root: str = "s3://", shards: int = 0
) -> dict:
  """Returns the contents of a mixture's .yaml; see `readers.specification`.

  Args:
    mixture: one of the above.
    root: prefix of the buckets' names, a folder or another store.
    shards: number of shards to use of each source; 0: all.
  """
  root = root if root.endswith("/") else root + "/"
  entries = []
  for d in mixture.datasets:
    last = min(d.shards, shards or d.shards) - 1
    entries.append(
      {
        "name": d.name,
        "bucket": f"{root}{d.bucket or mixture.bucket}/{d.folder}/shard-"
        f"{{00000..{last:05d}}}.jsonl.gz",
        "objective": {"type": mixture.objective, "columns": list(d.columns)},
        "query_prefix": d.prompts.query,
        "document_prefix": d.prompts.document,
        "query_only": d.prompts.query_only,
      }
    )
  return {"datasets": entries}


def check(
  mixture: Mixture, root: str, batch: int, shards: int = 0
) -> Iterator[str]:
  """Yields the lines of a table that compares the data with the paper.

  Args:
    mixture: one of the above.
    root: see `specification`.
    batch: rows of a batch. Only whole batches of a shard count.
    shards: see `specification`.
  """
  from nomic_jax.data.readers import shards as published
  from nomic_jax.data.readers import specification as yaml

  line = "{:<36}{:>14}{:>14}{:>9}{:>14}".format
  yield line("", "rows", "in batches", "batches", "paper's rows")
  total = np.zeros(4, int)
  unknown = []
  entries = specification(mixture, root, shards)["datasets"]
  for d, entry in zip(mixture.datasets, entries):
    paths = yaml.expand(entry["bucket"])
    known = published.counts(paths[0].rpartition("/")[0])
    rows = [known.get(path.rpartition("/")[2]) for path in paths]
    if None in rows:
      unknown.append(d.name)
      yield line(d.name, *["?"] * 3, f"{d.rows:,}")
      continue
    found = (
      sum(rows),
      sum(n // batch * batch for n in rows),
      sum(n // batch for n in rows),
      d.rows,
    )
    total += found
    differs = "" if found[1] == d.rows else f"  {found[1] - d.rows:+,}"
    yield line(d.name, *(f"{n:,}" for n in found)) + differs
  yield line("all", *(f"{n:,}" for n in total))
  wanted = sum(d.rows for d in mixture.datasets)
  yield (
    f"steps of one epoch: {total[2]:,}; the paper's: {wanted // batch:,}"
    f" ({wanted:,} rows)"
  )
  if unknown:
    yield (
      "unknown, since no counts.json lists all of their shards: "
      + ", ".join(unknown)
    )


def _main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("mixture", choices=MIXTURES)
  parser.add_argument(
    "root",
    nargs="?",
    default="s3://",
    help="prefix of the buckets' names: s3:// or a folder",
  )
  parser.add_argument(
    "--shards",
    type=int,
    default=0,
    help="number of shards to use of each source; 0: all",
  )
  parser.add_argument("--output", help=".yaml to write instead of printing it")
  parser.add_argument(
    "--check",
    type=int,
    metavar="BATCH",
    help=("count rows of the data, and batches of BATCH rows"),
  )
  a = parser.parse_args()
  mixture = MIXTURES[a.mixture]
  if a.check:
    from nomic_jax.errors import UserError

    try:
      for line in check(mixture, a.root, a.check, a.shards):
        print(line, flush=True)
    except UserError as e:
      sys.exit(f"mixtures.py: error: {e}")
    return
  # JSON is yaml too.
  text = json.dumps(specification(mixture, a.root, a.shards), indent=1)
  if a.output:
    pathlib.Path(a.output).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(a.output).write_text(text + "\n", encoding="utf-8")
  else:
    print(text)


if __name__ == "__main__":
  _main()
