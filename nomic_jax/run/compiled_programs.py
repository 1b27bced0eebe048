# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""JAX's persistent compilation cache, kept with a training.

A training that is restarted then reads its compiled programs, which took
minutes, instead of compiling them again.
"""

from collections.abc import Iterator
import contextlib
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

FOLDER = "compiled"  # in a work directory

# XLA writes these itself, and only to a local disk.
_OPTIONS = {"jax_persistent_cache_enable_xla_caches": "none"}


@contextlib.contextmanager
def kept(workdir: Any) -> Iterator[None]:
  """Keeps what is compiled meanwhile in `workdir`/compiled, also in a bucket.

  A cache that the user has chosen (JAX_COMPILATION_CACHE_DIR) is left alone.
  JAX reads it in every process, and process 0 writes. It warns of what cannot
  be read or written, and compiles.
  """
  if jax.config.jax_compilation_cache_dir:
    yield
    return
  options = _OPTIONS | {"jax_compilation_cache_dir": str(workdir / FOLDER)}
  before = {name: getattr(jax.config, name) for name in options}
  _set(options)
  try:
    yield
  finally:
    _set(before)


def _set(options: dict[str, Any]) -> None:
  for name, value in options.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()  # where it is is asked only once
