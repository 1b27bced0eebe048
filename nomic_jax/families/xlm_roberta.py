# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""XLM-RoBERTa (Conneau et al. 2020), which is RoBERTa by another name.

multilingual-e5, bge-m3 and snowflake-arctic-embed-l-v2.0 belong to it.
"""

import dataclasses

from nomic_jax.families import roberta

FAMILY = dataclasses.replace(
  roberta.FAMILY,
  name="xlm-roberta",
  to_json=lambda a: roberta.FAMILY.to_json(a) | {"model_type": "xlm-roberta"},
  classes={k: f"XLM{v}" for k, v in roberta.FAMILY.classes.items()},
  fresh=roberta.fresh_by(roberta.FAMILY.from_json, vocab_size=250_002),
)
