# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What a compiled program will do, read from its text.

XLA's `cost_analysis()` counts the body of a loop once and knows nothing of
kernels, so the text is read instead: the TPU compiler writes a number of
cycles beside each fusion, and how often a loop turns beside each loop.
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
    found = _CYCLES.search(self.rest)
    return int(found[1]) if found else 0

  @property
  def called(self) -> list[str]:
    return [
      name.lstrip("%")
      for group in _CALLED.findall(self.rest)
      for name in group.strip("{}").split(", ")
    ]


class Collective(NamedTuple):
  """Collectives of one kind in one place, over all turns of their loops.

  Attributes:
    kind: as in COLLECTIVES.
    in_loop: whether it stands in a loop.
    count: how often one runs in a step.
    bytes: of the whole arrays, over all runs, in one device's view.
  """

  kind: str
  in_loop: bool
  count: int
  bytes: int


class Kernel(NamedTuple):
  """A hand-written kernel, which carries no estimate.

  Attributes:
    name: as it was given to Pallas.
    shape: of its first result.
    count: how often it runs in a step.
  """

  name: str
  shape: tuple[int, ...]
  count: int


@dataclasses.dataclass
class Summary:
  """See `summarise`.

  Attributes:
    cycles: the compiler's estimates by cause: matmul, attention, other.
    kernels: each by name and shape.
    collectives: by kind and place.
    unknown_loops: loops whose number of turns the text does not tell, which
      were counted as one turn.
  """

  cycles: dict[str, int]
  kernels: list[Kernel]
  collectives: list[Collective]
  unknown_loops: int


def summarise(text: str) -> Summary:
  """Adds up a compiled program, `jax.stages.Compiled.as_text()`."""
  program, entry = parse(text)
  cycles = dict(matmul=0, attention=0, other=0)
  unknown = 0
  kernels: collections.Counter = collections.Counter()
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
      # A chain starts, goes on and is done in several fusions, beside matmuls.
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
  """Computations by name, and the name of the entry."""
  program: dict[str, list[Instruction]] = {}
  entry, current = "", []
  for line in text.splitlines():
    if start := _COMPUTATION.match(line):
      current = program.setdefault(start[2], [])
      entry = start[2] if start[1] else entry
    elif found := _INSTRUCTION.match(line):
      result, rest = _split_type(found[2])
      opcode, _, rest = rest.partition("(")
      current.append(Instruction(found[1], result, opcode, rest))
  return program, entry


def _split_type(text: str) -> tuple[str, str]:
  """A type, which may be a tuple of types, and what follows it."""
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
  path: tuple[str, ...]  # the calls that led there
  unknown: bool = False


def _walk(
  program: dict[str, list[Instruction]],
  name: str,
  times: int = 1,
  in_loop: bool = False,
  path: tuple[str, ...] = (),
) -> Iterator[_Step]:
  """Every instruction that is scheduled, and how often."""
  for i in program.get(name, []):
    trips, inside = 1, in_loop
    if i.opcode == "while":
      trips, inside = _trips(program, i), True
    yield _Step(i, program[name], times, in_loop, path, not trips)
    if i.opcode in _CALLS:
      # What is started apart is done, or waited for, where it was called.
      below = path if i.opcode in _STARTS else (*path, i.name)
      for called in i.called:
        yield from _walk(program, called, times * (trips or 1), inside, below)


# A call-start runs on TPU7x's sparse cores, such as an all-reduce.
_STARTS = ("async-start", "call-start")
_CALLS = ("while", "call", "conditional", *_STARTS)


def _trips(program: dict[str, list[Instruction]], loop: Instruction) -> int:
  """How often a loop turns; 0 if the text does not tell."""
  if found := _TRIPS.search(loop.rest):
    return int(found[1])
  condition = re.search(r"condition=%?([\w.\-]+)", loop.rest)
  limits = [
    int(i.rest.split(")")[0])
    for i in program.get(condition[1], [])
    if i.opcode == "constant" and i.result.startswith("s32[]")
  ]
  return limits[0] if len(limits) == 1 else 0


def _cause(
  program: dict[str, list[Instruction]], instruction: Instruction
) -> str:
  """What an instruction's time is spent on."""
  scope = re.search(r'op_name="([^"]*)"', instruction.rest)
  # The scope of an implementation, as attention_pallas_tpu; the module's
  # method `_attention` has projections in it too.
  if scope and re.search(r"\battention_\w", scope[1]):
    return "attention"
  for i in (instruction, *_inside(program, instruction)):
    if i.opcode in ("dot", "convolution"):
      return "matmul"
  return "other"


def _inside(
  program: dict[str, list[Instruction]], instruction: Instruction
) -> Iterator[Instruction]:
  """What a fusion is made of."""
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
  """What an instruction, or a fusion's part, exchanges.

  Yields:
    Kind, bytes and, of a collective that is written several times, what
    its parts have in common, or "".
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
  taken = sum(size_of(types.get(o, "")) for o in operands)
  made = size_of(instruction.result)
  if instruction.opcode.endswith("-start") and kind != "all-reduce":
    made -= taken  # a pair of what it takes and what it makes
  chain = re.search(r"(channel_id=\d+),.*(chain_id=\"\d+\")", instruction.rest)
  yield kind, max(taken, made), " ".join(chain.groups()) if chain else ""


def size_of(result: str) -> int:
  """Bytes of a type: an array or a tuple of them."""
  return sum(
    _BYTES.get(kind, 0) * math.prod(_sizes(dims))
    for kind, dims in _ARRAY.findall(result)
  )


def _shape(result: str) -> tuple[int, ...]:
  """Of a type's first array."""
  return _sizes(_ARRAY.search(result)[2])


def _sizes(dims: str) -> tuple[int, ...]:
  return tuple(map(int, dims.split(","))) if dims else ()
