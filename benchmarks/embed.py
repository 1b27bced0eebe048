# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Embedding speed, side by side with sentence-transformers.

    python benchmarks/embed.py --model=DIR [--sets=mix,long] [--rounds=3]
      [--random=modernbert]

DIR is a model directory that both open, such as that of all-MiniLM-L6-v2. Texts
are docstrings of the standard library: first lines as queries, whole docstrings
as documents. `long` is one text of 8,192 tokens and `pages` eight texts of
about 1,600, both embedded by a random NomicBERT of 6 layers and width 384.
Systems take turns, each after a warm-up call, and the best round counts.
Vectors are compared too.

With --random, all sets are embedded by random weights of that family in
transformers' default size, with DIR's tokenizer; --layers=N sets the number of
layers.

"torch" is unmodified sentence-transformers; "onednn" is the same with linear
layers converted to oneDNN's, which is much faster on some processors; "onnx"
and "openvino" are the same with its encoder replaced by the files of `nomic-jax
export --onnx --int8 --openvino` (`pip install nomic_jax[openvino]`, or leave
them out of --systems). "openvino int8" is OpenVINO running the ONNX file. int8
is each library's dynamic quantisation of linear layers. The last columns
compare with the fastest system of the same precision.

--cpu_time counts processor time, for a machine with other work on it. Pin the
process to one core then (`taskset -c 0`): waiting threads spin.

With --sts=DIR, a directory with stsb-test.csv, it also prints what precision
costs: the cosines of each system's vectors with the first system's, its
Spearman correlation on the STS benchmark, and its nDCG@10 when it searches the
rest of docstrings for their first lines.
"""

import argparse
import ast
from collections.abc import Callable
import dataclasses
import os
import pathlib
import random
import sysconfig
import tempfile
import time
import warnings

from flax.linen import meta
import jax
import numpy as np
import sts

import nomic_jax
from nomic_jax import families
from nomic_jax.hub import model_directory
from nomic_jax.hub import onnx_files
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.config import EncoderConfig
from nomic_jax.model.encoder import Encoder
from nomic_jax.text import special_tokens
from nomic_jax.text import tokenizer as tokenizer_lib

SYSTEMS = (
  "nomic_jax float32",
  "nomic_jax bfloat16",
  "torch float32",
  "onednn float32",
  "onnx float32",
  "openvino float32",
  "torch bfloat16",
  "openvino bfloat16",
  "torch int8",
  "onnx int8",
  "openvino int8",
)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--model", required=True)
  parser.add_argument("--sets", default="queries,documents,mix,long,pages")
  parser.add_argument("--systems", default=",".join(SYSTEMS))
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument("--cpu_time", action="store_true", help="see above")
  parser.add_argument("--sts", type=pathlib.Path, help="see above")
  parser.add_argument("--random", default="", help="a family, see above")
  parser.add_argument("--layers", type=int, help="of the random model")
  parser.add_argument(
    "--scale", type=float, default=1.0, help="share of the texts taken"
  )
  a = parser.parse_args()
  clock = time.process_time if a.cpu_time else time.perf_counter
  systems = a.systems.split(",")
  rows = []
  sets = _texts(a.scale)
  asked = a.sets.split(",")
  short = [name for name in asked if name not in ("long", "pages")]
  if short:
    with tempfile.TemporaryDirectory() as folder:
      if a.random:
        _write_random(folder, a.model, _usual(a.random, a.layers))
      path = _exported(folder if a.random else a.model, folder, systems)
      loaded = {s: _load(s, path) for s in systems}
      for name in short:
        rows.append(_compare(name, loaded, sets[name], a.rounds, clock))
      if a.sts:
        _print_quality(loaded, sets, sts.stsb(a.sts / "stsb-test.csv"))
  if len(short) < len(asked):
    with tempfile.TemporaryDirectory() as folder:
      made = _usual(a.random, a.layers) if a.random else _LONG
      _write_random(folder, a.model, made)
      # The exported graph holds all scores at once: 24 GiB for 8,192 tokens.
      loaded = {s: _load(s, folder) for s in systems if not _exports([s])}
      words = " ".join(sets["documents"] * 4).split()
      if "long" in asked:
        rows.append(
          _compare(
            "one of 8,192 tokens", loaded, [" ".join(words)], a.rounds, clock
          )
        )
      if "pages" in asked:
        pages = [" ".join(words[i : i + 1000]) for i in range(0, 8000, 1000)]
        rows.append(
          _compare("of some 1,600 tokens", loaded, pages, a.rounds, clock)
        )
  _print(rows, systems)


def _texts(scale: float) -> dict[str, list[str]]:
  queries, documents, rests = [], [], {}
  library = pathlib.Path(sysconfig.get_paths()["stdlib"])
  for path in sorted(library.rglob("*.py")):
    if {"site-packages", "test", "tests", "idlelib"} & set(path.parts):
      continue
    try:
      tree = ast.parse(path.read_text("utf-8"))
    except (SyntaxError, ValueError):
      continue
    for node in ast.walk(tree):
      if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)):
        text = ast.get_docstring(node) or ""
        first, _, rest = text.partition("\n")
        if first.strip():
          queries.append(first.strip())
        if rest.strip():
          documents.append(text)
          rests.setdefault(first.strip(), rest.strip())
  draw = random.Random(0)
  draw.shuffle(queries)
  draw.shuffle(documents)
  many, few = int(1024 * scale), int(256 * scale)
  mix = queries[many : 2 * many] + documents[few : 2 * few]
  draw.shuffle(mix)
  found = draw.sample(sorted(rests), min(int(4096 * scale), len(rests)))
  return {
    "queries": queries[:many],
    "documents": documents[:few],
    "mix": mix,
    "first lines": found,
    "rests": [rests[line] for line in found],
  }


def _exports(systems: list[str]) -> set[str]:
  """Returns which of the exported files' runtimes some systems use."""
  return {s.split()[0] for s in systems} & {"onnx", "openvino"}


