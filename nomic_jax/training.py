# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Training: everything around the step in `step.py`.

setup() determines shapes and shardings before anything is allocated; train()
finds the state to start from and runs the loop.
"""

from collections.abc import Callable
import contextlib
import dataclasses
import functools
import json
import pathlib
import time
from typing import NamedTuple

from flax.linen import meta
import grain
import jax
from jax.sharding import Mesh
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec
from jaxtyping import PyTree
import ml_collections
import numpy as np
import optax

from nomic_jax import losses
from nomic_jax import step as step_lib
from nomic_jax.cli import ranges
from nomic_jax.data import lengths
from nomic_jax.data import loader
from nomic_jax.data import manifest
from nomic_jax.errors import about
from nomic_jax.errors import Diverged
from nomic_jax.errors import options_of
from nomic_jax.errors import Stopped
from nomic_jax.errors import UserError
from nomic_jax.evaluation.evaluators import Evaluators
from nomic_jax.kernels import attention
from nomic_jax.loop import loop
from nomic_jax.mesh import compiler_flags
from nomic_jax.mesh import own_rows
from nomic_jax.mesh import partition
from nomic_jax.mesh import processes
from nomic_jax.mesh import restarts
from nomic_jax.model import dtypes
from nomic_jax.model import flops
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.encoder import Encoder
from nomic_jax.model.pooling import check_pooling
from nomic_jax.run import average
from nomic_jax.run import best as best_lib
from nomic_jax.run import compiled_programs
from nomic_jax.run import optim
from nomic_jax.run import work_directory
from nomic_jax.run.checkpoint import best
from nomic_jax.run.checkpoint import Checkpoints
from nomic_jax.run.checkpoint import latest_step
from nomic_jax.run.start import describe
from nomic_jax.run.start import find_start
from nomic_jax.run.start import merged
from nomic_jax.run.start import resolve
from nomic_jax.run.start import Start
from nomic_jax.storage import buckets
from nomic_jax.storage import places
from nomic_jax.storage import staging
from nomic_jax.text import special_tokens
from nomic_jax.text import tokenizer as tokenizer_lib
from nomic_jax.text import tokenizer_settings

# In a work directory: records the step at which its training diverged.
DIVERGED = "diverged.json"


class Run(NamedTuple):
  """The functions and shapes of a training run.

  Functions are compiled on the first call, and nothing is allocated yet.
  """

  mesh: Mesh
  init: Callable[[], step_lib.TrainState]
  step: Callable[..., tuple[step_lib.TrainState, step_lib.Metrics]]
  encoder: Encoder  # without dropout, like `loss`
  loss: losses.Loss
  state: step_lib.TrainState  # shapes and shardings of the state
  schedule: optax.Schedule
  box: Callable[[PyTree], PyTree]  # prepares parameters for the loss
  flops: Callable[[PyTree], float]  # FLOPs of a step, from a host's batch

  def on_mesh(
    self, f: Callable[[PyTree, PyTree], PyTree]
  ) -> Callable[..., PyTree]:
    """Returns f(params, batch), jitted like the step; replicates results."""
    at = jax.tree.map(lambda s: s.sharding, self.state.params)
    return jax.jit(
      options_of("config.loss")(
        partition.in_mesh(
          lambda params, batch: f(self.box(params), batch), self.mesh
        )
      ),
      in_shardings=(at, partition.batch_sharding(self.mesh)),
      out_shardings=NamedSharding(self.mesh, PartitionSpec()),
    )


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
  compiler_flags.set_for(compiler_flags.chip_here())
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
  workdir: pathlib.Path,
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
  if (line := lengths.fit(config.data)) and processes.is_first():
    print(line, flush=True)
  run = setup(config, start.architecture, jax.devices())
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
    print(f"{workdir}: no checkpoint beat the start; {record}")


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


def make_encoder(
  config: ml_collections.ConfigDict,
  architecture: Architecture,
  mesh: Mesh | None = None,
) -> Encoder:
  """Returns an encoder that runs on `mesh`, as `config.compute` specifies.

  Without a mesh its attention is plain JAX, which runs anywhere.
  """
  compute = config.compute.to_dict()
  with about("config.compute.attention"):
    compute["attention"] = (
      "reference"
      if mesh is None
      else attention.choose(
        compute["attention"], mesh, partition.ROW_AXES, architecture.needs
      )
    )
  with about("config.encoder"):
    check_pooling(architecture.head.pooling)
  platform = (
    jax.default_backend() if mesh is None else (mesh.devices.flat[0].platform)
  )
  with options_of("config.compute"):
    compute["dtype"] = dtypes.choose(compute["dtype"], platform)
  if compute["dropout"] == -1:
    compute["dropout"] = architecture.dropout
    compute["head_dropout"] = architecture.head_dropout
  elif not 0 <= compute["dropout"] < 1:
    raise UserError(
      f"config.compute.dropout: {compute['dropout']} is not a probability; "
      "expected a number from 0 to below 1, or -1 for the model's own"
    )
  else:
    compute["head_dropout"] = compute["dropout"]
  with options_of("config.compute"):
    encoder = Encoder(architecture, **compute)
  if (
    encoder.remat == "none"
    and mesh is not None
    and (partition.shards_parameters(mesh, config.mesh.rules))
  ):
    # Otherwise all layers' would be kept unsharded for the backward pass.
    return dataclasses.replace(encoder, remat="gathered")
  return encoder


def setup(
  config: ml_collections.ConfigDict,
  architecture: Architecture,
  devices: list[jax.Device],
) -> Run:
  """Returns loss, optimizer and the jitted step with all its shardings.

  Args:
    config: the training config.
    architecture: the encoder's.
    devices: the devices of the mesh.

  Raises:
    UserError: for conflicting settings in the config.
  """
  _check_lengths(config.data, architecture)
  _check_classes(config)
  mesh = partition.make_mesh(config.mesh, devices)
  encoder = make_encoder(config, architecture, mesh)
  eval_encoder = dataclasses.replace(encoder, dropout=0.0, head_dropout=0.0)
  with options_of("config.loss"):
    loss, eval_loss = (
      losses.make(config.loss, e) for e in (encoder, eval_encoder)
    )
  if loss.rows not in ("", config.data.kind):
    raise UserError(
      f"config.data.kind is {config.data.kind}, but the loss "
      f"{config.loss.name} reads rows of kind {loss.rows}; set it to "
      f"{loss.rows}"
    )
  tx, schedule = optim.make(
    config.optimizer, config.steps, _per_step(config.data)
  )

  trainable = functools.partial(
    optim.trainable, config.optimizer.lr_multipliers
  )
  init = functools.partial(
    step_lib.init_state, loss, tx, config.seed, trainable
  )
  boxed = jax.eval_shape(init)
  shardings = partition.state_shardings(mesh, config.mesh.rules, boxed)
  partition.check_unsharded(
    config.mesh.unsharded_limit, meta.unbox(boxed).params, shardings.params
  )
  shapes = jax.tree.map(
    lambda s, at: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=at),
    meta.unbox(boxed),
    shardings,
  )
  box = own_rows.sharded(
    shardings.params,
    lambda path: encoder.dtype if dtypes.is_multiplied(path) else None,
  )
  step = jax.jit(
    options_of("config.loss")(
      partition.in_mesh(
        step_lib.make_train_step(loss, tx, box, trainable), mesh
      )
    ),
    in_shardings=(shardings, partition.batch_sharding(mesh)),
    out_shardings=(shardings, None),
    donate_argnums=0,
  )
  return Run(
    mesh=mesh,
    init=jax.jit(lambda: meta.unbox(init()), out_shardings=shardings),
    step=step,
    encoder=eval_encoder,
    loss=eval_loss,
    state=shapes,
    schedule=schedule,
    box=box,
    flops=functools.partial(flops.of_batch, architecture),
  )


def _per_step(data: ml_collections.ConfigDict) -> dict[str, int]:
  """Returns the number of examples and, for text, of tokens per step.

  Empty if the batch size varies.
  """
  if data.get("batch_warmup"):
    return {}
  if data.kind == "text":
    rows = data.batch_size
    return {"examples": rows, "tokens": rows * data.row_length}
  return {"examples": data.batch_size}


def _check_classes(config: ml_collections.ConfigDict) -> None:
  """Raises UserError for labels that would make the loss NaN."""
  if config.data.kind != "labels" or config.loss.name != "classification":
    return
  classes, labels = config.data.classes, config.loss.labels
  if config.loss.kind == "regression":
    if classes:
      raise UserError(
        f"config.data.classes is {classes}, but a regression accepts any "
        "numbers; set it to 0"
      )
    if config.data.labels != labels:
      raise UserError(
        f"config.data.labels is {config.data.labels} but config.loss.labels is "
        f"{labels}; they must be equal"
      )
  elif classes != labels:
    raise UserError(
      f"config.data.classes is {classes} but config.loss.labels is {labels}; "
      "they must be equal"
    )


def _check_lengths(
  data: ml_collections.ConfigDict, architecture: Architecture
) -> None:
  """Raises UserError if a text length exceeds the learned position table."""
  for name, length in loader.text_lengths(data).items():
    if not architecture.rotary and length > architecture.max_length:
      raise UserError(
        f"config.data.{name}: {length} tokens are more than the "
        f"{architecture.max_length} positions of this model; lower it"
      )


def _rehearse(
  config: ml_collections.ConfigDict, run: Run, data: grain.DatasetIterator
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
  state: step_lib.TrainState, params: dict, run: Run
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
