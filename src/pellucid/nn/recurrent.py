"""``Recurrent``: a layer, or a stack of layers, of any cell; torch's recurrent layers are special cases of it."""

from __future__ import annotations

import inspect
import math
import numbers
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from pellucid.cells import Bias, Cell, Matrix
from pellucid.cells.sequence import Variant
from pellucid.errors import ArgumentError, ArgumentTypeError, CellError, SizeError
from pellucid.nn import autocast, initialise, shown
from pellucid.nn import batch as batches
from pellucid.nn.leaf import Proxy, no_script, node
from pellucid.nn.stream import Stream
from pellucid.nn.sweep import Sweep, in_pieces
from pellucid.ops import library
from pellucid.ops.recurrence import Sight
from pellucid.ops.transforms import transformed

States = Tensor | tuple[Tensor, ...]
_TORCH_ORDER = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")


class Recurrent(nn.Module):
    r"""Layers of a cell, with torch.nn's habits and what torch.nn has not.

    Args:
        cell: an instance of :class:`pellucid.Cell`, or a class that needs no arguments.
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional: as in ``torch.nn.LSTM``.
        variational_dropout: probability with which an input feature of a layer is zeroed for a whole sequence.
        recurrent_dropout: the same for the state in every product with recurrent weights (Gal and Ghahramani 2016).
        zoneout: probability with which a unit keeps its last value (Krueger et al. 2017); a number for all states, or a
            number by state name, such as ``{"c": 0.5, "h": 0.05}``.
        learned_initial_state: learn the state that sequences start from (else it is what the cell declares).
        initialisation: ``"uniform"`` as torch, ``"orthogonal"`` or ``"chrono"``; see :mod:`pellucid.nn.initialise`.
        longest_lag: for ``"chrono"``, the longest dependency in steps.
        forget_bias: what the biases of the part ``f`` sum to at the start; None leaves them as drawn.
        checkpoint_every: for long sequences, keep for the backward pass only the states after every so many steps, and
            compute what lies between again when it is needed (Chen et al. 2016): less memory for more time. None keeps
            all. The results are the same.

    Shapes: input (T, B, I), (B, T, I) with ``batch_first``, (T, I), or a PackedSequence; output (T, B, D H) in the same
    form with D directions and H the size of the first state; states (num_layers D, B, size), one tensor for a cell with
    one state and a tuple in declared order for others.

    Raises:
        ArgumentError, ArgumentTypeError: an argument that cannot be; SizeError: an input that does not fit; DeviceError: a
            tensor that is elsewhere than the layer.
    """

    weight_ih_l0: Tensor
    _narrowed_by_autocast = False  # as torch's; see pellucid.nn.autocast

    __prepare_scriptable__ = no_script

    def __init__(
        self,
        cell: Cell | type[Cell],
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        variational_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float | Mapping[str, float] = 0.0,
        learned_initial_state: bool = False,
        initialisation: Literal["uniform", "orthogonal", "chrono"] = "uniform",
        longest_lag: int | None = None,
        forget_bias: float | None = None,
        checkpoint_every: int | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.cell = _made(cell)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        self.dropout = _probability("dropout", dropout)
        self.variational_dropout = _probability("variational_dropout", variational_dropout)
        self.recurrent_dropout = _probability("recurrent_dropout", recurrent_dropout)
        self.zoneout = self._rates(zoneout)
        self.learned_initial_state = learned_initial_state
        self.initialisation, self.longest_lag, self.forget_bias = initialisation, longest_lag, forget_bias
        self.checkpoint_every = checkpoint_every
        self._check_sizes()
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                f"dropout acts between layers, and with num_layers=1 there is nothing between; dropout={dropout} has "
                "no effect (variational_dropout acts on a layer's input)",
                stacklevel=2,
            )
        self.directions = ("", "_reverse") if bidirectional else ("",)
        self.cell.derivative()
        library.register(self.cell)
        for name, constant in self.cell.constants.items():
            values = torch.as_tensor(constant.values, device=device, dtype=dtype or torch.get_default_dtype())
            if hasattr(self, name):
                raise CellError(
                    f"{self.cell.name} declares the constant {name!r}, and a layer has something of this name; call it otherwise"
                )
            self.register_buffer(name, self._check_constant(name, values, constant.shape))
        for layer in range(num_layers):
            for direction in self.directions:
                for key, shape in self._shapes(layer).items():
                    self.register_parameter(
                        f"{key}_l{layer}{direction}", nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
                    )
        self.reset_parameters()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy or a layer that was read from a file."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        library.register(self.cell)

    # Parameters

    def _keys(self) -> dict[str, str]:
        """state_dict key by declared name, for what the cell declares in this layer."""
        return {
            name: declared.key or name
            for name, declared in self.cell.parameters.items()
            if self.bias or not isinstance(declared, Bias)
        }

    def _shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """Shapes of one layer's parameters, torch's first and in torch's order."""
        size = self._sizes
        parts = max(len(self.cell.input[1].parts), 1)
        inputs = self.input_size if layer == 0 else self.output_size * len(self.directions)
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (parts * self.hidden_size, inputs)}
        if self.bias:
            shapes["bias_ih"] = (parts * self.hidden_size,)
        for name, key in self._keys().items():
            declared = self.cell.parameters[name]
            axes = [size(letter) for letter in declared.shape]
            if isinstance(declared, Matrix) and declared.heads > 1:
                axes[1] //= declared.heads
            axes[0] *= max(len(declared.parts), 1)
            shapes[key] = tuple(axes)
        if self.learned_initial_state:
            shapes |= {f"initial_{name}": (size(state.size),) for name, state in self.cell.states.items()}
        order = [k for k in _TORCH_ORDER if k in shapes]
        return {k: shapes[k] for k in (*order, *(k for k in shapes if k not in order))}

    def _sizes(self, letter: str) -> int:
        return self.cell.size(letter, self.hidden_size)

    @property
    def output_size(self) -> int:
        """Size of the first state: of one direction's output."""
        return self._sizes(next(iter(self.cell.states.values())).size)

    @property
    def _places(self) -> int:
        """Directions of all layers: the first axis of states."""
        return self.num_layers * len(self.directions)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        initialise.parameters(self)

    def flatten_parameters(self) -> None:
        """Nothing to do: there is no separate copy of the weights. Kept for code that calls it on torch's layers."""

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """Each layer's and direction's parameters, as in torch."""
        return [
            [getattr(self, f"{key}_l{layer}{direction}") for key in self._shapes(layer)]
            for layer in range(self.num_layers)
            for direction in self.directions
        ]

    # The forward pass

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: States | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        resets: Tensor | None = None,
        **step_inputs: Tensor,
    ) -> tuple[Any, Any]:
        """Run the layers.

        Args:
            input: sequences.
            hx: the states to start from; None for those that the cell declares or has learned.
            lengths: (B,) whole numbers, in any order: the steps of each row that exist. The output is zero beyond, and
                the last state is that of the row's last step.
            resets: (T, B) bool (or (B, T) with ``batch_first``): before these steps the state starts anew from the
                state that sequences start from (not from ``hx``), in every layer; no gradient crosses.
            step_inputs: by declared name, (T, B, size); (num_layers D, T, B, size) where there are several.

        Returns:
            The output and the last states.
        """
        if isinstance(input, Proxy):
            given = {"lengths": lengths, "resets": resets, **step_inputs}
            return node(self, input, hx, **{name: value for name, value in given.items() if value is not None})
        batch = batches.read(type(self).__name__, input, self.batch_first, lengths, self.weight_ih_l0, self.cell)
        self._check_input(batch.x)
        masks = self._reset_mask(batch, resets), self._step_inputs(batch, step_inputs)
        if not torch._C._is_any_autocast_enabled():
            return self._run(batch, hx, *masks)
        before = batch.x if hx is None else hx if isinstance(hx, Tensor) else hx[0]
        result, narrow = autocast.types(self.weight_ih_l0, before.dtype, narrowed=self._narrowed_by_autocast)
        device = batch.x.device.type
        with torch.autocast(device, enabled=False):
            if hx is not None:
                to = self.weight_ih_l0.dtype
                hx = hx.to(to) if isinstance(hx, Tensor) else tuple(v.to(to) for v in hx)
            output, states = self._run(batch, hx, *masks, narrow=narrow)
        return output.to(result), states.to(result) if isinstance(states, Tensor) else tuple(
            v.to(result) for v in states
        )

    def stream(self, batch: int = 1, hx: States | None = None) -> Stream:
        """The layers one time step at a time, for input that comes as it comes.

        Args:
            batch: B, the sequences that step together.
            hx: the states to start from, as for a whole sequence.

        Raises:
            ArgumentError: the layers are bidirectional.
        """
        return Stream(self, batch, hx)

    def _run(
        self,
        batch: batches.Batch,
        hx: States | None,
        reset: Tensor | None,
        step_inputs: dict[str, Tensor],
        *,
        narrow: torch.dtype | None = None,
    ) -> tuple[Any, Any]:
        given = self._given_states(batch, hx)
        last: list[list[Tensor]] = [[] for _ in self.cell.states]
        x = batch.x.to(self.weight_ih_l0.dtype)  # they differ under autocast only
        for layer in range(self.num_layers):
            outputs = []
            for direction, suffix in enumerate(self.directions):
                place = layer * len(self.directions) + direction
                before = None if given is None else [state[place] for state in given]
                own = {n: (v[place] if self._places > 1 else v) for n, v in step_inputs.items()}
                output, ends = self._one(
                    f"l{layer}{suffix}", batch, x, before, reset, own, reverse=direction == 1, narrow=narrow
                )
                outputs.append(output)
                for each, end in zip(last, ends, strict=True):
                    each.append(end)
            x = torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0]
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        states_out = tuple(batch.state_out(torch.stack(each)) for each in last)
        return batch.output(x), states_out if len(states_out) > 1 else states_out[0]

    def _one(
        self,
        place: str,
        batch: batches.Batch,
        x: Tensor,
        before: Sequence[Tensor] | None,
        reset: Tensor | None,
        step_inputs: dict[str, Tensor],
        *,
        reverse: bool,
        narrow: torch.dtype | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """One direction of one layer: its output, in the input's own order of time, and its last states."""
        if self.variational_dropout and self.training:
            kept = F.dropout(x.new_ones(batch.count, x.shape[-1]), self.variational_dropout)
            x = x * (kept if batch.ragged is None else kept[batch.ragged.sequences])
        inputs = dict(step_inputs)
        if (alive := batch.alive) is not None:
            inputs["alive"] = alive
        if reset is not None:
            inputs["reset"] = reset
        if reverse:
            x, inputs = batch.mirrored(x), {name: batch.mirrored(v) for name, v in inputs.items()}
            if reset is not None:  # a segment that begins at t ends, for the sweep back, before t - 1
                inputs["reset"] = batch.delayed(inputs["reset"])
        inputs |= self._masks(x, batch.count)
        parameters = self._parameters_of(place)
        variant = self._variant(step_inputs, resets=reset is not None, ragged=alive is not None, training=self.training)
        if variant.initial:
            parameters |= self._fresh(place)
        start = self._start(place, batch.count) if before is None else before
        sight = shown.sight(self, self.cell, place)
        call = Sweep(self.cell, variant, parameters, self._projection(place), x, start, inputs, batch.ragged, narrow)
        if self.checkpoint_every and sight is None and torch.is_grad_enabled() and not transformed():
            output, ends = in_pieces(call, self.checkpoint_every)
        else:
            output, ends = call.run(sight)
        if sight is not None:
            self._show(place, sight, batch, reverse=reverse)
        return batch.mirrored(output) if reverse else output, ends

    def _parameters_of(self, place: str) -> dict[str, Tensor]:
        """By declared name, those of one direction of one layer."""
        parameters = {name: getattr(self, f"{key}_{place}") for name, key in self._keys().items()}
        return parameters | {name: getattr(self, name) for name in self.cell.constants}

    def _projection(self, place: str) -> tuple[Tensor, Tensor | None]:
        """W and b of one direction of one layer."""
        return getattr(self, f"weight_ih_{place}"), getattr(self, f"bias_ih_{place}") if self.bias else None

    def _variant(self, given: Iterable[str], *, resets: bool, ragged: bool, training: bool) -> Variant:
        """What surrounds the cell's equations."""
        return Variant(
            bias=self.bias,
            given=frozenset(given),
            resets=resets,
            ragged=ragged,
            dropout=bool(self.recurrent_dropout) and training,
            zoneout=self.zoneout,
            sampled=training,
            initial=resets and self._returns_to_tensors(),
        )

    @property
    def shown_names(self) -> tuple[str, ...]:
        """What a trace may show of these layers: ``l0.f``, ``l1_reverse.h``, by layer and name in the equations."""
        places = [f"l{layer}{direction}" for layer in range(self.num_layers) for direction in self.directions]
        return tuple(f"{place}.{name}" for place in places for name in shown.names(self.cell))

    def _show(self, place: str, sight: Sight, batch: batches.Batch, *, reverse: bool) -> None:
        """Hand what was seen to whoever is looking, in the input's order of time and zero where no step is."""

        def in_order(value: Tensor) -> Tensor:
            return batch.padded(batch.mirrored(value) if reverse else value)

        shown.show(self, place, sight, in_order, "T B H")

    def _masks(self, x: Tensor, count: int) -> dict[str, Tensor]:
        """The random masks of one run in training."""
        masks: dict[str, Tensor] = {}
        if not self.training:
            return masks
        if self.recurrent_dropout:
            recurrent = [m for m in self.cell.parameters.values() if isinstance(m, Matrix) and m.recurrent]
            for letter in sorted({m.shape[1] for m in recurrent}):
                masks[f"dropout.{letter}"] = F.dropout(x.new_ones(count, self._sizes(letter)), self.recurrent_dropout)
        for (name, state), rate in zip(self.cell.states.items(), self.zoneout, strict=False):
            if rate:
                masks[f"zoneout.{name}"] = torch.rand(*x.shape[:-1], self._sizes(state.size), device=x.device) < rate
        return masks

    def _fresh(self, place: str) -> dict[str, Tensor]:
        """``initial.STATE`` (size,): the state that sequences start from and resets return to."""
        fresh = self._learned(place) if self.learned_initial_state else [v[0] for v in self._declared(place, 1)]
        return {f"initial.{name}": v for name, v in zip(self.cell.states, fresh, strict=True)}

    def _returns_to_tensors(self) -> bool:
        """Whether resets return to tensors: learned states, and numbers that a number type may round, as it does a start."""
        return self.learned_initial_state or not all(_is_short(s.initial) for s in self.cell.states.values())

    def _start(self, place: str, count: int) -> list[Tensor]:
        """(B, size) by state: what sequences start from."""
        if self.learned_initial_state:
            return [v.expand(count, -1) for v in self._learned(place)]
        return self._declared(place, count)

    def _learned(self, place: str) -> list[Tensor]:
        return [getattr(self, f"initial_{name}_{place}") for name in self.cell.states]

    def _declared(self, place: str, count: int) -> list[Tensor]:
        """(B, size) by state: what the cell declares that sequences start from; states that start alike share one tensor."""
        weight: Tensor = getattr(self, f"weight_ih_{place}")
        alike = [(self._sizes(state.size), state.initial) for state in self.cell.states.values()]
        made = {key: weight.new_full((count, key[0]), key[1]) for key in dict.fromkeys(alike)}
        return [made[key] for key in alike]

    def _given_states(self, batch: batches.Batch, hx: States | None) -> list[Tensor] | None:
        if hx is None:
            return None
        names = list(self.cell.states)
        given = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        if len(given) != len(names):
            raise SizeError(
                f"{type(self).__name__}: hx has {len(given)} tensors, and the cell has the states {', '.join(names)}; "
                f"give {'a tensor' if len(names) == 1 else 'a tuple of ' + str(len(names)) + ' tensors, in this order'}"
            )
        axes = 3 if batch.batched else 2
        form = "batched 3-D" if batch.batched else "unbatched 2-D"
        result = []
        for state, (name, declared) in zip(given, self.cell.states.items(), strict=True):
            if state.dim() != axes:
                raise SizeError(
                    f"{type(self).__name__}: for {form} input the state {name} should also be {axes}-D, and is "
                    f"{state.dim()}-D"
                )
            expected = (self._places, batch.count, self._sizes(declared.size))
            shape = tuple(state.shape) if batch.batched else (state.shape[0], 1, state.shape[1])
            if shape != expected:
                raise SizeError(
                    f"{type(self).__name__}: Expected hidden size {expected} for the state {name} (layers times "
                    f"directions, sequences, size), got {shape}"
                )
            batches.check_device(type(self).__name__, f"the state {name}", state, self.weight_ih_l0)
            batches.check_type(type(self).__name__, f"the state {name}", state, self.weight_ih_l0)
            result.append(batch.state_in(state))
        return result

    def _reset_mask(self, batch: batches.Batch, resets: Tensor | None) -> Tensor | None:
        if resets is None:
            return None
        if tuple(resets.shape) != batch.axes:
            order = "(B, T), since the layer is batch_first" if batch.batch_first else "(T, B)"
            raise SizeError(
                f"{type(self).__name__}: resets has shape {tuple(resets.shape)}, and the input has {batch.steps} steps of "
                f"{batch.count} sequences; give a bool mask of {order}"
            )
        batches.check_device(type(self).__name__, "resets", resets, self.weight_ih_l0)
        mask = batch.rows(resets.bool().unsqueeze(-1))
        return mask if batch.alive is None else mask & batch.alive

    def _step_inputs(self, batch: batches.Batch, given: dict[str, Tensor]) -> dict[str, Tensor]:
        declared = self.cell.step_inputs
        for name in given:
            if name not in declared:
                known = ", ".join(declared) or "none"
                raise ArgumentTypeError(f"{type(self).__name__} takes no {name!r}: the cell's step inputs are {known}")
        for name, step_input in declared.items():
            if name not in given and not step_input.optional:
                raise ArgumentTypeError(
                    f"{type(self).__name__} needs {name}=, (T, B, {self._sizes(step_input.size)}): the cell reads it at "
                    "every step"
                )
        for name, tensor in given.items():
            wanted = (*batch.axes, self._sizes(declared[name].size))
            wanted = wanted if self._places == 1 else (self._places, *wanted)
            if tuple(tensor.shape) != wanted:
                raise SizeError(
                    f"{type(self).__name__}: {name} has shape {tuple(tensor.shape)}, and {wanted} is needed"
                )
            batches.check_device(type(self).__name__, name, tensor, self.weight_ih_l0)
        return {name: batch.rows(tensor) for name, tensor in given.items()}

    # Checks

    def _check_sizes(self) -> None:
        name = type(self).__name__
        for what, value in (("input_size", self.input_size), ("hidden_size", self.hidden_size)):
            if not isinstance(value, int):
                raise ArgumentTypeError(f"{name}: {what} should be of type int, got: {type(value).__name__}")
        for what, value in (("bias", self.bias), ("batch_first", self.batch_first)):
            if not isinstance(value, bool):
                raise ArgumentTypeError(f"{name}: {what} should be of type bool, got: {type(value).__name__}")
        if self.checkpoint_every is not None and not (
            isinstance(self.checkpoint_every, int) and self.checkpoint_every > 0
        ):
            raise ArgumentError(
                f"{name}: checkpoint_every is {self.checkpoint_every!r}; give a number of steps, or None to keep all"
            )
        for what in ("input_size", "hidden_size", "num_layers"):
            if getattr(self, what) <= 0:
                raise ArgumentError(f"{name}: {what} must be greater than zero, and is {getattr(self, what)}")
        for declared in self.cell.parameters.values():
            if isinstance(declared, Matrix):
                rows, columns = map(self._sizes, declared.shape)
                if not isinstance(declared.heads, int) or declared.heads < 1:
                    raise ArgumentError(f"{name}: heads is {declared.heads!r}; give 1 or more")
                if rows % declared.heads or columns % declared.heads:
                    raise ArgumentError(
                        f"{name}: {rows} x {columns} recurrent weights cannot be cut into {declared.heads} heads; choose "
                        f"a hidden_size that {declared.heads} divides"
                    )

    def _check_constant(self, name: str, values: Tensor, letters: tuple[str, ...]) -> Tensor:
        shape = tuple(map(self._sizes, letters))
        if tuple(values.shape) != shape:
            raise SizeError(
                f"{type(self).__name__}: the cell's constant {name} has shape {tuple(values.shape)}, and with "
                f"hidden_size={self.hidden_size} it needs {shape}"
            )
        return values.clone()

    def _check_input(self, x: Tensor) -> None:
        name = type(self).__name__
        weight = self.weight_ih_l0
        if x.shape[-1] != self.input_size:
            raise SizeError(
                f"{name}: input.size(-1) must be equal to input_size. Expected {self.input_size}, got {x.shape[-1]}"
            )
        batches.check_type(name, "input", x, weight)
        if x.shape[0] == 0:
            raise SizeError(f"{name}: Expected sequence length to be larger than 0 in RNN; the input has no steps")

    def _rates(self, zoneout: float | Mapping[str, float]) -> tuple[float, ...]:
        by_name = zoneout if isinstance(zoneout, Mapping) else dict.fromkeys(self.cell.states, zoneout)
        strange = set(by_name) - set(self.cell.states)
        if strange:
            raise ArgumentError(f"zoneout names {min(strange)!r}; the cell's states are {', '.join(self.cell.states)}")
        rates = tuple(_probability("zoneout", by_name.get(name, 0.0)) for name in self.cell.states)
        return rates if any(rates) else ()

    def extra_repr(self) -> str:
        """Sizes and whatever differs from the default, as torch writes it."""
        text = f"{self.input_size}, {self.hidden_size}"
        defaults: dict[str, object] = {
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        defaults |= {
            "variational_dropout": 0.0,
            "recurrent_dropout": 0.0,
            "zoneout": (),
            "learned_initial_state": False,
            "checkpoint_every": None,
        }
        changed = {k: getattr(self, k) for k, v in defaults.items() if getattr(self, k) != v}
        return text + "".join(f", {k}={v}" for k, v in changed.items())


def _made(cell: Any) -> Cell:
    """A cell, or one of a class that needs no arguments."""
    if isinstance(cell, Cell):
        return cell
    if not (isinstance(cell, type) and issubclass(cell, Cell)):
        raise ArgumentTypeError(
            f"Recurrent: cell is {cell!r}; give a pellucid.Cell or a class of them, such as pellucid.cells.LSTM"
        )
    try:
        inspect.signature(cell).bind()
    except TypeError as error:
        raise ArgumentTypeError(
            f"Recurrent: {cell.__name__} needs arguments ({error}); give {cell.__name__}(...)"
        ) from None
    return cell()


def _is_short(number: float) -> bool:
    """Whether every number type holds it as it is: bfloat16 has 8 significant bits, float16 powers of two from -14 to 15."""
    if not number or math.isinf(number):
        return True
    fraction, power = math.frexp(number)
    return (256 * fraction).is_integer() and -13 <= power <= 16


def _probability(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Number) or not 0 <= value <= 1 or math.isnan(value):
        raise ArgumentError(
            f"{name} should be a number in range [0, 1] representing the probability of an element being zeroed, and "
            f"is {value!r}"
        )
    return float(value)
