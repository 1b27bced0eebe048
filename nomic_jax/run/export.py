# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Exports a training run to a model directory."""

from collections.abc import Callable
import functools
import json
import pathlib

from nomic_jax import families
from nomic_jax.data import manifest
from nomic_jax.errors import UserError
from nomic_jax.hub import fetch
from nomic_jax.hub import gguf_file
from nomic_jax.hub import matryoshka
from nomic_jax.hub import model_card
from nomic_jax.hub import model_directory
from nomic_jax.hub import onnx_files
from nomic_jax.hub import push
from nomic_jax.run import best as best_lib
from nomic_jax.run import checkpoint
from nomic_jax.run import models
from nomic_jax.storage import buckets
from nomic_jax.storage import places


@places.expanding("workdir", "output", "model")
def export(
  workdir: str | None,
  output: str,
  untrained: Callable[[], model_directory.ModelFiles] | None = None,
  step: str = "latest",
  card_scores: str = "",
  model: str | None = None,
  push_to_hub: str | None = None,
  private: bool = False,
  onnx: bool = False,
  int8: bool = False,
  openvino: bool = False,
  gguf: bool = False,
  dim: int | None = None,
) -> None:
  """Writes a checkpoint, or another model, as a model directory.

  Args:
    workdir: the work directory; None uses `untrained` or `model` instead.
    output: model directory to write.
    untrained: makes the model, such as that of a config whose training has not
      begun, as a baseline.
    step: the step of the checkpoint; "latest", or "best" by
      `config.checkpoint.best`.
    card_scores: the model's scores in Markdown, for its card.
    model: a model directory or Hub name to write again, with its card.
    push_to_hub: OWNER/NAME on the Hub to upload the directory to.
    private: whether a repository that is created there is private.
    onnx: whether to add an ONNX file; see `onnx_files`.
    int8: whether to add an ONNX file with 8-bit weights too.
    openvino: whether to add OpenVINO's files too.
    gguf: whether to add a GGUF file; see `gguf_file`.
    dim: number of dimensions of its vectors to keep; None keeps all.

  Raises:
    UserError: unless exactly one of workdir, untrained and model is given; if
      the work directory has no checkpoint; if `output` exists and is not an
      exported model; or if the model cannot be written in a requested format.
  """
  sources = [x for x in (workdir, untrained, model) if x is not None]
  if len(sources) != 1 or not sources[0]:
    raise UserError(
      "export: specify exactly one of --workdir, --config and --model"
    )
  if model is not None and step != "latest":
    raise UserError(
      f"--step={step}: a model directory has no checkpoints; leave it out"
    )
  for flag, given in (("int8", int8), ("openvino", openvino)):
    if given and not onnx:
      raise UserError(
        f"--{flag}: needs the ONNX file, which it converts; add --onnx"
      )
  if private and not push_to_hub:
    raise UserError("--private: has an effect only with --push_to_hub")
  if push_to_hub and buckets.is_remote(output):
    raise UserError(
      f"--push_to_hub: uploads from a local directory; --output={output} is in "
      "a bucket"
    )
  if model is not None and (fetch.find(model) / "checkpoints").is_dir():
    raise UserError(
      f"--model={model}: a work directory; specify it as --workdir"
    )
  places.check_apart(output, workdir, model)
  places.check_folder(
    output,
    f"{output}: already exists and is not an exported model; choose "
    "another --output or remove it",
    model_directory.is_one,
  )
  source, taken = model, None
  if workdir is not None:
    source, taken = _checkpoint(workdir, step)
  if source is not None:
    found, dims = models.read_model(source), matryoshka.read(fetch.find(source))
  else:
    assert untrained, "as checked above"
    found, dims = untrained(), ()
  if dim is not None:
    if found.classification_head is not None:
      raise UserError(
        "--dim: shortens vectors, but this model is a classifier; leave it out"
      )
    matryoshka.check(dim, found.architecture.output_width, dims, "--dim")
    architecture, params = matryoshka.truncated(
      found.architecture, found.params, dim
    )
    found = found._replace(architecture=architecture, params=params)
    dims = tuple(d for d in dims if d <= dim)
  if onnx:
    onnx_files.check(found, openvino)
  if gguf:
    gguf_file.check(found)
  if push_to_hub:
    push.create(push_to_hub, private)
  name = push_to_hub or pathlib.PurePath(output).name

  notes: list[str] = []

  def further(directory: pathlib.Path) -> None:
    if onnx:
      length = found.architecture.max_length
      notes.extend(onnx_files.write(directory, length, int8, openvino))
    if gguf:
      gguf_file.write(found, directory / gguf_file.NAME, name)

  model_directory.write_model(
    output,
    found.architecture,
    found.params,
    found.tokenizer_path,
    mlm_head=found.mlm_head,
    classification_head=found.classification_head,
    matryoshka_dims=dims,
    manifest=functools.partial(manifest.of_model, source, taken),
    card=(model and model_card.renamed(fetch.find(model), name))
    or model_card.text(_card(workdir, name, found, taken, card_scores)),
    further=further,
    **found.usage.to_json(),
  )
  opens = "for transformers and sentence-transformers"
  if not families.of(found.architecture).opens(found.architecture):
    opens = (
      "for nomic_jax alone: transformers has no class for this architecture"
    )
  print(f"{output}: {source or 'the untrained model'}, {opens}")
  for note in notes:
    print(f"{output}/{note}")
  if push_to_hub:
    print(f"{output}: uploaded to {push.upload(output, push_to_hub)}")


