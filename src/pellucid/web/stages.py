"""The feature maps of a network in the order in which they came about, and how each follows from those before it.

A layer hands over its maps to the trace. What it was given is either the map of a stage before it, or something that the model
made of such maps by itself, between layers: then torch's graph tells of which, and whether position by position.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pellucid import nn as layers
from pellucid.errors import ArgumentError
from pellucid.geometry import Field, Window
from pellucid.geometry.layers import Conv, Effect, Pool
from pellucid.ops.windows import padding_pairs, per_axis
from pellucid.web.opened import Opened
from pellucid.web.passes import Pass

Kind = Literal["input", "between", "convolution", "activation", "normalisation", "pooling"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_ADAPTIVE = (
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
)  # fmt: skip
_NORMALISATIONS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
)  # in evaluation a factor and a shift for each channel
_ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh,
    nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.LogSigmoid, nn.Threshold,
)  # fmt: skip
# Operators whose result at a position depends on that position alone, as torch's graph names them.
_BY_POSITION = {
    "Abs", "Add", "Alias", "Clamp", "ClampMax", "ClampMin", "Clone", "Div", "Dropout", "Elu", "Exp", "Gelu",
    "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyRelu", "Log", "LogSigmoid", "MaskedFill", "Maximum", "Minimum",
    "Mish", "Mul", "NativeBatchNorm", "NativeDropout", "Neg", "Pow", "Prelu", "Relu", "Sigmoid", "Silu", "Softplus",
    "Sqrt", "Sub", "Tanh", "Threshold", "ToCopy", "Where",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Stage:
    """Maps of a network.

    Attributes:
        name: as in the trace; ``"input"`` of the first, and ``"path.given"`` of what no layer made.
        kind: what made it.
        path, layer: of what made it, or of the layer that it is given to.
        tensor: (1, C, L), (1, C, H, W) or (1, C, D, H, W), with its graph.
        sources: the numbers of the stages that it follows from, in each of whose maps positions are known; None where nobody
            knows, and empty of the first.
        effect: of a window that slides over its only source.
        sees: by the number of an earlier stage, the field of a position in it, an axis each.
        operators: between layers, those of torch that made it from its sources, the last first.
    """

    name: str
    kind: Kind
    path: str
    layer: nn.Module | None
    tensor: Tensor
    sources: tuple[int, ...] | None = ()
    effect: Effect | None = None
    sees: dict[int, tuple[Field, ...]] = field(default_factory=dict)
    operators: tuple[str, ...] = ()

    @property
    def values(self) -> Tensor:
        """(C, D, H, W), without a graph; of an image D is 1, of a sequence H, too."""
        return as_volume(self.tensor.detach()[0])

    @cached_property
    def span(self) -> tuple[float, float]:
        """The range of colours of all its maps."""
        return self.span_of(self.tensor)

    def span_of(self, maps: Tensor) -> tuple[float, float]:
        """The range of colours of some of its maps: :func:`span`, or of a picture that is the input its darkest and brightest."""
        if self.kind == "input" and len(self.sizes) > 1:
            low, high = (float(end) for end in torch.aminmax(maps.detach()))
            return (low, high) if low < high else span(maps)
        return span(maps)

    @property
    def sizes(self) -> tuple[int, ...]:
        """(L,), (H, W) or (D, H, W)."""
        return tuple(self.tensor.shape[2:])


def span(values: Tensor) -> tuple[float, float]:
    """The range of colours: from 0 where nothing is below it, and otherwise with 0 in the middle."""
    low, high = (float(end) for end in torch.aminmax(values.detach()))
    if not math.isfinite(low + high):
        low, high = (float(end) for end in torch.aminmax(values.detach().float().nan_to_num()))
    most = max(-low, high)
    return (-most, most) if low < 0 else (0.0, high or 1.0)


def as_volume(maps: Tensor) -> Tensor:
    """(C, D, H, W) of (C, L), (C, H, W) or (C, D, H, W): axes that are not there are 1."""
    return maps.reshape(len(maps), *(1,) * (4 - maps.dim()), *maps.shape[1:])


def stages_of(opened: Opened, network: str, item: int) -> list[Stage]:
    """The stages of a network on an item.

    Raises:
        ArgumentError: there is no such network or item, or it has no convolution or pooling.
    """
    done = opened.seen(network, item)
    if "stages" not in done.derived:
        done.derived["stages"] = _stages(done, opened.network(network).model)
    found: list[Stage] = done.derived["stages"]
    if not found:
        raise ArgumentError(f"{network} has no convolution or pooling that could be shown")
    return found


def _stages(done: Pass, model: nn.Module) -> list[Stage]:
    paths = {module: path for path, module in model.named_modules()}
    found: list[Stage] = []
    ran: Counter[nn.Module] = Counter()
    for one in done.ran:
        layer, given = one.layer, next((arg for arg in one.given[0] if isinstance(arg, Tensor)), None)
        if given is None:
            continue
        ran[layer] += 1
        for value, kind in _values(layer):
            name = f"{paths[layer]}.{value}" if paths[layer] else value
            calls = done.seen.calls(name) if name in done.seen else []
            if ran[layer] > len(calls) or calls[ran[layer] - 1].values.dim() not in (3, 4, 5):
                break
            tensor, run = calls[ran[layer] - 1].values, "" if len(calls) == 1 else f" ({ran[layer]})"
            inside = value in ("act", "pool")  # a block's own maps follow each other
            source = len(found) - 1 if inside else _source(found, paths[layer] + run, layer, kind, given)
            if source is None:
                break
            found.append(_made(found, Stage(name + run, kind, paths[layer], layer, tensor, (source,))))
    return found


def named(stages: Sequence[Stage], name: str) -> int:
    """The number of a stage.

    Raises:
        ArgumentError: there is none of this name.
    """
    for number, stage in enumerate(stages):
        if stage.name == name:
            return number
    raise ArgumentError(f"there is no stage {name!r}; there are {', '.join(stage.name for stage in stages)}")


def geometry_of(layer: nn.Module, kind: Kind, shape: tuple[int, ...], **changes: Any) -> Conv | Pool | None:
    """A layer's window as :mod:`pellucid.geometry` has it.

    Args:
        layer: a convolution, a pooling, or a block.
        kind: of a block, whether its convolution or its pooling.
        shape: (C, L), (C, H, W) or (C, D, H, W), what it is given.
        **changes: kernel, stride, dilation or padding that it has not, as the layer's own class takes them.

    Returns:
        None where its windows are not all of one size.

    Raises:
        SizeError: changes that cannot be.
    """
    axes = len(shape) - 1
    if kind == "convolution":
        assert isinstance(layer, layers.ConvBlock | nn.Conv1d | nn.Conv2d | nn.Conv3d)
        own: dict[str, Any] = {
            "kernel": layer.kernel_size,
            "stride": layer.stride,
            "dilation": layer.dilation,
            "padding": layer.padding,
        } | changes
        return Conv(**_read(own, axes), filters=layer.out_channels, groups=layer.groups, bias=layer.bias is not None)
    pooling = pooling_of(layer, shape)
    if pooling is None:
        return None
    own = {name: getattr(pooling, name) for name in ("kernel", "stride", "dilation", "padding")} | changes
    return Pool(**_read(own, axes), ceil=pooling.ceil)


@dataclass(frozen=True)
class Pooling:
    """A pooling, whatever layer has it; the attributes are those of MaxPool2d and AvgPool2d."""

    kind: Literal["max", "avg"]
    kernel: Any
    stride: Any
    padding: Any = 0
    dilation: Any = 1
    ceil: bool = False
    count_include_pad: bool = True
    divisor: int | None = None
    value: float | None = None


def pooling_of(layer: nn.Module, shape: tuple[int, ...]) -> Pooling | None:
    """The pooling of a layer or a block on maps of such a shape; None where its windows are not all of one size."""
    kind: Literal["max", "avg"] = "max" if "Max" in type(layer).__name__ else "avg"
    if isinstance(layer, layers.ConvBlock):
        kind = "max" if layer.pool == "max" else "avg"
        return Pooling(kind, layer.pool_size, layer.pool_stride, layer.pool_padding)
    if isinstance(layer, _ADAPTIVE):
        wanted = layer.output_size if isinstance(layer.output_size, tuple) else (layer.output_size,) * (len(shape) - 1)
        sizes = [size if out is None else out for out, size in zip(wanted, shape[1:], strict=True)]
        if any(size % out for out, size in zip(sizes, shape[1:], strict=True)):
            return None
        kernel = tuple(size // out for out, size in zip(sizes, shape[1:], strict=True))
        return Pooling(kind, kernel, kernel)
    assert isinstance(layer, _POOLS)
    return Pooling(
        kind,
        layer.kernel_size,
        layer.stride or layer.kernel_size,
        layer.padding,
        getattr(layer, "dilation", 1),
        layer.ceil_mode,
        getattr(layer, "count_include_pad", True),
        getattr(layer, "divisor_override", None),
        getattr(layer, "padding_value", None),
    )


def _read(given: dict[str, Any], axes: int) -> dict[str, Any]:
    """As geometry takes them: an int an axis, and padding by its name or a pair an axis."""
    read: dict[str, Any] = {
        name: per_axis(name, name, given[name], axes, least=1) for name in ("kernel", "stride", "dilation")
    }
    return read | {"padding": padding_pairs("padding", given["padding"], axes)}


def _values(layer: nn.Module) -> list[tuple[str, Kind]]:
    """The feature maps that a layer hands over; none of another kind of layer."""
    if isinstance(layer, layers.ConvBlock):
        steps: list[tuple[str, Kind, bool]] = [
            ("map", "convolution", True),
            ("act", "activation", layer.activation is not None),
            ("pool", "pooling", layer.pool is not None),
        ]
        return [(value, kind) for value, kind, there in steps if there]
    if isinstance(layer, _CONVOLUTIONS):
        return [("out", "convolution")]
    if isinstance(layer, _POOLS + _ADAPTIVE):
        return [("out", "pooling")]
    if isinstance(layer, _NORMALISATIONS):
        return [("out", "normalisation")]
    return [("out", "activation")] if isinstance(layer, _ACTIVATIONS) else []


def _made(found: Sequence[Stage], stage: Stage) -> Stage:
    """A stage with its window, and what it sees: nothing where positions do not follow from those of its source."""
    if stage.sources and stage.layer is not None and stage.kind in ("convolution", "pooling"):
        shape = tuple(found[stage.sources[0]].tensor.shape[1:])
        geometry = geometry_of(stage.layer, stage.kind, shape)
        effect = None if geometry is None else geometry.effect(shape, stage.path)
        stage = dataclasses.replace(stage, effect=effect, sources=stage.sources if effect else None)
    return dataclasses.replace(stage, sees=_sees(stage, found))


def _source(found: list[Stage], path: str, layer: nn.Module, kind: Kind, given: Tensor) -> int | None:
    """The stage that a layer was given, added where no layer made it; None where what it is given is no feature map."""
    for number in reversed(range(len(found))):
        if found[number].tensor is given or (
            given.grad_fn is not None and found[number].tensor.grad_fn is given.grad_fn
        ):
            return number
    if given.dim() not in (3, 4, 5) or len(given) != 1 or (not found and kind in ("activation", "normalisation")):
        return None
    if not found:
        found.append(Stage("input", "input", path, layer, given))
        return 0
    made = _function(f"{path}.given" if path else "given", path, given, found)
    if made.sources is None and kind in ("activation", "normalisation"):
        return None  # of features behind the maps, such as those of a linear layer
    found.append(made)
    return len(found) - 1


def _function(name: str, path: str, tensor: Tensor, found: list[Stage]) -> Stage:
    """The stage of maps that no layer made; pooling that was called as a function becomes that of the layer of its name."""
    node = tensor.grad_fn
    layer = _called(node)
    if layer is not None:
        inner = node._saved_self  # type: ignore[union-attr]  # which such a node has
        number = next((n for n, stage in enumerate(found) if stage.tensor.grad_fn is inner.grad_fn), len(found))
        if number == len(found):
            found.append(_function(f"{name}.before", path, inner, found))
            number = len(found) - 1  # more than one where it has such a stage before itself
        return _made(found, Stage(name, "pooling", path, layer, tensor, (number,)))
    sources, operators = _by_position(tensor, found)
    return _made(found, Stage(name, "between", path, None, tensor, sources, operators=operators))


def _called(node: Any) -> nn.Module | None:
    """The layer that a function of torch's graph is; None of those that are no pooling."""
    name = node.name() if node is not None else ""
    if name.startswith(("MaxPool2DWithIndicesBackward", "MaxPool3DWithIndicesBackward")):
        return (nn.MaxPool2d if "2D" in name else nn.MaxPool3d)(
            node._saved_kernel_size,
            node._saved_stride or None,
            node._saved_padding,
            node._saved_dilation,
            ceil_mode=node._saved_ceil_mode,
        )
    if name.startswith(("AvgPool2DBackward", "AvgPool3DBackward")):
        return (nn.AvgPool2d if "2D" in name else nn.AvgPool3d)(
            node._saved_kernel_size,
            node._saved_stride or None,
            node._saved_padding,
            node._saved_ceil_mode,
            node._saved_count_include_pad,
            node._saved_divisor_override,
        )
    return None


