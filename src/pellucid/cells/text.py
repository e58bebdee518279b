"""A value's equation as plain text, and its numbers in it: what is written beside a drawing.

``_{...}`` is below the line and ``^{...}`` above it.
"""

from __future__ import annotations

import string
from collections.abc import Collection

from pellucid.cells.elements import function
from pellucid.cells.graph import Node
from pellucid.cells.latex import GREEK, Writer

Pieces = list[str | Node]


class Text(Writer):
    """Writes equations with letters and signs alone.

    Args:
        drawn: the values that are drawn: names of others, which are inside what is drawn, are written out.
    """

    templates = {
        "add": "{0} + {1}",
        "sub": "{0} − {1}",
        "mul": "{0} × {1}",
        "scale": "{0} × {1}",
        "div": "{0} / {1}",
        "neg": "−{0}",
        "abs": "|{0}|",
        "sigmoid": "σ({0})",
        "sqrt": "√({0})",
        "select": "({1} if {0} else {2})",
        "greater": "{0} > {1}",
        "greater_equal": "{0} ≥ {1}",
        "maximum": "max({0}, {1})",
        "minimum": "min({0}, {1})",
        "layer_norm": "LN({0})",
        "mean": "mean({0})",
        "log_sigmoid": "log σ({0})",
        "sum": "Σ {0}",
    } | {name: name + "({0})" for name in ("exp", "log", "tanh", "relu", "softplus", "erf", "sin", "cos", "sign")}
    before = "t−1"
    space = " "

    def __init__(self, drawn: Collection[Node]) -> None:
        self.drawn = drawn

    def stands(self, node: Node) -> bool:
        """Whether a value is written as its name."""
        return bool(node.name) and (node in self.drawn or not node.varies)

    def called(self, node: Node) -> str:
        """A value's name with its time, a leaf as it is written; its equation where it has no name."""
        return self.symbol(node) if node.name else self.equation(node)

    def filled(self, node: Node) -> list[Pieces]:
        """The equation with numbers in it, in lines that each come nearer to the result: text, and nodes for their numbers."""
        if node.is_leaf or node.op in ("product", "sum"):  # given, or made of many numbers
            return []
        head, inside = function(node)
        if inside is not None:
            terms = self._terms(inside)
            before, after = ("|", "|") if node.op == "abs" else (f"{head}(", ")")
            last: Pieces = [before, inside, after]
            return [[before, *_sum(terms), after], last] if len(terms) > 1 else [last]
        if node.op not in ("add", "sub", "neg"):
            return [_operation(node)]
        terms = self._terms(node, top=True)
        if len(terms) > 1 and any(_is_product(term) for term, _ in terms):
            return [_sum(terms, products=True), _sum(terms)]
        return [_sum(terms)]

    def _terms(self, node: Node, sign: int = 1, *, top: bool = False) -> list[tuple[Node, int]]:
        """The terms of a sum; what is drawn on its own is one."""
        alone = node.op not in ("add", "sub", "neg") or function(node)[1] is not None
        if alone or (self.stands(node) and not top):
            return [(node, sign)]
        found = []
        for place, arg in enumerate(node.args):
            minus = node.op == "neg" or (node.op == "sub" and place == 1)
            found += self._terms(arg, -sign if minus else sign)
        return found

    def word(self, word: str) -> str:
        """A Greek letter, or as it is."""
        return GREEK.get(word, word)


def _sum(terms: list[tuple[Node, int]], *, products: bool = False) -> Pieces:
    pieces: Pieces = []
    for number, (term, sign) in enumerate(terms):
        if number or sign < 0:
            pieces.append((" + " if sign > 0 else " − ") if number else "−")
        pieces += _operation(term) if products and _is_product(term) else [_piece(term)]
    return pieces


def _is_product(node: Node) -> bool:
    return node.op == "mul" and not node.name


def _operation(node: Node) -> Pieces:
    pieces: Pieces = []
    for text, field, _, _ in string.Formatter().parse(Text.templates[node.op]):
        pieces += [text] if text else []
        pieces += [] if field is None else [_piece(node.args[int(field)])]
    return pieces


def _piece(node: Node) -> str | Node:
    return f"{node.key:g}" if node.op == "number" else node
