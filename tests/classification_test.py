# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Classification and regression against PyTorch; labels match their texts."""

import json

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from support import small_data
from support import tiny
import torch

from nomic_jax.data import dataset
from nomic_jax.data import labels as labels_lib
from nomic_jax.data.readers import columns
from nomic_jax.errors import UserError
from nomic_jax.losses.classification import Classification
from nomic_jax.main import main

F = torch.nn.functional
NAN = float("nan")
# Labels of five texts, of which the last has none.
LABELS = {
  "single": [[2.0], [0.0], [1.0], [2.0], [NAN]],
  "multi": [[0, 2.0], [1, NAN], [2, 1], [0, NAN], [NAN, NAN]],
  "regression": [[0.5, 1, -2], [0, 0, 3], [1, NAN, 2], [2, 2, 2], [NAN] * 3],
}


def _torch_loss(kind, logits, labels):
  """The mean over the four texts with labels."""
  if kind == "single":
    return F.cross_entropy(logits, labels[:, 0].long())
  if kind == "multi":
    chosen = torch.tensor(
      [[1.0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0]]
    ).double()
    return F.binary_cross_entropy_with_logits(logits, chosen)
  total = 0
  for row, wanted in zip(logits, labels):
    known = ~torch.isnan(wanted)
    total += F.mse_loss(row[known], wanted[known])
  return total / 4


@pytest.mark.parametrize("kind", LABELS)
def test_loss_and_gradients_are_pytorchs(kind):
  loss = Classification(tiny.Vectors(), kind=kind, labels=3)
  rng = np.random.default_rng(0)
  normal = lambda *shape: rng.normal(size=shape).astype("f")
  head = {
    "pooler": {"kernel": normal(16, 16), "bias": normal(16)},
    "classifier": {"kernel": normal(16, 3), "bias": normal(3)},
  }
  params = {"encoder": {"table": normal(6, 16)}, "classification_head": head}
  row = np.zeros((3, 2), np.int32)
  text = np.array([4, 0, 3, 5, 1], np.int32)  # slot 2 is empty
  batch = {
    "inputs": {"ids": row, "segment_ids": row, "positions": row},
    "content": row,
    "text": text,
    "labels": np.array(LABELS[kind], np.float32),
  }

  def mean(params, batch):
    total, weight, sums = loss(params, batch, jax.random.key(0))
    return total / weight, (weight, sums)

  (value, (weight, sums)), grads = tiny.jit(
    jax.value_and_grad(mean, has_aux=True)
  )(params, batch)
  assert weight == 4
  leaf = jax.tree.map(
    lambda x: torch.tensor(x).double().requires_grad_(), params
  )
  first = leaf["encoder"]["table"][text[:4]]
  pooler, classifier = (
    leaf["classification_head"][k] for k in ("pooler", "classifier")
  )
  pooled = torch.tanh(first @ pooler["kernel"] + pooler["bias"])
  logits = pooled @ classifier["kernel"] + classifier["bias"]
  theirs = _torch_loss(kind, logits, torch.tensor(LABELS[kind][:4]).double())
  theirs.backward()
  expected = jax.tree.map(lambda x: x.grad.numpy(), leaf)
  tiny.assert_close((value, grads), (theirs.item(), expected), 1e-5)
  if kind == "single":
    right = (logits.argmax(1).numpy() == [2, 0, 1, 2]).sum()
    assert sums["accuracy"] == right


def test_arguments_that_do_not_fit_are_named():
  with pytest.raises(UserError, match="'singel'.*mean 'single'"):
    Classification(tiny.Vectors(), kind="singel")
  loss = Classification(tiny.Vectors(), kind="regression", labels=2)
  with pytest.raises(UserError, match="2 numbers to predict.*rows have 1"):
    loss._regression(jnp.zeros((3, 2)), jnp.zeros((3, 1)))


TOKENIZER = tiny.words()


def _rows(count=12):
  return [
    dataset.row(
      f"query {i}",
      f"document {i} alpha" if i % 2 else "",
      labels=[float(i % 4)] * (i % 3 > 0),
      location=f"file:{i}",
    )
    for i in range(count)
  ]


def _batches(rows=None, host=0, hosts=1, **changes):
  config = ml_collections.ConfigDict(
    dict(
      batch_size=4,
      row_length=24,
      slots=4,
      rows_multiple=2,
      text_length=12,
      labels=1,
      classes=4,
    )
    | changes
  )
  return iter(
    labels_lib.batches(rows or _rows(), TOKENIZER, config, 3, host, hosts)
  )


def _read(batch, hosts=1):
  """[(text, label)] as the loss receives them."""
  found = []
  for slot, label in zip(batch["text"], batch["labels"][:, 0]):
    row, segment = slot // 4, slot % 4 + 1
    ids = batch["ids"][row][batch["segment_ids"][row] == segment]
    found.append((TOKENIZER.decode(ids, skip_special_tokens=False), label))
  return found


