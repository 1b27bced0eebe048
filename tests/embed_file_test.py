# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Embeds files of texts, also if killed and resumed."""

import dataclasses
import gzip
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pyarrow as pa
from pyarrow import parquet
import pytest
from support import small_data
from support import tiny
from support.remote import bucket_fixture  # noqa: F401
from support.remote import emulator_fixture  # noqa: F401
from support.remote import moto_fixture  # noqa: F401

import nomic_jax
from nomic_jax import main
from nomic_jax.embed import file
from nomic_jax.hub import model_directory
from nomic_jax.model.encoder import Encoder
from nomic_jax.storage import buckets
from nomic_jax.storage import staging

pytestmark = pytest.mark.slow

PROMPTS = {"search_query": "search : "}
TEXTS = [
  " ".join(np.random.default_rng(i).choice(tiny.WORDS, i % 19))
  for i in range(1500)
]


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
  """A model directory and the texts in every kind of file."""
  folder = tmp_path_factory.mktemp("embed_file")
  config = dataclasses.replace(tiny.ARCHITECTURE, vocab_size=200)
  params = jax.tree.map(lambda x: 5 * x, tiny.params(Encoder(config)))
  model_directory.write_model(
    folder / "model", config, jax.device_get(params), tiny.words(), PROMPTS
  )
  (folder / "texts.txt").write_text("\n".join(TEXTS))
  lines = "\n".join(
    json.dumps({"id": i, "text": t}) for i, t in enumerate(TEXTS)
  ).encode()
  (folder / "texts.jsonl").write_bytes(lines)
  (folder / "texts.jsonl.gz").write_bytes(gzip.compress(lines))
  parquet.write_table(
    pa.table({"id": range(len(TEXTS)), "text": TEXTS}),
    folder / "texts.parquet",
    row_group_size=100,
  )
  return folder


@pytest.fixture(name="expected", scope="module")
def _expected(folder):
  return nomic_jax.load(folder / "model").encode(TEXTS, prompt="search_query")


def _run(folder, *flags):
  return main.main(["embed", f"--model={folder}/model", *flags])


@pytest.mark.parametrize("kind", ["txt", "jsonl", "jsonl.gz", "parquet"])
def test_every_kind_of_file_gives_the_same(folder, expected, kind, capfd):
  output = folder / f"{kind}.npy"
  assert (
    _run(
      folder,
      f"--input={folder}/texts.{kind}",
      f"--output={output}",
      "--prompt=search_query",
    )
    == 0
  )
  np.testing.assert_allclose(np.load(output), expected, atol=2e-6)
  out, err = capfd.readouterr()
  assert f"{output}: 1,500 vectors of width 16" in out
  assert re.search(r"embedding: 1,500/1,500 texts  .* texts/s  0:00 left", err)
  assert not list(folder.glob(".*"))  # nothing is left behind


def test_parquet_out_has_the_texts_beside(folder):
  flags = ["--dim=8", "--no-normalize", "--precision=int8"]
  assert (
    _run(
      folder,
      f"--input={folder}/texts.jsonl",
      f"--output={folder}/new.parquet",
      *flags,
    )
    == 0
  )
  table = parquet.read_table(folder / "new.parquet")
  assert table.column("text").to_pylist() == TEXTS
  vectors = np.array(table.column("embedding").to_pylist(), np.int8)
  model = nomic_jax.load(folder / "model")
  np.testing.assert_array_equal(
    vectors[:50], model.encode(TEXTS[:50], dim=8, precision="int8")
  )


def test_what_json_may_hold_and_parquet_may_not(folder):
  (folder / "odd.jsonl").write_text(
    '{"text": "alpha\\ud800"}\n{"text": "\\u0000beta"}\n{"text": ""}'
  )
  assert (
    _run(
      folder, f"--input={folder}/odd.jsonl", f"--output={folder}/odd.parquet"
    )
    == 0
  )
  table = parquet.read_table(folder / "odd.parquet")
  assert table.column("text").to_pylist() == ["alpha\ufffd", "\0beta", ""]
  np.testing.assert_allclose(
    np.array(table.column("embedding").to_pylist(), np.float32),
    nomic_jax.load(folder / "model").encode(["alpha\ufffd", "beta", ""]),
    atol=2e-6,
  )


