# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Speed of making batches from raw pairs, their padding, and memory.

PYTHONPATH=. python benchmarks/data.py --rows=100000 --folder=FOLDER

Makes pairs whose lengths are log-normal (queries 12 tokens on average,
documents 90, at most 512) as .jsonl.gz, and compares, per second of CPU:
the reference's way (json, a fast tokenizer that pads to the longest length
allowed), Hugging Face datasets, and the chains of nomic_jax.data.
"""

import argparse
import gzip
import json
import os
import pathlib
import resource
import shutil
import time

import ml_collections
import numpy as np

from nomic_jax.data import dataset
from nomic_jax.data import loader
from nomic_jax.data import text
from nomic_jax.data import tokens
from nomic_jax.data.prepare import prepare
from nomic_jax.text import tokenizer as tokenizer_lib

_WORDS = 6000
_STEP = 16_384  # pairs of a step in the paper
_LENGTH = {"query": 32, "document": 256}  # fixed in the reference


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--rows", type=int, default=100_000)
  parser.add_argument("--folder", type=pathlib.Path, required=True)
  parser.add_argument("--batch", type=int, default=4096)
  parser.add_argument("--document_tokens", type=float, default=90)
  parser.add_argument("--memory_only", action="store_true")
  parser.add_argument(
    "--hosts",
    default="1,16,64",
    help="of which one makes its rows of masked-language-model batches",
  )
  a = parser.parse_args()
  raw = a.folder / f"raw-{a.rows}"
  if not raw.is_dir():
    _make(raw, a.rows, a.document_tokens)
  data = a.folder / f"data-{a.rows}"
  if not data.is_dir():
    _timed(
      "prepare (jsonl.gz to ArrayRecord)",
      a.rows,
      0,
      lambda: prepare(str(raw), data, vocab_size=8192, held_out=0.01),
    )
    print(f"  peak memory of prepare: {_peak():,.0f} MB")
    _timed("tokenise", a.rows, 0, lambda: tokens.tokenise(data))
  words = tokenizer_lib.load(data / "tokenizer")
  print(
    f"{'':44}{'pairs/s':>10}{'pairs/CPU-s':>13}{'tokens/CPU-s':>14}"
    f"{'real':>7}{'ratio':>7}"
  )
  base = None
  if not a.memory_only:
    base = _reference(raw, words, a.batch)
    _datasets(raw, words, a.batch, base)
  for tokenised in (False, True):
    for workers in (0, 1, 2):
      if not a.memory_only or not workers:
        _ours(data, words, a.batch, tokenised, workers, base)
  for hosts in map(int, filter(None, a.hosts.split(","))):
    _rows_of_text(data, words, hosts)
  print(f"peak memory of this process: {_peak():,.0f} MB")


def _rows_of_text(data, words, hosts: int) -> None:
  """Prints a host's CPU seconds for its share of a batch of configs/mlm.py."""
  config = ml_collections.ConfigDict(
    dict(batch_size=4096, micro_batches=4, row_length=2048, mask_rate=0.3)
  )
  for name, source, count in (
    ("tokenised ahead", tokens.open_split(data, "train", words), 8),
    ("on the fly", dataset.open_split(data, "train"), 1),
  ):
    batches = iter(text.batches(source, words, config, 0, 0, hosts))
    next(batches)
    began = _cpu()
    for _ in range(count):
      next(batches)
    print(
      f"4,096 x 2,048 tokens, one of {hosts} hosts, {name}: "
      f"{(_cpu() - began) / count:.3f} CPU-seconds a step",
      flush=True,
    )


def _make(folder: pathlib.Path, rows: int, document: float) -> None:
  """Writes shards of pairs, whose words are about one token each."""
  rng = np.random.default_rng(0)
  letters = np.array(list("etaoinshrdlucmfwypvbgk"))
  words = np.array(
    sorted(
      {
        "".join(rng.choice(letters, rng.integers(2, 7)))
        for _ in range(2 * _WORDS)
      }
    )[:_WORDS]
  )
  rng.shuffle(words)
  share = 1 / (np.arange(_WORDS) + 10)
  share /= share.sum()
  making = folder.with_name(folder.name + ".partial")
  shutil.rmtree(making, ignore_errors=True)
  making.mkdir(parents=True)

  def lengths(mean: float, sigma: float, count: int) -> np.ndarray:
    drawn = rng.lognormal(np.log(mean) - sigma**2 / 2, sigma, count)
    return np.clip(drawn - 2, 1, 510).astype(int)  # [CLS] and [SEP] count too

  for at in range(0, rows, 100_000):
    count = min(100_000, rows - at)
    sizes = lengths(12, 0.5, count), lengths(document, 0.9, count)
    text = words[
      rng.choice(len(words), int(sum(s.sum() for s in sizes)), p=share)
    ].tolist()
    path = making / f"shard-{at // 100_000:05}.jsonl.gz"
    end = 0
    with gzip.open(path, "wt", compresslevel=1) as file:
      for q, d in zip(*sizes):
        start, middle, end = end, end + q, end + q + d
        file.write(
          json.dumps(
            {
              "query": " ".join(text[start:middle]),
              "document": " ".join(text[middle:end]),
            }
          )
          + "\n"
        )
  making.rename(folder)


