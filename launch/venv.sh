# shellcheck shell=bash
# Sourced by the other scripts: a virtual environment with nomic_jax in it.

# make_venv DIR EXTRA: makes DIR once, installs nomic_jax[EXTRA], activates it.
#   PYTHON       its Python (python3), or uv: a Python 3.12 provided by uv
#   CONSTRAINTS  a file of versions, as in `pip install --constraint`
make_venv() {
  local python=${PYTHON:-python3}
  if [ ! -x "$1/bin/python" ]; then
    if [ "$python" != uv ] && ! "$python" -c \
      'import sys; sys.exit(sys.version_info < (3, 11))'; then
      command -v uv > /dev/null || {
        echo "$python is older than 3.11; set PYTHON to a newer one, or" \
          "install uv (https://docs.astral.sh/uv), which brings one" >&2
        exit 1
      }
      python=uv
    fi
    if [ "$python" = uv ]; then
      uv venv --quiet --seed --python 3.12 "$1"
    else
      "$python" -m venv "$1" || {
        echo "no virtual environment: on Debian, apt install python3-venv" >&2
        exit 1
      }
    fi
  fi
  # shellcheck disable=SC1091  # made above
  . "$1/bin/activate" || exit 1
  # Install once for each state of these files, so that reruns start at once.
  local wanted
  wanted="$2 $(cat setup.cfg ${CONSTRAINTS:+"$CONSTRAINTS"} | cksum)"
  if [ "$(cat "$1/installed" 2> /dev/null)" != "$wanted" ]; then
    echo "installing into $1 ..."
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check \
      ${CONSTRAINTS:+--constraint="$CONSTRAINTS"} -e ".${2:+[$2]}"
    echo "$wanted" > "$1/installed"
  fi
}
