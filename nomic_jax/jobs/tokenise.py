# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax tokenise`."""

from nomic_jax.cli.flags import Path


def tokenise(*, input: Path, tokenizer: Path | None = None) -> None:
  """Stores token ids beside the texts, which makes reading faster.

  Args:
    input: data directory to add the token ids to
    tokenizer: tokenizer of the model to train; default: the data directory's
  """
  from nomic_jax.data import tokens

  tokens.tokenise(input, tokenizer)
