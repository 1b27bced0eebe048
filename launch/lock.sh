#!/usr/bin/env bash
# Writes launch/requirements-tpu.txt and launch/requirements-cuda.txt: all the
# versions that a job needs on Linux, x86-64, Python 3.12.
#
#   bash launch/lock.sh     # in the environment in which the tests pass
#
# Packages installed there keep their versions, so jobs run what was
# tested; others get the newest version that fits. Needs uv.
set -eu
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
uv pip freeze --quiet --exclude-editable --python "$(command -v python)" |
  sed -n '/^[A-Za-z0-9._-]*==[0-9a-z.]*$/p' > "$scratch/installed"
for extra in tpu cuda; do
  uv pip compile setup.cfg --extra="$extra" --extra=buckets --quiet \
    --python-version=3.12 --python-platform=x86_64-manylinux_2_31 \
    --constraint="$scratch/installed" --no-annotate --no-header \
    --output-file="$scratch/$extra"
  { echo "# Versions for [$extra] on Linux, x86-64, Python 3.12, as the tests"
    echo "# ran with them. Made by launch/lock.sh; do not edit."
    cat "$scratch/$extra"; } > "$scratch/whole"
  mv "$scratch/whole" "launch/requirements-$extra.txt"
done
