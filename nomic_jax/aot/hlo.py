# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What a compiled program will do, parsed from its text.

XLA's `cost_analysis()` counts the body of a loop once and ignores kernels.
Therefore the text is parsed: the TPU compiler annotates each fusion with a
number of cycles and each loop with its trip count.
"""

import collections
from collections.abc import Iterator
import dataclasses
import math
import re
from typing import NamedTuple

COLLECTIVES = (
  "all-reduce",
  "all-gather",
  "reduce-scatter",
  "all-to-all",
  "collective-permute",
  "collective-broadcast",
  "ragged-all-to-all",
)
_BYTES = {
  "pred": 1,
  "s8": 1,
  "u8": 1,
  "s16": 2,
  "u16": 2,
  "bf16": 2,
  "f16": 2,
  "s32": 4,
  "u32": 4,
  "f32": 4,
  "s64": 8,
  "u64": 8,
  "f64": 8,
  "c64": 8,
}
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")
_CALLED = re.compile(
  r"(?:calls|to_apply|body|condition|branch_computations|"
  r"true_computation|false_computation)=(\{[^}]*\}|%?[\w.\-]+)"
)
_TRIPS = re.compile(r'"known_trip_count":\{"n":"?(\d+)')
_CYCLES = re.compile(r'"estimated_cycles":"?(\d+)')


class Instruction(NamedTuple):
  """One line of a computation."""

  name: str
  result: str  # its type
  opcode: str
  rest: str  # operands and attributes

  @property
  def cycles(self) -> int:
    """The compiler's estimate, 0 if there is none."""
    match = _CYCLES.search(self.rest)
    return int(match[1]) if match else 0

  @property
  def called(self) -> list[str]:
    """Names of the computations that this instruction calls."""
    return [
      name.lstrip("%")
      for group in _CALLED.findall(self.rest)
      for name in group.strip("{}").split(", ")
    ]


@dataclasses.dataclass(frozen=True)
class Collective:
  """Collectives of one kind, inside or outside loops, over all iterations.

  Attributes:
    kind: one of COLLECTIVES.
    in_loop: whether they are in a loop.
    count: number of executions per step.
    bytes: size of the whole arrays, over all executions, on one device.
  """

  kind: str
  in_loop: bool
  count: int
  bytes: int


@dataclasses.dataclass(frozen=True)
class Kernel:
  """A hand-written kernel, for which there is no estimate.

  Attributes:
    name: as given to Pallas.
    shape: the shape of its first result.
    count: number of executions per step.
  """

  name: str
  shape: tuple[int, ...]
  count: int


@dataclasses.dataclass
class Summary:
  """The result of `summarise`.

  Attributes:
    cycles: the compiler's estimates by cause: matmul, attention, other.
    kernels: sorted by name and shape.
    collectives: sorted by kind and whether they are in a loop.
    unknown_loops: number of loops whose trip count is not in the text; they
      are counted once.
  """

  cycles: dict[str, int]
  kernels: list[Kernel]
  collectives: list[Collective]
  unknown_loops: int


def summarise(text: str) -> Summary:
  """Summarises a compiled program, `jax.stages.Compiled.as_text()`."""
  program, entry = parse(text)
  cycles = dict(matmul=0, attention=0, other=0)
  unknown = 0
  kernels: collections.Counter[tuple[str, tuple[int, ...]]] = (
    collections.Counter()
  )
  collectives: dict[tuple[str, bool], tuple[int, int]] = {}
  seen = set()
  for step in _walk(program, entry):
    instruction = step.instruction
    cycles[_cause(program, instruction)] += step.times * instruction.cycles
    if "tpu_custom_call" in instruction.rest:
      name = re.sub(r"[.\d]+$", "", instruction.name)
      kernels[name, _shape(instruction.result)] += step.times
    unknown += step.unknown
    for kind, size, chain in _collectives(
      program, step.computation, instruction
    ):
      # A chain is started, continued and finished in several fusions.
      if chain and (step.path, chain) in seen:
        continue
      seen.add((step.path, chain))
      key = kind, step.in_loop
      count, total = collectives.get(key, (0, 0))
      collectives[key] = count + step.times, total + step.times * size
  return Summary(
    cycles,
    [Kernel(*k, n) for k, n in sorted(kernels.items())],
    [Collective(*k, *v) for k, v in sorted(collectives.items())],
    unknown,
  )


def parse(text: str) -> tuple[dict[str, list[Instruction]], str]:
  """Returns the instructions of each computation, and the entry's name."""
  program: dict[str, list[Instruction]] = {}
  entry, current = "", []
  for line in text.splitlines():
    if start := _COMPUTATION.match(line):
      current = program.setdefault(start[2], [])
      entry = start[2] if start[1] else entry
    elif match := _INSTRUCTION.match(line):
      result, rest = _split_type(match[2])
      opcode, _, rest = rest.partition("(")
      current.append(Instruction(match[1], result, opcode, rest))
  return program, entry


