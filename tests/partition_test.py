# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Meshes of the sizes asked for, and arrays where the rules say."""

import dataclasses

from flax.linen import meta
import jax
from jax.sharding import PartitionSpec as P
import ml_collections
import numpy as np
import optax
import pytest

from nomic_jax import partition
from nomic_jax import step as step_lib
from nomic_jax.errors import UserError
from nomic_jax.losses.mlm import MLM
from nomic_jax.model.encoder import Encoder
import tiny


def _mesh(data, fsdp, tensor, devices=8):
  config = ml_collections.ConfigDict(
      dict(data=data, fsdp=fsdp, tensor=tensor, rules="fsdp"))
  return partition.make_mesh(config, jax.devices()[:devices])


@pytest.mark.parametrize("asked, devices, sizes", [
    ((-1, 1, 1), 8, (8, 1, 1)),
    ((2, -1, 2), 8, (2, 2, 2)),
    ((1, 4, 2), 8, (1, 4, 2)),
    ((2, 2, -1), 4, (2, 2, 1)),
    ((-1, 1, 1), 1, (1, 1, 1)),
])
def test_mesh_sizes(asked, devices, sizes):
  mesh = _mesh(*asked, devices)
  assert tuple(mesh.shape.values()) == sizes
  assert mesh.axis_names == ("data", "fsdp", "tensor")
  assert set(mesh.devices.flat) == set(jax.devices()[:devices])


@pytest.mark.parametrize("asked", [
    (3, 1, 1), (-1, 3, 1), (-1, -1, 8), (-1, -1, 1), (0, 1, 1), (-1, 0, 1),
    (16, 1, 1), (1, 1, 1), (-2, -4, 1), (-1, 16, 1),
])
def test_mesh_sizes_that_do_not_fit_are_shown(asked):
  with pytest.raises(UserError, match=f"data={asked[0]}, fsdp={asked[1]}.*8 "):
    _mesh(*asked)


@pytest.fixture(name="init", scope="module")
def _init():
  config = dataclasses.replace(tiny.CONFIG, vocab_size=98)
  loss, tx = MLM(Encoder(config)), optax.adam(1.0)
  return lambda: step_lib.init_state(loss, tx, 0)


def test_arrays_lie_where_the_rules_say(init):
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
      (state.params["encoder"]["word"]["embedding"], P("tensor", "fsdp"),
       (49, 8)),
      (state.params["mlm_head"]["transform"]["kernel"], P("fsdp"), (8, 16)),
      (state.step, P(), ()),
  ):
    assert array.sharding.is_equivalent_to(
        jax.NamedSharding(mesh, spec), array.ndim)
    assert array.addressable_shards[0].data.shape == shard
  # The optimiser's moments lie beside their parameters.
  moments = state.opt_state[0]
  for tree in (moments.mu, moments.nu):
    same = jax.tree.map(
        lambda p, m: p.sharding == m.sharding, state.params, tree)
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
      shapes, partition.state_shardings(_mesh(*sizes), rules, boxed).params)
  assert share("replicated", 2, 2, 2) == 1.0
  assert share("fsdp", 8, 1, 1) == 1.0  # one device along every axis used
  assert share("fsdp", 1, 8, 1) == 0.0  # every array has an axis of 16
  # Along tensor alone: what has neither vocab, heads nor mlp stays whole.
  whole = sum(
      x.size for path, x in jax.tree_util.tree_leaves_with_path(shapes)
      if not any(n in str(path) for n in (
          "'word'", "'qkv'", "'out'", "'up'", "'gate'", "'down'")))
  total = sum(x.size for x in jax.tree.leaves(shapes))
  assert 0 < whole < total
  assert share("fsdp", 4, 1, 2) == pytest.approx(whole / total)


def test_unknown_rules_are_named(init):
  with pytest.raises(UserError, match="no rules 'fdsp'.*mean 'fsdp'"):
    partition.state_shardings(
        _mesh(8, 1, 1), "fdsp", jax.eval_shape(init))


def test_rows_lie_over_data_and_fsdp():
  sharding = partition.batch_sharding(_mesh(2, 2, 2))
  batch = jax.device_put(np.arange(3 * 8 * 5).reshape(3, 8, 5), sharding)
  shards = {s.index[1].start: s.data.shape for s in batch.addressable_shards}
  assert shards == {0: (3, 2, 5), 2: (3, 2, 5), 4: (3, 2, 5), 6: (3, 2, 5)}
