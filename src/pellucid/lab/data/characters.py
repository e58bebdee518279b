"""A plain text: say the next character, word piece by word piece where there is much of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.data import tokens as cutting
from pellucid.lab.data.inputs import Inputs, understood
from pellucid.lab.data.metrics import bits_per_character, perplexity
from pellucid.lab.data.ngrams import ngram
from pellucid.lab.data.paging import HELD, allowed, paged
from pellucid.lab.data.plain import Part, Text
from pellucid.lab.data.ragged import Ragged
from pellucid.lab.data.split import digest
from pellucid.lab.task import Split, Task

Codes = NDArray[np.int64]
FRACTIONS = (0.9, 0.05)
MUCH = 5_000_000  # characters above which subwords are the default


def load(source: Path, *, window: int = 64, tokens: str | None = None, memory: float = HELD) -> Task:
    """Read a text, split it 90/5/5 % in its order, cut each part into windows that do not overlap.

    Args:
        source: plain text in UTF-8; it is brought to Unicode's composed form and one kind of line end.
        window: tokens of a window.
        tokens: characters or subwords; by the amount of text where None.
        memory: GB of text and tokens to hold in memory; more lies in files that the operating system pages.

    Raises:
        DataError: the file is not UTF-8, holds NUL, or is too short for one window in each part.
        ArgumentError: tokens that cannot write every text, a memory that cannot be.
    """
    held = allowed(memory)
    text = Text(source, held / 2)
    if not len(text):
        raise DataError(f"{source}: the file is empty; give a text")
    ends = (0, int(len(text) * FRACTIONS[0]), int(len(text) * sum(FRACTIONS)), len(text))
    parts = [text.part(start, stop) for start, stop in itertools.pairwise(ends)]
    way = cutting.chosen(tokens or ("characters" if len(text) < MUCH else "subwords"), len(parts[0]))
    if way == "words":
        raise ArgumentError(
            "tokens is 'words', and words that the training part does not have could not be written; give characters or "
            "subwords for a plain text"
        )
    cut = cutting.learn(way, parts[0], padding=False)
    codes = [_codes(part, cut, held * len(part) / max(1, len(text))) for part in parts]
    if min(map(len, codes)) <= window:
        needed = math.ceil((window + 2) / (1 - sum(FRACTIONS)) * len(text) / max(1, sum(map(len, codes))))
        raise DataError(
            f"{source}: the text has {len(text)} characters, and at least {needed} are needed for windows of {window} {way}"
        )
    splits = [_windows(code, window, cut.one) for code in codes]
    names = ("train", "validation", "test")
    written, known = _kinds(text), _kinds(parts[0])
    unknown = len(written - set(cut.vocabulary)) if way == "characters" else 0
    kinds = len(cut.vocabulary)
    facts = [("Text", f"{len(text):,} characters of {len(known):,} kinds in the training part")]
    if way == "subwords":
        share = len(parts[0]) / len(codes[0])
        facts.append(("Tokens", f"{kinds:,} subwords, learnt from the training part; {share:.2f} characters each"))
    elif unknown:
        facts.append(("Unknown", f"{unknown:,} kinds of characters come only later and count as one"))
    if text.line_ends:
        facts.append(("Line ends", "of several kinds, or of Windows, read as line feeds"))
    facts.append(("Split", "in order: " + ", ".join(f"{len(p):,} {n}" for p, n in zip(parts, names, strict=True))))
    facts.append(("Windows", f"of {window} {way} that do not overlap; memory starts empty in each"))
    facts += paged(8 * sum(map(len, codes)), held, "tokens")
    return Task(
        kind="characters",
        form="tokens",
        goal="next",
        source=source,
        title=f"{len(text):,} characters of {len(written):,} kinds"
        + (f", as {kinds:,} subwords" if way == "subwords" else ""),
        fingerprint=digest(text.pieces, f"characters {window} {way}"),
        channels=kinds,
        extent=(window,),
        outputs=kinds,
        labels=tuple(cut.vocabulary),
        horizon=0,
        scale=((), ()),
        step="",
        metric=bits_per_character(torch.tensor(cut.begins)),
        baseline=ngram(codes, cut.begins, window, len(splits[2])),
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        facts=tuple(facts),
        cautions=(),
        preprocessing={"kind": "characters", "tokens": way, "window": window, **cut.state},
        figures=(perplexity(cut.one),),
        decode=cut.decode,
    )


def prepare(text: str, how: Mapping[str, Any]) -> Inputs:
    """A prompt as the networks saw the text of training: tokens (1, T), all of it; its item is the prompt itself.

    Raises:
        DataError: the prompt is empty.
    """
    understood(how, "tokens", "window", cutting.state_key(how))
    if not text:
        raise DataError("the prompt is empty; give at least one character to go on from")
    prompt, cut = cutting.normal(text), cutting.again(how)
    strange = sorted(set(prompt) - set(cut.vocabulary)) if cut.way == "characters" else []
    notes = (f"The training text has no {' '.join(map(repr, strange[:5]))}; read as unknown.",) if strange else ()
    return Inputs(torch.tensor(cut.encode([prompt])), None, [prompt], notes=notes)


def _kinds(pieces: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for piece in pieces:
        found.update(piece)
    return found


def _codes(part: Part, cut: cutting.Tokens, held: float) -> Codes:
    """The token numbers of a part."""
    found = Ragged(held)
    for piece in part:
        found.append(np.array(cut.encode([piece])[0], dtype=np.int64).tobytes())
    return found.flat(np.int64)


def _windows(codes: Codes, window: int, one: str) -> Split:
    count = (len(codes) - 1) // window
    every = torch.from_numpy(codes[: count * window + 1])
    return Split(
        every[:-1].reshape(count, window),
        every[1:].reshape(count, window),
        None,
        [f"{one} {i * window + 1}" for i in range(count)],
    )
