# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Reading compiled programs: collectives, loops and cycles."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
import pytest
from support import tiny

from nomic_jax.aot import hlo
from nomic_jax.losses.info_nce import InfoNCE
from nomic_jax.losses.mlm import MLM
from nomic_jax.model import flops
from nomic_jax.model.encoder import Encoder

TURNS = 'backend_config={"known_trip_count":{"n":"5"}}'
CYCLES = 'backend_config={"window_config":{"estimated_cycles":"%d"}}'
PROGRAM = """
HloModule jit_step, num_partitions=4

%product (p0: bf16[8,16], p1: bf16[16,16]) -> bf16[8,16] {
  %p0 = bf16[8,16]{1,0:T(8,128)(2,1)} parameter(0)
  %p1 = bf16[16,16]{1,0:T(8,128)(2,1)} parameter(1)
  ROOT %c = bf16[8,16]{1,0} convolution(%p0, %p1), dim_labels=bf_io->bf
}

%scatter (p2: f32[8,16]) -> f32[2,16] {
  %p2 = f32[8,16]{1,0} parameter(0)
  %whole = f32[8,16]{1,0} all-reduce(%p2), to_apply=%add
  ROOT %part = f32[2,16]{1,0} dynamic-slice(%whole, %p2)
}

%inner (q: (s32[], bf16[8,16])) -> (s32[], bf16[8,16]) {
  %q = (s32[], bf16[8,16]{1,0}) parameter(0)
  %x = bf16[8,16]{1,0} get-tuple-element(%q), index=1
  %f = bf16[8,16]{1,0} fusion(%x, %x), calls=%product, METADATA, CYCLES100
  %k = bf16[8,16]{1,0} custom-call(%f), custom_call_target="tpu_custom_call"
  ROOT %t = (s32[], bf16[8,16]{1,0}) tuple(%x, %k)
}

%below (q.1: (s32[], bf16[8,16])) -> pred[] {
  %q.1 = (s32[], bf16[8,16]{1,0}) parameter(0)
  %n = s32[]{:T(128)} constant(3)
  %i = s32[] get-tuple-element(%q.1), index=0
  ROOT %lt = pred[] compare(%i, %n), direction=LT
}

%outer (o: (s32[], bf16[8,16])) -> (s32[], bf16[8,16]) {
  %o = (s32[], bf16[8,16]{1,0}) parameter(0)
  %a = bf16[8,16]{1,0} get-tuple-element(%o), index=1
  %gather = (bf16[8,16]{1,0}, bf16[32,16]{1,0}) all-gather-start(%a)
  %done = bf16[32,16]{1,0} all-gather-done(%gather)
  %e = bf16[8,16]{1,0} fusion(%a), calls=%plain, CYCLES7
  %w = (s32[], bf16[8,16]{1,0}) while(%o), condition=%below, body=%inner
  ROOT %r = (s32[], bf16[8,16]{1,0}) tuple(%a, %a)
}

%plain (z: bf16[8,16]) -> bf16[8,16] {
  ROOT %z = bf16[8,16]{1,0} parameter(0)
}

ENTRY %main (m: f32[8,16]) -> f32[2,16] {
  %m = f32[8,16]{1,0} parameter(0)
  %s = (s32[], bf16[8,16]{1,0}) tuple(%m, %m)
  %loop = (s32[], bf16[8,16]{1,0}) while(%s), condition=%x, body=%outer, TURNS5
  %strange = (s32[], bf16[8,16]{1,0}) while(%s), condition=%x, body=%outer
  ROOT %rs = f32[2,16]{1,0} fusion(%m), calls=%scatter, CYCLES11
}
"""


def _program(scope):
  text = PROGRAM.replace("TURNS5", TURNS).replace(
    "METADATA", f'metadata={{op_name="jit(step)/{scope}"}}'
  )
  for cycles in (100, 7, 11):
    text = text.replace(f"CYCLES{cycles}", CYCLES % cycles)
  return text


