# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What each field of the configs means: `python configs/fields.py` prints the
table of configs/README.md, with the defaults of the configs as they are.
"""

import importlib
import pathlib
import sys

import ml_collections

CONFIGS = (
  "mlm",
  "contrastive",
  "finetune",
  "adapt",
  "distill",
  "classify",
  "glue",
  "scores",
  "triplets",
)
_ARGUMENT = {"glue": "mrpc"}  # the others have a default

MEANINGS = {
  "seed": "seed of initial weights, data order, masks and dropout",
  "steps": "updates of the parameters; set either steps or epochs; setting "
  "one on the command line resets the other to 0",
  "epochs": "passes over the training rows, such as 3 or 0.5; the number of "
  "steps is rounded down to whole batches",
  "recipe": "recommended or published, see Differences from contrastors; "
  "put it before other flags, so that they can override what it sets",
  "log_every": "steps between two lines of metrics.jsonl",
  "skip_nonfinite": "number of steps to skip because the loss or gradient is "
  "not finite; one more is an error",
  "init_from": "model or work directory, or Hub name, to start from; empty: "
  "fresh weights",
  "init_as": "rotary: convert a BERT to a long-context model; selection: "
  "initialise a smaller encoder with a selection of the weights of a larger "
  "one",
  "encoder.width": "hidden size of fresh weights",
  "encoder.layers": "number of layers",
  "encoder.heads": "attention heads",
  "encoder.mlp_width": "inner width of the MLP",
  "encoder.family": "family of fresh weights, a name in "
  "nomic_jax/families/README.md",
  "encoder.pooling": "mean, cls, last or weighted (by position); None: "
  "the model's own, mean for fresh weights",
  "encoder.pooled_norm": "a LayerNorm of the pooled vector, as in "
  "nomic-embed-text-v1.5; None: the model's own",
  "encoder.projection": "width of a linear layer after pooling, 0: none; "
  "None: the model's own or, with data.teacher, the teacher's width",
  "encoder.max_length": "maximum tokens of a text when the model is used; "
  "None: the model's own, for fresh weights the "
  "maximum in training",
  "encoder.rotary_base": "base of the rotary embeddings of layers without a "
  "window; None: the model's own",
  "encoder.rotary_base_local": "the same for layers with a window",
  "encoder.rotary_factor": "factor of dynamic NTK scaling, 0: none; None: "
  "the model's own",
  "encoder.dropout": "rate to write to the export's config.json; None: the "
  "model's own",
  "encoder.head_dropout": "the same for the classification head",
  "compute.dtype": "dtype of activations and products: bfloat16, float32, or "
  "auto (bfloat16 if the hardware supports it)",
  "compute.attention": "implementation of attention, or auto",
  "compute.remat": "what the backward pass recomputes within a layer: none; "
  "full: everything; attention: all but attention; dots: all but matrix "
  "products; weight_dots: like dots, but attention's matrix products are "
  "recomputed too",
  "compute.unroll": "layers in an iteration of the scan over layers",
  "compute.dropout": "rate in training; -1: the rate in init_from's files",
  "compute.ntk_length": "length used by dynamic NTK scaling: text (the length "
  "of each text) or batch (of the longest text in the batch, as in "
  "contrastors)",
  "mesh.data": "devices along this axis; -1: all that remain",
  "mesh.fsdp": "devices along this axis, which splits the batch too",
  "mesh.tensor": "devices that split a layer",
  "mesh.rules": "replicated, zero1 (shards optimizer state) or fsdp "
  "(parameters too)",
  "mesh.unsharded_limit": "maximum fraction of the parameters that may be "
  "replicated; more is an error",
  "data.path": "data directory, made by nomic-jax prepare",
  "data.split": "split of the data directory",
  "data.tokenised": "read the token ids that nomic-jax tokenise wrote",
  "data.kind": "kind of batches: text, pairs, scores, triplets or labels",
  "data.batch_size": "rows (text), pairs, or texts (labels) of a global "
  "batch, over all devices",
  "data.micro_batches": "parts of a batch whose gradients are accumulated",
  "data.batch_warmup": "number of first steps over which the batch grows from "
  "one micro-batch to all; 0: none. Each number of micro-batches is compiled "
  "once",
  "data.row_length": "tokens of a packed row",
  "data.slots": "maximum number of texts in a packed row",
  "data.rows_multiple": "the number of rows is rounded up to a multiple of "
  "this, so that few shapes are compiled and rows divide evenly over devices",
  "data.mask_rate": "fraction of the tokens masked",
  "data.mask_draw": "exact: that fraction of each row; independent: each "
  "token with that probability",
  "data.document_boundaries": "whether tokens attend only within their "
  "document; False: within their row",
  "data.query_length": "tokens of a query; the rest is truncated",
  "data.document_length": "tokens of a document; the rest is truncated",
  "data.text_length": "tokens of a labelled text or pair",
  "data.query_prompt": "text put before queries; None: the model's own, for "
  'fresh weights "search_query: "',
  "data.document_prompt": "text put before documents; None: the model's "
  'own, for fresh weights "search_document: "',
  "data.one_source": "whether each batch comes from one source (section 4.2)",
  "data.source_alpha": "a source is sampled in proportion to its weight times "
  "rows ** source_alpha; with 1 and no weights, each row is seen once per "
  "epoch",
  "data.source_weights": "weight of each source, by name",
  "data.order": "shuffled, or stored (a batch is a run of consecutive rows of "
  "the data)",
  "data.merge_copies": "treat equal texts as one candidate; a copy of a "
  "positive is then not a negative",
  "data.negatives": "hard negatives per query",
  "data.sample_negatives": "draw new negatives in each epoch; False: use the "
  "first ones",
  "data.token_dropout": "fraction of the tokens left out of a text",
  "data.workers": "processes that make batches; 0: two threads",
  "data.teacher": "folder made by nomic-jax teach",
  "data.labels": "maximum number of labels of a text; None: the data's",
  "data.classes": "number of classes; 0: numbers; None: the data's",
  "loss.name": "the objective, see nomic_jax/losses",
  "loss.chunks": "parts in which the vocabulary's logits are computed",
  "loss.temperature": "similarities are divided by it",
  "loss.trainable_temperature": "learn the temperature",
  "loss.bidirectional": "average with the loss of documents to queries",
  "loss.scale": "similarities are multiplied by it",
  "loss.distance": "triplet loss: cosine, euclidean or manhattan",
  "loss.margin": "triplet loss: how much farther a negative must be than the "
  "positive",
  "loss.chunk_tokens": "GradCache: tokens that a device embeds at a time if a "
  "batch has more; 0: all at once",
  "loss.matryoshka_dims": "dimensions to which vectors may be truncated",
  "loss.matryoshka_weights": "weight of the loss at each dimension; empty: "
  "all 1",
  "loss.kind": "distillation: relational, mse, kd or towers; classification: "
  "single, multi or regression",
  "loss.labels": "outputs of the classifier; None: the same as data.classes",
  "optimizer.name": "adamw or stable_adamw",
  "optimizer.learning_rate": "peak of the schedule",
  "optimizer.schedule": "linear, cosine, inverse_sqrt, wsd, wsd_sqrt or "
  "constant; or a list of (regular expression, schedule)",
  "optimizer.warmup": '"N steps", "P%", "N examples" or "N tokens"',
  "optimizer.cooldown": "length of the decay to zero in the schedules wsd and "
  "wsd_sqrt",
  "optimizer.b1": "AdamW's decay of the first moment",
  "optimizer.b2": "AdamW's decay of the second moment",
  "optimizer.eps": "AdamW's epsilon",
  "optimizer.weight_decay": "decoupled weight decay",
  "optimizer.clip_norm": "largest global norm of the gradient; 0: no clipping",
  "optimizer.average": "decay of an exponential moving average of the "
  "parameters, such as 0.999, which is evaluated and exported in their place; "
  "0: none",
  "optimizer.gradient_scale": "factor by which the gradient is multiplied "
  "before clip_norm and eps apply; 8 reproduces contrastors on 8 GPUs",
  "optimizer.lr_multipliers": "(regular expression, factor) over parameter "
  "paths, the first match applies; 0 freezes",
  "optimizer.decay_multipliers": "the same for weight_decay",
  "evaluators.NAME.kind": "loss, retrieval, scores or labels",
  "evaluators.NAME.every": "steps between evaluations, which also run after "
  "the last step; 0: never",
  "evaluators.NAME.batches": "kind loss: maximum number of batches",
  "evaluators.NAME.metrics": "kind labels: accuracy, f1, matthews, pearson, "
  "spearman",
  "evaluators.NAME.data": "kinds retrieval and scores: folder with the tasks' "
  "data; others: fields of config.data that differ from those of the training "
  "run",
  "evaluators.NAME.tasks": "value of --tasks of nomic-jax evaluate; empty: "
  "the held-out pairs",
  "evaluators.NAME.query_length": "tokens of a query; None: the model's "
  "maximum",
  "evaluators.NAME.document_length": "tokens of a document; None: the "
  "model's maximum",
  "evaluators.NAME.query_prompt": "text put before queries; None: the "
  "model's own",
  "evaluators.NAME.document_prompt": "text put before documents; None: the "
  "model's own",
  "log.tensorboard": "write event files to WORKDIR/logs",
  "log.wandb": "project of Weights & Biases to log to",
  "log.hang_minutes": "print the stacks of all threads if a step takes longer "
  "than this; 0: never",
  "checkpoint.minutes": "save at the first logged step after this many "
  "minutes; 0: not by time",
  "checkpoint.every": "steps between checkpoints; 0: not by steps",
  "checkpoint.keep": "number of latest checkpoints to keep",
  "checkpoint.keep_every": "also keep checkpoints of steps that are multiples "
  "of this; 0: none",
  "checkpoint.best": "also keep the best checkpoint by this metric, such as "
  "eval/loss, if it is better than the initial model",
  "checkpoint.patience": "stop after this many measurements without "
  "improvement of checkpoint.best; 0: never",
}


def defaults() -> dict[str, dict[str, object]]:
  """Field -> config -> default, of every config at the paper's size."""
  sys.path.insert(0, str(pathlib.Path(__file__).parent))
  found: dict[str, dict[str, object]] = {}
  for name in CONFIGS:
    config = importlib.import_module(name).get_config(_ARGUMENT.get(name))
    for field, value in _flat(config):
      found.setdefault(field, {})[name] = value
  return found


