# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The interface of objectives, used by the train step and evaluators."""

import abc

from jax import Array
from jaxtyping import Float
from jaxtyping import Float32
from jaxtyping import Num

from nomic_jax.model.params import Batch
from nomic_jax.model.params import Params

Outcome = tuple[Float[Array, ""], Num[Array, ""], dict[str, Num[Array, ""]]]


class Loss(abc.ABC):
  """A function of parameters and a batch, to be minimized.

  Batches are global arrays and means are global means: a loss does not depend
  on the number of devices or hosts.

  Attributes:
    by_row: whether the sums are over rows that are computed independently. Each
      device then sums its own rows over all micro-batches, and the sums are
      added over devices once. Other losses communicate where necessary.
    perplexity: whether exp(loss) is worth logging.
    rows: the kinds of rows (`data.kinds`) whose batches have the arrays that
      it reads: the values that config.data.kind may have; () accepts any.
    similarity: how the vectors of a trained model compare, one of
      `usage.SIMILARITIES`; "" if the loss compares no pooled vectors: a model
      then keeps the similarity it was loaded with. Every class declares it,
      since nothing else says how to use the models that it trains.
  """

  by_row: bool = False
  perplexity: bool = False
  rows: tuple[str, ...] = ()
  similarity: str

  def __init_subclass__(cls) -> None:
    super().__init_subclass__()
    if not hasattr(cls, "similarity"):
      raise TypeError(
        f"{cls.__name__}.similarity is not declared; see `Loss`, or the README "
        "of this package"
      )

  @abc.abstractmethod
  def init(self, rng: Array) -> Params:
    """Returns fresh parameters, boxed with the logical names of their axes.

    They are `encoder`, and whatever else the objective learns.
    """

  @abc.abstractmethod
  def __call__(self, params: Params, batch: Batch, rng: Array) -> Outcome:
    """Returns (total, weight, metrics).

    `total` is a sum, `weight` its divisor, and `metrics` are sums with the same
    divisor. The step divides once, after adding micro-batches, so micro-batches
    of unequal weight are exact.
    """


class Predictor(Loss):
  """A loss whose model predicts the labels of rows.

  Its options include `kind` (single, multi or regression) and `labels` (their
  number); where a config has None for them, they are those of the data.
  """

  similarity = ""

  @abc.abstractmethod
  def predict(self, params: Params, batch: Batch) -> Float32[Array, "N labels"]:
    """Returns logits of classes, or numbers, without dropout."""
