"""Whole networks, trained side by side to the same accuracy on the same data: ``make bench-convolution``.

LeNet-5 on 28 x 28 images and a six-layer CNN on 32 x 32 colour images, with torch.nn's layers and as ``pellucid.fuse`` makes
them of these, from the same weights, on the same batches in the same order, an epoch in turn. The images are scikit-learn's
digits, enlarged (and coloured at random); ``--images`` names an .npz with ``x`` (N, 28, 28) and ``y`` (N,) instead.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pellucid

BATCH, GOAL, MOST_EPOCHS = 64, 0.95, 40
SEEDS = 5  # of the weights: roundings decide how many epochs one training takes
SIDES = ("pellucid", "torch")


def lenet() -> nn.Sequential:
    """LeNet-5 (LeCun et al. 1998) with ReLU and max pooling."""
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def six_layers() -> nn.Sequential:
    """Six convolutions, pooled after every second."""
    layers: list[nn.Module] = []
    for into, out in ((3, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(into, out, 3, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(out, out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 16, 10))


NETWORKS: dict[str, tuple[Callable[[], nn.Sequential], int, int]] = {
    "LeNet-5": (lenet, 1, 28),
    "six layers": (six_layers, 3, 32),
}


def data(images: Path | None, channels: int, size: int) -> tuple[Tensor, Tensor]:
    """Images (N, channels, size, size) and their classes."""
    if images is None:
        from sklearn.datasets import load_digits

        found = load_digits()
        x, y = torch.tensor(found.images / 16.0), torch.tensor(found.target)
    else:
        with np.load(images) as file:
            names = sorted(file.files, key=lambda name: file[name].ndim)
            x, y = torch.tensor(file[names[-1]] / 255.0), torch.tensor(file[names[0]]).long()
    x = F.interpolate(x.float()[:, None], (size, size), mode="bilinear")
    if channels > 1:
        x = x * torch.rand(len(x), channels, 1, 1, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    return x[order], y[order]


def made(network: str, side: str, seed: int = 0) -> nn.Module:
    """The network of one side; both have the same weights."""
    torch.manual_seed(seed)
    model = NETWORKS[network][0]()
    return model if side == "torch" else pellucid.fuse(model).model


def epochs(model: nn.Module, x: Tensor, y: Tensor) -> Iterator[tuple[float, float]]:
    """Train; the seconds and the accuracy on a fifth that is kept apart, epoch by epoch."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    test = len(x) // 5
    for epoch in range(MOST_EPOCHS):
        order = torch.randperm(len(x) - test, generator=torch.Generator().manual_seed(epoch)) + test
        begin = time.perf_counter()
        for batch in order.split(BATCH):
            optimiser.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimiser.step()
        seconds = time.perf_counter() - begin
        with torch.no_grad():
            right = (model(x[:test]).argmax(1) == y[:test]).float().mean()
        yield seconds, float(right)


def compare(network: str, images: Path | None, threads: int) -> dict[str, Any]:
    """Both sides from each seed's weights; medians, and the epochs of each."""
    torch.set_num_threads(threads)
    x, y = data(images, *NETWORKS[network][1:])
    trainings = [training(network, seed, x, y) for seed in range(SEEDS)]
    found: dict[str, dict[str, Any]] = {}
    for side in SIDES:
        seconds = [each[side] for each in trainings]
        found[side] = {
            "epochs": [len(one) for one in seconds],
            "seconds": float(np.median([sum(one) for one in seconds])),
            "epoch": float(np.median(np.concatenate(seconds))),
        }
    row = {"table": "networks", "cell": network, "size": [len(x)], "mode": "training", "threads": threads}
    return row | {"allocator": "system", "goal": GOAL, "sides": found}


def training(network: str, seed: int, x: Tensor, y: Tensor) -> dict[str, list[float]]:
    """The seconds of each side's epochs until it has the accuracy; an epoch in turn."""
    sides = {side: epochs(made(network, side, seed), x, y) for side in SIDES}
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    while sides:
        for side, running in list(sides.items()):
            taken, accuracy = next(running, (0.0, -1.0))
            if accuracy < 0:
                sys.exit(f"{network}, {side}: {MOST_EPOCHS} epochs did not reach {GOAL}")
            seconds[side].append(taken)
            if accuracy >= GOAL:
                del sides[side]
    return seconds


def peak_memory(network: str, side: str, images: Path | None, threads: int) -> float:
    """Megabytes that training needs at most above what the process had before, in a process of its own (Linux)."""
    torch.set_num_threads(threads)
    x, y = data(images, *NETWORKS[network][1:])
    running = epochs(made(network, side), x[: 20 * BATCH], y[: 20 * BATCH])
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten: proc(5)
    before = _status("VmRSS")
    next(running)
    return (_status("VmHWM") - before) / 1024


def _status(name: str) -> int:
    """Kilobytes, of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where the rows go, one JSON object a line")
    parser.add_argument("--images", type=Path, help="an .npz of 28 x 28 images and their classes")
    parser.add_argument(
        "--memory", nargs=3, metavar=("NETWORK", "SIDE", "THREADS"), help="only this; used by the benchmark itself"
    )
    given = parser.parse_args()
    if given.memory:
        network, side, threads = given.memory
        print(peak_memory(network, side, given.images, int(threads)))
        return
    for threads in (1, 2):
        for network in NETWORKS:
            row = compare(network, given.images, threads)
            for side in SIDES:
                command = [sys.executable, "-m", "benchmarks.networks", "--memory", network, side, str(threads)]
                command += ["--images", str(given.images)] if given.images else []
                row["sides"][side]["megabytes"] = float(
                    subprocess.run(command, capture_output=True, check=True, text=True).stdout
                )
            print(json.dumps(row), flush=True)
            if given.out:
                with given.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
