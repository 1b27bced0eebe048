# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A file in a bucket that grows line by line.

An object cannot be appended to: it is uploaded whole, now and then, by a
thread, so that no step waits for it. What the bucket refuses is uploaded again
later. Only `flush`, before a checkpoint, waits until everything is there.
"""

import threading
import time
from typing import Any

from nomic_jax.storage import buckets

_WRITE_EVERY = 10.0  # seconds, less often than a store minds
_SHARE = 0.05  # of the time, at most, that an upload is under way


class Appended:
  """What a training asks of a file that it appends to."""

  def __init__(self, path: Any, data: bytes):
    """Starts with `data`, which is uploaded at once."""
    self._path, self._data = path, data
    self._uploaded = -1  # bytes
    self._lock = threading.Lock()  # held during an upload
    self._closed = threading.Event()
    self.flush()
    self._thread = threading.Thread(target=self._keep_up, daemon=True)
    self._thread.start()

  def write(self, line: bytes) -> int:
    """Appends; never waits."""
    self._data += line
    return len(line)

  def flush(self) -> None:
    """Waits until everything is in the bucket.

    Raises:
      Exception: the bucket's, if it refuses, or does not answer for long.
    """
    buckets.patiently(self._upload)

  def close(self) -> None:
    self._closed.set()
    self._thread.join()
    self.flush()

  def _upload(self) -> None:
    with self._lock:
      data = self._data
      if len(data) != self._uploaded:
        self._path.write_bytes(data)
        self._uploaded = len(data)

  def _keep_up(self) -> None:
    wait = _WRITE_EVERY
    while not self._closed.wait(wait):
      began = time.monotonic()
      try:
        self._upload()
      except Exception:
        pass  # best effort: the next time, or flush, which says so
      wait = max(_WRITE_EVERY, (time.monotonic() - began) / _SHARE)
