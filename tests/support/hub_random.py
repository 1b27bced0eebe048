# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Random models and a tokenizer for the tests of `nomic_jax.hub`."""

from collections.abc import Mapping
from typing import Any

from flax import traverse_util
import numpy as np
import tokenizers

from nomic_jax import families
from nomic_jax.families import tensors as tensors_lib
from nomic_jax.model import trees as trees_lib
from nomic_jax.model.architecture import Architecture


def trees(
  architecture: Architecture, with_head: bool = False, labels: int = 0
) -> dict:
  """Random parameters, with biases and norms that are not 0 and 1.

  They are small enough for hidden states near 1, so that an error of 1e-5 is
  one of arithmetic.

  Returns:
    {'encoder': ..., and 'mlm_head' and 'classification_head' if asked for}.
  """
  rng = np.random.default_rng(1)
  shapes = trees_lib.shapes(architecture, with_head, labels)
  return traverse_util.unflatten_dict(
    {
      path: path.endswith("scale") + rng.normal(0, 0.1, shape).astype("f")
      for path, shape in shapes.items()
    },
    sep="/",
  )


def read(
  architecture: Architecture, tensors: Mapping[str, Any], where: str = "tensors"
) -> dict:
  """Returns the trees in a file's tensors."""
  family = families.of(architecture)
  return tensors_lib.read(family, architecture, tensors, where)[1]


def write(architecture: Architecture, trees: dict) -> dict[str, np.ndarray]:
  """Returns the tensors to write to a file."""
  return tensors_lib.write(families.of(architecture), architecture, trees)


def tokenizer() -> tokenizers.Tokenizer:
  """A WordPiece tokenizer of two words."""
  special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
  words = {token: i for i, token in enumerate(special + ["a", "b"])}
  made = tokenizers.Tokenizer(
    tokenizers.models.WordPiece(words, unk_token="[UNK]")
  )
  made.add_special_tokens(special)
  return made
