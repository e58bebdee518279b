"""The promise: an honest comparison that survives being killed, and gives the same figures."""

from __future__ import annotations

import base64
import dataclasses
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.lab import tasks
from torch import Tensor

from pellucid.errors import ArgumentError, DataError
from pellucid.lab import comparison, data, sealed
from pellucid.lab import plan as planning
from pellucid.lab.candidates import Blueprint
from pellucid.lab.costs import structure
from pellucid.lab.outcome import first
from pellucid.lab.report import words
from pellucid.lab.report.page import render
from pellucid.lab.results import Comparison
from pellucid.lab.runs import Run, default_folder
from pellucid.lab.task import Split
from pellucid.lab.tune import SPACE, Study

NETWORKS = ["cnn", "rnn", "lstm", "gru"]
KINDS = {
    "images": lambda p: tasks.write_images(p / "images"),
    "series": lambda p: tasks.write_series(p / "series.csv", rows=200),
    "texts": lambda p: tasks.write_texts(p / "texts.csv", rows=60),
    "characters": lambda p: tasks.write_text(p / "text.txt", 4000),
    "sounds": lambda p: tasks.write_sounds(p / "sounds"),
}


def figures(comparison: Comparison) -> dict[str, object]:
    """All that must be equal in two runs: everything but times."""
    return {
        c.name: (
            c.score,
            c.behind,
            [(s.test_score, [(e.train_loss, e.valid_loss) for e in s.history]) for s in c.seeds],
        )
        for c in comparison.candidates
    }


