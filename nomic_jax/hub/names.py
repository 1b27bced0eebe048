# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Parameter names: the encoder's tree beside the layouts PyTorch files use.

The table is data and serves both directions. A tree stacks its layers and
keeps kernels [in, out]; the files have a tensor per layer, [out, in], and in
two layouts split the query, key and value projections.
"""

from typing import Iterator, NamedTuple

from nomic_jax.errors import UserError
from nomic_jax.model.config import EncoderConfig
from nomic_jax.model.config import output_name

# Ours: (published, transformers' nomic_bert, HF BERT). Several names: the
# tensor is split evenly along its outputs. None: no such module there.
ENCODER = {
    "word": ("embeddings.word_embeddings",) * 3,
    "type": ("embeddings.token_type_embeddings",) * 3,
    "position": ("embeddings.position_embeddings",) * 3,
    "norm": ("emb_ln", "embeddings.LayerNorm", "embeddings.LayerNorm"),
    "layers/qkv": (
        "encoder.layers.{}.attn.Wqkv",
        tuple(f"layers.{{}}.self_attn.{x}_proj" for x in "qkv"),
        tuple(
            f"encoder.layer.{{}}.attention.self.{x}"
            for x in ("query", "key", "value")
        ),
    ),
    "layers/out": (
        "encoder.layers.{}.attn.out_proj",
        "layers.{}.self_attn.o_proj",
        "encoder.layer.{}.attention.output.dense",
    ),
    "layers/norm1": (
        "encoder.layers.{}.norm1",
        "layers.{}.post_attention_layernorm",
        "encoder.layer.{}.attention.output.LayerNorm",
    ),
    "layers/up": (  # of a gated MLP; a plain one: see PLAIN_UP
        "encoder.layers.{}.mlp.fc11", "layers.{}.mlp.up_proj", None,
    ),
    "layers/gate": (
        "encoder.layers.{}.mlp.fc12", "layers.{}.mlp.gate_proj", None,
    ),
    "layers/down": (
        "encoder.layers.{}.mlp.fc2",
        "layers.{}.mlp.down_proj",
        "encoder.layer.{}.output.dense",
    ),
    "layers/norm2": (
        "encoder.layers.{}.norm2",
        "layers.{}.post_mlp_layernorm",
        "encoder.layer.{}.output.LayerNorm",
    ),
    "pooler": ("pooler.dense",) * 3,
    # contrastors' BiEncoder; written as a module of sentence-transformers, as
    # the layers of `EncoderConfig.output_layers` are under their own names.
    "projection": ("proj",) * 3,
}
PLAIN_UP = (
    "encoder.layers.{}.mlp.fc1", None, "encoder.layer.{}.intermediate.dense",
)
MLM_HEAD = {
    "transform": ("cls.predictions.transform.dense",) * 3,
    "norm": (
        "cls.predictions.transform.layer_norm",
        "cls.predictions.transform.layer_norm",
        "cls.predictions.transform.LayerNorm",
    ),
    "": ("cls.predictions.decoder", "cls.predictions", "cls.predictions"),
}
CLASSIFICATION_HEAD = {
    "pooler": ("pooler.dense",) * 3,
    "classifier": ("classifier",) * 3,
}
TREES = {
    "encoder": ENCODER,
    "mlm_head": MLM_HEAD,
    "classification_head": CLASSIFICATION_HEAD,
}
LEAVES = {
    "kernel": "weight", "embedding": "weight", "scale": "weight",
    "bias": "bias",
}
# Layout: its column above and what its layers' names begin with.
PUBLISHED, NATIVE, BERT = range(3)
LAYERS = ("encoder.layers.", "layers.", "encoder.layer.")
# What a body's names may begin with: nothing, contrastors' BiEncoder, a task
# head's in BERT and nomic-bert-2048, a task head's in transformers.
PREFIXES = ("", "trunk.", "bert.", "nomic_bert.")
OLD_LEAVES = {".gamma": ".weight", ".beta": ".bias"}  # TensorFlow's BERT
# Copies that files may hold of another tensor.
TIED = {
    "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
# Of no use to this encoder: buffers, and next-sentence prediction.
IGNORED = (
    r"embeddings\.position_ids",
    r"embeddings\.token_type_ids",
    r".*\binv_freq",
    r"cls\.seq_relationship\..*",
)
IGNORED_WITHOUT_POOLER = (r"pooler\.dense\..*",)
EXPERTS = r".*\.(experts|router|shared_expert)\..*"


class Slot(NamedTuple):
  """One tensor of a file and where it lives in the tree."""

  name: str
  shape: tuple[int, ...]  # in the file
  path: str  # in the tree
  index: tuple  # of the tree's array, giving the tensor, maybe transposed
  transposed: bool


def encoder_shapes(config: EncoderConfig) -> dict[str, tuple[int, ...]]:
  """Path to shape of every array of the encoder's tree."""
  c, dense, layers = config, _dense, config.layers
  norm = lambda name, *at: {
      f"{name}/scale": (*at, c.width), f"{name}/bias": (*at, c.width)}
  shapes = {"word/embedding": (c.vocab_size, c.width)}
  if c.type_vocab_size > 0:
    shapes["type/embedding"] = (c.type_vocab_size, c.width)
  if c.position == "learned":
    shapes["position/embedding"] = (c.max_length, c.width)
  shapes |= norm("norm")
  shapes |= dense("layers/qkv", c.width, 3 * c.width, c.qkv_bias, layers)
  shapes |= dense("layers/out", c.width, c.width, c.qkv_bias, layers)
  shapes |= norm("layers/norm1", layers)
  shapes |= dense("layers/up", c.width, c.mlp_width, c.mlp_in_bias, layers)
  if c.gated:
    shapes |= dense("layers/gate", c.width, c.mlp_width, c.mlp_in_bias, layers)
  shapes |= dense("layers/down", c.mlp_width, c.width, c.mlp_out_bias, layers)
  shapes |= norm("layers/norm2", layers)
  if c.pooler:
    shapes |= dense("pooler", c.width, c.width, True)
  if c.projection:
    shapes |= dense("projection", c.width, c.projection, True)
  width = c.projection or c.width
  for i, layer in enumerate(c.output_layers):
    if layer.kind == "dense":
      shapes |= dense(output_name(i), width, layer.width, layer.bias)
    elif layer.kind == "norm":
      shapes |= {f"{output_name(i)}/{leaf}": (layer.width,)
                 for leaf in ("scale", "bias")}
    width = layer.width
  return shapes


