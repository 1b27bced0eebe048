# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A DeprecationWarning attributed to the package is an error; see setup.cfg."""

import warnings

import pytest


def _old(name):
  """Warns as a library does when something deprecated is used."""
  warnings.warn(f"{name} is deprecated", DeprecationWarning, stacklevel=2)


def _use(module, name="jax.old"):
  exec("old(name)", {"__name__": module, "old": _old, "name": name})


@pytest.mark.parametrize(
  "module, name",
  [
    ("nomic_jax.kernels.fake", "jax.old"),
    ("nomic_jax.training", "anything"),
    ("support.tiny", "flax.linen.old"),
    ("step_test", "orbax.checkpoint.old"),
  ],
)
def test_what_we_use_is_not_deprecated(module, name):
  with pytest.raises(DeprecationWarning, match="is deprecated"):
    _use(module, name)


def test_other_libraries_may_use_what_is_deprecated():
  _use("flax.linen.module")
  _use("step_test", "torch.old")
  with pytest.raises(DeprecationWarning):  # control: JAX's in this module
    _old("jax.old")
