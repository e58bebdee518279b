"""Where the buffers of a lowered program lie in the tensors of a call, and the kernel for it: settled once for calls alike.

What a call costs on the processor is what a short sequence costs on the GPU, so everything that follows from how the tensors
lie is found once; a call allocates, adds offsets to addresses and launches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pellucid.cells.graph import Node
from pellucid.errors import DeviceError
from pellucid.ops.cuda import compile as kernels
from pellucid.ops.cuda.choose import choose
from pellucid.ops.cuda.generate import Bound, Kernel, Spec
from pellucid.ops.cuda.share import independent_heads
from pellucid.ops.lowering import Lowered, Role
from pellucid.ops.plan import Plan

TYPES = {
    torch.float32: "float",
    torch.float64: "double",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
    torch.bool: "bool",
}
MOST = 2**31  # numbers in a plane of one step: what a kernel counts with inside it has 32 bits
NOWHERE = -1  # the address zero, behind those of a call's tensors: what is added to it is a number by itself


class DoesNotFitError(Exception):
    """The weights of a cell are more than the GPU's registers and shared memory hold."""


class Place(NamedTuple):
    """Some columns of one of a call's tensors, whose last axis may hold several buffers side by side.

    Attributes:
        tensor: its index.
        column, size: the columns.
        first: the step with which the buffer begins; an earlier one holds the states before all steps.
    """

    tensor: int
    column: int
    size: int
    first: int = 0

    def of(self, tensors: Sequence[Tensor]) -> Tensor:
        """The columns, from the first step on."""
        whole = tensors[self.tensor]
        if whole.shape[-1] != self.size:
            whole = whole[..., self.column : self.column + self.size]
        return whole[self.first :] if self.first else whole


class Form(NamedTuple):
    """How a tensor lies.

    Attributes:
        dtype: of its numbers.
        strides: from step to step and from sequence to sequence; 0 where it is the same for all.
        paired: whether two neighbouring numbers may be read at once wherever the first has an even place.
    """

    dtype: torch.dtype
    strides: tuple[int, int]
    paired: bool


class Fresh(NamedTuple):
    """A tensor that every call makes: (T + more, B, width), or (B, width) where ``more`` is None."""

    more: int | None
    width: int
    dtype: torch.dtype
    zero: bool = False


def alike(tensors: Iterable[Tensor]) -> tuple[Any, ...]:
    """What a layout depends on; calls that are equal in it share one. Not the number of steps."""
    return tuple([(t.device, t.dtype, t.shape[-2:], t.stride(), t.data_ptr() % 16, t.is_neg()) for t in tensors])