def test_truncated_texts_are_counted_in_one_line(folder, capfd):
  long = " ".join(["alpha"] * 100)
  (folder / "long.txt").write_text(f"{long}\nbeta\r\n{long}\n\n")
  assert (
    _run(folder, f"--input={folder}/long.txt", f"--output={folder}/long.npy")
    == 0
  )
  err = capfd.readouterr().err
  assert err.count("2 of 4 texts had more than 64 tokens") == 1
  assert "Warning" not in err
  vectors = np.load(folder / "long.npy")
  assert vectors.shape == (4, 16)
  model = nomic_jax.load(folder / "model")
  np.testing.assert_allclose(
    vectors[[1, 3]], model.encode(["beta", ""]), atol=2e-6
  )


def test_a_killed_job_resumes_only_with_the_same_command(
  folder, expected, capfd
):
  """Embeds in a separate process, which is killed."""
  # Windows are small, so that there are many points at which to kill it, and
  # slow, so that it is killed before it finishes.
  code = (
    "import nomic_jax.embed.pipeline, pathlib, sys, time\n"
    "from nomic_jax.main import main\n"
    "nomic_jax.embed.pipeline._WINDOW, replace = 16, pathlib.Path.replace\n"
    "pathlib.Path.replace = (\n"
    "    lambda *paths: time.sleep(0.05) or replace(*paths))\n"
    "sys.exit(main())"
  )
  output = folder / "killed.npy"
  flags = [
    f"--input={folder}/texts.jsonl",
    f"--output={output}",
    "--prompt=search_query",
  ]
  process = subprocess.Popen(
    [sys.executable, "-c", code, "embed", f"--model={folder}/model", *flags],
    cwd=small_data.ROOT,
    stderr=subprocess.DEVNULL,
  )
  mark = folder / ".killed.npy.partial" / "done.json"
  limit = time.monotonic() + 100
  while not mark.exists() or json.loads(mark.read_text())["done"] < 64:
    assert process.poll() is None and time.monotonic() < limit
    time.sleep(0.001)
  process.send_signal(signal.SIGKILL)
  process.wait()
  done = json.loads(mark.read_text())["done"]
  assert 64 <= done < 1500 and not output.exists()
  # Stored vectors are not computed again: that would undo this change.
  store = np.load(mark.with_name("vectors.npy"), mmap_mode="r+")
  np.testing.assert_allclose(store[:done], expected[:done], atol=2e-6)
  store[0] = 7
  store.flush()

  assert _run(folder, *flags, "--dim=4") == 2
  assert (
    "started with different --dim; run that command" in capfd.readouterr().err
  )
  assert _run(folder, *flags) == 0
  made = np.load(output)
  assert (made[0] == 7).all()
  np.testing.assert_allclose(made[1:], expected[1:], atol=2e-6)
  assert not mark.parent.exists()


def test_killed_after_the_last_step_it_ends(folder, expected):
  """The vectors have been renamed, but the partial folder still exists."""
  output = folder / "last.npy"
  flags = [f"--input={folder}/texts.txt", f"--output={output}"]
  code = (
    "import os, shutil, sys\n"
    "shutil.rmtree = lambda path: os._exit(9)\n"
    "from nomic_jax.main import main; sys.exit(main())"
  )
  killed = subprocess.run(
    [sys.executable, "-c", code, "embed", f"--model={folder}/model", *flags],
    cwd=small_data.ROOT,
    stderr=subprocess.DEVNULL,
    check=False,
  )
  assert killed.returncode == 9
  before = os.stat(output).st_ino
  assert _run(folder, *flags) == 0
  assert os.stat(output).st_ino == before
  assert not list(folder.glob(".last*"))
  assert np.abs(np.load(output) - expected).max() > 0.01  # no prompt


