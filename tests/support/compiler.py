# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Flags of XLA's compiler for tests.

Most programs of tests run once on little data, so optimizing them takes longer
than it saves: LLVM's optimization is off, and the older emitters of fusions,
which do not go through MLIR, compile in a third to half of the time.
"""

QUICK = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
