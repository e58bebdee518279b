"""``pellucid export``."""

from __future__ import annotations

from pathlib import Path


def export(run: Path, network: str, /, *, to: Path, seed: int = 1, cell: str | None = None) -> None:
    """Write a trained network as an ONNX model, after a check of it against ONNX Runtime on test items.

    The preprocessing of the data, the labels and the scale stand in the model's metadata, under "pellucid".

    Examples:

        pellucid export runs/photos-1a2b3c4d cnn --to model.onnx

        pellucid export runs/sales-1a2b3c4d mycell --to model.onnx --cell moved/my_cell.py:MyCell

    Parameters
    ----------
    run
        Folder of the run.
    network
        Which network, by its name in the comparison: cnn, gru2, a cell of your own.
    to
        The file to write.
    seed
        Which of the network's trainings.
    cell
        Where a cell of your own stands now, as my_cell.py:MyCell, if its file was moved.
    """
    from pellucid.lab.export import export as write

    model, difference = write(run, network, to, seed=seed, cell=cell)
    for what, values in (("input", model.graph.input), ("output", model.graph.output)):
        for value in values:
            axes = (str(d.dim_param or d.dim_value) for d in value.type.tensor_type.shape.dim)
            print(f"{what:6}  {value.name} ({', '.join(axes)})")
    print(
        f"{to}: {to.stat().st_size / 1e3:.3g} kB; ONNX Runtime differs by at most {difference:.1e} of the largest output"
    )
