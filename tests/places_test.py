# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Outputs at links, volumes and mount points, and unwritable outputs."""

import inspect
import os
import pathlib
import shutil
import subprocess

import pytest
from support import small_data

import nomic_jax
from nomic_jax import jobs
from nomic_jax import main
from nomic_jax import sweep
from nomic_jax import training
from nomic_jax.aot import check as compile_lib
from nomic_jax.curate import clean
from nomic_jax.curate import filter as filter_lib
from nomic_jax.curate import mine
from nomic_jax.curate import parts
from nomic_jax.curate import teach
from nomic_jax.data import dataset
from nomic_jax.data import prepare
from nomic_jax.data import tokens
from nomic_jax.embed import file as embed_file
from nomic_jax.errors import UserError
from nomic_jax.evaluation import tasks
from nomic_jax.report import evaluate
from nomic_jax.report import plot
from nomic_jax.report import report
from nomic_jax.run import export
from nomic_jax.run import merge
from nomic_jax.search import answer as search
from nomic_jax.storage import fingerprints
from nomic_jax.storage import hub_cache
from nomic_jax.storage import places
from nomic_jax.storage.files import replacing


@pytest.fixture(name="made", scope="module")
def _made(tmp_path_factory):
  """Data, an untrained model, a file, and a BEIR folder."""
  folder = tmp_path_factory.mktemp("places")
  small_data.make(folder)
  assert (
    main.main(
      [
        "export",
        small_data.config("contrastive"),
        *small_data.TINY,
        f"--config.data.path={folder}/pairs",
        f"--output={folder}/model",
      ]
    )
    == 0
  )
  (folder / "texts.txt").write_text("a river\na lamp\n")
  (folder / "file").write_text("x")
  return folder


def _write(path, **contents):
  with replacing(path) as temporary:
    temporary.mkdir()
    for name, text in contents.items():
      (temporary / name).write_text(text)


def _names(folder):
  return sorted(p.name for p in folder.iterdir())


def test_links_are_followed_and_stay(tmp_path):
  disk = tmp_path / "disk"
  disk.mkdir()
  for name in ("there", "dangling"):
    link = tmp_path / name
    link.symlink_to(disk / name)
  (disk / "there").mkdir()
  for name in ("there", "dangling"):
    for content in ("old", "new"):
      _write(tmp_path / name, a=content)
    assert (tmp_path / name).is_symlink()
    assert (disk / name / "a").read_text() == "new"
  (tmp_path / "file").symlink_to(disk / "file")
  with replacing(tmp_path / "file") as temporary:
    temporary.write_text("x")
  assert (tmp_path / "file").is_symlink()
  assert (disk / "file").read_text() == "x"
  assert _names(tmp_path) == ["dangling", "disk", "file", "there"]
  assert _names(disk) == ["dangling", "file", "there"]


