# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Merged models, against numpy in float64."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
import safetensors.numpy
import sentence_transformers
from support import hub_random
from support import tiny
import yaml

import nomic_jax
from nomic_jax.errors import UserError
from nomic_jax.hub import model_directory
from nomic_jax.main import main
from nomic_jax.model.head import Module
from nomic_jax.model.trees import shapes
from nomic_jax.run import merge as merge_lib

BASE = dataclasses.replace(tiny.CONFIG, vocab_size=200).architecture
A = BASE.with_head(modules=(Module("dense", 8, True, "tanh"),))
USAGE = {"prompts": {"search_query": "query : "}, "max_tokens": 32}


def _write(path, seed=0, architecture=A, tokenizer=None, heads=(), **usage):
  rng = np.random.default_rng(seed)
  trees = {}
  for name, shape in shapes(
    architecture, "mlm" in heads, 3 * ("classifier" in heads)
  ).items():
    *parents, leaf = name.split("/")
    node = trees
    for parent in parents:
      node = node.setdefault(parent, {})
    node[leaf] = rng.normal(0, 0.1, shape).astype(np.float32)
    node[leaf].flat[0] = -0.0
  model_directory.write_model(
    path,
    architecture,
    trees["encoder"],
    tokenizer or tiny.words(),
    mlm_head=trees.get("mlm_head"),
    classification_head=trees.get("classification_head"),
    **USAGE | usage,
  )
  return str(path)


@pytest.fixture(name="models", scope="module")
def _models(tmp_path_factory):
  place = tmp_path_factory.mktemp("merge")
  return [
    _write(place / name, seed, heads=("mlm",) * (seed < 2))
    for seed, name in enumerate("abc")
  ]


def _tensors(path):
  """All tensors of a directory, also those of its modules."""
  return {
    f"{file.parent.name}/{name}" if file.parent.name[0].isdigit() else name: x
    for file in sorted(path.rglob("*.safetensors"))
    for name, x in safetensors.numpy.load_file(file).items()
  }


@pytest.mark.parametrize("shares", [(), (0.2, 0.5, 0.3), (1.5, -1, 0.5)])
def test_the_weighted_average(models, tmp_path, shares):
  nomic_jax.merge(models, output=tmp_path / "m", weights=list(shares))
  found = _tensors(tmp_path / "m")
  parts = [_tensors(pathlib.Path(m)) for m in models]
  assert found.keys() == parts[2].keys() < parts[0].keys()  # no MLM head in c
  assert any("Dense" in name for name in found)
  for name, x in found.items():
    terms = [
      np.float64(s) * p[name].astype(np.float64)
      for s, p in zip(shares or [1 / 3] * 3, parts)
    ]
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, sum(terms), rtol=1e-6, atol=1e-9)


def test_slerp_turns_each_tensor_by_its_share_of_the_angle(models, tmp_path):
  assert (
    main(["merge", *models[:2], f"--output={tmp_path}/m", "--slerp=0.25"]) == 0
  )
  found = _tensors(tmp_path / "m")
  a, b = (_tensors(pathlib.Path(m)) for m in models[:2])
  assert found.keys() == a.keys()  # with the MLM head that both have
  name = "encoder.layers.1.mlp.fc2.weight"
  u, v, x = (t[name].astype(np.float64).ravel() for t in (a, b, found))
  cosine = lambda p, q: p @ q / np.linalg.norm(p) / np.linalg.norm(q)
  angle = np.arccos(cosine(u, v))
  expected = (np.sin(0.75 * angle) * u + np.sin(0.25 * angle) * v) / np.sin(
    angle
  )
  np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-8)
  assert np.abs(x - (0.75 * u + 0.25 * v)).max() > 1e-3  # control: no average
  # Unit vectors: along the circle, at its speed.
  one, other = np.array([1.0, 0]), np.array([0, 1.0])
  for share in (0, 0.2, 1):
    np.testing.assert_allclose(
      merge_lib.arc(one, other, share),
      [np.cos(share * np.pi / 2), np.sin(share * np.pi / 2)],
      atol=1e-15,
    )
  for other in (one, -one, 3 * one, 0 * one):  # no arc between them
    np.testing.assert_allclose(
      merge_lib.arc(one, other, 0.25), 0.75 * one + 0.25 * other
    )


@pytest.mark.parametrize(
  "given",
  [{}, {"weights": [0.7, 0.3]}, {"weights": [1.0, 0.0]}, {"slerp": 0.3}],
)
def test_a_model_merged_with_itself_is_itself(models, tmp_path, given):
  nomic_jax.merge([models[0]] * 2, output=tmp_path / "m", **given)
  for name in ("model.safetensors", "2_Dense/model.safetensors"):
    ours = (tmp_path / "m" / name).read_bytes()
    assert ours == (pathlib.Path(models[0]) / name).read_bytes()


