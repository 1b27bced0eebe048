# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Speed of exact search: compared with faiss's flat index, and on a pod.

pip install faiss-cpu
PYTHONPATH=. python benchmarks/neighbours.py
PYTHONPATH=. python benchmarks/neighbours.py --pod=v5e:8x8   # libtpu, no TPU

The first command searches 100,000 documents for 100,000 queries of width 384,
alternating between both systems, and prints queries per second and the recall
of smaller stores. The second compiles the search of one block of queries in 1M
documents of width 768 for a slice, and estimates from the compiler's cycles how
long the paper's 235 chunks of 1M would take, without embedding.
"""

import argparse
import os
import time

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
import numpy as np

from nomic_jax.aot import hlo
from nomic_jax.aot import topology
from nomic_jax.search import block_search
from nomic_jax.search import neighbours

_CHUNKS, _CHUNK, _WIDTH = 235, 1_000_000, 768  # arXiv 2402.01613
_TURN = 2_048  # queries of one system before the other takes its turn


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--documents", type=int, default=100_000)
  parser.add_argument("--queries", type=int, default=100_000)
  parser.add_argument("--width", type=int, default=384)
  parser.add_argument("--k", type=int, nargs="+", default=[2, 20])
  parser.add_argument("--stores", nargs="*", default=["bfloat16", "int8"])
  parser.add_argument("--pod", help="a topology, such as v5e:8x8")
  a = parser.parse_args()
  if a.pod:
    pod(a.pod)
  else:
    beside_faiss(a)


def _unit(rng, rows: int, width: int) -> np.ndarray:
  x = rng.standard_normal((rows, width), dtype=np.float32)
  return x / np.linalg.norm(x, axis=1, keepdims=True)


def beside_faiss(a: argparse.Namespace) -> None:
  import faiss

  rng = np.random.default_rng(0)
  documents = _unit(rng, a.documents, a.width)
  # Each query is near a document, as in pairs.
  queries = documents[rng.permutation(a.documents)[: a.queries]]
  queries = queries + 1.5 * _unit(rng, len(queries), a.width)
  queries /= np.linalg.norm(queries, axis=1, keepdims=True)
  theirs = faiss.IndexFlatIP(a.width)
  theirs.add(documents)
  ours = neighbours.Index(documents)
  stores = {s: neighbours.Index(documents, store=s) for s in a.stores}
  print(
    f"{len(queries):,} queries, {a.documents:,} documents, {a.width} wide, "
    f"{os.cpu_count()} cores, jax {jax.__version__}, faiss "
    f"{faiss.__version__}\n"
  )
  print("| k | search | queries/s | × faiss | same neighbours |")
  print("|---|---|---|---|---|")
  for k in a.k:
    ours.search(queries[:1024], k)  # compiles
    seconds, same = {"faiss": 0.0, "nomic_jax": 0.0}, []
    for start in range(0, len(queries), _TURN):
      part, found = queries[start : start + _TURN], {}
      for name, index in (("faiss", theirs), ("nomic_jax", ours)):
        began = time.monotonic()
        found[name] = index.search(part, k)
        seconds[name] += time.monotonic() - began
      same.append(np.mean(found["faiss"][1] == found["nomic_jax"][1]))
    for name, total in seconds.items():
      print(
        f"| {k} | {name} | {len(queries) / total:,.0f} | "
        f"{seconds['faiss'] / total:.2f} | {np.mean(same):.5f} |",
        flush=True,
      )
    some = queries[:_TURN]
    _, exact = ours.search(some, k)
    for name, index in stores.items():
      index.search(some[:1024], k)
      began = time.monotonic()
      _, rows = index.search(some, k)
      rate = len(some) / (time.monotonic() - began)
      recall = np.mean([np.isin(r, e).mean() for r, e in zip(rows, exact)])
      print(
        f"| {k} | nomic_jax, {name} | {rate:,.0f} | "
        f"{rate * seconds['faiss'] / len(queries):.2f} | {recall:.5f} |",
        flush=True,
      )


def pod(name: str) -> None:
  chip, devices = topology.CHIPS[name.split(":")[0]], topology.devices(name)
  mesh = Mesh(np.array(devices), ("devices",))
  shared, whole = (NamedSharding(mesh, spec) for spec in (P("devices"), P()))
  shape = jax.ShapeDtypeStruct
  print(
    f"{name}, {len(devices)} chips: {_CHUNKS} chunks of {_CHUNK:,} queries "
    f"and documents, {_WIDTH} wide, k = 2\n"
  )
  print(
    "| store | queries a block | documents a block | ms a block, of them "
    "products | collectives, MiB | GiB a chip | minutes (estimate) |"
  )
  print("|---|---|---|---|---|---|---|")
  for store, dtype in (("float32", jnp.float32), ("bfloat16", jnp.bfloat16)):
    for queries in (2048, 8192):
      for block in (1024, 4096):
        blocks = -(-_CHUNK // len(devices) // block)
        rows = len(devices) * blocks * block
        with jax.set_mesh(mesh):
          compiled = block_search.search_block.lower(
            (
              shape((queries, _WIDTH), dtype, sharding=whole),
              shape((queries,), jnp.float32, sharding=whole),
            ),
            (
              shape((rows, _WIDTH), dtype, sharding=shared),
              shape((rows,), jnp.float32, sharding=shared),
            ),
            shape((), jnp.int32, sharding=whole),
            k=2,
            block=block,
            mesh=mesh,
            opened=256,
          ).compile()
        summary = hlo.summarise(compiled.as_text())
        memory = compiled.memory_analysis()
        moved = sum(
          c.bytes * (2 if c.kind == "all-reduce" else 1)
          for c in summary.collectives
        )
        seconds = sum(summary.cycles.values()) / chip.clock + moved / chip.links
        minutes = seconds * _CHUNK / queries * _CHUNKS / 60
        peak = memory.argument_size_in_bytes + memory.temp_size_in_bytes
        products = summary.cycles["matmul"] / chip.clock
        print(
          f"| {store} | {queries:,} | {block:,} | {seconds * 1e3:.2f}, "
          f"{products * 1e3:.2f} | {moved / 2**20:.1f} | "
          f"{peak / 2**30:.2f} | {minutes:.1f} |",
          flush=True,
        )
        if summary.unknown_loops:
          print(f"{summary.unknown_loops} loops of unknown length counted once")


if __name__ == "__main__":
  main()
