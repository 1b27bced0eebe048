# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The `nomic-jax` command: parses arguments, runs a job, reports errors."""

from collections.abc import Sequence
import logging
import os
import select
import sys

from nomic_jax import jobs
from nomic_jax.cli import command_line
from nomic_jax.errors import RESUME
from nomic_jax.errors import Stopped
from nomic_jax.errors import UserError

# Modules that only some jobs need, and the extra of setup.cfg that provides it.
_EXTRAS = {
  "bm25s": "eval",
  "pytrec_eval": "eval",
  "sklearn": "eval",
  "datasets": "data",
  "zstandard": "data",
  "mteb": "mteb",
  "rensa": "curate",
  "py3langid": "curate",
  "matplotlib": "plot",
  "tensorboardX": "tensorboard",
  "wandb": "wandb",
  "gguf": "gguf",
  "onnx": "onnx",
  "onnxruntime": "onnx",
  "onnxscript": "onnx",
  "openvino": "openvino",
  "torch": "onnx",
  "transformers": "onnx",
}


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one job; returns the exit status."""
  argv = list(sys.argv[1:] if argv is None else argv)
  command_line.replace_unencodable()
  # A failed checkpoint is one line of ours; asyncio would log its exception
  # again when it is collected, perhaps after the training run has ended.
  logging.getLogger("asyncio").setLevel(logging.CRITICAL)
  try:
    parser, known = jobs.parser()
    command_line.check_flags(argv, known)
    arguments, rest = parser.parse_known_args(argv)
    values = vars(arguments)
    name = values.pop("command")
    rest = command_line.join_values(rest)
    command_line.check_rest(rest, name)
    if known[name].takes_config:
      values["config"] = rest
    with command_line.one_line_warnings():
      known[name].run(**values)
    sys.stdout.flush()
  except UserError as e:
    line = " ".join(str(e).splitlines())
    sys.stdout.flush()  # the error is the last line, also of a log of both
    print(f"nomic-jax: error: {line}", file=sys.stderr)
    return 2
  except Stopped as e:
    print(f"nomic-jax: stopped: {e}", file=sys.stderr)
    return RESUME
  except ModuleNotFoundError as e:
    missing = (e.name or "").partition(".")[0]
    if missing not in _EXTRAS:
      raise
    print(
      f"nomic-jax: error: {missing} is not installed; pip install "
      f"'nomic_jax[{_EXTRAS[missing]}]'",
      file=sys.stderr,
    )
    return 2
  except BrokenPipeError:
    output = select.poll()
    output.register(sys.stdout, 0)
    if not output.poll(0):
      raise  # it was another pipe or connection
    # The reader has closed the pipe, as `head` does.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141
  except KeyboardInterrupt:
    print(
      "nomic-jax: interrupted; run the same command to resume", file=sys.stderr
    )
    return 130
  return 0


if __name__ == "__main__":
  sys.exit(main())
