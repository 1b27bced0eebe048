#!/usr/bin/env bash
# Builds launch/Dockerfile and pushes it, for the other launch scripts:
#
#   IMAGE=us-docker.pkg.dev/PROJECT/REPOSITORY/nomic-jax:1 bash launch/image.sh
#
#   EXTRA (tpu)  tpu or cuda: the versions of launch/requirements-EXTRA.txt
# If a tag is pushed again, hosts that pull it later run another program: use a
# new tag for each build.
set -eu
cd "$(dirname "$0")/.."
: "${IMAGE:?set IMAGE to REGISTRY/NAME:TAG}"
# The hosts of a pod are x86-64, whatever this machine is.
docker build --platform=linux/amd64 --build-arg=EXTRA="${EXTRA:-tpu}" \
  --file=launch/Dockerfile --tag="$IMAGE" .
docker push "$IMAGE"
