"""``explain(model, input_shape)``: the size table of a real model."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import SizeError
from pellucid.geometry.axis import Window, causal_padding, same_padding, too_small
from pellucid.geometry.layers import Effect
from pellucid.geometry.stack import Field, Row, written
from pellucid.geometry.table import table
from pellucid.nn import ConvBlock
from pellucid.nn import Recurrent as OurRecurrent

_Pools = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_Convs = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Explanation:
    """A model's rows; ``str()`` of it is the table."""

    rows: list[Row]
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return table(self.rows, written(self.shape), math.prod(self.shape))

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def explain(model: nn.Module, input_shape: tuple[int, ...]) -> Explanation:
    """Sizes, costs and receptive field of every layer, by running the model once on zeros.

    Args:
        model: any module; layers are its modules without modules inside, in the order in which they run.
        input_shape: of one item as the model takes it without the batch: (C, H, W), (T, I) for a model that is batch
            first, (T,) of tokens for a model that begins with an embedding. The batch axis is put first.

    Returns:
        Rows with formula, output, parameters, multiply-adds (of one item, products with weights only) and, as long as
        the layers form a chain of windows and recurrent layers, the receptive field.

    Raises:
        SizeError: a layer that does not fit, by its path, with its numbers and what would mend it.
    """
    rows: list[Row] = []
    state: dict[str, Any] = {"field": Field(), "last": None, "at": ("", model)}
    layers = [
        (p, m) for p, m in model.named_modules() if isinstance(m, OurRecurrent) or not any(True for _ in m.children())
    ]
    handles = []
    for path, layer in layers:

        def before(module: nn.Module, given: tuple[Any, ...], path: str = path) -> None:
            state["at"] = (path, module)
            state["input"] = given[0] if given else None

        def after(module: nn.Module, given: tuple[Any, ...], output: Any, path: str = path) -> None:
            rows.append(_row(path, module, given[0], output, state))

        handles += [layer.register_forward_pre_hook(before), layer.register_forward_hook(after)]
    training = {m: m.training for m in model.modules()}
    first = next(model.parameters(), torch.zeros(()))
    tokens = bool(layers) and isinstance(layers[0][1], nn.Embedding)
    x = torch.zeros((1, *input_shape), dtype=torch.long if tokens else first.dtype, device=first.device)
    try:
        model.eval()
        with torch.no_grad():
            model(x)
    except (RuntimeError, ValueError, IndexError) as error:
        path, layer = state["at"]
        raise SizeError(_sentence(path, layer, state.get("input"), error)) from error
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in training.items():
            module.training = mode
    return Explanation(rows, _channels_first(input_shape, tokens))


def _channels_first(shape: tuple[int, ...], tokens: bool) -> tuple[int, ...]:
    """An input's shape as geometry writes it: (C, ...)."""
    if tokens or len(shape) == 1:
        return (1, *shape) if tokens else shape
    return (shape[-1], shape[0]) if len(shape) == 2 else shape


def _row(path: str, layer: nn.Module, given: Any, output: Any, state: dict[str, Any]) -> Row:
    y = output[0] if isinstance(output, tuple) else output
    x = given
    chain = state["last"] is None or x is state["last"]
    state["last"] = y
    shape = _item_shape(layer, y)
    windows, formula = _windows(layer, x)
    effects = [Effect(shape, windows=(window,)) for window in windows]
    if isinstance(layer, nn.RNNBase | OurRecurrent):
        effects = [Effect(shape, reach="all" if layer.bidirectional else "before")]
    field: Field | None = state["field"] if chain and len(shape) > 1 else None
    for effect in effects:
        field = field.after(effect) if field else None
    state["field"] = field if effects or _keeps_positions(layer, x, shape) else None
    parameters = sum(p.numel() for p in layer.parameters())
    return Row(
        layer=f"{path or 'model'}: {type(layer).__name__}",
        formula=formula or _formula(layer, x),
        output=written(shape),
        parameters=parameters,
        macs=_macs(layer, x, y),
        activations=math.prod(shape),
        field=state["field"],
        dropped=tuple(w.dropped(x.shape[2 + k]) for k, w in enumerate(_first_windows(layer, x))),
    )


def _item_shape(layer: nn.Module, y: Tensor) -> tuple[int, ...]:
    """One item's shape as (channels, spatial...)."""
    if isinstance(layer, nn.RNNBase | OurRecurrent):
        steps = y.shape[1] if layer.batch_first else y.shape[0]
        return (y.shape[-1], steps)
    shape = tuple(y.shape[1:])
    if isinstance(layer, nn.Linear | nn.Embedding | nn.LayerNorm) and len(shape) > 1:
        return (shape[-1], *shape[:-1])
    return shape or (1,)


def _keeps_positions(layer: nn.Module, x: Any, shape: tuple[int, ...]) -> bool:
    """Whether an output's positions are the input's, as behind an activation, and not behind pooling to a given size."""
    if isinstance(layer, nn.Embedding):
        return tuple(x.shape[1:]) == shape[1:]
    return isinstance(x, Tensor) and _item_shape(layer, x)[1:] == shape[1:]