def mlm_head_shapes(config: EncoderConfig) -> dict[str, tuple[int, ...]]:
  """Path to shape of every array of the MLM head's tree."""
  c = config
  shapes = {"transform/kernel": (c.width, c.width)}
  if c.mlp_in_bias:
    shapes |= {"transform/bias": (c.width,), "bias": (c.vocab_size,)}
  return shapes | {"norm/scale": (c.width,), "norm/bias": (c.width,)}


def tree_shapes(
    config: EncoderConfig, mlm_head: bool = False, labels: int = 0
) -> dict[str, tuple[int, ...]]:
  """All trees, their paths under the names in TREES.

  Args:
    config: the architecture.
    mlm_head: whether there is one.
    labels: of a classification head; 0: there is none.
  """
  width = config.width
  trees = {"encoder": encoder_shapes(config)}
  if mlm_head:
    trees["mlm_head"] = mlm_head_shapes(config)
  if labels:
    trees["classification_head"] = _dense("pooler", width, width, True) | (
        _dense("classifier", width, labels, True))
  return {
      f"{tree}/{path}": shape for tree, shapes in trees.items()
      for path, shape in shapes.items()
  }


def slots(
    config: EncoderConfig, layout: int, mlm_head: bool = False,
    labels: int = 0,
) -> Iterator[Slot]:
  """Every tensor a file of this architecture and layout has."""
  for path, shape in tree_shapes(config, mlm_head, labels).items():
    tree, _, rest = path.partition("/")
    module, _, leaf = rest.rpartition("/")
    names = TREES[tree].get(module, (module,) * 3)[layout]
    if module == "layers/up" and not config.gated:
      names = PLAIN_UP[layout]
    if names is None:
      raise UserError(
          f"activation '{config.activation}' does not fit the names in the "
          "weights, which are another architecture's; mend config.json"
      )
    names = (names,) if isinstance(names, str) else names
    part = shape[-1] // len(names)
    stacked = module.startswith("layers/")
    for layer in range(config.layers) if stacked else (None,):
      index = (layer,) if stacked else ()
      inner = shape[len(index):-1]
      for i, name in enumerate(names):
        torch_shape = (*inner, part)
        yield Slot(
            name=f"{name.format(layer)}.{LEAVES[leaf]}",
            shape=torch_shape[::-1] if leaf == "kernel" else torch_shape,
            path=path,
            index=(*index, ..., slice(i * part, (i + 1) * part)),
            transposed=leaf == "kernel",
        )


def _dense(
    name: str, inputs: int, outputs: int, bias: bool, *stacked: int
) -> dict[str, tuple[int, ...]]:
  shapes = {f"{name}/kernel": (*stacked, inputs, outputs)}
  return shapes | ({f"{name}/bias": (*stacked, outputs)} if bias else {})
