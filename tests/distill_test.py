# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Distillation against the plain formulas in PyTorch, float64."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import small_data
from support import tiny
import torch

from nomic_jax.curate.teach import teach
from nomic_jax.data import dataset
from nomic_jax.data import manifest
from nomic_jax.data import teacher
from nomic_jax.data import tokens
from nomic_jax.errors import UserError
from nomic_jax.losses import ranking
from nomic_jax.losses.distill import Distill
from nomic_jax.main import main
from nomic_jax.model.encoder import Encoder
from nomic_jax.run import work_directory

N, D = 9, 6  # vectors 6 wide are scored in blocks of at most 8


def _batch(width=D):
  """N queries in the first slots, their documents, a hard negative."""
  rng = np.random.default_rng(0)
  row = np.zeros((N, 3), np.int32)
  content = np.arange(1, 3 * N + 1, dtype=np.int32)
  content[N + 4] = content[N + 1]  # two documents are one text
  return {
    "inputs": {"ids": row, "segment_ids": row, "positions": row},
    "content": content.reshape(N, 3),
    "query": np.arange(N, dtype=np.int32),
    "candidate": np.arange(N, 3 * N, dtype=np.int32),
    "positive": np.arange(N, dtype=np.int32),
    "teacher_query": rng.normal(size=(N, width)).astype("f"),
    "teacher_document": rng.normal(size=(N, width)).astype("f"),
  }


def _expected(kind, temperature, table, batch):
  """Loss and its gradient with respect to the vectors, by formulas in torch."""
  table = torch.tensor(table, dtype=torch.float64, requires_grad=True)
  unit = torch.nn.functional.normalize
  q, d = unit(table[:N]), unit(table[N : 2 * N])
  tq, td = (
    unit(torch.tensor(batch[f"teacher_{side}"]).double())
    for side in ("query", "document")
  )
  loss = {"mse": _mse, "kd": _kd, "towers": _towers, "relational": _relational}[
    kind
  ](q, d, tq, td, temperature)
  loss.backward()
  return loss.item(), table.grad.numpy()


def _contrast(a, b, temperature, copies=False):
  logits = a @ b.T / temperature
  if copies:  # documents 1 and 4 are not negatives of each other
    logits[1, 4] = logits[4, 1] = -torch.inf
  return torch.nn.functional.cross_entropy(logits, torch.arange(N))


def _mse(q, d, tq, td, _):
  return ((q - tq) ** 2).mean() + ((d - td) ** 2).mean()


def _kd(q, d, tq, td, temperature):
  kl = torch.nn.functional.kl_div(
    torch.log_softmax(q @ d.T / temperature, 1),
    torch.softmax(tq @ td.T / temperature, 1),
    reduction="batchmean",
  )
  return 1000 * kl + _contrast(q, d, 0.02, copies=True)


def _towers(q, d, tq, td, t):
  return (
    _contrast(q, d, t, True)
    + _contrast(q, tq, t)
    + _contrast(d, td, t, True)
    + _contrast(q, td, t, True)
  ) / 4


def _differences(x):
  """Differences of all pairs of entries above the diagonal."""
  scores = (x @ x.T)[torch.triu(torch.ones(N, N), 1).bool()]
  later = torch.triu(torch.ones(len(scores), len(scores)), 1).bool()
  return (scores[None, :] - scores[:, None])[later]


def _relational(q, d, tq, td, _):
  total = 0
  for s, t in ((q, tq), (d, td)):
    total += 10 * (1 - (s * t).sum(1).mean())
    total += 200 * ((s @ s.T - t @ t.T) ** 2).mean()
    sign = torch.where(_differences(t) < 0, 1.0, -1.0)
    total += 20 * torch.relu(_differences(s) * sign + 0.015).mean()
  return total