def _split_type(text: str) -> tuple[str, str]:
  """Splits a type, which may be a tuple, from the text after it."""
  depth = 0
  for at, character in enumerate(text):
    depth += (character in "({[") - (character in ")}]")
    if character == " " and not depth:
      return text[:at], text[at + 1 :]
  return text, ""


class _Step(NamedTuple):
  instruction: Instruction
  computation: list[Instruction]
  times: int
  in_loop: bool
  path: tuple[str, ...]  # the calls that lead to it
  unknown: bool = False


def _walk(
  program: dict[str, list[Instruction]],
  name: str,
  times: int = 1,
  in_loop: bool = False,
  path: tuple[str, ...] = (),
) -> Iterator[_Step]:
  """Yields every scheduled instruction with its number of executions."""
  for i in program.get(name, []):
    trips, inside = 1, in_loop
    if i.opcode == "while":
      trips, inside = _trips(program, i), True
    yield _Step(i, program[name], times, in_loop, path, not trips)
    if i.opcode in _CALLS:
      # The computation that an async-start calls counts for its caller.
      below = path if i.opcode in _STARTS else (*path, i.name)
      for called in i.called:
        yield from _walk(program, called, times * (trips or 1), inside, below)


# A call-start runs, for example, an all-reduce on the sparse cores of TPU7x.
_STARTS = ("async-start", "call-start")
_CALLS = ("while", "call", "conditional", *_STARTS)


def _trips(program: dict[str, list[Instruction]], loop: Instruction) -> int:
  """Returns the trip count of a loop; 0 if it is not in the text."""
  if match := _TRIPS.search(loop.rest):
    return int(match[1])
  condition = re.search(r"condition=%?([\w.\-]+)", loop.rest)
  limits = [
    int(i.rest.split(")")[0])
    for i in (program.get(condition[1], []) if condition else [])
    if i.opcode == "constant" and i.result.startswith("s32[]")
  ]
  return limits[0] if len(limits) == 1 else 0


def _cause(
  program: dict[str, list[Instruction]], instruction: Instruction
) -> str:
  """Returns what an instruction's time is spent on."""
  scope = re.search(r'op_name="([^"]*)"', instruction.rest)
  # The scope of an implementation, such as attention_pallas_tpu; the module's
  # method `_attention` also contains projections.
  if scope and re.search(r"\battention_\w", scope[1]):
    return "attention"
  for i in (instruction, *_inside(program, instruction)):
    if i.opcode in ("dot", "convolution"):
      return "matmul"
  return "other"


def _inside(
  program: dict[str, list[Instruction]], instruction: Instruction
) -> Iterator[Instruction]:
  """Yields the instructions of a fusion, recursively."""
  if instruction.opcode != "fusion":
    return
  for called in instruction.called:
    for i in program.get(called, []):
      yield i
      yield from _inside(program, i)


def _collectives(
  program: dict[str, list[Instruction]],
  computation: list[Instruction],
  instruction: Instruction,
) -> Iterator[tuple[str, int, str]]:
  """Yields the collectives of an instruction or fusion.

  Yields:
    (kind, bytes, id). The id is shared by the instructions of a collective
    that is split into several, and "" otherwise.
  """
  if instruction.opcode == "fusion":
    for called in instruction.called:
      for i in program.get(called, []):
        yield from _collectives(program, program[called], i)
    return
  kind = instruction.opcode.removesuffix("-start")
  if kind not in COLLECTIVES:
    return
  types = {i.name: i.result for i in computation}
  operands = re.findall(r"%([\w.\-]+)", instruction.rest.split(")")[0])
  consumed = sum(size_of(types.get(o, "")) for o in operands)
  produced = size_of(instruction.result)
  if instruction.opcode.endswith("-start") and kind != "all-reduce":
    produced -= consumed  # the result is a pair of input and output
  chain = re.search(r"(channel_id=\d+),.*(chain_id=\"\d+\")", instruction.rest)
  yield kind, max(consumed, produced), " ".join(chain.groups()) if chain else ""


def size_of(result: str) -> int:
  """Returns the bytes of a type: an array or a tuple of arrays."""
  return sum(
    _BYTES.get(kind, 0) * math.prod(_sizes(dims))
    for kind, dims in _ARRAY.findall(result)
  )


def _shape(result: str) -> tuple[int, ...]:
  """Returns the shape of a type's first array."""
  match = _ARRAY.search(result)
  return _sizes(match[2]) if match else ()


def _sizes(dims: str) -> tuple[int, ...]:
  return tuple(map(int, dims.split(","))) if dims else ()
