# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Tests run on 8 virtual CPU devices, without network, with shapes checked."""

import gc
import os

import pytest

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from support import shape_checks  # noqa: E402

shape_checks.install()
# Traces are many objects and rarely garbage: look for it less often.
gc.set_threshold(100_000, 50, 100)


def pytest_configure(config):
  # By default, xdist begins with the files of most tests, which are quick.
  config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
  """Begins with files that are slow as a whole: the last ones are quick then.

  Otherwise one worker is left with a slow file while the others have finished.
  """
  items.sort(
    key=lambda item: (
      not item.getparent(pytest.Module).get_closest_marker("slow")
    )
  )
