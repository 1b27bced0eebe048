# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Model directories, exchanged with PyTorch's libraries and the Hub."""
