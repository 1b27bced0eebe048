# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of `adaptation`."""
