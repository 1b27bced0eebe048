# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax report`."""

from collections.abc import Sequence

from nomic_jax.cli.flags import Path


def report(
  *, workdir: Sequence[Path] = (), scores: Path | None = None, output: Path
) -> None:
  """Shows the curves and scores of several training runs on one page.

  Args:
    workdir: [NAME=]DIR of a training run; repeatable, in order
    scores: .json file written by evaluate
    output: .html file to write
  """
  from nomic_jax.report import report as page

  page.report(workdir, scores, output)
