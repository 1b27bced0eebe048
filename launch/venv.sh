# shellcheck shell=bash
# Sourced by the other scripts: a virtual environment with nomic_jax in it.

# make_venv DIR EXTRA: makes DIR once, installs nomic_jax[EXTRA], activates it.
make_venv() {
  local python=${PYTHON:-python3}
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$python is older than 3.11; set PYTHON to a newer one" >&2
    exit 1
  fi
  if [ ! -x "$1/bin/python" ]; then
    "$python" -m venv "$1" || {
      echo "no virtual environment: on Debian, apt install python3-venv" >&2
      exit 1
    }
  fi
  # shellcheck disable=SC1091  # made above
  . "$1/bin/activate"
  # Once for each state of setup.cfg, so that a rerun starts at once.
  local wanted
  wanted=$(cksum < setup.cfg)
  if [ "$(cat "$1/installed" 2> /dev/null)" != "$wanted" ]; then
    echo "installing into $1 ..."
    python -m pip install --quiet --disable-pip-version-check -e ".${2:+[$2]}"
    echo "$wanted" > "$1/installed"
  fi
}
