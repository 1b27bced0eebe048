# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The command line: flags from signatures, --config and its overrides."""
