# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Adapts a trained model to the user's text, and measures the gain.

The steps and their outputs; a step whose output exists is skipped:

  data/         the rows, prepared; some are held out
  held_out/     the tasks of the comparison: the held-out queries and all
                documents, as a BEIR folder, or texts with their classes
  before.json   scores of the model, BM25 and a fusion of both
  trial/        training rows minus a development split (data/, dev/), mined
                negatives, and two short training runs that decide whether these
                help
  work/         the training run, which stops when the development rows show no
                further gain
  after.json    the same scores with the adapted model
  model/        the model, if it improved
  report.md     the report; report.html also has the training curves

The held-out rows are used only to decide whether a model is exported.
"""

from collections.abc import Sequence
import os
import pathlib
from typing import Any

import ml_collections
import tokenizers

from nomic_jax import training
from nomic_jax.adapting import checks
from nomic_jax.adapting import choices
from nomic_jax.adapting import given as given_lib
from nomic_jax.adapting import inputs
from nomic_jax.adapting import objectives
from nomic_jax.adapting.folder import Folder
from nomic_jax.cli import config_flags
from nomic_jax.cli import shipped_configs
from nomic_jax.curate import dev
from nomic_jax.data import dataset
from nomic_jax.data import loader
from nomic_jax.errors import UserError
from nomic_jax.evaluation import held_out as held_out_lib
from nomic_jax.hub import fetch
from nomic_jax.hub import model_card
from nomic_jax.hub import model_directory
from nomic_jax.report import adaptation as report_lib
from nomic_jax.report import evaluate
from nomic_jax.report import report as page
from nomic_jax.report import tables
from nomic_jax.run import best as best_lib
from nomic_jax.run import checkpoint
from nomic_jax.run import export
from nomic_jax.run import models
from nomic_jax.run import sizes
from nomic_jax.storage import hub_cache
from nomic_jax.storage import places
from nomic_jax.storage.files import read_json
from nomic_jax.storage.files import replacing
from nomic_jax.storage.values import JsonObject
from nomic_jax.text import tokenizer as tokenizer_lib

_DEV_ROWS = 200  # or a tenth of the training rows, if that is fewer
_DEV_DOCUMENTS = 2000  # searched during training
_PATIENCE = 3  # evaluations
_BM25 = "bm25"


@places.expanding("model", "source", "output")
def adapt(
  model: str,
  source: str,
  output: str | os.PathLike,
  *,
  negatives: int | None = None,
  epochs: float | None = None,
  batch_size: int | None = None,
  learning_rate: float | None = None,
  held_out: float | None = None,
  export_start: bool = False,
  overrides: Sequence[str] = (),
  **reading: Any,
) -> JsonObject:
  """Adapts `model` to the rows of `source`.

  Resumes if `output` holds results of an interrupted run.

  Args:
    model: a model directory or a Hub name.
    source: what `prepare` reads, or a data directory.
    output: folder of all results.
    negatives: hard negatives for each query, or 0; None: a trial decides.
    epochs: passes over the training rows.
    batch_size: pairs in a step.
    learning_rate: peak of the schedule.
    held_out: fraction of the rows to hold out; None: see `splits.share_of`.
    export_start: whether to write the original model if it did not improve.
    overrides: further "--config.KEY=VALUE" of configs/adapt.py.
    **reading: arguments of `prepare` that determine how the source is read.

  Returns:
    {"improved": bool, "verdict": one line, "scores": as from
    `report.evaluate.evaluate`, "model": path of the exported model, or ""}.

  Raises:
    UserError: for data or a model that cannot be used, in most cases before
      training starts.
  """
  checks.numbers(
    negatives=negatives,
    epochs=epochs,
    batch_size=batch_size,
    learning_rate=learning_rate,
    held_out=held_out,
  )
  given = {
    "epochs": epochs,
    "batch_size": batch_size,
    "learning_rate": learning_rate,
  }
  given_lib.check_fields(overrides, given)
  folder = Folder(pathlib.Path(output), model, source)
  reading = {k: v for k, v in reading.items() if v is not None and v != ()}
  given_lib.check_reading(source, held_out, reading)
  fields = {
    "epochs": epochs,
    "data.batch_size": batch_size,
    "optimizer.learning_rate": learning_rate,
  }
  flags = [f"--config.{k}={v}" for k, v in fields.items() if v is not None]
  flags += overrides
  folder.claim(
    {"negatives": negatives, "held_out": held_out, "flags": flags} | reading
  )
  sizes.check_fits(fetch.find(model), sizes.memory())
  files = models.read_model(model)
  files.architecture.head.check_one_vector()
  words = tokenizer_lib.load(files.tokenizer_path)
  folder.check_inputs(inputs.fingerprints(folder, files, words))
  plain = folder.path("trial", "data")

  with folder.step("prepare", "prepare the rows and hold some out"):
    data = inputs.prepare(folder, files.tokenizer_path, held_out, reading)
    checks.enough(source, data)
    objective = objectives.of(data)
    given_lib.check_negatives(objective, negatives)
    _config(folder, objective, flags)  # raises for flags that do not fit
    split = dev.split(data, plain, _dev_rows(data), objective.turn)
    checks.rows(source, checks.sample(plain), objective.kind, words)
    tasks = objectives.tasks(objective, data, folder.path("held_out"))
    if objective.searches:
      held_out_lib.write(
        plain, folder.path("trial", "dev"), most=_DEV_DOCUMENTS
      )
    folder.note(
      f"{objective.kind}: {split['train']:,} rows to train on, "
      f"{split['test']:,} for decisions during the training, "
      f"{len(dataset.open_split(data, 'test')):,} for the comparison"
    )
  with folder.step("before", "score the model, BM25 and their fusion"):
    before = _score(folder, "before.json", tasks, {report_lib.START: model})
    if note := checks.decides(source, before):
      folder.note(note)
  with folder.step("sizes", "choose the sizes"):
    overriding = flags
    chosen = choices.of_sizes(
      folder,
      plain,
      files,
      words,
      split["train"],
      lambda more: _config(folder, objective, [*more, *overriding]),
    )
    flags = [f"--config.{k}={v}" for k, (v, _) in chosen.items()] + flags

    def configured(more: Sequence[str]) -> ml_collections.ConfigDict:
      return _config(folder, objective, [*flags, *more])

    steps, every = _tell_sizes(folder, configured([]), chosen, words)
  path, count = plain, 0
  if objective.mines:
    with folder.step("trial", "try hard negatives on training rows"):
      path, count = choices.of_negatives(
        folder, model, plain, negatives, steps, objective.best, configured
      )
      folder.choose("data.negatives", str(count))
  with folder.step("train", "train"):
    evaluator = objective.best.partition("/")[0]
    if not folder.path("after.json").is_file():
      training.train(
        configured(
          [
            f"--config.data.path={path}",
            f"--config.data.negatives={count}",
            f"--config.evaluators.{evaluator}.every={every}",
          ]
        ),
        str(folder.path("work")),
      )
  with folder.step("after", "score the adapted model"):
    work = folder.path("work")
    best = checkpoint.best(work)
    step = best.step if best else checkpoint.latest_step(work)
    adapted = {report_lib.ADAPTED: str(work / "checkpoints" / str(step))}
    after = _score(
      folder, "after.json", tasks, {report_lib.START: model} | adapted
    )
    verdict = report_lib.verdict(after)
    if best is None:
      start = best_lib.start_of(work)
      figure = f" ({start[0]} {start[1]:.3f})" if start else ""
      folder.note(
        "no checkpoint was better than the original model on the development "
        f"rows{figure}; the last one is used for the comparison"
      )
  improved = best is not None and report_lib.gain(after).value > 0
  with folder.step("export", "export and report"):
    exported = _export(folder, after, improved, export_start, files)
    _report(folder, after, verdict, exported)
  print("\n".join(["", *tables.text(after), "", verdict]))
  if exported:
    print(f"{exported}: the {'adapted' if improved else 'given'} model")
  else:
    why = (
      "training did not improve it"
      if best
      else "no checkpoint was better than the original on the development rows"
    )
    print(
      f"no model was written, since {why}. --export_start "
      f"writes the original model to {folder.path('model')}; nomic-jax export "
      f"--workdir={folder.path('work')} exports the trained one anyway"
    )
  print(f"{folder.path('report.md')}: the report")
  return {
    "improved": improved,
    "verdict": verdict,
    "scores": after,
    "model": exported,
  }


def _dev_rows(data: pathlib.Path) -> int:
  rows = len(dataset.open_split(data, "train"))
  return max(min(rows // 10, _DEV_ROWS), 10)


def _score(
  folder: Folder, name: str, tasks: Sequence[str], named: dict[str, str]
) -> JsonObject:
  """Scores models, BM25 and their hybrids on the held-out rows."""
  file = folder.path(name)
  if file.is_file():
    known = read_json(file)
    paths = {m["name"]: m["path"] for m in known["models"]}
    # Another checkpoint may be the best by now.
    if all(paths.get(n) == path for n, path in named.items()):
      print(f"{file}: already there")
      return known
  return evaluate.evaluate(
    [f"{n}={path}" for n, path in named.items()],
    tasks,
    str(file),
    hybrid=_BM25,
    known_from=[str(folder.path("before.json"))],
  )


def _config(
  folder: Folder, objective: objectives.Objective, flags: Sequence[str]
) -> ml_collections.ConfigDict:
  """Returns the config of a training run; later flags override earlier ones."""
  if any(flag.startswith("--config=") for flag in flags):
    raise UserError(
      f"--config=FILE: adapt always trains with {objective.config}; set single "
      "fields of it, such as --config.loss.temperature=0.02, or use nomic-jax "
      "train"
    )
  if any(flag.startswith("--config.steps=") for flag in flags):
    flags = [f for f in flags if not f.startswith("--config.epochs=")]
  model = folder.model
  start = model if hub_cache.is_hub_name(model) else os.path.abspath(model)
  evaluator = objective.best.partition("/")[0]
  own = {
    "init_from": start,
    "data.path": folder.path("trial", "data"),
    f"evaluators.{evaluator}.every": 1,
    "checkpoint.best": objective.best,
    "checkpoint.keep": 1,
    "checkpoint.patience": _PATIENCE,
  }
  if objective.searches:
    own["evaluators.retrieval.tasks"] = folder.path("trial", "dev")
  return config_flags.load(
    [
      f"--config={shipped_configs.find(objective.config)}",
      *(f"--config.{k}={v}" for k, v in own.items()),
      *flags,
    ]
  )


def _tell_sizes(
  folder: Folder,
  config: ml_collections.ConfigDict,
  chosen: dict[str, choices.Chosen],
  words: tokenizers.Tokenizer,
) -> tuple[int, int]:
  """Prints the chosen sizes.

  Returns the number of training steps, and of steps between evaluations.
  """
  steps = loader.with_steps(config, words).steps
  every = sizes.evaluate_every(steps)
  for key, (_, why) in chosen.items():
    if key == "epochs" and config.steps:
      continue  # steps are set instead
    value = config
    for part in key.split("."):
      value = value[part]
    folder.choose(key, f"{value:g} {why}")
  o = config.optimizer
  folder.choose(
    "optimizer.learning_rate",
    f"{o.learning_rate:g}, warm-up {o.warmup}, {o.schedule}",
  )
  folder.choose("loss", config.loss.name)
  folder.choose("steps", f"{steps}, evaluated every {every}")
  return steps, every


def _export(
  folder: Folder,
  after: JsonObject,
  improved: bool,
  export_start: bool,
  files: model_directory.ModelFiles,
) -> str:
  """Writes model/ and returns its path, or "" if no model is written."""
  place = folder.path("model")
  if improved:
    export.export(
      str(folder.path("work")),
      str(place),
      step="best",
      card_scores=tables.markdown(after, level=3),
    )
  elif export_start:
    card = model_card.Card(
      place.name,
      files.architecture,
      files.usage,
      folder.model,
      model_card.licence_of(fetch.find(folder.model)),
    )
    model_directory.write_model(
      place,
      files.architecture,
      files.params,
      files.tokenizer_path,
      mlm_head=files.mlm_head,
      card=model_card.text(card),
      **files.usage.to_json(),
    )
  else:
    return ""
  return str(place)


def _report(
  folder: Folder, after: JsonObject, verdict: str, exported: str
) -> None:
  report = report_lib.Report(
    folder.model,
    folder.source,
    after,
    folder.chosen,
    folder.notes,
    folder.minutes,
    verdict,
    exported,
  )
  with replacing(folder.path("report.md")) as temporary:
    temporary.write_text(report_lib.markdown(report), encoding="utf-8")
  page.report(
    [f"training={folder.path('work')}"],
    str(folder.path("after.json")),
    str(folder.path("report.html")),
  )
