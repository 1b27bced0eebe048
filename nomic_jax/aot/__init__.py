# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Compiling for accelerators that are not attached, and tuning kernels."""
