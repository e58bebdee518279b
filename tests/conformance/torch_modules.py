"""Twins: every sample of torch's own test registry for a module class, run through torch's class and ours.

Generic over the class: ``check_sample(pellucid.nn.GRU, torch.nn.GRU, sample, training=True)``.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.testing._internal.common_modules import ErrorModuleInput, ModuleErrorEnum, ModuleInput, module_db

MODULES = {info.module_cls: info for info in module_db}

# Twins that run the same sums in another order differ by some 1e-16 times the number of terms (below 100),
# times the size of the terms (samples reach 9 in absolute value). A wrong formula differs by far more.
RTOL, ATOL = 1e-11, 1e-11


def samples(torch_class: type[torch.nn.Module], *, training: bool) -> list[ModuleInput]:
    """All of the registry's samples for a class, in float64, with gradients."""
    info = MODULES[torch_class]
    made = info.module_inputs_func(info, device="cpu", dtype=torch.float64, requires_grad=True, training=training)
    return list(made)


def error_samples(torch_class: type[torch.nn.Module], *, training: bool) -> list[ErrorModuleInput]:
    """All of the registry's mistakes for a class; empty where it has none."""
    info = MODULES[torch_class]
    if info.module_error_inputs_func is None:
        return []
    made = info.module_error_inputs_func(info, device="cpu", dtype=torch.float64, requires_grad=True, training=training)
    return list(made)


def check_sample(
    our_class: type[torch.nn.Module],
    torch_class: type[torch.nn.Module],
    sample: ModuleInput,
    *,
    training: bool,
) -> None:
    """Construct both from the same arguments and compare state, outputs and every gradient, in float64."""
    given = sample.constructor_input
    theirs = torch_class(*given.args, **given.kwargs).to(torch.float64)
    ours = our_class(*given.args, **given.kwargs).to(torch.float64)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict(), strict=True)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    compare_runs(ours.train(training), theirs.train(training), sample.forward_input.args, sample.forward_input.kwargs)


def compare_runs(
    ours: torch.nn.Module, theirs: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    """Run both on copies of the same input under the same random state; compare outputs and gradients."""
    (our_outputs, our_gradients), (outputs, gradients) = (
        _run(module, *deepcopy_inputs((args, dict(kwargs)))) for module in (ours, theirs)
    )
    assert len(our_outputs) == len(outputs)
    for ours_is, theirs_is in zip(our_outputs, outputs, strict=True):
        torch.testing.assert_close(ours_is, theirs_is, rtol=RTOL, atol=ATOL)  # shape and dtype are checked too
    assert our_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert (our_gradients[name] is None) == (gradient is None), name
        if gradient is not None:
            torch.testing.assert_close(
                our_gradients[name],
                gradient,
                rtol=RTOL,
                atol=ATOL,
                msg=lambda text, name=name: f"{name}: {text}",
            )


def check_error(our_class: type[torch.nn.Module], sample: ErrorModuleInput) -> None:
    """Make the registry's mistake with our class; it must raise the same type at the same moment."""
    given, forward = sample.module_error_input.constructor_input, sample.module_error_input.forward_input
    if sample.error_on is ModuleErrorEnum.CONSTRUCTION_ERROR:
        with pytest.raises(sample.error_type):
            our_class(*given.args, **given.kwargs)
        return
    module = our_class(*given.args, **given.kwargs)
    with pytest.raises(sample.error_type):
        module(*forward.args, **forward.kwargs)


def deepcopy_inputs(value: Any) -> Any:
    """Copy a sample's inputs as fresh leaves, so that two runs share no gradient."""
    if isinstance(value, PackedSequence):
        return value._replace(data=deepcopy_inputs(value.data))
    if isinstance(value, Tensor):
        return value.detach().clone(memory_format=torch.preserve_format).requires_grad_(value.requires_grad)
    if isinstance(value, tuple | list):
        return type(value)(deepcopy_inputs(each) for each in value)
    if isinstance(value, dict):
        return {key: deepcopy_inputs(each) for key, each in value.items()}
    return deepcopy(value)


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in a nest of tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from tensors(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from tensors(each)


def _run(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[Tensor], dict[str, Tensor | None]]:
    torch.manual_seed(1)  # dropout draws the same masks in both
    outputs = list(tensors(module(*args, **kwargs)))
    leaves = {f"input {place}": leaf for place, leaf in enumerate(tensors((args, kwargs))) if leaf.requires_grad}
    leaves |= dict(module.named_parameters())
    differentiable = [output for output in outputs if output.requires_grad]
    torch.manual_seed(2)  # a random weight for each output: a sum of ones would hide gradients that cancel
    weights = [torch.randn(output.shape, dtype=output.dtype) for output in differentiable]  # in any layout
    gradients = torch.autograd.grad(differentiable, list(leaves.values()), weights, allow_unused=True)
    return [output.detach() for output in outputs], dict(zip(leaves, gradients, strict=True))
