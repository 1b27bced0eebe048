# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The `nomic-jax` command: one subcommand per job, each a thin call.

Nothing heavy is imported before a job starts, so --help answers at once.
"""

import argparse
import logging
import os
import select
import sys
from typing import Sequence

from nomic_jax.cli import command_line
from nomic_jax.cli import flags
from nomic_jax.errors import RESUME
from nomic_jax.errors import Stopped
from nomic_jax.errors import UserError


# Modules that only some jobs need, and the extra of setup.cfg they come with.
_EXTRAS = {
    "bm25s": "eval", "pytrec_eval": "eval", "sklearn": "eval",
    "datasets": "data", "zstandard": "data", "mteb": "mteb",
    "rensa": "curate", "py3langid": "curate",
    "matplotlib": "plot", "tensorboardX": "tensorboard", "wandb": "wandb",
}


# Jobs that load a model, and so compile the same programs again and again.
_EMBED = ("embed", "evaluate", "search", "filter", "mine", "teach")


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one job; returns the exit status."""
  argv = list(sys.argv[1:] if argv is None else argv)
  command_line.print_anything()
  # A failed checkpoint is one line of ours; asyncio logs its exception again
  # whenever it is collected, perhaps after the training has ended.
  logging.getLogger("asyncio").setLevel(logging.CRITICAL)
  try:
    parser, jobs = flags.parser()
    command_line.check_flags(argv, jobs)
    arguments, rest = parser.parse_known_args(argv)
    rest = command_line.joined(rest)
    command_line.check_rest(rest, arguments.command)
    if rest or jobs[arguments.command].config == "required":
      from nomic_jax.cli import config_flags

      arguments.given = rest
      arguments.config = config_flags.load(rest)
    if arguments.command in _EMBED:
      command_line.keep_compilations()
    with command_line.warnings_in_a_line():
      _RUNS[arguments.command](arguments)
    sys.stdout.flush()
  except UserError as e:
    line = " ".join(str(e).splitlines())
    print(f"nomic-jax: error: {line}", file=sys.stderr)
    return 2
  except Stopped as e:
    print(f"nomic-jax: stopped: {e}", file=sys.stderr)
    return RESUME
  except ModuleNotFoundError as e:
    missing = (e.name or "").partition(".")[0]
    if missing not in _EXTRAS:
      raise
    print(f"nomic-jax: error: {missing} is not installed; pip install "
          f"'nomic_jax[{_EXTRAS[missing]}]' brings it", file=sys.stderr)
    return 2
  except BrokenPipeError:
    output = select.poll()
    output.register(sys.stdout, 0)
    if not output.poll(0):
      raise  # it was another pipe or connection
    # Who reads has had enough, as `head` has.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141
  except KeyboardInterrupt:
    print("nomic-jax: interrupted; run the same command to go on",
          file=sys.stderr)
    return 130
  return 0


def _prepare(a: argparse.Namespace) -> None:
  from nomic_jax.data.prepare import prepare

  prepare(
      source=a.source, output=a.output, vocab_size=a.vocab_size,
      tokenizer=a.tokenizer, limit=a.limit, held_out=a.held_out,
      query_column=a.query_column, document_column=a.document_column,
      negatives_column=a.negatives_column,
      classes=a.classes.split(",") if a.classes else (), skip_bad=a.skip_bad,
      overwrite=a.overwrite, beam_options=a.beam,
      whole_batches=a.whole_batches, keep_copies=a.keep_copies,
      include=a.include, label_column=a.label_column,
      score_column=a.score_column,
      negatives_scores_column=a.negatives_scores_column,
      strip_accents=a.strip_accents, allow_unk=a.allow_unk,
  )


def _tokenise(a: argparse.Namespace) -> None:
  from nomic_jax.data.tokens import tokenise

  tokenise(a.input, a.tokenizer)


def _train(a: argparse.Namespace) -> None:
  from nomic_jax.mesh.processes import joined
  from nomic_jax.train import train

  with joined(a.distributed, saves=True):
    train(a.config, a.workdir, a.profile or "",
          extend=any(f.startswith("--config.steps=") for f in a.given))


