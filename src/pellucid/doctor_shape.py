"""``pellucid doctor --shape``: what computes the convolutions of a chain of layers, and why."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict, dataclass

from pellucid.errors import ArgumentError
from pellucid.geometry.layers import Conv, ConvTranspose, Pool
from pellucid.geometry.notation import parse
from pellucid.geometry.stack import written
from pellucid.ops.choice import choose, minimal

PLAIN = ("relu", "tanh", "sigmoid", "gelu")  # what a block's activation can be, in the notation of chains


@dataclass(frozen=True)
class Decision:
    """What computes one convolution of one item (a batch of one), in float32 on the processor.

    Attributes:
        layers: the convolution, and what is in the same sweep as one ConvBlock.
        map: the convolution's feature map, as H x W x C.
        forward, training: what computes it without gradients and with them.
        why_forward, why_training: in words.
    """

    layers: str
    map: str
    forward: str
    why_forward: str
    training: str
    why_training: str


def decide(text: str) -> list[Decision]:
    """What is chosen for each convolution of a chain such as ``28x28x1 | conv 3 16 p1 | relu | pool 2``.

    Raises:
        ArgumentError: a word that is not understood, or no convolution in the chain.
        SizeError: layers that do not fit.
    """
    stack = parse(text)
    stack.rows()  # says which layer does not fit
    shape, found = stack.shape, []
    for place, (name, layer) in enumerate(stack.layers):
        effect = layer.effect(shape, name)
        before, shape = shape, effect.output
        if not isinstance(layer, Conv) or isinstance(layer, ConvTranspose):
            continue
        block, pooled = [name], False
        for following, after in stack.layers[place + 1 :]:
            if after.name in PLAIN and len(block) == 1:
                block.append(following)
            elif isinstance(after, Pool):
                block.append(following)
                pooled = True
                break
            else:
                break
        block = block if pooled else block[:1]
        sizes = (shape[1:], before[0] // layer.groups, layer.groups)
        by_points = minimal(effect.windows, sizes[1], layer.filters // layer.groups)
        modes = [
            choose(*sizes, work=effect.macs, pooled=pooled, training=training, minimal=by_points)
            for training in (False, True)
        ]
        said = [("native engine" if mode.native else "torch's kernel", mode.why) for mode in modes]
        found.append(Decision(" | ".join(block), written(shape), *said[0], *said[1]))
    if not found:
        raise ArgumentError(
            f"--shape {text!r} has no convolution, and the choice between the engine and torch's kernel is one of "
            "convolutions; give a chain such as '28x28x1 | conv 3 16 p1 | relu | pool 2'"
        )
    return found


def told(decisions: list[Decision], *, as_json: bool) -> str:
    """For a person in 80 columns, or for a program."""
    if as_json:
        return json.dumps([asdict(decision) for decision in decisions], indent=1)
    lines = [
        "What computes each convolution of one item, in float32 on the processor. One",
        "that a pooling follows is taken as the ConvBlock that pellucid.fuse makes of",
        "them.",
    ]
    for d in decisions:
        lines += ["", f"{d.layers}, map {d.map}"]
        for mode, path, why in (("forward", d.forward, d.why_forward), ("training", d.training, d.why_training)):
            lines += textwrap.wrap(f"{path}: {why}", 80, initial_indent=f"  {mode:<10}", subsequent_indent=" " * 12)
    return "\n".join(lines)
