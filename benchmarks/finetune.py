# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Fine-tunes a small BERT on pairs, here and in sentence-transformers.

nomic-jax prepare --source=docstrings --output=runs/pairs
python benchmarks/finetune.py --model=DIR --data=runs/pairs

Both train on the same batches with in-batch negatives (in
sentence-transformers, MultipleNegativesRankingLoss), AdamW, gradients clipped
at 1, and a linear schedule. First, each setting is timed for a few steps. Then
the fastest setting of each side trains; the two alternate every ten steps. Both
are scored on held-out documents before and after. --model is a directory such
as that of all-MiniLM-L6-v2.

On a machine with other work, compare CPU seconds, on one core (taskset -c 0):
with several cores they include the time in which threads wait for each other.
"""

import argparse
from collections.abc import Iterator
import contextlib
import pathlib
import tempfile
import time

import jax
import numpy as np
import sentence_transformers
from sentence_transformers import losses as torch_losses
import torch
import transformers

import nomic_jax
from nomic_jax import program
from nomic_jax.cli import config_flags
from nomic_jax.data import dataset
from nomic_jax.data import loader
from nomic_jax.data import pack as pack_lib
from nomic_jax.hub import model_directory
from nomic_jax.mesh import compiler_flags
from nomic_jax.text import tokenizer as tokenizer_lib

ROOT = pathlib.Path(__file__).parents[1]
TEMPERATURE, TURN, PILOT = 0.05, 10, 6
Batch = list[tuple[str, str]]  # query and document


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--model", required=True)
  parser.add_argument("--data", required=True)
  parser.add_argument("--steps", type=int, default=200)
  parser.add_argument("--batch", type=int, default=32, help="pairs")
  parser.add_argument("--rate", type=float, default=5e-5)
  parser.add_argument("--length", type=int, default=96, help="most tokens")
  parser.add_argument("--held_out", type=int, default=500, help="documents")
  a = parser.parse_args()
  # As `nomic-jax train` does. It makes sentence-transformers faster, too.
  compiler_flags.set_for_this_machine()
  # With a cache, equal steps are compiled only once.
  jax.config.update("jax_compilation_cache_dir", tempfile.mkdtemp())
  batches = list(_batches(a.data, a.steps, a.batch))
  test = _pairs(a.data, "test")[: a.held_out]

  sides = {
    "nomic_jax float32": lambda: Ours(a, batches, "float32"),
    "nomic_jax bfloat16": lambda: Ours(a, batches, "bfloat16"),
    "sentence-transformers float32": lambda: Theirs(a, "float32"),
    "sentence-transformers autocast": lambda: Theirs(a, "autocast"),
    "sentence-transformers bfloat16 products": lambda: Theirs(a, "products"),
  }
  seconds = {}
  print(
    f"| setting | seconds a step of {a.batch} pairs | CPU seconds |\n"
    "|---|---|---|"
  )
  for name, make in sides.items():
    side = make()
    each = [_timed(side, [batch]) for batch in batches[:PILOT]]
    seconds[name], cpu = np.median(each[1:], axis=0)
    print(f"| {name} | {seconds[name]:.3f} | {cpu:.3f} |", flush=True)
  best = [
    min((n for n in sides if n.startswith(side)), key=seconds.get)
    for side in ("nomic_jax", "sentence")
  ]
  trained = {name: sides[name]() for name in best}
  total = {name: np.zeros(2) for name in best}
  for start in range(0, a.steps, TURN):
    for name, side in trained.items():
      total[name] += _timed(side, batches[start : start + TURN])

  print(
    f"\n| {a.steps} steps | seconds | CPU seconds | pairs/s | last loss | "
    f"held-out nDCG@10 |\n|---|---|---|---|---|---|"
  )
  print(f"| before | | | | | {_ndcg(a.model, test, a.length):.4f} |")
  for name, side in trained.items():
    with tempfile.TemporaryDirectory() as folder:
      side.save(f"{folder}/model")
      score = _ndcg(f"{folder}/model", test, a.length)
    loss = np.mean(side.losses[-TURN:])
    wall, cpu = total[name]
    print(
      f"| {name} | {wall:.1f} | {cpu:.1f} | {a.steps * a.batch / wall:.1f} | "
      f"{loss:.4f} | {score:.4f} |"
    )
  wall, cpu = total[best[1]] / total[best[0]]
  print(
    f"\nsentence-transformers / nomic_jax: seconds {wall:.2f}, CPU seconds "
    f"{cpu:.2f}"
  )


def _pairs(data: str, split: str) -> Batch:
  rows = dataset.open_split(data, split)
  rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
  return [(row["query"], row["document"]) for row in rows]


def _batches(data: str, steps: int, size: int) -> Iterator[Batch]:
  pairs = _pairs(data, "train")
  for step in range(steps):
    yield [pairs[(step * size + i) % len(pairs)] for i in range(size)]


def _timed(side, batches: list[Batch]) -> np.ndarray:
  """Returns seconds and CPU seconds, from texts to updated parameters."""
  clocks = lambda: np.array([time.perf_counter(), time.process_time()])
  began = clocks()
  for batch in batches:
    side.step(batch)
  side.wait()
  return clocks() - began


def _ndcg(model: str, pairs: Batch, length: int) -> float:
  """Returns nDCG@10 of finding each query's own document among all documents.

  Texts are truncated to `length` tokens, whatever the model's own limit.
  """
  model = nomic_jax.load(model)
  model.max_tokens = length
  queries, documents = (model.encode(list(side)) for side in zip(*pairs))
  scores = queries @ documents.T
  rank = (scores > np.diag(scores)[:, None]).sum(1)
  return float(np.where(rank < 10, 1 / np.log2(rank + 2), 0).mean())


class Ours:
  """The step that `nomic-jax train` runs, on packed rows of one shape."""

  def __init__(self, a, batches: list[Batch], dtype: str):
    self._files = model_directory.read_model(a.model)
    self._tokenizer = tokenizer_lib.load(self._files.tokenizer_path)
    self._length, self._rows = a.length, 1
    self._rows = max(len(self._pack(b)["inputs"]["ids"][0]) for b in batches)
    config = config_flags.load(
      [
        f"--config={ROOT}/configs/finetune.py",
        f"--config.steps={a.steps}",
        f"--config.compute.dtype={dtype}",
        "--config.compute.remat=none",
        f"--config.compute.unroll={len(self._files.architecture.layers)}",
        f"--config.loss.temperature={TEMPERATURE}",
        f"--config.data.batch_size={a.batch}",
        f"--config.data.query_length={a.length}",
        f"--config.data.document_length={a.length}",
        f"--config.optimizer.learning_rate={a.rate}",
        "--config.optimizer.warmup=10%",
        "--config.optimizer.weight_decay=0",
        "--config.mesh.data=1",
      ]
    )
    run = program.setup(config, self._files.architecture, jax.devices()[:1])
    # A copy, since the step donates its state.
    params = jax.tree.map(jax.numpy.array, self._files.params)
    self._state = run.init().replace(params={"encoder": params})
    self._step, self._losses = run.step, []

  def step(self, batch: Batch) -> None:
    self._state, metrics = self._step(self._state, self._pack(batch))
    self._losses.append(metrics["loss"])

  def wait(self) -> None:
    jax.block_until_ready(self._state)

  @property
  def losses(self) -> list[float]:
    return [float(x) for x in self._losses]

  def save(self, folder: str) -> None:
    f = self._files
    model_directory.write_model(
      folder,
      f.architecture,
      jax.device_get(self._state.params["encoder"]),
      tokenizer_lib.load(f.tokenizer_path),
      {},
    )

  def _pack(self, batch: Batch) -> dict[str, np.ndarray]:
    texts = [text for side in zip(*batch) for text in side]
    ids = [e.ids for e in self._tokenizer.encode_batch_fast(texts)]
    longest = self._length
    ids = [i if len(i) <= longest else i[: longest - 1] + i[-1:] for i in ids]
    packed = pack_lib.pack(ids, longest, 8, self._rows)
    known: dict[str, int] = {}
    content = np.zeros(packed.ids.shape[0] * 8, np.int32)
    content[packed.slot_of] = [
      known.setdefault(text, len(known) + 1) for text in texts
    ]
    count = len(batch)
    arrays = {
      "ids": packed.ids,
      "segment_ids": packed.segment_ids,
      "positions": packed.positions,
      "content": content.reshape(-1, 8),
      "query": packed.slot_of[:count],
      "candidate": packed.slot_of[count:],
      "positive": np.arange(count, dtype=np.int32),
    }
    return loader.nested({k: v[None] for k, v in arrays.items()})


class Theirs:
  """sentence-transformers' model and loss in a minimal training loop."""

  def __init__(self, a, precision: str):
    torch.set_float32_matmul_precision(
      "medium" if precision == "products" else "highest"
    )
    self._autocast = precision == "autocast"
    self._model = sentence_transformers.SentenceTransformer(
      a.model, device="cpu"
    )
    self._model.max_seq_length = a.length
    self._model.train()
    for module in self._model.modules():  # as in ours
      if isinstance(module, torch.nn.Dropout):
        module.p = 0.0
    self._loss = torch_losses.MultipleNegativesRankingLoss(
      self._model, scale=1 / TEMPERATURE
    )
    self._optimizer = torch.optim.AdamW(
      self._model.parameters(), lr=a.rate, weight_decay=0.0
    )
    self._schedule = transformers.get_linear_schedule_with_warmup(
      self._optimizer, round(a.steps / 10), a.steps
    )
    self.losses: list[float] = []

  def step(self, batch: Batch) -> None:
    features = [self._model.preprocess(list(side)) for side in zip(*batch)]
    autocast = contextlib.nullcontext()
    if self._autocast:
      autocast = torch.autocast("cpu", torch.bfloat16)
    with autocast:
      loss = self._loss(features, None)
    self._optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
    self._optimizer.step()
    self._schedule.step()
    self.losses.append(loss.item())

  def wait(self) -> None:
    """Does nothing, since steps are synchronous on a CPU."""

  def save(self, folder: str) -> None:
    self._model.save(folder)


if __name__ == "__main__":
  main()
