# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Reading and writing: files, buckets, tables, progress, pictures."""