@pytest.mark.parametrize("kind", ["mse", "kd", "towers", "relational"])
def test_loss_and_gradient_are_the_formulas(kind):
  batch = _batch()
  table = np.random.default_rng(1).normal(size=(3 * N, D)).astype("f")
  table[: 2 * N] += 2 * np.concatenate(
    [batch["teacher_query"], batch["teacher_document"]]
  )
  loss = Distill(tiny.Vectors(), kind=kind, temperature=0.3)

  def mean(params, batch):
    total, weight, _ = loss(params, batch, jax.random.key(0))
    return total / weight

  value, grads = tiny.jit(jax.value_and_grad(mean))(
    {"encoder": {"table": table}}, batch
  )
  expected = _expected(kind, 0.3, table, batch)
  tiny.assert_close((value, grads["encoder"]["table"]), expected, 1e-5)
  batch["teacher_query"][0] *= -1  # control
  assert abs(_expected(kind, 0.3, table, batch)[0] / value - 1) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mse", "kd", "towers", "relational"])
def test_padding_of_a_held_out_batch_does_not_count(kind):
  batch, params = (
    _batch(),
    {
      "encoder": {
        "table": np.random.default_rng(1).normal(size=(3 * N, D)).astype("f")
      }
    },
  )
  loss = Distill(tiny.Vectors(), kind=kind, temperature=0.3)
  of = tiny.jit(
    jax.value_and_grad(lambda p, b: loss(p, b, jax.random.key(0))[0])
  )
  weight = lambda b: float(loss(params, b, jax.random.key(0))[1])
  filled = batch | {
    "query": np.r_[batch["query"], [-1] * 3].astype(np.int32),
    "positive": np.r_[batch["positive"], [0] * 3].astype(np.int32),
    **{
      name: np.r_[batch[name], np.full((3, D), 5.0, "f")]
      for name in ("teacher_query", "teacher_document")
    },
  }
  tiny.assert_close(of(params, filled), of(params, batch), 1e-5)
  assert weight(filled) == weight(batch) == N
  filled["query"][-1] = 0  # control: now it is a query
  assert weight(filled) == N + 1
  assert abs(float(of(params, filled)[0] / of(params, batch)[0]) - 1) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kd", "relational"])
