# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Teaches Orbax to keep arrays in s3://, as it does in gs://.

Orbax asks one function of its own where tensorstore keeps an array, and that
knows local paths and gs:// alone; tensorstore knows S3 too. So for s3:// it is
asked about the same place in gs://, and the store in its answer exchanged.
"""

import functools
import os
from typing import Any

from nomic_jax.errors import UserError

Spec = dict[str, Any]  # of a tensorstore KvStore


def teach() -> None:
  """Does so once; nothing changes for other places.

  Raises:
    UserError: if this Orbax has no such function: it is not one of its API's.
  """
  try:
    from orbax.checkpoint._src.serialization import tensorstore_utils

    ask = tensorstore_utils.build_kvstore_tspec
  except (ImportError, AttributeError) as e:
    raise UserError(
      f"s3://: this version of Orbax cannot be taught it ({e}); pip install "
      "'orbax-checkpoint>=0.12,<0.13', or use gs://"
    ) from e
  if getattr(ask, "knows_s3", False):
    return

  @functools.wraps(ask)
  def build_kvstore_tspec(directory: str, *args: Any, **more: Any) -> Spec:
    scheme, _, inside = str(directory).partition("://")
    if scheme != "s3":
      return ask(directory, *args, **more)
    return _exchanged(ask(f"gs://{inside}", *args, **more))

  build_kvstore_tspec.knows_s3 = True
  tensorstore_utils.build_kvstore_tspec = build_kvstore_tspec


def _exchanged(spec: Any) -> Any:
  """The spec with S3 for Google's store, however deep it lies."""
  if isinstance(spec, list):
    return [_exchanged(s) for s in spec]
  if not isinstance(spec, dict):
    return spec
  if str(spec.get("driver")).startswith("gcs"):
    return store(spec["bucket"], spec["path"])
  return {k: _exchanged(v) for k, v in spec.items()}


def store(bucket: str, path: str) -> Spec:
  """A place in S3, with what the environment says about endpoint and keys.

  Without keys in the environment they are found as the AWS tools find them.
  """
  spec = {"driver": "s3", "bucket": bucket, "path": path}
  region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
  endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or (
    os.environ.get("AWS_ENDPOINT_URL")
  )
  if endpoint:
    spec["endpoint"] = endpoint
    region = region or "us-east-1"  # other stores have no regions
  if region:
    spec["aws_region"] = region
  if "AWS_ACCESS_KEY_ID" in os.environ:
    spec["aws_credentials"] = {"type": "environment"}
  return spec
