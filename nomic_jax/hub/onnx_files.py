# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The files of sentence-transformers' ONNX and OpenVINO backends.

They hold the encoder only, from token ids to hidden states. Pooling, layers
after it and prompts are in the files that all backends read.

PyTorch's exporter traces transformers' model of the directory, so these files
compute what transformers computes, and exist only for architectures that it has
a class for. Batch sizes and lengths are free. Each file is run once, and one
whose vectors differ from PyTorch's is refused.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import importlib
import io
import logging
import pathlib
import tempfile
from typing import Any
import warnings

import jax
import numpy as np

from nomic_jax import families
from nomic_jax.errors import UserError
from nomic_jax.hub.model_directory import ModelFiles

# As optimum and sentence-transformers name them.
ONNX = "onnx/model.onnx"
INT8 = "onnx/model_qint8_avx512_vnni.onnx"
OPENVINO = "openvino/openvino_model.xml"

_TOLERANCE = 1e-4  # between unit vectors of the same tokens, in float32
_MAX_BYTES = 2**31 - 2**24  # of an ONNX file, less room for its graph


def check(model: ModelFiles, openvino: bool) -> None:
  """Checks that a model can be exported, before any work.

  Args:
    model: the model.
    openvino: whether OpenVINO's files are wanted too.

  Raises:
    UserError: for a classifier, an architecture without a class in
      transformers, or weights that exceed the limit of an ONNX file.
    ModuleNotFoundError: for a package of the extra.
  """
  needed = ["onnx", "onnxruntime", "onnxscript", "torch", "transformers"]
  for name in (*needed, "openvino") if openvino else needed:
    importlib.import_module(name)
  if model.classification_head is not None:
    raise UserError(
      "--onnx: the model is a classifier; expected an embedding model; leave "
      "--onnx out"
    )
  family = families.of(model.architecture)
  if not family.opens(model.architecture):
    raise UserError(
      f"--onnx: transformers, whose model is exported, has no class for this "
      f"{family.name} architecture; leave --onnx out"
    )
  size = 4 * sum(x.size for x in jax.tree.leaves(model.params))
  if size > _MAX_BYTES:
    raise UserError(
      f"--onnx: the weights have {size / 2**30:.1f} GiB in float32, but an "
      "ONNX file is limited to 2 GiB; leave --onnx out"
    )


def write(
  directory: pathlib.Path, max_length: int, int8: bool, openvino: bool
) -> list[str]:
  """Adds the files to a model directory.

  Args:
    directory: of the model, otherwise complete.
    max_length: tokens of the longest text that the model embeds.
    int8: whether to write an ONNX file with 8-bit weights too. Activations are
      quantized at run time, so no texts are needed for calibration.
    openvino: whether to write OpenVINO's files.

  Returns:
    How much the vectors of each file differ from PyTorch's, a line per file.

  Raises:
    UserError: if PyTorch cannot export the model, or if a file in float32
      computes different vectors.
  """
  encoder, names = _encoder(directory)
  (directory / ONNX).parent.mkdir()
  _export(encoder, names, directory / ONNX)
  batch, expected = _example(encoder, names, max_length)
  found = _run_onnx(directory / ONNX, batch)
  lines = [_compare(ONNX, found, expected, batch, _TOLERANCE)]
  if int8:
    _quantize(directory / ONNX, directory / INT8)
    found = _run_onnx(directory / INT8, batch)
    lines.append(_compare(INT8, found, expected, batch, np.inf))
  if openvino:
    _convert(directory / ONNX, directory / OPENVINO)
    found = _run_openvino(directory / OPENVINO, batch)
    lines.append(_compare(OPENVINO, found, expected, batch, _TOLERANCE))
  return lines


def _encoder(directory: pathlib.Path) -> tuple[Any, Sequence[str]]:
  """Returns a module from ids to hidden states, and the names of its inputs."""
  import torch
  import transformers

  with _quietly():
    model = transformers.AutoModel.from_pretrained(
      directory, dtype=torch.float32
    ).eval()
  if rope := _dynamic_rope(model.config):
    model.rotary_emb = rope
  names = ["input_ids", "attention_mask"]
  # A single type, as RoBERTa has, is no input: its index is always 0.
  if getattr(model.config, "type_vocab_size", 0) > 1:
    names.append("token_type_ids")

  class Hidden(torch.nn.Module):
    def __init__(self):
      super().__init__()
      self.model = model

    @property
    def config(self):
      return model.config

    def forward(self, *arrays):
      values = dict(zip(names, arrays, strict=True))
      return self.model(**values).last_hidden_state

  return Hidden(), names


def _dynamic_rope(config: Any) -> Any:
  """Returns a module of rotary positions with dynamic NTK scaling, or None.

  That of transformers branches on the length of the batch, which an ONNX graph
  cannot; this one computes the same with a maximum. None if the model has no
  such scaling.
  """
  import torch

  rope = getattr(config, "rope_parameters", None) or {}
  if rope.get("rope_type") != "dynamic":
    return None
  trained, factor = config.max_position_embeddings, rope["factor"]
  dims = config.head_dim

  class DynamicRope(torch.nn.Module):
    def forward(self, x, position_ids):
      length = (position_ids.max() + 1).clamp(min=trained).float()
      scale = factor * length / trained - (factor - 1)
      base = rope["rope_theta"] * scale ** (dims / (dims - 2))
      powers = torch.arange(0, dims, 2, dtype=torch.float32) / dims
      angles = position_ids[..., None].float() / base**powers
      angles = torch.cat((angles, angles), dim=-1)
      return angles.cos().to(x.dtype), angles.sin().to(x.dtype)

  return DynamicRope()


