# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""JAX's persistent compilation cache, stored with a training run.

A restarted training then loads its compiled programs instead of compiling them
again for minutes.
"""

from collections.abc import Iterator
import contextlib

import jax
from jax.experimental.compilation_cache import compilation_cache

from nomic_jax.storage.values import JsonObject
from nomic_jax.storage.values import Place

FOLDER = "compiled"  # in a work directory

# XLA writes these caches itself, and only to a local disk.
_OPTIONS = {"jax_persistent_cache_enable_xla_caches": "none"}


@contextlib.contextmanager
def kept(workdir: Place) -> Iterator[None]:
  """Caches compiled programs in `workdir`/compiled, which may be in a bucket.

  A cache set by the user (JAX_COMPILATION_CACHE_DIR) is used instead. JAX reads
  the cache in every process and writes it in process 0. It warns and compiles
  if something cannot be read or written.
  """
  options = _OPTIONS | {"jax_compilation_cache_dir": str(workdir / FOLDER)}
  before = {name: getattr(jax.config, name) for name in options}
  if before["jax_compilation_cache_dir"]:
    yield
    return
  _set(options)
  try:
    yield
  finally:
    _set(before)


def _set(options: JsonObject) -> None:
  for name, value in options.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()  # JAX reads the location only once
