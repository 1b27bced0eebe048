# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""How a model is to be used, which its weights do not tell.

It travels with the weights: a training keeps it in its work directory, an
export writes it as sentence-transformers does, and `init_from` brings it in.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from nomic_jax.errors import UserError

# Other names of our prompts, as in nomic-embed-text-v2-moe: what encode_query
# and encode_document of sentence-transformers look for, and MTEB's task types.
ALIASES = {
  "query": "search_query",
  "document": "search_document",
  "passage": "search_document",
  "Classification": "classification",
  "MultilabelClassification": "classification",
  "PairClassification": "classification",
  "STS": "classification",
  "Summarization": "classification",
  "Clustering": "clustering",
  "Speed": "search_document",
}
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
_RANKED = ("cosine", "dot")


@dataclasses.dataclass(frozen=True)
class Usage:
  """How texts are put to a model and its vectors compared.

  Attributes:
    prompts: name -> text put before a text.
    default_prompt: name of the prompt of texts for which none is named.
    max_tokens: the longest text, special tokens included; longer ones are
      truncated. None: what the encoder takes.
    similarity: one of SIMILARITIES.
    normalize: whether vectors have length 1.
  """

  prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)
  default_prompt: str | None = None
  max_tokens: int | None = None
  similarity: str = "cosine"
  normalize: bool = True

  def prompt(self, side: str) -> str:
    """What stands before queries or documents: "" if the model has no prompt.

    Args:
      side: query or document.
    """
    return self.prompts.get(f"search_{side}", "")

  def with_prompts(self, query: str, document: str) -> "Usage":
    """The same, trained with these prompts of queries and documents."""
    return dataclasses.replace(
      self, prompts=with_sides(self.prompts, query, document)
    )

  def to_json(self) -> dict[str, Any]:
    return dataclasses.asdict(self) | {"prompts": dict(self.prompts)}


def with_aliases(prompts: Mapping[str, str]) -> dict[str, str]:
  """The prompts under all their names, ours and sentence-transformers'."""
  named = dict(prompts)
  for alias, ours in ALIASES.items():
    if alias in prompts:
      named.setdefault(ours, prompts[alias])
    elif ours in prompts:
      named[alias] = prompts[ours]
  return named


def with_sides(
  prompts: Mapping[str, str], query: str, document: str
) -> dict[str, str]:
  """The prompts with those of queries and documents changed to these."""
  sides = {"search_query": query, "search_document": document}
  known = with_aliases(prompts)
  changed = {
    name for name, text in sides.items() if known.get(name, "") != text
  }
  if not changed:
    return dict(prompts)
  kept = {
    name: text
    for name, text in known.items()
    if ALIASES.get(name, name) not in changed
  }
  return with_aliases(kept | {name: sides[name] for name in changed})


def check_ranked(similarity: str) -> str:
  """Returns `similarity`, by which vectors are ranked: cosine or dot.

  Raises:
    UserError: for one that is not a product of vectors.
  """
  if similarity not in _RANKED:
    raise UserError(
      f"similarity_fn_name: this model compares by '{similarity}', which is "
      f"not supported where vectors are ranked; expected "
      f"{' or '.join(_RANKED)}"
    )
  return similarity
