# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The prefixes that tell the model what a text is for (section 4.2)."""

from typing import Any

PROMPTS = {
  "search_query": "search_query: ",
  "search_document": "search_document: ",
  "classification": "classification: ",
  "clustering": "clustering: ",
}


def of(config: Any, side: str) -> str:
  """A training's prompt of a `side`, query or document.

  Args:
    config: `config.data`; a prompt that is None there is the model's own, and
      `start.resolve` has put it in by the time a training begins. Without a
      model it is that of this project.
    side: query or document.
  """
  prompt = config.get(f"{side}_prompt")
  return PROMPTS[f"search_{side}"] if prompt is None else prompt
