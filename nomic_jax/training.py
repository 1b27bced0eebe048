# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Training: finds the state to start from and runs the loop.

`program` has the step and its shardings, `loop` the loop.
"""

import contextlib
import json
import time

import grain
import jax
import ml_collections
import numpy as np

from nomic_jax import program
from nomic_jax import step as step_lib
from nomic_jax.cli import ranges
from nomic_jax.data import lengths
from nomic_jax.data import loader
from nomic_jax.data import manifest
from nomic_jax.errors import Diverged
from nomic_jax.errors import Stopped
from nomic_jax.errors import UserError
from nomic_jax.evaluation.evaluators import Evaluators
from nomic_jax.loop import loop
from nomic_jax.mesh import compiler_flags
from nomic_jax.mesh import partition
from nomic_jax.mesh import processes
from nomic_jax.mesh import restarts
from nomic_jax.run import average
from nomic_jax.run import best as best_lib
from nomic_jax.run import compiled_programs
from nomic_jax.run import work_directory
from nomic_jax.run.checkpoint import best
from nomic_jax.run.checkpoint import Checkpoints
from nomic_jax.run.checkpoint import latest_step
from nomic_jax.run.resolve import describe
from nomic_jax.run.resolve import resolve
from nomic_jax.run.start import find_start
from nomic_jax.run.start import merged
from nomic_jax.run.start import Start
from nomic_jax.storage import buckets
from nomic_jax.storage import places
from nomic_jax.storage import staging
from nomic_jax.storage.values import Place
from nomic_jax.text import special_tokens
from nomic_jax.text import tokenizer as tokenizer_lib
from nomic_jax.text import tokenizer_settings

# In a work directory: records the step at which its training diverged.
DIVERGED = "diverged.json"


@places.expanding("workdir")
def train(
  config: ml_collections.ConfigDict,
  workdir: str,
  profile: str = "",
  extend: bool = False,
) -> None:
  """Trains for `config.steps` or `config.epochs`.

  Resumes from the last checkpoint if there is one.

  Args:
    config: the training config.
    workdir: for checkpoints and logs: a folder, gs:// or s3://.
    profile: FIRST:LAST, steps to record under `workdir`/profile.
    extend: whether steps or epochs may exceed the work directory's.

  Raises:
    UserError: for mistakes that the user can fix, such as in the config or the
      data.
    Stopped: on SIGTERM, with a checkpoint to resume from, or when a bucket does
      not answer.
  """
  # Before the backend starts.
  compiler_flags.set_for_this_machine()
  path = buckets.as_path(workdir)
  with (
    buckets.errors(path, unreachable=Stopped),
    processes.Preemption() as preemption,
  ):
    mark = path / DIVERGED
    try:
      _train(config, path, _steps(profile), preemption, extend)
    except Diverged as e:
      if processes.is_first():
        mark.write_text(json.dumps({"step": e.step}))
      raise
    if processes.is_first() and mark.exists():
      mark.unlink()  # from an earlier attempt


def _train(
  config: ml_collections.ConfigDict,
  workdir: Place,
  recorded: range,
  preemption: processes.Preemption,
  extend: bool,
) -> None:
  began = time.time()
  path = workdir if buckets.is_remote(workdir) else workdir.absolute()
  processes.agree(
    {"--workdir": str(path), "data": staging.state(config.data.path)}
    | work_directory.flat(json.loads(config.to_json()))
  )
  work_directory.check(workdir, config, extend)
  done = latest_step(workdir) or 0
  record = best_lib.of_config(config)
  ranges.check_length(config)
  if config.steps and done >= config.steps:
    print(f"{workdir}: already trained to step {done}")
    return
  if not buckets.is_remote(workdir):
    places.check_writable(workdir / "checkpoints")
  # What a training run started from may no longer exist when it is resumed.
  if done:
    encoder, folder, usage = work_directory.read(workdir)
    start = Start(encoder, folder, None, usage)
  else:
    start = find_start(config)
    if start.params is not None and processes.is_first():
      print(describe(config, start), flush=True)
  given = config
  tokenizer = tokenizer_lib.load(start.tokenizer)
  config, usage = resolve(loader.with_steps(config, tokenizer), start)
  if done >= config.steps:
    print(f"{workdir}: already trained to step {done}")
    return
  if recorded and recorded[-1] > config.steps:
    raise UserError(
      f"--profile={recorded[0]}:{recorded[-1]}: the training run has only "
      f"{config.steps} steps; specify steps among these"
    )
  # A resumed run records what is left of them.
  recorded = range(max(recorded.start, done + 1), recorded.stop)
  if (line := lengths.fit(config.data)) and processes.is_first():
    print(line, flush=True)
  run = program.setup(config, start.architecture, jax.devices())
  special_tokens.check_rows(
    tokenizer, start.architecture.vocab_size, start.tokenizer
  )
  if not done and processes.is_first():
    tokenizer_settings.warn_of_no_ends(tokenizer, start.tokenizer)
  for summary in (lengths.truncated, lengths.unknown) if not done else ():
    if (line := summary(config.data, tokenizer)) and processes.is_first():
      print(line, flush=True)
  data = loader.make(config.data, tokenizer, config.seed)
  advice = loader.advice(config.data, jax.process_count())
  if advice and processes.is_first():
    print(advice, flush=True)
  evaluators = Evaluators(config, tokenizer, run)
  if processes.all_true(not (workdir / "config.json").is_file()):
    merged(run.state.params, start.params or {})  # raises if it does not fit
    _rehearse(config, run, data)
    if processes.is_first():
      work_directory.claim(
        workdir,
        given,
        start.architecture,
        start.tokenizer,
        usage,
        manifest.of_training(given, start.tokenizer),
      )
    processes.all_true(True)  # the others wait for it
  elif not done:
    work_directory.check_start(
      workdir, start.architecture, start.tokenizer, usage
    )
  restarts.count(workdir, done)
  with (
    compiled_programs.kept(path),
    contextlib.closing(
      Checkpoints(
        workdir,
        config.checkpoint.keep,
        config.checkpoint.keep_every,
        config.checkpoint.best,
      )
    ) as checkpoints,
  ):
    if done:
      state = checkpoints.restore(run.state, data)
      if processes.is_first():
        print(
          f"{workdir}: resuming after step {int(state.step)} of {config.steps}",
          flush=True,
        )
    else:
      state = run.init()
      if start.params is not None:
        state = _with_params(state, start.params, run)
    loop(
      config,
      workdir,
      run,
      state,
      data,
      checkpoints,
      evaluators,
      record,
      preemption,
      recorded,
      began,
    )
  if not processes.is_first():
    return
  if saved := best(workdir):
    print(
      f"{workdir}: best {saved.metric} was {saved.value:.4g}, at step "
      f"{saved.step}: {workdir}/checkpoints/{saved.step}"
    )
  elif record.step == 0:
    print(f"{workdir}: no checkpoint beat the initial model; {record}")


def _steps(text: str) -> range:
  """Returns the steps of "FIRST:LAST", inclusive; none for ""."""
  if not text:
    return range(0)
  first, _, last = text.partition(":")
  if first.isdigit() and last.isdigit() and 0 < int(first) <= int(last):
    return range(int(first), int(last) + 1)
  raise UserError(
    f"--profile: '{text}'; expected FIRST:LAST, steps from 1, such as 10:12"
  )


def _rehearse(
  config: ml_collections.ConfigDict,
  run: program.Run,
  data: grain.DatasetIterator,
) -> None:
  """Traces the step with the first batch, before anything is written.

  Raises:
    UserError: if the batch does not fit the step.
  """
  sharding = partition.batch_sharding(run.mesh)
  loader.check_rows(config.data.get("rows_multiple"), sharding)
  first = data.get_state()
  batch = loader.to_devices(next(data), sharding)
  jax.eval_shape(run.step, run.state, batch)
  data.set_state(first)


def _with_params(
  state: step_lib.TrainState, params: dict, run: program.Run
) -> step_lib.TrainState:
  """Returns the state with loaded parameters in place of fresh ones."""

  def choose(
    fresh: jax.Array, chosen: jax.typing.ArrayLike, shape: jax.ShapeDtypeStruct
  ) -> jax.Array:
    if chosen is shape:
      return fresh
    # A copy, since the step donates its state and `params` may be reused.
    return jax.device_put(np.array(chosen, fresh.dtype), shape.sharding)

  shapes = run.state.params
  placed = jax.tree.map(choose, state.params, merged(shapes, params), shapes)
  return state.replace(
    params=placed, opt_state=average.restarted(state.opt_state, placed)
  )
