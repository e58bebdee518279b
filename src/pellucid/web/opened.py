"""What a page looks into: networks, the items that they are shown, and what a trace saw of each."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar, cast

from torch import Tensor, nn

from pellucid.errors import ArgumentError
from pellucid.web import passes
from pellucid.web.passes import Gradients, Pass
from pellucid.web.reading import Numbers, Reading

Form = Literal["image", "sequence", "tokens"]
T = TypeVar("T")
REMEMBERED = 8  # of each kind of pass, the least recently asked for dropped first
KEPT = 64  # of what else is computed once, a few numbers each
MOST_ITEMS = 512  # that are open at a time
LARGEST = 32 * 2**20  # bytes of a file that a person gives
NAME = 100  # characters of a file's name that are kept


@dataclass(frozen=True)
class Item:
    """One input as it is fed to every network, alone in its batch.

    Attributes:
        name: what the page calls it.
        x: the input without a batch's axis: an image (C, H, W), a volume (C, D, H, W), a sequence (T, I), tokens (T,).
        args: what the model is called with: the input as a batch of one, and lengths where it takes them.
        tokens: of a text, what each step's token says; empty elsewhere.
        answer: the right answer in words, where it is known.
        truth: the right answer as the networks are trained on it: a class (), next tokens (T,) with -1 for what nobody knows,
            a forecast (horizon, 1) scaled like ``x``; None where it is not known.
        scale: (2, C) offset and factor of each channel: a value in its own unit is scaled * factor + offset; None where
            values are their own.
        ahead: the times that are forecast, as text.
        origin: the number of the item that this one was made of by changing some of its numbers; None of any other.
    """

    name: str
    x: Tensor
    args: tuple[Tensor | None, ...]
    tokens: tuple[str, ...] = ()
    answer: str = ""
    truth: Tensor | None = None
    scale: Tensor | None = None
    ahead: tuple[str, ...] = ()
    origin: int | None = None

    @property
    def own(self) -> Tensor:
        """``x`` in its own unit: an image's channels 0 to 1, a series' columns as the table has them."""
        if self.scale is None:
            return self.x
        offset, factor = (s[:, None, None] if self.x.ndim == 3 else s for s in self.scale)
        own: Tensor = self.x * factor + offset
        return own


def flat(image: Tensor) -> Tensor:
    """(C, H, W) of an image; of a volume (C, D, H, W) its middle slice."""
    return image if image.ndim == 3 else image[:, image.shape[1] // 2]


def plain(name: str) -> str:
    """The name of a file that a person gives, without folders and what no file's name should hold, and of a sensible length."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(c for c in last if c.isprintable()).strip(". ") or "given"
    suffix = Path(kept).suffix[: NAME // 4]
    return kept[: NAME // 4 - len(suffix)] + suffix if len(kept.encode()) > NAME else kept


@dataclass(frozen=True)
class Taking:
    """What a person may give while the page is open.

    Attributes:
        read: makes items of a file's name and its bytes; what cannot be read is an error of :mod:`pellucid.errors`.
        suffixes: of files that can be read.
        text: whether a text may be typed; it comes as the file ``typed.txt``.
        drawn: whether a small grey picture may be drawn; it comes as the file ``drawn.png``.
    """

    read: Callable[[str, bytes], Sequence[Item]]
    suffixes: tuple[str, ...]
    text: bool = False
    drawn: bool = False


@dataclass(frozen=True)
class Opening:
    """A network to look into.

    Attributes:
        name: short and unique, such as ``"lstm"``; label: for reading, ``"LSTM"``.
        model: the page's own, in evaluation mode and without parameters that need gradients, on any device; items are in the
            processor's memory.
        sentence: what it is made of; empty where nobody said.
    """

    name: str
    label: str
    model: nn.Module
    sentence: str = ""


@dataclass
class Opened:
    """All that a page can be asked about.

    Attributes:
        title: of the data or the model.
        form: what an item is.
        networks, items: see there. New items may be added at the end while the page is open.
        labels: the classes, or the names of what is forecast; empty where nobody said.
        columns: the names of a sequence's channels; empty where nobody said.
        reading: how outputs are read.
        takes: what a person may give; None where nothing can be given.
    """

    title: str
    form: Form
    networks: Sequence[Opening]
    items: list[Item]
    labels: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    reading: Reading = field(default_factory=Numbers)
    takes: Taking | None = None
    _passes: OrderedDict[tuple[object, ...], Pass] = field(default_factory=OrderedDict)
    _gradients: OrderedDict[tuple[object, ...], Gradients] = field(default_factory=OrderedDict)
    _known: OrderedDict[tuple[object, ...], object] = field(default_factory=OrderedDict)
    _shelves: threading.Lock = field(default_factory=threading.Lock)
    _lock: threading.RLock = field(default_factory=threading.RLock)  # while a model runs, or a graph is gone back along

    def network(self, name: str) -> Opening:
        """A network by its name.

        Raises:
            ArgumentError: there is none.
        """
        for network in self.networks:
            if network.name == name:
                return network
        raise ArgumentError(f"there is no network {name!r}; there are {', '.join(n.name for n in self.networks)}")

    def item(self, number: int) -> Item:
        """An item by its number, from 0.

        Raises:
            ArgumentError: there is none.
        """
        if not 0 <= number < len(self.items):
            raise ArgumentError(f"item {number} does not exist; there are {len(self.items)}, counted from 0")
        return self.items[number]

    def give(self, name: str, data: bytes) -> tuple[int, int]:
        """Read what a person gave, and add it to the items; the number of the first new one, and how many are new.

        Raises:
            DataError: it cannot be read.
            ArgumentError: nothing can be given here, or no more.
        """
        if self.takes is None:
            raise ArgumentError("nothing can be given here: the model was opened with its own input")
        items = self.takes.read(name, data)
        return self.add(items), len(items)

    def add(self, items: Sequence[Item]) -> int:
        """Open further items at the end; the number of the first.

        Raises:
            ArgumentError: there is room for no more.
        """
        with self._lock:
            if len(self.items) + len(items) > MOST_ITEMS:
                raise ArgumentError(
                    f"{len(self.items)} inputs are open, and there is room for {MOST_ITEMS}; open the page anew"
                )
            self.items.extend(items)
            return len(self.items) - len(items)

    def alone(self) -> AbstractContextManager[object]:
        """While the block runs, no other question runs a model or goes back along its graph: for those that do so on their own."""
        return self._lock

    def once(self, about: tuple[object, ...], compute: Callable[[], T]) -> T:
        """What takes longer than a person waits, and is asked for again: kept for the same key."""
        if (known := self._found(self._known, about)) is not None:
            return cast("T", known)
        found = compute()  # in the meantime other questions are answered
        with self._shelves:
            self._known[about] = found
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return found

    def seen(self, name: str, number: int) -> Pass:
        """What a network computes on an item, with its graph; computed once and kept for the next questions."""
        return self._kept(self._passes, (name, number), lambda: self._run(name, number, graph=True))

    def seen_anew(self, name: str, number: int) -> Pass:
        """The same as the model is now, or of an item that nobody will ask about again: without a graph, and not kept."""
        return self._run(name, number, graph=False)

    def gradients(
        self,
        name: str,
        number: int,
        key: str,
        of: Callable[[Pass], Tensor],
        along: Callable[[Pass, Tensor], Gradients] = passes.gradients,
    ) -> Gradients:
        """The gradient of a number of the pass with respect to all that was seen in it; computed once, and kept.

        Args:
            name: of the network.
            number: of the item.
            key: says which number it is, and which way back is taken: the same key is computed once.
            of: from the pass to the number; it may take any value seen, or the output.
            along: the way back from the number.

        Raises:
            ArgumentError: no gradient leads back from it.
        """

        def compute() -> Gradients:
            done = self.seen(name, number)
            return along(done, of(done))

        return self._kept(self._gradients, (name, number, key), compute)

    def _kept(self, shelf: OrderedDict[tuple[object, ...], T], key: tuple[object, ...], compute: Callable[[], T]) -> T:
        # Who asks for what is there does not wait for a pass that runs.
        if (known := self._found(shelf, key)) is not None:
            return known
        with self._lock:
            if (known := self._found(shelf, key)) is not None:
                return known
            with self._shelves:
                while len(shelf) >= REMEMBERED:  # before, so that its memory serves what is computed now
                    shelf.popitem(last=False)
            found = compute()
            with self._shelves:
                shelf[key] = found
            return found

    def _found(self, shelf: OrderedDict[tuple[object, ...], T], key: tuple[object, ...]) -> T | None:
        with self._shelves:
            if key in shelf:
                shelf.move_to_end(key)
            return shelf.get(key)

    def _run(self, name: str, number: int, *, graph: bool) -> Pass:
        item, model = self.item(number), self.network(name).model
        with self._lock:
            return passes.run(model, item.args, graph=graph)
