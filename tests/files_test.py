# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Files appear whole or not at all; a bad row is named; metrics resume."""

import errno
import gzip
import json
import os
import pathlib
import subprocess
import sys

import pytest
from support import small_data

from nomic_jax.errors import UserError
from nomic_jax.run import metrics
from nomic_jax.storage import formats
from nomic_jax.storage.files import replacing


def _tree(folder):
  return {
    str(p.relative_to(folder)): p.read_text() if p.is_file() else None
    for p in folder.rglob("*")
  }


def test_a_file_appears_when_it_is_whole(tmp_path):
  path = tmp_path / "new" / "file.txt"
  with replacing(path) as temporary:
    temporary.write_text("one")
    assert not path.exists() and temporary.parent == path.parent
  assert _tree(tmp_path / "new") == {"file.txt": "one"}
  with replacing(str(path)) as temporary:
    temporary.write_text("two")
    assert path.read_text() == "one"
  assert _tree(tmp_path / "new") == {"file.txt": "two"}


def test_a_directory_takes_the_place_of_another(tmp_path):
  path = tmp_path / "folder"
  for content in ({"a": "1", "b": "2"}, {"a": "3"}):
    with replacing(path) as temporary:
      temporary.mkdir()
      for name, text in content.items():
        (temporary / name).write_text(text)
    assert _tree(tmp_path) == {
      "folder": None,
      **{f"folder/{k}": v for k, v in content.items()},
    }


class _Stop(Exception):
  pass


@pytest.mark.parametrize(
  "error, raised",
  [
    (_Stop(), _Stop),
    (KeyboardInterrupt(), KeyboardInterrupt),
    (OSError(errno.ENOSPC, "No space left on device"), UserError),
  ],
)
@pytest.mark.parametrize("before", ["nothing", "file", "directory"])
def test_an_error_leaves_what_was_there(tmp_path, before, error, raised):
  path = tmp_path / "output"
  if before == "file":
    path.write_text("old")
  elif before == "directory":
    path.mkdir()
    (path / "a").write_text("old")
  there = _tree(tmp_path)
  for directory in (False, True):
    with pytest.raises(raised) as e:
      with replacing(path) as temporary:
        if directory:
          temporary.mkdir()
          temporary = temporary / "part"
        temporary.write_text("half")
        raise error
    assert _tree(tmp_path) == there
  if raised is UserError:
    assert f"cannot write {path}: No space left" in str(e.value)
    assert "\n" not in str(e.value)


def test_a_directory_whose_successor_is_missing_stays(tmp_path):
  path = tmp_path / "folder"
  path.mkdir()
  (path / "a").write_text("old")
  there = _tree(tmp_path)
  with pytest.raises(UserError, match="cannot write"):
    with replacing(path):
      pass  # nothing was made
  assert _tree(tmp_path) == there
  with pytest.raises(UserError, match="it is a directory and a file"):
    with replacing(path) as temporary:
      temporary.write_text("a file")
  assert _tree(tmp_path) == there


def test_a_rename_that_fails_puts_the_old_directory_back(tmp_path, monkeypatch):
  path = tmp_path / "folder"
  path.mkdir()
  (path / "a").write_text("old")
  there = _tree(tmp_path)
  rename = pathlib.Path.rename

  def failing(self, target):
    if self.name.endswith(".tmp"):
      raise OSError(errno.EIO, "Input/output error")
    return rename(self, target)

  monkeypatch.setattr(pathlib.Path, "rename", failing)
  with pytest.raises(UserError, match="Input/output error"):
    with replacing(path) as temporary:
      temporary.mkdir()
  assert _tree(tmp_path) == there


def test_what_a_killed_process_left_is_removed(tmp_path):
  program = """
import os, signal, sys
from nomic_jax.storage.files import replacing
with replacing(sys.argv[1]) as temporary:
  temporary.mkdir()
  (temporary / "a").write_text("half")
  os.kill(os.getpid(), signal.SIGKILL)
"""
  output = tmp_path / "[out]"
  command = [sys.executable, "-c", program, str(output)]
  subprocess.run(command, cwd=small_data.ROOT)
  (left,) = tmp_path.iterdir()
  assert left.name.startswith(".[out].") and left.name.endswith(".tmp")
  # Those of other outputs and of running processes stay, such as this one's.
  other = tmp_path / left.name.replace("[out]", "other")
  machine = left.name.split(".")[2]
  running = tmp_path / f".[out].{machine}.{os.getpid()}.123456.tmp"
  elsewhere = tmp_path / left.name.replace(machine, "000000")
  for kept in (other, running, elsewhere):
    kept.mkdir()
  with replacing(output) as temporary:
    temporary.mkdir()
  assert set(tmp_path.iterdir()) == {output, other, running, elsewhere}