@pytest.mark.parametrize(
  "name, content, message",
  [
    ("a.xlsx", b"alpha", "unknown file format; expected .txt, .jsonl"),
    ("a.txt", b"", "contains no texts"),
    ("a.txt", b"alpha\n\xff\n", "row 2: not UTF-8 at byte 0"),
    ("a.jsonl", b'{"text": "a"}\n{"text": null}', "row 2: no text in column"),
    ("a.jsonl", b'{"txt": "a"}', "name another with --column. Did you mean"),
    ("a.parquet", b"PAR1", "row 1: not a whole parquet file"),
  ],
)
def test_a_bad_file_is_named_before_the_work(
  tmp_path, name, content, message, capfd
):
  (tmp_path / name).write_bytes(content)
  assert (
    main.main(
      [
        "embed",
        "--model=none",
        f"--input={tmp_path / name}",
        f"--output={tmp_path}/new.npy",
      ]
    )
    == 2
  )
  err = capfd.readouterr().err
  assert message in err and name in err and err.count("\n") == 1
  assert [p.name for p in pathlib.Path(tmp_path).iterdir()] == [name]


def test_parquet_rows_without_a_text(tmp_path, capfd):
  parquet.write_table(pa.table({"text": ["a", None]}), tmp_path / "a.parquet")
  for flags, message in (
    ([], "row 2: no text in column 'text'"),
    (["--column=texts"], "columns are text; name another with --column"),
  ):
    assert (
      main.main(
        [
          "embed",
          "--model=none",
          f"--input={tmp_path}/a.parquet",
          f"--output={tmp_path}/new.npy",
          *flags,
        ]
      )
      == 2
    )
    assert message in capfd.readouterr().err


def test_the_column_of_the_vectors_is_not_that_of_the_texts(tmp_path, capfd):
  (tmp_path / "a.jsonl").write_text('{"embedding": "a"}')
  flags = [f"--input={tmp_path}/a.jsonl", "--column=embedding"]
  assert _run(tmp_path, *flags, f"--output={tmp_path}/a.parquet") == 2
  err = capfd.readouterr().err
  assert "--column=embedding: in a .parquet this is the column of the" in err


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_files_in_a_bucket(folder, bucket, tmp_path, monkeypatch, capfd, kind):
  """Also if killed: the vectors so far are in the current directory."""
  here = tmp_path / "here"
  here.mkdir()
  monkeypatch.chdir(here)
  monkeypatch.setenv(staging.ENVIRONMENT, str(tmp_path / "cache"))
  texts, output = f"{bucket}/in.txt", f"{bucket}/sub/out.{kind}"
  buckets.as_path(texts).write_text("alpha\nbeta gamma\n\n")
  command = (folder, f"--input={texts}", f"--output={output}")

  with monkeypatch.context() as patch:
    patch.setattr(buckets, "upload", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      file.embed_file(f"{folder}/model", texts, output)
  assert not buckets.as_path(output).exists()
  (partial,) = here.iterdir()
  store = np.load(partial / "vectors.npy", mmap_mode="r+")
  store[0] = 7  # stored vectors are not computed again
  store.flush()
  other = (*command[:2], f"--output={bucket}/out.{kind}")
  assert _run(*other) == 2
  assert "was started with different --output;" in capfd.readouterr().err
  assert _run(*command) == 0

  made = io.BytesIO(buckets.as_path(output).read_bytes())
  if kind == "parquet":
    vectors = parquet.read_table(made).column("embedding").to_pylist()
  else:
    vectors = np.load(made)
  expected = nomic_jax.load(folder / "model").encode(
    ["alpha", "beta gamma", ""]
  )
  expected[0] = 7
  np.testing.assert_allclose(np.array(vectors), expected, atol=2e-6)
  assert not [*here.iterdir()]
  no = bucket.replace("://", "://no-")
  assert _run(*command[:2], f"--output={no}/out.{kind}") == 2
  assert "there is no bucket no-" in capfd.readouterr().err
  assert not [*here.iterdir()]
