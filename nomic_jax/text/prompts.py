# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Task prefixes, which tell a model what a text is for (Nomic Embed, 4.2)."""

from typing import Any

PROMPTS = {
  "search_query": "search_query: ",
  "search_document": "search_document: ",
  "classification": "classification: ",
  "clustering": "clustering: ",
}


def of(config: Any, side: str) -> str:
  """Returns the prompt that a training run puts before queries or documents.

  Args:
    config: `config.data`. Where its prompt is None, `run/resolve.py` has set
      the model's own before training; without a model, PROMPTS applies.
    side: "query" or "document".
  """
  prompt = config.get(f"{side}_prompt")
  return PROMPTS[f"search_{side}"] if prompt is None else prompt
