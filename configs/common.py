# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Fields that all training runs share, and sizes by name."""

from collections.abc import Sequence

import ml_collections
from ml_collections.config_dict import placeholder

from nomic_jax.errors import one_of

SIZES = ("paper", "quickstart", "miniature")

ENCODERS = {
  # nomic-bert-2048: Nomic Embed, section 3.
  "paper": dict(width=768, layers=12, heads=12, mlp_width=3072),
  # Learns in minutes on two cores.
  "quickstart": dict(width=384, layers=1, heads=6, mlp_width=384),
  # For the tests.
  "miniature": dict(width=64, layers=2, heads=2, mlp_width=128),
}


def size_of(arg: str | None) -> str:
  """Returns the size in --config=FILE.py:SIZE; default paper."""
  return size_and_variant(arg, ())[0]


def size_and_variant(
  arg: str | None, variants: Sequence[str]
) -> tuple[str, str]:
  """Returns the size and variant in --config=FILE.py:VARIANT,SIZE.

  Args:
    arg: a size, a variant, both separated by a comma, or None.
    variants: further recipes of the file.

  Returns:
    The size, by default paper; and the variant, by default "".
  """
  size, variant = "paper", ""
  for part in (arg or "paper").split(","):
    one_of(part, (*SIZES, *variants), f"--config=...:{arg}: no such size")
    if part in SIZES:
      size = part
    elif variant:
      raise ValueError(
        f"--config=...:{arg}: '{variant}' and '{part}'; expected one of them"
      )
    else:
      variant = part
  return size, variant


def base(size: str) -> ml_collections.ConfigDict:
  """Returns the fields of every training run; a config file sets the rest."""
  c = ml_collections.ConfigDict()
  c.seed = 42
  # Exactly one of the two is not 0. A flag for one sets the other to 0.
  c.steps = 0
  c.epochs = 0.0
  # recommended, or published: see nomic_jax/cli/recipes.py. It is read before
  # all other flags, which may override what it sets.
  c.recipe = "recommended"
  c.log_every = 10
  c.skip_nonfinite = 0  # number of steps to skip before it is an error
  c.init_from = ""  # a model or work directory; empty: fresh weights
  # Or "rotary": a BERT becomes a long-context model; "selection": a smaller
  # encoder is initialized with some of a larger one's weights.
  c.init_as = ""

  # The architecture of fresh weights. With init_from, only fields that may be
  # None have an effect, and with selection also the sizes; the rest is the
  # model's. None: the model's own; for fresh weights mean pooling, no norm, no
  # projection, the training run's length, and the defaults of EncoderConfig.
  c.encoder = ml_collections.ConfigDict(ENCODERS[size])
  c.encoder.family = "nomic_bert"  # or any in nomic_jax/families/README.md
  c.encoder.pooling = placeholder(str)
  c.encoder.pooled_norm = placeholder(bool)
  c.encoder.projection = placeholder(int)  # width of a layer after pooling
  c.encoder.max_length = placeholder(int)  # tokens read at inference
  c.encoder.rotary_base = placeholder(float)
  c.encoder.rotary_base_local = placeholder(float)  # of layers with a window
  c.encoder.rotary_factor = placeholder(float)  # of dynamic NTK; 0: none
  # Dropout as stated in the exported files; see compute.dropout.
  c.encoder.dropout = placeholder(float)
  c.encoder.head_dropout = placeholder(float)

  c.compute = ml_collections.ConfigDict()
  # auto: bfloat16 if the hardware supports it, else float32.
  c.compute.dtype = {
    "paper": "bfloat16",
    "quickstart": "auto",
    "miniature": "float32",
  }[size]
  c.compute.attention = "auto"  # see nomic_jax/kernels/attention.py
  # What the backward pass recomputes in a layer: none; full, everything;
  # attention, all but attention; dots, all but matmuls; weight_dots, also the
  # matmuls of attention.
  c.compute.remat = "none"
  c.compute.unroll = 1  # layers per iteration of the scan
  # For example 0.1; -1: the rate in the files of init_from. Not in attention.
  c.compute.dropout = 0.0
  # Length for dynamic NTK scaling: each text's own, or "batch" for the longest
  # text of the batch, as in contrastors.
  c.compute.ntk_length = "text"

  # -1: all remaining devices. data and fsdp both split the batch. If more than
  # unsharded_limit of the parameters are replicated, that is an error.
  c.mesh = ml_collections.ConfigDict(
    dict(data=-1, fsdp=1, tensor=1, rules="replicated", unsharded_limit=1.0)
  )

  c.data = ml_collections.ConfigDict()
  c.data.path = ""  # a data directory: nomic-jax prepare
  c.data.split = "train"
  c.data.tokenised = False  # True: read what nomic-jax tokenise made

  # Each evaluator runs after every `every` steps (0: never) and after the last,
  # see nomic_jax/evaluation/evaluators/. eval: the loss on a held-out split,
  # each row once, in at most `batches`; `data` has the fields that differ from
  # the training run's.
  c.evaluators = ml_collections.ConfigDict()
  c.evaluators.eval = ml_collections.ConfigDict(
    dict(kind="loss", every=0, batches=8, data=dict(split="test"))
  )

  c.optimizer = ml_collections.ConfigDict()
  c.optimizer.name = "adamw"  # or stable_adamw
  c.optimizer.b1 = 0.9
  c.optimizer.b2 = 0.999
  c.optimizer.eps = 1e-8
  c.optimizer.weight_decay = 0.01
  c.optimizer.clip_norm = 1.0  # 0: no clipping
  # Decay of a moving average of the parameters, such as 0.999, which is then
  # evaluated and exported; 0: none.
  c.optimizer.average = 0.0
  # The gradient is multiplied by this for clip_norm and eps: 8 reproduces
  # contrastors on 8 GPUs.
  c.optimizer.gradient_scale = 1.0
  c.optimizer.cooldown = "10%"  # of wsd and wsd_sqrt: the decay to zero
  # (regex, value): the first that matches a parameter's whole path applies,
  # such as encoder/layers/qkv/kernel. A multiplier of 0 freezes. `schedule` may
  # be such a list too.
  c.optimizer.lr_multipliers = ((".*", 1.0),)
  c.optimizer.decay_multipliers = (
    (r"(.*/)?(kernel|embedding)", 1.0),
    (".*", 0.0),
  )

  # Besides metrics.jsonl: event files in WORKDIR/logs, a W&B project. If a step
  # takes longer than hang_minutes (0: never), each process prints the stacks of
  # its threads on standard error, and continues.
  c.log = ml_collections.ConfigDict(
    dict(tensorboard=False, wandb="", hang_minutes=30.0)
  )

  # A checkpoint is saved at the first logged step after `minutes`, and after
  # every `every` steps (0: never). The last `keep` are kept, one every
  # `keep_every` steps, and the best by the metric `best` of an evaluator, such
  # as eval/loss, which is also measured before the first step. After `patience`
  # measurements without improvement (0: no limit), the training run stops.
  c.checkpoint = ml_collections.ConfigDict(
    dict(minutes=10.0, every=0, keep=2, keep_every=0, best="", patience=0)
  )
  return c


