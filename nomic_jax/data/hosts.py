# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Makes batches on several hosts: each makes all rows and keeps its share."""

from collections.abc import Callable

import grain
import ml_collections
import numpy as np

from nomic_jax.errors import UserError

Batch = dict[str, np.ndarray]
_ENDLESS = 2**40  # batches


def check(
  config: ml_collections.ConfigDict, hosts: int, unit: str = "rows"
) -> None:
  """Raises UserError unless the hosts can divide a batch equally."""
  for name, counted in (("batch_size", unit), ("rows_multiple", "rows")):
    if config[name] % hosts:
      raise UserError(
        f"config.data.{name}: {config[name]} {counted} do not divide evenly "
        f"over {hosts} hosts; try {max(config[name] // hosts, 1) * hosts}"
      )


def share(batch: Batch, host: int, hosts: int) -> Batch:
  """Returns a host's rows, [1, rows, ...], of a batch [all rows, ...]."""
  return {
    k: v[len(v) // hosts * host : len(v) // hosts * (host + 1)][None]
    for k, v in batch.items()
  }


def stream(
  load: Callable[[int], Batch], count: int = _ENDLESS
) -> grain.IterDataset:
  """Returns a dataset of `load(0)`, `load(1)`, ..., with some prefetched."""
  return (
    grain.MapDataset.range(count)
    .map(load)
    .to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4))
  )