def _exported(path: str, folder: str, systems: list[str]) -> str:
  """Exports a model with the files that the systems use, if it lacks them."""
  if not _exports(systems) or (pathlib.Path(path) / onnx_files.INT8).is_file():
    return path
  nomic_jax.export(
    model=path,
    output=f"{folder}/exported",
    onnx=True,
    int8=True,
    openvino="openvino" in _exports(systems),
  )
  return f"{folder}/exported"


def _load(system: str, path: str):
  """Returns a function from texts to unit vectors."""
  library, dtype = system.split()
  if library == "nomic_jax":
    return nomic_jax.load(path, dtype).encode
  import sentence_transformers
  import torch

  kwargs = {"dtype": torch.bfloat16} if dtype == "bfloat16" else {}
  model = sentence_transformers.SentenceTransformer(
    path,
    device="cuda" if jax.default_backend() == "gpu" else "cpu",
    model_kwargs=kwargs,
  )
  if library == "onednn":
    from torch.utils import mkldnn

    model[0].model = mkldnn.to_mkldnn(model[0].model)
  elif library in ("onnx", "openvino"):
    model[0].model = _runtime(model[0].model, pathlib.Path(path), system)
  elif dtype == "int8":
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")
      torch.ao.quantization.quantize_dynamic(
        model[0].model, {torch.nn.Linear}, inplace=True
      )
  return lambda texts: model.encode(texts, normalize_embeddings=True)


def _runtime(encoder, path: pathlib.Path, system: str):
  """Returns a module that computes `encoder` with an exported file."""
  import torch
  from transformers.modeling_outputs import BaseModelOutput

  library, dtype = system.split()
  threads = len(os.sched_getaffinity(0))
  onnx = path / (onnx_files.INT8 if dtype == "int8" else onnx_files.ONNX)
  if library == "onnx":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
      onnx, options, providers=["CPUExecutionProvider"]
    )
    names = [port.name for port in session.get_inputs()]
    run = lambda arrays: session.run(None, arrays)
  else:
    import openvino

    file = onnx if dtype == "int8" else path / onnx_files.OPENVINO
    precision = "bf16" if dtype == "bfloat16" else "f32"
    compiled = openvino.compile_model(
      file,
      "CPU",
      {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads},
    )
    names = [port.any_name for port in compiled.inputs]
    run = compiled

  class Runtime(torch.nn.Module):
    def __init__(self):
      super().__init__()
      self.config = encoder.config

    def forward(self, input_ids, **features):
      features.setdefault("token_type_ids", torch.zeros_like(input_ids))
      features["input_ids"] = input_ids
      hidden = run({name: features[name].numpy() for name in names})[0]
      return BaseModelOutput(last_hidden_state=torch.from_numpy(hidden))

  return Runtime()


