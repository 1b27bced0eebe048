# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Small models, texts and batches for the tests that train."""

import functools
import json

from flax.linen import meta
import jax
import numpy as np
import tokenizers

from nomic_jax.data import loader
from nomic_jax.data.pack import pack
from nomic_jax.model.config import EncoderConfig
from nomic_jax.model.encoder import Embedded
from nomic_jax.text import tokenizer as tokenizer_lib

CONFIG = EncoderConfig(
  vocab_size=96, width=16, layers=2, heads=2, mlp_width=32, max_length=64
)
ARCHITECTURE = CONFIG.architecture

WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()
# Compiling takes far longer than running here, so optimization is off.
FAST = {"xla_backend_optimization_level": 0}
jit = functools.partial(jax.jit, compiler_options=FAST)


def params(module, seed: int = 0) -> dict:
  """A loss's or an encoder's fresh parameters, as plain arrays."""
  return meta.unbox(jit(module.init)(jax.random.key(seed)))


def shapes(module) -> dict:
  """Shapes of what `params` returns, without computing it."""
  return meta.unbox(jax.eval_shape(module.init, jax.random.key(0)))


def pair_batch(queries: int = 8, negatives: int = 2, rows: int = 8) -> dict:
  """A packed batch for InfoNCE, including special cases.

  The document of query 3 is a copy of query 0's, and the last query lacks its
  last negative.
  """
  rng = np.random.default_rng(0)
  count = queries * (2 + negatives)
  texts = [list(rng.integers(1, 96, rng.integers(2, 7))) for _ in range(count)]
  texts[queries + 3] = texts[queries]
  packed = pack(texts, 16, 8, rows)
  candidate = packed.slot_of[queries:].copy()
  candidate[-1] = -1
  content = np.zeros(packed.ids.shape[0] * 8, np.int32)
  seen = {}
  for text, slot in zip(texts, packed.slot_of):
    content[slot] = seen.setdefault(tuple(text), len(seen) + 1)
  return loader.nested(
    {
      "ids": packed.ids,
      "segment_ids": packed.segment_ids,
      "positions": packed.positions,
      "content": content.reshape(-1, 8),
      "query": packed.slot_of[:queries],
      "candidate": candidate,
      "positive": np.arange(queries, dtype=np.int32),
    }
  )


def mlm_batch(
  rows: int = 8,
  length: int = 12,
  places: int = 4,
  seed: int = 0,
  first: int = 1,
) -> dict:
  """Rows of one text each, with 0 to `places` masked tokens; ids from first."""
  rng = np.random.default_rng(seed)
  ids = rng.integers(first, 96, (rows, length)).astype(np.int32)
  lengths = rng.integers(places, length + 1, rows)
  real = np.arange(length) < lengths[:, None]
  masked = np.zeros((rows, places), np.int32)
  labels = np.full((rows, places), -1, np.int32)
  for row in range(rows):
    count = row % (places + 1)
    masked[row, :count] = rng.choice(lengths[row], count, replace=False)
    labels[row, :count] = rng.integers(0, 96, count)
  return loader.nested(
    {
      "ids": np.where(real, ids, 0),
      "segment_ids": real.astype(np.int32),
      "positions": np.tile(np.arange(length, dtype=np.int32), (rows, 1)),
      "masked": masked,
      "labels": labels,
    }
  )


def words() -> tokenizers.Tokenizer:
  """A tokenizer of lower-case words and numbers."""
  texts = [
    " ".join(WORDS) + " query",
    "document negative of number 0 1 2 3 4 5 6 7 8 9 : _ search item",
  ] * 4
  return tokenizer_lib.train(texts, 200)


def rows(count: int = 24, negatives=lambda i: i % 5) -> list[dict]:
  """Rows that differ in all features and in the lengths of texts."""
  return [
    {
      "query": f"query {i} " + " ".join(WORDS[: i % 4]),
      "document": f"document {i} " + " ".join(WORDS[: i % 9]),
      "negatives": [f"negative {n} of {i}" for n in range(negatives(i))],
      "source": source_of(i),
    }
    for i in range(count)
  ]


def source_of(number: int) -> str:
  """The source of a row: of 24 rows, three sources have 15, 6 and 3, mixed."""
  return "aaaaabbc"[number * 5 % 8]


def take(iterator, count: int) -> list:
  return [next(iterator) for _ in range(count)]


def assert_resumes(make):
  """Asserts that make()'s iterator resumes from a saved state bit for bit."""
  iterator = make()
  take(iterator, 4)
  state = iterator.get_state()
  expected = take(iterator, 4)
  again = make()
  again.set_state(state)
  for a, b in zip(take(again, 4), expected, strict=True):
    assert a.keys() == b.keys()
    for key in a:
      np.testing.assert_array_equal(a[key], b[key])
      assert a[key].dtype == np.int32 or key == "source"
  assert (expected[0]["ids"] != expected[1]["ids"]).any()  # control


def assert_resumes_on_other_hosts(make, counts=(1, 2, 4), kills=(1, 3, 6)):
  """Asserts that resuming on any number of hosts gives the same batches.

  Args:
    make: (host, hosts) -> iterator of batches with rows on axis 1.
    counts: numbers of hosts, before and after resuming.
    kills: numbers of batches made before resuming.
  """
  join = lambda parts: {
    k: np.concatenate([p[k] for p in parts], axis=1) for k in parts[0]
  }
  alone = make(0, 1)
  expected = take(alone, 8)
  controls = 0
  for before in counts:
    iterators = [make(h, before) for h in range(before)]
    for step in range(max(kills) + 1):
      if step in kills:  # killed here, after saving
        # As JSON, as in a checkpoint; the state of any host is sufficient.
        states = {json.dumps(i.get_state()) for i in iterators}
        state = json.loads(states.pop())
        assert not states
        for after in counts:
          hosts = [make(h, after) for h in range(after)]
          for host in hosts:
            host.set_state(state)
          batch = join([next(host) for host in hosts])
          for key in batch:
            np.testing.assert_array_equal(batch[key], expected[step][key])
          controls += (batch["ids"] != expected[step + 1]["ids"]).any()
      for iterator in iterators:
        next(iterator)
  assert controls == len(counts) ** 2 * len(kills)


def assert_close(actual, expected, relative: float, message: str = ""):
  """Asserts ‖a − e‖ <= relative · ‖e‖ for each pair of leaves."""
  a, structure = jax.tree.flatten(actual)
  paths = jax.tree_util.tree_leaves_with_path(expected)
  assert structure == jax.tree.structure(expected)
  for value, (path, other) in zip(a, paths):
    value, other = np.asarray(value, "d"), np.asarray(other, "d")
    error = np.linalg.norm(value - other)
    limit = relative * max(np.linalg.norm(other), 1e-12)
    name = jax.tree_util.keystr(path)
    assert error <= limit, f"{message} {name}: {error:.3g} > {limit:.3g}"


class Vectors:
  """An encoder whose parameters are its embeddings, [texts, D]."""

  dropout, head_dropout, dtype = 0.0, 0.0, "float32"
  architecture = ARCHITECTURE

  def with_pooling(self, pooling: str):
    del pooling
    return self

  def embed(self, params, tokens, slots, rng=None):
    del rng
    return Embedded(params["table"].reshape(len(tokens["ids"]), slots, -1))
