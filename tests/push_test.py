# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`export --push_to_hub`, against a server that receives the files."""

import pathlib

import huggingface_hub
from huggingface_hub import constants
import pytest
from support import small_data
from support import stub_hub
import yaml

from nomic_jax.main import main

NAME = "me/my-model"


@pytest.fixture(name="hub")
def _hub(monkeypatch):
  with stub_hub.running(monkeypatch) as hub:
    yield hub


@pytest.fixture(name="export", scope="module")
def _export(tmp_path_factory):
  folder = tmp_path_factory.mktemp("push")
  small_data.make(folder)

  def run(*flags, name=NAME):
    return main(
      [
        "export",
        small_data.config("contrastive"),
        *small_data.TINY,
        f"--config.data.path={folder}/pairs",
        f"--output={folder}/model",
        *([f"--push_to_hub={name}"] if name else []),
        *flags,
      ]
    )

  run.output = folder / "model"
  return run


def _local(folder: pathlib.Path) -> dict[str, bytes]:
  return {
    str(p.relative_to(folder)): p.read_bytes()
    for p in folder.rglob("*")
    if p.is_file()
  }


def test_the_repository_has_the_files_of_the_directory(hub, export, capsys):
  assert export() == 0
  assert capsys.readouterr().out.splitlines()[-1] == (
    f"{export.output}: uploaded to {hub.url}/{NAME}"
  )
  local = _local(export.output)
  local.pop("reproduce.json")  # may have paths of this machine, stays here
  assert hub.files == local and "model.safetensors" in local
  assert hub.private is False
  card = hub.files["README.md"].decode()
  assert f'SentenceTransformer("{NAME}")' in card
  assert yaml.safe_load(card.split("---\n")[1])["library_name"]


def test_no_file_of_an_earlier_model_remains(hub, export):
  hub.private, hub.name = False, NAME
  hub.files |= {
    "onnx/model.onnx": b"old",
    "pytorch_model.bin": b"old",
    "3_Dense/model.safetensors": b"old",
    "figure.png": b"mine",
  }
  assert export() == 0
  local = _local(export.output)
  local.pop("reproduce.json")
  assert hub.files == local | {"figure.png": b"mine"}


def test_large_files_are_uploaded_by_git_lfs(hub, export, monkeypatch):
  # Without hf_xet, whose servers are not those of the Hub.
  monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
  hub.large = 10_000
  assert export("--private") == 0
  weights = (export.output / "model.safetensors").read_bytes()
  assert hub.files["model.safetensors"] == weights
  assert len(hub.objects) >= 1 and hub.private is True
  assert any("lfs/objects/batch" in line for line in hub.asked)


@pytest.mark.parametrize(
  "path, status, message",
  [
    ("/api/repos/create", 403, "the token may not write there"),
    ("/api/repos/create", 401, "the token is not valid"),
    ("/api/models/me/my-model/preupload", 403, "the model is complete in"),
    ("/api/models/me/my-model/commit", 400, "the Hub answered 400"),
  ],
)
def test_what_the_hub_refuses_is_one_line(
  hub, export, path, status, message, capsys
):
  hub.status[path] = status
  assert export() == 2
  said = capsys.readouterr().err
  assert message in said and f"--push_to_hub={NAME}" in said
  assert said.startswith("nomic-jax: error: ") and said.count("\n") == 1
  assert "not you" in said  # as the Hub says it


def test_a_public_repository_is_not_filled_with_a_private_model(
  hub, export, capsys
):
  hub.private = False
  assert export("--private") == 2
  assert "exists and is public" in capsys.readouterr().err
  assert not hub.files


def test_without_token_or_network_nothing_is_exported(
  hub, export, capsys, monkeypatch
):
  def never(*args, **kwargs):
    raise AssertionError("exported")

  monkeypatch.setattr("nomic_jax.hub.model_directory.write_model", never)
  assert export(name="mine") == 2
  assert "expected OWNER/NAME" in capsys.readouterr().err
  assert export("--private", name=None) == 2
  assert "only with --push_to_hub" in capsys.readouterr().err
  with monkeypatch.context() as m:
    m.setattr(huggingface_hub, "get_token", lambda: None)
    assert export() == 2
    assert "no token" in capsys.readouterr().err
  with monkeypatch.context() as m:
    m.setattr(constants, "HF_HUB_OFFLINE", True)
    assert export() == 2
    assert "HF_HUB_OFFLINE=1 forbids it" in capsys.readouterr().err
  with monkeypatch.context() as m:
    m.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert export() == 2
    said = capsys.readouterr().err
    assert "cannot upload" in said and said.count("\n") == 1
  assert not hub.asked  # nothing reached the server
