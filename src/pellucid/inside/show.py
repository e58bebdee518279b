"""What a trace collected, as a drawing and as arrays with named axes; both by libraries of the extra ``inside``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pellucid.errors import ArgumentError
from pellucid.trace import Seen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from xarray import DataArray


def plot(name: str, seen: Seen, item: int, *, grad: bool, ax: Axes | None) -> Axes:
    """Draw one item; see :meth:`pellucid.trace.Trace.plot`."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ArgumentError("plot needs matplotlib, which is not installed: pip install 'pellucid[inside]'") from error
    values = _chosen(name, seen, grad)
    recurrent = seen.axes == "T B H"
    batch = values.shape[1] if recurrent else len(values)
    if recurrent or seen.axes.startswith("B C") or values.dim() > 2:
        if not -batch <= item < batch:
            raise ArgumentError(f"plot: {name} has {batch} items, and no {item}; give 0 to {batch - 1}")
        values = values[:, item] if recurrent else values[item]
    values = values.detach().double().cpu()
    if ax is None:
        _, ax = pyplot.subplots(figsize=(8, 4), layout="constrained")
    label = f"gradient at {name}" if grad else name
    if recurrent and values.shape[1] == 1:
        ax.plot(values[:, 0].numpy())
        ax.set(xlabel="time step", ylabel=label)
        return ax
    if recurrent:
        _heat(ax, values.T, "time step", "unit", label)
    elif seen.axes.startswith("B C") and values.dim() == 3:
        _heat(ax, _side_by_side(values), "", "", label)
        ax.set(
            xticks=[],
            yticks=[],
            xlabel=f"{len(values)} feature maps of {values.shape[1]} x {values.shape[2]}, row by row",
        )
    elif seen.axes == "B C L":
        _heat(ax, values, "position", "filter", label)
    elif not seen.axes and values.dim() == 2:
        _heat(ax, values, "last axis", "item" if seen.values.dim() == 2 else "first axis", label)
    else:
        raise ArgumentError(
            f"plot: {name} has the axes {seen.axes or 'unknown'} and the shape {tuple(seen.values.shape)}; values of every step "
            "and feature maps of sequences and images can be drawn"
        )
    return ax


def to_xarray(seen: Mapping[str, Seen], *, grad: bool) -> dict[str, DataArray]:
    """Arrays with named axes; see :meth:`pellucid.trace.Trace.to_xarray`."""
    try:
        import xarray
    except ImportError as error:
        raise ArgumentError("to_xarray needs xarray, which is not installed: pip install 'pellucid[inside]'") from error
    found = {}
    for name, value in seen.items():
        tensor = value.grad if grad else value.values
        if tensor is None:
            continue
        tensor = tensor.detach().cpu()
        tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor  # numpy has no bfloat16
        dims = value.axes.split() or [f"axis {k}" for k in range(tensor.dim())]
        found[name] = xarray.DataArray(tensor.numpy().copy(), dims=dims, name=name)
    return found


def _chosen(name: str, seen: Seen, grad: bool) -> Tensor:
    if not grad:
        return seen.values
    if seen.grad is None:
        raise ArgumentError(
            f"plot: no gradient has reached {name}; call backward() on the loss first, of a trace with grad=True"
        )
    return seen.grad


def _heat(ax: Axes, values: Tensor, x: str, y: str, label: str) -> None:
    """Gates, from 0 to 1, and what else has no sign in one colour; what has either sign in two, white at 0."""
    low, high = float(values.nan_to_num().min()), float(values.nan_to_num().max())
    signed = low < 0
    most = max(-low, high) if signed else max(high, 1.0)
    image = ax.imshow(
        values.numpy(),
        cmap="RdBu_r" if signed else "viridis",
        vmin=-most if signed else 0.0,
        vmax=most,
        aspect="auto",
        interpolation="nearest",
    )
    ax.set(xlabel=x, ylabel=y)
    assert ax.figure is not None
    ax.figure.colorbar(image, ax=ax, label=label)


def _side_by_side(maps: Tensor) -> Tensor:
    """(C, H, W) as one picture, with a gap between maps."""
    count, height, width = maps.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    picture = maps.new_full((rows * (height + 1) - 1, columns * (width + 1) - 1), torch.nan)
    for index, one in enumerate(maps):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        picture[top : top + height, left : left + width] = one
    return picture
