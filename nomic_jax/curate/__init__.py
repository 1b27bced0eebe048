# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Cleaning, consistency filter, hard negatives and teachers' vectors."""
