# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Tests run on 8 virtual CPU devices, without network, with shapes checked."""

import atexit
import gc
import os
import shutil
import tempfile

import pytest
from support import compiler

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
  f"--xla_force_host_platform_device_count=8 {compiler.QUICK}"
)
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Matrices are small: more threads would only wait for one another, especially
# when several workers share the cores.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
# Each large program is compiled once: xdist's workers and the processes that
# tests start inherit the cache of the process that starts the tests.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
  _CACHE = tempfile.mkdtemp(prefix="nomic_jax-compiled-")
  atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
  os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE
  os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"

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
