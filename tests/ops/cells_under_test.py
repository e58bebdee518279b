"""Every built-in cell with every option, and random runs of them: what the recurrence's tests share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.cells import CTRNN, GRU, LSTM, RNN, SLSTM, Bias, Cell, Matrix
from pellucid.cells.sequence import Variant

SIGNS = [1.0, 1.0, -1.0, -1.0]
CELLS: dict[str, Cell] = {
    "rnn": RNN(),
    "rnn relu": RNN(nonlinearity="relu"),
    "rnn layer norm": RNN(layer_norm=True),
    "rnn heads": RNN(heads=2),
    "gru": GRU(),
    "gru reset before": GRU(reset_before=True),
    "gru layer norm": GRU(layer_norm=True),
    "gru heads": GRU(heads=2, reset_before=True),
    "lstm": LSTM(),
    "lstm peepholes": LSTM(peepholes=True),
    "lstm coupled": LSTM(coupled=True),
    "lstm projected": LSTM(proj_size=2),
    "lstm layer norm": LSTM(layer_norm=True),
    "lstm all": LSTM(peepholes=True, coupled=True, proj_size=3, layer_norm=True),
    "lstm heads": LSTM(heads=2),
    "ctrnn": CTRNN(),
    "ctrnn Dale": CTRNN(mask=1 - torch.eye(4), signs=SIGNS, activation="tanh"),
    "slstm": SLSTM(),
    "slstm heads": SLSTM(heads=2),
}
SURROUNDINGS: dict[str, dict[str, bool]] = {
    "plain": {},
    "no bias": {"bias": False},
    "resets and lengths": {"resets": True, "ragged": True, "initial": False},
    "dropout and zoneout": {"dropout": True, "zoneout": True, "sampled": True},
    "everything, evaluated": {"resets": True, "ragged": True, "dropout": True, "zoneout": True},
}


@dataclass
class Run:
    """The arguments of one recurrence."""

    variant: Variant
    parameters: dict[str, Tensor]
    x: Tensor
    before: list[Tensor]
    inputs: dict[str, Tensor]

    def leaves(self) -> list[Tensor]:
        """Everything that a gradient is wanted for."""
        tensors = [self.x, *self.before, *self.inputs.values(), *self.parameters.values()]
        return [t for t in tensors if t.requires_grad]


def random_run(
    cell: Cell,
    *,
    steps: int = 4,
    batch: int = 3,
    hidden: int = 4,
    bias: bool = True,
    resets: bool = False,
    ragged: bool = False,
    dropout: bool = False,
    zoneout: bool = False,
    sampled: bool = False,
    initial: bool = True,
    seed: int = 0,
) -> Run:
    """Random float64 arguments that fit a cell."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def state(name: str, *shape: int) -> Tensor:
        """In sLSTM h = o c / n, and n is a sum of exponentials: no sequence comes near the pole that a normal draw would cross."""
        drawn = normal(*shape)
        return (0.5 + drawn.abs() if name == "n" else drawn).requires_grad_()

    parameters: dict[str, Tensor] = {}
    for name, declared in cell.parameters.items():
        shape = [cell.size(letter, hidden) for letter in declared.shape]
        shape[0] *= max(len(declared.parts), 1)
        if isinstance(declared, Matrix):
            shape[1] //= declared.heads
        if bias or not isinstance(declared, Bias):
            parameters[name] = (normal(*shape) / 2).requires_grad_()
    for name, constant in cell.constants.items():
        parameters[name] = torch.as_tensor(constant.values, dtype=torch.float64)
    sizes = {name: cell.size(state.size, hidden) for name, state in cell.states.items()}
    if initial:
        parameters |= {f"initial.{name}": state(name, size) for name, size in sizes.items()}
    inputs = {
        name: normal(steps, batch, cell.size(declared.size, hidden)).requires_grad_()
        for name, declared in cell.step_inputs.items()
    }
    if resets:
        inputs["reset"] = normal(steps, batch, 1) > 0.3
    if ragged:
        lengths = torch.tensor([steps, 0, max(steps - 1, 0)]).repeat(batch)[:batch]
        inputs["alive"] = torch.arange(steps)[:, None, None] < lengths[:, None]
    if dropout:
        recurrent = [m for m in cell.parameters.values() if isinstance(m, Matrix) and m.recurrent]
        for letter in sorted({m.shape[1] for m in recurrent}):
            inputs[f"dropout.{letter}"] = 2.0 * (normal(batch, cell.size(letter, hidden)) > 0)
    if zoneout and sampled:
        inputs |= {f"zoneout.{name}": normal(steps, batch, size) > 0.5 for name, size in sizes.items()}
    return Run(
        variant=Variant(
            bias=bias,
            given=frozenset(cell.step_inputs),
            resets=resets,
            ragged=ragged,
            dropout=dropout,
            zoneout=(0.3,) * len(sizes) if zoneout else (),
            sampled=sampled,
            initial=resets and initial,
        ),
        parameters=parameters,
        x=normal(steps, batch, max(len(cell.input[1].parts), 1) * hidden).requires_grad_(),
        before=[state(name, batch, size) for name, size in sizes.items()],
        inputs=inputs,
    )
