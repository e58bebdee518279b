"""The promise: a number is learnt from a sequence where labels are numbers, and several labels at once where they are rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from sklearn import metrics as theirs

from pellucid.errors import ArgumentError, DataError
from pellucid.lab import comparison, data
from pellucid.lab import plan as planning
from pellucid.lab.data import numbers
from pellucid.lab.data.metrics import absolute_error, explained_variance, root_mean_squared_error
from pellucid.lab.data.summaries import ridge, summary
from pellucid.lab.goals import GOALS

Array = NDArray[np.float64]


def series(count: int = 80, seed: int = 0) -> tuple[list[Array], Array]:
    """Two channels, 5 to 12 steps; the number is 100 and ten times the first channel's where the second is marked."""
    generator = np.random.default_rng(seed)
    values, found = [], []
    for _ in range(count):
        steps = int(generator.integers(5, 13))
        channel, mark = generator.random(steps), np.zeros(steps)
        mark[generator.integers(steps)] = 1
        values.append(np.round(np.stack([channel, mark], 1), 6))
        found.append(round(100 + 10 * float(channel @ mark), 4))
    return values, np.array(found)


def padded() -> tuple[Array, NDArray[np.int64]]:
    values, _ = series()
    array = np.zeros((len(values), 12, 2))
    for k, v in enumerate(values):
        array[k, : len(v)] = v
    return array, np.array([len(v) for v in values])


def write_npz(file: Path, labels: object = None) -> Path:
    array, lengths = padded()
    np.savez(file, values=array, lengths=lengths, labels=series()[1] if labels is None else labels)  # type: ignore[arg-type]
    return file


def write_long(file: Path, label: str = "target") -> Path:
    rows = [
        (f"s{k}", t, *step, number)
        for k, (v, number) in enumerate(zip(*series(), strict=True))
        for t, step in enumerate(v.tolist())
    ]
    pl.DataFrame(rows, schema=["id", "time", "a", "b", label], orient="row").write_csv(file)
    return file


def write_ts(file: Path) -> Path:
    lines = [
        ":".join([*(",".join(map(str, column)) for column in v.T), str(number)])
        for v, number in zip(*series(), strict=True)
    ]
    file.write_text("@timeStamps false\n@targetLabel true\n@data\n" + "\n".join(lines) + "\n")
    return file


def write_marks(file: Path) -> Path:
    """Two labels that hold for some sequences, and one that holds for none."""
    array, lengths = padded()
    marks = np.stack([array[:, 0, 0] > 0.5, array[:, 1, 0] > 0.3, array[:, 2, 0] > 2], 1)
    np.savez(file, values=array, lengths=lengths, labels=marks.astype(int), names=["hot", "wet", "never"])
    return file


