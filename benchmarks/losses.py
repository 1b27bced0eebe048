# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Memory and time of several ways of computing InfoNCE, GradCache and MLM.

    python benchmarks/losses.py           # memory, from compilation: a minute
    python benchmarks/losses.py --time    # runs InfoNCE and times it

Memory is that of temporaries of value and gradient (XLA's memory_analysis).
Vectors are float32 [Q, 768] and [C, 768].
"""

from collections.abc import Callable
import sys
import time

from flax.linen import meta
import jax
import jax.numpy as jnp
import numpy as np

from nomic_jax.losses.info_nce import InfoNCE
from nomic_jax.losses.mlm import MLM
from nomic_jax.losses.streamed import cross_entropy
from nomic_jax.losses.streamed import dot
from nomic_jax.model.config import EncoderConfig
from nomic_jax.model.encoder import Encoder

WIDTH = 768


def plain(q, c, scale, own, identity):
  """All logits at once."""
  del identity
  logits = scale * q @ c.T
  true = jnp.take_along_axis(logits, own[:, None], axis=1)[:, 0]
  return (jax.nn.logsumexp(logits, axis=1) - true).sum()


def chunked(q, c, scale, own, identity, chunks=32):
  """Blocks of rows of the logits under jax.checkpoint."""
  score = lambda rows: plain(rows[0], c, scale, rows[1], identity)[None]
  split = lambda x: x.reshape(chunks, -1, *x.shape[1:])
  return jax.lax.map(jax.checkpoint(score), (split(q), split(own))).sum()


def streamed(q, c, scale, own, identity):
  """nomic_jax.losses.streamed.cross_entropy."""
  return cross_entropy(dot, q, c, scale, own, identity)[0]


def compiled(f: Callable, queries: int, candidates: int):
  shape = jax.ShapeDtypeStruct
  return (
    jax.jit(jax.value_and_grad(f, (0, 1, 2)))
    .lower(
      shape((queries, WIDTH), "float32"),
      shape((candidates, WIDTH), "float32"),
      shape((), "float32"),
      shape((queries,), "int32"),
      shape((candidates,), "int32"),
    )
    .compile()
  )


def megabytes(program) -> float:
  return program.memory_analysis().temp_size_in_bytes / 1e6


def seconds(program, queries: int, candidates: int) -> float:
  rng = np.random.default_rng(0)
  q, c = (
    rng.normal(size=(n, WIDTH)).astype("f") / WIDTH**0.5
    for n in (queries, candidates)
  )
  own = np.arange(queries, dtype="i")
  identity = np.arange(1, candidates + 1, dtype="i")
  began = time.monotonic()
  jax.block_until_ready(program(q, c, np.float32(50), own, identity))
  return time.monotonic() - began


def info_nce() -> None:
  timed = "--time" in sys.argv
  print("| InfoNCE, value and gradient | Q | C | MB | × | s |")
  print("|---|---|---|---|---|---|")
  cases = [(f, 16384, 16384) for f in (plain, chunked, streamed)]
  cases += [(streamed, 16384, 131072), (streamed, 131072, 131072)]
  first = None
  for f, queries, candidates in cases:
    program = compiled(f, queries, candidates)
    used = megabytes(program)
    first = first or used
    took = "–"
    if timed and queries < 131072:  # the last would take half an hour
      took = f"{seconds(program, queries, candidates):.1f}"
    ratio = f"{used / first:.3f}" if candidates == 16384 else "–"
    print(
      f"| {f.__name__} | {queries:,} | {candidates:,} | {used:,.0f} | "
      f"{ratio} | {took} |",
      flush=True,
    )


def gradcache(rows: int = 256, length: int = 128) -> None:
  """Prints the memory of GradCache for rows of 4 texts and 12 layers."""
  shape = jax.ShapeDtypeStruct
  encoder = Encoder(EncoderConfig().architecture)
  tokens = shape((rows, length), "int32")
  batch = dict.fromkeys(("ids", "segment_ids", "positions"), tokens) | {
    "content": shape((rows, 4), "int32"),
    "query": shape((2 * rows,), "int32"),
    "candidate": shape((2 * rows,), "int32"),
    "positive": shape((2 * rows,), "int32"),
  }
  params = jax.eval_shape(
    lambda: meta.unbox(InfoNCE(encoder).init(jax.random.key(0)))
  )
  print(
    "\n| GradCache, value and gradient, nomic-bert-2048 | chunks | MB | × |"
  )
  print("|---|---|---|---|")
  first = None
  for chunks in (1, 8, 64):
    loss = InfoNCE(encoder, chunk_tokens=rows * length // chunks)
    f = jax.grad(lambda p, b: loss(p, b, jax.random.key(0))[0])
    used = megabytes(jax.jit(f).lower(params, batch).compile())
    first = first or used
    print(
      f"| {rows} x {length} tokens | {chunks} | {used:,.0f} | "
      f"{used / first:.3f} |",
      flush=True,
    )


class _Given:
  """An encoder whose parameters are its hidden states."""

  architecture, dtype, dropout = EncoderConfig().architecture, "float32", 0.0

  def apply(self, params, tokens, rng):
    del tokens, rng
    return params["hidden"]


def mlm(rows: int = 4096, length: int = 2048) -> None:
  """Prints the memory of MLM without the encoder, 30 % of tokens masked."""
  shape = jax.ShapeDtypeStruct
  places = -(-length * 3 // 10)
  batch = dict.fromkeys(
    ("ids", "segment_ids", "positions"), shape((rows, length), "int32")
  ) | dict.fromkeys(("masked", "labels"), shape((rows, places), "int32"))
  architecture = _Given.architecture
  params = jax.eval_shape(
    lambda: meta.unbox(MLM(Encoder(architecture)).init(jax.random.key(0)))
  )
  params["encoder"] = {
    "word": params["encoder"]["word"],
    "hidden": shape((rows, length, WIDTH), "float32"),
  }
  print("\n| MLM, value and gradient, without the encoder | chunks | GB |")
  print("|---|---|---|")
  for chunks in (1, 64, 512, 4096):
    loss = MLM(_Given(), chunks=chunks)
    f = jax.value_and_grad(lambda p, b: loss(p, b, jax.random.key(0))[0])
    used = megabytes(jax.jit(f).lower(params, batch).compile()) / 1e3
    print(
      f"| {rows:,} x {length:,} tokens, {architecture.vocab_size:,} words "
      f"| {chunks} | {used:,.1f} |",
      flush=True,
    )


if __name__ == "__main__":
  info_nce()
  if "--time" not in sys.argv:
    gradcache()
    mlm()
