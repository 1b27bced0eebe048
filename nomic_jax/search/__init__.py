# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Exact nearest neighbours, BM25 and search in a corpus."""
