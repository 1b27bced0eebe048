# shellcheck shell=bash
# Sourced before a job starts on TPUs: every flag for libtpu, with its reason.
# None so far: a flag is added here with what it gained. `nomic-jax compile`
# heeds the same variable, so source this file before it too.
flags=(
)
export LIBTPU_INIT_ARGS="${flags[*]-} ${LIBTPU_INIT_ARGS:-}"