def test_in_chunks_the_gradient_is_the_formulas_taken_back_once(kind):
  """GradCache with an encoder: torch's gradient of the vectors, then a vjp."""
  rng = np.random.default_rng(0)
  tokens = {
    "ids": rng.integers(1, 96, (N, 9)).astype(np.int32),
    "segment_ids": np.tile(np.repeat(np.arange(1, 4, dtype="i"), 3), (N, 1)),
    "positions": np.tile(np.arange(9, dtype="i") % 3, (N, 1)),
  }
  batch = _batch(width=16) | {"inputs": tokens}
  encoder = Encoder(tiny.ARCHITECTURE)
  params = jax.tree.map(lambda x: 5 * x, tiny.params(encoder))
  embed = lambda p: encoder.embed(p, tokens, 3).vectors.reshape(-1, 16)
  table = tiny.jit(embed)(params)
  value, by_vector = _expected(kind, 0.3, np.asarray(table), batch)
  back = tiny.jit(lambda p, d: jax.vjp(embed, p)[1](d)[0])
  expected = back(params, by_vector.astype("f"))
  loss = Distill(encoder, kind=kind, temperature=0.3, chunk_tokens=N // 3 * 9)

  def mean(params, batch):
    total, weight, _ = loss(params, batch, jax.random.key(0))
    return total / weight

  actual, grads = tiny.jit(jax.value_and_grad(mean))({"encoder": params}, batch)
  assert actual == pytest.approx(value, rel=1e-5)
  tiny.assert_close(grads["encoder"], expected, 1e-4)


@pytest.mark.parametrize("size", [2, 3, 37, 64])
def test_the_margin_loss_is_that_of_every_pair(size):
  rng = np.random.default_rng(size)
  scores = (0.02 * rng.normal(size=size)).astype("f")
  target = rng.normal(size=size).round(1).astype("f")  # with ties
  s, t = scores.astype("d"), target.astype("d")
  total, grad = 0.0, np.zeros(size)
  for i in range(size):
    for j in range(i + 1, size):
      sign = 1 if t[j] - t[i] < 0 else -1
      value = (s[j] - s[i]) * sign + 0.015
      if value > 0:
        total += value
        grad[[i, j]] += -sign, sign
  pairs = size * (size - 1) / 2
  actual = tiny.jit(
    jax.value_and_grad(lambda s: ranking.margin_loss(s, target, 0.015))
  )(scores)
  tiny.assert_close(actual, (total / pairs, grad / pairs), 1e-5)


def test_memory_of_the_margin_loss_grows_with_the_scores():
  x = jnp.ones(4096)
  grad = tiny.jit(jax.grad(lambda s: ranking.margin_loss(s, x, 0.1)))
  used = grad.lower(x).compile().memory_analysis().temp_size_in_bytes
  assert used < 40 * x.nbytes < 4096**2


def test_arguments_that_do_not_fit_are_named():
  with pytest.raises(UserError, match="'relation'.*mean 'relational'"):
    Distill(tiny.Vectors(), kind="relation")
  with pytest.raises(UserError, match="temperature: 0 is not above"):
    Distill(tiny.Vectors(), temperature=0)
  batch = jax.tree.map(jnp.asarray, _batch(width=4))
  params = {"encoder": {"table": jnp.ones((3 * N, D))}}
  trace = lambda kind: jax.eval_shape(
    Distill(tiny.Vectors(), kind=kind), params, batch, jax.random.key(0)
  )
  with pytest.raises(
    UserError, match="width 4 and the student's 6.*projection"
  ):
    trace("relational")
  trace("kd")


class Teacher:
  """Tells texts apart by their letters; has a prompt for documents only.

  Its vectors are wider than the student's, which needs a projection.
  """

  prompts = {"search_document": "document: "}

  def encode(self, texts):
    counts = [[t.count(c) for c in "abcdefghijklmnopqr"] for t in texts]
    return np.array(counts, "f")


@pytest.mark.slow
def test_a_student_learns_from_the_files_of_a_teacher(tmp_path, capsys):
  """Runs teach and train, and checks that vectors belong to their rows."""
  data = small_data.make(tmp_path)
  folder = tmp_path / "vectors"
  train = lambda name, *more: main(
    small_data.train(
      "distill", data, tmp_path / name, f"data.teacher={folder}", *more
    )
  )
  assert train("early") == 2
  assert "make it with nomic-jax teach" in capsys.readouterr().err
  teach(Teacher(), data, folder)
  texts = list(dataset.open_split(data, "train"))
  for side, prompt in (("query", ""), ("document", "document: ")):
    found = np.load(folder / f"train-{side}.npy")
    np.testing.assert_array_equal(
      found, Teacher().encode([prompt + t[side] for t in texts])
    )
  assert {p.suffix for p in folder.iterdir()} == {".npy", ".json"}
  teach(Teacher(), data, folder)
  assert "already complete" in capsys.readouterr().out
  with pytest.raises(UserError, match="made from another model or other data"):
    teach(Teacher(), data, folder, dtype="bfloat16")
  teach(Teacher(), data, folder, split="test")
  told = manifest.read(folder)
  assert told["job"] == "teach" and told["rows"] == {"train": 54, "test": 6}
  assert {*told["inputs"]} == {
    f"{split}: {name}"
    for split in ("train", "test")
    for name in ("input", "model")
  }
  assert main(["verify", str(folder)]) == 0
  assert (
    train("run", "steps=8", "loss.chunk_tokens=64", "data.rows_multiple=32")
    == 0
  )
  rows = [
    json.loads(line)
    for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()
  ]
  assert rows[-1]["loss"] < rows[0]["loss"] - 0.1
  assert work_directory.read(tmp_path / "run")[0].head.projection == 18
  assert train("none", "encoder.projection=0") == 2
  assert "width 18 and the student's 16" in capsys.readouterr().err
  copy = shutil.copytree(data, tmp_path / "copy")
  tokens.tokenise(copy)  # the same texts
  assert teacher.load(folder, "train", len(texts), copy)
  other = tmp_path / "other_data"
  dataset.write(
    other, {"train": reversed(texts)}, stats={}, tokenizer=data / "tokenizer"
  )
  assert (
    main(
      small_data.train(
        "distill", other, tmp_path / "new", f"data.teacher={folder}"
      )
    )
    == 2
  )
  assert "its vectors do not belong to" in capsys.readouterr().err
  np.save(folder / "train-query.npy", found[:10])
  assert train("other") == 2
  assert "an array of shape [10, 18]" in capsys.readouterr().err
