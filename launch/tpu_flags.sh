# shellcheck shell=bash
# Sourced before a job starts on TPUs: every flag for libtpu, with its reason.
# Source it before `nomic-jax compile` too, which heeds the same variable.
# What a flag gained is what the compiler then estimates; none ran on a TPU.
#   TYPE  of the slice, such as v5litepod-256, or a topology, such as v6e:8x8;
#         without it the flags are those of v5e
flags=()
case ${TYPE:-v5e} in
  # A core has 16 MiB of VMEM, which is what fusions may use by default.
  v2* | v3* | v4*) ;;
  # A fusion may use 32 MiB of VMEM instead of 16, so that products have larger
  # tiles: on v5e, 12 layers forward and backward take 1 to 3 % fewer cycles.
  # 64 MiB gain no more there (of 128; v6e has as much, v5p and TPU7x have 64).
  *) flags+=(--xla_tpu_scoped_vmem_limit_kib=32768) ;;
esac
export LIBTPU_INIT_ARGS="${flags[*]-} ${LIBTPU_INIT_ARGS:-}"
