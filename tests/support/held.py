# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs nomic-jax and waits where a test wants to interrupt it.

python held.py STEP JOB ...     waits after this step, until SIGTERM
python held.py slow JOB ...     waits a quarter of a second after each step
python held.py evaluation JOB   waits in the first evaluation, until SIGTERM
python held.py rename JOB ...   waits before a checkpoint is renamed
"""

import os
import sys
import time

from nomic_jax import main
from nomic_jax.mesh import processes

_BEGAN = time.monotonic()


def _wait() -> None:
  if time.monotonic() > _BEGAN + 500:  # the test has failed and ended
    os._exit(1)
  time.sleep(0.01)


def _after(step: int) -> None:
  class Preemption(processes.Preemption):
    def reached(self, number: int) -> bool:
      while number == step and not self._received:
        _wait()
      return super().reached(number)

  processes.Preemption = Preemption


def _slow() -> None:
  class Preemption(processes.Preemption):
    def reached(self, number: int) -> bool:
      time.sleep(0.25)
      return super().reached(number)

  processes.Preemption = Preemption


def _evaluation() -> None:
  class Preemption(processes.Preemption):
    def check(self) -> None:
      print("evaluates", flush=True)
      while not self._received:
        _wait()
      super().check()

  processes.Preemption = Preemption


def _unnamed() -> None:
  def wrapped(rename):
    def held(source, *more, **options):
      while "orbax-checkpoint-tmp" in str(source):
        _wait()
      return rename(source, *more, **options)

    return held

  os.rename, os.replace = wrapped(os.rename), wrapped(os.replace)


if __name__ == "__main__":
  moment = sys.argv.pop(1)
  kinds = {"slow": _slow, "rename": _unnamed, "evaluation": _evaluation}
  kinds[moment]() if moment in kinds else _after(int(moment))
  sys.exit(main.main())
