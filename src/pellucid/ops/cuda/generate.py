"""A kernel's source: a lowered program as CUDA C++, one statement for each instruction.

Every thread has some pairs of a sequence and a unit (*elements*) of each size letter, and holds their values in registers; a
value that is one number for each sequence is held beside each element of that sequence. While what a product multiplies is
on its way to the other blocks, a step leaves what the last one computed, and asks for the rows of the next one. The parts
that are the same for every cell stand in sweep.cuh, what the hardware does in hardware.cuh.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pellucid.ops.cuda.meeting import MEETINGS
from pellucid.ops.cuda.share import Share, products
from pellucid.ops.lowering import Lowered

SIZES = {"bool": 1, "bfloat16": 2, "float16": 2, "float": 4, "double": 8}
AHEAD = 32  # registers for rows that are on their way

_WRITTEN = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-{0}",
    "abs": "fabs({0})",
    "sign": "sign_of({0})",
    "maximum": "larger({0}, {1})",
    "minimum": "smaller({0}, {1})",
    "exp": "Way::exp({0})",
    "log": "log({0})",
    "sqrt": "sqrt({0})",
    "tanh": "Way::tanh({0})",
    "sigmoid": "Way::sigmoid({0})",
    "relu": "larger({0}, Real(0))",
    "softplus": "softplus_of({0})",
    "erf": "erf({0})",
    "sin": "sin({0})",
    "cos": "cos({0})",
    "select": "{0} != Real(0) ? {1} : {2}",
    "greater": "{0} > {1} ? Real(1) : Real(0)",
    "greater_equal": "{0} >= {1} ? Real(1) : Real(0)",
    "copy": "{0}",
}


@dataclass(frozen=True)
class Bound:
    """What a buffer of the program is bound to.

    Attributes:
        type: of its numbers in memory.
        strides: which of the call's pairs of strides, of steps and of sequences, it goes by.
    """

    type: str
    strides: int


@dataclass(frozen=True)
class Spec:
    """What a kernel is written for, besides the program and its share.

    Attributes:
        operand: the type that products multiply.
        real: the type that all else computes with.
        buffers: by their index in the program; a number where that is all the buffer holds.
        starts: for a carried buffer where its value before the first step lies; absent for zeros.
        matrices: the types of the packed matrices.
        reverse: whether time runs backward.
        even: whether two neighbouring units may always be read and written at once.
    """

    operand: str
    real: str
    buffers: tuple[Bound | float, ...]
    starts: tuple[tuple[int, Bound], ...]
    matrices: tuple[str, ...]
    reverse: bool
    even: bool


@dataclass(frozen=True, eq=False)  # what is known of a kernel is looked up at every launch: by its identity
class Kernel:
    """A kernel's source, and what a launch of it needs.

    Attributes:
        source: CUDA C++, to stand after hardware.cuh.
        share: for which it was written.
        memory: bytes of shared memory of a block.
        exchange: bytes of the GPU's memory that a team meets in, zero before a launch.
        strides: pairs of strides in a call.
        ports: pointers in a call: the buffers, then the starts.
        matrices: pointers and strides in a call.
    """

    source: str
    share: Share
    memory: int
    exchange: int
    strides: int
    ports: int
    matrices: int


@cache
def _text(name: str) -> str:
    return (Path(__file__).parent / name).read_text()


def generate(lowered: Lowered, share: Share, spec: Spec) -> Kernel:
    """Write the kernel."""
    return Writer(lowered, share, spec).kernel()


@dataclass(frozen=True)
class _Carried:
    """A value that a step hands to the next one."""

    buffer: int
    input: int | None
    output: int | None

    @property
    def register(self) -> int:
        """One of its registers."""
        found = self.output if self.input is None else self.input
        assert found is not None
        return found


class Writer:
    """Writes one kernel.

    Attributes:
        letters: the size letters that have units, by their index.
        products, tilings: of the program, in order.
        sums: of the program, in order: those that are taken at once, each a destination and a source.
    """

    def __init__(self, lowered: Lowered, share: Share, spec: Spec) -> None:
        self.lowered, self.share, self.spec = lowered, share, spec
        self.letters = sorted({size for size in lowered.sizes if size > 1})
        self.products = products(lowered)
        self.tilings = share.tilings(self.products)
        self.sums = [group for _, sums, _ in lowered.phases for group in self._by_letter(sums)]
        self.carried = self._carried()
        carried = {c.buffer for c in self.carried}
        self.loads = [(r, b) for r, kind, b in lowered.inputs if kind in ("step", "shifted") and b not in carried]
        self.held = [(r, b) for r, kind, b in lowered.inputs if kind == "held"]
        self.stores = [(r, b) for r, kind, b in lowered.outputs if kind == "step"]
        self.totals = [(r, b) for r, kind, b in lowered.outputs if kind == "total"]
        self.start = {buffer: len(lowered.roles) + i for i, (buffer, _) in enumerate(spec.starts)}
        bounds = [*spec.buffers, *(b for _, b in spec.starts)]
        self.strides = sorted({b.strides for b in bounds if isinstance(b, Bound)})
        self.lines: list[str] = []
        self.depth = 1
        self.memory = 0
        self.done = False  # whether the step has done what it does meanwhile
        self.meeting = MEETINGS[share.kind](self)

    def _by_letter(self, sums: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
        sizes = self.lowered.sizes
        return [[s for s in sums if sizes[s[1]] == letter] for letter in dict.fromkeys(sizes[s] for _, s in sums)]

    def _carried(self) -> list[_Carried]:
        outputs = {b: r for r, kind, b in self.lowered.outputs if kind in ("step", "swing")}
        swings = [b for _, kind, b in (*self.lowered.inputs, *self.lowered.outputs) if kind == "swing"]
        shifted = [b for _, kind, b in self.lowered.inputs if kind == "shifted" and b in outputs]
        inputs = {b: r for r, kind, b in self.lowered.inputs if kind in ("shifted", "swing")}
        return [_Carried(b, inputs.get(b), outputs.get(b)) for b in dict.fromkeys([*shifted, *swings])]

    # Text

    def put(self, text: str) -> None:
        """Lines at the present depth."""
        self.lines += ["  " * self.depth + line if line else "" for line in text.splitlines()]

    def open(self, line: str, *, unroll: bool = False) -> None:
        """A line after which all stands deeper."""
        self.put("#pragma unroll\n" * unroll + line)
        self.depth += 1

    def close(self) -> None:
        """The end of what was opened last."""
        self.depth -= 1
        self.put("}")

    def each(self, letter: int, *statements: str) -> None:
        """Statements for all elements of a letter."""
        self._loop(f"J{letter}", statements)

    def each_pack(self, letter: int, *statements: str) -> None:
        """Statements for all elements that are read and written at once: g, of which element i is the first."""
        self._loop(f"G{letter}", [f"const int i = j * WIDE, g = j;\n{s}" for s in statements])

    def _loop(self, count: str, statements: Sequence[str]) -> None:
        for statement in statements:
            self.put(f"#pragma unroll\nfor (int j = 0; j < {count}; ++j) {{")
            self.put(textwrap.indent(statement, "  "))
            self.put("}")

    def lay(self, name: str, type_: str, size: int) -> None:
        """Give something a place in shared memory."""
        self.put(f"{type_}* const {name} = ({type_}*)(memory + {self.memory});")
        self.memory += -(-size // 128) * 128

    def name(self, register: int, letter: int, element: str = "j") -> str:
        """A register's value for an element of a letter."""
        return f"r{register}" if self.lowered.sizes[register] == 0 else f"r{register}_{letter}[{element}]"

    def declare(self, register: int, letter: int) -> None:
        """Room for a register's values beside a letter's elements."""
        self.put(f"Real r{register}_{letter}[J{letter}];")

    def places(self, register: int) -> list[int]:
        """The letters beside whose elements a register is held."""
        size = self.lowered.sizes[register]
        return [size] if size > 1 else self.letters if size == 1 else []

    def beside(self, register: int) -> int:
        """The letter beside whose elements a result is left: its own, or the first for a number of each sequence."""
        size = self.lowered.sizes[register]
        return size if size > 1 else self.letters[0]

    def mine(self, letter: int, element: str = "j") -> str:
        """Whether this thread has an element; all of them have all where their number comes out even."""
        share = self.share
        even = share.tile * share.units(letter) == share.threads * share.elements(letter)
        return "true" if even else f"mine{letter}[{element}]"

    def bound(self, buffer: int) -> Bound:
        """What a buffer that is no plain number is bound to."""
        found = self.spec.buffers[buffer]
        assert isinstance(found, Bound)
        return found

    def _is_vector(self, register: int) -> bool:
        return self.lowered.sizes[register] > 1

    def _pack(self, type_: str, register: int) -> str:
        return f"Pack<{type_}, {'WIDE' if self._is_vector(register) else 1}>"

    def _at(self, port: int, register: int, letter: int, step: str, bound: Bound) -> str:
        """The address of the elements i to i + WIDE, or of the number of their sequence."""
        k = bound.strides
        along = f"offset{k}_{letter}[g]" if self._is_vector(register) else f"here{letter}[g] * stride{k}"
        begin = f"{step}{k} + " if step else ""
        return f"(({self._pack(bound.type, register)}*)(({bound.type}*)call.port[{port}] + ({begin}{along})))"

    def _reads(self, register: int, letter: int) -> str:
        return f"live{letter}[i]" if self._is_vector(register) else f"(mine{letter}[i] && row{letter}[i] < batch)"

    def _writes(self, register: int, letter: int) -> str:
        return f"live{letter}[i]" + ("" if self._is_vector(register) else f" && unit{letter}[i] + group == 0")

    def _packed(self, register: int, letter: int, bound: Bound, values: str) -> str:
        """Statements that make ``v``, the numbers of an element as they lie in memory."""
        count = "WIDE" if self._is_vector(register) else "1"
        return (
            f"{self._pack(bound.type, register)} v;\n#pragma unroll\n"
            f"for (int k = 0; k < {count}; ++k) narrow({values.format('i + k')}, v.v[k]);"
        )

    # The kernel

    def kernel(self) -> Kernel:
        """Its source and needs."""
        self.put("unsigned char* const memory = block_memory();")
        self.lay("results", "Real", max((t.results for t in self.tilings), default=0))
        for i, t in enumerate(self.tilings):
            self.lay(f"rest{i}", "Chunk", t.rest)
        self.meeting.lay()
        self._begin()
        self._weights()
        self._declare()
        self.meeting.ready()
        self.open("for (int stage = 0; stage < DEPTH; ++stage) {", unroll=True)
        self.put("".join(f"const i64 next{k} = at{k} + (stage < steps ? stage : 0) * pace{k};\n" for k in self.strides))
        self._load("next")
        self.close()
        self.open("for (int base = 0; base < steps; base += DEPTH) {")
        self.open("for (int stage = 0; stage < DEPTH; ++stage) {", unroll=True)
        self.put("const int s = base + stage;\nif (s >= steps) break;")
        self._take()
        self._phases()
        self._keep()
        self.put("".join(f"at{k} += pace{k};\n" for k in self.strides))
        self.close()
        self.close()
        self._end()
        self.meeting.end()
        ports = len(self.lowered.roles) + len(self.spec.starts)
        strides = 1 + max(self.strides, default=-1)
        source = "\n".join([*self._head(strides, ports), *self.lines, "}", ""])
        return Kernel(
            source, self.share, self.memory, self.meeting.exchange, strides, ports, len(self.lowered.matrices)
        )

    def _head(self, strides: int, ports: int) -> list[str]:
        share, spec = self.share, self.spec
        sizes = [
            f"constexpr int SIZE{n} = {share.sizes[n]}, U{n} = {share.units(n)}, J{n} = {share.elements(n)}, G{n} = J{n} / WIDE;"
            for n in self.letters
        ]
        shapes = [
            f"typedef Shape<Operand, {t.tiles}, {t.split}, {t.each}, {t.units}, {t.kept}, TILE, {t.stride}, {t.rows}> Shape{i};"
            for i, t in enumerate(self.tilings)
        ]
        return [
            f"constexpr int GROUPS = {share.groups};",
            _text("sweep.cuh"),
            f"typedef {spec.real} Real;",
            f"typedef {spec.operand} Operand;",
            f"typedef {'Exact<Real>' if spec.operand == spec.real else 'Quick'} Way;",
            f"constexpr int DEPTH = {self._depth()}, TEAM = {share.team}, TILE = {share.tile}, THREADS = {share.threads}, WIDE = {share.wide};",
            *sizes,
            "struct Matrix {\n  const void* at;\n  i64 stride;\n};",
            "struct Call {\n  i64 steps, batch, first_tile;\n  unsigned char* exchange;\n"
            f"  i64 stride[{2 * strides}];\n  void* port[{ports}];\n  Matrix matrix[{max(len(self.lowered.matrices), 1)}];\n}};",
            *shapes,
            f'extern "C" __global__ void __launch_bounds__({share.threads}, 1) sweep(const __grid_constant__ Call call) {{',
        ]

    def _depth(self) -> int:
        """Steps whose rows are on their way: the memory takes longer to answer than a step to compute."""
        wide = self.share.wide
        each = sum(
            self.share.elements(n) // wide * -(-SIZES[self.bound(b).type] * (wide if self._is_vector(r) else 1) // 4)
            for r, b in self.loads
            for n in self.places(r)
        )
        return 1 if not each else max(1, min(4, AHEAD // each))

    def _begin(self) -> None:
        """Which sequences and units are this thread's, and how far it is from one row to the next."""
        self.put(
            "const int thread = thread_index(), lane = thread % 32, warp = thread / 32;\n"
            "const int rank = block_index() % TEAM, group = group_index();\n"
            "const int tile = (int)call.first_tile + block_index() / TEAM;\n"
            "const int steps = (int)call.steps, batch = (int)call.batch, first_row = tile * TILE;\n"
            "const int rows = batch - first_row < TILE ? batch - first_row : TILE;"
        )
        for k in self.strides:
            pace = f"-call.stride[{2 * k}]" if self.spec.reverse else f"call.stride[{2 * k}]"
            first = f"(steps - 1) * call.stride[{2 * k}]" if self.spec.reverse else "0"
            self.put(
                f"const int stride{k} = (int)call.stride[{2 * k + 1}];\nconst i64 pace{k} = {pace};\ni64 at{k} = {first};\n"
                f"const i64 before{k} = -call.stride[{2 * k}];"
            )
        for n in self.letters:
            self.put(f"const int first{n} = rank * U{n};\nint unit{n}[J{n}], local{n}[J{n}], row{n}[J{n}];")
            self.put(f"bool mine{n}[J{n}], live{n}[J{n}];")
            self.each(
                n,
                f"const int e = thread + j / WIDE * THREADS;\nmine{n}[j] = e < TILE * U{n} / WIDE;\n"
                f"local{n}[j] = e / (U{n} / WIDE);\nunit{n}[j] = first{n} + e % (U{n} / WIDE) * WIDE + j % WIDE;\n"
                f"row{n}[j] = first_row + local{n}[j];\n"
                f"live{n}[j] = mine{n}[j] && unit{n}[j] < SIZE{n} && row{n}[j] < batch;",
            )
            self.put(f"int here{n}[G{n}];")  # what is not there is read where something is, and never used
            self.each_pack(n, f"here{n}[g] = mine{n}[i] && row{n}[i] < batch ? row{n}[i] : first_row;")
            for k in self.strides:
                self.put(f"int offset{k}_{n}[G{n}];")
                self.each_pack(
                    n,
                    f"offset{k}_{n}[g] = (live{n}[i] ? row{n}[i] : first_row) * stride{k} + group * SIZE{n} + "
                    f"(live{n}[i] ? unit{n}[i] : 0);",
                )

    def _weights(self) -> None:
        exact = self.share.operand == self.share.real
        for i, p in enumerate(self.products):
            into, out_of = p.into, p.out_of
            stored = self.spec.matrices[p.matrix]
            given = f"(const {stored}*)call.matrix[{p.matrix}].at, call.matrix[{p.matrix}].stride, first{into}, group"
            if p.transposed:
                sizes = f"U{into}, SIZE{into}, TEAM * U{out_of}, SIZE{out_of}, {len(p.sources)}"
            else:
                sizes = f"U{into}, SIZE{into}, SIZE{out_of}, {len(p.destinations)}"
            weight = f"{'Transposed' if p.transposed else 'Weight'}<Operand, {stored}, Real, {sizes}>"
            self.put(
                f"const Place<Shape{i}> place{i};\n{'Rows' if exact else 'Fragments'}<Shape{i}> weights{i};\n"
                f"weights{i}.load(place{i}, rest{i}, {weight}{{{given}}});"
            )

    def _declare(self) -> None:
        """Everything that outlives a step: held inputs, carried values, totals, rows ahead, and what is left late."""
        for register, buffer in self.held:
            self._hold(register, buffer)
        for c in self.carried:
            for n in self.places(c.register):
                self.put(f"Real c{c.buffer}_{n}[J{n}];")
                self._start(c, n)
        for register, buffer in self.totals:
            n = self.beside(register)
            self.put(f"Real total{buffer}[J{n}];")
            self.each(n, f"total{buffer}[j] = Real(0);")
        for register, buffer in self.loads:
            for n in self.places(register):
                raw = f"Raw<sizeof({self._pack(self.bound(buffer).type, register)})>"
                self.put(f"{raw} ahead{register}_{n}[DEPTH][G{n}];")
        for register, buffer in self.stores:
            n = self.beside(register)
            self.put(f"Raw<sizeof({self._pack(self.bound(buffer).type, register)})> late{buffer}[G{n}];")

    def _hold(self, register: int, buffer: int) -> None:
        found = self.spec.buffers[buffer]
        if isinstance(found, float):
            self.put(f"const Real r{register} = {_number(found)};")
            return
        if self.lowered.sizes[register] == 0:
            self.put(f"const Real r{register} = widen(*(const {found.type}*)call.port[{buffer}]);")
        whole = self.lowered.roles[buffer][0] == "weight"  # the same for every sequence
        for n in self.places(register):
            self.declare(register, n)
            vector = self._is_vector(register)
            if whole:
                where = f"(const {found.type}*)call.port[{buffer}]" + (f" + group * SIZE{n} + unit{n}[i + k]" * vector)
                value = f"*({where})"
            else:
                value = f"{self._at(buffer, register, n, '', found)}->v[{'k' if vector else '0'}]"
            self.each_pack(
                n,
                "#pragma unroll\nfor (int k = 0; k < WIDE; ++k) "
                f"{self.name(register, n, 'i + k')} = {self._reads(register, n)} ? (Real)widen({value}) : Real(0);",
            )

    def _start(self, c: _Carried, n: int) -> None:
        """A carried value before the first step; a state's is left where the backward pass reads it."""
        if c.buffer not in self.start:
            self.each(n, f"c{c.buffer}_{n}[j] = Real(0);")
            return
        bound = dict(self.spec.starts)[c.buffer]
        index = "k" if self._is_vector(c.register) else "0"
        value = f"(Real)widen({self._at(self.start[c.buffer], c.register, n, '', bound)}->v[{index}])"
        self.each_pack(
            n,
            "#pragma unroll\nfor (int k = 0; k < WIDE; ++k) "
            f"c{c.buffer}_{n}[i + k] = {self._reads(c.register, n)} ? {value} : Real(0);",
        )
        if self._is_step(c.buffer) and n == self.beside(c.register):
            self._store(c.buffer, c.register, f"c{c.buffer}_{n}[{{}}]", "before")

    def _is_step(self, buffer: int) -> bool:
        return any(kind == "step" and b == buffer for _, kind, b in self.lowered.outputs)

    def _store(self, buffer: int, register: int, values: str, step: str) -> None:
        n, bound = self.beside(register), self.bound(buffer)
        self.each_pack(
            n,
            f"if ({self._writes(register, n)}) {{\n"
            + textwrap.indent(self._packed(register, n, bound, values), "  ")
            + f"\n  *{self._at(buffer, register, n, step, bound)} = v;\n}}",
        )

    def _load(self, step: str) -> None:
        """Ask for the rows of a step."""
        for register, buffer in self.loads:
            for n in self.places(register):
                where = self._at(buffer, register, n, step, self.bound(buffer))
                self.each_pack(n, f"ahead{register}_{n}[stage][g].read({where});")

    def _take(self) -> None:
        """What was loaded ahead and what was carried becomes this step's."""
        for register, buffer in self.loads:
            index = "j % WIDE" if self._is_vector(register) else "0"
            for n in self.places(register):
                self.declare(register, n)
                taken = f"ahead{register}_{n}[stage][j / WIDE].as<{self._pack(self.bound(buffer).type, register)}>()"
                self.each(n, f"{self.name(register, n)} = (Real)widen({taken}.v[{index}]);")
        for c in self.carried:
            if c.input is not None:
                for n in self.places(c.input):
                    self.declare(c.input, n)
                    self.each(n, f"{self.name(c.input, n)} = c{c.buffer}_{n}[j];")

    def meanwhile(self) -> None:
        """What fills the time until something arrives: the last step's results to memory, the next step's rows from it."""
        if self.done:
            return
        self.done = True
        if self.stores:
            self.open("if (s > 0) {")
            self._leave()
            self.close()
        if self.loads:
            self.put("const int ahead = s + DEPTH < steps ? DEPTH : 0;")
            self.put("".join(f"const i64 next{k} = at{k} + ahead * pace{k};\n" for k in self.strides))
            self._load("next")

    def _leave(self) -> None:
        self.put("".join(f"const i64 last{k} = at{k} - pace{k};\n" for k in self.strides))
        for register, buffer in self.stores:
            n = self.beside(register)
            where = self._at(buffer, register, n, "last", self.bound(buffer))
            self.each_pack(n, f"if ({self._writes(register, n)}) late{buffer}[g].write({where});")

    def _phases(self) -> None:
        self.done = False
        product = reduction = 0
        for multiplies, sums, instructions in self.lowered.phases:
            for _ in multiplies:
                self._product(product)
                product += 1
            for group in self._by_letter(sums):
                self.open("{")
                self._reduce(reduction, group)
                self.close()
                for k, (destination, _) in enumerate(group):
                    for n in self.places(destination):
                        self.declare(destination, n)
                        value = f"sums[{k * self.share.tile} + local{n}[j]]"
                        self.each(n, f"{self.name(destination, n)} = {self.mine(n)} ? {value} : Real(0);")
                reduction += 1
            self._instructions(instructions)
        self.meanwhile()

    def _instructions(self, instructions: Sequence[tuple[str, int, list[int]]]) -> None:
        for op, destination, sources in instructions:
            if self.lowered.sizes[destination] == 0:
                value = _WRITTEN[op].format(*(self.name(s, 0) for s in sources))
                self.put(f"const Real r{destination} = {value};")
            for n in self.places(destination):
                value = _WRITTEN[op].format(*(self.name(s, n) for s in sources))
                self.declare(destination, n)
                self.each(n, f"{self.name(destination, n)} = {value};")

    def _product(self, i: int) -> None:
        p, t = self.products[i], self.tilings[i]
        into = p.into
        self.open("{")
        operand = self.meeting.bring(i)
        self.put(f"weights{i}.multiply(place{i}, {operand}, results);\nblock_sync();")
        self.close()
        for k, r in enumerate(p.destinations):
            self.declare(r, into)
            terms = [
                f"(*(const Pack<Real, WIDE>*)(results + ({split * self.share.tile} + local{into}[i]) * {t.rows} + "
                f"{k} * U{into} + unit{into}[i] - first{into})).v[k]"
                for split in range(t.split)
            ]
            self.each_pack(
                into,
                "#pragma unroll\nfor (int k = 0; k < WIDE; ++k)\n"
                f"  {self.name(r, into, 'i + k')} = {self.mine(into, 'i')} ? {' + '.join(terms)} : Real(0);",
            )

    def _reduce(self, i: int, sums: Sequence[tuple[int, int]]) -> None:
        """Sums over units: first over those of this block, then over those of the team."""
        tile = self.share.tile
        n = self.lowered.sizes[sums[0][1]]
        for k, (_, source) in enumerate(sums):
            place = f"terms[({k * tile} + local{n}[j]) * U{n} + unit{n}[j] - first{n}]"
            self.each(n, f"if ({self.mine(n)}) {place} = live{n}[j] ? {self.name(source, n)} : Real(0);")
        self.put("block_sync();")
        self.meeting.add(i, f"sum_of_units<U{n}>(terms, pair)", len(sums) * tile)

    def _keep(self) -> None:
        """What a step hands on: to memory, to totals and to the next step."""
        for register, buffer in self.stores:
            n, bound = self.beside(register), self.bound(buffer)
            values = self.name(register, n, "{}")
            self.each_pack(n, f"{self._packed(register, n, bound, values)}\nlate{buffer}[g].keep(v);")
        for register, buffer in self.totals:
            n = self.beside(register)
            self.each(n, f"total{buffer}[j] += {self.name(register, n)};")
        for c in self.carried:
            if c.output is not None:
                for n in self.places(c.output):
                    self.each(n, f"c{c.buffer}_{n}[j] = {self.name(c.output, n)};")

    def _end(self) -> None:
        self._leave()
        for register, buffer in self.totals:
            self._store(buffer, register, f"total{buffer}[{{}}]", "")
        for c in self.carried:
            if not self._is_step(c.buffer):
                self._store(c.buffer, c.register, f"c{c.buffer}_{self.beside(c.register)}[{{}}]", "")


def _number(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        return {"inf": "Real(1e300 * 1e300)", "-inf": "Real(-1e300 * 1e300)"}.get(str(value), "Real(0.0 / 0.0)")
    return f"Real({value!r})"
