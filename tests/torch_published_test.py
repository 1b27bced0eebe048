# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Twenty steps with config.recipe=published equal those of a PyTorch trainer.

The trainer follows what is known of contrastors: it reads the shards itself,
splits a batch over W = 4 ranks, gathers the documents with gradient, multiplies
each rank's mean loss by W and averages the gradients. Ours reads the data
directory that prepare makes from the same shards, on one device.
"""

import gzip
import json

import jax
import numpy as np
import pytest
from support import hub_random
from support import small_data
from support import tiny
import tokenizers
import torch
from torch.nn import functional
import transformers

from nomic_jax import program
from nomic_jax import training
from nomic_jax.cli import config_flags
from nomic_jax.data import loader
from nomic_jax.data.prepare import prepare
from nomic_jax.run.start import find_start
from nomic_jax.text import tokenizer as tokenizer_lib

pytestmark = pytest.mark.slow

RANKS, STEPS, BATCH = 4, 20, 8
LENGTHS = {"query": 20, "document": 24}
# name -> (query's prefix, document's, only on queries, rows of its shard)
SOURCES = {
  "alpha": ("search_query", "search_document", False, 83),
  "beta": ("clustering", "clustering", True, 81),
}
RECIPES = {
  # config -> (learning rate, warmup, betas, eps, decay, clip, schedule)
  "mlm": (
    2e-3,
    4,
    (0.9, 0.98),
    1e-6,
    1e-5,
    0.0,
    transformers.get_linear_schedule_with_warmup,
  ),
  "contrastive": (
    1e-3,
    4,
    (0.9, 0.999),
    1e-8,
    0.01,
    1.0,
    transformers.get_inverse_sqrt_schedule,
  ),
  # An eps large enough to matter, so that its division by W is tested.
  "finetune": (
    1e-3,
    4,
    (0.9, 0.999),
    3e-3,
    0.01,
    12.0,
    transformers.get_linear_schedule_with_warmup,
  ),
}


def _write_shards(folder, mined):
  """Rows in the published format; some share a document, negatives differ."""
  draw = np.random.default_rng(7)
  text = lambda most: " ".join(draw.choice(tiny.WORDS, draw.integers(1, most)))
  entries = []
  for name, (query, document, query_only, count) in SOURCES.items():
    rows = []
    for i in range(count):
      row = {"query": f"{i // 40} {i // 8 % 5} {text(9)}", "document": text(20)}
      if i % 5 == 4:  # a copy of a document in the same batch
        row["document"] = rows[-1]["document"]
      if mined:
        row["negatives"] = [text(20) for _ in range(i % 3)] or [text(3)]
      columns = ["query", "document"] + ["negatives"] * mined
      objective = {
        "self": [],
        "paired": [],
        "triplet": [],
        "triplet" if mined else "paired": [columns],
      }
      rows.append(row | {"metadata": {"objective": objective}})
    place = folder / name
    place.mkdir(parents=True)
    (place / "shard-00000.jsonl.gz").write_bytes(
      gzip.compress("\n".join(map(json.dumps, rows)).encode())
    )
    (place / "counts.json").write_text(
      json.dumps({f"{name}/shard-00000.jsonl.gz": count})
    )
    entries.append(
      {
        "name": name,
        "bucket": f"{place}/shard-{{00000..00000}}.jsonl.gz",
        "objective": {
          "type": "triplet" if mined else "paired",
          "columns": columns,
        },
        "query_prefix": query,
        "document_prefix": document,
        "query_only": query_only,
      }
    )
  (folder / "data.yaml").write_text(json.dumps({"datasets": entries}))


@pytest.fixture(name="model", scope="module")
def _model(tmp_path_factory):
  """A small NomicBERT of random weights that transformers wrote."""
  folder = tmp_path_factory.mktemp("model")
  words = tiny.words()
  tokenizer_lib.save(words, folder)
  torch.manual_seed(0)
  model = transformers.NomicBertForMaskedLM(
    transformers.NomicBertConfig(
      vocab_size=-(-words.get_vocab_size() // 64) * 64,
      hidden_size=32,
      num_hidden_layers=2,
      num_attention_heads=2,
      intermediate_size=64,
      max_position_embeddings=64,
    )
  )
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      if parameter.ndim > 1:
        parameter.normal_(std=0.1)
      elif "predictions" in name and name.endswith("bias"):
        parameter.zero_()
  model.save_pretrained(folder)
  return folder


def _config(stage, model, data):
  rate, warmup, *_ = RECIPES[stage]
  more = {
    "mlm": ["data.batch_size=8", "data.row_length=32", "loss.chunks=1"],
    # Few shapes, each to be compiled.
    "contrastive": [f"data.batch_size={BATCH}", "data.rows_multiple=16"],
    "finetune": [
      f"data.batch_size={BATCH}",
      "data.rows_multiple=32",
      "loss.chunk_tokens=0",
    ],
  }[stage]
  if stage != "mlm":
    more += [f"optimizer.eps={RECIPES[stage][3]}"]
    more += [f"optimizer.clip_norm={RECIPES[stage][5]}"]
    more += [f"data.{side}_length={n}" for side, n in LENGTHS.items()]
    more += [f"optimizer.gradient_scale={RANKS}"]
  return config_flags.load(
    [
      small_data.config(stage),
      "--config.recipe=published",
      f"--config.init_from={model}",
      f"--config.data.path={data}",
      f"--config.steps={STEPS}",
      f"--config.optimizer.learning_rate={rate}",
      f"--config.optimizer.warmup={warmup} steps",
      *(f"--config.{m}" for m in more),
    ]
  )


def _train_here(config):
  """Trains here; returns losses, parameters, the architecture and batches."""
  start = find_start(config)
  run = program.setup(config, start.architecture, jax.devices()[:1])
  data = loader.make(
    config.data, tokenizer_lib.load(start.tokenizer), config.seed
  )
  state = training._with_params(
    run.init.lower().compile(tiny.FAST)(), start.params, run
  )
  compiled, losses, batches = {}, [], []
  for _ in range(STEPS):
    batch = next(data)
    batches.append(batch)
    arrays = loader.nested({k: v for k, v in batch.items() if k != "source"})
    shape = arrays["inputs"]["ids"].shape
    if shape not in compiled:
      compiled[shape] = run.step.lower(run.state, arrays).compile(tiny.FAST)
    state, metrics = compiled[shape](state, arrays)
    losses.append(float(metrics["loss"]))
  return losses, jax.device_get(state.params), start.architecture, batches


class _Torch:
  """The trainer: model, optimiser and schedule."""

  def __init__(self, model, stage, clip_factor=1, eps_factor=1):
    rate, warmup, betas, eps, decay, clip, schedule = RECIPES[stage]
    self.clip, eps = clip * clip_factor, eps * eps_factor
    self.model = transformers.NomicBertForMaskedLM.from_pretrained(model).eval()
    for name, parameter in self.model.named_parameters():
      # nomic-bert-2048's head has no biases; without MLM no head is trained.
      if "predictions" in name and (
        stage != "mlm" or (name.endswith("bias") and "layer_norm" not in name)
      ):
        parameter.requires_grad_(False)
    learnt = [p for p in self.model.parameters() if p.requires_grad]
    self.optimizer = torch.optim.AdamW(
      [
        dict(
          params=[p for p in learnt if p.squeeze().ndim < 2], weight_decay=0.0
        ),
        dict(
          params=[p for p in learnt if p.squeeze().ndim >= 2],
          weight_decay=decay,
        ),
      ],
      lr=rate,
      betas=betas,
      eps=eps,
    )
    steps = (STEPS,) if "linear" in schedule.__name__ else ()
    self.schedule = schedule(self.optimizer, warmup, *steps)
    self.learnt, self.norms = learnt, []

  def step(self, loss):
    self.optimizer.zero_grad()
    loss.backward()
    if self.clip:
      self.norms.append(
        torch.nn.utils.clip_grad_norm_(self.learnt, self.clip).item()
      )
    self.optimizer.step()
    self.schedule.step()

  def embed(self, ids):
    """Unit vectors: the mean of each text's hidden states."""
    length = max(map(len, ids))
    tokens = torch.tensor([i + [0] * (length - len(i)) for i in ids])
    mask = torch.tensor([[1] * len(i) + [0] * (length - len(i)) for i in ids])
    hidden = self.model.nomic_bert(
      input_ids=tokens, attention_mask=mask
    ).last_hidden_state
    mask = mask[:, :, None]
    return functional.normalize((hidden * mask).sum(1) / mask.sum(1))


