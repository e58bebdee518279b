"""Twins of functions: every sample of torch's own test registry for an operator of torch.nn.functional."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import ErrorInput, OpInfo, SampleInput
from torch_modules import deepcopy_inputs, tensors

OPERATORS: dict[str, OpInfo] = {
    info.name.removeprefix("nn.functional."): info for info in op_db if info.name.startswith("nn.functional.")
}


def samples(name: str, dtype: torch.dtype = torch.float64, *, requires_grad: bool = True) -> list[SampleInput]:
    """All of the registry's samples for an operator."""
    return list(OPERATORS[name].sample_inputs("cpu", dtype, requires_grad=requires_grad))


def error_samples(name: str) -> list[ErrorInput]:
    """All of the registry's mistakes for an operator; empty where it has none."""
    info = OPERATORS[name]
    return list(info.error_inputs("cpu")) if info.error_inputs_func is not None else []


def run(function: Callable[..., Any], sample: SampleInput) -> tuple[list[torch.Tensor], Sequence[torch.Tensor | None]]:
    """Call a function on fresh copies of a sample; return its outputs and the gradient of each input."""
    args, kwargs = deepcopy_inputs(((sample.input, *sample.args), sample.kwargs))
    outputs = list(tensors(function(*args, **kwargs)))
    leaves = [leaf for leaf in tensors((args, kwargs)) if leaf.requires_grad]
    differentiable = [output for output in outputs if output.requires_grad]
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(output.shape, dtype=output.dtype, generator=generator) for output in differentiable]
    gradients = torch.autograd.grad(differentiable, leaves, weights, allow_unused=True) if differentiable else ()
    return [output.detach() for output in outputs], gradients
