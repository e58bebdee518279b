"""The promise: matrices of 0 and 1 become a task in which each step is asked for the next, scored step by step as published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from scipy.io import savemat

from pellucid.errors import ArgumentError, DataError
from pellucid.lab import comparison, data, train
from pellucid.lab import plan as planning
from pellucid.lab.candidates import blueprint
from pellucid.lab.data import event_files, labels
from pellucid.lab.data.metrics import ASKED, LAST, kept_of_labels, nats_of_labels, shared_labels
from pellucid.lab.goals import GOALS, last_step
from pellucid.lab.task import Task

REAL = Path(__file__).parents[3] / "shared" / "data"
Roll = NDArray[np.uint8]


def rolls(count: int = 40, events: int = 5, seed: int = 0) -> list[Roll]:
    """Sequences of 6 to 20 steps in which two neighbouring events hold and move on by one at each step, with a little noise."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        steps, begin = int(generator.integers(6, 21)), int(generator.integers(events))
        roll = np.zeros((steps, events), dtype=np.uint8)
        for t in range(steps):
            roll[t, [(begin + t) % events, (begin + t + 1) % events]] = 1
        found.append(roll ^ (generator.random(roll.shape) < 0.02).astype(np.uint8))
    return found


def write_mat(file: Path, parts: tuple[int, int, int] | None = (24, 8, 8)) -> Path:
    own = rolls()
    cells = {}
    for name, count in zip(("traindata", "validdata", "testdata"), parts or (40, 0, 0), strict=True):
        array = np.empty((1, count), dtype=object)
        for k in range(count):
            array[0, k] = own.pop(0)
        if count:
            cells[name if parts else "songs"] = array
    savemat(file, cells)
    return file


def write_npz(file: Path) -> Path:
    own = rolls()
    longest = max(map(len, own))
    padded = np.full((len(own), longest, 5), -1, dtype=np.int8)
    for k, roll in enumerate(own):
        padded[k, : len(roll)] = roll
    lengths = np.array([len(roll) for roll in own])
    np.savez(file, train=padded[:24], valid=padded[24:32], test=np.abs(padded[32:]), test_lengths=lengths[32:])
    return file


def write_folder(folder: Path, named: bool = True, split: bool = True) -> Path:
    for k, roll in enumerate(rolls()):
        place = folder / ("train" if k < 24 else "valid" if k < 32 else "test") if split else folder
        place.mkdir(parents=True, exist_ok=True)
        if named:
            pl.DataFrame(roll, schema=list("abcde")).write_csv(place / f"{k:02d}.csv")
        elif k % 2:
            np.save(place / f"{k:02d}.npy", roll)
        else:
            np.savetxt(place / f"{k:02d}.csv", roll, "%d", delimiter=",")
    return folder


FORMS: dict[str, Callable[[Path], Path]] = {
    "mat": lambda p: write_mat(p / "a.mat"),
    "npz": lambda p: write_npz(p / "a.npz"),
    "tables with names": lambda p: write_folder(p / "a"),
    "tables and arrays without": lambda p: write_folder(p / "a", named=False),
}


def parts_of(task: Task) -> list[list[Roll]]:
    """The sequences of each part, put together again from what is seen and what is asked."""
    found = []
    for split in (task.train, task.valid, task.test):
        assert split.lengths is not None
        pairs = zip(split.x, split.y, split.lengths.tolist(), strict=True)
        found.append([torch.cat([x[:1], y[:n]]).numpy().astype(np.uint8) for x, y, n in pairs])
    return found


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_events_and_its_own_split(tmp_path: Path, form: str) -> None:
    source = FORMS[form](tmp_path)
    assert data.recognise(source).kind == "events"
    task = data.load(source)
    assert (task.form, task.goal, task.channels, task.outputs) == ("sequence", "next labels", 5, 5)
    wanted = rolls()
    for own, part in zip((wanted[:24], wanted[24:32], wanted[32:]), parts_of(task), strict=True):
        assert len(own) == len(part)
        for a, b in zip(own, part, strict=True):
            np.testing.assert_array_equal(a, b)
    assert task.labels == (tuple("abcde") if form == "tables with names" else tuple("12345"))


@pytest.mark.parametrize("form", ["mat", "folder"])
def test_without_a_given_split_whole_sequences_are_dealt_out(tmp_path: Path, form: str) -> None:
    source = write_mat(tmp_path / "a.mat", None) if form == "mat" else write_folder(tmp_path / "a", split=False)
    task = data.load(source)
    assert [len(s) for s in (task.train, task.valid, task.test)] == [28, 6, 6]
    seen = [roll.tobytes() for part in parts_of(task) for roll in part]
    assert sorted(seen) == sorted(roll.tobytes() for roll in rolls())


