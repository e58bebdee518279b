"""``Cell``: a recurrent cell, declared once as its equations."""

from __future__ import annotations

import functools
import hashlib
import inspect
import linecache
import traceback
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pellucid.cells.declare import Constant, Declaration, Input, Parameter, State, StepInput
from pellucid.cells.language import Value
from pellucid.errors import CellError

if TYPE_CHECKING:
    from pellucid.cells.derivative import Derivative
    from pellucid.cells.sequence import Variant
    from pellucid.cells.tracing import Graph

D = TypeVar("D", bound=Declaration)


def _check(cell: str, name: str, value: object) -> None:
    """A declaration is made, and its name is none that every cell has."""
    if isinstance(value, type) and issubclass(value, Declaration):
        raise CellError(f"{cell}: {name} is {value.__name__}, the class; write {name} = {value.__name__}()")
    if isinstance(value, Declaration) and name in vars(Cell):
        raise CellError(f"{cell} declares {name!r}, and every cell has something of this name; call it otherwise")


class Cell:
    r"""A recurrent cell: declarations, and a method ``step`` with the equations of one time step.

    ``step(self, x, h, ...)`` takes, by name, the declared :class:`Input`, the states and further step inputs, and
    returns the new states in the order in which they are declared. Parameters are reached through ``self``.
    Everything else is derived from it: the reference, the program and its derivative, names, drawing and counts.

    A leaky-integrator unit, :math:`h_t = (1-\alpha)\,h_{t-1} + \alpha\tanh(W x_t + b + U h_{t-1})`::

        class Leaky(Cell):
            x = Input()
            U = Matrix()
            a = Vector(initial=0.0)
            h = State()

            def step(self, x, h):
                alpha = sigmoid(self.a)
                return (1 - alpha) * h + alpha * tanh(x + self.U @ h)

    Declarations stand in the class body, or are assigned in ``__init__`` where they depend on options.

    Attributes:
        sizes: numbers for size letters of the cell's own, besides H and I.

    Raises:
        CellError: on first use, when the declaration is wrong; the message names the cell, the line and the remedy. At once, where
            a declaration has the name of something that every cell has.
    """

    sizes: Mapping[str, int] = types.MappingProxyType({})
    citation: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, value in vars(cls).items():
            _check(cls.__name__, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        _check(type(self).__name__, name, value)
        super().__setattr__(name, value)

    def step(self, *args: Any) -> Any:
        """The equations of one time step."""
        raise CellError(
            f"{type(self).__name__} has no equations: define step(self, x, h, ...) that returns the new states"
        )

    @property
    def name(self) -> str:
        """The class's name, as messages and reports call the cell."""
        return type(self).__name__

    @functools.cached_property
    def declarations(self) -> dict[str, Declaration]:
        """All declarations by name, in the order in which they were written."""
        found: dict[str, Declaration] = {}
        for scope in (*(vars(base) for base in reversed(type(self).__mro__)), vars(self)):
            found.update({name: value for name, value in scope.items() if isinstance(value, Declaration)})
        return found

    def _of_kind(self, kind: type[D]) -> dict[str, D]:
        return {name: value for name, value in self.declarations.items() if isinstance(value, kind)}

    @functools.cached_property
    def states(self) -> dict[str, State]:
        """The states; the first is the output."""
        return self._of_kind(State)

    @functools.cached_property
    def parameters(self) -> dict[str, Parameter]:
        """Matrices and vectors, without the input projection."""
        return self._of_kind(Parameter)

    @functools.cached_property
    def constants(self) -> dict[str, Constant]:
        """Fixed arrays that are given (a constant of None is the number 1)."""
        return {name: value for name, value in self._of_kind(Constant).items() if value.values is not None}

    @functools.cached_property
    def step_inputs(self) -> dict[str, StepInput]:
        """Further inputs of every step."""
        return self._of_kind(StepInput)

    @functools.cached_property
    def of_vectors(self) -> bool:
        """Whether states and products are vectors, for which the engines are made, and no state or side of a matrix is one number."""
        shapes = [p.shape for p in self.parameters.values() if len(p.shape) == 2]
        return not any("1" in axes for axes in (*shapes, *((s.size,) for s in self.states.values())))

    @functools.cached_property
    def input(self) -> tuple[str, Input]:
        """The projected input's name and declaration."""
        inputs = self._of_kind(Input)
        if len(inputs) != 1:
            raise CellError(
                f"{self.name} declares {len(inputs)} projected inputs ({', '.join(inputs) or 'none'}), and a cell "
                'has exactly one: write `x = Input("gate names")`; further inputs are StepInput'
            )
        return next(iter(inputs.items()))

    def size(self, letter: str, hidden_size: int) -> int:
        """The number that a size letter stands for."""
        known = {"H": hidden_size, "1": 1, **self.sizes}
        if letter not in known:
            raise CellError(
                f"{self.name} uses the size {letter!r}, which has no number: known are {', '.join(known)}; "
                f"set self.sizes = {{{letter!r}: ...}} in __init__"
            )
        return known[letter]

    def run_equations(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """Run ``step`` on values by name; return the new states by name."""
        if type(self).step is Cell.step:
            return Cell.step(self)  # type: ignore[no-any-return]  # which says what is missing
        parameters = list(inspect.signature(type(self).step).parameters)[1:]
        missing = [name for name in parameters if name not in values]
        if missing:
            raise CellError(
                f"{self.name}.step takes {missing[0]!r}, which is not declared: add `{missing[0]} = State()` (carried "
                f"from step to step) or `{missing[0]} = StepInput()` (given from outside), or correct the name"
            )
        view = _View(self, values)
        try:
            result = type(self).step(view, *(values[name] for name in parameters))  # type: ignore[arg-type]
        except CellError:
            raise
        except Exception as error:
            raise CellError(f"{_where(self, error)}: {_remedy(self, error)}") from error
        return self._new_states(result)

    def _new_states(self, result: object) -> dict[str, Value]:
        results = tuple(result) if isinstance(result, tuple | list) else (result,)
        names = list(self.states)
        if not names:
            raise CellError(f"{self.name} declares no state: write `h = State()`; without one nothing recurs")
        if len(results) != len(names) or not all(isinstance(v, Value | int | float) for v in results):
            given = "nothing" if result is None else f"{len(results)} value{'s' if len(results) > 1 else ''}"
            raise CellError(
                f"{_last_line(self)}: step returns {given}, and {self.name} has {len(names)} "
                f"state{'s' if len(names) > 1 else ''}, {', '.join(names)}: end it with `return {', '.join(names)}`"
            )
        return dict(zip(names, results, strict=True))

    @functools.cached_property
    def _plain(self) -> Variant:
        """The equations alone, with all their step inputs."""
        from pellucid.cells.sequence import Variant

        return Variant(given=frozenset(self.step_inputs))

    @functools.cached_property
    def _graphs(self) -> dict[Variant, Graph]:
        return {}

    def graph(self, variant: Variant | None = None) -> Graph:
        """The graph of one step (see :mod:`pellucid.cells.tracing`), made once for each variant."""
        variant = variant or self._plain
        if variant not in self._graphs:
            from pellucid.cells.tracing import trace

            self._graphs[variant] = trace(self, variant)
        return self._graphs[variant]

    @functools.cached_property
    def _derivatives(self) -> dict[Variant, Derivative]:
        return {}

    def derivative(self, variant: Variant | None = None) -> Derivative:
        """The step's program and its derivative (see :mod:`pellucid.cells.derivative`), made once a variant."""
        variant = variant or self._plain
        if variant not in self._derivatives:
            from pellucid.cells.derivative import differentiate

            self._derivatives[variant] = differentiate(self.graph(variant))
        return self._derivatives[variant]

    @functools.cached_property
    def key(self) -> str:
        """The class's name and a digest of equations, declarations and sizes: the same for cells that compute the same."""
        from pellucid.cells.graph import ancestors
        from pellucid.cells.sequence import Variant

        nodes = ancestors(self.graph(Variant(given=frozenset(self.step_inputs))).after.values())
        lines = [f"{n.index} {n.op} {n.key} {n.shape} {n.heads} {[a.index for a in n.args]}" for n in nodes]
        # Parts lie in their order; what states start from, and where recurrent dropout acts, no equation says.
        lines += [
            f"{name} {type(d).__name__} {d.parts} {getattr(d, 'recurrent', '')} {d.initial if isinstance(d, State) else ''}"
            for name, d in self.declarations.items()
        ]
        lines += [f"{name} {size}" for name, size in self.sizes.items()]
        return f"{self.name}-{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()[:16]}"

    def parameters_count(self, input_size: int, hidden_size: int, *, bias: bool = True) -> int:
        """Learnable numbers of one layer: the input projection and all that the cell declares."""
        from pellucid.cells import counts

        return counts.parameters(self, input_size, hidden_size, bias=bias)

    def macs(self, input_size: int, hidden_size: int) -> int:
        """Multiply-adds of the matrix products in one time step of one sequence (pointwise work not counted)."""
        from pellucid.cells import counts

        return counts.macs(self, input_size, hidden_size)

    def latex(self) -> str:
        """The equations as a LaTeX ``align`` environment, one line for each name."""
        from pellucid.cells.latex import latex

        return latex(self)

    def diagram(self) -> str:
        """The structure drawing of one step as SVG text."""
        from pellucid.cells.diagram import diagram

        return diagram(self).svg

    def __getstate__(self) -> dict[str, Any]:
        """Options and declarations only: what is derived is derived anew after a copy."""
        return {
            k: v for k, v in vars(self).items() if not isinstance(getattr(Cell, k, None), functools.cached_property)
        }


class Parts:
    """The parts of one declaration inside ``step``: ``self.U.i``, ``x.i``."""

    def __init__(self, cell: Cell, declared: str, parts: Mapping[str, Value]) -> None:
        self._cell = cell
        self._declared = declared
        self._parts = parts

    def __getattr__(self, part: str) -> Value:
        try:
            return self._parts[part]
        except KeyError:
            declared = ", ".join(self._parts)
            raise AttributeError(
                f"{self._declared} has no part {part!r}: it is declared with {declared}; add {part!r} there or correct "
                "the name"
            ) from None

    def all(self) -> tuple[Value, ...]:
        """The parts' values, in order."""
        return tuple(self._parts.values())

    def __matmul__(self, other: object) -> Value:
        raise TypeError(
            f"{self._declared} has the parts {', '.join(self._parts)}; name the one that is meant: "
            f"`self.{self._declared}.{next(iter(self._parts))} @ ...`"
        )


class _View:
    """The cell as ``step`` sees it: declared names are values, everything else is the cell's own."""

    def __init__(self, cell: Cell, values: Mapping[str, Any]) -> None:
        self._cell = cell
        self._values = values

    def __getattr__(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        method = getattr(type(self._cell), name, None)
        if isinstance(method, types.FunctionType):
            return types.MethodType(method, self)
        try:
            return getattr(self._cell, name)
        except AttributeError:
            declared = ", ".join(self._cell.parameters) or "nothing yet"
            raise AttributeError(
                f"self.{name} is not declared (parameters are {declared}): add `{name} = Matrix(...)` or "
                f"`{name} = Vector(...)` to the cell, or correct the name"
            ) from None


def _where(cell: Cell, error: BaseException) -> str:
    """``GRU.step, line 23 (`n = tanh(...)`)``: the line of the equations that an exception came from."""
    methods = [m for base in type(cell).__mro__ if base is not Cell for m in vars(base).values()]
    own = {m.__code__ for m in methods if isinstance(m, types.FunctionType)}
    frames = [(f.f_code, line) for f, line in traceback.walk_tb(error.__traceback__) if f.f_code in own]
    first = type(cell).step.__code__
    code, line = frames[-1] if frames else (first, first.co_firstlineno)
    return _location(cell, code.co_filename, line)


def _last_line(cell: Cell) -> str:
    code = type(cell).step.__code__
    lines = [line for _, _, line in code.co_lines() if line is not None]
    return _location(cell, code.co_filename, max(lines))


def _location(cell: Cell, path: str, line: int) -> str:
    text = linecache.getline(path, line).strip()
    return f"{cell.name}.step, line {line}" + (f" (`{text}`)" if text else "")


def _remedy(cell: Cell, error: Exception) -> str:
    if isinstance(error, NameError) and error.name:
        known = [*cell.declarations]
        hint = f"self.{error.name}" if error.name in known else "a name assigned on an earlier line"
        return f"the name {error.name!r} is not defined; use {hint}, or declare it"
    if isinstance(error, TypeError) and "super(type, obj)" in str(error):
        base = type(cell).__mro__[1].__name__
        return (
            f"equations are run on values and not on the cell, so super() finds nothing; write {base}.step(self, ...)"
        )
    return str(error) or type(error).__name__