# A NomicBERT for long texts that both libraries open.
_LONG = EncoderConfig(
  vocab_size=30528,
  width=384,
  layers=6,
  heads=6,
  mlp_width=1536,
  max_length=8192,
  trained_length=8192,
).architecture


def _usual(family: str, layers: int | None) -> Architecture:
  """Returns a family's architecture by transformers' default config."""
  import transformers

  depth = {"num_hidden_layers": layers} if layers else {}
  values = transformers.AutoConfig.for_model(family, **depth).to_dict()
  return families.read(values, family)


def _write_random(folder: str, tokenizer: str, a: Architecture) -> None:
  """Writes a model with random weights that both libraries open."""
  words = tokenizer_lib.load(pathlib.Path(tokenizer))
  rows = max(a.vocab_size, special_tokens.vocabulary_rows(words))
  a = dataclasses.replace(a, vocab_size=rows)
  params = meta.unbox(jax.jit(Encoder(a).init)(jax.random.key(0)))
  model_directory.write_model(
    folder, a, jax.device_get(params), pathlib.Path(tokenizer), {}
  )


def _compare(
  name: str,
  systems: dict,
  texts: list[str],
  rounds: int,
  clock: Callable[[], float],
) -> dict:
  vectors = {s: encode(texts) for s, encode in systems.items()}
  reference = vectors.get("torch float32", next(iter(vectors.values())))
  apart = {s: float(np.abs(v - reference).max()) for s, v in vectors.items()}
  best = dict.fromkeys(systems, float("inf"))
  row = {"name": name, "texts": len(texts), "seconds": best, "apart": apart}
  for _ in range(rounds):
    for s, encode in systems.items():
      began = clock()
      encode(texts)
      best[s] = min(best[s], clock() - began)
    print(row, flush=True)
  return row


def _print_quality(
  systems: dict, sets: dict, pairs: list[tuple[str, str, float]]
) -> None:
  """Prints what the precision of each system costs its vectors."""
  lines, rests = sets["first lines"], sets["rests"]
  texts = [*lines, *rests, *(text for pair in pairs for text in pair[:2])]
  reference = None
  print(
    f"| system | lowest, mean cosine | Spearman ({len(pairs):,}) | "
    f"nDCG@10 ({len(lines):,}) |\n|---|---|---|---|"
  )
  for s, encode in systems.items():
    if reference is not None and s.endswith("float32"):
      continue  # in float32 all agree, as the other table shows
    x = encode(texts)
    reference = x if reference is None else reference
    cosine = (x * reference).sum(1)
    scores = x[: len(lines)] @ x[len(lines) : 2 * len(lines)].T
    rank = (scores >= np.diag(scores)[:, None]).sum(1)
    ndcg = np.where(rank <= 10, 1 / np.log2(rank + 1), 0).mean()
    spearman = sts.spearman(x[2 * len(lines) :], [pair[2] for pair in pairs])
    print(
      f"| {s} | {cosine.min():.4f}, {cosine.mean():.4f} | {spearman:.2f} | "
      f"{ndcg:.4f} |",
      flush=True,
    )


def _print(rows: list[dict], systems: list[str]) -> None:
  print("| texts | " + " | ".join(systems) + " | float32 | bfloat16 |")
  print("|---" * (len(systems) + 3) + "|")
  for row in rows:
    rate = {s: row["texts"] / t for s, t in row["seconds"].items()}
    cells = [
      f"{rate[s]:.3g}/s ({row['apart'][s]:.0e})" if s in rate else ""
      for s in systems
    ]
    for dtype in ("float32", "bfloat16"):
      ours = rate.get(f"nomic_jax {dtype}", 0)
      theirs = max(
        rate.get(f"{t} {dtype}", 0)
        for t in ("torch", "onednn", "onnx", "openvino")
      )
      cells.append(f"{ours / theirs:.2f}×" if ours and theirs else "")
    print(f"| {row['name']} ({row['texts']:,}) | " + " | ".join(cells) + " |")


if __name__ == "__main__":
  main()
