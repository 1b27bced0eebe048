# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""How to use a model: prompts, maximum length and similarity.

It accompanies the weights: a training run stores it in its work directory, an
export writes it in sentence-transformers' format, and `init_from` reads it.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

from nomic_jax.errors import UserError
from nomic_jax.storage.values import JsonObject

# Other names of our prompts, as in nomic-embed-text-v2-moe: those that
# sentence-transformers' encode_query and encode_document look up, and MTEB's
# task types.
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
  """How texts are passed to a model and how its vectors are compared.

  Attributes:
    prompts: name -> text put in front of a text.
    default_prompt: name of the prompt to use if the caller names none.
    max_tokens: the maximum length of a text, special tokens included; longer
      ones are truncated. None: the encoder's maximum.
    similarity: one of SIMILARITIES.
    normalize: whether vectors are scaled to length 1.
    classes: the names of the classes of a classifier, class 0 first; () if not
      known.
    task: the task of a classifier: single (one class a text), multi (any number
      of them) or regression; "" if not known.
  """

  prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)
  default_prompt: str | None = None
  max_tokens: int | None = None
  similarity: str = "cosine"
  normalize: bool = True
  classes: Sequence[str] = ()
  task: str = ""

  def __post_init__(self):
    object.__setattr__(self, "classes", tuple(self.classes))

  def prompt(self, side: str) -> str:
    """Returns the prompt of queries or documents; "" if there is none.

    Args:
      side: query or document.
    """
    return self.prompts.get(f"search_{side}", "")

  def with_prompts(self, query: str, document: str) -> "Usage":
    """Returns a copy with these prompts of queries and documents."""
    return dataclasses.replace(
      self, prompts=with_sides(self.prompts, query, document)
    )

  def compared_by(self, similarity: str) -> "Usage":
    """Returns a copy for vectors that were trained to compare by `similarity`.

    All but the cosine depend on the length of a vector, so vectors keep theirs.
    """
    normalize = self.normalize and similarity == "cosine"
    return dataclasses.replace(self, similarity=similarity, normalize=normalize)

  def to_json(self) -> JsonObject:
    """Returns a dict that JSON can represent."""
    return dataclasses.asdict(self) | {
      "prompts": dict(self.prompts),
      "classes": list(self.classes),
    }


def with_aliases(prompts: Mapping[str, str]) -> dict[str, str]:
  """Returns the prompts under their names here and under their aliases."""
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
  """Returns the prompts with those of queries and documents replaced."""
  sides = {"search_query": query, "search_document": document}
  known = with_aliases(prompts)
  changed = {
    name for name, text in sides.items() if known.get(name, "") != text
  }
  if not changed:
    return dict(prompts)
  unchanged = {
    name: text
    for name, text in known.items()
    if ALIASES.get(name, name) not in changed
  }
  return with_aliases(unchanged | {name: sides[name] for name in changed})


def check_ranked(similarity: str) -> str:
  """Returns `similarity` if vectors can be ranked by it: cosine or dot.

  Raises:
    UserError: for any other.
  """
  if similarity not in _RANKED:
    raise UserError(
      f"similarity_fn_name: this model compares by '{similarity}', which is "
      f"not supported for ranking; expected "
      f"{' or '.join(_RANKED)}"
    )
  return similarity