def _card(
  workdir: str | None,
  name: str,
  model: model_directory.ModelFiles,
  step: int | None,
  scores: str,
) -> model_card.Card:
  """Returns the model card, from the records in the work directory, if any."""
  card = model_card.Card(
    name,
    model.architecture,
    model.usage,
    scores=scores,
    classifier=model.classification_head is not None,
  )
  if workdir is None:
    return card
  place = matryoshka.training_of(buckets.as_path(workdir))
  if not (place / "config.json").is_file():
    return card
  config = json.loads((place / "config.json").read_text(encoding="utf-8"))
  base, data = config.get("init_from") or "", config.get("data", {})
  made_of = manifest.read(place) or {}
  source = (made_of.get("data", {}).get("config.data.path") or {}).get(
    "manifest"
  )
  while source and "input" in source.get("inputs", {}):  # mined, filtered, ...
    source = source["inputs"]["input"].get("manifest")
  arguments = (source or {}).get("arguments", {})
  optimizer = config.get("optimizer", {})
  facts = {
    "objective": config.get("loss", {}).get("name"),
    "steps": step,
    "batch size": data.get("batch_size"),
    "hard negatives per query": data.get("negatives") or None,
    "learning rate": optimizer.get("learning_rate"),
    "warm-up": optimizer.get("warmup"),
    "schedule": optimizer.get("schedule"),
    "temperature": config.get("loss", {}).get("temperature"),
    "lengths (query, document)": data.get("query_length")
    and f"{data['query_length']}, {data['document_length']} tokens",
  }
  return card._replace(
    base=base,
    licence=model_card.licence_of(_local(base)) if base else "",
    data=str(arguments.get("source") or ""),
    trained=[(k, str(v)) for k, v in facts.items() if v is not None],
  )


def _local(base: str) -> str:
  """Returns the path of the model that was trained, if it still exists."""
  try:
    return str(fetch.find(base))
  except (UserError, OSError):
    return base


def _checkpoint(workdir: str, step: str) -> tuple[str, int | None]:
  """Returns the path to read a checkpoint from, and its step.

  The path is the work directory's for the latest. The step is None if there is
  none, which the reader reports.
  """
  with buckets.errors(workdir):
    path = _of_step(workdir, step)
    location = buckets.as_path(path)
    if matryoshka.training_of(location) != location:
      return path, int(location.name)
    return path, checkpoint.latest_step(location)


def _of_step(workdir: str, step: str) -> str:
  folder = buckets.as_path(workdir) / "checkpoints"
  if step == "latest" or not folder.is_dir():
    return workdir  # the reader reports that there is none
  if step == "best":
    best = checkpoint.best(workdir)
    if best is None:
      if start := best_lib.start_of(workdir):
        raise UserError(
          f"--step=best: no checkpoint of {workdir} beat the initial "
          f"model, whose {start[0]} is {start[1]:.4g}; use --step=latest or a "
          "number to export one anyway"
        )
      raise UserError(
        f"--step=best: no checkpoint of {workdir} was saved with the metric to "
        "compare; train with --config.checkpoint.best=EVALUATOR/METRIC"
      )
    print(
      f"{workdir}: best {best.metric} was {best.value:.4g}, at step {best.step}"
    )
    step = str(best.step)
  path = folder / step
  if not (step.isdigit() and path.is_dir()):
    kept = sorted(int(p.name) for p in folder.glob("*") if p.name.isdigit())
    raise UserError(
      f"--step={step}: {workdir} has no such checkpoint; expected latest, "
      f"best or one of {', '.join(map(str, kept)) or 'none'}"
    )
  return str(path)
