# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The program of a training run: loss, optimizer and the jitted step.

Shapes and shardings are determined before anything is allocated, so a run can
also be compiled for devices that are not attached.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import NamedTuple

from flax.linen import meta
import jax
from jax.sharding import Mesh
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec
from jaxtyping import PyTree
import ml_collections
import optax

from nomic_jax import losses
from nomic_jax import step as step_lib
from nomic_jax.data import loader
from nomic_jax.errors import about
from nomic_jax.errors import options_of
from nomic_jax.errors import UserError
from nomic_jax.kernels import attention
from nomic_jax.mesh import own_rows
from nomic_jax.mesh import partition
from nomic_jax.model import dtypes
from nomic_jax.model import flops
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.encoder import Encoder
from nomic_jax.model.pooling import check_pooling
from nomic_jax.run import optim


class Run(NamedTuple):
  """The functions and shapes of a training run.

  Functions are compiled on the first call, and nothing is allocated yet.
  """

  mesh: Mesh
  init: Callable[[], step_lib.TrainState]
  step: jax.stages.Wrapped
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
  if loss.rows and config.data.kind not in loss.rows:
    expected = " or ".join(loss.rows)
    raise UserError(
      f"config.data.kind is {config.data.kind}, but the loss "
      f"{config.loss.name} reads rows of kind {expected}; set it to "
      f"{expected}"
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
  if config.data.kind != "labels" or not losses.predicts_labels(config.loss):
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
