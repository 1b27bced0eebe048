# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A server that answers what huggingface_hub asks to upload a folder.

It keeps the files it receives, whether in a commit or by Git LFS.
"""

import base64
import contextlib
import hashlib
import http.server
import json
import threading
from urllib.parse import urlsplit

import huggingface_hub
from huggingface_hub import constants

TOKEN = "hf_stub"


class Hub:
  """The state of the server.

  Attributes:
    url: its address.
    name: of the repository; "" before it is created.
    files: path -> content of each file of the repository.
    private: whether the repository is private; None: there is no repository.
    status: answered to the paths that start with a key, in place of 200.
    large: files of at least so many bytes come by Git LFS.
    asked: "METHOD PATH" of all requests.
  """

  def __init__(self):
    self.url, self.name, self.files, self.private = "", "", {}, None
    self.status, self.large, self.asked = {}, 1 << 60, []
    self.objects = {}

  def answer(self, method: str, path: str, body: bytes, token: str):
    """Returns (status, JSON)."""
    self.asked.append(f"{method} {path}")
    if token != f"Bearer {TOKEN}" and not path.startswith("/objects/"):
      return 401, {"error": "Invalid username or password."}
    for start, status in self.status.items():
      if path.startswith(start):
        return status, {"error": "not you"}
    if path.startswith("/objects/"):
      self.objects[path.rpartition("/")[2]] = body
      return 200, {}
    if path == "/api/repos/create":
      given = json.loads(body)
      self.name = f"{given['organization']}/{given['name']}"
      if self.private is not None:
        return 409, {"error": "exists", "url": f"{self.url}/{self.name}"}
      self.private = given.get("visibility") == "private"
      return 200, {"url": f"{self.url}/{self.name}", "name": self.name}
    if path == "/api/validate-yaml":
      return 200, {"errors": [], "warnings": []}
    repository = f"/api/models/{self.name}"
    if path == repository:
      return 200, {"id": self.name, "private": self.private, "siblings": []}
    if path.startswith(f"{repository}/tree/main"):
      return 200, [
        {"type": "file", "path": p, "oid": "0" * 40, "size": len(x)}
        for p, x in self.files.items()
      ]
    if path == f"{repository}/preupload/main":
      return 200, {
        "files": [
          {
            "path": f["path"],
            "uploadMode": "lfs" if f["size"] >= self.large else "regular",
            "shouldIgnore": False,
          }
          for f in json.loads(body)["files"]
        ]
      }
    if path == f"/{self.name}.git/info/lfs/objects/batch":
      return 200, {
        "transfer": "basic",
        "objects": [
          o
          | {"actions": {"upload": {"href": f"{self.url}/objects/{o['oid']}"}}}
          for o in json.loads(body)["objects"]
        ],
      }
    if path == f"{repository}/commit/main":
      self._commit([json.loads(line) for line in body.splitlines()])
      url = f"{self.url}/{self.name}/commit/{'1' * 40}"
      return 200, {"commitUrl": url, "commitOid": "1" * 40}
    return 404, {"error": f"the stub has no {path}"}

  def _commit(self, lines):
    for line in lines:
      value = line["value"]
      if line["key"] == "file":
        assert value["encoding"] == "base64"
        self.files[value["path"]] = base64.b64decode(value["content"])
      elif line["key"] == "lfsFile":
        content = self.objects[value["oid"]]
        assert hashlib.sha256(content).hexdigest() == value["oid"]
        self.files[value["path"]] = content
      elif line["key"] == "deletedFile":
        del self.files[value["path"]]
      else:
        assert line["key"] == "header"


@contextlib.contextmanager
def running(monkeypatch):
  """Yields a `Hub` that huggingface_hub talks to in this process."""
  hub = Hub()

  class Handler(http.server.BaseHTTPRequestHandler):
    def _do(self):
      body = self.rfile.read(int(self.headers.get("content-length") or 0))
      status, values = hub.answer(
        self.command,
        urlsplit(self.path).path,
        body,
        self.headers.get("authorization", ""),
      )
      sent = json.dumps(values).encode()
      self.send_response(status)
      self.send_header("content-type", "application/json")
      self.send_header("content-length", str(len(sent)))
      self.end_headers()
      self.wfile.write(sent)

    do_GET = do_POST = do_PUT = _do  # noqa: N815

    def log_message(self, *_):
      pass

  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    # Read from the environment when huggingface_hub is imported.
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: TOKEN)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    try:
      yield hub
    finally:
      server.shutdown()
