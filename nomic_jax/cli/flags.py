# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The flags of every job: what `nomic-jax JOB --help` says."""

import argparse

from nomic_jax.cli import command_line
from nomic_jax.storage import places


def parser() -> tuple[command_line.Parser, dict[str, command_line.Parser]]:
  """The whole command, and its jobs by name."""
  command = command_line.Parser(
      prog="nomic-jax", allow_abbrev=False,
      description="Train your own long-context text embedding model.",
      epilog="nomic-jax JOB --help names every flag of a job.",
  )
  jobs = command.add_subparsers(
      dest="command", required=True, metavar="JOB", title="jobs"
  )

  def job(
      name: str, text: str, config: str = "none"
  ) -> command_line.Parser:
    p = jobs.add_parser(
        name, help=text, description=text, allow_abbrev=False,
        formatter_class=command_line.Formatter,
    )
    p.set_defaults(config=None)
    p.config = config
    return p

  p = job("prepare", "Text to a data directory with a tokenizer.")
  p.add_argument("--source", type=_path, required=True, help=(
      "'docstrings' (of the Python installed here), 'docstrings:FOLDER'; a "
      ".jsonl(.gz/.zst), .parquet or .txt file or a folder of them; a BEIR "
      "folder; a .yaml specification of data sets; hf:OWNER/NAME; in a bucket: "
      "gs://... or s3://..."))
  p.add_argument("--output", type=_path, required=True,
                 help="data directory to make")
  p.add_argument("--vocab_size", type=int, default=8192,
                 help="tokens of the WordPiece tokenizer trained on the text")
  p.add_argument("--tokenizer", type=_path,
                 help="use this tokenizer, do not train one")
  p.add_argument("--strip_accents", action="store_true", help=(
      "train it without nonspacing marks: cafe for café; not for languages "
      "whose marks are letters, such as Japanese, Hindi and Thai"))
  p.add_argument("--allow_unk", action="store_true", help=(
      "accept a tokenizer to which more than 5 %% of the texts are unknown"))
  p.add_argument("--held_out", type=float, default=0.07,
                 help="share of the rows kept for evaluation (split test)")
  p.add_argument("--limit", type=int, help="read no more rows than this")
  p.add_argument("--query_column", default="query",
                 help="of each row; --query_column= if rows are text alone")
  p.add_argument("--document_column", default="document", help="of each row")
  p.add_argument("--negatives_column", default="negatives",
                 help="of each row, a list of texts; may be absent")
  p.add_argument("--include", action="append", default=[], metavar="PATTERN",
                 help="read only these files of a folder, such as '*.jsonl'; "
                 "repeatable; without it all but those called test, dev or "
                 "validation")
  p.add_argument("--label_column", metavar="NAME", help=(
      "of each row, a label or a list of them; without it, 'labels' or "
      "'label' where they are numbers"))
  p.add_argument("--score_column", metavar="NAME",
                 help="of each row, a teacher's score of the document")
  p.add_argument("--negatives_scores_column", metavar="NAME",
                 help="of each row, a list of those of its negatives")
  p.add_argument("--classes", metavar="NAME,NAME",
                 help="what labels are called, class 0 first; or numbers")
  p.add_argument("--skip_bad", type=_count_or_share, default=0, metavar="N",
                 help="drop and count up to N rows, or N%% of the rows, that "
                 "cannot be used")
  p.add_argument("--whole_batches", type=int, default=1, metavar="ROWS", help=(
      "leave out the last rows of each file that do not fill a batch of this "
      "size, as contrastors does of each shard"))
  p.add_argument("--keep_copies", action="store_true",
                 help="keep rows that equal an earlier one in all")
  p.add_argument("--overwrite", action="store_true",
                 help="replace an output made with other flags")
  p.add_argument("--beam", metavar="FLAGS", help=(
      "let the workers of Apache Beam do it, with these flags of Beam's own, "
      "such as --beam='--runner=DirectRunner --direct_num_workers=8 "
      "--direct_running_mode=multi_processing'; they must see the files and "
      "the folder of the output"))

  p = job("tokenise", "Token ids beside the texts: faster to read.")
  p.add_argument("--input", type=_path, required=True,
                 help="data directory to add to")
  p.add_argument("--tokenizer", type=_path,
                 help="of the model to train; default: the data directory's")

  p = job("train", "Trains what a config describes; resumes.",
          config="required")
  p.add_argument("--workdir", type=_path, required=True,
                 help="checkpoints and logs; the same command resumes there; "
                 "a folder, gs://BUCKET/PATH or s3://BUCKET/PATH")
  p.add_argument("--profile", metavar="FIRST:LAST", help=(
      "steps to record under WORKDIR/profile, for xprof or Perfetto"))
  p.add_argument("--distributed", action="store_true", help=(
      "one of several processes that train together: a pod, Slurm, or "
      "launch/local.sh"))
  command_line.add_config_help(p)

  p = job("compile",
          "Does a training fit a pod, and what does it cost; needs none.",
          config="required")
  p.add_argument("--topology", required=True,
                 help="slice of TPU chips or number of GPUs to compile for, "
                 "such as v5e:16x16 or h100:8")
  p.add_argument("--num_slices", type=int, default=1, help="of that topology")
  p.add_argument("--output", type=_path, help=".json to write the report to")
  command_line.add_config_help(p)

  p = job("sweep", "Trains every point of a config's sweep(add).",
          config="required")
  p.add_argument("--workdir", type=_path, required=True,
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

  p = job("plot", "Curves of trainings, side by side in one PNG.")
  p.add_argument("workdirs", type=_path, nargs="+", metavar="WORKDIR",
                 help="[NAME=]DIR of a training; here, gs:// or s3://")
  p.add_argument("--output", type=_path, required=True, help=".png to make")
  p.add_argument("--metric", action="append", default=[], help=(
      "of metrics.jsonl; repeatable; without it the usual ones"))

  p = job("clean", "Drops copies, junk, and what is evaluated on.")
  p.add_argument("--input", type=_path, required=True, help="data directory")
  p.add_argument("--output", type=_path, required=True,
                 help="data directory to make")
  p.add_argument("--min_words", type=int, help=(
      "fewest words of a document; in scripts without spaces, characters"))
  p.add_argument("--max_words", type=int, help="most words of a document")
  p.add_argument("--languages", type=_listed, default=[], metavar="CODE,...",
                 help="keep only texts in these, such as en")
  p.add_argument("--near", type=float, help=(
      "also drop pairs of this Jaccard similarity to an earlier one, such as "
      "0.8"))
  p.add_argument("--against", action=_Paths, default=[], metavar="PATH,...",
                 help=("drop rows that hold a text of these evaluation sets: "
                       "data directories (splits but train), BEIR folders "
                       "(test), .jsonl or .txt; repeatable"))
  p.add_argument("--ngram", type=int, default=8,
                 help="words in a run by which texts are compared to those")
  p.add_argument("--overlap", type=float, default=0.5,
                 help="share of an evaluation text's runs that must be found")

  def curation(p: command_line.Parser) -> None:
    p.add_argument("--model", type=_path, required=True,
                   help="model or work directory")
    p.add_argument("--input", type=_path, required=True, help="data directory")
    p.add_argument("--output", type=_path, required=True,
                   help="data directory to make")
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

  p = job("filter", "Keeps pairs that the model finds consistent.")
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

  p = job("mine", "Adds hard negatives to every pair.")
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
  p.add_argument("--margin", type=_share_or_none, default=0.95, help=(
      "no negative scores above this share of the positive; none: whatever it "
      "scores"))
  p.add_argument("--skip", type=int, default=0,
                 help="leave out this many of the nearest")
  p.add_argument("--corpus", action=_Paths, default=[], metavar="PATH,...",
                 help=("also mine from these: a BEIR folder, a data "
                       "directory, .jsonl or .txt; repeatable"))
  p.add_argument("--random_sources", type=_listed, metavar="SOURCE,...",
                 help=("these get random negatives; without it, those with "
                       "prompts for classification or clustering"))
  p.add_argument("--seed", type=int, default=0, help="of random negatives")
  p.add_argument("--chunk_size", type=int, default=65_536,
                 help="queries between two marks to resume from")

  p = job("teach", "A model's vectors of a data directory, to distil.")
  p.add_argument("--model", type=_path, required=True,
                 help="model or work directory")
  p.add_argument("--input", type=_path, required=True, help="data directory")
  p.add_argument("--output", type=_path, required=True,
                 help="folder of .npy to make")
  p.add_argument("--split", default="train", help="of the data directory")
  p.add_argument("--dtype", choices=("float32", "bfloat16"),
                 default="float32", help="that the model computes in")

  p = job("export", "A model directory that PyTorch opens.",
          config="optional")
  p.add_argument("--workdir", type=_path, help="of the training to export")
  p.add_argument("--step", default="latest", help=(
      "checkpoint to take: latest, a number, or best (by "
      "config.checkpoint.best)"))
  p.add_argument("--output", type=_path, required=True,
                 help="model directory to make")
  command_line.add_config_help(
      p, " instead of --workdir, exports its untrained model")

  p = job("verify",
          "Compares the recorded data, config and versions with those of now.")
  p.add_argument("directory", metavar="DIR", help=(
      "work directory or exported model, with the reproduce.json that both "
      "have"))

  p = job("embed", "Vectors of a file's texts; resumes.")
  p.add_argument("--model", type=_path, required=True,
                 help="model or work directory")
  p.add_argument("--input", type=_path, required=True,
                 help=".txt, .jsonl, .jsonl.gz or .parquet")
  p.add_argument("--output", type=_path, required=True,
                 help=".npy, or .parquet with the texts beside")
  p.add_argument("--column", default="text", help="of jsonl or parquet rows")
  p.add_argument("--prompt", help="such as search_query")
  p.add_argument("--dim", type=int, help="keep this many dimensions")
  p.add_argument("--normalize", action=argparse.BooleanOptionalAction,
                 default=None, help="vectors to length 1, or not; without "
                 "either, as the model's files say")
  p.add_argument("--precision", choices=("float32", "int8", "binary"),
                 default="float32", help="of the vectors written")
  p.add_argument("--dtype", choices=("float32", "bfloat16"),
                 default="float32", help="to compute in; bfloat16 is faster")
  p.add_argument("--pooled_norm", action="store_true", help=(
      "apply a LayerNorm to the pooled vector although the model's files name "
      "none, as nomic-embed-text-v1.5's as published"))

  p = job("evaluate", "Scores of models on tasks, as a table.")
  p.add_argument("--model", type=_path, action="append", default=[],
                 help="[NAME=]DIR of a model or a training; repeatable")
  p.add_argument("--tasks", action=_Paths, required=True, metavar="TASK,...",
                 help="names or [NAME=]FOLDER; repeatable")
  p.add_argument("--data", type=_path,
                 help="folder with the data of tasks given by name")
  p.add_argument("--baseline", action="append", default=[], help=(
      "what the others are to beat: bm25, bm25-tuned or the NAME of a --model; "
      "repeatable, the strongest counts"))
  p.add_argument("--dim", type=_whole_numbers, default=[], metavar="N,...",
                 help=("score each model with its vectors cut to these "
                       "dimensions, such as 768,512,256,128,64"))
  p.add_argument("--max_tokens", type=int, help=(
      "cut texts to so many tokens, such as 512 as MTEB's tasks always do; "
      "tasks whose name says a length keep theirs"))
  p.add_argument("--pooled_norm", action="store_true", help=(
      "apply a LayerNorm to the pooled vector although the model's files name "
      "none, as nomic-embed-text-v1.5's as published"))
  p.add_argument("--curves", action="store_true", help=(
      "also with fewer dimensions, and as int8 and binary; makes a .png"))
  p.add_argument("--output", type=_path, required=True, help=(
      ".json to make; beside it the tables as .md and a page as .html"))

  p = job("search", "Answers questions from a corpus.")
  p.add_argument("--model", type=_path, required=True,
                 help="model or work directory")
  p.add_argument("--corpus", type=_path, required=True,
                 help="data directory, .jsonl or .txt")
  p.add_argument("--top", type=int, default=5, help="hits for a question")
  p.add_argument("--index", type=_path,
                 help="where the corpus's vectors are kept")
  p.add_argument("questions", nargs="*", metavar="QUESTION",
                 help="none: asks on the terminal")

  p = job("report", "Curves and scores of trainings, in one page.")
  p.add_argument("--workdir", type=_path, action="append", default=[],
                 help="[NAME=]DIR of a training; repeatable, in order")
  p.add_argument("--scores", type=_path, help=".json made by evaluate")
  p.add_argument("--output", type=_path, required=True, help=".html to make")
  return command, jobs.choices


_path = places.expanded


def _count_or_share(text: str) -> int | str:
  return int(text) if text.isdigit() else text


class _Paths(argparse.Action):
  """Paths with commas between them, of a flag that may be repeated."""

  def __call__(self, parser, namespace, values, option_string=None):
    given = getattr(namespace, self.dest)
    before = [] if given is self.default else given
    setattr(namespace, self.dest, [*(before or ()), *places.listed(values)])


def _listed(text: str) -> list[str]:
  return [name for name in text.split(",") if name]


def _whole_numbers(text: str) -> list[int]:
  return [int(number) for number in _listed(text)]


def _share_or_none(text: str) -> float | None:
  return None if text == "none" else float(text)