def small(task: planning.Task, **options: object) -> planning.Plan:
    given = {"trials": 1, "seeds": 2, "epochs": 2, "size": 2000} | options
    return planning.plan(task, given.pop("candidates", NETWORKS), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_from_data_to_report(kind: str, tmp_path: Path) -> None:
    task = data.load(KINDS[kind](tmp_path))
    found, folder = comparison.compare(small(task), out=tmp_path / "run")
    assert {c.name for c in found.candidates} == set(NETWORKS)
    for file in (
        "config.json",
        "result.json",
        "report.html",
        "metrics.csv",
        "predictions/lstm.csv",
        "models/gru-seed-2.safetensors",
    ):
        assert (folder / file).exists(), file
    assert found == sealed.load_record(folder / "result.json", Comparison)
    streamed = {"texts": NETWORKS, "characters": NETWORKS, "sounds": ["rnn", "lstm", "gru"]}.get(kind, [])
    assert {c.name for c in found.candidates if c.cost.step_ms_p50 is not None} == set(streamed)
    assert all(0 < (c.cost.step_ms_p50 or 1) <= (c.cost.step_ms_p99 or 1) for c in found.candidates)
    page = (folder / "report.html").read_text()
    assert all(c.ahead is not None and c.beats_baseline == (c.ahead.low > 0) for c in found.candidates)
    sign = 1 if found.higher_is_better else -1
    for c in found.candidates:
        assert c.ahead.value == pytest.approx(sign * (c.score.value - found.baseline.score.value))  # type: ignore[union-attr]
        assert f"<td>{words.figure(c.ahead)} ({words.span(c.ahead, signed=True)})</td>" in page  # type: ignore[arg-type]
    assert ("One more step" in page) == bool(streamed)
    cnn = next(c.why for c in found.candidates if c.name == "cnn")
    assert cnn.extent == task.extent[0]
    seen = f"{cnn.sees} of" if cnn.sees < cnn.extent else "all of"  # type: ignore[operator]
    assert f"A filter of its last map sees {seen} {cnn.extent} " in page
    again, other = comparison.compare(small(task), out=tmp_path / "again")
    assert figures(found) == figures(again)
    for file in (folder / "models").iterdir():
        assert file.read_bytes() == (other / "models" / file.name).read_bytes()


@pytest.mark.parametrize("equal", ["params", "macs"])
@pytest.mark.parametrize("kind", KINDS)
def test_widths_make_networks_equal(kind: str, equal: str, tmp_path: Path) -> None:
    """In what is counted on the real models."""
    task = data.load(KINDS[kind](tmp_path))
    made = small(
        task, candidates=[*NETWORKS, "gru2", "cnn+lstm"], size=6000 if equal == "params" else 60_000, equal=equal
    )
    item = first(task.test)
    models = [b.build(task, width) for b, width in zip(made.blueprints, made.widths, strict=True)]
    if equal == "params":
        found = [sum(p.numel() for p in model.parameters()) for model in models]
    else:
        found = [sum(row.macs for row in structure(model, item)) for model in models]
    assert max(found) <= 1.05 * min(found) or made.cautions
    assert max(found) <= 1.4 * min(found)


def test_the_test_part_is_not_touched_in_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training on a task whose test part is nonsense gives the same networks."""
    task = data.load(KINDS["images"](tmp_path))
    nonsense = Split(torch.full_like(task.test.x, torch.nan), task.test.y, None, task.test.items)
    comparison.compare(small(task), out=tmp_path / "a")
    comparison.compare(small(dataclasses.replace(task, test=nonsense)), out=tmp_path / "b")
    for file in sorted((tmp_path / "a" / "models").iterdir()):
        ours, theirs = load_file(file), load_file(tmp_path / "b" / "models" / file.name)
        assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())


def test_learning_happens(tmp_path: Path) -> None:
    task = data.load(tasks.write_images(tmp_path / "i", per_class=60))
    found, _ = comparison.compare(small(task, epochs=12, candidates=["cnn", "gru"]), out=tmp_path / "run")
    assert all(c.score.value > 80 and c.beats_baseline for c in found.candidates)


def test_a_long_memory_reaches_as_far_as_the_items(tmp_path: Path) -> None:
    """Where a gate keeps a state, by its bias; in the RNN by orthogonal weights; no other of the layer starts elsewhere."""
    task = data.load(KINDS["series"](tmp_path))
    steps = task.extent[0]
    made = small(task, candidates=[*NETWORKS, "cnn+gru2"])

    def start(blueprint: Blueprint, *, long: bool) -> dict[str, Tensor]:
        torch.manual_seed(0)
        return blueprint.build(task, 200, long_memory=long).state_dict()

    for blueprint in made.blueprints:
        plain, long = start(blueprint, long=False), start(blueprint, long=True)
        moved = {name for name, value in plain.items() if not torch.equal(value, long[name])}
        moved = {name for name in moved if not name.startswith("head.")}  # drawn after the layers
        if blueprint.name == "cnn":
            assert not moved
        elif blueprint.name == "rnn":
            (name,) = moved
            torch.testing.assert_close(long[name] @ long[name].mT, torch.eye(200), atol=1e-4, rtol=1e-4)
        else:
            assert all(".bias_" in name for name in moved)
            layers = {name.rpartition("_")[2] for name in moved}
            assert len(layers) == blueprint.depth
            first = next(name for name in moved if name.endswith("bias_ih_l0"))
            gates = long[first] + long[first.replace("_ih_", "_hh_")]
            kept = gates[200:400]  # f of i f g o, z of r z n
            assert 1 <= kept.exp().min() < 1.1 * steps / 10
            assert 0.9 * steps < kept.exp().max() <= steps


def test_a_long_memory_of_pooled_rows_is_half_as_long(tmp_path: Path) -> None:
    task = data.load(KINDS["images"](tmp_path))
    (blueprint,) = small(task, candidates=["cnn+gru"]).blueprints
    weights = blueprint.build(task, 400, long_memory=True).body.back.layer.state_dict()  # type: ignore[operator, union-attr]
    kept = (weights["bias_ih_l0"] + weights["bias_hh_l0"]).chunk(3)[1]
    assert 0.9 * (task.extent[0] // 2 - 1) < kept.exp().max() <= task.extent[0] // 2 - 1


def test_trials_of_another_space_are_not_gone_on_with(tmp_path: Path) -> None:
    """The first three are what they always were."""
    task = data.load(KINDS["series"](tmp_path))
    assert [small(task, trials=trials).config.space for trials in (1, 3, 4)] == [1, 1, SPACE]


def test_a_run_whose_trainings_kept_their_rate_is_another_one(tmp_path: Path) -> None:
    """It has a folder of its own, and in a folder that a person names it is not gone on with."""
    task = data.load(KINDS["series"](tmp_path))
    made = small(task, candidates=["rnn"])
    before = made.config.model_copy(update={"lowers": False})
    assert default_folder(task.source, before) != default_folder(task.source, made.config)
    Run(tmp_path / "run").begin(before)
    with pytest.raises(
        DataError, match="holds a run that another version began, which trains otherwise; choose another"
    ):
        comparison.compare(made, out=tmp_path / "run")
    assert Run(tmp_path / "run").config() == before


def test_of_one_setting_nothing_is_tuned(tmp_path: Path) -> None:
    """The first seed is its trial, and the storage has it."""
    task = data.load(KINDS["series"](tmp_path))
    journal = str(tmp_path / "tuning.journal")
    found, folder = comparison.compare(small(task, candidates=["rnn"]), out=tmp_path / "run", storage=journal)
    (network,) = found.candidates
    (trial,) = network.trials
    assert sorted(f.stem for f in (folder / "units").iterdir()) == ["rnn-seed-1", "rnn-seed-2"]
    assert trial.valid_score == min(e.valid_score for e in network.seeds[0].history)
    assert (trial.epochs, trial.seconds, network.cost.tuning_seconds) == (2, 0.0, 0.0)
    assert Study(f"{small(task, candidates=['rnn']).config.key} rnn", 1, False, journal)._open(0) is None
    assert "With a long memory" not in (folder / "report.html").read_text()


def test_a_persons_own_settings_are_tried_first(tmp_path: Path) -> None:
    task = data.load(KINDS["series"](tmp_path))
    plain = small(task, candidates=["lstm"])
    made = small(task, candidates=["lstm"], settings="rate=0.02, memory=1")
    assert plain.config.key != made.config.key
    assert plain.config.settings == ""
    found, folder = comparison.compare(made, out=tmp_path / "run")
    (trial,) = found.candidates[0].trials
    assert trial.settings == {"learning rate": 0.02, "dropout": 0.0, "long memory": 1.0}
    page = (folder / "report.html").read_text()
    assert "One setting, not tuned: learning rate 0.02 and long memory." in page
    assert "With a long memory a recurrent network starts so that" in page
    with pytest.raises(DataError, match=r"with settings rate=0.02,dropout=0,memory=1, and none is asked"):
        comparison.compare(plain, out=tmp_path / "run")
    assert found_bias(folder).exp().max() > 0.5 * task.extent[0]  # still, after two epochs


def found_bias(folder: Path) -> Tensor:
    """Of a run's LSTM, its forget gates' bias."""
    weights = load_file(next((folder / "models").iterdir()))
    name = next(name for name in weights if name.endswith("bias_ih_l0"))
    return (weights[name] + weights[name.replace("_ih_", "_hh_")]).chunk(4)[1]


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    task = data.load(KINDS["images"](tmp_path))
    comparison.compare(small(task, candidates=["rnn"]), out=tmp_path / "run")
    with pytest.raises(DataError, match="holds a run with seeds 2, and 1 is asked"):
        comparison.compare(small(task, candidates=["rnn"], seeds=1), out=tmp_path / "run")
    comparison.compare(small(task, candidates=["rnn"], seeds=1), out=tmp_path / "run", fresh=True)
    (tmp_path / "run" / "result.json").write_text("{")
    with pytest.raises(DataError, match=r"result.json: the result cannot be read"):
        comparison.compare(small(task, candidates=["rnn"], seeds=1), out=tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    next((tmp_path / "run" / "units").glob("*")).write_bytes(b"broken")
    with pytest.raises(DataError, match="the checkpoint cannot be read"):
        comparison.compare(small(task, candidates=["rnn"], seeds=1), out=tmp_path / "run")


def test_two_processes_do_not_share_a_run(tmp_path: Path) -> None:
    task = data.load(KINDS["images"](tmp_path))
    from pellucid.lab.runs import Run

    with Run(tmp_path / "run").alone(), pytest.raises(DataError, match="another process"):
        comparison.compare(small(task), out=tmp_path / "run")


def test_a_cell_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "my_cell.py").write_text(
        "from pellucid import Cell\n"
        "from pellucid.cells import Input, Matrix, State, Vector, sigmoid, tanh\n"
        "class Leaky(Cell):\n"
        "    x = Input()\n    U = Matrix()\n    a = Vector(initial=0.0)\n    h = State()\n"
        "    def step(self, x, h):\n"
        "        alpha = sigmoid(self.a)\n"
        "        return (1 - alpha) * h + alpha * tanh(x + self.U @ h)\n"
    )
    task = data.load(KINDS["images"](tmp_path))
    plan = small(task, candidates=["gru", f"{tmp_path / 'my_cell.py'}:Leaky"])
    found, _ = comparison.compare(plan, out=tmp_path / "run")
    assert {c.label for c in found.candidates} == {"GRU", "Leaky"}
    with pytest.raises(DataError, match="it has Leaky"):
        small(task, candidates=[f"{tmp_path / 'my_cell.py'}:Leeky"])


def test_impossible_plans_are_sentences(tmp_path: Path) -> None:
    task = data.load(KINDS["images"](tmp_path))
    for options, said in (
        ({"seeds": 0}, "seeds is 0"),
        ({"candidates": ["lsmt"]}, r"no candidate 'lsmt'; choose cnn.*gru2 to gru9.*cnn2.*my_cell\.py:MyCell:2"),
        ({"candidates": ["gru1"]}, "no candidate 'gru1'"),
        ({"candidates": ["cnn4"]}, r"halves its maps 4 times, and the data, 8 x 8, allows 3; ask for cnn3 or fewer"),
        ({"candidates": ["rnn", "rnn"]}, "once"),
        ({"settings": "rate=0.1;rate=0.2"}, "2 settings are to be tried, and trials is 1; give 2 or more"),
        ({"settings": "speed=3"}, "settings 'speed=3' cannot be; give rate="),
    ):
        with pytest.raises(ArgumentError, match=said):
            small(task, **options)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.data = ""
        self.links: list[str] = []
        self._in = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in = tag
        self.links += [v or "" for k, v in attrs if k in ("src", "href")]

    def handle_data(self, text: str) -> None:
        if self._in == "script":
            self.data += text
        elif self._in != "style":
            self.text.append(text)


def test_what_is_said_of_sizes_is_what_networks_have(tmp_path: Path) -> None:
    """A vocabulary takes parameters that no width takes away."""
    task = data.load(tasks.write_texts(tmp_path / "a.csv"))
    small, fit = (planning.plan(task, ["rnn", "gru"], size=size) for size in (10, 5000))
    assert f"at least {min(small.sizes):,} parameters each, since none can have as few as 10;" in small.sentence()
    assert "; about 5,000 parameters each;" in fit.sentence()
    built = [b.build(task, w) for b, w in zip(small.blueprints, small.widths, strict=True)]
    assert small.sizes == [sum(p.numel() for p in model.parameters()) for model in built]


def test_a_report_points_at_no_network_where_the_simplest_answer_is_the_one_to_use(tmp_path: Path) -> None:
    task = data.load(KINDS["images"](tmp_path))
    found, _ = comparison.compare(small(task, candidates=["rnn", "cnn"], seeds=1), out=tmp_path / "run")
    for beats, arrows in ((True, 1), (False, 0)):
        candidates = [c.model_copy(update={"beats_baseline": beats}) for c in found.candidates]
        assert render(found.model_copy(update={"candidates": candidates})).count(" ←") == arrows


def test_the_report_is_whole_safe_and_alone(tmp_path: Path) -> None:
    folder = tasks.write_images(tmp_path / "images")
    (folder / "left").rename(folder / "<script>alert(1)</script>".replace("/", "∕"))
    found, _ = comparison.compare(small(data.load(folder)), out=tmp_path / "run")
    page = _Page()
    page.feed(render(found))
    drawings = [c.diagram for c in found.candidates if c.diagram]
    assert len(page.links) == len(drawings) == len(NETWORKS) - 1
    for link, drawing in zip(page.links, drawings, strict=True):
        assert base64.b64decode(link.removeprefix("data:image/svg+xml;base64,")).decode() == drawing
    assert Comparison.model_validate(json.loads(page.data)) == found
    text = "".join(page.text)
    assert words.together(found.verdict.sentence) in text
    assert "<script>alert(1)" in text  # as text, not as an element
    for c in found.candidates:
        assert f"{c.cost.parameters:,}" in text
