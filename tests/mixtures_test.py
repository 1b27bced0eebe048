# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's mixtures add up, and prepare reads what they say."""

import gzip
import json
import pathlib
import runpy
import subprocess
import sys
import types

from nomic_jax.data import readers
from nomic_jax.data.prompts import PROMPTS
import pytest

ROOT = pathlib.Path(__file__).parents[1]
mixtures = types.SimpleNamespace(
    **runpy.run_path(str(ROOT / "configs" / "mixtures.py")))


@pytest.mark.parametrize("name, count, rows, batch", [
    ("pretrain", 29, 234_553_344, 16_384), ("finetune", 10, 1_692_672, 256)])
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
      "reddit", "medi_wiki", "medi_stackexchange", "medi_flickr",
      "medi_supernli"}


def test_prepare_reads_the_specification(tmp_path):
  made = subprocess.run(
      [sys.executable, ROOT / "configs" / "mixtures.py", "finetune",
       str(tmp_path)], check=True, capture_output=True, text=True).stdout
  (tmp_path / "finetune.yaml").write_text(made)
  for d in mixtures.FINETUNE.datasets:
    folder = tmp_path / "contrastive" / d.folder
    folder.mkdir(parents=True)
    row = {"metadata": {"objective": {"triplet": [list(d.columns)]}}}
    row |= dict(zip(d.columns, ("q", f"of {d.name}", ["n"])))
    for shard in range(d.shards):
      (folder / f"shard-{shard:05}.jsonl.gz").write_bytes(
          gzip.compress(json.dumps(row).encode()))
  parts = readers.find(str(tmp_path / "finetune.yaml"), readers.Columns())
  rows = readers.Rows(parts, None, 0)
  found = [(r["document"], r["source"]) for r in rows]
  assert found == [
      (f"of {d.name}", d.name) for d in mixtures.FINETUNE.datasets
      for _ in range(d.shards)]
  prompts = rows.prompts()
  assert prompts["reddit"] == {"query": "clustering: ", "document": ""}
  assert prompts["nli_triplets"] == {
      "query": "classification: ", "document": "classification: "}