def test_what_is_asked_is_the_next_step_and_nothing_behind_the_end(tmp_path: Path) -> None:
    test = data.load(write_mat(tmp_path / "a.mat")).test
    assert test.lengths is not None
    for x, y, n in zip(test.x, test.y, test.lengths.tolist(), strict=True):
        assert torch.equal(x[1:n], y[: n - 1])
        assert (y[n:] == -1).all()


def test_training_sequences_are_cut_without_losing_a_step_and_others_are_not(tmp_path: Path) -> None:
    whole, cut = (data.load(write_mat(tmp_path / "a.mat"), window=w) for w in (256, 7))
    for split in (cut.train, whole.train):
        assert split.lengths is not None
    assert int(cut.train.lengths.max()) == 7  # type: ignore[union-attr]
    assert cut.train.lengths.sum() == whole.train.lengths.sum()  # type: ignore[union-attr]
    assert torch.equal(cut.test.x, whole.test.x)
    assert cut.train.items[:3] == ["traindata 1, from step 1", "traindata 1, from step 8", "traindata 1, from step 15"]
    assert cut.fingerprint != whole.fingerprint


@pytest.mark.parametrize("name", ["cnn", "rnn", "lstm", "gru"])
def test_an_answer_depends_on_nothing_that_comes_later_or_behind_the_end(tmp_path: Path, name: str) -> None:
    task = data.load(write_mat(tmp_path / "a.mat"))
    torch.manual_seed(0)
    model = blueprint(name).build(task, 8).eval()
    x, lengths = task.test.x[:3], task.test.lengths[:3]  # type: ignore[index]
    other = x.clone()
    other[:, 4:] = 1 - other[:, 4:]
    with torch.no_grad():
        torch.testing.assert_close(model(x, lengths)[:, :4], model(other, lengths)[:, :4])
        short = int(lengths.argmin())
        n = int(lengths[short])
        alone = model(x[short : short + 1, :n], None)
        torch.testing.assert_close(alone[0], model(x, lengths)[short, :n], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("whole", [True, False])
def test_answers_come_in_the_items_own_order(tmp_path: Path, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Like lengths are answered together, whatever is asked: of an item, or of each step; then zeros behind the end."""
    monkeypatch.setattr(train, "SHORTEST", 1)
    task = data.load(write_mat(tmp_path / "a.mat"))
    task = replace(task, goal="labels") if whole else task
    torch.manual_seed(0)
    model = blueprint("gru").build(task, 8).eval()
    said = train.predict(model, task.train)
    assert task.train.lengths is not None
    assert said.shape == (24, 5) if whole else (24, 19, 5)
    with torch.no_grad():
        for k, n in enumerate(task.train.lengths.tolist()):
            alone = model(task.train.x[k : k + 1, :n], None)[0]
            torch.testing.assert_close(said[k] if whole else said[k, :n], alone, atol=1e-5, rtol=1e-5)


def test_an_untrained_network_says_how_often_each_event_holds(tmp_path: Path) -> None:
    task = data.load(write_mat(tmp_path / "a.mat"))
    model = blueprint("cnn").build(task, 8)
    GOALS[task.goal].begin(model, task.lesson)
    share = np.concatenate([roll[1:] for roll in rolls()[:24]]).mean(0)
    torch.testing.assert_close(model.head.bias.sigmoid(), torch.from_numpy(share).float(), atol=0.01, rtol=0)


def ragged(items: int = 7) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Random logits, random labels with -1 behind the ends, and the numbers of steps."""
    generator = torch.Generator().manual_seed(0)
    said = torch.randn(items, 9, 4, generator=generator)
    true = (torch.rand(items, 9, 4, generator=generator) < 0.4).float()
    lengths = [9, 1, 5, 2, 9, 3, 7][:items]
    for k, n in enumerate(lengths):
        true[k, n:] = -1
    return said, true, lengths


def test_figures_are_means_over_steps_of_all_sequences() -> None:
    """Against sums in a loop; Bay et al. count labels said and true against all that were said or true."""
    said, true, lengths = ragged()
    nats, steps, both, either = 0.0, 0, 0, 0
    for s, y, n in zip(said.double(), true.double(), lengths, strict=True):
        for t in range(n):
            p = 1 / (1 + torch.exp(-s[t]))
            nats -= float((y[t] * p.log() + (1 - y[t]) * (1 - p).log()).sum())
            steps += 1
            both += int(((p > 0.5) & (y[t] == 1)).sum())
            either += int(((p > 0.5) | (y[t] == 1)).sum())
    kept = kept_of_labels(said, true)
    assert nats_of_labels("step").per_item(kept, true).mean().item() == pytest.approx(nats / steps, rel=1e-6)
    assert shared_labels("accuracy").per_item(kept, true).mean().item() == pytest.approx(100 * both / either)
    goal, lesson = GOALS["next labels"], _lesson()
    assert goal.loss(said, true, lesson).item() == pytest.approx(nats / steps, rel=1e-5)
    assert goal.kept_loss is not None
    assert goal.kept_loss(kept, true, lesson).item() == pytest.approx(nats / steps, rel=1e-6)
    assert kept[:, ASKED].tolist() == lengths
    assert torch.equal(kept[:, LAST:], last_step(said, torch.tensor(lengths))[:, 0].double())
    assert GOALS["next labels"].weight(true, lesson) == steps


def test_a_batch_in_parts_has_the_whole_ones_loss() -> None:
    """As a team's processes add up: each part's loss by the steps that it is asked for."""
    said, true, _ = ragged()
    goal, lesson = GOALS["next labels"], _lesson()
    parts = [(said[k::2], true[k::2]) for k in range(2)]
    whole = goal.weight(true, lesson)
    added = sum(goal.loss(s, y, lesson) * goal.weight(y, lesson) / whole for s, y in parts)
    torch.testing.assert_close(added, goal.loss(said, true, lesson))


def _lesson() -> object:
    return None  # what labels do not look at


def test_the_last_answer_is_each_sequences_own() -> None:
    _, true, lengths = ragged()
    found = last_step(true, torch.tensor(lengths))
    assert found.shape == (7, 1, 4)
    assert (found >= 0).all()
    assert torch.equal(found[1, 0], true[1, 0])
    assert torch.equal(last_step(true[:1], None)[0, 0], true[0, 8])


def test_the_simplest_answers_are_counts_of_the_training_part(tmp_path: Path) -> None:
    task = data.load(write_mat(tmp_path / "a.mat"))
    now = np.concatenate([roll[:-1] for roll in rolls()[:24]])
    next_ = np.concatenate([roll[1:] for roll in rolls()[:24]])
    asked = labels.of_steps([task.train, task.valid, task.test], task.labels)
    assert asked.baseline.name == "repetition"
    shares = np.empty((2, 5))
    for event in range(5):
        for held in (0, 1):
            rows = now[:, event] == held
            shares[held, event] = (next_[rows, event].sum() + 0.5) / (rows.sum() + 1)
    nats, steps = [], []
    for roll in rolls()[32:]:
        said = np.where(roll[:-1] == 1, shares[1], shares[0])
        nats.append(-np.log(np.where(roll[1:] == 1, said, 1 - said)).sum())
        steps.append(len(roll) - 1)
    assert asked.baseline.scores.mean().item() == pytest.approx(sum(nats) / sum(steps), rel=1e-5)
    last = asked.baseline.prediction[:, LAST:].sigmoid().numpy()  # type: ignore[index]
    np.testing.assert_allclose(last, [np.where(roll[-2] == 1, *shares[::-1]) for roll in rolls()[32:]], rtol=1e-5)
    always = labels.frequency(torch.from_numpy(next_).float()).sigmoid()
    np.testing.assert_allclose(always, (next_.sum(0) + 0.5) / (len(next_) + 1), rtol=1e-5)


def test_learning_happens_and_the_whole_goes_through(tmp_path: Path) -> None:
    """What moves on by one event a step is learnt by a network, and cannot be by counts of the same event."""
    task = data.load(write_mat(tmp_path / "a.mat"))
    made = planning.plan(task, ["gru"], trials=1, seeds=1, epochs=30, size=1500)
    found, folder = comparison.compare(made, out=tmp_path / "run")
    assert all(c.score.value < 0.5 * found.baseline.score.value for c in found.candidates)
    assert all(c.figures[0].value.value > 80 for c in found.candidates)
    for candidate in found.candidates:
        assert candidate.roll is not None
        assert len(candidate.roll.said) == len(candidate.roll.actual) == len(candidate.roll.labels)
    assert found.need is not None
    assert (found.need.steps or 99) <= 8  # of 19: what holds now says nearly all
    gru = next(c for c in found.candidates if c.name == "gru")
    assert len(gru.why.gradient) > 5
    page = (folder / "report.html").read_text()
    assert page.count('class="held"') == sum(sum(row) for c in found.candidates if c.roll for row in c.roll.actual) > 0
    again, _ = comparison.compare(made, out=tmp_path / "run")
    assert again == found


def test_notes_have_their_names() -> None:
    piano, midi = event_files.names_of(88), event_files.names_of(128)
    assert (piano[0], piano[39], piano[-1], midi[60]) == ("A0", "C4", "C8", "C4")
    assert event_files.names_of(2) == ["1", "2"]


def _mat(**arrays: object) -> Callable[[Path], Path]:
    def make(p: Path) -> Path:
        savemat(p / "a.mat", arrays)
        return p / "a.mat"

    return make


def _npz(**arrays: object) -> Callable[[Path], Path]:
    def make(p: Path) -> Path:
        np.savez(p / "a.npz", **arrays)  # type: ignore[arg-type]
        return p / "a.npz"

    return make


def _named(p: Path) -> Path:
    for k, names in enumerate(("abc", "acb")):
        pl.DataFrame(np.eye(3, dtype=int), schema=list(names)).write_csv(p / f"{k}.csv")
    return p


def _text(p: Path) -> Path:
    (p / "a.mat").write_text("no such thing, but long enough to be looked at " * 10)
    return p / "a.mat"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_text, "a.mat: the file cannot be read"),
        (_mat(songs=np.full((4, 3), 64)), r"songs holds 64, and an event holds \(1\) or does not"),
        (_mat(songs=np.eye(3)), "the data has 1 different item"),
        (_mat(songs=np.zeros((0, 3))), "there are no matrices|a matrix of 0 and 1 is needed"),
        (_mat(note="text"), "a matrix of 0 and 1 is needed"),
        (_npz(events=np.ones((4, 3), dtype=np.int8)), r"events has shape \(4, 3\)"),
        (_npz(events=np.ones((4, 3, 2)), lengths=np.array([3, 3, 3, 4])), "go to 4, and it has 4 sequences of 3 steps"),
        (_npz(events=np.ones((4, 3, 2)), lengths=np.array([3, 3, 3, 1])), "events 4 has 1 step, and two are needed"),
        (_npz(train=np.ones((4, 3, 2)), test=np.ones((4, 3, 3))), "matrices have 2 to 3 columns"),
        (_npz(events=np.array([[1], [2, 3]], dtype=object)), "the array 'events' cannot be read"),
        (_named, "the columns of 1.csv are called otherwise than those of 0.csv"),
    ],
)
def test_bad_events_are_a_sentence(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    with pytest.raises(DataError, match=words):
        data.load(make(tmp_path))


def test_networks_that_see_what_comes_are_refused(tmp_path: Path) -> None:
    task = data.load(write_mat(tmp_path / "a.mat"))
    with pytest.raises(ArgumentError, match="each step is asked for the next one"):
        planning.plan(task, ["bigru"])
    with pytest.raises(ArgumentError, match="'horizon' says nothing for events"):
        data.load(tmp_path / "a.mat", horizon=3)


@pytest.mark.skipif(not (REAL / "JSB_Chorales.mat").exists(), reason="the JSB Chorales are not there")
def test_chorales_are_read_as_published() -> None:
    """229, 76 and 77 chorales (Boulanger-Lewandowski et al. 2012), every step but the first of each scored."""
    task = data.load(REAL / "JSB_Chorales.mat")
    parts = (task.train, task.valid, task.test)
    assert [len(part) for part in parts] == [229, 76, 77]
    asked = [int((part.y[..., 0] >= 0).sum()) for part in parts]
    assert asked == [13807 - 229, 4602 - 76, 4725 - 77]
    assert task.labels[39] == "C4"
    even = kept_of_labels(torch.zeros_like(task.test.y), task.test.y)
    assert task.metric.per_item(even, task.test.y).mean().item() == pytest.approx(88 * np.log(2), rel=1e-6)


def test_a_folder_of_classes_below_a_split_is_not_taken_for_events(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name in ("a", "b"):
            place = tmp_path / part / name
            place.mkdir(parents=True)
            np.savetxt(place / "0.csv", np.eye(4), "%d", delimiter=",", header="a,b,c,d", comments="")
    assert data.recognise(tmp_path).kind == "sequences"


@pytest.mark.parametrize(("held", "paged"), [(0, True), (1e9, False)])
def test_matrices_lie_on_a_file_where_they_may_not_be_held(
    held: float, paged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And say the same from there."""
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path / "cache"))
    rolls = np.random.default_rng(0).random((4, 9, 3)) < 0.3
    np.savez(tmp_path / "a.npz", events=rolls)
    read = event_files.read(tmp_path / "a.npz", held).rolls
    below: object = read[0]
    while isinstance(below, np.ndarray) and not isinstance(below, np.memmap):
        below = below.base
    assert isinstance(below, np.memmap) is paged
    assert all(np.array_equal(found, roll) for found, roll in zip(read, rolls, strict=True))