def _by_position(given: Tensor, found: list[Stage]) -> tuple[tuple[int, ...] | None, tuple[str, ...]]:
    """The stages that a tensor follows from position by position, and by which operators, the last first.

    No stages are known where it also follows from something else, or otherwise.
    """
    made_by: dict[object, int] = {stage.tensor.grad_fn: n for n, stage in enumerate(found) if stage.tensor.grad_fn}
    leaves = {id(stage.tensor): n for n, stage in enumerate(found) if stage.tensor.grad_fn is None}
    sources: set[int] = set()
    operators: list[str] = []
    visited: set[object] = set()
    open_: list[Any] = [given.grad_fn]
    while open_:
        node = open_.pop(0)
        if node is None or node in visited:
            continue
        visited.add(node)
        operator = node.name().partition("Backward")[0]
        if node in made_by:
            sources.add(made_by[node])
        elif hasattr(node, "variable"):  # a leaf: a stage, a parameter, or what is known of no stage
            if id(node.variable) in leaves:
                sources.add(leaves[id(node.variable)])
            elif not isinstance(node.variable, nn.Parameter):
                return None, ()
        elif operator in _BY_POSITION or _joins_channels(node):
            operators.append(operator)
            open_ += [following for following, _ in node.next_functions]
        else:
            return None, ()
    same = all(found[number].tensor.shape[2:] == given.shape[2:] for number in sources)
    return (tuple(sorted(sources)), tuple(operators)) if sources and same else (None, ())