def _compile(a: argparse.Namespace) -> None:
  from nomic_jax.aot.check import check

  check(a.config, a.topology, a.num_slices, a.output)


def _sweep(a: argparse.Namespace) -> None:
  from nomic_jax.sweep import sweep

  sweep(
      a.given, a.workdir, only_list=a.list, commands=a.commands,
      parallel=a.parallel, metric=a.metric,
      median=a.median or "",
  )


def _clean(a: argparse.Namespace) -> None:
  from nomic_jax.curate.clean import clean

  clean(
      a.input, a.output, min_words=a.min_words, max_words=a.max_words,
      languages=a.languages, near=a.near, against=a.against, ngram=a.ngram,
      overlap=a.overlap,
  )


def _plot(a: argparse.Namespace) -> None:
  from nomic_jax.report.plot import plot

  plot(a.workdirs, a.output, a.metric)


def _filter(a: argparse.Namespace) -> None:
  from nomic_jax.curate.filter import filter_pairs
  from nomic_jax.mesh.processes import joined

  with joined(a.distributed):
    filter_pairs(
        a.model, a.input, a.output, k=a.k, chunk_size=a.chunk_size,
        minimum_similarity=a.minimum_similarity, margin=a.margin,
        **_curation(a),
    )


def _mine(a: argparse.Namespace) -> None:
  from nomic_jax.curate.mine import mine_negatives
  from nomic_jax.mesh.processes import joined

  with joined(a.distributed):
    mine_negatives(
        a.model, a.input, a.output, negatives=a.negatives, minimum=a.minimum,
        depth=a.depth, margin=a.margin, skip=a.skip, short=a.short,
        seed=a.seed, corpus=a.corpus, random_sources=a.random_sources,
        chunk_size=a.chunk_size, **_curation(a),
    )


def _curation(a: argparse.Namespace) -> dict:
  """The flags that filter and mine have in common."""
  return {name: getattr(a, name) for name in (
      "within_source", "query_prompt", "document_prompt", "dtype", "store")}


def _teach(a: argparse.Namespace) -> None:
  from nomic_jax.curate.teach import teach

  teach(a.model, a.input, a.output, a.split, a.dtype)


def _export(a: argparse.Namespace) -> None:
  from nomic_jax.run.export import export

  export(a.workdir, a.output, a.config, a.step)


def _verify(a: argparse.Namespace) -> None:
  from nomic_jax.run.manifest import verify

  verify(a.directory)


def _embed(a: argparse.Namespace) -> None:
  from nomic_jax.embed.file import embed_file

  embed_file(
      a.model, a.input, a.output, column=a.column, prompt=a.prompt, dim=a.dim,
      normalize=a.normalize, precision=a.precision, dtype=a.dtype,
      pooled_norm=a.pooled_norm,
  )


def _evaluate(a: argparse.Namespace) -> None:
  from nomic_jax.report.evaluate import evaluate

  evaluate(
      a.model, a.tasks, a.output, baselines=a.baseline, data=a.data,
      with_curves=a.curves, dims=a.dim, max_tokens=a.max_tokens,
      pooled_norm=a.pooled_norm)


def _search(a: argparse.Namespace) -> None:
  from nomic_jax.search.answer import search

  search(a.model, a.corpus, a.questions, top=a.top, index=a.index)


def _report(a: argparse.Namespace) -> None:
  from nomic_jax.report.report import report

  report(a.workdir, a.scores, a.output)


# What runs each job of `flags.parser`.
_RUNS = {
    "prepare": _prepare, "tokenise": _tokenise, "train": _train,
    "compile": _compile, "sweep": _sweep, "plot": _plot, "clean": _clean,
    "filter": _filter, "mine": _mine, "teach": _teach, "export": _export,
    "verify": _verify, "embed": _embed, "evaluate": _evaluate,
    "search": _search, "report": _report,
}


if __name__ == "__main__":
  sys.exit(main())
