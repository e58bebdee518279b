"""A recurrent layer one time step at a time, for input that comes as it comes: sound, sensors, an agent's observations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pellucid.errors import ArgumentError, SizeError
from pellucid.nn.batch import Batch, check_device
from pellucid.ops.recurrence import engine_takes
from pellucid.ops.stepping import PlainStepping, Stepping

if TYPE_CHECKING:
    from pellucid.nn.recurrent import Recurrent, States


class Stream:
    """Made by :meth:`Recurrent.stream`: the layers' states, and a step that carries them on.

    A stream computes what the layers compute in evaluation mode on the whole sequence, whatever mode they are in, and
    keeps nothing for a backward pass. It holds the weights packed; before every step it looks whether a parameter is
    still the same tensor with the same version, and if not packs anew, so optimiser steps, in-place changes and
    ``load_state_dict`` take effect at once. Only writing through ``parameter.data`` leaves no trace in torch: call
    :meth:`refresh` after it. A stream is not to be stepped by two threads at once.
    """

    def __init__(self, layer: Recurrent, batch: int, hx: States | None) -> None:
        name = type(layer).__name__
        if layer.bidirectional:
            raise ArgumentError(
                f"{name}: a stream gives every output as its step comes, and with bidirectional=True an output depends "
                "on the steps after it; make the layer with bidirectional=False, or run it on whole sequences"
            )
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise ArgumentError(f"{name}: a stream needs the number of sequences that step together, and got {batch!r}")
        self._layer, self._batch, self._cell = layer, batch, layer.cell
        self._needs = any(not each.optional for each in layer.cell.step_inputs.values())
        self._places = [f"l{i}" for i in range(layer.num_layers)]
        self._inputs: dict[str, Tensor] = {}
        self._plane = 0
        self._prepare(self._start(hx))

    def step(self, x: Tensor, **step_inputs: Tensor) -> Tensor:
        """One time step.

        Args:
            x: (B, I).
            step_inputs: as for the layer, without the axis of time.

        Returns:
            (B, H), the last layer's output. The memory is the stream's own and is written again two steps later:
            ``clone()`` what is to stay.

        Raises:
            SizeError, ArgumentError: an input that does not fit, or a layer that has another cell since the stream was made.
            ArgumentTypeError: a step input that the cell needs is not there, or one that it does not know is.
        """
        if self._layer.cell is not self._cell:
            raise ArgumentError(
                f"{type(self._layer).__name__}: this stream runs {self._cell.name}, and the layer now runs "
                f"{self._layer.cell.name}, as inside pellucid.inside.held; step it when the layer has its own cell again, or "
                "make another stream"
            )
        if self._computed:
            self.refresh()
        for holder, name, tensor, version, address in self._watched:
            if holder[name] is not tensor or tensor._version != version or tensor.data_ptr() != address:
                self.refresh()
                break
        if step_inputs or self._inputs or self._needs:
            self._take(step_inputs)
        if x.shape != self._shape or x.dtype is not self._dtype or x.device != self._device:
            self._refuse(x)
        if x.stride(-1) != 1 or x.is_neg():
            x = x.contiguous().resolve_neg()
        for step, outputs in self._steps:
            plane = step(x)
            x = outputs[plane]
        self._plane = plane
        return x if x.dtype is self._dtype else x.to(self._dtype)

    def reset(self, rows: Tensor | None = None) -> None:
        """Let sequences start anew, from the state that sequences start from.

        Args:
            rows: (B,) bool, or whole numbers, of the sequences; None for all.
        """
        for place, stepping in zip(self._places, self._steppings, strict=True):
            for state, fresh in zip(stepping.states, self._layer._fresh(place).values(), strict=True):
                state[self._plane][slice(None) if rows is None else rows] = fresh.detach()

    @property
    def states(self) -> States:
        """The states now, in the form of the layer's ``hx``; a copy."""
        planes = [[v[self._plane].to(self._dtype) for v in stepping.states] for stepping in self._steppings]
        found = tuple(torch.stack(each) for each in zip(*planes, strict=True))
        return found if len(found) > 1 else found[0]

    @states.setter
    def states(self, hx: States) -> None:
        for stepping, given in zip(self._steppings, self._start(hx), strict=True):
            for state, new in zip(stepping.states, given, strict=True):
                state[self._plane] = new.detach()

    def refresh(self) -> None:
        """Read all parameters anew; the states stay."""
        weight = self._layer.weight_ih_l0
        planes = [[v[self._plane] for v in stepping.states] for stepping in self._steppings]
        self._prepare([[v.to(weight) for v in each] for each in planes])

    def _start(self, hx: States | None) -> list[list[Tensor]]:
        """By layer, the states to start from."""
        layer = self._layer
        if hx is None:
            return [layer._start(place, self._batch) for place in self._places]
        x = layer.weight_ih_l0.new_empty(1, self._batch, layer.input_size)
        given = layer._given_states(Batch(x, 1, self._batch), hx)
        assert given is not None
        return [[state[i] for state in given] for i in range(layer.num_layers)]

    def _prepare(self, before: list[list[Tensor]]) -> None:
        layer, count = self._layer, len(self._places)
        weight = layer.weight_ih_l0
        self._shape = torch.Size((self._batch, layer.input_size))
        self._dtype, self._device = weight.dtype, weight.device
        kind = Stepping if engine_takes(weight.new_empty(1)) and self._layer.cell.of_vectors else PlainStepping
        # The engine has float32 around its products of bfloat16.
        number_type = torch.float32 if kind is Stepping and weight.dtype == torch.bfloat16 else weight.dtype
        before = [[v.to(number_type) for v in each] for each in before]
        self._inputs = {n: v.to(weight.device, number_type) for n, v in self._inputs.items()}
        self._steppings = [
            kind(
                layer.cell,
                layer._variant(self._inputs, resets=False, ragged=False, training=False),
                layer._parameters_of(place),
                layer._projection(place),
                states,
                {n: v[i] if count > 1 else v for n, v in self._inputs.items()},
            )
            for i, (place, states) in enumerate(zip(self._places, before, strict=True))
        ]
        self._steps = [(s.step, s.states[0].unbind(0)) for s in self._steppings]
        self._plane = 0
        self._watch()

    def _watch(self) -> None:
        """Remember what the parameters are; those that something computes anew each time cannot be remembered."""
        layer = self._layer
        self._watched = []
        self._computed = False
        names = [f"{key}_{place}" for place in self._places for key in layer._shapes(0)]
        for name in (*names, *layer.cell.constants):
            holder = layer._parameters if name in layer._parameters else layer._buffers
            tensor = holder.get(name)
            if tensor is None or tensor.is_inference():
                self._computed = True
            else:
                self._watched.append((holder, name, tensor, tensor._version, tensor.data_ptr()))

    def _take(self, given: dict[str, Tensor]) -> None:
        """Put this step's further inputs where the steps read them."""
        layer = self._layer
        x = layer.weight_ih_l0.new_empty(1, self._batch, layer.input_size)
        checked = layer._step_inputs(Batch(x, 1, self._batch), {n: v.unsqueeze(-3) for n, v in given.items()})
        if checked.keys() == self._inputs.keys():
            for name, memory in self._inputs.items():
                memory.copy_(checked[name])
        else:
            self._inputs = {n: v.to(x).clone() for n, v in checked.items()}
            self.refresh()

    def _refuse(self, x: Tensor) -> None:
        layer = type(self._layer).__name__
        if x.dtype != self._dtype:
            raise ArgumentError(
                f"{layer}: input must have the type {self._dtype}, got type {x.dtype}; convert one of them"
            )
        check_device(layer, "input", x, self._layer.weight_ih_l0)
        raise SizeError(
            f"{layer}: a step of this stream takes an input of {self._batch} sequences x {self._layer.input_size} "
            f"features, and got {tuple(x.shape)}; give (B, I)"
        )
