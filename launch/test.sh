#!/usr/bin/env bash
# Makes an environment and runs the tests. Arguments are passed to pytest.
#   VENV=DIR   virtual environment (default .venv-test)
#   EXTRA      of setup.cfg to install (default test); test,tpu-aot adds tests
#              that compile for TPUs
#   WORKERS=N  files tested at a time (default 2)
set -eu
cd "$(dirname "$0")/.."
. launch/venv.sh
make_venv "${VENV:-.venv-test}" "${EXTRA:-test}"
python -m pytest -n "${WORKERS:-2}" --dist loadfile "$@"