class Layout:
    """The buffers of one program in the tensors of calls that are alike.

    The tensors of a call, in this order: those of the plan, what else the pass is given, and what is made for it.
    """

    def __init__(self, plan: Plan, tensors: Sequence[Tensor], lowered: Lowered) -> None:
        """For calls such as this one, whose tensors come from outside.

        Raises:
            DeviceError: they are on several devices.
        """
        if elsewhere := {t.device for t in tensors} - {tensors[0].device}:
            raise DeviceError(
                f"the recurrence: x is on {tensors[0].device}, and a tensor that came with it on {min(elsewhere, key=str)}; "
                "move one of them"
            )
        self.at, self.lowered = plan.at, lowered
        self.joined = self._heads_to_join(plan)
        self.apart = tuple(i for i, t in enumerate(tensors) if _dense(t) is not t)
        given = self.prepared(tensors)
        x = given[self.at.x]
        self.batch, self.dtype, self.device = x.shape[1], x.dtype, x.device
        self.real = torch.float64 if x.dtype == torch.float64 else torch.float32
        self.forms = [_form(t) for t in given]
        self.whole = [Place(i, 0, t.shape[-1] if t.dim() else 1) for i, t in enumerate(given)]
        self.parts = plan.cell.input[1].parts or ("",)
        self.width = x.shape[-1] if self.at.weight is None else tensors[self.at.weight].shape[0]
        self.hidden = self.width // len(self.parts)
        self.sizes = {"": 1, "1": 1, "H": self.hidden, **plan.cell.sizes}
        self.before = dict(zip(plan.cell.states, self.whole[self.at.before], strict=True))
        self.matrices = dict(zip(plan.matrices, range(self.at.matrices.start, self.at.matrices.stop), strict=True))
        self.found: dict[Role, Place | float] = {
            ("input", n): p for n, p in zip(plan.inputs, self.whole[self.at.inputs], strict=True)
        }
        self.found |= {("weight", n): v for n, v in self._weights(plan).items()}
        self.fresh: list[Fresh] = []

    def _weights(self, plan: Plan) -> dict[Node, Place | float]:
        """Numbers, parts of parameters as they lie, and what was computed from these."""
        learned = iter(self.whole[self.at.weights])
        found: dict[Node, Place | float] = {}
        for node in plan.weights:
            if node in plan.numbers:
                found[node] = plan.numbers[node]
            elif plan.as_it_lies(node):
                name, part = node.key
                names = plan.cell.declarations[name].parts if part else ("",)
                index = self.at.parameters.start + plan.parameters.index(name)
                size = self.whole[index].size // len(names)
                found[node] = Place(index, names.index(part) * size, size)
            else:
                found[node] = next(learned)
        return found

    def _heads_to_join(self, plan: Plan) -> tuple[tuple[int, int, int], ...]:
        """Matrices that need zeros between their heads, where these are no sweeps of their own: which, blocks, heads."""
        if independent_heads(self.lowered) > 1:
            return ()
        places = zip(plan.matrices, range(self.at.matrices.start, self.at.matrices.stop), strict=True)
        return tuple((i, len(blocks), blocks[0].heads) for blocks, i in places if blocks[0].heads > 1)

    def prepared(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """As kernels can read them: a copy of those that lie too far apart."""
        given = list(tensors)
        for i in self.apart:
            given[i] = _dense(given[i])
        for i, parts, heads in self.joined:
            blocks = [torch.block_diag(*block.chunk(heads)) for block in given[i].chunk(parts)]  # type: ignore[no-untyped-call]
            given[i] = torch.cat(blocks)
        return given

    def new(self, more: int | None, width: int, *, dtype: torch.dtype | None = None, zero: bool = False) -> Place:
        """A tensor that every call makes, and a kernel fills."""
        each = dtype or self.dtype
        self.fresh.append(Fresh(more, width, each, zero))
        self.forms.append(Form(each, (0 if more is None else self.batch * width, width), width % 2 == 0))
        return Place(len(self.forms) - 1, 0, width)

    def parts_of(self, whole: Place, what: str) -> dict[Role, Place]:
        """A tensor whose last axis holds all parts of the projected input, part by part."""
        return {(what, p): Place(whole.tensor, k * self.hidden, self.hidden) for k, p in enumerate(self.parts)}

    def room(self, roles: Sequence[Role], *, steps: bool = True) -> Place:
        """Room for these results, side by side, for those that have none yet; a number for each step and sequence, or
        for each sequence."""
        buffers = dict.fromkeys(self.lowered.where[r] for r in roles)
        sizes = {self.lowered.roles[b]: self.sizes[self.lowered.letter[b]] for b in buffers}
        fresh = [(role, size) for role, size in sizes.items() if role not in self.found]
        columns = sum(size for _, size in fresh)
        width = columns + columns % 2
        whole = self.new(0, width) if steps else self.new(None, width, dtype=self.real)
        column = 0
        # Those whose numbers are read and written two at a time first: all of them begin at an even place then.
        for role, size in sorted(fresh, key=lambda item: item[1] % 2):
            self.found[role] = Place(whole.tensor, column, size)
            column += size
        return whole

    def left(self, role: Role) -> Place:
        """Where a result is found."""
        place = self.found[self.lowered.roles[self.lowered.where[role]]]
        assert isinstance(place, Place)
        return place

    def settle(self, starts: Mapping[int, Place], *, reverse: bool) -> None:
        """Find the kernel, and what a launch adds to the addresses of a call's tensors.

        Raises:
            DoesNotFitError: there is none.
        """
        lowered = self.lowered
        strides: dict[tuple[int, int], int] = {}
        kinds = {b: kind for _, kind, b in (*lowered.inputs, *lowered.outputs)}
        self.even = True

        def bind(place: Place) -> tuple[torch.dtype, int]:
            form = self.forms[place.tensor]
            if place.size != 1:  # one number a row is read alone
                self.even &= form.paired and place.size % 2 == 0 and place.column % 2 == 0
            start = place.first * form.strides[0] + place.column
            pointers.append((place.tensor, start * form.dtype.itemsize))
            return form.dtype, strides.setdefault(form.strides, len(strides))

        pointers: list[tuple[int, int]] = []
        bound: list[tuple[torch.dtype, int] | float] = []
        for buffer, (role, letter) in enumerate(zip(lowered.roles, lowered.letter, strict=True)):
            value = self.found.get(role)
            if value is None:
                turns = kinds[buffer] in ("swing", "total")
                value = self.found[role] = self.new(None if turns else 0, self.sizes[letter])
            if isinstance(value, float):
                bound.append(value)
                pointers.append((NOWHERE, 0))
            else:
                bound.append(bind(value))
        first = tuple((buffer, bind(place)) for buffer, place in starts.items())
        matrices = [self.matrices[blocks] for blocks in lowered.matrices]
        types = tuple(self.forms[m].dtype for m in matrices)
        self.kernel = self._kernel(tuple(bound), first, types, reverse=reverse)
        words = [(NOWHERE, number) for pair in strides for number in pair] + pointers
        for m in matrices:
            words += [(m, 0), (NOWHERE, self.forms[m].strides[1])]
        self.words = tuple(words if matrices else [*words, (NOWHERE, 0), (NOWHERE, 0)])
        # What the kernel does not read, such as an input that was projected, stays as it lies.
        read = {tensor for tensor, _ in self.words}
        self.apart = tuple(i for i in self.apart if i in read)
        self.joined = tuple(each for each in self.joined if each[0] in read)
        self.tiles = -(-self.batch // self.kernel.share.tile)
        self.meeting = self.tiles * self.kernel.share.groups * self.kernel.exchange

    def check_fit(self, lowered: Lowered) -> None:
        """Look whether another program's weights fit, too, whatever it is bound to: this cell's backward program.

        Raises:
            DoesNotFitError: they do not.
        """
        own, real = TYPES[self.dtype], TYPES[self.real]
        types = tuple(TYPES[self.forms[self.matrices[blocks]].dtype] for blocks in lowered.matrices)
        sizes = tuple(self.sizes[letter] for letter in lowered.letters)
        key = ("fits", own, types, sizes, self.batch, self.device)
        if key not in lowered.kernels:
            spec = Spec(own, real, tuple(Bound(own, 0) for _ in lowered.roles), (), types, True, False)
            lowered.kernels[key] = choose(lowered, spec, sizes, self.batch, self.device) is not None
        if not lowered.kernels[key]:
            raise DoesNotFitError

    def _kernel(
        self,
        buffers: tuple[tuple[torch.dtype, int] | float, ...],
        starts: tuple[tuple[int, tuple[torch.dtype, int]], ...],
        matrices: tuple[torch.dtype, ...],
        *,
        reverse: bool,
    ) -> Kernel:
        """The kernel for such buffers, made once."""
        kept = self.lowered.kernels
        key = (buffers, starts, matrices, self.dtype, self.even, self.hidden, self.batch, self.device)
        if key not in kept:
            spec = Spec(
                TYPES[self.dtype],
                TYPES[self.real],
                tuple(b if isinstance(b, float) else Bound(TYPES[b[0]], b[1]) for b in buffers),
                tuple((buffer, Bound(TYPES[dtype], k)) for buffer, (dtype, k) in starts),
                tuple(TYPES[dtype] for dtype in matrices),
                reverse,
                self.even,
            )
            sizes = tuple(self.sizes[letter] for letter in self.lowered.letters)
            kept[key] = choose(self.lowered, spec, sizes, self.batch, self.device)
        kernel: Kernel | None = kept[key]
        if kernel is None:
            raise DoesNotFitError
        return kernel

    def run(self, given: Sequence[Tensor]) -> list[Tensor]:
        """Launch the kernel on a call's tensors; these, and those that were made for it."""
        tensors = self.prepared(given) if self.apart or self.joined else list(given)
        steps = tensors[self.at.x].shape[0]
        for more, width, dtype, zero in self.fresh:
            shape = (self.batch, width) if more is None else (steps + more, self.batch, width)
            make = torch.zeros if zero else torch.empty
            tensors.append(make(shape, dtype=dtype, device=self.device))
        addresses = [t.data_ptr() for t in tensors]
        addresses.append(0)
        meeting = torch.zeros(self.meeting, dtype=torch.uint8, device=self.device) if self.meeting else None
        call = [steps, self.batch, 0, 0 if meeting is None else meeting.data_ptr()]
        call += [addresses[tensor] + offset for tensor, offset in self.words]
        kernels.run(self.kernel, call, self.tiles, self.device)
        return tensors


def _form(t: Tensor) -> Form:
    steps = t.stride()
    pair = (steps[0], steps[1]) if len(steps) == 3 else (0, steps[0] if len(steps) == 2 else 0)
    return Form(t.dtype, pair, not (pair[0] % 2 or pair[1] % 2 or t.data_ptr() % (2 * t.itemsize)))


def _dense(v: Tensor) -> Tensor:
    """A tensor whose last axis is contiguous, whose rows are near enough, and whose memory holds its numbers as they are."""
    if v.is_neg():
        v = v.resolve_neg()
    if v.dim() > 1 and v.shape[-2] * v.stride(-2) >= MOST:
        return v.contiguous()
    return v if v.dim() == 0 or v.shape[-1] == 1 or v.stride(-1) == 1 else v.contiguous()
