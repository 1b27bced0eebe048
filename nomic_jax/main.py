# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The `nomic-jax` command: one subcommand per job, each a thin call.

Nothing heavy is imported before a job starts, so --help answers at once.
"""

import argparse
import sys
from typing import Sequence

from nomic_jax import command_line
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


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one job; returns the exit status."""
  argv = list(sys.argv[1:] if argv is None else argv)
  try:
    parser, jobs = _parser()
    command_line.check_flags(argv, jobs)
    arguments, rest = parser.parse_known_args(argv)
    rest = command_line.joined(rest)
    command_line.check_rest(rest, arguments.command)
    if rest or jobs[arguments.command].config == "required":
      from nomic_jax import config_flags

      arguments.given = rest
      arguments.config = config_flags.load(rest)
    with command_line.warnings_in_a_line():
      arguments.run(arguments)
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
      overwrite=a.overwrite,
  )


def _tokenise(a: argparse.Namespace) -> None:
  from nomic_jax.data.tokens import tokenise

  tokenise(a.input, a.tokenizer)


def _train(a: argparse.Namespace) -> None:
  from nomic_jax.processes import joined
  from nomic_jax.train import train

  with joined(a.distributed):
    train(a.config, a.workdir, a.profile or "")


def _compile(a: argparse.Namespace) -> None:
  from nomic_jax.compile import check

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
  from nomic_jax.plot import plot

  plot(a.workdirs, a.output, a.metric)


def _filter(a: argparse.Namespace) -> None:
  from nomic_jax.curate.filter import filter_pairs
  from nomic_jax.processes import joined

  with joined(a.distributed):
    filter_pairs(
        a.model, a.input, a.output, k=a.k, chunk_size=a.chunk_size,
        minimum_similarity=a.minimum_similarity, margin=a.margin,
        **_curation(a),
    )


def _mine(a: argparse.Namespace) -> None:
  from nomic_jax.curate.mine import mine_negatives
  from nomic_jax.processes import joined

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


def _listed(text: str) -> list[str]:
  return [name for name in text.split(",") if name]


def _teach(a: argparse.Namespace) -> None:
  from nomic_jax.curate.teach import teach

  teach(a.model, a.input, a.output, a.split, a.dtype)


def _export(a: argparse.Namespace) -> None:
  from nomic_jax.export import export

  export(a.workdir, a.output, a.config, a.step)


def _embed(a: argparse.Namespace) -> None:
  from nomic_jax.embed_file import embed_file

  embed_file(
      a.model, a.input, a.output, column=a.column, prompt=a.prompt, dim=a.dim,
      normalize=a.normalize, precision=a.precision, dtype=a.dtype,
  )


def _evaluate(a: argparse.Namespace) -> None:
  from nomic_jax.evaluation.evaluate import evaluate

  evaluate(
      a.model, a.tasks.split(","), a.output, baselines=a.baseline, data=a.data,
      with_curves=a.curves)


def _search(a: argparse.Namespace) -> None:
  from nomic_jax.search import search

  search(a.model, a.corpus, a.questions, top=a.top, index=a.index)


def _report(a: argparse.Namespace) -> None:
  from nomic_jax.evaluation.report import report

  report(a.workdir, a.scores, a.output)


