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
    lines = [f"{_symbol(node)} &= {_write(node, top=True)[0]}" for node in cell.graph().named.values()]
    return "\\begin{align}\n" + " \\\\\n".join(lines) + "\n\\end{align}"


def _symbol(node: Node) -> str:
    """A name: with its time where it varies."""
    return _letters(node.name) + ("_t" if node.varies else "")


def _letters(name: str) -> str:
    """``log_i`` is two words, and every word is a letter, a Greek letter or upright text."""
    known = GREEK.keys() | {"log", "exp"}
    words = [f"\\{w}" if w in known else w if len(w) == 1 else f"\\mathrm{{{w}}}" for w in name.split("_") if w]
    return r"\,".join(words)


def _leaf(node: Node) -> tuple[str, int]:
    match node.op:
        case "number":
            return f"{node.key:g}", _ATOM
        case "projection":
            part = f"_{{{node.key}}}" if node.key else ""
            return f"W{part} x_t + b^x{part}", _SUM
        case "state":
            return f"{_letters(node.key)}_{{t-1}}", _ATOM
        case "parameter" | "constant":
            name, part = node.key
            return _letters(name) + (f"_{{{part}}}" if part else ""), _ATOM
        case _:
            return f"{_letters(str(node.key))}_t", _ATOM


def _write(node: Node, *, top: bool = False) -> tuple[str, int]:
    """An expression, and how tightly it binds; names stand for themselves except on the line that defines them."""
    if node.name and not top:
        return _symbol(node), _ATOM
    if node.is_leaf:
        return _leaf(node)
    if normalised := patterns.layer_norm(node):
        inner, gain, shift = (_write(n)[0] for n in normalised)
        return f"\\operatorname{{LN}}({inner};\\, {gain}, {shift})", _ATOM
    if (averaged := patterns.mean(node)) is not None:
        return f"\\operatorname{{mean}}({_write(averaged)[0]})", _ATOM
    if (v := patterns.log_sigmoid(node)) is not None:
        return f"\\log \\sigma({_write(v)[0]})", _PRODUCT
    if node.op == "sum":
        return f"\\sum {_inside(node.args[0], _PRODUCT)}", _PRODUCT
    if node.op == "product":
        matrix, vector = (_inside(arg, _ATOM) for arg in node.args)
        return f"{matrix} {vector}", _PRODUCT
    binds = _BINDS.get(node.op, _ATOM)
    parts = []
    for place, arg in enumerate(node.args):
        # The right side of a minus needs parentheses around a sum, the left side does not.
        least = binds + (place > 0 and node.op == "sub") + (node.op == "neg")
        parts.append(_inside(arg, least) if binds < _ATOM else _write(arg)[0])
    template = OPCODES[node.op].latex
    if node.op == "mul" and any(arg.op == "number" for arg in node.args):
        template = r"{0}\,{1}"
    return template.format(*parts), binds


def _inside(node: Node, least: int) -> str:
    text, binds = _write(node)
    return text if binds >= least else f"({text})"