def _of_mlm(trainer, batches):
  losses = []
  for batch in batches:
    flat = {
      k: torch.tensor(v.reshape(-1, v.shape[-1])).long()
      for k, v in batch.items()
    }
    labels = torch.full_like(flat["ids"], -100)
    for row, (places, true) in enumerate(zip(flat["masked"], flat["labels"])):
      labels[row, places[true >= 0]] = true[true >= 0]
    # All tokens of a row attend to each other, at positions 0, 1, 2 ...
    loss = trainer.model(
      input_ids=flat["ids"],
      attention_mask=torch.ones_like(flat["ids"]),
      labels=labels,
    ).loss
    trainer.step(loss)
    losses.append(loss.item())
  return losses


def _shards(folder):
  """Whole batches of the shards, rows in order, by their first query."""
  found = {}
  for name, (query, document, query_only, _) in SOURCES.items():
    lines = gzip.decompress(
      (folder / name / "shard-00000.jsonl.gz").read_bytes()
    ).splitlines()
    rows = [json.loads(line) for line in lines]
    front = {
      "query": f"{query}: ",
      "document": "" if query_only else f"{document}: ",
    }
    for at in range(0, len(rows) // BATCH * BATCH, BATCH):
      found[name, at] = [
        (
          front["query"] + r["query"],
          [
            front["document"] + text
            for text in (r["document"], *r.get("negatives", ()))
          ],
        )
        for r in rows[at : at + BATCH]
      ]
  return found


def _of_pairs(trainer, batches, model, folder):
  """Losses as contrastors computes them, divided by W."""
  words = tokenizers.Tokenizer.from_file(str(model / "tokenizer.json"))

  def encode(texts, length):
    words.enable_truncation(length)
    return [e.ids for e in words.encode_batch(texts)]

  shards = _shards(folder)
  by_query = {
    (name, tuple(encode([rows[0][0]], LENGTHS["query"])[0])): rows
    for (name, _), rows in shards.items()
  }
  assert len(by_query) == len(shards)
  losses, share = [], BATCH // RANKS
  for batch in batches:
    # Only the order of batches is taken from ours.
    slot = batch["query"][0, 0]
    row, segment = divmod(int(slot), batch["content"].shape[-1])
    ids = batch["ids"][0, row][batch["segment_ids"][0, row] == segment + 1]
    rows = by_query.pop((batch["source"][0, 0], tuple(ids.tolist())))
    queries, documents, labels = [], [], []
    for rank in range(RANKS):
      mine = rows[rank * share : (rank + 1) * share]
      queries.append(
        trainer.embed(encode([query for query, _ in mine], LENGTHS["query"]))
      )
      for _, texts in mine:
        labels.append(sum(map(len, documents)))
        documents.append(trainer.embed(encode(texts, LENGTHS["document"])))
    gathered = torch.cat(documents)
    each = [
      RANKS
      * functional.cross_entropy(
        50 * q @ gathered.T, torch.tensor(labels[r * share : (r + 1) * share])
      )
      for r, q in enumerate(queries)
    ]
    # Gathering sums the gradients of all ranks; DDP then averages.
    trainer.step(sum(each) / RANKS)
    losses.append(sum(e.item() for e in each) / RANKS / RANKS)
  return losses


@pytest.mark.parametrize("stage", RECIPES)
def test_twenty_steps_are_contrastors(stage, model, tmp_path):
  if stage == "mlm":
    source = tmp_path / "text.jsonl"
    draw = np.random.default_rng(3)
    source.write_text(
      "\n".join(
        json.dumps({"text": " ".join(draw.choice(tiny.WORDS, 25))})
        for _ in range(90)
      )
    )
    options = dict(held_out=0.1)
  else:
    _write_shards(tmp_path / "shards", stage == "finetune")
    source = tmp_path / "shards" / "data.yaml"
    options = dict(held_out=0, whole_batches=BATCH, keep_copies=True)
  prepare(str(source), tmp_path / "data", tokenizer=str(model), **options)
  config = _config(stage, model, tmp_path / "data")
  losses, params, architecture, batches = _train_here(config)
  trainer = _Torch(model, stage)
  start = {k: v.clone() for k, v in trainer.model.state_dict().items()}
  if stage == "mlm":
    expected = _of_mlm(trainer, batches)
  else:
    expected = _of_pairs(trainer, batches, model, tmp_path / "shards")
    # In some steps, the gradient is clipped only because of the factor W.
    assert any(1 < norm / trainer.clip < RANKS for norm in trainer.norms)
  np.testing.assert_allclose(losses, expected, rtol=1e-4)

  def tree(tensors):
    trees = hub_random.read(
      architecture,
      {
        k: v.numpy()
        for k, v in tensors.items()
        if not (
          k.startswith("cls") and k.endswith("bias") and "layer_norm" not in k
        )
      },
    )
    return {k: trees[k] for k in params}

  tiny.assert_close(params, tree(trainer.model.state_dict()), 1e-3)
  with pytest.raises(AssertionError):  # Control: parameters have moved far.
    tiny.assert_close(params, tree(start), 0.05)
  # Control: a clip or an eps that is not divided by W is detected.
  for factors in {
    "mlm": [],
    "contrastive": [(RANKS, 1)],
    "finetune": [(RANKS, 1), (1, RANKS)],
  }[stage]:
    other = _Torch(model, stage, *factors)
    _of_pairs(other, batches, model, tmp_path / "shards")
    with pytest.raises(AssertionError):
      tiny.assert_close(params, tree(other.model.state_dict()), 5e-3)
