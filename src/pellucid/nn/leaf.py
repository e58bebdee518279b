"""A layer where the code of modules is read: one node in a graph of ``torch.fx``, as torch.nn's own layers are."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.fx import Proxy

from pellucid.errors import ArgumentTypeError

__all__ = ["Proxy", "no_script", "node"]


def no_script(layer: nn.Module) -> nn.Module:
    """What ``torch.jit.script`` asks a layer for: it reads the source of ``forward``, and cannot read these.

    Raises:
        ArgumentTypeError: always.
    """
    raise ArgumentTypeError(
        f"{type(layer).__name__}: torch.jit.script reads torch's own operators alone; use torch.export or torch.jit.trace, or "
        "load the state_dict into torch.nn's layer of the same name"
    )


def node(layer: nn.Module, proxy: Proxy, *arguments: Any, **options: Any) -> Any:
    """The call of a layer with what stands for its input while a module is traced.

    Raises:
        ArgumentTypeError: the layer is traced by itself, and is in no module.
    """
    tracer: Any = proxy.tracer
    path = tracer.path_of_module(layer)
    if not path:
        raise ArgumentTypeError(
            f"{type(layer).__name__}: a layer is one node of a traced graph and cannot be traced by itself; trace a module "
            "that holds it, such as torch.nn.Sequential(layer)"
        )
    return tracer.create_proxy("call_module", path, (proxy, *arguments), options)
