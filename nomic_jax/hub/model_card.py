# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The model card: README.md of a model directory, as the Hub reads it.

Its front matter has the Hub's metadata
(huggingface.co/docs/hub/model-cards). Unknown values, such as a licence or a
base model that is not on the Hub, are left out.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import os
import pathlib
import re
from typing import NamedTuple

import yaml

from nomic_jax.model.architecture import Architecture
from nomic_jax.model.usage import Usage
from nomic_jax.storage import decoding
from nomic_jax.storage import hub_cache
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject

FILE = "README.md"


class Card(NamedTuple):
  """The contents of a card; "" for a value that is not known.

  Attributes:
    name: the name of the model.
    architecture: what it computes.
    usage: how it is used.
    base: the model it was trained from, a directory or a name on the Hub.
    licence: its identifier on the Hub, such as apache-2.0.
    data: what it was trained on: a file, or hf:OWNER/NAME.
    trained: (setting, value) of its training.
    scores: Markdown, with intervals; "" if it was not scored.
    classifier: whether it has a classification head.
    merged: (model, share) of the models it was merged from, if it was.
    method: how they were merged.
  """

  name: str
  architecture: Architecture
  usage: Usage
  base: str = ""
  licence: str = ""
  data: str = ""
  trained: Sequence[tuple[str, str]] = ()
  scores: str = ""
  classifier: bool = False
  merged: Sequence[tuple[str, float]] = ()
  method: str = ""


def text(card: Card) -> str:
  """Returns the whole of README.md."""
  front = yaml.safe_dump(_metadata(card), sort_keys=False, allow_unicode=True)
  parts = [f"---\n{front}---\n", f"# {card.name}\n", _summary(card)]
  if not card.classifier:
    parts.append(_usage(card))
  if card.scores:
    parts.append(f"## Scores\n\n{card.scores.strip()}\n")
  if card.merged:
    rows = "\n".join(f"| {_named(m)} | {w:.4g} |" for m, w in card.merged)
    parts.append(f"## Merged from\n\n| model | share |\n|---|---|\n{rows}\n")
  if card.trained:
    rows = "\n".join(f"| {what} | {value} |" for what, value in card.trained)
    parts.append(f"## Training\n\n| | |\n|---|---|\n{rows}\n")
  return decoding.safe("\n".join(parts))


def licence_of(directory: str | os.PathLike) -> str:
  """Returns the licence in the card of a model directory, or ""."""
  found = front_matter(pathlib.Path(directory) / FILE).get("license")
  return found if isinstance(found, str) else ""


def renamed(directory: str | os.PathLike, name: str) -> str:
  """Returns a directory's card under another name; "" if it has none."""
  try:
    card = (pathlib.Path(directory) / FILE).read_text(encoding="utf-8")
  except (OSError, ValueError):
    return ""
  if title := re.search(r"^# (.+)$", card, re.M):
    card = card.replace(title[0], f"# {name}", 1)
    card = card.replace(f'("{title[1]}")', f'("{name}")')  # as `_usage` has it
  return card


def front_matter(path: pathlib.Path) -> Mapping[str, Json]:
  """Returns the metadata of a card; {} if it cannot be read."""
  try:
    _, front, _ = path.read_text(encoding="utf-8").split("---\n", 2)
    found = yaml.safe_load(front)
  except (OSError, ValueError, yaml.YAMLError):
    return {}
  return found if isinstance(found, dict) else {}


def _metadata(card: Card) -> JsonObject:
  found: JsonObject = {
    "library_name": "sentence-transformers",
    "pipeline_tag": "sentence-similarity",
    "tags": [
      "sentence-transformers",
      "sentence-similarity",
      "feature-extraction",
      "nomic_jax",
    ],
  }
  if card.classifier:
    found = {
      "library_name": "transformers",
      "pipeline_tag": "text-classification",
      "tags": ["nomic_jax"],
    }
  if bases := [m for m, _ in card.merged if hub_cache.is_hub_name(m)]:
    found["base_model"] = list(dict.fromkeys(bases))
    found["base_model_relation"] = "merge"
  elif hub_cache.is_hub_name(card.base):
    found["base_model"] = card.base
    found["base_model_relation"] = "finetune"
  if card.licence:
    found["license"] = card.licence
  if card.data.startswith("hf:"):
    found["datasets"] = [card.data.removeprefix("hf:")]
  return found


def _summary(card: Card) -> str:
  a, usage = card.architecture, card.usage
  made = f"trained from {_named(card.base)}" if card.base else "trained"
  if card.merged:
    made = f"made by {card.method} of the weights of {len(card.merged)} models"
  if card.data:
    made += f" on {_named(card.data)}"
  kind = "A text classifier" if card.classifier else "A text embedding model"
  return (
    f"{kind} {made} with nomic_jax. It reads up to "
    f"{usage.max_tokens or a.max_length:,} tokens and gives vectors of "
    f"{a.output_width} dimensions, to be compared by {usage.similarity}.\n"
  )


def _named(place: str) -> str:
  """Returns a name on the Hub unchanged, and of a path only its last part."""
  if hub_cache.is_hub_name(place) or place.startswith("hf:"):
    return place.removeprefix("hf:")
  return f"`{pathlib.PurePath(place).name or place}`"


def _usage(card: Card) -> str:
  prompts = card.usage.prompts
  asked = 'prompt_name="search_query"' if "search_query" in prompts else ""
  stored = (
    'prompt_name="search_document"' if "search_document" in prompts else ""
  )
  comma = lambda argument: f", {argument}" if argument else ""
  ours = lambda argument: comma(argument.replace("prompt_name", "prompt"))
  listed = "".join(
    f"- `{name}`: `{text!r}`\n" for name, text in sorted(prompts.items())
  )
  return f"""## Usage

    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer("{card.name}")
    queries = model.encode(["a question"]{comma(asked)})
    documents = model.encode(["a document"]{comma(stored)})
    print(model.similarity(queries, documents))

Or with nomic_jax, in JAX:

    import nomic_jax

    model = nomic_jax.load("{card.name}")
    queries = model.encode(["a question"]{ours(asked)})
""" + (f"\nPrompts:\n\n{listed}" if listed else "")
