# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""ONNX and OpenVINO files of exported models, each run by its own runtime."""

import sys

import numpy as np
import pytest
from support import random_models
from support import tiny
import torch
import transformers

import nomic_jax
from nomic_jax.errors import UserError
from nomic_jax.hub import model_directory
from nomic_jax.hub import onnx_files
from nomic_jax.main import main
from nomic_jax.model.head import Module

_models = random_models.models

# Dynamic NTK scaling, which batches of more than 16 tokens need; also another
# pooling, and a layer after it.
DYNAMIC = tiny.ARCHITECTURE.with_rope(factor=2.0, trained_length=16).with_head(
  pooling="cls", modules=(Module("dense", 8), Module("normalize", 8))
)


@pytest.fixture(
  name="served", scope="module", params=(*random_models.FAMILIES, "dynamic")
)
def _served(request, models, tmp_path_factory):
  """A model exported with its ONNX files."""
  for package in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(package)
  place = tmp_path_factory.mktemp("served")
  if request.param == "dynamic":
    model = random_models.write(place / "dynamic", DYNAMIC)
  else:
    model = models[request.param]
  nomic_jax.export(model=model, output=place / "m", onnx=True, int8=True)
  return place / "m"


def _batches(pad):
  """Token ids and masks of other shapes than the exporter has traced."""
  rng = np.random.default_rng(0)
  for lengths in ([1], [7], [30, 3, 1, 17, 29]):
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    ids = rng.integers(5, 90, mask.shape)
    yield np.where(mask, ids, pad), mask.astype(np.int64)


def _run(path, ids, mask):
  import onnxruntime

  session = onnxruntime.InferenceSession(
    str(path), providers=["CPUExecutionProvider"]
  )
  arrays = {
    "input_ids": ids,
    "attention_mask": mask,
    "token_type_ids": np.zeros_like(ids),
  }
  names = [port.name for port in session.get_inputs()]
  assert [port.name for port in session.get_outputs()] == ["last_hidden_state"]
  return session.run(None, {name: arrays[name] for name in names})[0]


def _vectors(opened, hidden, mask):
  """The vectors that sentence-transformers' other modules compute."""
  features = {
    "token_embeddings": torch.tensor(hidden),
    "attention_mask": torch.tensor(mask),
  }
  for module in list(opened)[1:]:
    features = module(features)
  return features["sentence_embedding"].detach().numpy()


@pytest.mark.slow
def test_onnx_computes_what_pytorch_computes(served):
  import onnx
  import sentence_transformers

  opened = sentence_transformers.SentenceTransformer(str(served), device="cpu")
  theirs = transformers.AutoModel.from_pretrained(served).eval()
  for ids, mask in _batches(theirs.config.pad_token_id or 0):
    with torch.no_grad():
      hidden = theirs(
        input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask)
      ).last_hidden_state.numpy()
    expected = _vectors(opened, hidden, mask)
    found = _vectors(opened, _run(served / onnx_files.ONNX, ids, mask), mask)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    small = _vectors(opened, _run(served / onnx_files.INT8, ids, mask), mask)
    cosine = (small * expected).sum(-1) / (
      np.linalg.norm(small, axis=-1) * np.linalg.norm(expected, axis=-1)
    )
    assert cosine.min() > 0.98
    assert np.abs(small - expected).max() > 1e-4  # control: it is quantized
  files = {path.name for path in (served / "onnx").iterdir()}
  assert files == {"model.onnx", "model_qint8_avx512_vnni.onnx"}
  # No table or matrix of weights is left in float32.
  for weight in onnx.load(served / onnx_files.INT8).graph.initializer:
    large = len(weight.dims) > 1 and min(weight.dims) > 1
    assert not (large and weight.data_type == onnx.TensorProto.FLOAT), weight


@pytest.mark.slow
def test_sentence_transformers_looks_for_these_files(served):
  from sentence_transformers.backend import utils

  for given in ({}, {"file_name": onnx_files.INT8}):
    export, found = utils.backend_should_export(
      served, True, dict(given), "model.onnx", "*.onnx", "ONNX"
    )
    assert not export
    file = served / found["subfolder"] / found["file_name"]
    assert file == served / given.get("file_name", onnx_files.ONNX)
    assert file.is_file()