FORMS = {"npz": (write_npz, "a.npz"), "long table": (write_long, "a.csv"), "ts": (write_ts, "a.ts")}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_numbers(tmp_path: Path, form: str) -> None:
    write, name = FORMS[form]
    source = write(tmp_path / name)
    assert data.recognise(source).sentence.endswith("say the number")
    task = data.load(source)
    assert (task.goal, task.outputs, task.labels) == ("number", 1, ("target" if form == "long table" else "number",))
    assert "each with a number from 100" in task.title
    said = [v for part in (task.train, task.valid, task.test) for v in task.raw(part.y[:, 0], 0)]
    np.testing.assert_allclose(sorted(said), sorted(series()[1]), rtol=1e-6)
    torch.testing.assert_close(task.train.y.mean(0), torch.zeros(1), atol=1e-5, rtol=0)
    torch.testing.assert_close(task.train.y.std(0, correction=0), torch.ones(1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("labels", "goal"),
    [
        (np.arange(80) % 2, "class"),
        (np.arange(80) % 2 + 0.0, "class"),  # whole, whatever the type
        (np.arange(80) % 4 / 2, "number"),
        (np.arange(80) // 2, "number"),  # 40 whole numbers, two of each
        (np.arange(80) % 16, "class"),
        (np.array(["a", "b"] * 40), "class"),
    ],
)
def test_labels_are_taken_for_what_they_look_like(tmp_path: Path, labels: NDArray[np.generic], goal: str) -> None:
    source = write_npz(tmp_path / "a.npz", labels)
    task = data.load(source)
    assert task.goal == goal
    assert ("say the number" in data.recognise(source).sentence) == (goal == "number")
    if goal == "number":
        assert "--no-regress" in dict(task.facts)["Asked"]


def test_who_says_what_labels_are_is_believed(tmp_path: Path) -> None:
    whole = write_npz(tmp_path / "a.npz", np.arange(80) % 2)
    assert data.load(whole, regress=True).goal == "number"
    assert data.load(whole).fingerprint != data.load(whole, regress=True).fingerprint
    assert data.load(write_npz(tmp_path / "b.npz", np.arange(80) % 4 / 2), regress=False).labels == (
        "0.0",
        "0.5",
        "1.0",
        "1.5",
    )
    classes = tmp_path / "c.ts"
    names = " ".join(str(k) for k in range(40))
    lines = "\n".join(f"{k},2,3:{k // 3}" for k in range(120))
    classes.write_text(f"@timeStamps false\n@classLabel true {names}\n@data\n{lines}\n")
    assert data.load(classes).goal == "class"


def test_figures_are_sklearns() -> None:
    generator = torch.Generator().manual_seed(0)
    said, true = torch.randn(50, 1, generator=generator), torch.randn(50, 1, generator=generator)
    a, b = 3 * true[:, 0].double().numpy(), 3 * said[:, 0].double().numpy()
    for metric, wanted in (
        (root_mean_squared_error(3.0, ""), theirs.root_mean_squared_error(a, b)),
        (absolute_error(3.0, ""), theirs.mean_absolute_error(a, b)),
        (explained_variance(), theirs.r2_score(a, b)),
    ):
        assert metric.per_item(said, true).mean().item() == pytest.approx(float(wanted), rel=1e-6)
    assert root_mean_squared_error(3.0, "").per_item(true, true).mean().item() == 0


def test_scores_spread_as_the_figure_does() -> None:
    """The interval of a root comes from scores whose spread is its sampling error: against resampled figures."""
    generator = torch.Generator().manual_seed(0)
    said, true = torch.randn(400, 1, generator=generator), torch.zeros(400, 1)
    for metric in (root_mean_squared_error(1.0, ""), explained_variance()):
        target = (
            true
            if metric.unit == "" and metric.higher_is_better is False
            else said + 0.5 * torch.randn(said.shape, generator=generator)
        )
        score = metric.per_item(said, target)
        rows = torch.randint(0, 400, (2000, 400), generator=generator)
        figures = torch.stack([metric.per_item(said[r], target[r]).mean() for r in rows])
        assert float(score.std() / 20) == pytest.approx(float(figures.std()), rel=0.1)


def test_the_straight_line_is_found_and_stays_within_what_was_seen() -> None:
    generator = np.random.default_rng(0)
    sequences = [generator.normal(size=(6, 2)) for _ in range(60)]
    known = np.stack([summary(v) for v in sequences])
    y = torch.from_numpy(2 * known[:, 0] - known[:, 11]).float()[:, None]
    found = ridge(sequences[:40], y[:40], sequences[40:], [10 * v for v in sequences[:5]])
    inside = (y[40:] > y[:40].min()) & (y[40:] < y[:40].max())
    torch.testing.assert_close(found.valid[inside], y[40:][inside], atol=0.02, rtol=0)
    assert float(found.test.max()) <= float(y[:40].max())


def test_learning_happens_and_the_whole_goes_through(tmp_path: Path) -> None:
    """Which value was marked is learnt by gated networks, and summaries do not have it."""
    values, found = series(400)
    array = np.zeros((400, 12, 2))
    for k, v in enumerate(values):
        array[k, : len(v)] = v
    np.savez(tmp_path / "a.npz", values=array, lengths=[len(v) for v in values], labels=found)
    task = data.load(tmp_path / "a.npz")
    made = planning.plan(task, ["gru"], trials=1, seeds=1, epochs=25, size=2000)
    result, folder = comparison.compare(made, out=tmp_path / "run")
    gru = result.candidates[0]
    assert gru.beats_baseline
    assert gru.score.value < 0.7 * result.baseline.score.value
    assert gru.numbers is not None
    true, said = np.array(gru.numbers).T
    assert 99 < true.min() < true.max() < 111
    assert np.corrcoef(true, said)[0, 1] > 0.7
    assert [figure.name for figure in gru.figures] == ["mean absolute error", "R²"]
    assert "What they say" in (folder / "report.html").read_text()
    rows = pl.read_csv(folder / "predictions" / "gru.csv")
    np.testing.assert_allclose(rows.filter(pl.col("seed") == 1)["answer"].to_numpy().mean(), true.mean(), rtol=0.02)
    assert comparison.compare(made, out=tmp_path / "run")[0] == result


def test_several_labels_at_once(tmp_path: Path) -> None:
    write_marks(tmp_path / "a.npz")
    assert data.recognise(tmp_path / "a.npz").sentence.endswith("say which labels hold")
    task = data.load(tmp_path / "a.npz")
    assert (task.goal, task.labels, task.train.y.shape[1]) == ("labels", ("hot", "wet", "never"), 3)
    share = (task.train.y.sum(0) + 0.5) / (len(task.train) + 1)
    nats = -(task.test.y * share.log() + (1 - task.test.y) * (1 - share).log()).sum(1)
    assert task.baseline.scores.mean().item() == pytest.approx(nats.mean().item(), rel=1e-5)
    said = GOALS["labels"].kept(torch.where(task.test.y > 0, 3.0, -3.0), task.test.y)
    assert task.figures[0].per_item(said, task.test.y).mean().item() == 100
    answers = GOALS["labels"].said(task, said)
    assert answers[0] == " ".join(n for n, held in zip(task.labels, task.test.y[0].tolist(), strict=True) if held)
    with pytest.raises(ArgumentError, match="3 labels, and --regress"):
        data.load(tmp_path / "a.npz", regress=True)


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        (np.array(["1.5", "high"] * 40), {"regress": True}, "'high' is no number"),
        (np.array([1.5, np.nan] * 40), {"regress": True}, "'nan' is no number"),
        (np.full(80, 2.5), {}, "every training sequence has the number 2.5"),
        (np.full((80, 3), 2), {}, "a row of 0 and 1 each"),
        (np.ones((4, 3)), {}, "80 sequences need a label each"),
    ],
)
def test_bad_labels_are_a_sentence(
    tmp_path: Path, labels: NDArray[np.generic], options: dict[str, bool], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        data.load(write_npz(tmp_path / "a.npz", labels), **options)


def test_numbers_of_labels() -> None:
    assert numbers.numbers_of(["1", "x"]) is None
    assert numbers.numbers_of(["1", "inf"]) is None
    np.testing.assert_array_equal(numbers.numbers_of(["1", "-2.5e1"]), [1, -25])