def _first_windows(layer: nn.Module, x: Tensor) -> tuple[Window, ...]:
    """A window for each axis of a convolution or pooling layer."""
    if not isinstance(layer, (*_Convs, *_Pools, ConvBlock)):
        return ()
    axes = x.dim() - 2
    kernel, stride = _each(layer.kernel_size, axes), _each(layer.stride or layer.kernel_size, axes)
    dilation = _each(getattr(layer, "dilation", 1), axes)
    ceil = bool(getattr(layer, "ceil_mode", False))
    return tuple(
        Window(
            kernel[k],
            stride[k],
            dilation[k],
            _pair(layer.padding, k, x.shape[2 + k], kernel[k], stride[k], dilation[k]),
            ceil,
        )
        for k in range(axes)
    )


def _windows(layer: nn.Module, x: Any) -> tuple[tuple[Window, ...], str]:
    """The windows of the first axis, one after the other (a ConvBlock has two), and the formula."""
    own = _first_windows(layer, x) if isinstance(x, Tensor) else ()
    if not own:
        return (), ""
    size = x.shape[2]
    formula = own[0].formula(size)
    if isinstance(layer, ConvBlock) and layer.pool:
        axes = x.dim() - 2
        kernel = _each(layer.pool_size, axes)[0]
        stride = _each(layer.pool_stride or layer.pool_size, axes)[0]
        middle = own[0].output(size)
        pool = Window(kernel, stride, padding=_pair(layer.pool_padding, 0, middle, kernel, stride, 1))
        return (own[0], pool), f"{formula}; {pool.formula(middle)}"
    return own[:1], formula


def _each(value: Any, axes: int) -> tuple[int, ...]:
    return tuple(value) * (axes if len(value) == 1 else 1) if isinstance(value, tuple | list) else (int(value),) * axes


def _pair(padding: Any, axis: int, size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    if padding in ("same", "same_lower"):
        return same_padding(size, kernel, stride, dilation, lower=padding == "same_lower")
    if padding == "causal":
        return causal_padding(kernel, dilation)
    if isinstance(padding, str):
        return (0, 0)
    own = padding[axis if len(padding) > 1 else 0] if isinstance(padding, tuple | list) else padding
    return tuple(own) if isinstance(own, tuple | list) else (int(own), int(own))


def _formula(layer: nn.Module, x: Any) -> str:
    if isinstance(layer, nn.Linear):
        return f"{layer.in_features} * {layer.out_features}"
    if isinstance(layer, nn.Flatten):
        return " * ".join(map(str, x.shape[1:])) + f" = {math.prod(x.shape[1:])}"
    if isinstance(layer, nn.RNNBase | OurRecurrent) and isinstance(x, Tensor):
        steps = x.shape[1] if layer.batch_first else x.shape[0]
        return f"{steps} steps * {_step_macs(layer):,}"
    return ""


def _step_macs(layer: nn.Module) -> int:
    """Multiply-adds of one step: every weight matrix is used once."""
    return sum(p.numel() for name, p in layer.named_parameters() if name.startswith("weight") and p.dim() == 2)


def _macs(layer: nn.Module, x: Any, y: Tensor) -> int:
    if isinstance(layer, nn.RNNBase | OurRecurrent) and isinstance(x, Tensor):
        return _step_macs(layer) * (x.shape[1] if layer.batch_first else x.shape[0])
    if isinstance(layer, ConvBlock):
        positions = [w.output(x.shape[2 + k]) for k, w in enumerate(_first_windows(layer, x))]
        return layer.weight.numel() * math.prod(positions)
    if isinstance(layer, _Convs):
        return layer.weight.numel() * math.prod(y.shape[2:])
    if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        return int(layer.weight.numel() * math.prod(x.shape[2:]))
    if isinstance(layer, nn.Linear):
        return layer.weight.numel() * math.prod(y.shape[1:-1])
    return 0


def _sentence(path: str, layer: nn.Module, x: Any, error: Exception) -> str:
    """What breaks, where, and what would mend it."""
    where = f"{path or 'the model'}: {layer}"
    if isinstance(layer, nn.Linear) and isinstance(x, Tensor) and x.shape[-1] != layer.in_features:
        sizes = " x ".join(map(str, x.shape[1:]))
        whole = math.prod(x.shape[1:])
        if len(x.shape) > 2 and whole == layer.in_features:
            return f"{where}: {sizes} numbers arrive in {x.dim() - 1} axes; flatten them first (nn.Flatten())"
        return f"{where}: in_features is {layer.in_features}, and {x.shape[-1]} numbers arrive ({sizes}); write in_features={x.shape[-1]}"
    if isinstance(x, Tensor) and x.dim() > 2:
        names = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}[min(x.dim() - 2, 3)]
        for name, size, window in zip(names, x.shape[2:], _first_windows(layer, x), strict=False):
            if window.output(size) < 1:
                return too_small(where, name, size, window)
    return f"{where}: {str(error).splitlines()[0]}"
