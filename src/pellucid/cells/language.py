"""The language that a cell's equations are written in.

An equation is ordinary Python over *values*: ``+ - * /``, ``abs``, comparison, ``@`` for a matrix times a vector,
and the functions below. What a value is, is left open: while a cell is traced it is a node of a graph
(:mod:`pellucid.cells.graph`); in the reference it holds a tensor. So the same lines are the truth that is executed
step by step and the source of everything that is derived from them.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Operand: TypeAlias = "Value | float"


class Value:
    """Anything an equation may compute with; subclasses say what :meth:`apply` does.

    A recurrent weight matrix, and whatever is computed from it, also knows its number of ``heads`` (blocks on the
    diagonal) and the ``operand_mask`` that recurrent dropout lays on what it is multiplied with.
    """

    heads: int = 1
    operand_mask: Value | None = None

    def inherit(self, operands: tuple[Operand, ...]) -> Value:
        """Take over ``heads`` and ``operand_mask`` from the matrix among the operands; return self."""
        for operand in operands:
            if isinstance(operand, Value) and (operand.heads > 1 or operand.operand_mask is not None):
                self.heads, self.operand_mask = operand.heads, operand.operand_mask
        return self

    def apply(self, op: str, *operands: Operand) -> Value:
        """Apply a primitive operation of :data:`pellucid.cells.opcodes.OPCODES` to the operands."""
        raise NotImplementedError

    def __add__(self, other: Operand) -> Value:
        return self.apply("add", self, other)

    def __radd__(self, other: Operand) -> Value:
        return self.apply("add", other, self)

    def __sub__(self, other: Operand) -> Value:
        return self.apply("sub", self, other)

    def __rsub__(self, other: Operand) -> Value:
        return self.apply("sub", other, self)

    def __mul__(self, other: Operand) -> Value:
        return self.apply("mul", self, other)

    def __rmul__(self, other: Operand) -> Value:
        return self.apply("mul", other, self)

    def __truediv__(self, other: Operand) -> Value:
        return self.apply("div", self, other)

    def __rtruediv__(self, other: Operand) -> Value:
        return self.apply("div", other, self)

    def __neg__(self) -> Value:
        return self.apply("neg", self)

    def __abs__(self) -> Value:
        return self.apply("abs", self)

    def __matmul__(self, other: Value) -> Value:
        if self.operand_mask is not None:
            other = other * self.operand_mask
        return self.apply("product", self, other)

    def __gt__(self, other: Operand) -> Value:
        return self.apply("greater", self, other)

    def __lt__(self, other: Operand) -> Value:
        return self.apply("greater", other, self)

    def __ge__(self, other: Operand) -> Value:
        return self.apply("greater_equal", self, other)

    def __le__(self, other: Operand) -> Value:
        return self.apply("greater_equal", other, self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int | float):
            raise TypeError(
                f"an equation cannot ask with `==` or `!=` whether a value is {other}, because the value differs from unit to "
                "unit, and hardly any is just that; compare with > or <, as in select(abs(v - a) < 0.5, b, c)"
            )
        return self is other

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise TypeError(
            "an equation cannot branch on a value with `if`, `and` or `or`, because the value differs from "
            "unit to unit; write select(condition, a, b)"
        )

    def __pow__(self, exponent: object) -> Value:
        raise TypeError(
            "`**` is not in the language of equations; write v * v for a square, sqrt(v) for a root, "
            "exp(a * log(v)) for v to the power a"
        )


def _apply(op: str, *operands: Operand) -> Any:
    for operand in operands:
        if isinstance(operand, Value):
            return operand.apply(op, *operands)
    given = ", ".join(type(operand).__name__ for operand in operands)
    raise TypeError(f"{op} takes values of an equation, and was given only {given}")


def tanh(v: Any) -> Any:
    """Hyperbolic tangent of every unit."""
    return _apply("tanh", v)


def sigmoid(v: Any) -> Any:
    """Logistic function 1 / (1 + exp(-v)) of every unit."""
    return _apply("sigmoid", v)


def relu(v: Any) -> Any:
    """max(v, 0) of every unit; its derivative at 0 is 0."""
    return _apply("relu", v)


def exp(v: Any) -> Any:
    """Exponential of every unit."""
    return _apply("exp", v)


def log(v: Any) -> Any:
    """Natural logarithm of every unit."""
    return _apply("log", v)


def sqrt(v: Any) -> Any:
    """Square root of every unit."""
    return _apply("sqrt", v)


def softplus(v: Any) -> Any:
    """log(1 + exp(v)) of every unit, without overflow."""
    return _apply("softplus", v)


def log_sigmoid(v: Any) -> Any:
    """log(sigmoid(v)) of every unit, without underflow."""
    return -softplus(-1.0 * v)


def erf(v: Any) -> Any:
    """Gauss error function of every unit."""
    return _apply("erf", v)


def sin(v: Any) -> Any:
    """Sine of every unit."""
    return _apply("sin", v)


def cos(v: Any) -> Any:
    """Cosine of every unit."""
    return _apply("cos", v)


def sign(v: Any) -> Any:
    """-1, 0 or 1; its derivative is 0."""
    return _apply("sign", v)


def maximum(a: Any, b: Any) -> Any:
    """The larger of the two, unit by unit; a tie shares its derivative equally."""
    return _apply("maximum", a, b)


def minimum(a: Any, b: Any) -> Any:
    """The smaller of the two, unit by unit; a tie shares its derivative equally."""
    return _apply("minimum", a, b)


def select(condition: Any, a: Any, b: Any) -> Any:
    """``a`` where the condition holds, ``b`` elsewhere; the other side gets no derivative, not even NaN."""
    return _apply("select", condition, a, b)


def mean(v: Any) -> Any:
    """Mean over the units: one number a sequence of the batch."""
    return _apply("mean", v)


def silu(v: Any) -> Any:
    """v * sigmoid(v), also called swish."""
    return v * sigmoid(v)


def layer_norm(v: Any, gain: Any, shift: Any, eps: float = 1e-5) -> Any:
    """gain * (v - mean) / sqrt(variance + eps) + shift over the units (Ba, Kiros and Hinton 2016, eq. 4)."""
    centred = v - mean(v)
    return centred / sqrt(mean(centred * centred) + eps) * gain + shift
