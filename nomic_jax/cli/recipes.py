# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""How closely a training follows contrastors: `config.recipe`.

`recommended`, the default, is what we would train with. `published` is the
update and the data of contrastors, the code behind Nomic Embed, to the letter
where that is known: for who wants the published models again. DIFFERENCES says
all that sets the two apart, and KEPT what differs from contrastors in both;
`python -m nomic_jax.cli.recipes` makes the table in configs/README.md of them.
"""

from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import ml_collections

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError

RECIPES = ("recommended", "published")

# Of v1, v1-ablated and v1.5; v2-moe was trained on 16.
GPUS = 8.0

_PAIRS = ("info_nce", "distill")


class Difference(NamedTuple):
  """A field of the config that the recipes set differently.

  Attributes:
    field: its key.
    losses: the `config.loss.name` of the trainings that it concerns.
    published: its value there.
    what: what contrastors does.
    why: why the recommended value, the config file's own, is another.
  """

  field: str
  losses: tuple[str, ...]
  published: Any
  what: str
  why: str


DIFFERENCES = (
  Difference(
    "data.document_boundaries",
    ("mlm",),
    False,
    "packed documents attend to each other; positions run through the row",
    "a document next to another says nothing about it",
  ),
  Difference(
    "data.mask_draw",
    ("mlm",),
    "independent",
    "each token is masked with a chance of 30 %",
    "exactly 30 % of a row fill a fixed shape",
  ),
  Difference(
    "evaluators.eval.every",
    ("mlm",),
    625,
    "the MLM's loss and perplexity are measured after each of 160 epochs, "
    "on 1 % of the rows (here after 1/160 of the steps, on 8 batches of "
    "what `prepare --held_out=0.01` keeps)",
    "not all data has rows held out",
  ),
  Difference(
    "optimizer.gradient_scale",
    ("info_nce",),
    GPUS,
    "the gradient is W times that of the mean over the batch on W GPUs, "
    "which the clip and Adam's eps see: as if both were divided by W (8 "
    "for v1; 16 for v2-moe)",
    "a config means the same on any number of devices",
  ),
  Difference(
    "data.order",
    _PAIRS,
    "stored",
    "a batch is of one shard, its rows in the shard's order (needs "
    "`prepare --whole_batches=BATCH --keep_copies --held_out=0`)",
    "rows next to each other in a shard may be alike",
  ),
  Difference(
    "data.merge_copies",
    _PAIRS,
    False,
    "copies of a positive, and documents that answer an equal query, are "
    "negatives; a hard negative of two queries counts twice",
    "a right answer is no negative; texts are equal if their tokens are",
  ),
  Difference(
    "compute.dropout",
    (*_PAIRS, "classification"),
    -1.0,
    "dropout is what the checkpoint's config.json says: 0 of the published "
    "v1, 0.1 of nomic-bert-2048",
    "the paper uses none but for GLUE, where both recipes take the "
    "checkpoint's",
  ),
)

# (what contrastors does, what happens here and why), in both recipes.
KEPT = (
  (
    "texts are cut at 32 tokens (queries) and 256 (documents), whatever the "
    "yaml's seq_len says; the paper says 2,048 and then 512",
    "the paper's lengths; `data.query_length=32` and `document_length=256` "
    "are the code's",
  ),
  (
    "the yaml's pre-training schedule is cosine; the paper's inverse square "
    "root",
    "the paper's; `optimizer.schedule=cosine` is the yaml's",
  ),
  (
    "mlm.yaml has a rotary base of 500,000; the released nomic-bert-2048 has "
    "1,000",
    "1,000; `encoder.rotary_base=500000` is the yaml's",
  ),
  (
    "a row's mean MLM loss is of its GPU's tokens, then GPUs are averaged",
    "the mean over all masked tokens of the batch",
  ),
  (
    "MLM rows are made once, of 1,000 consecutive documents each time",
    "rows are packed anew in each epoch, of shuffled documents; rows that "
    "come as `input_ids`, as published, stay as they are",
  ),
  (
    "shards come in random order, each from its start",
    "batches of `data.order=stored` come in random order",
  ),
  (
    "a shard that is listed and not there is left out",
    "an error that names it",
  ),
  (
    "NanoBEIR is measured during contrastive trainings where the yaml asks "
    "for it",
    "`evaluators.retrieval.tasks=nanobeir`, off by default, since "
    "it needs data; it changes no weight",
  ),
  (
    "logits of InfoNCE are bfloat16, which at 1/0.02 has steps of 0.25",
    "float32",
  ),
  (
    "a row with fewer hard negatives than the others shifts the labels of all "
    "after it",
    "an absent negative is absent",
  ),
  (
    "bidirectional adds a sum to a mean, on one GPU and without hard "
    "negatives; no recipe uses it",
    "halves of both directions, on any mesh",
  ),
  (
    "GradCache with hard negatives leaves documents out",
    "exact; it changes no result",
  ),
  (
    "accumulation outside DeepSpeed adds up losses undivided, and the warmup "
    "of mlm.yaml is stretched fourfold",
    "micro-batches are one batch; the warmup is what is written",
  ),
  (
    "weight decay goes by the number of axes",
    "by name (optimizer.decay_multipliers): kernels and embeddings, the same "
    "parameters in every published recipe",
  ),
  (
    "dynamic NTK goes by the longest text of the batch",
    "by a text's own length; `compute.ntk_length=batch` is the other",
  ),
  (
    "trainings last epochs",
    "steps, the paper's; order.py says what an epoch is",
  ),
  (
    "an epoch of GLUE ends with a batch that is not full",
    "what is left over is other rows in each epoch; steps are 10 epochs' rows "
    "divided by the batch",
  ),
  (
    "distillation: KL over a GPU's own documents",
    "over the documents of the whole batch",
  ),
  (
    "MTEB was run by mteb 1.8.11",
    "by mteb 2, whose data may have been corrected since",
  ),
  (
    "BEIR's Quora documents get the query's prompt in eval_beir.py",
    "search_document, as in MTEB",
  ),
  (
    "false negatives are sought within a data set",
    "`filter --within_source` and `mine --within_source`; without it all "
    "sources are compared",
  ),
  (
    "a source without an entry of prefixes gets `query: ` and `passage: `",
    "the prompts of the model that is trained; every published source has an "
    "entry",
  ),
  (
    "the published shards come with counts and offsets, made by a script",
    "`prepare` reads counts.json and writes data directories only",
  ),
)


def apply(config: ml_collections.ConfigDict, asked: Sequence[str]) -> None:
  """Sets the fields of a config's recipe, if that is `published`.

  Args:
    config: what a config file returned.
    asked: values of --config.recipe; the last counts before the file's own.

  Raises:
    UserError: for an unknown recipe, or a config without one of the fields.
  """
  recipe = [config.get("recipe", RECIPES[0]), *asked][-1]
  one_of(recipe, RECIPES, f"--config.recipe={recipe}: no such recipe")
  if recipe != "published":
    return
  for difference in of_loss(config.loss.name):
    *path, name = difference.field.split(".")
    group = config
    for part in path:
      group = group.get(part, {})
    if name not in group:
      raise UserError(
        f"--config.recipe={recipe}: it sets {difference.field}, and the "
        "config has no such key; base it on configs/common.py"
      )
    group[name] = difference.published


def of_loss(name: str) -> list[Difference]:
  """The differences that concern trainings with the loss `name`."""
  return [d for d in DIFFERENCES if name in d.losses]


def markdown() -> str:
  """The table of configs/README.md."""
  lines = ["| contrastors | here, and why |", "|---|---|"]
  lines += [
    f"| {d.what} | `published`: so, by `{d.field}={d.published}`; "
    f"`recommended`: {d.why} |"
    for d in DIFFERENCES
  ]
  lines += [f"| {theirs} | {ours} |" for theirs, ours in KEPT]
  return "\n".join(lines)


if __name__ == "__main__":
  print(markdown())
