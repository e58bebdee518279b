"""A cell's equations as LaTeX, one line for each name, read off the graph."""

from __future__ import annotations

from pellucid.cells import patterns
from pellucid.cells.cell import Cell
from pellucid.cells.graph import Node
from pellucid.cells.opcodes import OPCODES

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ",
    "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ",
    "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω",
}  # fmt: skip
# How tightly an operation binds; what binds less is put in parentheses inside what binds more.
_SUM, _PRODUCT, _ATOM = 1, 2, 3
_BINDS = {"add": _SUM, "sub": _SUM, "neg": _SUM, "mul": _PRODUCT, "greater": 0, "greater_equal": 0}


def latex(cell: Cell) -> str:
    """The equations as an ``align`` environment.

    W and b^x are the input's weights and bias; every other parameter goes by its declared name, with its part below.
    """
    writer = Writer()
    lines = [f"{writer.name(name, node)} &= {writer.value(name, node)}" for name, node in cell.graph().named.items()]
    return "\\begin{align}\n" + " \\\\\n".join(lines) + "\n\\end{align}"


class Writer:
    """Writes the values of a graph; a subclass writes them in another notation.

    Attributes:
        templates: by operation, with {0}, {1}, ... for what it is applied to; further ones of what several nodes make up.
        before: the time of a state before the step.
        space: between the words of a name.
    """

    templates = {name: opcode.latex for name, opcode in OPCODES.items()} | {
        "scale": r"{0}\,{1}",
        "layer_norm": r"\operatorname{{LN}}({0};\, {1}, {2})",
        "mean": r"\operatorname{{mean}}({0})",
        "log_sigmoid": r"\log \sigma({0})",
        "sum": r"\sum {0}",
    }
    before = "t-1"
    space = r"\,"

    def word(self, word: str) -> str:
        """A letter, a Greek letter or upright text."""
        return (
            f"\\{word}" if word in GREEK.keys() | {"log", "exp"} else word if len(word) == 1 else f"\\mathrm{{{word}}}"
        )

    def letters(self, name: str) -> str:
        """A name; ``log_i`` is two words."""
        return self.space.join(self.word(word) for word in name.split("_") if word)

    def symbol(self, node: Node) -> str:
        """A name: with its time where it varies."""
        return self.letters(node.name) + ("_t" if node.varies else "")

    def name(self, name: str, node: Node) -> str:
        """What the equations call a value, which may be another's, too: a state that takes over what is there."""
        return self.letters(name) + ("_t" if node.varies else "")

    def value(self, name: str, node: Node) -> str:
        """What stands behind the name."""
        return self.equation(node) if node.is_leaf or node.name == name else self.symbol(node)

    def stands(self, node: Node) -> bool:
        """Whether a value is written as its name."""
        return bool(node.name)

    def equation(self, node: Node) -> str:
        """What a value is computed from; names stand for themselves."""
        return self._write(node, top=True)[0]

    def _leaf(self, node: Node) -> tuple[str, int]:
        match node.op:
            case "number":
                return f"{node.key:g}", _ATOM
            case "projection":
                part = f"_{{{node.key}}}" if node.key else ""
                return f"W{part} x_t + b^x{part}", _SUM
            case "state":
                return f"{self.letters(node.key)}_{{{self.before}}}", _ATOM
            case "parameter" | "constant":
                name, part = node.key
                return self.letters(name) + (f"_{{{part}}}" if part else ""), _ATOM
            case _:
                return f"{self.letters(str(node.key))}_t", _ATOM

    def _write(self, node: Node, *, top: bool = False) -> tuple[str, int]:
        """An expression, and how tightly it binds; names stand for themselves except on the line that defines them."""
        if self.stands(node) and not top:
            return self.symbol(node), _ATOM
        if node.is_leaf:
            return self._leaf(node)
        if normalised := patterns.layer_norm(node):
            return self.templates["layer_norm"].format(*(self._write(n)[0] for n in normalised)), _ATOM
        if (averaged := patterns.mean(node)) is not None:
            return self.templates["mean"].format(self._write(averaged)[0]), _ATOM
        if (v := patterns.log_sigmoid(node)) is not None:
            return self.templates["log_sigmoid"].format(self._write(v)[0]), _PRODUCT
        if node.op == "sum":
            return self.templates["sum"].format(self._inside(node.args[0], _PRODUCT)), _PRODUCT
        if node.op == "product":
            matrix, vector = (self._inside(arg, _ATOM) for arg in node.args)
            return f"{matrix} {vector}", _PRODUCT
        binds = _BINDS.get(node.op, _ATOM)
        parts = []
        for place, arg in enumerate(node.args):
            # The right side of a minus needs parentheses around a sum, the left side does not.
            least = binds + (place > 0 and node.op == "sub") + (node.op == "neg")
            parts.append(self._inside(arg, least) if binds < _ATOM else self._write(arg)[0])
        scales = node.op == "mul" and any(arg.op == "number" for arg in node.args)
        return self.templates["scale" if scales else node.op].format(*parts), binds

    def _inside(self, node: Node, least: int) -> str:
        text, binds = self._write(node)
        return text if binds >= least else f"({text})"
