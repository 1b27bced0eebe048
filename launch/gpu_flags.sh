# shellcheck shell=bash
# Sourced before a job starts on NVIDIA GPUs: every flag, with its reason.
# Source it before `nomic-jax compile --topology=h100:8` too.
flags=(
  # Gradients are summed while the rest of the backward pass computes; without
  # it collectives and products take turns. NVIDIA's JAX images set it.
  --xla_gpu_enable_latency_hiding_scheduler=true
)
export XLA_FLAGS="${flags[*]} ${XLA_FLAGS:-}"
# JAX takes three quarters of a GPU's memory by default. NCCL and the CUDA
# context need the last tenth; NVIDIA calls 0.8 to 0.9 typical.
export XLA_PYTHON_CLIENT_MEM_FRACTION="${XLA_PYTHON_CLIENT_MEM_FRACTION:-0.9}"
