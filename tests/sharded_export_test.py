# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint sharded over eight devices is exported one array at a time."""

import contextlib
import json

import grain
import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec
import numpy as np
import safetensors.numpy
from support import hub_random

from nomic_jax import main
from nomic_jax.model import architecture_json
from nomic_jax.model.config import EncoderConfig
from nomic_jax.run.checkpoint import Checkpoints

CONFIG = EncoderConfig(
  vocab_size=96, width=64, layers=2, heads=4, mlp_width=256, max_length=128
).architecture


def test_a_sharded_checkpoint_is_exported_on_the_host(tmp_path, monkeypatch):
  trees = hub_random.trees(CONFIG, with_head=True)
  work = _work_directory(tmp_path / "work", trees)
  before = {id(x) for x in jax.live_arrays()}
  seen = []
  save_file = safetensors.numpy.save_file

  def spy(tensors, *args, **kwargs):
    seen.append(
      (
        [x.shape for x in jax.live_arrays() if id(x) not in before],
        {type(t) for t in tensors.values()},
      )
    )
    save_file(tensors, *args, **kwargs)

  monkeypatch.setattr(safetensors.numpy, "save_file", spy)
  monkeypatch.setattr(jax, "device_put", None)
  output = tmp_path / "model"
  assert main.main(["export", f"--workdir={work}", f"--output={output}"]) == 0
  # When all tensors have been read, no array of the export is on a device.
  assert seen == [([], {np.ndarray})]
  written = safetensors.numpy.load_file(output / "model.safetensors")
  expected = hub_random.write(CONFIG, trees)
  assert written.keys() == expected.keys()
  for name, tensor in expected.items():
    assert written[name].tobytes() == tensor.tobytes(), name


def _work_directory(work, trees):
  """Writes a work directory whose parameters are sharded over eight devices."""
  mesh = jax.make_mesh(
    (8,), ("fsdp",), axis_types=(jax.sharding.AxisType.Auto,)
  )

  def place(x):
    axes = ["fsdp" if size % 8 == 0 else None for size in x.shape]
    if "fsdp" in axes:  # the first that divides
      at = axes.index("fsdp")
      axes = [None] * at + ["fsdp"]
    return jax.device_put(x, NamedSharding(mesh, PartitionSpec(*axes)))

  placed = jax.tree.map(place, trees)
  share = [
    x.addressable_shards[0].data.size / x.size for x in jax.tree.leaves(placed)
  ]
  assert set(share) == {1 / 8}
  # As in a saved TrainState, the parameters are one branch of the tree.
  state = {
    "params": placed,
    "step": np.int32(3),
    "opt_state": jax.tree.map(lambda x: x + 1, placed),
  }
  with contextlib.closing(Checkpoints(work, 1)) as checkpoints:
    data = iter(grain.MapDataset.range(4).to_iter_dataset())
    checkpoints.save(3, state, data)
  (work / "encoder.json").write_text(
    json.dumps(architecture_json.to_json(CONFIG))
  )
  (work / "tokenizer").mkdir()
  hub_random.tokenizer().save(str(work / "tokenizer" / "tokenizer.json"))
  return work