def test_the_directory_opens_and_says_what_it_was_merged_from(
  models, tmp_path, capsys
):
  out = tmp_path / "m"
  nomic_jax.merge(models, output=out, weights="0.2,0.5,0.3")
  assert "0.2 of" in capsys.readouterr().out
  theirs = sentence_transformers.SentenceTransformer(str(out), device="cpu")
  ours = nomic_jax.load(str(out))
  texts = ["alpha beta", "gamma"]
  np.testing.assert_allclose(
    ours.encode(texts), theirs.encode(texts), atol=1e-5
  )
  card = (out / "README.md").read_text()
  assert "weighted average of the weights of 3 models" in card
  assert "| `a` | 0.2 |\n| `b` | 0.5 |" in card
  assert str(tmp_path.parent) not in card
  assert main(["verify", str(out)]) == 0
  assert capsys.readouterr().out.count("the same") == 4  # weights and 3 inputs


def test_hub_models_are_named_in_the_front_matter(monkeypatch, models):
  from nomic_jax.hub import model_card

  files = model_directory.read_model(models[0])
  card = model_card.Card(
    "m",
    files.architecture,
    files.usage,
    merged=(("owner/a", 0.5), ("/home/me/b", 0.5)),
    method="weighted average",
  )
  front = yaml.safe_load(model_card.text(card).split("---\n")[1])
  assert front["base_model"] == ["owner/a"]
  assert front["base_model_relation"] == "merge"


def test_classifiers_are_merged_with_their_heads(tmp_path):
  parts = [
    _write(
      tmp_path / f"x{seed}",
      seed,
      BASE,
      heads=("classifier",),
      classes=["x", "y", "z"],
      task="single",
    )
    for seed in (0, 1)
  ]
  nomic_jax.merge(parts, output=tmp_path / "m")
  found, a, b = (_tensors(tmp_path / name) for name in ("m", "x0", "x1"))
  assert found.keys() == a.keys() and "classifier.weight" in found
  for name, x in found.items():
    np.testing.assert_allclose(x, (a[name] + b[name]) / 2, atol=1e-7)
  assert list(nomic_jax.load(str(tmp_path / "m")).classes) == ["x", "y", "z"]


@pytest.mark.parametrize(
  "other, message",
  [
    (
      {
        "architecture": dataclasses.replace(
          tiny.CONFIG, vocab_size=200, width=32
        ).architecture
      },
      r"architectures differ, head.modules",
    ),
    (
      {
        "architecture": dataclasses.replace(
          tiny.CONFIG, vocab_size=200, mlp_width=64
        ).architecture.with_head(modules=A.head.modules)
      },
      r"layers\[0\].mlp.width: 32 and 64",
    ),
    (
      {"architecture": dataclasses.replace(A, layers=A.layers * 2)},
      "2 layers, the second 4",
    ),
    (
      {"architecture": A.with_head(pooling="cls")},
      "head.pooling: 'mean' and 'cls'",
    ),
    (
      {
        "architecture": BASE.with_head(
          modules=(Module("dense", 8, True, "gelu"),)
        )
      },
      "head.modules.*activation: 'tanh' and 'gelu'",
    ),
    (
      {"architecture": dataclasses.replace(A, vocab_size=208)},
      "vocab_size: 200 and 208",
    ),
    ({"tokenizer": hub_random.tokenizer()}, "tokenizers differ"),
    ({"prompts": {"search_query": "q: "}}, "usage differs, prompts: "),
    ({"max_tokens": 16}, "usage differs, max_tokens: 32 and 16"),
    ({"similarity": "dot"}, "similarity: 'cosine' and 'dot'"),
    ({"normalize": False}, "normalize: True and False"),
    ({"architecture": BASE, "heads": ("classifier",)}, "a classifier"),
  ],
)
def test_models_that_do_not_belong_together(models, tmp_path, other, message):
  other = _write(tmp_path / "b", 1, **other)
  with pytest.raises(UserError, match=message) as error:
    nomic_jax.merge([models[0], other], output=tmp_path / "m")
  assert "\n" not in str(error.value) and models[0] in str(error.value)
  assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
  "flags, message",
  [
    ("--weights=0.7,0.2", "they sum to 0.9; expected 1, such as 0.7778,0.2222"),
    ("--weights=1", "1 for 2 models"),
    ("--weights=nan,1", "they sum to nan"),
    ("--weights=a,1", "not a list of numbers"),
    ("--slerp=1.5", "from 0 to 1"),
    ("--slerp=0.5 --weights=0.5,0.5", "only one of them"),
    ("{c} --slerp=0.5", "3 are specified"),
  ],
)
def test_shares_that_do_not_fit(models, tmp_path, flags, message, capsys):
  given = flags.format(c=models[2]).split()
  assert main(["merge", *models[:2], *given, f"--output={tmp_path}/m"]) == 2
  assert message in capsys.readouterr().err


def test_one_model_and_an_output_that_is_an_input(models, tmp_path, capsys):
  assert main(["merge", models[0], f"--output={tmp_path}/m"]) == 2
  assert "two or more" in capsys.readouterr().err
  assert main(["merge", *models, f"--output={models[1]}"]) == 2
  assert "also the input" in capsys.readouterr().err
  (tmp_path / "mine.txt").write_text("x")
  assert main(["merge", *models, f"--output={tmp_path}"]) == 2
  assert "not a model directory" in capsys.readouterr().err
  assert json.loads((pathlib.Path(models[1]) / "config.json").read_text())