@pytest.mark.slow
def test_openvino_computes_what_onnx_computes(models, tmp_path, capsys):
  for package in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(package)
  openvino = pytest.importorskip("openvino")
  out = tmp_path / "m"
  nomic_jax.export(model=models["bert"], output=out, onnx=True, openvino=True)
  assert f"{out}/{onnx_files.OPENVINO}: differs" in capsys.readouterr().out
  assert (out / "openvino/openvino_model.bin").is_file()
  run = openvino.compile_model(
    out / onnx_files.OPENVINO, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
  )
  for ids, mask in _batches(0):
    arrays = {"input_ids": ids, "attention_mask": mask}
    arrays["token_type_ids"] = np.zeros_like(ids)
    expected = _run(out / onnx_files.ONNX, ids, mask)
    real = mask.astype(bool)
    np.testing.assert_allclose(
      run(arrays)["last_hidden_state"][real], expected[real], rtol=0, atol=1e-5
    )


@pytest.mark.slow
def test_a_file_that_computes_other_vectors_is_refused(
  models, tmp_path, monkeypatch, capsys
):
  for package in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(package)
  # As happened: one tensor for all inputs, so that they become one.
  ones = torch.ones(2, 8, dtype=torch.long)
  monkeypatch.setattr(torch, "ones", lambda *_, **__: ones)
  given = ["export", f"--model={models['bert']}", f"--output={tmp_path}/m"]
  assert main([*given, "--onnx"]) == 2
  said = capsys.readouterr().err
  assert "onnx/model.onnx differ from PyTorch's" in said
  assert said.count("\n") == 1
  assert not (tmp_path / "m").exists()


def _pretend_to_have(monkeypatch):
  """Lets `check` find all packages, where they are not installed too."""
  for name in ("onnx", "onnxruntime", "onnxscript", "openvino"):
    monkeypatch.setitem(sys.modules, name, sys)


@pytest.mark.parametrize(
  "case, message",
  [
    ("interleaved", "no class for this nomic_bert"),
    ("large", "limited to 2 GiB"),
    ("classifier", "is a classifier"),
  ],
)
def test_onnx_of_models_that_cannot_be_exported(
  case, message, models, monkeypatch
):
  _pretend_to_have(monkeypatch)
  files = model_directory.read_model(models["nomic_bert"])
  onnx_files.check(files, True)  # control
  if case == "interleaved":
    a = files.architecture.with_rope(interleaved=True)
    files = files._replace(architecture=a)
  elif case == "large":
    monkeypatch.setattr(onnx_files, "_MAX_BYTES", 1000)
  else:
    files = files._replace(classification_head={})
  with pytest.raises(UserError, match=message):
    onnx_files.check(files, True)


@pytest.mark.parametrize(
  "package, flags, extra",
  [
    ("onnx", ["--onnx"], "onnx"),
    ("onnxruntime", ["--onnx"], "onnx"),
    ("onnxscript", ["--onnx", "--int8"], "onnx"),
    ("openvino", ["--onnx", "--openvino"], "openvino"),
  ],
)
def test_a_missing_package_names_its_extra(
  package, flags, extra, models, tmp_path, monkeypatch, capsys
):
  _pretend_to_have(monkeypatch)
  monkeypatch.setitem(sys.modules, package, None)
  given = ["export", f"--model={models['bert']}", f"--output={tmp_path}/m"]
  assert main([*given, *flags]) == 2
  assert capsys.readouterr().err == (
    f"nomic-jax: error: {package} is not installed; pip install "
    f"'nomic_jax[{extra}]'\n"
  )
  assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("flag", ["--int8", "--openvino"])
def test_files_made_from_the_onnx_file_need_it(flag, models, capsys):
  assert main(["export", f"--model={models['bert']}", "--output=o", flag]) == 2
  assert f"{flag}: needs the ONNX file, which it converts; add --onnx" in (
    capsys.readouterr().err
  )
