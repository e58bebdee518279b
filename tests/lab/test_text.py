"""The promise: any script, cut into characters, subwords or words; figures that compare across them; no padding seen."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.lab import tasks

from pellucid.errors import ArgumentError, DataError
from pellucid.lab import data
from pellucid.lab.candidates import blueprint
from pellucid.lab.counted import some
from pellucid.lab.data.tokens import learn, normal, of_characters, of_tokenizer
from pellucid.lab.goals import GOALS

REAL = Path(__file__).parents[2].parent / "shared" / "data"
SCRIPTS = "영화 정말 좋아요 the film is good хороший фильм 很好的电影 ممتاز 👩‍👩‍👧 é\n"


@pytest.mark.parametrize("way", ["characters", "subwords"])
def test_texts_of_every_script_are_written_back(way: str) -> None:
    tokens = learn(way, [SCRIPTS * 20], padding=False)  # type: ignore[arg-type]
    (codes,) = tokens.encode([SCRIPTS])
    assert tokens.decode(codes) == SCRIPTS
    assert sum(tokens.begins[c] for c in codes) == len(SCRIPTS)


def test_subwords_write_what_training_never_had_and_never_half_a_character() -> None:
    tokens = learn("subwords", ["only plain letters here " * 20], padding=False)
    (codes,) = tokens.encode(["한글"])
    assert tokens.decode(codes) == "한글"
    assert tokens.decode(codes[:-1]) == "한"
    assert sum(tokens.begins[c] for c in codes) == 2


@pytest.mark.parametrize(
    ("longest", "said"),
    [
        (100, "the first 100 characters of each text are read; no text is longer"),
        (23, "the first 23 characters of each text are read; 1 text is longer"),
    ],
)
def test_how_much_of_a_text_is_read_is_told(longest: int, said: str, tmp_path: Path) -> None:
    rows = [f"{'one, two and three words' if k == 3 else f'some words, {k}'};{k % 2}" for k in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["text;label", *rows]))
    task = data.load(tmp_path / "a.csv", longest=longest, tokens="characters")
    assert dict(task.facts)["Length"] == said


def test_parts_of_several_are_counted_in_words() -> None:
    assert some(1, 1, "image") == "1 of 1 image was"
    assert some(1, 4000, "text", "is", "are") == "1 of 4,000 texts is"
    assert some(4, 4, "image") == "4 of 4 images were"


def test_tokens_are_made_anew_from_their_state() -> None:
    for way in ("subwords", "words"):
        tokens = learn(way, [SCRIPTS * 20], padding=True)  # type: ignore[arg-type]
        again = of_tokenizer(way, str(tokens.state["tokenizer"]))  # type: ignore[arg-type]
        assert again.encode([SCRIPTS]) == tokens.encode([SCRIPTS])
        assert tokens.vocabulary[:2] == ["<padding>", "<unknown>"]
    letters = learn("characters", ["aabbc"], padding=True)
    assert of_characters(letters.state["vocabulary"]).encode(["abc"]) == [[2, 3, 1]]  # type: ignore[arg-type]


def test_text_is_composed_and_lines_end_alike(tmp_path: Path) -> None:
    assert normal("e\u0301\r\na\rb\n") == "é\na\nb\n"
    korean = unicodedata.normalize("NFD", "영화가 좋다\n" * 600)
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + korean.replace("\n", "\r\n").encode())
    (tmp_path / "b.txt").write_text("영화가 좋다\n" * 600, encoding="utf-8")
    task, plain = data.load(tmp_path / "a.txt"), data.load(tmp_path / "b.txt")
    assert task.fingerprint == plain.fingerprint
    assert "Line ends" in dict(task.facts)
    assert "영" in task.labels


def test_what_is_no_text_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    for content, words in (
        (b"some words\0" * 500, "byte 10 is NUL"),
        ("some words".encode("utf-16"), "the text is UTF-16"),
        (b"caf\xe9 " * 500, "byte 3 is not UTF-8"),
    ):
        file.write_bytes(content)
        with pytest.raises(DataError, match=words):
            data.load(file)
    rows = [f"a text number {k} of some,{'ab'[k % 2]}" for k in range(40)]
    rows[0] = "a text\0,a"
    (tmp_path / "a.csv").write_text("text,label\n" + "\n".join(rows))
    with pytest.raises(DataError, match="line 2: column 'text' holds NUL"):
        data.load(tmp_path / "a.csv", kind="text")


def test_bits_are_of_characters_whatever_the_tokens_are(tmp_path: Path) -> None:
    """A model that gives every token the same probability needs log2(vocabulary) bits a token, for all its characters."""
    file = tasks.write_text(tmp_path / "a.txt", 20_000)
    for way in ("characters", "subwords"):
        task = data.load(file, tokens=way)
        logits = torch.zeros(len(task.test), *task.extent, task.outputs)
        assert task.decode is not None
        characters = len("".join(task.decode(row.tolist()) for row in task.test.y))
        expected = np.log2(task.outputs) * task.test.y.numel() / characters
        kept = GOALS[task.goal].kept(logits, task.test.y)
        assert task.metric.per_item(kept, task.test.y).mean().item() == pytest.approx(expected)
        assert task.figures[0].per_item(kept, task.test.y).mean().item() == pytest.approx(task.outputs)
        assert torch.equal(task.test.x[0, 1:], task.test.y[0, :-1])


def test_subwords_are_learnt_from_the_training_part_alone(tmp_path: Path) -> None:
    text = tasks.write_text(tmp_path / "a.txt", 20_000).read_text()
    (tmp_path / "b.txt").write_text(text[:18_500] + "zq" * 750)
    first, second = (data.load(tmp_path / f"{name}.txt", tokens="subwords") for name in "ab")
    assert first.preprocessing["tokenizer"] == second.preprocessing["tokenizer"]
    with pytest.raises(ArgumentError, match="could not be written; give characters or subwords"):
        data.load(tmp_path / "a.txt", tokens="words")


@pytest.mark.parametrize("way", ["characters", "subwords", "words"])
def test_classes_are_told_apart_by_simple_methods(tmp_path: Path, way: str) -> None:
    task = data.load(tasks.write_texts(tmp_path / "a.csv", rows=200), tokens=way)
    assert task.preprocessing["tokens"] == way
    assert task.baseline.name in ("naive Bayes", "logistic regression")
    assert task.baseline.scores.mean() == 100  # a word says it
    assert task.train.lengths is not None
    assert (task.train.x[task.train.lengths.argmin(), int(task.train.lengths.min()) :] == 0).all()


@pytest.mark.parametrize("name", ["cnn", "rnn", "lstm", "gru"])
def test_what_lies_beyond_a_texts_end_is_not_seen(tmp_path: Path, name: str) -> None:
    task = data.load(tasks.write_texts(tmp_path / "a.csv"))
    model = blueprint(name).build(task, 8).eval()
    lengths = torch.tensor([5, 12, task.extent[0]])
    x = task.train.x[:3].clone()
    other = x.clone()
    for row, length in zip(other, lengths.tolist(), strict=True):
        row[length:] = 3
    with torch.no_grad():
        torch.testing.assert_close(model(x, lengths), model(other, lengths))
        torch.testing.assert_close(model(x, lengths)[:1], model(x[:1, :5], lengths[:1]))


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data sets do not lie beside the project")
def test_korean_reviews_as_subwords() -> None:
    task = data.load(REAL / "nsmc20k.csv")
    assert task.preprocessing["tokens"] == "subwords"
    assert task.decode is not None
    assert "영화" in " ".join(task.labels) + "".join(task.decode(row.tolist()) for row in task.test.x[:50])
    assert task.baseline.scores.mean() > 78  # counts of pieces of words