def pairs(c: ml_collections.ConfigDict) -> None:
  """Adds the fields of contrastive data and of InfoNCE."""
  c.data.kind = "pairs"
  c.data.batch_size = 16384  # pairs, over all devices
  c.data.one_source = True  # each batch is from one source (section 4.2)
  # A source's share is rows ** source_alpha, times its weight if it has one
  # here. With 1 and no weights, every row occurs once per epoch.
  c.data.source_alpha = 1.0
  c.data.source_weights = ml_collections.ConfigDict()
  # shuffled; or stored: batches of consecutive rows of the data.
  c.data.order = "shuffled"
  # Equal texts are one candidate; a copy of a positive is not a negative.
  c.data.merge_copies = True
  # Tokens of a packed row, and maximum number of texts in it; rows of a batch
  # may be shorter if that wastes less.
  c.data.row_length = 2048
  c.data.slots = 256
  c.data.rows_multiple = 256  # few shapes, and rows divide over devices
  c.data.query_length = 2048  # tokens; longer texts are truncated
  c.data.document_length = 2048
  c.data.token_dropout = 0.0
  # None: the model's own, if any; for fresh weights "search_query: " and
  # "search_document: ".
  c.data.query_prompt = placeholder(str)
  c.data.document_prompt = placeholder(str)
  c.data.negatives = 0  # hard negatives for each query
  c.data.sample_negatives = True  # new draw each epoch; False: the first ones
  c.data.workers = 0  # processes that make batches; 0: two threads

  # Search in held-out pairs, or in the --tasks and --data of nomic-jax
  # evaluate, such as tasks=nanobeir. Lengths and prompts that are None are
  # those of the exported model, so that nomic-jax evaluate gives the same
  # scores.
  c.evaluators.retrieval = ml_collections.ConfigDict(
    dict(kind="retrieval", every=0, tasks="", data="")
  )
  for name in ("query_length", "document_length"):
    c.evaluators.retrieval[name] = placeholder(int)
  for name in ("query_prompt", "document_prompt"):
    c.evaluators.retrieval[name] = placeholder(str)

  c.loss = ml_collections.ConfigDict()
  c.loss.name = "info_nce"
  c.loss.temperature = 0.02
  c.loss.trainable_temperature = False
  c.loss.bidirectional = False
  # GradCache: if a batch has more tokens per device, they are embedded this
  # many at a time, keeping only the embeddings; 0: all at once. 16,384 tokens
  # of the paper's encoder need 8 GiB including a device's parameters.
  c.loss.chunk_tokens = 16_384
  c.loss.matryoshka_dims = ()
  c.loss.matryoshka_weights = ()


def labels(c: ml_collections.ConfigDict) -> None:
  """Adds the fields of labelled texts; the optimizer is that of GLUE (5.1)."""
  c.data.kind = "labels"
  c.data.batch_size = 16
  c.data.row_length = 128
  c.data.slots = 8
  c.data.rows_multiple = 8
  c.data.text_length = 128
  c.data.labels = 1
  c.data.classes = 2
  c.loss = ml_collections.ConfigDict(
    dict(name="classification", kind="single", labels=2, chunk_tokens=0)
  )
  c.optimizer.learning_rate = 2e-5
  c.optimizer.schedule = "linear"
  c.optimizer.warmup = "6%"
  c.optimizer.b2 = 0.98
  c.optimizer.eps = 1e-6
  c.optimizer.weight_decay = 1e-6
  c.optimizer.clip_norm = 0.0
