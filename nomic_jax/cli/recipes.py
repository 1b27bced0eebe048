# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""How closely a training run follows contrastors: `config.recipe`.

`recommended`, the default, deviates where that is better. `published`
reproduces the update and the data of contrastors, the code behind Nomic Embed,
as exactly as they are known. DIFFERENCES lists the fields in which the two
differ, and KEPT the deviations from contrastors in both. `python -m
nomic_jax.cli.recipes` prints the table in configs/README.md.
"""

from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import ml_collections

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError

RECIPES = ("recommended", "published")

# For v1, v1-ablated and v1.5; v2-moe was trained on 16.
GPUS = 8.0

_PAIRS = ("info_nce", "distill")


class Difference(NamedTuple):
  """A field of the config that the recipes set differently.

  Attributes:
    field: its key.
    losses: the values of `config.loss.name` that it applies to.
    published: its value in the published recipe.
    what: what contrastors does.
    why: why the recommended value, which the config file sets, differs.
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
    "packed documents attend to each other; positions count through the row",
    "restricts attention to one document, since its neighbours carry no "
    "information about it",
  ),
  Difference(
    "data.mask_draw",
    ("mlm",),
    "independent",
    "each token is masked with probability 30 %",
    "masks exactly 30 % of each row, so that shapes are fixed",
  ),
  Difference(
    "evaluators.eval.every",
    ("mlm",),
    625,
    "the MLM loss and perplexity are measured after each of 160 epochs on 1 % "
    "of the rows (here: after every 1/160 of the steps, on 8 batches of the "
    "rows held out by `prepare --held_out=0.01`)",
    "not all data has held-out rows",
  ),
  Difference(
    "optimizer.gradient_scale",
    ("info_nce",),
    GPUS,
    "on W GPUs (8 for v1, 16 for v2-moe) the gradient is W times the gradient "
    "of the batch mean, which has the effect of dividing clip_norm and Adam's "
    "eps by W",
    "a config means the same on any number of devices",
  ),
  Difference(
    "data.order",
    _PAIRS,
    "stored",
    "a batch comes from one shard, in the shard's order (needs "
    "`prepare --whole_batches=BATCH --keep_copies --held_out=0`)",
    "neighbouring rows of a shard may be similar",
  ),
  Difference(
    "data.merge_copies",
    _PAIRS,
    False,
    "copies of a positive, and documents that answer a copy of the query, "
    "count as negatives; a hard negative shared by two queries counts twice",
    "a correct answer is not a negative; texts are equal if their tokens are",
  ),
  Difference(
    "compute.dropout",
    (*_PAIRS, "classification"),
    -1.0,
    "dropout is taken from the checkpoint's config.json: 0 in the published "
    "v1, 0.1 in nomic-bert-2048",
    "the paper uses none except for GLUE, where both recipes use the "
    "checkpoint's",
  ),
)