def _parser() -> tuple[command_line.Parser, dict[str, command_line.Parser]]:
  """The whole command, and its jobs by name."""
  parser = command_line.Parser(
      prog="nomic-jax", allow_abbrev=False,
      description="Train your own long-context text embedding model.",
      epilog="nomic-jax JOB --help names every flag of a job.",
  )
  jobs = parser.add_subparsers(
      dest="command", required=True, metavar="JOB", title="jobs"
  )

  def job(
      name: str, run, text: str, config: str = "none"
  ) -> command_line.Parser:
    p = jobs.add_parser(
        name, help=text, description=text, allow_abbrev=False,
        formatter_class=command_line.Formatter,
    )
    p.set_defaults(run=run, config=None)
    p.config = config
    return p

  p = job("prepare", _prepare, "Text to a data directory with a tokenizer.")
  p.add_argument("--source", required=True, help=(
      "'docstrings' (of the Python installed here), 'docstrings:FOLDER'; a "
      ".jsonl(.gz/.zst), .parquet or .txt file or a folder of them; a BEIR "
      "folder; a .yaml specification of data sets; hf:OWNER/NAME; in a bucket: "
      "gs://... or s3://..."))
  p.add_argument("--output", required=True, help="data directory to make")
  p.add_argument("--vocab_size", type=int, default=8192,
                 help="tokens of the WordPiece tokenizer trained on the text")
  p.add_argument("--tokenizer", help="use this tokenizer, do not train one")
  p.add_argument("--held_out", type=float, default=0.07,
                 help="share of the rows kept for evaluation (split test)")
  p.add_argument("--limit", type=int, help="read no more rows than this")
  p.add_argument("--query_column", default="query", help="of each row")
  p.add_argument("--document_column", default="document", help="of each row")
  p.add_argument("--negatives_column", default="negatives",
                 help="of each row, a list of texts; may be absent")
  p.add_argument("--classes", metavar="NAME,NAME",
                 help="what labels are called, class 0 first; or numbers")
  p.add_argument("--skip_bad", type=int, default=0,
                 help="drop and count as many rows that cannot be used")
  p.add_argument("--overwrite", action="store_true",
                 help="replace an output made with other flags")

  p = job("tokenise", _tokenise, "Token ids beside the texts: faster to read.")
  p.add_argument("--input", required=True, help="data directory to add to")
  p.add_argument("--tokenizer",
                 help="of the model to train; default: the data directory's")

  p = job("train", _train, "Trains what a config describes; resumes.",
          config="required")
  p.add_argument("--workdir", required=True,
                 help="checkpoints and logs; the same command resumes there")
  p.add_argument("--profile", metavar="FIRST:LAST", help=(
      "steps to record under WORKDIR/profile, for xprof or Perfetto"))
  p.add_argument("--distributed", action="store_true", help=(
      "one of several processes that train together: a pod, Slurm, or "
      "launch/local.sh"))
  command_line.add_config_help(p)

  p = job("compile", _compile,
          "Does a training fit a TPU pod, and what does it cost; needs none.",
          config="required")
  p.add_argument("--topology", required=True,
                 help="slice of TPU chips to compile for, such as v5e:16x16")
  p.add_argument("--num_slices", type=int, default=1, help="of that topology")
  p.add_argument("--output", help=".json to write the report to")
  command_line.add_config_help(p)

  p = job("sweep", _sweep, "Trains every point of a config's sweep(add).",
          config="required")
  p.add_argument("--workdir", required=True,
                 help="folder of the points' work directories")
  p.add_argument("--list", action="store_true", help="only print the points")
  p.add_argument("--commands", nargs="?", const="", metavar="LAUNCH", help=(
      "only print a training for each point, after LAUNCH, such as 'sbatch "
      "launch/slurm.sbatch' or 'NAME=point-{n} bash launch/tpu_pod.sh "
      "babysit'"))
  p.add_argument("--parallel", type=int, default=1,
                 help="points to train at a time, each in a process")
  p.add_argument("--metric", default="loss",
                 help="of metrics.jsonl, to compare the points by")
  p.add_argument("--median", help=(
      "a key that varies, such as seed: one line for points that differ in it "
      "alone, with their median"))
  command_line.add_config_help(p)

  p = job("plot", _plot, "Curves of trainings, side by side in one PNG.")
  p.add_argument("workdirs", nargs="+", metavar="WORKDIR",
                 help="[NAME=]DIR of a training")
  p.add_argument("--output", required=True, help=".png to make")
  p.add_argument("--metric", action="append", default=[], help=(
      "of metrics.jsonl; repeatable; without it the usual ones"))

  p = job("clean", _clean, "Drops copies, junk, and what is evaluated on.")
  p.add_argument("--input", required=True, help="data directory")
  p.add_argument("--output", required=True, help="data directory to make")
  p.add_argument("--min_words", type=int, help="fewest words of a document")
  p.add_argument("--max_words", type=int, help="most words of a document")
  p.add_argument("--languages", type=_listed, default=[], metavar="CODE,...",
                 help="keep only texts in these, such as en")
  p.add_argument("--near", type=float, help=(
      "also drop pairs of this Jaccard similarity to an earlier one, such as "
      "0.8"))
  p.add_argument("--against", type=_listed, default=[], metavar="PATH,...",
                 help=("drop rows that hold a text of these evaluation sets: "
                       "data directories (splits but train), BEIR folders "
                       "(test), .jsonl or .txt"))
  p.add_argument("--ngram", type=int, default=8,
                 help="words in a run by which texts are compared to those")
  p.add_argument("--overlap", type=float, default=0.5,
                 help="share of an evaluation text's runs that must be found")

  def curation(p: command_line.Parser) -> None:
    p.add_argument("--model", required=True, help="model or work directory")
    p.add_argument("--input", required=True, help="data directory")
    p.add_argument("--output", required=True, help="data directory to make")
    p.add_argument("--within_source", action="store_true",
                   help="compare only rows of the same source")
    for side in ("query", "document"):
      p.add_argument(f"--{side}_prompt", metavar="TEXT", help=(
          "put before each; without it the source's own if the model knows "
          "it, else the model's"))
    p.add_argument("--dtype", choices=("float32", "bfloat16"),
                   default="float32", help="that the model computes in")
    p.add_argument("--store", choices=("float32", "bfloat16", "int8"),
                   default="float32", help=(
                       "of the vectors searched; others take less memory and "
                       "miss some, how many is told"))
    p.add_argument("--distributed", action="store_true", help=(
        "one of several processes that share a disk and the work"))

  p = job("filter", _filter, "Keeps pairs that the model finds consistent.")
  curation(p)
  p.add_argument("--k", type=int, default=2,
                 help=("the document must be among the query's k nearest; 0: "
                       "only the similarity counts"))
  p.add_argument("--chunk_size", type=int, default=1_000_000,
                 help="rows that are compared with each other")
  p.add_argument("--minimum_similarity", type=float,
                 help="also drop pairs whose cosine is below this")
  p.add_argument("--margin", type=float,
                 help="also keep a pair this close, in cosine, to the k-th")

  p = job("mine", _mine, "Adds hard negatives to every pair.")
  curation(p)
  p.add_argument("--negatives", type=int, default=20, help="for each pair")
  p.add_argument("--minimum", type=int, help=(
      "with fewer than this a pair is short of them; without it, all of "
      "--negatives"))
  p.add_argument("--short", choices=("random", "drop", "keep"),
                 default="random", help=(
                     "fill a pair that is short up to the minimum, drop it, "
                     "or keep it as it is"))
  p.add_argument("--depth", type=int, default=100,
                 help="nearest documents looked at for each query")
  p.add_argument("--margin", type=float, default=0.95,
                 help="no negative scores above this share of the positive")
  p.add_argument("--skip", type=int, default=0,
                 help="leave out this many of the nearest")
  p.add_argument("--corpus", type=_listed, default=[], metavar="PATH,...",
                 help=("also mine from these: a BEIR folder, a data "
                       "directory, .jsonl or .txt"))
  p.add_argument("--random_sources", type=_listed, metavar="SOURCE,...",
                 help=("these get random negatives; without it, those with "
                       "prompts for classification or clustering"))
  p.add_argument("--seed", type=int, default=0, help="of random negatives")
  p.add_argument("--chunk_size", type=int, default=65_536,
                 help="queries between two marks to resume from")

  p = job("teach", _teach, "A model's vectors of a data directory, to distil.")
  p.add_argument("--model", required=True, help="model or work directory")
  p.add_argument("--input", required=True, help="data directory")
  p.add_argument("--output", required=True, help="folder of .npy to make")
  p.add_argument("--split", default="train", help="of the data directory")
  p.add_argument("--dtype", choices=("float32", "bfloat16"),
                 default="float32", help="that the model computes in")

  p = job("export", _export, "A model directory that PyTorch opens.",
          config="optional")
  p.add_argument("--workdir", help="of the training to export")
  p.add_argument("--step", default="latest", help=(
      "checkpoint to take: latest, a number, or best (by "
      "config.checkpoint.best)"))
  p.add_argument("--output", required=True, help="model directory to make")
  command_line.add_config_help(
      p, " instead of --workdir, exports its untrained model")

  p = job("embed", _embed, "Vectors of a file's texts; resumes.")
  p.add_argument("--model", required=True, help="model or work directory")
  p.add_argument("--input", required=True,
                 help=".txt, .jsonl, .jsonl.gz or .parquet")
  p.add_argument("--output", required=True,
                 help=".npy, or .parquet with the texts beside")
  p.add_argument("--column", default="text", help="of jsonl or parquet rows")
  p.add_argument("--prompt", help="such as search_query")
  p.add_argument("--dim", type=int, help="keep this many dimensions")
  p.add_argument("--normalize", action=argparse.BooleanOptionalAction,
                 default=True, help="vectors to length 1")
  p.add_argument("--precision", choices=("float32", "int8", "binary"),
                 default="float32", help="of the vectors written")
  p.add_argument("--dtype", choices=("float32", "bfloat16"),
                 default="float32", help="to compute in; bfloat16 is faster")

  p = job("evaluate", _evaluate, "Scores of models on tasks, as a table.")
  p.add_argument("--model", action="append", default=[],
                 help="[NAME=]DIR of a model or a training; repeatable")
  p.add_argument("--tasks", required=True,
                 help="names or [NAME=]FOLDER, separated by commas")
  p.add_argument("--data",
                 help="folder with the data of tasks given by name")
  p.add_argument("--baseline", action="append", default=[], help=(
      "what the others are to beat: bm25, bm25-tuned or the NAME of a --model; "
      "repeatable, the strongest counts"))
  p.add_argument("--curves", action="store_true", help=(
      "also with fewer dimensions, and as int8 and binary; makes a .png"))
  p.add_argument("--output", required=True, help=(
      ".json to make; beside it the tables as .md and a page as .html"))

  p = job("search", _search, "Answers questions from a corpus.")
  p.add_argument("--model", required=True, help="model or work directory")
  p.add_argument("--corpus", required=True,
                 help="data directory, .jsonl or .txt")
  p.add_argument("--top", type=int, default=5, help="hits for a question")
  p.add_argument("--index", help="where the corpus's vectors are kept")
  p.add_argument("questions", nargs="*", metavar="QUESTION",
                 help="none: asks on the terminal")

  p = job("report", _report, "Curves and scores of trainings, in one page.")
  p.add_argument("--workdir", action="append", default=[],
                 help="[NAME=]DIR of a training; repeatable, in order")
  p.add_argument("--scores", help=".json made by evaluate")
  p.add_argument("--output", required=True, help=".html to make")
  return parser, jobs.choices


if __name__ == "__main__":
  sys.exit(main())
