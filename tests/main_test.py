# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The command line: help that is fast, and configs that all build."""

from collections.abc import Sequence
import importlib
import inspect
import os
import pathlib
import re
import subprocess
import sys
import textwrap
from typing import Annotated
from typing import Literal
import warnings

import ml_collections
import pytest

from nomic_jax import jobs
from nomic_jax import main
from nomic_jax.cli import command_line
from nomic_jax.cli import config_files
from nomic_jax.cli import config_flags
from nomic_jax.cli import flags
from nomic_jax.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]
CONFIGS = sorted(
  p.stem
  for p in (ROOT / "configs").glob("*.py")
  if p.stem not in ("common", "fields", "glue", "mixtures")
)  # glue takes a task, no size
SIZES = ("paper", "quickstart", "miniature")

CURATION = {
  "--within_source": "False",
  "--query_prompt": "none",
  "--document_prompt": "none",
  "--dtype": "float32",
  "--store": "float32",
  "--distributed": "False",
}

# The flags of each job with their defaults, as in --help. These must not
# change; further flags and jobs may be added.
FLAGS = {
  "prepare": {
    "--source": "required",
    "--output": "required",
    "--vocab_size": "8192",
    "--tokenizer": "none",
    "--held_out": "0.07",
    "--limit": "none",
    "--query_column": "query",
    "--document_column": "document",
    "--negatives_column": "negatives",
    "--classes": "none",
    "--skip_bad": "0",
    "--overwrite": "False",
    "--beam": "none",
    "--whole_batches": "1",
    "--keep_copies": "False",
    "--include": "none",
    "--label_column": "none",
    "--score_column": "none",
    "--negatives_scores_column": "none",
    "--strip_accents": "False",
    "--allow_unk": "False",
  },
  "tokenise": {"--input": "required", "--tokenizer": "none"},
  "train": {
    "--workdir": "required",
    "--profile": "none",
    "--distributed": "False",
    "--config=FILE.py[:ARG]": "none",
    "--config.KEY=VALUE": "",
  },
  "compile": {
    "--topology": "required",
    "--num_slices": "1",
    "--output": "none",
    "--config=FILE.py[:ARG]": "",
    "--config.KEY=VALUE": "",
  },
  "sweep": {
    "--workdir": "required",
    "--list": "False",
    "--commands": "none",
    "--parallel": "1",
    "--metric": "loss",
    "--median": "none",
    "--config=FILE.py[:ARG]": "",
    "--config.KEY=VALUE": "",
  },
  "clean": {
    "--input": "required",
    "--output": "required",
    "--min_words": "none",
    "--max_words": "none",
    "--languages": "none",
    "--near": "none",
    "--against": "none",
    "--ngram": "8",
    "--overlap": "0.5",
  },
  "filter": {
    "--model": "required",
    "--input": "required",
    "--output": "required",
    "--k": "2",
    "--chunk_size": "1000000",
    "--minimum_similarity": "none",
    "--margin": "none",
    **CURATION,
  },
  "mine": {
    "--model": "required",
    "--input": "required",
    "--output": "required",
    "--negatives": "20",
    "--minimum": "none",
    "--depth": "100",
    "--margin": "0.95",
    "--skip": "0",
    "--short": "random",
    "--seed": "0",
    "--corpus": "none",
    "--random_sources": "none",
    "--chunk_size": "65536",
    **CURATION,
  },
  "export": {
    "--workdir": "none",
    "--step": "latest",
    "--output": "required",
    "--config=FILE.py[:ARG]": "",
    "--config.KEY=VALUE": "",
  },
  "embed": {
    "--pooled_norm": "False",
    "--model": "required",
    "--input": "required",
    "--output": "required",
    "--column": "text",
    "--prompt": "none",
    "--dim": "none",
    "--normalize": "none",
    "--precision": "float32",
    "--dtype": "float32",
  },
  "classify": {
    "--model": "required",
    "--input": "required",
    "--output": "required",
    "--column": "text",
    "--second_column": "none",
    "--all": "False",
  },
  "evaluate": {
    "--pooled_norm": "False",
    "--model": "none",
    "--tasks": "required",
    "--data": "none",
    "--baseline": "none",
    "--curves": "False",
    "--output": "none",
    "--dim": "none",
    "--max_tokens": "none",
  },
  "search": {
    "--model": "required",
    "--corpus": "required",
    "--top": "5",
    "--index": "none",
    "--precision": "float32",
  },
  "plot": {"--output": "required", "--metric": "none"},
  "report": {"--workdir": "none", "--scores": "none", "--output": "required"},
  "teach": {
    "--model": "required",
    "--input": "required",
    "--output": "required",
    "--split": "train",
    "--dtype": "float32",
  },
  "verify": {},
}