def _flat(config: ml_collections.ConfigDict, prefix: str = ""):
  for key, value in config.items():
    if isinstance(value, ml_collections.ConfigDict) and len(value):
      yield from _flat(value, f"{prefix}{key}.")
    else:
      yield prefix + key, value


def general(field: str) -> str:
  """The name that a field has in MEANINGS."""
  if not field.startswith("evaluators."):
    return field
  _, _, key, *_ = field.split(".")
  return f"evaluators.NAME.{key}"


def _shown(value: object) -> str:
  if isinstance(value, ml_collections.ConfigDict):
    value = value.to_dict()
  text = repr(value).replace("|", "\\|")
  return f"`{text}`"


def markdown() -> str:
  """The table: field, meaning, default of each config."""
  rows: dict[str, list[str]] = {}
  for field, values in sorted(defaults().items()):
    configs_of: dict[str, list[str]] = {}
    for name, value in values.items():
      configs_of.setdefault(_shown(value), []).append(name)
    if len(values) == len(CONFIGS) and len(configs_of) == 1:
      text = next(iter(configs_of))
    else:
      text = "; ".join(
        f"{value} {', '.join(names)}" for value, names in configs_of.items()
      )
    if field.startswith("evaluators."):
      text = f"{'.'.join(field.split('.')[1:])}: {text}"
    rows.setdefault(general(field), []).append(text)
  lines = ["| field | meaning | default |", "|---|---|---|"]
  for field, meaning in MEANINGS.items():
    lines.append(f"| `{field}` | {meaning} | {' / '.join(rows[field])} |")
  return "\n".join(lines)


if __name__ == "__main__":
  print(markdown())