@pytest.fixture(name="fixed", params=["current", "system", "parent", "mount"])
def _fixed(request, tmp_path, monkeypatch):
  """A directory that cannot be renamed, and why."""
  path = tmp_path / "out"
  path.mkdir()
  if request.param == "current":
    monkeypatch.chdir(path)
    yield pathlib.Path(".")
  elif request.param == "system":
    (path / "lost+found").mkdir()
    yield path
  elif request.param == "parent":
    access = os.access
    monkeypatch.setattr(
      os,
      "access",
      lambda p, mode: pathlib.Path(p) != tmp_path and access(p, mode),
    )
    yield path
  else:
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)]
    if (
      os.geteuid()
      or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
      pytest.skip("no file system can be mounted here")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_a_directory_that_cannot_be_renamed_is_filled(fixed, tmp_path):
  inode = fixed.stat().st_ino
  assert places.is_vacant(fixed)
  places.check_folder(fixed, "refused")
  _write(fixed, a="1", b="2")
  with pytest.raises(UserError, match="refused"):
    places.check_folder(fixed, "refused")
  with pytest.raises(RuntimeError):
    with replacing(fixed) as temporary:
      temporary.mkdir()
      (temporary / "a").write_text("half")
      raise RuntimeError
  _write(fixed, a="3", c="4")
  found = {p.name: p.read_text() for p in fixed.iterdir() if p.is_file()}
  assert found == {"a": "3", "c": "4"}
  assert set(_names(fixed)) - found.keys() <= {"lost+found"}
  assert fixed.stat().st_ino == inode and _names(tmp_path) == ["out"]
  kept = places.beside(places.real(fixed), ".parts")
  assert kept.parent == places.real(fixed)


@pytest.mark.parametrize("kill", range(7))
def test_a_fill_that_was_killed_is_completed_or_undone(
  tmp_path, monkeypatch, kill
):
  """Kills it at each of the seven renames."""
  path = tmp_path / "out"
  (path / "lost+found").mkdir(parents=True)
  for name in ("a", "b"):
    (path / name).write_text("old")
  rename, calls = pathlib.Path.rename, []

  def killed(self, target):
    if len(calls) >= kill:
      raise KeyboardInterrupt
    calls.append(self.name)
    return rename(self, target)

  monkeypatch.setattr(pathlib.Path, "rename", killed)
  contents = {"config.json": "new", "a": "new", "c": "new", "d": "new"}
  settle = places.settle
  monkeypatch.setattr(places, "settle", lambda path: None)  # as if killed
  with pytest.raises(KeyboardInterrupt):
    places.fill(_temporary(path, contents), path)
    settle(path)
  assert "config.json" not in calls
  monkeypatch.undo()
  places.check_folder(path, "refused", lambda path: True)
  found = {p.name: p.read_text() for p in path.iterdir() if p.is_file()}
  assert found == (contents if kill > 2 else {"a": "old", "b": "old"})
  assert "lost+found" in _names(path) and len(_names(path)) == len(found) + (
    1 if kill > 2 else 2
  )  # the temporary that would have been removed


def _temporary(path, contents):
  temporary = places.beside(path, ".tmp")
  temporary.mkdir()
  for name, text in contents.items():
    (temporary / name).write_text(text)
  return temporary


def test_what_desktops_and_nas_devices_leave_is_no_content(made, tmp_path):
  data, out = tmp_path / "data", tmp_path / "out"
  shutil.copytree(made / "pairs", data)
  before = dataset.fingerprint(data), fingerprints.of_content(data)
  out.mkdir()
  for folder in (data, out):
    for name in (".DS_Store", "._stats.json", "Thumbs.db", "@eaDir/x.json"):
      (folder / name).parent.mkdir(exist_ok=True)
      (folder / name).write_text("x")
  assert before == (dataset.fingerprint(data), fingerprints.of_content(data))
  assert fingerprints.stamps(out) == [] and places.is_vacant(out)
  _write(out, a="1")
  assert (out / "a").is_file() and (out / "Thumbs.db").is_file()
  (data / "more.json").write_text("x")  # the control
  assert before != (dataset.fingerprint(data), fingerprints.of_content(data))
  assert not places.is_system("sources.json")


def test_an_output_is_not_its_input(made, tmp_path, capsys):
  vectors, link = tmp_path / "a.parquet", tmp_path / "b.parquet"
  vectors.write_text("kept")
  link.symlink_to(vectors)
  for job in (
    [
      "embed",
      f"--model={made}/model",
      f"--input={vectors}",
      f"--output={link}",
    ],
    ["export", f"--workdir={made}/model", f"--output={made}/./model"],
    ["report", f"--scores={vectors}", f"--output={vectors}"],
  ):
    assert main.main(job) == 2
    assert "this is also the input" in capsys.readouterr().err, job[0]
  assert vectors.read_text() == "kept"


@pytest.mark.parametrize(
  "path, expected",
  [
    ("~", "/home/me"),
    ("~/x", "/home/me/x"),
    ("name=~/x", "name=/home/me/x"),
    ("sts:~/x", "sts:/home/me/x"),
    ("n=sts:~/x", "n=sts:/home/me/x"),
    ("docstrings:~/x", "docstrings:/home/me/x"),
    ("a~/x", "a~/x"),
    ("gs://bucket/~/x", "gs://bucket/~/x"),
    ("s3://b/~", "s3://b/~"),
    ("./~/x", "./~/x"),
    ("owner/name", "owner/name"),
    ("", ""),
  ],
)
def test_home(path, expected, monkeypatch):
  monkeypatch.setenv("HOME", "/home/me")
  assert places.expanded(path) == expected


# Names of flags that take a path.
_PATHS = {
  "source",
  "output",
  "tokenizer",
  "input",
  "workdir",
  "workdirs",
  "model",
  "against",
  "corpus",
  "tasks",
  "data",
  "index",
  "scores",
}


def test_every_flag_that_takes_a_path_expands_the_home(monkeypatch):
  monkeypatch.setenv("HOME", "/home/me")
  parser, known = jobs.parser()
  for name, job in known.items():
    for action in job.actions:
      if action.dest not in _PATHS:
        continue
      required = [
        f"--{a.dest}=x" if a.option_strings else "x"
        for a in job.actions
        if a.required and a is not action
      ]
      flag = action.option_strings[0] + "=" if action.option_strings else ""
      found = parser.parse_args([name, *required, f"{flag}~/x"])
      assert getattr(found, action.dest) in ("/home/me/x", ["/home/me/x"]), (
        name,
        action.dest,
      )


def test_every_job_called_from_python_expands_the_home(monkeypatch):
  """Checks parameters that are paths as flags, and functions that open one."""
  monkeypatch.setenv("HOME", "/home/me")
  given, named = {}, {"path", "models", "specs", *_PATHS}
  for function in (
    clean.clean,
    compile_lib.check,
    dataset.open_split,
    embed_file.embed_file,
    evaluate.evaluate,
    export.export,
    filter_lib.filter_pairs,
    merge.merge,
    mine.mine_negatives,
    hub_cache.find,
    plot.plot,
    prepare.prepare,
    report.report,
    search.search,
    sweep.sweep,
    tasks.find,
    teach.teach,
    tokens.open_split,
    tokens.tokenise,
    training.train,
  ):
    taken = named & inspect.signature(function).parameters.keys()
    assert taken <= set(function.paths), function
  take = places.expanding("path", "others")(
    lambda path, others=(), name="": given.update(
      path=path, others=others, name=name
    )
  )
  take("~/x", others=["~/y", pathlib.Path("~/z"), None, 3], name="~/n")
  assert given == {
    "path": "/home/me/x",
    "name": "~/n",
    "others": ["/home/me/y", pathlib.Path("/home/me/z"), None, 3],
  }
  with pytest.raises(UserError, match="^/home/me/x: not a model"):
    nomic_jax.load("~/x")
  with pytest.raises(TypeError, match="no parameters"):
    places.expanding("pth")(nomic_jax.load)


def test_a_config_expands_the_home(made, monkeypatch, capsys):
  monkeypatch.setenv("HOME", str(made))
  assert (
    main.main([*small_data.train("mlm", "~/pairs", "~/run", "steps=0")]) == 2
  )
  assert "steps" in capsys.readouterr().err  # control: the config was read
  assert (
    main.main(
      [
        "export",
        small_data.config("mlm"),
        *small_data.TINY,
        "--config.data.path=~/pairs",
        "--output=~/exported",
      ]
    )
    == 0
  )
  assert (made / "exported" / "config.json").is_file()
  assert not pathlib.Path("~").exists()


def test_paths_with_commas(tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  for name in ("a,b", "c"):
    (tmp_path / name).mkdir()
  a_b, c = f"{tmp_path}/a,b", f"{tmp_path}/c"
  assert places.listed(f"{a_b},{c},bm25,") == [a_b, c, "bm25"]
  assert places.listed(f"{c},x={a_b}") == [c, f"x={a_b}"]
  assert places.listed("~/a,b,sts:~/a,b") == [a_b, f"sts:{a_b}"]
  assert places.listed("a,b") == ["a", "b"]
  parser, _ = jobs.parser()
  given = ["evaluate", "--output=x", f"--tasks={a_b},{c}", "--tasks=d,e"]
  assert parser.parse_args(given).tasks == [a_b, c, "d", "e"]
  assert parser.parse_args(["clean", "--input=a", "--output=b"]).against == []


@pytest.mark.parametrize(
  "job",
  [
    "prepare --source={0}/pairs.jsonl",
    "clean --input={0}/pairs",
    "filter --model={0}/model --input={0}/pairs",
    "mine --model={0}/model --input={0}/pairs --negatives=2",
    "teach --model={0}/model --input={0}/pairs",
    "embed --model={0}/model --input={0}/texts.txt",
    "evaluate --baseline=bm25 --tasks={0}/pairs",
    "export {config} {tiny} --config.data.path={0}/pairs",
    "merge {0}/model {0}/model",
    "report --workdir={0}/none",
    "plot {0}/none",
    "compile {config} {tiny} --topology=v5e:2x4",
  ],
)
def test_a_place_that_cannot_be_written_is_found_before_the_work(
  made, job, monkeypatch, capsys
):
  def never(*args, **kwargs):
    raise AssertionError("the work has begun")

  monkeypatch.setattr("nomic_jax.load", never)
  monkeypatch.setattr("nomic_jax.data.splits.survey", never)
  monkeypatch.setattr("nomic_jax.curate.clean._pass", never)
  monkeypatch.setattr("nomic_jax.evaluation.tasks.find", never)
  monkeypatch.setattr("nomic_jax.aot.topology.devices", never)
  name = job.partition(" ")[0]
  suffix = {
    "embed": ".npy",
    "evaluate": ".json",
    "report": ".html",
    "plot": ".png",
    "compile": ".json",
  }.get(name, "")
  command = job.format(
    made,
    config=small_data.config("contrastive"),
    tiny=" ".join(small_data.TINY),
  ).split()
  before = _names(made)
  assert main.main([*command, f"--output={made}/file/out{suffix}"]) == 2
  line = small_data.complaint(capsys.readouterr().err)
  assert f"cannot write {made}/file/out{suffix}: " in line
  assert "is a file; choose another path" in line
  assert _names(made) == before


def test_a_file_does_not_replace_a_directory(made, capsys):
  (made / "folder.json").mkdir(exist_ok=True)
  assert (
    main.main(
      [
        "evaluate",
        "--baseline=bm25",
        f"--tasks={made}/pairs",
        f"--output={made}/folder.json",
      ]
    )
    == 2
  )
  assert "it is a directory" in capsys.readouterr().err


def test_jobs_fill_an_empty_directory_and_a_new_volume(made, tmp_path, capsys):
  for name in ("empty", "volume"):
    (tmp_path / name).mkdir()
  (tmp_path / "volume" / "lost+found").mkdir()
  link = tmp_path / "link"
  link.symlink_to(tmp_path / "empty")
  for output in (link, tmp_path / "volume"):
    for again in ("", "already complete"):
      assert (
        main.main(["clean", f"--input={made}/pairs", f"--output={output}"]) == 0
      )
      assert again in capsys.readouterr().out
    assert (output / "dataset_info.json").is_file()
  assert link.is_symlink() and (tmp_path / "volume" / "lost+found").is_dir()
  other = tmp_path / "other"
  other.mkdir()
  (other / "thesis.txt").write_text("mine")
  assert main.main(["clean", f"--input={made}/pairs", f"--output={other}"]) == 2
  assert _names(other) == ["thesis.txt"]


def test_a_finished_output_need_not_be_writable(made, monkeypatch, capsys):
  def refuse(*args, **kwargs):
    raise PermissionError(13, "Permission denied")

  monkeypatch.setattr(places.tempfile, "TemporaryFile", refuse)
  command = [
    "prepare",
    f"--source={made}/pairs.jsonl",
    "--vocab_size=150",
    "--held_out=0.1",
    f"--output={made}/pairs",
  ]
  assert main.main(command) == 0
  assert "already exists" in capsys.readouterr().out
  assert main.main([*command, "--overwrite"]) == 2
  assert "Permission denied" in capsys.readouterr().err


def test_the_current_directory_resumes(made, tmp_path, monkeypatch):
  """An interrupted job leaves its temporary files inside, and can resume."""
  monkeypatch.chdir(tmp_path)
  command = [
    "filter",
    f"--model={made}/model",
    f"--input={made}/pairs",
    "--output=.",
    "--k=54",
  ]

  def stop(*args):
    raise KeyboardInterrupt

  with monkeypatch.context() as stopped:
    stopped.setattr("nomic_jax.curate.filter._write", stop)
    assert main.main(command) == 130
  assert _names(tmp_path) == [".nomic_jax.parts"]
  assert main.main(command) == 0
  assert ".nomic_jax.parts" not in _names(tmp_path)
  assert (tmp_path / "dataset_info.json").is_file()


def test_search_answers_where_no_index_can_be_kept(
  made, tmp_path, monkeypatch, capsys
):
  (made / "model.index").write_text("no place for an index")
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  command = [
    "search",
    f"--model={made}/model",
    f"--corpus={made}/texts.txt",
    "river",
  ]
  for kept in (True, False):
    assert main.main(command) == 0
    out = capsys.readouterr().out
    assert ("saved the index" in out) == kept and "a river" in out
  monkeypatch.setenv("XDG_CACHE_HOME", f"{made}/file")
  assert main.main(command) == 0
  out, err = capsys.readouterr()
  assert "a river" in out and "the index is not saved" in err
  monkeypatch.setattr("nomic_jax.embed.vectors.encode", None)
  assert main.main([*command, f"--index={made}/file/i"]) == 2
  assert "cannot write" in capsys.readouterr().err


def test_an_address_is_not_taken_for_a_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  message = "^cannot write gs://b/x: this output cannot be in a bucket; choose"
  for path in ("gs://b/x", pathlib.Path("gs://b/x")):
    for check in (
      places.check_local,
      places.check_writable,
      lambda path: parts.finished(path, {"job": "mine"}),
    ):
      with pytest.raises(UserError, match=message):
        check(path)
  places.check_local("a/b:/c")
  places.check_local("b:c")
  assert not [*tmp_path.iterdir()]
