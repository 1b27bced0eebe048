# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""TROUBLESHOOTING.md quotes messages that the package contains."""

import ast
import re

from support import small_data


def _messages():
  """Every string of the package, with \\0 in place of values."""
  for path in (small_data.ROOT / "nomic_jax").rglob("*.py"):
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.JoinedStr):
        yield "".join(
          v.value if isinstance(v, ast.Constant) else "\0" for v in node.values
        )
      elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def test_each_message_of_the_page_exists():
  page = (small_data.ROOT / "TROUBLESHOOTING.md").read_text()
  quoted = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
  known = "\n".join(_messages())
  assert len(quoted) >= 20
  assert [q for q in quoted if q not in known] == []
  assert "a message that nobody wrote" not in known
