# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Exports a training to a model directory."""

from collections.abc import Callable
import functools
import pathlib

from nomic_jax import families
from nomic_jax.data import manifest
from nomic_jax.errors import UserError
from nomic_jax.hub import matryoshka
from nomic_jax.hub import model_directory
from nomic_jax.run import checkpoint
from nomic_jax.run import models
from nomic_jax.storage import buckets
from nomic_jax.storage import places


@places.expanding("workdir", "output")
def export(
  workdir: str | None,
  output: str,
  untrained: Callable[[], model_directory.ModelFiles] | None = None,
  step: str = "latest",
) -> None:
  """Writes a checkpoint, or an untrained model, as a model directory.

  Args:
    workdir: of a training; None uses `untrained` instead.
    output: model directory to write.
    untrained: makes the model, such as that of a config whose training has not
      begun, as a baseline.
    step: of the checkpoint; "latest", or "best" by `config.checkpoint.best`.

  Raises:
    UserError: unless exactly one of workdir and untrained is given, if the work
      directory has no checkpoint, or if `output` is something else.
  """
  if (workdir is None) == (untrained is None):
    raise UserError("export: specify either --workdir or --config, not both")
  places.check_apart(output, workdir)
  places.check_folder(
    output,
    f"{output}: already exists and is not an exported model; choose "
    "another --output or remove it",
    _is_export,
  )
  if workdir is not None:
    source, taken = _checkpoint(workdir, step)
    model = models.read_model(source)
    dims = matryoshka.read(source)
  else:
    model = untrained()
    source, taken, dims = "the untrained model", None, ()
  model_directory.write_model(
    output,
    model.architecture,
    model.params,
    model.tokenizer_path,
    mlm_head=model.mlm_head,
    classification_head=model.classification_head,
    matryoshka_dims=dims,
    manifest=functools.partial(
      manifest.of_model, source if workdir is not None else None, taken
    ),
    **model.usage.to_json(),
  )
  opens = "for transformers and sentence-transformers"
  if not families.of(model.architecture).opens(model.architecture):
    opens = (
      "for nomic_jax alone: transformers has no class for this architecture"
    )
  print(f"{output}: {source}, {opens}")


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
      raise UserError(
        f"--step=best: no checkpoint of {workdir} was saved with the metric to "
        "compare; train with --config.checkpoint.best=EVALUATOR/METRIC"
      )
    print(
      f"{workdir}: {best.metric} was best, {best.value:.4g}, at step "
      f"{best.step}"
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


def _is_export(path: pathlib.Path) -> bool:
  return all(
    (path / name).is_file() for name in ("model.safetensors", "modules.json")
  )
