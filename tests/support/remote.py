# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of buckets: a folder with a bucket's interface, and real servers.

The servers are moto's S3 server and gcp-storage-emulator, if installed, each
behind a proxy that can refuse requests or answer late.
"""

import http.client
import http.server
import importlib
import os
import threading
import time

from etils.epath import backend
import fsspec
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from orbax.checkpoint._src.serialization import tensorstore_utils
import pytest

from nomic_jax.storage import buckets


def folder_as_bucket(root, monkeypatch):
  """Makes s3:// the folders of `root`."""

  class Folder(DirFileSystem):
    """s3:// as folders of `root`."""

    protocol = "s3"
    cachable = False

    def __init__(self, **options):
      super().__init__(str(root), LocalFileSystem(auto_mkdir=True))

  registry = importlib.import_module("fsspec.registry")
  monkeypatch.setitem(registry._registry, "s3", Folder)
  ask = tensorstore_utils.build_kvstore_tspec
  here = lambda place, *more, **options: ask(
    place.replace("s3://", f"{root}/"), *more, **options
  )
  here.knows_s3 = True
  monkeypatch.setattr(tensorstore_utils, "build_kvstore_tspec", here)
  (root / "bucket").mkdir()
  return Folder


class Proxy:
  """Passes requests to a server on this machine, except as `faults` says.

  Attributes:
    url: of the proxy.
    faults: what to do with the next requests, in order: answer with a status,
      wait some seconds before passing on, or 0 (pass on). All later requests
      are passed on.
    refused: requests that were answered with a status of `faults`.
  """

  def __init__(self, host, port):
    self.faults, self.refused = [], 0
    outer = self

    class Handler(http.server.BaseHTTPRequestHandler):
      protocol_version = "HTTP/1.1"

      def _pass_on(self):
        body = self._body()
        fault = outer.faults.pop(0) if outer.faults else 0
        if fault >= 400:
          outer.refused += 1
          self._answer(fault, [("Retry-After", "0")], b"too busy")
          return
        time.sleep(fault)
        connection = http.client.HTTPConnection(host, port, timeout=60)
        headers = {
          k: v
          for k, v in self.headers.items()
          if k.lower()
          not in ("transfer-encoding", "expect", "content-length", "connection")
        }
        connection.request(self.command, self.path, body, headers)
        found = connection.getresponse()
        self._answer(
          found.status, found.getheaders(), found.read(), found.length
        )
        connection.close()

      def _body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
          return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
          body += self.rfile.read(size)
          self.rfile.readline()
        self.rfile.readline()
        return body

      def _answer(self, status, headers, body, length=None):
        self.send_response_only(status)
        skipped = ("transfer-encoding", "connection", "content-length")
        for name, value in headers:
          if name.lower() not in skipped or (
            self.command == "HEAD" and name.lower() == "content-length"
          ):
            self.send_header(name, value)
        if self.command != "HEAD":
          self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        # After a HEAD, a body would be read as the start of the next answer.
        if self.command != "HEAD":
          self.wfile.write(body)

      do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = _pass_on

      def log_message(self, *args):
        pass

    self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    self._server.daemon_threads = True
    threading.Thread(target=self._server.serve_forever, daemon=True).start()
    self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

  def close(self):
    self._server.shutdown()
    self._server.server_close()


@pytest.fixture(name="moto", scope="module")
def moto_fixture():
  """A proxy of moto's S3 server, if installed."""
  try:
    import moto.server
    import s3fs  # noqa: F401
  except ImportError:
    yield None
    return
  server = moto.server.ThreadedMotoServer(port=0)
  server.start()
  proxy = Proxy(*server.get_host_and_port())
  yield proxy
  proxy.close()
  server.stop()


@pytest.fixture(name="emulator", scope="module")
def emulator_fixture():
  """A proxy of an emulator of Google Cloud Storage, if installed."""
  # Otherwise gcsfs asks Google for the kind of bucket.
  os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
  try:
    import gcp_storage_emulator.server as gcs
    import gcsfs  # noqa: F401
  except ImportError:
    yield None
    return
  server = gcs.create_server("127.0.0.1", 0, in_memory=True)
  server.start()
  proxy = Proxy("127.0.0.1", server._api._httpd.server_port)
  yield proxy
  proxy.close()
  server.stop()


@pytest.fixture(name="bucket", params=["folder", "moto", "gcs"])
def bucket_fixture(request, moto, emulator, tmp_path, monkeypatch):
  """The address of an empty bucket."""
  forget = backend.fsspec_backend._get_filesystem.cache_clear
  forget()
  buckets._fetch.cache_clear()
  address = "s3://bucket"
  monkeypatch.setenv("NOMIC_JAX_CACHE", str(tmp_path / "cache"))
  if request.param == "folder":
    folder_as_bucket(tmp_path, monkeypatch)
  elif request.param == "moto":
    if moto is None:
      pytest.skip("needs s3fs and moto[server]")
    for name, value in s3_environment(moto).items():
      monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    fsspec.filesystem("s3").makedirs("bucket", exist_ok=True)
  else:
    if emulator is None:
      pytest.skip("needs gcsfs and gcp-storage-emulator")
    for name, value in gcs_environment(emulator).items():
      monkeypatch.setenv(name, value)
    fsspec.config.conf.setdefault("gs", {})["token"] = "anon"
    fsspec.config.conf.setdefault("gcs", {})["token"] = "anon"
    fsspec.get_filesystem_class("gs").clear_instance_cache()
    try:
      fsspec.filesystem("gs").mkdir("bucket")
    except Exception:  # it exists from an earlier test
      pass
    address = "gs://bucket"
  yield address
  forget()


def s3_environment(proxy):
  return {
    "AWS_ENDPOINT_URL": proxy.url,
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
  }


def gcs_environment(proxy):
  return {
    "STORAGE_EMULATOR_HOST": proxy.url,
    "TENSORSTORE_GCS_HTTP_URL": proxy.url,
    "GOOGLE_AUTH_TOKEN_FOR_TESTING": "token",
    "NO_GCE_CHECK": "true",
    "FSSPEC_GS_TOKEN": "anon",
    "FSSPEC_GCS_TOKEN": "anon",
  }
