# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The dtype that compute.dtype=auto chooses."""

import pytest

from nomic_jax.errors import UserError
from nomic_jax.model import dtypes


@pytest.mark.parametrize(
  "flags, expected",
  [
    ("flags\t\t: fpu avx512f avx512_bf16 avx512_fp16", True),
    ("flags\t\t: fpu amx_bf16 amx_tile", True),
    ("Features\t: fp asimd i8mm bf16 dgh", True),
    ("flags\t\t: fpu avx2 avx512f avx512_fp16", False),
  ],
)
def test_cpu_instructions_decide_the_dtype(tmp_path, flags, expected):
  file = tmp_path / "cpuinfo"
  file.write_text(f"processor\t: 0\n{flags}\n")
  assert dtypes._cpu_multiplies_bfloat16(file) == expected
  assert not dtypes._cpu_multiplies_bfloat16(tmp_path / "none")


@pytest.mark.parametrize("able", (True, False))
def test_auto(monkeypatch, able):
  monkeypatch.setattr(dtypes, "_cpu_multiplies_bfloat16", lambda: able)
  assert dtypes.choose("auto", "cpu") == ("bfloat16" if able else "float32")
  assert dtypes.choose("auto", "tpu") == "bfloat16"
  assert dtypes.choose("float32", "tpu") == "float32"
  with pytest.raises(UserError, match="Did you mean 'bfloat16'"):
    dtypes.choose("bfloat61", "cpu")
