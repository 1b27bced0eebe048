# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Steps of `nomic-jax adapt`: checks, choices, objectives; see README.md."""
