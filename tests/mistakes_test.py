# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A mistake prints one line that says how to fix it, and writes nothing."""

import re
import shutil

import numpy as np
import pytest
import safetensors.numpy
from support import small_data

from nomic_jax import errors
from nomic_jax import main
from nomic_jax.data.prepare import prepare

pytestmark = pytest.mark.slow


def test_one_of_names_what_there_is_and_the_nearest():
  errors.one_of("a", {"a": 1}, "never said")
  for given, names, message in (
    (
      "onee",
      ["one", "two"],
      "x: no 'onee'; expected one of one, two. Did you mean 'one'?",
    ),
    ("q", ["one"], "x: no 'q'; expected one of one."),
    ("q", [], "x: no 'q'; expected one of none."),
    (
      30,
      [f"n{i}" for i in range(23)],
      "x: no '30'; expected one of "
      + (", ".join(f"n{i}" for i in range(20)) + " and 3 more."),
    ),
  ):
    with pytest.raises(errors.UserError) as caught:
      errors.one_of(given, names, f"x: no '{given}'")
    assert str(caught.value).startswith(message)


@pytest.fixture(name="made", scope="module")
def _made(tmp_path_factory):
  """Data, a short training, its export, and broken copies of each."""
  place = tmp_path_factory.mktemp("mistakes")
  small_data.make(place)
  prepare(f"{place}/pairs.jsonl", place / "no_test", vocab_size=150, held_out=0)
  train = small_data.train("mlm", place / "pairs", place / "trained", "steps=3")
  assert main.main(train) == 0
  export = ["export", f"--workdir={place}/trained", f"--output={place}/model"]
  assert main.main(export) == 0

  rows = (place / "pairs.jsonl").read_text().splitlines()
  (place / "malformed.jsonl").write_text("\n".join([*rows[:2], '{"query": "a']))
  (place / "empty.jsonl").write_text("")
  (place / "empty.txt").write_text("\n")
  (place / "text.txt").write_text("a river\na stone\n")
  (place / "nothing").mkdir()
  (place / "foreign").mkdir()
  (place / "foreign" / "letter.txt").write_text("dear")
  _break_records(place)
  _break_tensors(place)
  (place / "syntax.py").write_text("def get_config(arg):\n  return (\n")
  (place / "other.py").write_text("steps = 3\n")
  (place / "imports.py").write_text("import os\nimport comon\n")
  (place / "raises.py").write_text(
    "import ml_collections\n\ndef get_config(arg):\n"
    "  c = ml_collections.ConfigDict({'steps': 1})\n  c.stepz.x = 2\n"
  )
  (place / "no_arg.py").write_text("def get_config():\n  return {}\n")
  (place / "adds.py").write_text(
    "import ml_collections\n\ndef get_config(arg):\n"
    "  return ml_collections.ConfigDict()\n\ndef sweep(add):\n  add({})\n"
  )
  (place / "no_config.py").write_text("def get_config(arg):\n  return {}\n")
  return place


