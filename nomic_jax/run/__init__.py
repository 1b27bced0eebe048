# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The state around a training run: start, optimizer, checkpoints, metrics."""
