# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Attention: one interface, plain JAX and hand-written kernels."""