def test_labels_are_of_their_texts_on_every_host():
  alone = [{k: v[0] for k, v in b.items()} for b in tiny.take(_batches(), 6)]
  hosts = zip(*(tiny.take(_batches(host=h, hosts=2), 6) for h in (0, 1)))
  joined = [
    {k: np.concatenate([b[k][0] for b in pair]) for k in pair[0]}
    for pair in hosts
  ]
  order = []
  for one, both in zip(alone, joined):
    assert str(_read(one)) == str(_read(both))  # str, since NaN is not NaN
    for text, label in _read(one):
      number = int(text.split()[2])
      order.append(number)
      pair = f" document {number} alpha [SEP]" if number % 2 else ""
      assert text == f"[CLS] query {number} [SEP]{pair}"
      assert np.isnan(label) if number % 3 == 0 else label == number % 4
  assert sorted(order[:12]) == sorted(order[12:]) == list(range(12))
  assert order[:12] != order[12:]


def test_the_second_text_of_a_pair_has_another_type():
  batch = next(_batches(text_length=6))  # the pairs are cut
  seen = 0
  for slot in batch["text"][0]:
    at = batch["segment_ids"][0, slot // 4] == slot % 4 + 1
    ids, types = (batch[k][0, slot // 4][at] for k in ("ids", "types"))
    first = list(ids).index(TOKENIZER.token_to_id("[SEP]")) + 1
    assert (types == (np.arange(len(ids)) >= first)).all()
    seen += types.sum()
  assert seen and not batch["types"][batch["segment_ids"] == 0].any()


def test_labels_that_do_not_fit_are_named():
  """When the data is opened, not when the batch is made."""
  with pytest.raises(UserError, match="file:.*label 3; expected .* 0 to 2"):
    _batches(classes=3)
  for labels, complaint in (
    ([1.0, 2.0], "2 labels, more than"),
    ([-1.0], "label -1; expected"),
    ([0.5], "label 0.5; expected"),
    ([np.nan], "not finite"),
  ):
    rows = _rows()
    rows[-1]["labels"] = labels
    with pytest.raises(UserError, match=f"file:11: .*{complaint}"):
      _batches(rows)
  with pytest.raises(UserError, match="tokenised: .* set it to false"):
    _batches(tokenised=True)
  with pytest.raises(UserError, match="batch_size: 13 is more than the 12"):
    _batches(batch_size=13)
  with pytest.raises(UserError, match="rows_multiple: 2 rows do not .*try 4"):
    _batches(hosts=4)


@pytest.mark.slow
def test_labels_of_jsonl_rows_are_read_and_learnt(tmp_path):
  rows = [
    {
      "document": f"{('river', 'lamp')[i % 2]} {i}",
      "label": ("water", "light")[i % 2],
    }
    for i in range(60)
  ]
  (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
  data = tmp_path / "data"
  assert (
    main(
      [
        "prepare",
        f"--source={tmp_path}/rows.jsonl",
        f"--output={data}",
        "--vocab_size=60",
        "--held_out=0.1",
        "--classes=water,light",
      ]
    )
    == 0
  )
  for row in dataset.open_split(data, "train"):
    assert row["labels"] == [float("lamp" in row["document"])]
  assert (
    main(
      small_data.train(
        "classify",
        data,
        tmp_path / "run",
        "steps=40",
        "optimizer.learning_rate=0.01",
        "checkpoint.every=40",
        "log_every=5",
      )
    )
    == 0
  )
  lines = [
    json.loads(line)
    for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()
  ]
  assert lines[-1]["accuracy"] > 0.9 and lines[0]["loss"] > 0.5


@pytest.mark.parametrize(
  "value, expected",
  [
    ({"label": 2}, [2.0]),
    ({"labels": [0, 3]}, [0.0, 3.0]),
    ({"label": 0.5}, [0.5]),
    ({"label": True}, [1.0]),
    ({"label": None}, []),
    ({}, []),
  ],
)
def test_labels_are_numbers_or_lists_of_them(value, expected):
  value = {"query": "q", "document": "d"} | value
  row = columns.to_row("file", 1, value, columns.Columns(), "")
  assert row["labels"] == expected


def test_labels_that_are_names_are_numbered_by_their_list():
  named = columns.Columns(classes=("no", "yes"))
  read = lambda label: columns.to_row(
    "file", 3, {"document": "d", "label": label}, named, ""
  )
  assert read("yes")["labels"] == [1.0] and read("no")["labels"] == [0.0]
  assert read(["yes", "no"])["labels"] == [1.0, 0.0]
  assert read(1)["labels"] == [1.0]
  with pytest.raises(UserError, match='label "maybe" is none of --classes=no,'):
    read("maybe")


def test_labels_that_are_no_numbers_and_texts_without_any_are_named():
  read = lambda value: columns.to_row("file", 3, value, columns.Columns(), "")
  with pytest.raises(UserError, match='the label "yes" is not a.*--classes'):
    read({"document": "d", "label": "yes"})
  for number in (NAN, 10**400):
    with pytest.raises(UserError, match="is not a number"):
      read({"document": "d", "label": number})
  with pytest.raises(UserError, match="file, row 3: 'query' is missing"):
    read({"document": "d"})
