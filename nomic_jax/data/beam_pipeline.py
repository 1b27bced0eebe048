# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Calls a function with each of many tasks on the workers of Apache Beam."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import functools
import io
import pathlib
import pickle
import shlex
from typing import TYPE_CHECKING
from typing import TypeVar
import uuid

from nomic_jax.errors import UserError
from nomic_jax.storage import decoding

_T = TypeVar("_T")

if TYPE_CHECKING:
  from apache_beam.options.pipeline_options import PipelineOptions


@contextlib.contextmanager
def appearing(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields a temporary path, renamed to `path` once whole.

  Beam may have two workers make the same file.
  """
  temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
  try:
    yield temporary
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def options(flags: str) -> "PipelineOptions":
  """Returns Beam's options.

  Raises:
    UserError: if Beam is not installed, or rejects a value.
  """
  try:
    import apache_beam  # noqa: F401, to see whether it is there
    from apache_beam.options import pipeline_options
    from apache_beam.runners import runner
  except ModuleNotFoundError as e:
    raise UserError(
      f"--beam: {e.name} is not installed; pip install 'nomic_jax[beam]', on "
      "the workers too"
    ) from e
  stderr = io.StringIO()
  try:
    with contextlib.redirect_stderr(stderr):
      given = pipeline_options.PipelineOptions(shlex.split(flags))
      given.get_all_options()
    standard = given.view_as(pipeline_options.StandardOptions)
    if standard.runner in (None, "DirectRunner"):
      # The class behind the name DirectRunner. Given the name, Beam would
      # download another runner, which does not know the --direct_... flags.
      standard.runner = "FnApiRunner"
    runner.create_runner(standard.runner)
  except (SystemExit, ValueError, ImportError) as e:
    # Beam prints many pages of usage before the reason.
    reason = stderr.getvalue().strip().rsplit("error: ", 1)[-1] or str(e)
    raise UserError(f"--beam='{flags}': {reason}") from e
  return given


def run(
  flags: str,
  folder: pathlib.Path,
  function: Callable[[_T], None],
  tasks: Sequence[_T],
) -> None:
  """Calls `function` with each of `tasks`, on any worker.

  Raises:
    UserError: the first UserError in the order of the tasks; or if the pipeline
      failed for another reason.
  """
  import apache_beam as beam

  do = functools.partial(_do, folder, function)
  try:
    with beam.Pipeline(options=options(flags)) as pipeline:
      _ = (
        pipeline
        # As bytes, since Beam treats named tuples specially.
        | "Tasks" >> beam.Create([pickle.dumps(t) for t in enumerate(tasks)])
        | "Spread" >> beam.Reshuffle()
        | "Do" >> beam.Map(do)
      )
  except Exception as e:  # Runners raise errors of their own types.
    reason = str(e).strip().rsplit("\n", 1)[-1]
    raise UserError(
      f"--beam='{flags}': the pipeline failed "
      f"({reason or type(e).__name__}); see Beam's output above; nothing was "
      "written"
    ) from e
  for error in sorted(folder.glob("*.error")):
    raise UserError(error.read_text(encoding="utf-8"))


def _do(
  folder: pathlib.Path, function: Callable[[_T], None], task: bytes
) -> None:
  if not folder.is_dir():
    raise UserError(
      f"{folder}: this worker does not see the folder; choose an --output on "
      "storage that all workers share"
    )
  number, value = pickle.loads(task)
  try:
    function(value)
  except UserError as e:  # Beam would retry the task if this were raised here.
    with appearing(folder / f"{number:09}.error") as path:
      path.write_text(decoding.safe(str(e)), encoding="utf-8")