def _joins_channels(node: Any) -> bool:
    return bool(node.name().startswith("CatBackward") and node._saved_dim == 1)


def _sees(stage: Stage, found: Sequence[Stage]) -> dict[int, tuple[Field, ...]]:
    """What a position sees of each earlier stage, as far as it can be followed."""
    windows = stage.effect.windows if stage.effect is not None else ()
    sees: dict[int, tuple[Field, ...]] = {}
    for source in stage.sources or ():
        axes = len(found[source].sizes)
        for number, fields in [(source, (Field(),) * axes), *found[source].sees.items()]:
            own = tuple(_after(f, w) for f, w in zip(fields, windows, strict=True)) if windows else fields
            sees[number] = tuple(map(_both, sees[number], own)) if number in sees else own
    return sees


def _after(before: Field, window: Window) -> Field:
    after = before.after(Effect((), windows=(window,)))
    assert after is not None
    return after


def _both(a: Field, b: Field) -> Field:
    """All that two ways to an input see; their steps are equal, since they meet in maps of one size."""
    assert a.size is not None
    assert b.size is not None  # windows alone lead here
    first = min(a.start - (a.size - 1) / 2, b.start - (b.size - 1) / 2)
    last = max(a.start + (a.size - 1) / 2, b.start + (b.size - 1) / 2)
    return Field(int(last - first) + 1, a.jump, (first + last) / 2)