# Modules that are slow to import and that no --help needs.
HEAVY = (
  "jax",
  "jaxlib",
  "flax",
  "optax",
  "orbax",
  "grain",
  "tensorflow_datasets",
  "tokenizers",
  "ml_collections",
  "absl",
  "numpy",
  "matplotlib",
  "torch",
)


def _help(job, capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main([*([job] if job else []), "--help"])
  assert stopped.value.code == 0
  return capsys.readouterr().out


def test_help_imports_nothing_heavy():
  code = f"""
import sys
from nomic_jax.main import main
for job in [], *([j] for j in {list(FLAGS)}):
  try:
    main([*job, "--help"])
  except SystemExit as e:
    assert e.code == 0
assert main(["tran"]) == 2
print("loaded:", *(m for m in {HEAVY} if m in sys.modules))
from nomic_jax.cli import config_flags
print("control:", *(m for m in {HEAVY} if m in sys.modules))
"""
  done = subprocess.run(
    [sys.executable, "-c", code],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  loaded, control = done.stdout.splitlines()[-2:]
  assert loaded == "loaded:"
  assert "ml_collections" in control, "the test sees what is imported"


def test_help_names_every_job(capsys):
  shown = _help(None, capsys)
  for job in FLAGS:
    assert f"\n    {job} " in shown or f"\n  {job} " in shown


# The function of each job, which can also be called from Python.
FUNCTIONS = {
  "prepare": "data.prepare:prepare",
  "tokenise": "data.tokens:tokenise",
  "sweep": "sweep:sweep",
  "clean": "curate.clean:clean",
  "filter": "curate.filter:filter_pairs",
  "plot": "report.plot:plot",
  "mine": "curate.mine:mine_negatives",
  "teach": "curate.teach:teach",
  "export": "run.export:export",
  "embed": "embed.file:embed_file",
  "classify": "embed.classify_file:classify_file",
  "evaluate": "report.evaluate:evaluate",
  "search": "search.answer:search",
  "report": "report.report:report",
  "train": "training:train",
  "compile": "aot.check:check",
  "verify": "run.verify:verify",
}


@pytest.mark.parametrize("job", FLAGS)
def test_a_flag_and_its_function_have_the_same_default(job, monkeypatch):
  parser, known = jobs.parser()
  assert FUNCTIONS.keys() == FLAGS.keys() <= known.keys()
  module, name = FUNCTIONS[job].split(":")
  module = importlib.import_module(f"nomic_jax.{module}")
  signature = inspect.signature(getattr(module, name))
  calls = []
  monkeypatch.setattr(module, name, lambda *a, **k: calls.append((a, k)))
  given = [
    f"--{a.dest}=x" if a.option_strings else "x"
    for a in known[job].actions
    if a.required
  ]
  values = vars(parser.parse_args([job, *given]))
  assert values.pop("command") == job
  if known[job].takes_config and job != "export":  # where it is optional
    values["config"] = [f"--config={ROOT}/configs/mlm.py:miniature"]
  known[job].run(**values)
  args, kwargs = calls[0]
  alike = lambda x: x or None if x in ("", (), []) else x
  for parameter, value in signature.bind(*args, **kwargs).arguments.items():
    default = signature.parameters[parameter].default
    if value not in ("x", ["x"]) and default is not inspect.Parameter.empty:
      assert alike(value) == alike(default), parameter


@pytest.mark.parametrize("job", FLAGS)
def test_help_names_every_flag_with_its_default(job, capsys):
  shown = _help(job, capsys)
  shown = shown[shown.index("options:") :].replace("\n\nconfig:", "")
  options = shown.split("\n  -")[1:]
  found = {}
  for option in options:
    text = " ".join(option.split())
    flag = "-" + text.split()[0].rstrip(",")
    end = re.search(r"\((?:default: )?(\w+|0\.\d+)\)$", text)
    told = "none" if "default" in text else ""  # says what happens without it
    found[flag] = end[1] if end else told
    assert text.count("default: ") <= 1, text
  found.pop("-h")
  assert found.items() >= FLAGS[job].items()


def test_help_offers_a_config_file_only_where_a_job_accepts_one(capsys):
  assert "--config=FILE.py" in _help("train", capsys)
  shown = _help("adapt", capsys)
  assert "--config.KEY=VALUE" in shown and "--config=FILE" not in shown


def test_every_file_of_jobs_is_a_job_that_documents_its_flags():
  files = {p.stem for p in pathlib.Path(jobs.__file__).parent.glob("*.py")}
  assert files - {"__init__"} == set(jobs.NAMES)
  for name, job in jobs.parser()[1].items():
    text, helps = flags.documented(job.run)
    assert job.run.__name__ == name and text.endswith(".")
    assert helps.keys() == inspect.signature(job.run).parameters.keys()
    assert all(helps.values()), f"{name}: a flag without a help"


def _job(
  places: Sequence[flags.Path] = (),
  *,
  size: int,
  kind: Literal["a", "b"] = "a",
  names: flags.Names | None = None,
  each: Annotated[Sequence[float], flags.Flag("SHARE")] = (),
  most: Annotated[int | str, flags.Flag("N", lambda t: t.strip("%"))] = 3,
  launch: Annotated[str | None, flags.Flag(bare="")] = None,
  fast: bool = False,
  safe: bool = True,
) -> None:
  """Does a thing. And 5 % more.

  This is not for --help.

  Args:
    places: where, and
      what for
    size: in %
    each: of them
  """


def _many(*, names: list[str] = ()) -> None:
  """Does others."""


def _typeless(*, names: dict[str, int]) -> None:
  """Does nothing."""


def test_a_list_may_be_repeated_and_a_type_that_is_none_is_refused():
  parser, _ = flags.parser([_many])
  assert parser.parse_args(["_many", "--names=a", "--names=b"]).names == [
    "a",
    "b",
  ]
  with pytest.raises(TypeError, match="dict.*: unsupported type of a flag"):
    flags.parser([_typeless])


@pytest.mark.parametrize(
  "line, expected",
  [
    ("--size=2", {"size": 2}),
    ("x ~/y --size 2", {"places": ["x", "/home/me/y"], "size": 2}),
    (
      "--size=2 --kind=b --names=a,b, --names=c",
      {"size": 2, "kind": "b", "names": ["a", "b", "c"]},
    ),
    ("--size=2 --each=1 --each=.5", {"size": 2, "each": [1.0, 0.5]}),
    ("--size=2 --most=7% --launch", {"size": 2, "most": "7", "launch": ""}),
    (
      "--size=2 --launch=x --fast --no-safe",
      {"size": 2, "launch": "x", "fast": True, "safe": False},
    ),
    ("--kind=a", "the following arguments are required: --size"),
    ("--size=2 --kind=c", "--kind: invalid choice: 'c'"),
    ("--size=two", "--size: invalid int value: 'two'"),
    ("--size=2 --each=x", "--each: invalid float value: 'x'"),
    ("--size=2 --each=nan", "--each: invalid float value: 'nan'"),
  ],
)
def test_a_signature_is_flags(line, expected, monkeypatch):
  monkeypatch.setenv("HOME", "/home/me")
  parser, known = flags.parser([_job])
  if isinstance(expected, str):
    with pytest.raises(UserError, match=expected):
      parser.parse_args(["_job", *line.split()])
    return
  found = vars(parser.parse_args(["_job", *line.split()]))
  assert found.pop("command") == "_job"
  usual = {n: p.default for n, p in inspect.signature(_job).parameters.items()}
  usual |= {"places": [], "each": []}
  assert found == usual | expected
  assert known["_job"].run is _job and not known["_job"].takes_config
  assert flags.documented(_job) == (
    "Does a thing. And 5 %% more.",
    dict(
      dict.fromkeys(usual, ""),
      places="where, and what for",
      size="in %%",
      each="of them",
    ),
  )


def test_the_command_of_the_readme(tmp_path, monkeypatch, capsys):
  """Runs the page's example of a new command."""
  page = (pathlib.Path(jobs.__file__).parent / "README.md").read_text()
  _, code, shown = re.split(r"complete:\n|\nIts signature", page)
  (tmp_path / "words.py").write_text(textwrap.dedent(code))
  monkeypatch.setattr(jobs, "__path__", [*jobs.__path__, str(tmp_path)])
  monkeypatch.setattr(jobs, "NAMES", (*jobs.NAMES, "words"))
  monkeypatch.delitem(sys.modules, "nomic_jax.jobs.words", raising=False)
  try:
    usage = re.search(r"usage: (.|\n)*?\n\n", shown)[0]
    assert " ".join(usage.split()) in " ".join(_help("words", capsys).split())
    texts = tmp_path / "texts.txt"
    texts.write_text("a river\na lamp by night\n")
    assert main.main(["words", str(texts), "--least=3"]) == 0
    assert capsys.readouterr().out == f"{texts}: 4 words\n"
    assert main.main(["words", str(texts), "--unit=word"]) == 2
    assert "invalid choice: 'word'" in capsys.readouterr().err
  finally:
    del sys.modules["nomic_jax.jobs.words"]


def test_a_warning_is_one_line():
  show = warnings.formatwarning
  with command_line.one_line_warnings():
    line = warnings.formatwarning("odd", UserWarning, "a.py", 3)
    assert line == "nomic-jax: warning: odd\n"
    assert "a.py" in warnings.formatwarning("odd", FutureWarning, "a.py", 3)
  assert warnings.formatwarning is show


def _load(name, size, *overrides):
  return config_flags.load(
    [f"--config={ROOT}/configs/{name}.py:{size}", *overrides]
  )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_builds_and_sweeps_over_keys_it_has(name, size):
  config = _load(name, size)
  assert config.is_locked and (config.steps > 0) != (config.epochs > 0)
  points = []
  config_files.module(f"{ROOT}/configs/{name}.py").sweep(
    lambda **keys: points.append(keys)
  )
  assert len(points) > 1
  for point in points:
    swept = _load(name, size, *(f"--config.{k}={v}" for k, v in point.items()))
    for key, value in point.items():
      assert _at(swept, key) == value
      assert type(_at(config, key)) is type(value)
  assert len({str(sorted(p.items())) for p in points}) == len(points)


def _at(config, key):
  for part in key.split("."):
    config = config[part]
  return config


def test_paper_is_the_size_without_a_name():
  plain = config_flags.load([f"--config={ROOT}/configs/mlm.py"])
  assert plain.to_dict() == _load("mlm", "paper").to_dict()
  assert plain.to_dict() != _load("mlm", "miniature").to_dict()


@pytest.mark.parametrize(
  "key, text, value",
  [
    ("steps", "7", 7),
    ("mesh.data", "-1", -1),
    ("optimizer.warmup", "0", "0"),
    (
      "optimizer.lr_multipliers",
      "(('.*/word/.*',0),('.*',1.0))",
      ((".*/word/.*", 0), (".*", 1.0)),
    ),
    ("optimizer.learning_rate", "3e-4", 3e-4),
    ("optimizer.learning_rate", "1", 1.0),
    ("compute.remat", "dots", "dots"),
    ("encoder.pooled_norm", "true", True),
    ("encoder.pooled_norm", "False", False),
    ("loss.matryoshka_dims", "(64,32)", (64, 32)),
    ("loss.matryoshka_weights", "1.0,0.5", (1.0, 0.5)),
    ("data.path", "a b/c=d", "a b/c=d"),
    ("init_from", "", ""),
  ],
)
def test_overrides_of_each_type(key, text, value):
  config = _load("contrastive", "miniature", f"--config.{key}={text}")
  assert _at(config, key) == value
  assert type(_at(config, key)) is type(value)


@pytest.mark.parametrize(
  "override, message",
  [
    ("optimizer.learning_rat=1", "Did you mean 'optimizer.learning_rate'"),
    ("warmup=1", "Did you mean 'optimizer.warmup'"),
    ("qqqqq=1", "contrastive.py lists the keys"),
    ("steps=7.5", "--config.steps: '7.5' is not a whole number"),
    ("steps=0", "--config.steps: 0 is too small; expected 1 or more"),
    ("seed=-1", "--config.seed: -1 is too small; expected 0 or more"),
    ("data.negatives=-1", "expected 0 or more"),
    ("optimizer.learning_rate=-1", "rate: -1.0 is too small; expected 0 or"),
    ("optimizer.weight_decay=-1", "weight_decay: -1.0 is too small"),
    ("optimizer.eps=-1", "optimizer.eps: -1.0 is too small"),
    ("optimizer.b1=-0.1", "optimizer.b1: -0.1 is too small"),
    ("optimizer.b2=1", "optimizer.b2: 1 is too large; expected a number below"),
    ("data.token_dropout=1.5", "token_dropout: 1.5 is too large"),
    ("encoder.dropout=2", "encoder.dropout: 2 is too large"),
    ("encoder.pooled_norm=yes", "'yes' is not true or false"),
    ("optimizer.b1=high", "'high' is not a number"),
    ("loss.matryoshka_dims=wide", "not a list of numbers such as"),
    ("optimizer.lr_multipliers=.*", "is not a list such as"),
    ("steps", "expected --config.steps=VALUE"),
  ],
)
def test_overrides_that_are_mistakes(override, message):
  with pytest.raises(UserError, match=message) as caught:
    _load("contrastive", "miniature", f"--config.{override}")
  assert "\n" not in str(caught.value)


def test_options_of_others_may_be_any_number(tmp_path):
  """An objective of the user may have options of any type."""
  (tmp_path / "common.py").write_text(
    "def get(c):\n  c.loss.frozen_layers = 0\n  c.loss.ignore_index = -100\n"
    "  c.loss.targets = ('qkv',)\n  c.loss.bare = None\n  return c\n"
  )
  (tmp_path / "own.py").write_text(
    "import common, ml_collections\ndef get_config(arg=None):\n"
    "  c = ml_collections.ConfigDict(dict(seed=0, loss={}, data={}))\n"
    "  return common.get(c)\n"
  )
  _load("contrastive", "miniature")  # of another folder, whose common differs
  own = f"--config={tmp_path}/own.py"
  config = config_flags.load([own, "--config.loss.targets=('qkv','out')"])
  assert config.loss.targets == ("qkv", "out")
  assert (config.loss.frozen_layers, config.loss.ignore_index) == (0, -100)
  for text, words in (
    ("qkv,out", ("qkv", "out")),
    ("(qkv, out)", ("qkv", "out")),
    ("qkv", ("qkv",)),
    ("a-b,c.d/e", ("a-b", "c.d/e")),
    ("'a,b','c'", ("a,b", "c")),
    ("", ()),
    ("()", ()),
  ):
    config = config_flags.load([own, f"--config.loss.targets={text}"])
    assert config.loss.targets == words
  for text in ("(1,2)", "a,,b", "(a", "[a]", "'a',b"):
    with pytest.raises(
      UserError, match=re.escape(f"'{text}' is not a list of numbers")
    ):
      config_flags.load([own, f"--config.loss.targets={text}"])
  with pytest.raises(UserError, match="loss.bare: the file has None without"):
    config_flags.load([own, "--config.loss.bare=1"])
  _load("contrastive", "miniature")  # and its own common is found again


def test_a_config_file_imports_what_lies_beside_it_and_leaves_no_trace(
  tmp_path,
):
  """Modules and packages, imported at once or late, from several folders."""
  for number in (1, 2):
    folder = tmp_path / str(number)
    (folder / "parts" / "more").mkdir(parents=True)
    (folder / "common.py").write_text(f"A = {number}\n")
    for package in ("parts", "parts/more"):
      (folder / package / "__init__.py").write_text(f"B = {number}\n")
    (folder / "late.py").write_text(f"C = {number}\n")
    (folder / "config.py").write_text(
      "import common, parts.more, ml_collections\n"
      "def get_config(arg=None):\n  import late\n"
      "  return ml_collections.ConfigDict(dict(seed=0, found=(\n"
      "      common.A, parts.B, parts.more.B, late.C)))\n"
      "def sweep(add):\n  import late\n  add(seed=late.C)\n"
    )
  path, points = list(sys.path), []
  for number in (1, 2, 1):
    file = tmp_path / str(number) / "config.py"
    assert config_flags.load([f"--config={file}"]).found == (number,) * 4
    config_files.module(str(file)).sweep(lambda seed: points.append(seed))
  assert points == [1, 2, 1] and sys.path == path
  assert not {"common", "parts", "parts.more", "late"} & sys.modules.keys()


def test_keys_that_a_config_leaves_open():
  config = _load(
    "contrastive",
    "miniature",
    "--config.data.source_weights.pairs=2",
    "--config.data.source_weights.others=0.5",
    "--config.evaluators.eval.data.batch_size=4",
  )
  assert config.data.source_weights.to_dict() == {"pairs": 2.0, "others": 0.5}
  assert config.evaluators.eval.data.batch_size == 4
  assert config.data.batch_size == 16
  for override in (
    "data.source_weights.pairs=many",
    "evaluators.eval.data.batch_sise=4",
  ):
    with pytest.raises(UserError, match=override.partition("=")[0]):
      _load("contrastive", "miniature", f"--config.{override}")


def test_config_reaches_the_job_in_both_spellings(monkeypatch):
  seen = []
  monkeypatch.setattr(
    "nomic_jax.training.train",
    (lambda config, workdir, *_, **__: seen.append((workdir, config))),
  )
  config = f"{ROOT}/configs/mlm.py:miniature"
  for line in (
    ["--workdir=w", f"--config={config}", "--config.steps=9"],
    ["--workdir", "w", "--config", config, "--config.steps", "9"],
  ):
    assert main.main(["train", *line]) == 0
  for workdir, chosen in seen:
    assert workdir == "w" and chosen.steps == 9
    assert isinstance(chosen, ml_collections.ConfigDict)
  assert len(seen) == 2


def test_a_closed_output_pipe_is_no_error():
  end, start = os.pipe()
  os.close(end)
  run = subprocess.run(
    [
      sys.executable,
      "-m",
      "nomic_jax.main",
      "sweep",
      "--list",
      "--workdir=w",
      f"--config={ROOT}/configs/contrastive.py:miniature",
    ],
    stdout=start,
    stderr=subprocess.PIPE,
    text=True,
    check=False,
  )
  os.close(start)
  assert (run.returncode, run.stderr) == (141, "")


def test_a_connection_that_broke_is_one(monkeypatch):
  def broken(*arguments):
    raise BrokenPipeError("a bucket's")

  monkeypatch.setattr("nomic_jax.report.plot.plot", broken)
  with pytest.raises(BrokenPipeError, match="bucket"):
    main.main(["plot", "x", "--output=o"])
