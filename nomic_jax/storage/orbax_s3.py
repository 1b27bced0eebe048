# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A patch that makes Orbax store arrays in s3:// as it does in gs://.

One internal function of Orbax maps a path to a tensorstore driver. It supports
local paths and gs:// only, although tensorstore also supports S3. The patched
function calls it with gs:// in place of s3:// and replaces the driver in its
result.
"""

import functools
import os
from typing import Any

from nomic_jax.errors import UserError
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject

Spec = JsonObject  # of a tensorstore KvStore


def patch() -> None:
  """Patches Orbax once; other paths are unaffected.

  Raises:
    UserError: if this version of Orbax lacks the function, which is internal.
  """
  try:
    from orbax.checkpoint._src.serialization import tensorstore_utils

    ask = tensorstore_utils.build_kvstore_tspec
  except (ImportError, AttributeError) as e:
    raise UserError(
      f"s3://: this version of Orbax cannot be patched to support it ({e}); "
      "pip install 'orbax-checkpoint>=0.12,<0.13', or use gs://"
    ) from e
  if hasattr(ask, "knows_s3"):
    return

  @functools.wraps(ask)
  def build_kvstore_tspec(directory: str, *args: Any, **more: Any) -> Spec:
    scheme, _, inside = str(directory).partition("://")
    if scheme != "s3":
      return ask(directory, *args, **more)
    return _with_s3(ask(f"gs://{inside}", *args, **more))

  vars(build_kvstore_tspec)["knows_s3"] = True
  tensorstore_utils.build_kvstore_tspec = build_kvstore_tspec


def _with_s3(spec: Json) -> Json:
  """Returns the spec with S3 in place of Google's driver, at any depth."""
  if isinstance(spec, list):
    return [_with_s3(s) for s in spec]
  if not isinstance(spec, dict):
    return spec
  if str(spec.get("driver")).startswith("gcs"):
    return store(spec["bucket"], spec["path"])
  return {k: _with_s3(v) for k, v in spec.items()}


def store(bucket: str, path: str) -> Spec:
  """Returns the spec of a path in S3.

  Endpoint, region and keys come from the environment. Without keys there,
  tensorstore searches for them as the AWS tools do.
  """
  spec: Spec = {"driver": "s3", "bucket": bucket, "path": path}
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
