# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Diagnoses a model whose vector is not finite (NaN or infinity).

Messages state what was found and what to check. They name no cause, since
damaged files, diverged training runs and texts that overflow look alike.
"""

import numpy as np

from nomic_jax.model.params import leaves
from nomic_jax.model.params import Params


def about(params: Params | None) -> str:
  """Returns which parameters are not finite, and what to check.

  Args:
    params: nested dicts of arrays; None if unknown.
  """
  if params is None:
    return "check this text and the model's parameters"
  bad = [
    name
    for name, array in leaves(params)
    if not np.isfinite(np.asarray(array)).all()
  ]
  if not bad:
    return "all parameters of the model are finite; check this text"
  more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
  return (
    f"the model's parameters {', '.join(bad[:3])}{more} are not finite; use "
    "another checkpoint, or compare the file with its original"
  )
