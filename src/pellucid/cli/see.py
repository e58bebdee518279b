"""``pellucid see``."""

from __future__ import annotations

import json as text
import os
import sys
import tempfile
import webbrowser
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from pellucid.errors import ArgumentError, DataError

if TYPE_CHECKING:
    import torch

    from pellucid.web.opened import Opened


def see(
    run_or_model: str | None = None,
    data: Path | None = None,
    /,
    *,
    seed: int = 1,
    cell: str | None = None,
    weights: Path | None = None,
    labels: str | None = None,
    device: str = "auto",
    port: int = 0,
    browser: bool = True,
    json: bool = False,
) -> None:
    """Open trained networks in a page: what every filter and every gate does with an input, step by step.

    RUN_OR_MODEL is a folder that compare wrote, or a model of your own as my_model.py:MyModel: a torch.nn.Module, or a class
    or function that makes one without arguments. The page is served to this machine alone, until Ctrl-C. Without arguments
    it opens the guide.

    DATA: for a run new data of its kind (default: test items that the run kept); for a model its batch: an image, or an array
    as .npz, .npy or .safetensors (images (N, C, H, W), sequences (N, T, I), tokens (N, T); (T, N, ...) where it reads time first).

    Examples:

        pellucid see runs/photos-1a2b3c4d

        pellucid see runs/sales-1a2b3c4d sales-to-date.csv

        pellucid see my_model.py:MyModel batch.npz --weights my_model.safetensors

    Parameters
    ----------
    run_or_model
        Folder of a run, or a model as file.py:name (the file is run).
    data
        What the networks are shown.
    seed
        Of a run: which training of each network.
    cell
        Of a run: where a cell of your own stands now, as my_cell.py:MyCell, if its file was moved.
    weights
        Of a model: its weights, as .safetensors.
    labels
        Of a model: the classes of its scores, such as cat,dog.
    device
        Who computes: cpu, cuda, cuda:1, or auto (an NVIDIA GPU where there is one), whichever trained.
    port
        On which the page is served (default: a free one).
    browser
        Open the page in a browser, where there is a screen.
    json
        Print the address as JSON on standard output.
    """
    from pellucid.device import choose, working
    from pellucid.web.see import serve

    on = choose(device)
    names = tuple(name.strip() for name in labels.split(",")) if labels else ()
    opened = _opened(run_or_model, data, seed, cell, weights, names, on)
    page = serve(opened, port)
    try:
        print(text.dumps({"url": page.url}) if json else page.url, flush=True)
        networks = ", ".join(network.label for network in opened.networks)
        about = f"{networks} on {opened.title}, {len(opened.items)} inputs. " if networks else ""
        print(f"{about}Open this address in a browser of this machine; Ctrl-C ends it.", file=sys.stderr, flush=True)
        with working(on), tempfile.TemporaryDirectory(prefix="pellucid-") as folder:
            if browser and _has_screen():
                webbrowser.open(_way_to(page.url, Path(folder)))
            page.wait()
    except KeyboardInterrupt:
        print(file=sys.stderr)  # behind the terminal's ^C
    finally:
        page.close()


def _opened(
    wanted: str | None,
    data: Path | None,
    seed: int,
    cell: str | None,
    weights: Path | None,
    labels: tuple[str, ...],
    on: torch.device,
) -> Opened:
    if wanted is None:
        from pellucid.web.model import of_nothing

        return of_nothing()
    path = Path(wanted)
    is_model = ":" in wanted and not path.exists()
    if is_model:
        if cell is not None or seed != 1:
            raise ArgumentError("--seed and --cell are for a run, and this is a model of your own; leave them out")
        from pellucid.web.named import of_named

        return of_named(wanted, data, weights, on, labels=labels)
    for option, given in (("--weights", weights), ("--labels", labels)):
        if given:
            raise ArgumentError(f"{option} is for a model as my_model.py:MyModel, and {wanted} is none; leave it out")
    if path.is_file() or path.suffix:
        _refuse(path)
    from pellucid.web.run import of_run

    return of_run(path, data, seed=seed, cell=cell, on=on)


def _refuse(path: Path) -> None:
    """A file alone is no network that can be opened; say what is missing."""
    from pellucid.web.named import PICKLED, REFUSED

    suffix = path.suffix.lower()
    if suffix in PICKLED:
        raise DataError(f"{path}: {REFUSED}, and name the model as my_model.py:MyModel --weights weights.safetensors")
    if not path.exists() or path.is_dir():
        return  # whoever opens a run says what is wrong
    if suffix == ".safetensors":
        raise DataError(f"{path}: these are weights alone; name the model, too: my_model.py:MyModel --weights {path}")
    if suffix == ".py":
        raise DataError(f"{path}: a Python file; say which model in it is meant, as {path}:MyModel")
    raise DataError(f"{path}: this is no run and no model; give a folder that compare wrote, or my_model.py:MyModel")


def _has_screen() -> bool:
    """Whether a browser that is opened here can be seen."""
    if sys.platform in ("darwin", "win32"):
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _way_to(url: str, folder: Path) -> str:
    """A file that leads to the page and that nobody else may read: every user of a machine sees what programs are called with."""
    way = folder / "page.html"
    way.write_text(f'<meta charset="utf-8"><meta http-equiv="refresh" content="0;url={escape(url)}">', encoding="utf-8")
    return way.as_uri()
