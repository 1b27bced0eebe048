# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A file in a bucket that grows line by line.

Objects in a bucket cannot be appended to, so the whole file is uploaded again
from time to time. A thread does this, so training never waits for it. A failed
upload is retried later. Only `flush`, called before a checkpoint, waits until
the bucket holds every line.
"""

import threading
import time

from nomic_jax.storage import buckets
from nomic_jax.storage.values import Place

_WRITE_EVERY = 10.0  # seconds; stays below the rate limits of object stores
_SHARE = 0.05  # the largest fraction of time spent uploading


class Appended:
  """An append-only file object, as the metrics writer needs it."""

  def __init__(self, path: Place, data: bytes):
    """Starts with `data`, which is uploaded at once."""
    self._path, self._data = path, data
    self._uploaded = -1  # bytes
    self._lock = threading.Lock()  # held during an upload
    self._closed = threading.Event()
    self.flush()
    self._thread = threading.Thread(target=self._keep_up, daemon=True)
    self._thread.start()

  def write(self, line: bytes) -> int:
    """Appends a line without waiting for the upload."""
    self._data += line
    return len(line)

  def flush(self) -> None:
    """Waits until everything is in the bucket.

    Raises:
      Exception: the bucket's error, if it refuses or does not answer in time.
    """
    buckets.retry(self._upload)

  def close(self) -> None:
    """Stops the thread and uploads what is left."""
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
        pass  # Best effort: retried here, and flush() reports the error.
      wait = max(_WRITE_EVERY, (time.monotonic() - began) / _SHARE)
