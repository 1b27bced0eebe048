# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Meshes of configured sizes, and arrays sharded by the rules."""

import contextlib
import dataclasses

from flax.linen import meta
import grain
import jax
from jax.sharding import PartitionSpec as P
import ml_collections
import numpy as np
import optax
import pytest
from support import small_data
from support import tiny

from nomic_jax import program
from nomic_jax import step as step_lib
from nomic_jax.cli import config_flags
from nomic_jax.data import loader
from nomic_jax.errors import UserError
from nomic_jax.losses.mlm import MLM
from nomic_jax.mesh import partition
from nomic_jax.model.encoder import Encoder
from nomic_jax.run.checkpoint import Checkpoints


def _mesh(data, fsdp, tensor, devices=8):
  config = ml_collections.ConfigDict(
    dict(data=data, fsdp=fsdp, tensor=tensor, rules="fsdp")
  )
  return partition.make_mesh(config, jax.devices()[:devices])


@pytest.mark.parametrize(
  "asked, devices, sizes",
  [
    ((-1, 1, 1), 8, (8, 1, 1)),
    ((2, -1, 2), 8, (2, 2, 2)),
    ((1, 4, 2), 8, (1, 4, 2)),
    ((2, 2, -1), 4, (2, 2, 1)),
    ((-1, 1, 1), 1, (1, 1, 1)),
  ],
)
def test_mesh_sizes(asked, devices, sizes):
  mesh = _mesh(*asked, devices)
  assert tuple(mesh.shape.values()) == sizes
  assert mesh.axis_names == ("data", "fsdp", "tensor")
  assert set(mesh.devices.flat) == set(jax.devices()[:devices])


@pytest.mark.parametrize(
  "asked",
  [
    (3, 1, 1),
    (-1, 3, 1),
    (-1, -1, 8),
    (-1, -1, 1),
    (0, 1, 1),
    (-1, 0, 1),
    (16, 1, 1),
    (1, 1, 1),
    (-2, -4, 1),
    (-1, 16, 1),
  ],
)
def test_mesh_sizes_that_do_not_fit_are_shown(asked):
  with pytest.raises(UserError, match=f"data={asked[0]}, fsdp={asked[1]}.*8 "):
    _mesh(*asked)


@pytest.fixture(name="init", scope="module")
def _init():
  config = dataclasses.replace(tiny.ARCHITECTURE, vocab_size=98)
  loss, tx = MLM(Encoder(config)), optax.adam(1.0)
  return lambda: step_lib.init_state(loss, tx, 0)


def test_arrays_are_sharded_by_the_rules(init):
  mesh = _mesh(2, 2, 2)
  shardings = partition.state_shardings(mesh, "fsdp", jax.eval_shape(init))
  state = tiny.jit(lambda: meta.unbox(init()), out_shardings=shardings)()
  layers = state.params["encoder"]["layers"]
  for array, spec, shard in (
    (layers["qkv"]["kernel"], P(None, "fsdp", "tensor"), (2, 8, 24)),
    (layers["out"]["kernel"], P(None, "tensor", "fsdp"), (2, 8, 8)),
    (layers["up"]["kernel"], P(None, "fsdp", "tensor"), (2, 8, 16)),
    (layers["down"]["kernel"], P(None, "tensor", "fsdp"), (2, 16, 8)),
    (layers["norm1"]["scale"], P(None, "fsdp"), (2, 8)),
    (
      state.params["encoder"]["word"]["embedding"],
      P("tensor", "fsdp"),
      (49, 8),
    ),
    (state.params["mlm_head"]["transform"]["kernel"], P("fsdp"), (8, 16)),
    (state.step, P(), ()),
  ):
    assert array.sharding.is_equivalent_to(
      jax.NamedSharding(mesh, spec), array.ndim
    )
    assert array.addressable_shards[0].data.shape == shard
  # The optimiser's moments are sharded like their parameters.
  moments = state.opt_state[0]
  for tree in (moments.mu, moments.nu):
    same = jax.tree.map(
      lambda p, m: p.sharding == m.sharding, state.params, tree
    )
    assert all(jax.tree.leaves(same))


def test_an_axis_that_does_not_divide_is_replicated(init):
  mesh = _mesh(1, 2, 4)  # 98 words over 4 devices
  shardings = partition.state_shardings(mesh, "fsdp", jax.eval_shape(init))
  word = shardings.params["encoder"]["word"]["embedding"]
  assert word.spec == P(None, "fsdp")


