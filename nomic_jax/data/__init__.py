# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Data: reads sources, prepares data directories and makes batches of them."""
