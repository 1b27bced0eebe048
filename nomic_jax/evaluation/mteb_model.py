# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A model in the encoder protocol of the `mteb` package.

    import mteb
    from nomic_jax.evaluation.mteb_model import MtebModel
    mteb.evaluate(MtebModel("DIR"), mteb.get_tasks(["STSBenchmark"]))

Prompts are the paper's, by type of task: "search_query" and "search_document"
for retrieval, "clustering", and "classification" otherwise. Vectors have length
1, except for classification and for models that compare by inner products.
"""

from typing import Any
from typing import cast

import numpy as np

import nomic_jax
from nomic_jax.embed.model import Model
from nomic_jax.evaluation import systems
from nomic_jax.model.usage import check_ranked

# The paper truncates texts to this many tokens for all of MTEB.
MAX_TOKENS = 512


class MtebModel:
  """An mteb.models.EncoderProtocol around one of our models."""

  def __init__(
    self,
    model_name: str | systems.Dense,
    revision: str | None = None,
    *,
    device: str | None = None,
    **kwargs: Any,
  ):
    """Opens a model.

    Args:
      model_name: a model or work directory, or an opened system.
      revision: recorded in mteb's metadata.
      device: ignored, since JAX chooses the device.
      **kwargs: ignored arguments of mteb's protocol.
    """
    del device, kwargs
    from mteb.models import model_meta

    if isinstance(model_name, systems.Dense):
      self._system, name = model_name, "local"
    else:
      self._system, name = (
        # A classifier raises when asked for what only a Model has.
        systems.Dense(cast(Model, nomic_jax.load(model_name))),
        (str(model_name).rstrip("/").rpartition("/")[2]),
      )
    self._similarity = check_ranked(self._system.model.similarity_fn_name)
    self.mteb_model_meta = model_meta.ModelMeta.create_empty(
      {
        "name": f"nomic_jax/{name}",
        "revision": revision or "local",
        "framework": ["JAX"],
        "modalities": ["text"],
        "similarity_fn_name": {
          "cosine": model_meta.ScoringFunction.COSINE,
          "dot": model_meta.ScoringFunction.DOT_PRODUCT,
        }[self._similarity],
      }
    )

  def encode(
    self,
    inputs: Any,
    *,
    task_metadata: Any,
    hf_split: str,
    hf_subset: str,
    prompt_type: Any = None,
    **kwargs: Any,
  ) -> np.ndarray:
    """Returns [N, D] for the N texts in the batches of `inputs`."""
    del hf_split, hf_subset, kwargs
    texts = [text for batch in inputs for text in batch["text"]]
    kind = task_metadata.type
    with self._system.limited(MAX_TOKENS):
      return self._system.encode(
        texts,
        prompt_of(kind, prompt_type),
        normalize=self._similarity == "cosine"
        and (
          not kind.endswith("Classification") or kind == "PairClassification"
        ),
      )

  def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
    """Returns similarities [N, M] of all pairs, as mteb's own models do."""
    from mteb import similarity_functions

    of = {
      "cosine": similarity_functions.cos_sim,
      "dot": similarity_functions.dot_score,
    }[self._similarity]
    return of(embeddings1, embeddings2)

  def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
    """Returns similarities [N] of corresponding vectors."""
    from mteb import similarity_functions

    of = {
      "cosine": similarity_functions.pairwise_cos_sim,
      "dot": similarity_functions.pairwise_dot_score,
    }[self._similarity]
    return of(embeddings1, embeddings2)


def prompt_of(kind: str, prompt_type: Any = None) -> str:
  """Returns the name of the paper's prompt.

  Args:
    kind: mteb's type of task, such as "STS".
    prompt_type: mteb's PromptType, "query" or "document", or None.
  """
  if kind.endswith("Retrieval"):
    return systems.SEARCH[prompt_type != "query"]  # it is a str, too
  return "clustering" if kind == "Clustering" else "classification"
