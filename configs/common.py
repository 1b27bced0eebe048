# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What the three trainings share: one shape of config, sizes by name."""

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
  """The part after the colon of --config=FILE.py:SIZE; default paper."""
  return size_and_variant(arg, ())[0]


def size_and_variant(
  arg: str | None, variants: Sequence[str]
) -> tuple[str, str]:
  """What follows the colon of --config=FILE.py:VARIANT,SIZE.

  Args:
    arg: a size, a variant, both with a comma between, or nothing.
    variants: other recipes of the file.

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
  """Fields every training has; a config file fills in the rest."""
  c = ml_collections.ConfigDict()
  c.seed = 42
  c.steps = 0
  # recommended, or published: see nomic_jax/cli/recipes.py. It comes before all
  # other flags, which may change what it sets.
  c.recipe = "recommended"
  c.log_every = 10
  c.skip_nonfinite = 0  # steps to leave out, at most, before it is an error
  c.init_from = ""  # a model or work directory; empty: fresh weights
  # Or "rotary": a BERT becomes a long-context model; "selection": a smaller
  # encoder starts from some of a larger one's weights.
  c.init_as = ""

  # The architecture of fresh weights. With init_from only what may be None
  # counts, and by selection the sizes; the rest is the model's.
  # None: the model's own, and of fresh weights mean, no norm, no projection, as
  # many tokens as it is trained on, and what EncoderConfig says.
  c.encoder = ml_collections.ConfigDict(ENCODERS[size])
  c.encoder.pooling = placeholder(str)
  c.encoder.pooled_norm = placeholder(bool)
  c.encoder.projection = placeholder(int)  # width of a layer after pooling
  c.encoder.max_length = placeholder(int)  # tokens read when it is used
  c.encoder.rotary_base = placeholder(float)
  c.encoder.rotary_factor = placeholder(float)  # of dynamic NTK; 0: none
  # What the files will say of dropout; see compute.dropout.
  c.encoder.dropout = placeholder(float)
  c.encoder.head_dropout = placeholder(float)

  c.compute = ml_collections.ConfigDict()
  # auto: bfloat16 where the hardware multiplies it, float32 elsewhere.
  c.compute.dtype = {
    "paper": "bfloat16",
    "quickstart": "auto",
    "miniature": "float32",
  }[size]
  c.compute.attention = "auto"  # see nomic_jax/kernels/attention.py
  # Of a layer, the backward pass recomputes: none; full, all of it; attention,
  # all but that; dots, what is no matmul; weight_dots, besides that attention.
  c.compute.remat = "none"
  c.compute.unroll = 1  # layers in an iteration of the scan
  # 0.1, say; or -1: what the files of init_from say. Of attention none.
  c.compute.dropout = 0.0
  # What dynamic NTK goes by: a text's own length, or "batch" for the longest
  # text of the batch, the reference's rule.
  c.compute.ntk_length = "text"

  # -1: all that is left. data and fsdp both split the batch. More than
  # unsharded_limit of the parameters whole on every device is an error.
  c.mesh = ml_collections.ConfigDict(
    dict(data=-1, fsdp=1, tensor=1, rules="replicated", unsharded_limit=1.0)
  )

  c.data = ml_collections.ConfigDict()
  c.data.path = ""  # a data directory: nomic-jax prepare
  c.data.split = "train"
  c.data.tokenised = False  # True: nomic-jax tokenise was run there

  # What is measured every so many steps (0: never) and after the last, see
  # nomic_jax/evaluators/. eval: the loss on a split that is not trained on,
  # each row once, in at most `batches`; `data` says what differs from the
  # training's.
  c.evaluators = ml_collections.ConfigDict()
  c.evaluators.eval = ml_collections.ConfigDict(
    dict(kind="loss", every=0, batches=8, data=dict(split="test"))
  )

  c.optimizer = ml_collections.ConfigDict()
  c.optimizer.b1 = 0.9
  c.optimizer.b2 = 0.999
  c.optimizer.eps = 1e-8
  c.optimizer.weight_decay = 0.01
  c.optimizer.clip_norm = 1.0  # 0: no clipping
  # What clip_norm and eps see is the gradient times this: 8 does as PyTorch
  # with contrastors' loss on 8 GPUs.
  c.optimizer.gradient_scale = 1.0
  c.optimizer.cooldown = "10%"  # of the schedule wsd: its fall to zero
  # (regex, value): of the first that matches a parameter's whole path, such
  # as encoder/layers/qkv/kernel. A learning rate times 0 freezes. `schedule`
  # may be such a list too.
  c.optimizer.lr_multipliers = ((".*", 1.0),)
  c.optimizer.decay_multipliers = (
    (r"(.*/)?(kernel|embedding)", 1.0),
    (".*", 0.0),
  )

  # Besides metrics.jsonl: event files under WORKDIR/logs, a W&B project.
  # A step that takes longer than hang_minutes (0: any) makes each process print
  # where its threads are, on standard error, and goes on.
  c.log = ml_collections.ConfigDict(
    dict(tensorboard=False, wandb="", hang_minutes=30.0)
  )

  # A checkpoint is saved at the first logged step after so many minutes, and
  # every so many steps (0 each: never). Kept are the last `keep`, one every
  # `keep_every` steps, and the `best` by this figure of an evaluator, such as
  # eval/loss.
  c.checkpoint = ml_collections.ConfigDict(
    dict(minutes=10.0, every=0, keep=2, keep_every=0, best="")
  )
  return c


def pairs(c: ml_collections.ConfigDict) -> None:
  """Fields of contrastive data and of InfoNCE."""
  c.data.kind = "pairs"
  c.data.batch_size = 16384  # pairs, over all devices
  c.data.one_source = True  # a batch is of one source (section 4.2)
  # How often a source comes: rows ** source_alpha, times its weight if it has
  # one here; 1 and no weights: every row once in an epoch.
  c.data.source_alpha = 1.0
  c.data.source_weights = ml_collections.ConfigDict()
  # shuffled; or stored: batches of rows as they follow each other in the data.
  c.data.order = "shuffled"
  # A text that is a candidate twice is one, and no negative of its own query.
  c.data.merge_copies = True
  # Tokens in a packed row, and the most texts in it; a batch's rows are
  # shorter where that leaves less empty.
  c.data.row_length = 2048
  c.data.slots = 256
  c.data.rows_multiple = 256  # few shapes, and rows divide over devices
  c.data.query_length = 2048  # tokens; the rest is cut
  c.data.document_length = 2048
  c.data.token_dropout = 0.0
  # None: the model's own, perhaps none; of fresh weights "search_query: " and
  # "search_document: ".
  c.data.query_prompt = placeholder(str)
  c.data.document_prompt = placeholder(str)
  c.data.negatives = 0  # hard negatives for each query
  c.data.sample_negatives = True  # others each epoch; false: the first ones
  c.data.workers = 0  # processes that make batches; 0: two threads

  # Search in held-out pairs, or in what nomic-jax evaluate takes as --tasks
  # and --data, such as tasks=nanobeir. Lengths and prompts that are None are
  # those of the model as it is served, so that nomic-jax evaluate agrees.
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
  # GradCache: a device does so many tokens at a time, where a batch has more,
  # and keeps their embeddings alone; 0: all at once. 16,384 of the paper's
  # encoder take 8 GiB and a device's parameters.
  c.loss.chunk_tokens = 16_384
  c.loss.matryoshka_dims = ()
  c.loss.matryoshka_weights = ()


def labels(c: ml_collections.ConfigDict) -> None:
  """Fields of texts with labels; the optimiser is that of GLUE (5.1)."""
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
