"""``pellucid cell``."""

from __future__ import annotations

from pathlib import Path

from pellucid.errors import ArgumentError


def cell(name: str, /, *, inputs: int = 64, hidden: int = 64, latex: bool = False, drawing: Path | None = None) -> None:
    """Show a recurrent cell: its program, its derivative's, and what it costs.

    Examples:

        pellucid cell gru

        pellucid cell lstm --drawing lstm.svg

        pellucid cell my_cell.py:MyCell --latex

    Parameters
    ----------
    name
        rnn, lstm, gru, ctrnn, slstm, or a cell of your own as my_cell.py:MyCell.
    inputs
        Input size that the counts are for.
    hidden
        Hidden size that the counts are for.
    latex
        Print the equations as LaTeX instead.
    drawing
        Write the structure drawing to this SVG file, too.
    """
    from pellucid import cells
    from pellucid.lab.candidates import load_cell

    built_in = {"rnn": cells.RNN, "lstm": cells.LSTM, "gru": cells.GRU, "ctrnn": cells.CTRNN, "slstm": cells.SLSTM}
    if ":" not in name and name.lower() not in built_in:
        raise ArgumentError(f"there is no cell {name!r}; choose from {', '.join(built_in)}, or give my_cell.py:MyCell")
    if inputs < 1 or hidden < 1:
        raise ArgumentError(f"inputs is {inputs} and hidden is {hidden}; both must be 1 or more")
    shown = load_cell(name) if ":" in name else built_in[name.lower()]()
    if drawing is not None:
        try:
            drawing.write_text(shown.diagram(), encoding="utf-8")
        except OSError as error:
            raise ArgumentError(
                f"--drawing {drawing}: cannot be written ({error.strerror}); give a file in a folder that exists and has room"
            ) from error
    if latex:
        print(shown.latex())
        return
    count, work = shown.parameters_count(inputs, hidden), shown.macs(inputs, hidden)
    print(f"{shown.name}: {count:,} parameters, {work:,} multiply-adds a step (inputs {inputs}, hidden {hidden})")
    print("\nforward\n" + shown.derivative().forward.text())
    print("\nbackward\n" + shown.derivative().backward.text())
