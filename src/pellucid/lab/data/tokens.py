"""Texts as tokens: characters, words, or subwords that are learnt from the training part alone."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from pellucid.errors import ArgumentError
from pellucid.lab.settings import Way

PADDING, UNKNOWN = "<padding>", "<unknown>"
WORDS = 10_000  # the most frequent ones that are known
SUBWORDS = (500, 4000)  # of the vocabulary, by the amount of text
ENOUGH = 200_000  # characters of training text above which subwords are learnt by default


@dataclass(frozen=True)
class Tokens:
    """A way to cut texts into tokens.

    Attributes:
        way: its name; one: what a token is called.
        vocabulary: how a token is shown; its place is its number.
        begins: how many characters each token begins.
        encode: texts to token numbers.
        decode: token numbers to text; characters that are not whole are left out.
        state: what makes it anew: the vocabulary, or the tokenizers library's JSON.
    """

    way: Way
    one: str
    vocabulary: list[str]
    begins: list[int]
    encode: Callable[[Sequence[str]], list[list[int]]]
    decode: Callable[[Sequence[int]], str]
    state: dict[str, object]


def chosen(wanted: str | None, characters: int) -> Way:
    """The way that is asked for, or by the amount of training text: subwords where there is enough to learn them.

    Raises:
        ArgumentError: there is no such way.
    """
    if wanted is None:
        return "subwords" if characters >= ENOUGH else "characters"
    if wanted not in ("characters", "subwords", "words"):
        raise ArgumentError(f"tokens is {wanted!r}; choose characters, subwords or words")
    return wanted  # type: ignore[return-value]


def learn(way: Way, texts: Iterable[str], *, padding: bool) -> Tokens:
    """The tokens of a training part.

    Args:
        way: characters: those that are there (with ``padding``, where texts are classified, at least twice); words: runs of
            letters and digits, and single other characters, in small letters, at least twice; subwords: byte-pair encoding
            (Sennrich et al. 2016) of UTF-8 bytes (Radford et al. 2019), which can write any text.
        texts: of the training part; they are gone over twice.
        padding: whether token 0 fills up what is short; then 1 stands for the unknown.
    """
    if way == "characters":
        counts = Counter(c for text in texts for c in text)
        if padding:
            return of_characters([PADDING, UNKNOWN, *sorted(c for c, count in counts.items() if count > 1)])
        return of_characters([REPLACEMENT, *sorted(set(counts) - {REPLACEMENT})])
    special = [PADDING, UNKNOWN] if padding else []
    trainer: trainers.Trainer
    if way == "words":
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordLevelTrainer(
            vocab_size=WORDS, min_frequency=2, special_tokens=special, show_progress=False
        )
        texts = (text.lower() for text in texts)
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        size = min(max(sum(map(len, texts)) // 200, SUBWORDS[0]), SUBWORDS[1])
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=2,
            special_tokens=special,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
    tokenizer.train_from_iterator(texts, trainer)
    return of_tokenizer(way, tokenizer.to_str())


REPLACEMENT = "\ufffd"  # Unicode's character for the unknown


def of_characters(vocabulary: list[str]) -> Tokens:
    """Tokens that are characters; where the first is padding the second stands for the unknown, otherwise the first."""
    number = {c: k for k, c in enumerate(vocabulary)}
    unknown = 1 if vocabulary[0] == PADDING else 0

    def encode(texts: Sequence[str]) -> list[list[int]]:
        return [[number.get(c, unknown) for c in text] for text in texts]

    def decode(tokens: Sequence[int]) -> str:
        return "".join(vocabulary[t] for t in tokens)

    begins = [1] * len(vocabulary)
    return Tokens("characters", "character", vocabulary, begins, encode, decode, {"vocabulary": vocabulary})


def of_tokenizer(way: Way, state: str) -> Tokens:
    """Words or subwords from the tokenizers library's JSON."""
    tokenizer = Tokenizer.from_str(state)
    names = [tokenizer.id_to_token(k) or "" for k in range(tokenizer.get_vocab_size())]
    special = {PADDING, UNKNOWN}
    byte = _bytes()
    begins, shown = [], []
    for name in names:
        plain = name in special or way == "words"
        raw = name.encode() if plain else bytes(byte[c] for c in name)
        begins.append(sum(b & 0xC0 != 0x80 for b in raw))  # bytes of UTF-8 that begin a character
        shown.append(name if plain else raw.decode("utf-8", "backslashreplace"))

    def encode(texts: Sequence[str]) -> list[list[int]]:
        wanted = [text.lower() for text in texts] if way == "words" else list(texts)
        return [found.ids for found in tokenizer.encode_batch(wanted, add_special_tokens=False)]

    def decode(tokens: Sequence[int]) -> str:
        if way == "words":
            return " ".join(names[t] for t in tokens)
        raw = b"".join(bytes(byte[c] for c in names[t]) for t in tokens if names[t] not in special)
        return raw.decode("utf-8", "ignore")

    return Tokens(way, way.removesuffix("s"), shown, begins, encode, decode, {"tokenizer": state})


def state_key(how: Mapping[str, Any]) -> str:
    """What a preprocessing that names its tokens calls their state."""
    return "vocabulary" if how.get("tokens") == "characters" else "tokenizer"


def again(how: Mapping[str, Any]) -> Tokens:
    """The tokens of a task, from its preprocessing."""
    state = how[state_key(how)]
    return of_characters(state) if how["tokens"] == "characters" else of_tokenizer(how["tokens"], state)


def normal(text: str) -> str:
    """Composed (Unicode NFC), so that equal characters are equal, and with line ends of one kind."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))


def _bytes() -> dict[str, int]:
    """The byte that each character of the byte-level alphabet stands for (Radford et al. 2019): printable ones for themselves."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in own]
    return {chr(b): b for b in own} | {chr(256 + k): b for k, b in enumerate(others)}
