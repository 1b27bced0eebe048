# shellcheck shell=bash
# Sourced before a job starts on TPUs: every flag for libtpu, with its reason.
# `nomic-jax compile` heeds the same variable: source this file before it.
flags=(
)
export LIBTPU_INIT_ARGS="${flags[*]-} ${LIBTPU_INIT_ARGS:-}"