# (what contrastors does, what this code does and why), in both recipes.
KEPT = (
  (
    "texts are truncated to 32 tokens (queries) and 256 (documents), whatever "
    "seq_len in the yaml file says; the paper says 2,048 and then 512",
    "the paper's lengths; `data.query_length=32` and `document_length=256` "
    "reproduce the code",
  ),
  (
    "the pre-training schedule in the yaml file is cosine; in the paper, "
    "inverse square root",
    "inverse square root; `optimizer.schedule=cosine` reproduces the yaml file",
  ),
  (
    "mlm.yaml has a rotary base of 500,000; the released nomic-bert-2048 has "
    "1,000",
    "1,000; `encoder.rotary_base=500000` reproduces the yaml file",
  ),
  (
    "the MLM loss is averaged over the tokens of each GPU, then over GPUs",
    "the mean over all masked tokens of the batch",
  ),
  (
    "MLM rows are made once, from 1,000 consecutive documents at a time",
    "rows are packed again in each epoch, from shuffled documents; rows given "
    "as `input_ids`, as published, are kept",
  ),
  (
    "shards are read in random order, each from its start",
    "batches of `data.order=stored` are read in random order",
  ),
  ("a listed shard that does not exist is skipped", "an error names it"),
  (
    "NanoBEIR is measured during contrastive training if the yaml file says so",
    "available as `evaluators.retrieval.tasks=nanobeir`; off by default "
    "because it needs a download. It does not affect the weights",
  ),
  (
    "logits of InfoNCE are bfloat16, with a resolution of 0.25 at 1/0.02",
    "float32",
  ),
  (
    "a row with fewer hard negatives than the others shifts the labels of all "
    "rows after it",
    "missing negatives are masked",
  ),
  (
    "the option `bidirectional` adds a sum to a mean (on one GPU, without "
    "hard negatives); no recipe uses it",
    "half the sum of both directions, on any mesh",
  ),
  (
    "GradCache with hard negatives omits documents",
    "exact; it does not change results",
  ),
  (
    "without DeepSpeed, gradient accumulation sums the losses without "
    "dividing, which also makes the warm-up in mlm.yaml four times as long",
    "the micro-batches together are one batch; the warm-up is as specified",
  ),
  (
    "weight decay is selected by the number of axes of a parameter",
    "by its name (`optimizer.decay_multipliers`: kernels and "
    "embeddings), which gives the same parameters in every published recipe",
  ),
  (
    "dynamic NTK depends on the longest text of the batch",
    "on the text's own length; `compute.ntk_length=batch` reproduces "
    "contrastors",
  ),
  (
    "the length of a training run is given in epochs",
    "in steps, as in the paper, or in epochs (`epochs`); `data/order.py` "
    "defines an epoch",
  ),
  (
    "an epoch of GLUE ends with a partial batch",
    "the rows left over differ in each epoch; the number of steps is 10 times "
    "the rows divided by the batch size",
  ),
  (
    "distillation: KL over the documents of one GPU",
    "over the documents of the whole batch",
  ),
  (
    "MTEB was run with mteb 1.8.11",
    "uses mteb 2; some of its data sets may have been corrected since 1.8.11",
  ),
  (
    "BEIR's Quora documents get the query prompt in eval_beir.py",
    "search_document, as in MTEB",
  ),
  (
    "false negatives are searched for within a data set",
    "`filter --within_source` and `mine --within_source`; by default all "
    "sources are compared",
  ),
  (
    "a source without an entry for prefixes gets `query: ` and `passage: `",
    "the prompts of the model being trained; every published source has an "
    "entry",
  ),
  (
    "the published shards come with counts and offsets made by a script",
    "`prepare` reads counts.json and writes data directories only",
  ),
)


def apply(config: ml_collections.ConfigDict, asked: Sequence[str]) -> None:
  """Sets the fields of a config's recipe, if that is `published`.

  Args:
    config: the value returned by a config file, changed in place.
    asked: values of --config.recipe; the last overrides the file's own.

  Raises:
    UserError: for an unknown recipe, or a config that lacks one of the fields.
  """
  recipe = [config.get("recipe", RECIPES[0]), *asked][-1]
  one_of(recipe, RECIPES, f"--config.recipe={recipe}: no such recipe")
  if recipe != "published":
    return
  one_of(
    config.loss.name,
    sorted({name for d in DIFFERENCES for name in d.losses}),
    f"--config.recipe={recipe}: contrastors has no loss '{config.loss.name}'",
  )
  for difference in of_loss(config.loss.name):
    *path, name = difference.field.split(".")
    group = config
    for part in path:
      group = group.get(part, {})
    if name not in group:
      raise UserError(
        f"--config.recipe={recipe}: it sets {difference.field}, but the config "
        "has no such key; base it on configs/common.py"
      )
    group[name] = difference.published


def of_loss(name: str) -> list[Difference]:
  """Returns the differences that apply to runs with the loss `name`."""
  return [d for d in DIFFERENCES if name in d.losses]


def markdown() -> str:
  """Returns the table in configs/README.md."""
  lines = ["| contrastors | here, and why |", "|---|---|"]
  lines += [
    f"| {d.what} | `published` does the same (`{d.field}={d.published}`); "
    f"`recommended`: {d.why} |"
    for d in DIFFERENCES
  ]
  lines += [f"| {theirs} | {ours} |" for theirs, ours in KEPT]
  return "\n".join(lines)


if __name__ == "__main__":
  print(markdown())
