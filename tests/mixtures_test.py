# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's mixtures add up, and prepare reads their specifications."""

import gzip
import json
import pathlib
import runpy
import subprocess
import sys
import types

import pytest

from nomic_jax.cli import config_flags
from nomic_jax.data import readers
from nomic_jax.data.readers import specification
from nomic_jax.errors import UserError
from nomic_jax.text.prompts import PROMPTS

ROOT = pathlib.Path(__file__).parents[1]
mixtures = types.SimpleNamespace(
  **runpy.run_path(str(ROOT / "configs" / "mixtures.py"))
)


@pytest.mark.parametrize(
  "name, count, rows, batch",
  [
    ("pretrain", 29, 234_553_344, 16_384),
    ("finetune", 10, 1_692_672, 256),
    ("ablated", 5, 1_054_464, 256),
  ],
)
def test_totals_are_the_papers(name, count, rows, batch):
  datasets = mixtures.MIXTURES[name].datasets
  assert len({d.name for d in datasets}) == count == len(datasets)
  assert sum(d.rows for d in datasets) == rows
  assert all(d.rows % batch == 0 for d in datasets)
  assert {p for d in datasets for p in d.prompts[:2]} <= set(PROMPTS)


def test_what_is_known_of_single_sources():
  pretrain = {d.name: d for d in mixtures.PRETRAIN.datasets}
  assert pretrain["paq"].prompts == ("search_query", "search_document", False)
  assert pretrain["wikipedia"].columns == ("title", "text")
  finetune = {d.name: d for d in mixtures.FINETUNE.datasets}
  assert {n for n, d in finetune.items() if d.prompts.query_only} == {
    "reddit",
    "medi_wiki",
    "medi_stackexchange",
    "medi_flickr",
    "medi_supernli",
  }


def test_later_mixtures_are_contrastors():
  ablated = {d.name: d.prompts for d in mixtures.ABLATED.datasets}
  assert ablated["reddit"] == ("clustering", "clustering", False)
  assert ablated["medi_wiki"] == ("classification", "classification", False)
  places = lambda name: {
    e["name"]: e["bucket"].rpartition("/")[0]
    for e in mixtures.specification(mixtures.MIXTURES[name])["datasets"]
  }
  assert len(places("bge")) == 10 and len(places("distill")) == 6
  assert places("bge")["hotpot"] == "s3://bge-m3-bge-m3-filtered/hotpotqa"
  assert (
    places("bge")["medi_wiki"] == "s3://contrastive/medi_sts_wiki_rephrasal"
  )
  assert places("distill")["squad"] == "s3://squad-stella/squad_95.0pct"
  for e in mixtures.specification(mixtures.DISTILL)["datasets"]:
    assert specification.prompts(e) == {
      "query": "Represent this sentence for searching relevant passages: ",
      "document": "",
    }


def test_variants_of_the_configs_are_contrastors():
  config = lambda name: config_flags.load([f"--config={ROOT}/configs/{name}"])
  v15 = config("finetune.py:v1.5")
  assert v15.encoder.pooled_norm
  assert v15.loss.matryoshka_dims == (64, 128, 256, 512, 768)
  assert (
    config("finetune.py:ablated").steps
    == sum(d.rows for d in mixtures.ABLATED.datasets) // 256
  )
  kd, mse = config("distill.py:kd"), config("distill.py:mse")
  assert (kd.loss.temperature, kd.optimizer.warmup) == (0.2, "400 steps")
  assert kd.data.document_prompt == "" and kd.encoder.pooling == "cls"
  assert (mse.loss.temperature, mse.optimizer.warmup) == (1.0, "100 steps")
  both = config("finetune.py:v1.5,miniature")
  assert both.encoder.width == 64 and both.loss.matryoshka_dims == (16, 32, 64)
  with pytest.raises(UserError, match="no such size.*mean 'ablated'"):
    config("finetune.py:ablate")


def test_prepare_reads_the_specification(tmp_path):
  made = subprocess.run(
    [
      sys.executable,
      ROOT / "configs" / "mixtures.py",
      "finetune",
      str(tmp_path),
    ],
    check=True,
    capture_output=True,
    text=True,
  ).stdout
  (tmp_path / "finetune.yaml").write_text(made)
  for d in mixtures.FINETUNE.datasets:
    folder = tmp_path / "contrastive" / d.folder
    folder.mkdir(parents=True)
    row = {"metadata": {"objective": {"triplet": [list(d.columns)]}}}
    row |= dict(zip(d.columns, ("q", f"of {d.name}", ["n"])))
    for shard in range(d.shards):
      (folder / f"shard-{shard:05}.jsonl.gz").write_bytes(
        gzip.compress(json.dumps(row).encode())
      )
  parts = readers.find(str(tmp_path / "finetune.yaml"), readers.Columns())
  rows = readers.Rows(parts, None, 0)
  found = [(r["document"], r["source"]) for r in rows]
  assert found == [
    (f"of {d.name}", d.name)
    for d in mixtures.FINETUNE.datasets
    for _ in range(d.shards)
  ]
  prompts = rows.prompts()
  assert prompts["reddit"] == {"query": "clustering: ", "document": ""}
  assert prompts["nli_triplets"] == {
    "query": "classification: ",
    "document": "classification: ",
  }