def test_cycles_kernels_and_collectives_are_counted_as_often_as_they_run():
  summary = hlo.summarise(_program("mul"))
  turns = 5 + 1  # a loop of unknown length counts once
  assert summary.cycles == {
    "matmul": turns * 3 * 100,
    "attention": 0,
    "other": turns * 7 + 11,
  }
  assert summary.kernels == [hlo.Kernel("k", (8, 16), turns * 3)]
  assert summary.unknown_loops == 1
  assert summary.collectives == [
    hlo.Collective("all-gather", True, turns, turns * 32 * 16 * 2),
    hlo.Collective("all-reduce", False, 1, 8 * 16 * 4),
  ]


def test_attention_is_recognised_by_its_scope():
  cycles = hlo.summarise(_program("layers/attention_reference/dot")).cycles
  assert cycles["matmul"] == 0 and cycles["attention"] == 6 * 3 * 100
  cycles = hlo.summarise(_program("layers/Block._attention/qkv/dot")).cycles
  assert cycles["attention"] == 0 and cycles["matmul"] == 6 * 3 * 100


def test_a_collective_in_a_loop_of_a_real_program():
  mesh = jax.make_mesh((8,), ("data",))
  rows = jax.NamedSharding(mesh, P("data"))

  def in_loop(w, x):
    body = lambda c, _: (jnp.tanh(c @ w), None)
    return (jax.lax.scan(body, x, None, length=5)[0] ** 2).sum()

  def at_the_end(w, x):
    return (jnp.tanh(x @ w) ** 2).sum()

  def found(f):
    whole = jax.NamedSharding(mesh, P())
    step = jax.jit(jax.grad(f), in_shardings=(whole, rows))
    lowered = step.lower(
      *(jax.ShapeDtypeStruct(s, jnp.float32) for s in ((16, 16), (64, 16)))
    )
    return hlo.summarise(lowered.compile().as_text()).collectives

  size = 16 * 16 * 4
  assert found(in_loop) == [hlo.Collective("all-reduce", True, 5, 5 * size)]
  assert found(at_the_end) == [hlo.Collective("all-reduce", False, 1, size)]


@pytest.mark.slow
@pytest.mark.parametrize(
  "loss, batch",
  [
    (MLM, lambda: tiny.mlm_batch(8, 64, 20)),
    (InfoNCE, lambda: tiny.pair_batch(64, 2, 16)),
  ],
)
def test_operations_by_formula_are_what_xla_counts(loss, batch):
  """With one layer, since XLA counts the body of a loop once."""
  config = dataclasses.replace(
    tiny.CONFIG, width=256, layers=1, mlp_width=512, vocab_size=512
  ).architecture
  loss, batch = loss(Encoder(config)), jax.tree.map(jnp.asarray, batch())
  total = lambda params: loss(params, batch, jax.random.key(0))[0]
  compiled = jax.jit(jax.grad(total)).lower(tiny.shapes(loss)).compile()
  expected = compiled.cost_analysis()["flops"]
  flat = batch["inputs"] | batch
  del flat["inputs"]
  shapes = {k: (1, *v.shape) for k, v in flat.items()}
  # XLA also counts other operations, but not the gradient of the first input.
  assert flops.of_step(config, shapes) == pytest.approx(expected, rel=0.08)


def test_a_collective_in_several_fusions_counts_once():
  part = (
    "%part (p: f32[8]) -> f32[16] {{\n  %p = f32[8]{{0}} parameter(0)\n"
    "  ROOT %g = f32[16]{{0}} all-gather(%p), channel_id=1{}\n}}\n"
  )
  entry = (
    "ENTRY %main (x: f32[8]) -> f32[16] {\n"
    "  %x = f32[8]{0} parameter(0)\n"
    "  %start = f32[16]{0} fusion(%x), calls=%part\n"
    "  ROOT %done = f32[16]{0} fusion(%x), calls=%part\n}\n"
  )
  chain = ', frontend_attributes={chain_id="3"}'
  counts = [
    [
      (c.count, c.bytes)
      for c in hlo.summarise(part.format(attribute) + entry).collectives
    ]
    for attribute in (chain, "")
  ]
  assert counts == [[(1, 64)], [(2, 128)]]
