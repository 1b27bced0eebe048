# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""CamemBERT (Martin et al. 2020), which is RoBERTa by another name.

sentence-camembert-base and -large belong to it.
"""

import dataclasses

from nomic_jax.families import roberta

FAMILY = dataclasses.replace(
  roberta.FAMILY,
  name="camembert",
  to_json=lambda a: roberta.FAMILY.to_json(a) | {"model_type": "camembert"},
  classes={
    tree: name.replace("Roberta", "Camembert")
    for tree, name in roberta.FAMILY.classes.items()
  },
  fresh=roberta.fresh_by(roberta.FAMILY.from_json, vocab_size=32_005),
)
