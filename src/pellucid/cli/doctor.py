"""``pellucid doctor``."""

from __future__ import annotations

import sys


def doctor(*, shape: str | None = None, json: bool = False) -> None:
    """Say which path, instruction set and number of threads are in use here, and why; and check the engine's numbers.

    The check runs a small LSTM and a small GRU forward and backward, and compares them with their equations and with
    torch.nn. If it fails, the exit code is 1.

    Examples:

        pellucid doctor

        pellucid doctor --shape "28x28x1 | conv 3 16 p1 | relu | pool 2"

    Parameters
    ----------
    shape
        Say instead what computes the convolutions of this chain of layers, written as for `pellucid size`, and why.
    json
        Print the same as JSON.
    """
    if shape is not None:
        from pellucid.doctor_shape import decide, told

        print(told(decide(shape), as_json=json))
        return
    from pellucid.doctor import examine

    report = examine()
    print(report.json() if json else report.text())
    if not report.well:
        sys.stdout.flush()
        sys.exit(1)