def _cpu() -> float:
  """Returns CPU seconds of this process and of its finished children."""
  t = os.times()
  return t.user + t.system + t.children_user + t.children_system


def _peak() -> float:
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _timed(name, rows, tokens_in_rows, run, base=None, slots=0) -> float:
  """Calls `run`, prints a line, and returns pairs per second of CPU."""
  began, cpu = time.monotonic(), _cpu()
  result = run()
  wall, cpu = time.monotonic() - began, _cpu() - cpu
  if isinstance(result, tuple):
    rows, tokens_in_rows, slots, *more = result
    cpu += more[0] if more else 0
  rate = rows / cpu
  print(
    f"{name:44}{rows / wall:10,.0f}{rate:13,.0f}"
    f"{tokens_in_rows / cpu:14,.0f}"
    + (f"{tokens_in_rows / slots:7.1%}" if slots else f"{'':7}")
    + (f"{rate / base:7.1f}" if base else ""),
    flush=True,
  )
  return rate


def _reference(raw, words, size) -> float:
  """Reads JSON lines and pads to the longest length, as in PyTorch trainers."""
  import transformers

  tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=words,
    pad_token="[PAD]",
    cls_token="[CLS]",
    sep_token="[SEP]",
    mask_token="[MASK]",
    unk_token="[UNK]",
  )

  def run():
    pairs = real = slots = 0
    with gzip.open(sorted(raw.iterdir())[0], "rt", encoding="utf-8") as file:
      batch = []
      for line in file:
        batch.append(json.loads(line))
        if len(batch) < size:
          continue
        for name, prompt in (
          ("query", "search_query: "),
          ("document", "search_document: "),
        ):
          out = tokenizer(
            [prompt + row[name] for row in batch],
            padding="max_length",
            truncation=True,
            max_length=_LENGTH[name],
            return_tensors="pt",
          )
          real += int(out["attention_mask"].sum())
          slots += out["attention_mask"].numel()
        pairs += size
        batch = []
        if pairs >= 6 * size:
          break
    return pairs, real, slots

  return _timed("the reference's way (32 / 256, cut)", 0, 0, run)


def _datasets(raw, words, size, base) -> None:
  try:
    import datasets
  except ModuleNotFoundError:
    print("Hugging Face datasets: not installed")
    return
  import transformers

  tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=words,
    pad_token="[PAD]",
    cls_token="[CLS]",
    sep_token="[SEP]",
    mask_token="[MASK]",
    unk_token="[UNK]",
  )

  def tokenise(rows):
    found = {}
    for name, prompt in (
      ("query", "search_query: "),
      ("document", "search_document: "),
    ):
      out = tokenizer(
        [prompt + text for text in rows[name]],
        padding="max_length",
        truncation=True,
        max_length=_LENGTH[name],
      )
      found |= {f"{name}_{k}": v for k, v in out.items()}
    return found

  def run():
    pairs = real = slots = 0
    first = str(sorted(raw.iterdir())[0])
    rows = datasets.load_dataset(
      "json", data_files=first, split="train", streaming=True
    )
    rows = rows.map(
      tokenise,
      batched=True,
      batch_size=size,
      remove_columns=["query", "document"],
    ).with_format("numpy")
    for batch in rows.iter(size):
      pairs += len(batch["query_input_ids"])
      for name in ("query", "document"):
        real += int(batch[f"{name}_attention_mask"].sum())
        slots += batch[f"{name}_attention_mask"].size
      if pairs >= 3 * size:
        break
    return pairs, real, slots

  _timed("Hugging Face datasets, streamed", 0, 0, run, base)


def _ours(data, words, size, tokenised, workers, base) -> None:
  config = ml_collections.ConfigDict(
    dict(
      kind="pairs",
      path=str(data),
      split="train",
      tokenised=tokenised,
      batch_size=size,
      one_source=True,
      token_dropout=0.0,
      row_length=512,
      slots=64,
      rows_multiple=64,
      query_length=512,
      document_length=512,
      query_prompt="search_query: ",
      document_prompt="search_document: ",
      negatives=0,
      workers=workers,
    )
  )
  total = len(dataset.open_split(data, "train")) // size

  def run():
    spent = _Children() if workers else None
    iterator = loader.make(config, words, 0)
    if workers:  # The time to start processes does not matter in training.
      next(iterator)
      before = spent.seconds()
    real = slots = 0
    count = min(total, 12)
    for _ in range(count):
      batch = next(iterator)
      r, s = loader.tokens_in(batch)
      real, slots = real + r, slots + s
    extra = spent.seconds() - before if workers else 0.0
    return count * size, real, slots, extra

  name = "nomic_jax, " + ("tokenised ahead" if tokenised else "on the fly")
  rate = _timed(f"{name}, {workers or 'no'} workers", 0, 0, run, base)
  print(f"  {_STEP:,} pairs: {_STEP / rate:.2f} core-seconds a step")


class _Children:
  """CPU seconds of this process's running descendants."""

  def seconds(self) -> float:
    total, tick = 0.0, os.sysconf("SC_CLK_TCK")
    for task in pathlib.Path("/proc").glob("[0-9]*/stat"):
      try:
        fields = task.read_text().rsplit(")", 1)[1].split()
      except OSError:
        continue
      if int(fields[1]) == os.getpid():
        total += (int(fields[11]) + int(fields[12])) / tick
    return total


if __name__ == "__main__":
  main()
