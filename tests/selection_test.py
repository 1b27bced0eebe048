# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A student starts from evenly spaced weights of its teacher."""

import dataclasses

import numpy as np
import pytest
from support import small_data
from support import tiny

from nomic_jax.errors import UserError
from nomic_jax.hub import model_directory
from nomic_jax.main import main
from nomic_jax.model import selection
from nomic_jax.model.encoder import Encoder
from nomic_jax.run import models

pytestmark = pytest.mark.slow

TEACHER = dataclasses.replace(
  tiny.CONFIG, width=32, layers=6, heads=4, mlp_width=48, max_length=64
).architecture


def test_elements_are_evenly_spaced():
  assert selection.evenly(6, 3).tolist() == [0, 2, 4]
  assert selection.evenly(7, 3).tolist() == [0, 3, 6]
  assert selection.evenly(5, 3).tolist() == [0, 2, 4]
  assert selection.evenly(5, 5).tolist() == [0, 1, 2, 3, 4]


def test_a_student_has_every_second_layer():
  params = tiny.params(Encoder(TEACHER))
  config, student = selection.select(
    TEACHER, params, width=32, layers=3, heads=4, mlp_width=48
  )
  assert len(config.layers) == 3 and config.width == 32
  for name in ("qkv", "out", "up", "gate", "down"):
    np.testing.assert_array_equal(
      student["layers"][name]["kernel"], params["layers"][name]["kernel"][::2]
    )
  np.testing.assert_array_equal(
    student["word"]["embedding"], params["word"]["embedding"]
  )
  # Narrower: queries from queries, keys from keys, values from values.
  config, student = selection.select(
    TEACHER, params, width=16, layers=6, heads=2, mlp_width=20
  )
  kernel = np.asarray(params["layers"]["qkv"]["kernel"])
  np.testing.assert_array_equal(
    student["layers"]["qkv"]["kernel"],
    np.concatenate([kernel[:, ::2, at : at + 32 : 2] for at in (0, 32, 64)], 2),
  )
  assert student["layers"]["up"]["kernel"].shape == (6, 16, 20)
  with pytest.raises(UserError, match="width: 64 is more than the 32"):
    selection.select(TEACHER, params, width=64)


def test_distillation_starts_from_a_selection(tmp_path):
  data = small_data.make(tmp_path)
  rows = 64 * -(-150 // 64)
  config = dataclasses.replace(TEACHER, vocab_size=rows)
  model_directory.write_model(
    tmp_path / "teacher",
    config,
    tiny.params(Encoder(config)),
    data / "tokenizer",
    {"search_query": "search_query: "},
  )
  assert (
    main(
      [
        "teach",
        f"--model={tmp_path}/teacher",
        f"--input={data}",
        f"--output={tmp_path}/vectors",
      ]
    )
    == 0
  )
  command = [
    "train",
    f"--config={small_data.ROOT}/configs/distill.py:kd,miniature",
    f"--workdir={tmp_path}/student",
    f"--config.data.path={data}",
    f"--config.data.teacher={tmp_path}/vectors",
    f"--config.init_from={tmp_path}/teacher",
    "--config.encoder.width=16",
    "--config.encoder.heads=2",
    "--config.encoder.mlp_width=16",
    "--config.steps=1",
    "--config.loss.chunk_tokens=0",
    "--config.optimizer.warmup=0 steps",
    "--config.optimizer.learning_rate=0",
  ]
  assert main(command) == 0
  student = models.read_model(tmp_path / "student")
  assert len(student.architecture.layers) == 1
  assert student.architecture.head.pooling == "cls"
  teacher = models.read_model(tmp_path / "teacher")
  _, expected = selection.select(
    teacher.architecture,
    teacher.params,
    width=16,
    layers=1,
    heads=2,
    mlp_width=16,
  )
  tiny.assert_close(student.params, expected, 1e-7)
