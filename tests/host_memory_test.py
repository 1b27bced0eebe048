# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Memory that a computation frees is used again by the next one."""

import os
import platform
import subprocess
import sys
import types

import pytest
from support import small_data

from nomic_jax.mesh import host_memory

pytestmark = pytest.mark.slow

_CALLS = 60
# Prints the pages mapped by calls with a temporary of 64 MiB, 16,384 pages.
_PROGRAM = """
import resource, sys
import jax, jax.numpy as jnp
from nomic_jax.mesh import compiler_flags

if sys.argv[1] == "kept":
  compiler_flags.chip_here = lambda: ""
  compiler_flags.set_for_this_machine()
call = jax.jit(lambda x, w: x @ w @ w.T)
x, w = jnp.ones((1024, 8)), jnp.ones((8, 16384))
call(x, w).block_until_ready()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(int(sys.argv[2])):
  call(x, w).block_until_ready()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_a_call_uses_the_memory_of_the_one_before():
  pages = {
    kind: int(
      subprocess.run(
        [sys.executable, "-c", _PROGRAM, kind, str(_CALLS)],
        text=True,
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(small_data.ROOT), "XLA_FLAGS": ""},
      ).stdout
    )
    for kind in ("kept", "freed")
  }
  assert pages["freed"] > 0.9 * 16_384 * _CALLS, "the control"
  # Not none: a small object may be put where the temporary was.
  assert pages["kept"] < 0.5 * pages["freed"]


def test_settings_of_the_user_are_kept(monkeypatch):
  called = []
  library = types.SimpleNamespace(mallopt=lambda *_: called.append(1))
  monkeypatch.setattr(host_memory.ctypes, "CDLL", lambda _: library)
  monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
  host_memory.keep_freed()
  assert not called
  monkeypatch.delenv("MALLOC_ARENA_MAX")
  host_memory.keep_freed()
  assert len(called) == 3, "the control"
