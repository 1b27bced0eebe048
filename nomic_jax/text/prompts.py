# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Task prefixes that tell the model what a text is for (section 4.2)."""

from typing import Any

PROMPTS = {
  "search_query": "search_query: ",
  "search_document": "search_document: ",
  "classification": "classification: ",
  "clustering": "clustering: ",
}


def of(config: Any, side: str) -> str:
  """Returns the prompt that a training puts before queries or documents.

  Args:
    config: `config.data`. `start.resolve` replaces a prompt of None by the
      model's own before training begins; without a model, the default is
      PROMPTS.
    side: "query" or "document".
  """
  prompt = config.get(f"{side}_prompt")
  return PROMPTS[f"search_{side}"] if prompt is None else prompt
