# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Random models and a tokenizer for the tests of `nomic_jax.hub`."""

import numpy as np
import tokenizers

from nomic_jax.hub import names
from nomic_jax.model.config import EncoderConfig


def trees(
    config: EncoderConfig, with_head: bool = False, labels: int = 0
) -> dict:
  """Random parameters, with biases and norms that are not 0 and 1.

  They are small enough for hidden states near 1, so that an error of 1e-5 is
  one of arithmetic.

  Returns:
    {'encoder': ..., and 'mlm_head' and 'classification_head' if asked for}.
  """
  rng = np.random.default_rng(1)
  tree = {}
  for path, shape in names.tree_shapes(config, with_head, labels).items():
    *parents, leaf = path.split("/")
    node = tree
    for parent in parents:
      node = node.setdefault(parent, {})
    node[leaf] = (leaf == "scale") + rng.normal(0, 0.1, shape).astype("f")
  return tree


def tokenizer() -> tokenizers.Tokenizer:
  """A WordPiece tokenizer of two words."""
  special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
  words = {token: i for i, token in enumerate(special + ["a", "b"])}
  made = tokenizers.Tokenizer(
      tokenizers.models.WordPiece(words, unk_token="[UNK]"))
  made.add_special_tokens(special)
  return made
