# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax export`."""

import functools
from typing import Annotated

from nomic_jax.cli.flags import ConfigFlags
from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import NO_FLAGS
from nomic_jax.cli.flags import Path


def export(
  *,
  workdir: Path | None = None,
  step: str = "latest",
  output: Path,
  config: ConfigFlags = NO_FLAGS,
  model: Path | None = None,
  push_to_hub: Annotated[str | None, Flag("OWNER/NAME")] = None,
  private: bool = False,
  onnx: bool = False,
  int8: bool = False,
  openvino: bool = False,
  gguf: bool = False,
  dim: int | None = None,
) -> None:
  """Exports a trained model to a model directory, to publish and to serve.

  Args:
    workdir: work directory of the training run
    step: checkpoint to export: latest, a number, or best (the one with the
      best value of the metric config.checkpoint.best)
    output: model directory to write
    config: config whose untrained model to export, instead of --workdir: a
      config file, optionally followed by :ARG, which is passed to its
      get_config; for example configs/mlm.py:quickstart
    model: model directory or Hub name to export again, instead of --workdir;
      for example, OUTPUT/model of nomic-jax adapt, to publish it or to add a
      GGUF file
    push_to_hub: Hugging Face Hub repository to upload the directory to; it is
      created if there is none
    private: make a new repository private
    onnx: add onnx/model.onnx, for backend="onnx" of sentence-transformers
    int8: with --onnx, add an ONNX file with 8-bit weights
    openvino: with --onnx, add openvino/, for backend="openvino"
    gguf: add model-f32.gguf, for llama.cpp
    dim: number of dimensions of its vectors to keep
  """
  from nomic_jax.run import export as exporting

  untrained = functools.partial(_untrained, config) if config else None
  exporting.export(
    workdir,
    output,
    untrained,
    step,
    model=model,
    push_to_hub=push_to_hub,
    private=private,
    onnx=onnx,
    int8=int8,
    openvino=openvino,
    gguf=gguf,
    dim=dim,
  )


def _untrained(given: ConfigFlags):
  """Returns the `ModelFiles` that the training run of a config starts from."""
  from flax.linen import meta
  import jax

  from nomic_jax import losses
  from nomic_jax import program
  from nomic_jax import step
  from nomic_jax.cli import config_flags
  from nomic_jax.hub import model_directory
  from nomic_jax.run import resolve
  from nomic_jax.run import start as start_lib

  config = config_flags.load(given)
  start = start_lib.find_start(config)
  config, usage = resolve.resolve(config, start)
  loss = losses.make(
    config.loss, program.make_encoder(config, start.architecture)
  )
  params = meta.unbox(loss.init(step.params_key(config.seed)))
  params = jax.device_get(start_lib.merged(params, start.params or {}))
  return model_directory.ModelFiles(
    architecture=start.architecture,
    params=params["encoder"],
    mlm_head=params.get("mlm_head"),
    tokenizer_path=start.tokenizer,
    usage=usage,
    classification_head=params.get("classification_head"),
  )