def test_a_place_that_cannot_be_written_is_named(tmp_path):
  (tmp_path / "file").write_text("x")
  with pytest.raises(UserError, match="cannot write .*file/output"):
    with replacing(tmp_path / "file" / "output") as temporary:
      temporary.write_text("y")


GOOD = '{"a": 1}\n\n{"a": "é\\ud800"}\n'


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_rows_are_numbered_by_line(tmp_path, name):
  path = tmp_path / name
  opened = gzip.open if name.endswith("gz") else open
  with opened(path, "wb") as f:
    f.write(GOOD.encode())
  assert list(formats.each(path)) == [(1, {"a": 1}), (3, {"a": "é\ufffd"})]
  with opened(path, "wb") as f:
    f.write(b'{"a": 1}')  # without an end of line
  assert list(formats.each(str(path))) == [(1, {"a": 1})]


@pytest.mark.parametrize(
  "line, message",
  [
    (b'{"a": ', "row 2: not valid JSON .*column 6"),
    (b"not json", "row 2: not valid JSON"),
    (b"[1, 2]", "row 2: expected a JSON object, found list; to convert"),
    (b"[", "row 2: not valid JSON .*one object per line; to convert"),
    (b"{", "row 2: not valid JSON .*expected one object per line$"),
    (b'"text"', "row 2: expected a JSON object, found str"),
    (b'{"a": "caf\xe9"}', "row 2: not UTF-8 at byte 10"),
    (b"[" * 200_000, "row 2: JSON that Python cannot read"),
    (b'{"a": ' + b"9" * 5000 + b"}", "row 2: JSON that Python cannot read"),
  ],
)
def test_a_bad_row_is_named(tmp_path, line, message):
  path = tmp_path / "rows.jsonl"
  path.write_bytes(b'{"a": 1}\n' + line + b'\n{"a": 3}\n')
  rows = formats.each(path)
  assert next(rows) == (1, {"a": 1})
  with pytest.raises(UserError, match=message) as error:
    next(rows)
  assert str(error.value).startswith(f"{path}, ")
  assert "\n" not in str(error.value)


def test_a_damaged_gzip_is_named(tmp_path):
  path = tmp_path / "rows.jsonl.gz"
  lines = b"".join(
    json.dumps({"a": str(i) * 7}).encode() + b"\n" for i in range(5000)
  )
  whole = gzip.compress(lines)
  path.write_bytes(whole[: len(whole) // 2])
  read = []
  with pytest.raises(UserError, match=r"row \d+: the gzip stream is damaged"):
    for number, _ in formats.each(path):
      read.append(number)
  assert 100 < len(read) < 4000 and read == list(range(1, len(read) + 1))
  path.write_bytes(lines)
  with pytest.raises(UserError, match="gz: not gzip-compressed, though its"):
    list(formats.each(path))


def test_a_missing_file_is_named(tmp_path):
  for path in (tmp_path / "none.jsonl", tmp_path):
    with pytest.raises(UserError, match=f"{path}: no such file"):
      next(formats.each(path))


def _write(path, resume, steps):
  file = metrics.MetricsFile(path, resume)
  seconds = file.seconds
  for step in steps:
    file.write({"step": step, "loss": 1 / step, "seconds": float(step)})
  file.close()
  return seconds


def test_a_resumed_run_writes_its_lines_once(tmp_path):
  path = tmp_path / "metrics.jsonl"
  assert metrics.read(path) == []
  assert _write(path, 0, [1, 2, 3, 4, 5]) == 0.0
  # As after a kill in the middle of a line, with a checkpoint at step 3.
  whole = path.read_text()
  path.write_text(whole + '{"step": 6, "lo')
  assert [r["step"] for r in metrics.read(path)] == [1, 2, 3, 4, 5]
  assert _write(path, 3, [4, 5, 6]) == 3.0
  assert [r["step"] for r in metrics.read(path)] == [1, 2, 3, 4, 5, 6]
  assert path.read_text().startswith(whole)
  assert _write(path, 0, [1]) == 0.0  # from the start: all are dropped
  assert [r["step"] for r in metrics.read(path)] == [1]


def test_lines_are_on_disk_as_they_are_written(tmp_path):
  path = tmp_path / "metrics.jsonl"
  file = metrics.MetricsFile(path, 0)
  file.write({"step": 1, "loss": float("nan"), "seconds": 0.0})
  assert metrics.read(path)[0]["step"] == 1
  file.close()


@pytest.mark.skipif(
  not pathlib.Path("/dev/full").exists(), reason="needs Linux's /dev/full"
)
def test_a_full_disk_is_one_line(tmp_path):
  file = metrics.MetricsFile(tmp_path / "metrics.jsonl", 0)
  file.close()
  file._file = open("/dev/full", "ab", buffering=0)
  with pytest.raises(UserError, match="No space left.*same command"):
    file.write({"step": 1})
