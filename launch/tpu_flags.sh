# shellcheck shell=bash
# Sourced before a job starts on TPUs: every flag for libtpu, with its reason.
# Source it before `nomic-jax compile` too, which heeds the same variable.
# What a flag gained is what the compiler then estimates; none ran on a TPU.
flags=(
  # A fusion may use 32 MiB of VMEM instead of 16, so that products have larger
  # tiles: on v5e, 12 layers forward and backward take 1 to 3 % fewer cycles.
  # 64 MiB gain no more.
  --xla_tpu_scoped_vmem_limit_kib=32768
)
export LIBTPU_INIT_ARGS="${flags[*]-} ${LIBTPU_INIT_ARGS:-}"