def _break_records(place):
  """Flips bits in the middle of the records, as a faulty disk would."""
  shutil.copytree(place / "pairs", place / "corrupt")
  (file,) = (place / "corrupt").glob("*-train.array_record*")
  content = bytearray(file.read_bytes())
  records = content.index(bytes(1000))  # then padding, to the end of a block
  for i in range(records // 2, records // 2 + 400):
    content[i] ^= 0x5A
  file.write_bytes(content)


def _break_tensors(place):
  for name, change in {
    "missing": lambda t: t.pop("encoder.layers.0.mlp.fc2.weight"),
    "misshapen": lambda t: t.update(
      {"encoder.layers.0.mlp.fc2.weight": np.zeros((3, 4), np.float32)}
    ),
  }.items():
    shutil.copytree(place / "model", place / name)
    file = place / name / "model.safetensors"
    tensors = safetensors.numpy.load_file(file)
    change(tensors)
    safetensors.numpy.save_file(tensors, file)


def _listing(place):
  return {
    str(p): p.stat().st_mtime_ns
    for p in place.rglob("*")
    if "__pycache__" not in p.parts
  }


def _assert_mistake(place, command, pattern, capsys):
  before = _listing(place)
  capsys.readouterr()
  assert main.main(command) == 2
  line = small_data.complaint(capsys.readouterr().err)
  assert re.search(pattern, line), line
  assert _listing(place) == before


@pytest.mark.parametrize(
  "command, pattern",
  [
    ([], "required: JOB. See nomic-jax --help"),
    (["trian"], "no job 'trian'; expected one of .* Did you mean 'train'"),
    (["prepare"], "required: --source, --output. See nomic-jax prepare"),
    (["prepare", "--sorce=x"], "--sorce: .* Did you mean '--source'"),
    (["prepare", "x", "--source=a", "--output=b"], "^x: prepare takes no such"),
    (
      ["prepare", "--source=a", "--output=b", "--config.steps=1"],
      "--config.steps: prepare has no such flag",
    ),
    (
      ["mine", "--model=a", "--input=b", "--output=c", "--short=some"],
      "--short: invalid choice: 'some'",
    ),
    (
      ["filter", "--model=a", "--input=b", "--output=c", "--k=two"],
      "--k: invalid int value: 'two'",
    ),
    (["train", "--workdir=w"], "expected one --config=FILE.py"),
    (["train", small_data.config("mlm")], "required: --workdir"),
    (
      ["train", "x", small_data.config("mlm"), "--workdir=w"],
      "^x: train takes no such argument",
    ),
    (
      ["train", "--workdir=w", "--config=configs/mml.py"],
      "no file configs/mml.py.* Did you mean 'configs/mlm.py'",
    ),
    (
      ["train", "--workdir=w", "--config={place}/other.py"],
      "other.py has no function get_config",
    ),
    (
      ["train", "--workdir=w", "--config={place}/syntax.py"],
      r"syntax.py, line 2: '\(' was never closed; correct the file",
    ),
    (
      ["train", "--workdir=w", "--config={place}/imports.py"],
      "imports.py, line 2: ModuleNotFoundError: No module named 'comon'; cor",
    ),
    (
      ["train", "--workdir=w", "--config={place}/raises.py"],
      "raises.py, line 5: AttributeError: .*stepz.*; correct the file",
    ),
    (
      ["train", "--workdir=w", "--config={place}/no_arg.py"],
      r"no_arg.py: TypeError: get_config\(\) takes 0 .*; correct the file",
    ),
    (
      ["train", "--workdir=w", "--config={place}/no_config.py"],
      "no_config.py: get_config returned a dict; expected an ml_collections",
    ),
    (
      ["sweep", "--workdir=w", "--list", "--config={place}/adds.py"],
      r"adds.py, line 7: TypeError: .*add\(\) takes 0 .*; correct the file",
    ),
    (
      ["train", "--workdir=w", small_data.config("mlm") + "s"],
      ":miniatures: no such size; expected one of paper, .* 'miniature'",
    ),
    (["export", "--output=o"], "exactly one of --workdir, --config and"),
    (["export", "--workdir=", "--output=o"], "exactly one of --workdir, --c"),
  ],
)
def test_command_line(made, command, pattern, capsys, monkeypatch):
  monkeypatch.chdir(small_data.ROOT)
  command = [part.format(place=made) for part in command]
  _assert_mistake(made, command, pattern, capsys)


@pytest.mark.parametrize(
  "name, overrides, pattern",
  [
    (
      "mlm",
      ["optimizer.learning_rat=1"],
      "no such key. Did you mean 'optimizer.learning_rate'",
    ),
    ("mlm", ["steps=many"], "--config.steps: 'many' is not a whole number"),
    ("mlm", ["steps=0"], "--config.steps: 0 is too small; expected 1 or more"),
    ("mlm", ["data.path="], "config.data.path is empty; set --config.data.pa"),
    ("mlm", ["data.kind=txt"], "config.data.kind: no kind 'txt'; .* 'text'"),
    (
      "contrastive",
      ["data.kind=labels"],
      "config.data.kind: labels needs config.data.text_length",
    ),
    ("mlm", ["data.split=trian"], "no split 'trian'; it has .* 'train'"),
    ("mlm", ["data.mask_rate=30"], "mask_rate: 30.0; expected the share"),
    ("mlm", ["data.batch_size=15"], "config.data.batch_size: 15 rows .*try 14"),
    (
      "mlm",
      ["data.batch_size=12"],
      "6 rows, .* not divide evenly over 8 devices",
    ),
    (
      "contrastive",
      ["data.rows_multiple=4"],
      "rows_multiple has 4 rows, which do not divide evenly over 8 devices",
    ),
    (
      "contrastive",
      ["data.batch_size=64"],
      "config.data.batch_size: 64 is more than the 54 rows of the data",
    ),
    (
      "finetune",
      [],
      "config.data.negatives: 2 for each query, but the rows .*"
      "pairs have none; add them with nomic-jax mine, or set it to 0",
    ),
    ("contrastive", ["loss.chunks=3"], "chunks.* Did you mean .*chunk_tok"),
    ("contrastive", ["loss.chunk_tokens=-1"], "chunk_tokens.*-1"),
    ("mlm", ["loss.name=mml"], "no loss 'mml'; .* Did you mean 'mlm'"),
    (
      "contrastive",
      ["loss.name=mlm"],
      "config.loss.[a-z]+: the loss mlm has no such argument; it has chunks",
    ),
    ("contrastive", ["loss.temperature=0"], "config.loss.temperature: 0.0"),
    (
      "contrastive",
      ["loss.matryoshka_dims=(32,)"],
      "config.loss.matryoshka_dims: 32 is not .* encoder's width 16",
    ),
    (
      "contrastive",
      ["loss.matryoshka_dims=(8,4)", "loss.matryoshka_weights=1"],
      "config.loss.matryoshka_weights: 1 values for 2",
    ),
    (
      "contrastive",
      ["loss.matryoshka_dims=(8,4)", "loss.matryoshka_weights=(1,-1)"],
      "config.loss.matryoshka_weights: .*-1.* include a negative weight",
    ),
    (
      "mlm",
      ["mesh.data=3"],
      r"config.mesh \(data=3, fsdp=1, tensor=1\) does not fit 8 devices",
    ),
    ("mlm", ["mesh.rules=fdsp"], "config.mesh.rules: .* Did you mean 'fsdp'"),
    ("mlm", ["compute.attention=flash"], "no implementation 'flash'"),
    ("mlm", ["compute.dtype=float23"], "config.compute.dtype: .* 'float32'"),
    ("mlm", ["compute.dropout=1"], "config.compute.dropout: 1.0 is not a prob"),
    ("mlm", ["compute.remat=half"], "config.compute.remat: 'half' is unknown"),
    (
      "mlm",
      ["encoder.heads=3"],
      "config.encoder: nomic_bert: a width of 16 does not divide into 3 heads",
    ),
    (
      "mlm",
      ["encoder.pooling=average"],
      "config.encoder: pooling 'average' is unknown; expected one of mean",
    ),
    (
      "mlm",
      ["optimizer.schedule=cosin"],
      "config.optimizer.schedule: no schedule 'cosin'; .* 'cosine'",
    ),
    (
      "mlm",
      ["optimizer.warmup=6"],
      "warmup: '6' is 6 steps, which do not fit a run of 6; .* 0 to 5",
    ),
    ("mlm", ["optimizer.clip_norm=-1"], "config.optimizer.clip_norm: -1.0"),
    (
      "contrastive",
      ["init_from={place}/traned"],
      "traned: not a model.* Did you mean 'trained'",
    ),
    ("contrastive", ["init_from={place}/nothing"], "nothing: not a model"),
    (
      "contrastive",
      ["init_from={place}/missing"],
      "/missing: the tensors .* missing encoder.layers.0.mlp.fc2.weight",
    ),
  ],
)
def test_training_config(made, name, overrides, pattern, capsys):
  overrides = [o.format(place=made) for o in overrides]
  command = small_data.train(name, made / "pairs", made / "new", *overrides)
  _assert_mistake(made, command, pattern, capsys)


@pytest.mark.parametrize(
  "workdir, data, pattern",
  [
    ("new", "nowhere", "nowhere: no tokenizer.* made by nomic-jax prepare"),
    ("new", "nothing", "nothing: no tokenizer/tokenizer.json in it"),
    # Raised in a reader thread, long after the data was opened.
    ("new", "corrupt", r"array_record-\S+: damaged .*\(row \d+\); copy"),
    ("foreign", "pairs", "foreign exists but is not a work directory"),
    ("model", "pairs", "model exists but is not a work directory"),
    ("text.txt", "pairs", "text.txt exists but is not a work directory"),
    (
      "trained",
      "pairs",
      "trained belongs to another config: config.steps was "
      "3 and is now 6. Give the same config to resume, or another",
    ),
  ],
)
def test_training_places(made, workdir, data, pattern, capsys):
  command = small_data.train("mlm", made / data, made / workdir)
  _assert_mistake(made, command, pattern, capsys)


@pytest.mark.parametrize(
  "command, pattern",
  [
    (
      "prepare --source={0}/none.jsonl --output={0}/new",
      "--source=.*none.jsonl: no such file or folder; expected 'docstrings'",
    ),
    (
      "prepare --source={0}/empty.jsonl --output={0}/new",
      "empty.jsonl: has no rows; or skip such rows with --skip_bad=N",
    ),
    (
      "prepare --source={0}/malformed.jsonl --output={0}/new",
      "malformed.jsonl, row 3: not valid JSON",
    ),
    (
      "prepare --source=docstrings:{0}/nothing --output={0}/new",
      "nothing: no Python files to read",
    ),
    (
      "prepare --source={0}/pairs.jsonl --output={0}/foreign",
      "foreign: exists and is not a data directory; choose another --output",
    ),
    (
      "prepare --source={0}/pairs.jsonl --output={0}/pairs",
      "pairs: made with other arguments .*vocab_size was 150 and is now 8192",
    ),
    (
      "filter --model={0}/trained --input={0}/none --output={0}/new",
      "none: no tokenizer/tokenizer.json in it; expected a data directory",
    ),
    (
      "filter --model={0}/nothing --input={0}/pairs --output={0}/new",
      "nothing: not a model, since it has no config.json",
    ),
    (
      "filter --model={0}/missing --input={0}/pairs --output={0}/new",
      "missing: the tensors do not fit the config: missing encoder.layers.0",
    ),
    (
      "filter --model={0}/trained --input={0}/pairs --output={0}/pairs",
      "--output is the same as --input",
    ),
    (
      "mine --model={0}/misshapen --input={0}/pairs --output={0}/new "
      "--negatives=3",
      r"misshapen .*fc2.weight \(expected \[16, 16\], found \[3, 4\]\)",
    ),
    (
      "mine --model={0}/trained --input={0}/pairs --output={0}/new "
      "--negatives=60",
      "54 distinct documents are too few for 60 negatives",
    ),
    (
      "mine --model={0}/trained --input={0}/pairs --output={0}/foreign "
      "--negatives=3",
      "foreign: already exists and was not made by nomic-jax mine",
    ),
    ("export --workdir={0}/none --output={0}/new", "none: not a model"),
    (
      "export --workdir={0}/trained --output={0}/foreign",
      "foreign: already exists and is not an exported model",
    ),
    (
      "export --workdir={0}/trained --output={0}/trained",
      "trained: this is also the input",
    ),
    (
      "embed --model={0}/model --input={0}/text.txt --output={0}/new.txt",
      "--output=.*new.txt: expected a name that ends in .npy or .parquet",
    ),
    (
      "embed --model={0}/model --input={0}/none.txt --output={0}/new.npy",
      "none.txt: no such file; expected .txt, .jsonl",
    ),
    (
      "embed --model={0}/model --input={0}/empty.jsonl --output={0}/new.npy",
      "empty.jsonl: contains no texts",
    ),
    (
      "embed --model={0}/model --input={0}/malformed.jsonl "
      "--output={0}/new.npy --column=query",
      "malformed.jsonl, row 3: not valid JSON",
    ),
    (
      "embed --model={0}/model --input={0}/pairs.jsonl --output={0}/new.npy",
      "row 1: no text in column 'text'; .* query, document; name .* --column",
    ),
    (
      "embed --model={0}/model --input={0}/text.txt --output={0}/new.npy "
      "--prompt=search_qury",
      "no prompt 'search_qury'.* 'search_query'",
    ),
    (
      "embed --model={0}/model --input={0}/text.txt --output={0}/new.npy "
      "--dim=17",
      "dim 17 is not between 1 and 16",
    ),
    ("evaluate --tasks={0}/pairs --output={0}/new.json", "nothing to evaluate"),
    (
      "evaluate --tasks={0}/no_test --output={0}/new.json --baseline=bm25",
      "no_test: no split 'test'; it has train",
    ),
    (
      "evaluate --tasks={0}/pairs --output={0}/new.json --baseline=bm52",
      "--baseline=bm52: unknown; expected one of bm25",
    ),
    (
      "evaluate --tasks={0}/pairs --output={0}/new.json "
      "--model=a={0}/misshapen",
      "misshapen: the tensors do not fit the config",
    ),
    (
      "search --model={0}/model --corpus={0}/empty.txt river",
      "empty.txt: contains no texts",
    ),
    (
      "search --model={0}/model --corpus={0}/malformed.jsonl river",
      "malformed.jsonl, row 3: not valid JSON",
    ),
    (
      "report --workdir={0}/nothing --output={0}/new.html",
      "nothing: has neither metrics.jsonl nor config.json",
    ),
    (
      "report --scores={0}/pairs.jsonl --output={0}/new.html",
      "--scores=.*: not a file of nomic-jax evaluate",
    ),
  ],
)
def test_other_jobs(made, command, pattern, capsys):
  _assert_mistake(made, command.format(made).split(), pattern, capsys)


def test_the_corrected_command_runs_after_a_mistake(made):
  """A refused command does not claim the work directory."""
  flags = [f"--input={made}/pairs", f"--output={made}/kept", "--k=54"]
  assert main.main(["filter", f"--model={made}/misshapen", *flags]) == 2
  assert main.main(["filter", f"--model={made}/model", *flags]) == 0
  assert (made / "kept" / "stats.json").is_file()
