# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""One part of `benchmarks/gpu.sh`: kernels, steps or embedding on one device.

    PYTHONPATH=.:tests python benchmarks/gpu.py PART [--tiny]

Parts:
  check: every kernel of this platform against float64, forward and gradient,
    on the shapes of tests/support/attention_cases.py. Without a GPU, the
    Pallas kernel for GPUs runs in interpret mode.
  mlm, contrastive: tokens per second and MFU of a training step of
    nomic-bert-2048 in bfloat16, with each implementation of attention that
    runs on this device.
  modernbert: the same for ModernBERT-base, at 1,024 and at 8,192 tokens.
  embed, embed_modernbert: texts per second of a random BERT-base or
    ModernBERT-base, compared with sentence-transformers.

--tiny uses small sizes, to test the code on a CPU. Grain and TensorFlow
Datasets are not needed.
"""

import argparse
from collections.abc import Callable
from collections.abc import Iterator
import pathlib
import tempfile
import time
from typing import Any

from flax.linen import meta
import jax
import jax.numpy as jnp
import numpy as np
import optax
from support import attention_cases

from nomic_jax import families
from nomic_jax import step as step_lib
from nomic_jax.data.pack import pack
from nomic_jax.kernels.attention import Backend
from nomic_jax.losses.info_nce import InfoNCE
from nomic_jax.losses.mlm import MLM
from nomic_jax.model import flops
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.config import EncoderConfig
from nomic_jax.model.encoder import Encoder

# An architecture, a function from its encoder to a loss, and a batch.
Step = tuple[Architecture, Callable[[Encoder], Any], dict[str, np.ndarray]]
TINY = dict(vocab_size=512, width=128, layers=2, heads=2, mlp_width=128)
# Tolerance relative to the largest value: a few roundings in the inputs' dtype.
TOLERANCE = {"bfloat16": 2e-2, "float32": 1e-5}
_STEPS = 10


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument("part", choices=PARTS)
  parser.add_argument("--tiny", action="store_true", help="small sizes")
  flags = parser.parse_args()
  for line in PARTS[flags.part](flags.tiny):
    print(line, flush=True)


def check(tiny: bool) -> Iterator[str]:
  """Yields lines of a table, and then the failures."""
  kernels = ("pallas_gpu", "cudnn") if _on_gpu() else ("pallas_gpu",)
  names = ["packed", "grouped"] if tiny else list(attention_cases.CASES)
  wrong = []
  yield "| kernel | dtype | case | output is off by | gradient | |"
  yield "|---|---|---|---|---|---|"
  for kernel in kernels:
    for dtype in TOLERANCE:
      for name in names:
        *cells, verdict = _checked(kernel, dtype, name)
        yield f"| {' | '.join([kernel, dtype, name, *cells, verdict])} |"
        if verdict not in ("right", "refused"):
          wrong.append(f"{kernel} {dtype} {name}")
  yield f"wrong: {', '.join(wrong) or 'none'}"


def _checked(kernel: str, dtype: str, name: str) -> tuple[str, str, str]:
  """Returns the errors of output and gradient, and a verdict."""
  case = attention_cases.CASES[name]
  backend = Backend(
    kernel, device=jax.devices()[0].device_kind, interpret=not _on_gpu()
  )
  if why := backend.lacks(case.need, length=case.length, dtype=dtype):
    return why, "", "refused"
  qkv, weight = (jnp.asarray(x, dtype) for x in (case.qkv(), case.weight()))

  @jax.jit
  def both(qkv, weight):
    rows = backend.prepare(
      case.segment_ids(), case.angles(), qkv.dtype, case.need
    )
    out, back = jax.vjp(lambda x: backend.attend(x, rows, case.need), qkv)
    return out, back(weight)[0]

  try:
    actual = both(qkv, weight)
  except Exception as e:  # a result like others
    return f"{type(e).__name__}: {str(e).splitlines()[0][:100]}", "", "FAILED"
  expected = attention_cases.exact_of(
    case, *(np.asarray(x, "d") for x in (qkv, weight))
  )
  errors = [
    float(np.abs(np.asarray(a, "d") - e).max() / np.abs(e).max())
    for a, e in zip(actual, expected)
  ]
  padding = np.asarray(actual[0], "d")[case.segment_ids() == 0]
  right = max(errors) < TOLERANCE[dtype] and not padding.any()
  return *(f"{e:.1e}" for e in errors), "right" if right else "WRONG"


def mlm(tiny: bool) -> Iterator[str]:
  """Lines of a table, one for each implementation of attention."""
  yield from _steps(*mlm_step(tiny))


def contrastive(tiny: bool) -> Iterator[str]:
  """Lines of a table, one for each implementation of attention."""
  yield from _steps(*contrastive_step(tiny))


def modernbert(tiny: bool) -> Iterator[str]:
  """Yields lines of two tables with a row for each implementation."""
  for rows, length in ((2, 256),) if tiny else ((64, 1024), (8, 8192)):
    yield from _steps(*_text_step(_modernbert(tiny), rows, length, tiny))


def _modernbert(tiny: bool, **changes: Any) -> Architecture:
  sizes = dict(layers=4, width=128, heads=2, mlp_width=192) if tiny else {}
  return families.fresh(
    dict(family="modernbert", vocab_size=512 if tiny else 50_368)
    | dict(pad_token_id=0)
    | sizes
    | changes
  )


def mlm_step(tiny: bool) -> Step:
  """Returns an MLM step on full rows of one text each."""
  rows, length = (2, 128) if tiny else (32, 2048)
  model = EncoderConfig(**TINY if tiny else {}).architecture
  return _text_step(model, rows, length, tiny)


def _text_step(model: Architecture, rows: int, length: int, tiny: bool) -> Step:
  rng = np.random.default_rng(0)
  shape, places = (1, rows, length), int(0.3 * length)
  ids = rng.integers(5, model.vocab_size, shape)
  masked = np.sort(
    rng.permuted(np.broadcast_to(np.arange(length), shape), axis=-1)[
      ..., :places
    ],
    -1,
  )
  batch = dict(
    ids=ids,
    segment_ids=np.ones(shape),
    masked=masked,
    positions=np.broadcast_to(np.arange(length), shape),
    labels=np.take_along_axis(ids, masked, -1),
  )
  return (
    model,
    lambda encoder: MLM(encoder, chunks=1 if tiny else 8),
    {k: np.asarray(v, np.int32) for k, v in batch.items()},
  )


def contrastive_step(tiny: bool) -> Step:
  """Returns a step on packed queries of 8 to 64 and documents of 64 to 448."""
  pairs, length = (8, 512) if tiny else (320, 2048)
  model = EncoderConfig(**TINY if tiny else {}).architecture
  rng = np.random.default_rng(0)
  texts = [
    rng.integers(5, model.vocab_size, n)
    for low, high in ((8, 64), (64, 448))
    for n in rng.integers(low, high, pairs)
  ]
  slots = 32
  packed = pack(texts, length, slots)
  content = np.zeros(len(packed.ids) * slots)
  content[packed.slot_of] = 1 + np.arange(len(texts))
  batch = dict(
    ids=packed.ids,
    segment_ids=packed.segment_ids,
    positions=packed.positions,
    content=content.reshape(-1, slots),
    query=packed.slot_of[:pairs],
    candidate=packed.slot_of[pairs:],
    positive=np.arange(pairs),
  )
  return (
    model,
    InfoNCE,
    {k: np.asarray(v, np.int32)[None] for k, v in batch.items()},
  )


def _steps(
  model: Architecture, make: Callable[[Encoder], Any], batch: dict
) -> Iterator[str]:
  tokens = int((batch["segment_ids"] > 0).sum())
  work = flops.of_batch(model, batch)
  peak = flops.peak_of(jax.devices()[0].device_kind)
  first = None
  length = batch["ids"].shape[-1]
  yield (
    f"{len(model.layers)} layers {model.width} wide, {tokens:,} tokens "
    f"in rows of {length:,}, {work / 1e12:.1f} TFLOP a step"
  )
  yield (
    "| attention | first step, s | ms a step | tokens/s | MFU | "
    "over the first | loss |"
  )
  yield "|---|---|---|---|---|---|---|"
  for name in (
    ("pallas_gpu", "cudnn", "reference") if _on_gpu() else ("reference",)
  ):
    try:
      took, began, loss = _time_steps(model, make, batch, name)
    except Exception as e:  # a result like others
      yield (
        f"| {name} | {type(e).__name__}: {str(e).splitlines()[0][:100]} |||||"
      )
      continue
    first = first or took
    share = f"{work / took / peak:.1%}" if peak else "no known peak"
    yield (
      f"| {name} | {began:.1f} | {took * 1e3:.1f} | {tokens / took:,.0f} "
      f"| {share} | {first / took:.2f}× | {loss:.4f} |"
    )


def program(
  model: Architecture, make: Callable[[Encoder], Any], attention: str
) -> tuple[Callable, Callable]:
  """Returns functions that make the initial state and that take a step."""
  encoder = Encoder(
    model,
    dtype="bfloat16",
    attention=Backend(attention, device=jax.devices()[0].device_kind),
  )
  loss, tx = make(encoder), optax.adamw(1e-4)
  init = lambda: meta.unbox(step_lib.init_state(loss, tx, 0))
  step = step_lib.make_train_step(loss, tx)

  def nested(state, batch):  # as data.loader does, which needs Grain
    inputs = {k: batch[k] for k in ("ids", "segment_ids", "positions")}
    rest = {k: v for k, v in batch.items() if k not in inputs}
    return step(state, {"inputs": inputs} | rest)

  return init, nested


def _time_steps(model, make, batch, name) -> tuple[float, float, float]:
  """Returns seconds per step, of the first step, and the last loss."""
  init, step = program(model, make, name)
  state, batch = jax.jit(init)(), jax.device_put(batch)
  step = jax.jit(step, donate_argnums=0)
  start = time.perf_counter()
  state, metrics = jax.block_until_ready(step(state, batch))
  began = time.perf_counter() - start
  for _ in range(2):
    state, metrics = step(state, batch)
  jax.block_until_ready(state)
  start = time.perf_counter()
  for _ in range(_STEPS):
    state, metrics = step(state, batch)
  jax.block_until_ready(state)
  return ((time.perf_counter() - start) / _STEPS, began, float(metrics["loss"]))


def embed(tiny: bool) -> Iterator[str]:
  """Yields a line for each set of texts, library and precision."""
  yield from _embed(
    tiny,
    lambda words: (
      EncoderConfig(
        **(TINY if tiny else {})
        | dict(
          vocab_size=words,
          max_length=512,
          position="learned",
          activation="gelu",
          qkv_bias=True,
          mlp_in_bias=True,
          mlp_out_bias=True,
          pooler=True,
        )
      ).architecture
    ),
  )


def embed_modernbert(tiny: bool) -> Iterator[str]:
  """As `embed`, also for texts of 8,192 tokens and unpadded flash attention."""
  yield from _embed(
    tiny,
    lambda words: _modernbert(tiny, vocab_size=words, max_length=8192),
    long=True,
    flash=True,
  )


def _embed(
  tiny: bool,
  make: Callable[[int], Architecture],
  long: bool = False,
  flash: bool = False,
) -> Iterator[str]:
  import embed as texts_of  # benchmarks/embed.py

  import nomic_jax
  from nomic_jax.hub import model_directory
  from nomic_jax.text import tokenizer as tokenizer_lib

  sets = texts_of._texts(0.02 if tiny else 4.0)
  if long:
    words = " ".join(sets["documents"] * 4).split()
    sets["long"] = 8 * [" ".join(words[: 40 if tiny else 8000])]
  tokenizer = tokenizer_lib.train(
    sets["documents"][:2000], 512 if tiny else 8192, cover=0.5
  )
  model = make(tokenizer.get_vocab_size())
  params = jax.device_get(
    meta.unbox(jax.jit(Encoder(model).init)(jax.random.key(0)))
  )
  with tempfile.TemporaryDirectory() as folder:
    path = str(pathlib.Path(folder) / "model")
    model_directory.write_model(path, model, params, tokenizer, {})
    systems = {
      f"nomic_jax {dtype}": (
        lambda dtype=dtype: nomic_jax.load(path, dtype).encode
      )
      for dtype in ("float32", "bfloat16")
    }
    for dtype in ("float16", "bfloat16", "float32"):
      systems[f"sentence-transformers {dtype}"] = lambda dtype=dtype: (
        _sentence_transformers(path, dtype)
      )
    if flash:  # needs flash-attn, and skips padding
      systems["sentence-transformers bfloat16, flash"] = lambda: (
        _sentence_transformers(
          path, "bfloat16", attn_implementation="flash_attention_2"
        )
      )
    loaded = {}
    for name, load in systems.items():
      try:
        loaded[name] = load()
      except Exception as e:  # a result like others
        yield f"{name}: {type(e).__name__}: {str(e).splitlines()[0][:100]}"
    yield (
      "| texts | library | texts/s | of sentence-transformers' fastest | "
      "vectors differ from the first by |"
    )
    yield "|---|---|---|---|---|"
    for name, texts in sets.items():
      yield from _embedded(f"{name} ({len(texts):,})", loaded, texts)


def _sentence_transformers(path: str, dtype: str, **options: str) -> Callable:
  import sentence_transformers
  import torch

  model = sentence_transformers.SentenceTransformer(
    path,
    device="cuda" if _on_gpu() else "cpu",
    model_kwargs={"dtype": getattr(torch, dtype)} | options,
  )
  return lambda texts: model.encode(
    texts, normalize_embeddings=True, batch_size=256
  )


def _embedded(name: str, systems: dict, texts: list[str]) -> Iterator[str]:
  """Yields a line per system: the best of three times, taking turns."""
  best, vectors = dict.fromkeys(systems, float("inf")), {}
  for turn in range(4):
    for system, encode in systems.items():
      start = time.perf_counter()
      vectors[system] = np.asarray(encode(texts), np.float32)
      if turn:  # the first compiles
        best[system] = min(best[system], time.perf_counter() - start)
  theirs = min(
    (t for s, t in best.items() if "transformers" in s), default=float("nan")
  )
  reference = vectors[next(iter(vectors))]
  for system, took in best.items():
    apart = float(np.abs(vectors[system] - reference).max())
    yield (
      f"| {name} | {system} | {len(texts) / took:,.0f} | "
      f"{theirs / took:.2f}× | {apart:.0e} |"
    )


def _on_gpu() -> bool:
  return jax.default_backend() == "gpu"


PARTS = {
  f.__name__: f
  for f in (check, mlm, contrastive, modernbert, embed, embed_modernbert)
}

if __name__ == "__main__":
  main()
