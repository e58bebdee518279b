"""Where a run's folder is, and on which device it goes on: the one that it was begun on.

Figures of different devices differ in rounding, so none are mixed. Where a person leaves the device open and the question was
begun on another one, that is gone on with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from glob import escape
from pathlib import Path

from pellucid import device
from pellucid.errors import DataError
from pellucid.lab import sealed
from pellucid.lab.plan import Plan
from pellucid.lab.runs import Config, Run, default_folder


def place(made: Plan, out: Path | None, *, open_: bool, fresh: bool = False) -> tuple[Plan, Path]:
    """The run's folder, and the plan on the device that it was begun on.

    Args:
        made: the plan, on the device that was chosen.
        out: the folder, where the person named one.
        open_: whether the person left the device open.
        fresh: whether the run starts anew, and so on the chosen device.

    Raises:
        DataError: the run was begun on a GPU that is not here, and is not finished.
    """
    own = out or default_folder(made.task.source, made.config)
    if not open_ or fresh or (out is None and (own / "config.json").exists()):
        return made, own
    for folder, config in _begun([out] if out else sorted(own.parent.glob(escape(own.name[:-8]) + 8 * "?"))):
        if config != made.config and config.model_copy(update={"device": made.config.device}) == made.config:
            return _on(made, config, folder), folder
    return made, own


def _begun(folders: list[Path]) -> Iterator[tuple[Path, Config]]:
    for folder in folders:
        try:
            yield folder, sealed.load_record(folder / "config.json", Config)
        except (OSError, sealed.DamagedError):
            continue  # whoever goes on there says what is wrong


def _on(made: Plan, config: Config, folder: Path) -> Plan:
    """The plan on the device of a configuration; of a finished run nothing is computed, and any device will do."""
    there = device.called(config.device)
    if there is None and Run(folder).result() is None:
        raise DataError(
            f"{folder} was begun on the {config.device}, and this machine has none; go on with it on a machine that has, or "
            f"begin anew with --device {made.device.type}"
        )
    return replace(made, config=config, device=there or made.device)
