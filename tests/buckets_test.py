# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Work directories in buckets: resumed trainings end with the same bits.

support/remote.py provides the buckets.
"""

import pathlib
import threading
import time

from etils.epath import backend
import fsspec
import jax
import ml_collections
import numpy as np
from orbax.checkpoint._src.serialization import tensorstore_utils
import pytest
from support import small_data
from support.remote import bucket_fixture  # noqa: F401
from support.remote import emulator_fixture  # noqa: F401
from support.remote import folder_as_bucket
from support.remote import moto_fixture  # noqa: F401
import tensorstore

from nomic_jax import families
from nomic_jax import main
from nomic_jax.cli import config_flags
from nomic_jax.data import dataset
from nomic_jax.errors import Stopped
from nomic_jax.errors import UserError
from nomic_jax.run import checkpoint
from nomic_jax.run import metrics
from nomic_jax.run import trackers
from nomic_jax.run import work_directory
from nomic_jax.run.models import read_model
from nomic_jax.storage import appended
from nomic_jax.storage import buckets
from nomic_jax.storage import orbax_s3

STEPS, EVERY = 8, 2
FLAGS = [
  f"steps={STEPS}",
  f"checkpoint.every={EVERY}",
  "checkpoint.keep=3",
  "log_every=1",
  "data.row_length=48",
]


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  folder = tmp_path_factory.mktemp("buckets")
  small_data.make(folder)
  return folder


def _train(place, workdir):
  command = small_data.train("mlm", place / "pairs", workdir, *FLAGS)
  assert main.main(command) == 0


def _losses(workdir):
  path = buckets.as_path(workdir) / "metrics.jsonl"
  return [(row["step"], row["loss"]) for row in metrics.read(path)]


@pytest.mark.slow
def test_a_training_in_a_bucket_resumes(bucket, place, capsys, monkeypatch):
  # A killed training does not close metrics.jsonl.
  monkeypatch.setattr(appended.Appended, "close", lambda self: None)
  monkeypatch.setattr(appended, "_WRITE_EVERY", 1e9)
  run = f"{bucket}/runs/a"
  _train(place, run)
  folder = buckets.as_path(run) / "checkpoints"
  assert buckets.whole_steps(folder) == [4, 6, 8]  # 2 is one too many
  losses, whole = _losses(run), read_model(run).params
  assert len(losses) == STEPS and len(set(losses)) > 1

  # As after a kill before the last file of a checkpoint was written. The
  # checkpoint before that one is damaged.
  (folder / "8" / buckets.COMMITTED).unlink()
  files, inside = fsspec.core.url_to_fs(f"{run}/checkpoints/6")
  for part in files.find(inside):
    if "/d/" in part:
      files.pipe_file(part, files.cat_file(part)[:100])
  assert checkpoint.latest_step(run) == 6
  capsys.readouterr()
  _train(place, run)
  told = capsys.readouterr()
  assert f"step 6 cannot be read; it was moved to {run}/damaged/6" in told.err
  assert f"{run}: resuming after step 4 of {STEPS}" in told.out
  assert buckets.whole_steps(folder) == [4, 6, 8]
  assert _losses(run) == losses
  buckets._fetch.cache_clear()
  same, early = (
    jax.tree.all(jax.tree.map(np.array_equal, whole, read_model(w).params))
    for w in (run, f"{run}/checkpoints/4")
  )
  assert same and not early
  with pytest.raises(UserError, match="the complete ones are 4, 6, 8"):
    read_model(f"{run}/checkpoints/2")
  with pytest.raises(UserError, match="the bucket holds nothing"):
    read_model(f"{bucket}/runs/b")
  command = small_data.train("mlm", place / "pairs", run, *FLAGS, "seed=1")
  assert main.main(command) == 2
  assert "belongs to another config" in capsys.readouterr().err


def test_an_interrupted_claim_is_made_again(bucket, place):
  config = config_flags.load([small_data.config("mlm")])
  run = buckets.as_path(f"{bucket}/runs/cut")
  work_directory.check(run, config)
  (run / "encoder.json").write_text("{}")
  work_directory.check(run, config)
  encoder = families.fresh({**config.encoder, "vocab_size": 64})
  work_directory.claim(
    run, config, encoder, dataset.tokenizer_path(place / "pairs")
  )
  work_directory.check(run, config)
  assert work_directory.read(run)[0] == encoder
  (run / "config.json").unlink()
  (run / "notes.txt").write_text("mine")
  with pytest.raises(UserError, match="exists but is not a work directory"):
    work_directory.check(run, config)


def test_lines_are_uploaded_regularly_and_before_checkpoints(monkeypatch):
  monkeypatch.setattr(appended, "_WRITE_EVERY", 1e9)
  monkeypatch.setattr(buckets, "_FIRST_WAIT", 0.001)
  failures, written = [], threading.Event()

  class Path:
    data = b""

    def write_bytes(self, data):
      if failures:
        raise failures.pop()
      self.data = data
      written.set()

  path = Path()
  log = appended.Appended(path, b"one\n")
  assert log.write(b"two\n") == 4
  assert path.data == b"one\n"  # no step waits
  failures[:] = [TimeoutError(), OSError("HTTP 429: slow down")]
  log.flush()
  assert path.data == b"one\ntwo\n" and not failures
  # A refused upload is tried again.
  monkeypatch.setattr(appended, "_WRITE_EVERY", 0.001)
  log = appended.Appended(path, b"")
  failures[:] = [PermissionError("Access Denied")] * 3
  written.clear()
  log.write(b"four\n")
  assert written.wait(30) and path.data == b"four\n"
  failures[:] = [PermissionError("Access Denied")] * 10**6
  log.write(b"five\n")
  with pytest.raises(PermissionError):
    log.flush()
  failures.clear()
  log.close()
  assert path.data == b"four\nfive\n"


def test_a_directory_is_whole_when_its_config_is_there(bucket, monkeypatch):
  order = []
  real = backend._FileSystemSpecBackend.open

  def opened(self, path, mode):
    order.append(pathlib.PurePosixPath(path).name)
    return real(self, path, mode)

  monkeypatch.setattr(backend._FileSystemSpecBackend, "open", opened)
  with buckets.uploading(f"{bucket}/x") as made:
    made.mkdir()
    for name in ("a", "config.json", "z"):
      (made / name).write_text(name)
  assert order == ["a", "z", "config.json"]


# Errors of gcsfs, s3fs, botocore and tensorstore.
@pytest.mark.parametrize(
  "error, scheme, words",
  [
    (
      OSError("Forbidden: b/bucket/o\nno storage.objects.list access"),
      "gs",
      "permission denied in gs://bucket: reading requires roles/storage.object",
    ),
    (
      PermissionError("Access Denied"),
      "s3",
      "permission denied in s3://bucket: reading requires s3:ListBucket",
    ),
    (
      ValueError('PERMISSION_DENIED: Error opening "zarr" driver'),
      "s3",
      "permission denied in s3://bucket",
    ),
    (
      RuntimeError(
        "Anonymous caller does not have storage.objects.list access, 401"
      ),
      "gs",
      "gcloud auth application-default login",
    ),
    (
      type("NoCredentialsError", (Exception,), {})(
        "Unable to locate credentials"
      ),
      "s3",
      "set AWS_ACCESS_KEY_ID",
    ),
    (
      type("EndpointConnectionError", (Exception,), {})("Could not connect"),
      "s3",
      "does not answer (Could not connect)",
    ),
    (
      ValueError("UNKNOWN: CURL error Weird server reply [curl_code='8']"),
      "s3",
      "does not answer (UNKNOWN: CURL error",
    ),
  ],
)
def test_bucket_errors_are_one_line(error, scheme, words):
  with pytest.raises(UserError) as told, buckets.errors(f"{scheme}://bucket/a"):
    try:
      raise error
    except Exception as e:
      raise ValueError("said Orbax") from e
  assert words in str(told.value) and str(told.value).isprintable()


def test_other_errors_are_as_they_were():
  for path, error in (
    ("s3://bucket/a", KeyError("x")),
    ("runs/a", PermissionError("x")),
  ):
    with pytest.raises(type(error)), buckets.errors(path):
      raise error
  with pytest.raises(Stopped), buckets.errors("s3://b/a", unreachable=Stopped):
    raise type("ConnectTimeoutError", (Exception,), {})("slow")


def test_mistakes(monkeypatch, tmp_path):
  with pytest.raises(UserError, match="expected a folder, gs://BUCKET/PATH or"):
    buckets.as_path("ftp://host/run")
  folder_as_bucket(tmp_path, monkeypatch)
  with pytest.raises(UserError, match="config.log.tensorboard: event files"):
    trackers.make(
      ml_collections.ConfigDict({"log": {"tensorboard": True, "wandb": ""}}),
      "s3://bucket/a",
      0,
    )

  def missing(scheme):
    raise ImportError("Install s3fs to access S3")

  monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
  with pytest.raises(UserError, match=r"Install s3fs .*nomic_jax\[buckets\]"):
    buckets.as_path("s3://bucket/run")


def test_orbax_knows_s3(monkeypatch):
  orbax_s3.patch()
  ask = tensorstore_utils.build_kvstore_tspec
  orbax_s3.patch()
  assert ask is tensorstore_utils.build_kvstore_tspec
  for name in (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
  ):
    monkeypatch.delenv(name, raising=False)
  spec = ask("s3://bucket/run/4", "params")
  assert spec["base"] == {"driver": "s3", "bucket": "bucket", "path": "run/4"}
  tensorstore.KvStore.Spec(spec)  # or it raises
  monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:1")
  monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
  base = ask("s3://bucket/run/4")["base"]
  assert base["endpoint"] == "http://localhost:1"
  assert base["aws_region"] == "us-east-1"
  assert base["aws_credentials"] == {"type": "environment"}
  tensorstore.KvStore.Spec(base)
  assert ask("gs://bucket/run/4")["base"]["driver"].startswith("gcs")
  assert "s3" not in str(ask("/run/4"))


@pytest.mark.slow
def test_killed_with_data_and_training_in_the_bucket(
  bucket, place, moto, emulator
):
  """A killed process resumes and ends with the bits of an uninterrupted one.

  Its bucket is overloaded the whole time.
  """
  if buckets.files(bucket)[0].protocol == "s3":
    pytest.skip("needs a server: this bucket is a folder of this process")
  server = {"s3": moto, "gs": emulator}[bucket[:2]]
  data, run = f"{bucket}/data/pairs", f"{bucket}/runs/killed"
  buckets.upload(place / "pairs", data)
  start = lambda data, run, held="": small_data.Process(
    small_data.train("mlm", data, run, *FLAGS), place / "compiled", held
  )
  # One in fifteen requests is refused or answered late.
  server.faults = sum(([0] * 14 + [f] for f in (503, 429, 0.2)), []) * 1000
  killed = start(data, run, held=str(EVERY + 1))
  whole = start(place / "pairs", place / f"whole-{bucket[:2]}")
  last = buckets.as_path(run) / f"checkpoints/{EVERY}/{buckets.COMMITTED}"

  def saved():
    time.sleep(0.1)  # this process is the server as well
    return buckets.retry(last.exists)

  assert killed.wait_for(saved), killed.finish()
  killed.kill()
  refused = server.refused
  assert whole.finish()[0] == 0
  status, out, err = start(data, run).finish()
  assert status == 0, err
  assert refused and server.refused > refused
  server.faults = []
  assert f"resuming after step {EVERY} of {STEPS}" in out
  assert len(_losses(run)) == STEPS
  assert _losses(run) == _losses(place / f"whole-{bucket[:2]}")
  assert jax.tree.all(
    jax.tree.map(
      np.array_equal,
      read_model(run).params,
      read_model(place / f"whole-{bucket[:2]}").params,
    )
  )