def _export(encoder: Any, names: Sequence[str], path: pathlib.Path) -> None:
  """Writes an encoder to an ONNX file."""
  import torch

  # One tensor passed several times would become a single input.
  arrays = tuple(torch.ones(2, 8, dtype=torch.long) for _ in names)
  axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
  try:
    with torch.no_grad(), _quietly():
      torch.onnx.export(
        encoder,
        arrays,
        path,
        input_names=names,
        output_names=["last_hidden_state"],
        dynamo=True,
        dynamic_shapes=((axes,) * len(names),),
        external_data=False,
        verbose=False,
      )
  except torch.onnx.OnnxExporterError as e:
    reason = str(e.__cause__ or e).strip().partition("\n")[0]
    raise UserError(
      f"--onnx: PyTorch {torch.__version__} cannot export this model: "
      f"{reason}; leave --onnx out"
    ) from e


def _quantize(source: pathlib.Path, path: pathlib.Path) -> None:
  """Writes an ONNX file with int8 weights, as optimum's avx512_vnni does."""
  from onnxruntime import quantization

  with tempfile.TemporaryDirectory() as folder, _quietly():
    # Constants are folded first, as a weight that is transposed by the graph
    # would stay in float32.
    folded = pathlib.Path(folder) / "model.onnx"
    quantization.quant_pre_process(source, folded, skip_symbolic_shape=True)
    quantization.quantize_dynamic(
      folded,
      path,
      weight_type=quantization.QuantType.QInt8,
      per_channel=True,
      extra_options={"WeightSymmetric": True, "ActivationSymmetric": False},
    )


def _convert(source: pathlib.Path, path: pathlib.Path) -> None:
  """Writes OpenVINO's files of an ONNX file, in float32."""
  import openvino

  path.parent.mkdir()
  model = openvino.Core().read_model(source)
  openvino.save_model(model, path, compress_to_fp16=False)


def _example(
  encoder: Any, names: Sequence[str], max_length: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
  """Returns a padded batch of random texts, and PyTorch's hidden states."""
  import torch

  lengths = np.minimum([20, 1, 9, 13], max_length)
  shape = len(lengths), lengths.max()
  rng = np.random.default_rng(0)
  mask = np.arange(shape[1]) < lengths[:, None]
  ids = rng.integers(0, encoder.config.vocab_size, shape)
  batch = {
    "input_ids": np.where(mask, ids, encoder.config.pad_token_id or 0),
    "attention_mask": mask.astype(np.int64),
    "token_type_ids": np.zeros(shape, np.int64),
  }
  batch = {name: batch[name] for name in names}
  with torch.no_grad():
    hidden = encoder(*(torch.from_numpy(batch[name]) for name in names))
  return batch, hidden.numpy()


def _run_onnx(path: pathlib.Path, batch: dict[str, np.ndarray]) -> np.ndarray:
  import onnxruntime

  session = onnxruntime.InferenceSession(
    path, providers=["CPUExecutionProvider"]
  )
  return np.asarray(session.run(["last_hidden_state"], batch)[0])


def _run_openvino(
  path: pathlib.Path, batch: dict[str, np.ndarray]
) -> np.ndarray:
  import openvino

  # Otherwise it multiplies in bfloat16 on processors that can.
  full = {"INFERENCE_PRECISION_HINT": "f32"}
  model = openvino.compile_model(path, "CPU", full)
  return model(batch)["last_hidden_state"]


def _compare(
  name: str,
  found: np.ndarray,
  expected: np.ndarray,
  batch: dict[str, np.ndarray],
  tolerance: float,
) -> str:
  """Returns a line on the difference of pooled, normalized hidden states."""

  def vectors(hidden):
    pooled = (hidden * batch["attention_mask"][..., None]).sum(1)
    return pooled / np.linalg.norm(pooled, axis=-1, keepdims=True)

  found, expected = vectors(found), vectors(expected)
  error = np.abs(found - expected).max()
  if not error <= tolerance:  # nan included
    raise UserError(
      f"--onnx: vectors of {name} differ from PyTorch's by {error:.1e}, more "
      f"than {tolerance:.0e}; leave --onnx out"
    )
  cosine = (found * expected).sum(-1).min()
  return (
    f"{name}: differs from PyTorch by at most {error:.0e}, cosine at least "
    f"{cosine:.4f}, for unit vectors of random tokens"
  )


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
  """Hides progress bars and notes of PyTorch, transformers and onnxruntime."""
  loggers = [logging.getLogger(name) for name in ("", "torch.onnx")]
  levels = [logger.level for logger in loggers]
  for logger in loggers:
    logger.setLevel(logging.ERROR)
  try:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
      with contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
  finally:
    for logger, level in zip(loggers, levels, strict=True):
      logger.setLevel(level)