def test_replicated_rules_and_the_share_left_whole(init):
  boxed = jax.eval_shape(init)
  shapes = meta.unbox(boxed).params
  share = lambda rules, *sizes: partition.unsharded_share(
    shapes, partition.state_shardings(_mesh(*sizes), rules, boxed).params
  )
  assert share("replicated", 2, 2, 2) == 1.0
  assert share("fsdp", 8, 1, 1) == 1.0  # one device along every axis used
  assert share("fsdp", 1, 8, 1) == 0.0  # every array has an axis of 16
  # With only `tensor`, arrays without vocab, heads or mlp are replicated.
  whole = sum(
    x.size
    for path, x in jax.tree_util.tree_leaves_with_path(shapes)
    if not any(
      n in str(path)
      for n in ("'word'", "'qkv'", "'out'", "'up'", "'gate'", "'down'")
    )
  )
  total = sum(x.size for x in jax.tree.leaves(shapes))
  assert 0 < whole < total
  assert share("fsdp", 4, 1, 2) == pytest.approx(whole / total)


def test_zero1_shards_the_optimizer_over_two_axes(init):
  shardings = partition.state_shardings(
    _mesh(4, 2, 1), "zero1", jax.eval_shape(init)
  )
  assert all(s.is_fully_replicated for s in jax.tree.leaves(shardings.params))
  moments = shardings.opt_state[0].mu
  kernel = moments["encoder"]["layers"]["qkv"]["kernel"]
  assert kernel.spec == P(None, ("data", "fsdp"), None)
  assert kernel.shard_shape((2, 16, 48)) == (2, 2, 48)


def test_more_replicated_than_allowed_is_an_error(init):
  boxed = jax.eval_shape(init)
  shapes = meta.unbox(boxed).params
  at = lambda rules: (
    partition.state_shardings(_mesh(1, 8, 1), rules, boxed).params
  )
  partition.check_unsharded(0.0, shapes, at("fsdp"))
  with pytest.raises(UserError, match="100.0% of the parameters.*than 5.0%"):
    partition.check_unsharded(0.05, shapes, at("replicated"))


class _Chip:
  """A device in one of two slices of four, with the attributes a mesh reads."""

  platform, device_kind = "tpu", "TPU v5 lite"

  def __init__(self, number):
    self.id, self.process_index = number, number // 4
    self.slice_index = number // 4
    self.coords, self.core_on_chip = (number % 2, number % 4 // 2, 0), 0


def test_slices_lie_along_data():
  sizes = ml_collections.ConfigDict(dict(data=-1, fsdp=2, tensor=1))
  mesh = partition.make_mesh(sizes, [_Chip(n) for n in range(8)])
  slices = [[d.slice_index for d in row.flat] for row in mesh.devices]
  assert slices == [[0, 0], [0, 0], [1, 1], [1, 1]]
  sizes.data, sizes.fsdp = 1, 8
  with pytest.raises(
    UserError, match="data: 1 does not divide evenly over 2 slices"
  ):
    partition.make_mesh(sizes, [_Chip(n) for n in range(8)])


@pytest.mark.slow
def test_a_checkpoint_resumes_on_another_mesh(tmp_path):
  data = lambda: iter(grain.MapDataset.range(3).to_iter_dataset())
  batch = jax.tree.map(lambda x: x[None], tiny.mlm_batch())
  batch = batch.pop("inputs") | batch

  def run(rules, *sizes):
    config = config_flags.load([small_data.config("mlm")]).unlock()
    config.mesh.update(
      dict(zip(("data", "fsdp", "tensor"), sizes)), rules=rules
    )
    return program.setup(config, tiny.ARCHITECTURE, jax.devices())

  def losses(run, state, count):
    at = partition.batch_sharding(run.mesh)
    found = []
    for _ in range(count):
      state, metrics = run.step(state, loader.to_devices(batch, at))
      found.append(float(metrics["loss"]))
    return state, found

  first, other = run("zero1", 4, 2, 1), run("fsdp", 2, 2, 2)
  state, _ = losses(first, first.init(), 2)
  with contextlib.closing(Checkpoints(tmp_path, 1)) as checkpoints:
    checkpoints.save(2, state, data())
  _, expected = losses(first, state, 2)
  assert expected[0] != pytest.approx(expected[1], rel=1e-4)
  with contextlib.closing(Checkpoints(tmp_path, 1)) as checkpoints:
    state = checkpoints.restore(other.state, data())
  shardings = jax.tree.map(lambda x: x.sharding, state)
  assert shardings == jax.tree.map(lambda x: x.sharding, other.state)
  assert losses(other, state, 2)[1] == pytest.approx(expected, rel=1e-5)


def test_unknown_rules_are_named(init):
  with pytest.raises(UserError, match="no rules 'fdsp'.*mean 'fsdp'"):
    partition.state_shardings(_mesh(8, 1, 1), "fdsp", jax.eval_shape(init))


def test_rows_lie_over_data_and_fsdp():
  sharding = partition.batch_sharding(_mesh(2, 2, 2))
  batch = jax.device_put(np.arange(3 * 8 * 5).reshape(3, 8, 5), sharding)
  shards = {s.index[1].start: s.data.shape for s in batch.addressable_shards}
  assert shards == {0: (3, 2, 5), 2: (3, 2, 5), 4: (3, 2, 5), 6: (3, 2, 5)}
