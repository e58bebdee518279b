"""The promise: a comparison runs on a GPU as on the processor, from the same draws; it says where, and goes on there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import pretend_gpu
from tests.lab import finished, tasks
from tests.test_device import gpus
from torch import Tensor
from torch.nn import functional as F

from pellucid import device, lab
from pellucid.errors import ArgumentError, DataError
from pellucid.lab import catalogue, comparison, costs, crew, data, resume, sealed, team
from pellucid.lab import plan as planning
from pellucid.lab.bodies import _dropped
from pellucid.lab.claims import claims
from pellucid.lab.claims.runner import _key, measure
from pellucid.lab.outcome import first
from pellucid.lab.predict import predict
from pellucid.lab.results import Comparison, Record
from pellucid.lab.runs import Config, default_folder
from pellucid.lab.task import Task

SMALL: dict[str, Any] = {"trials": 1, "seeds": 1, "epochs": 2, "size": 1500, "quiet": True}
pretended = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there, and need not be pretended")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with pretend_gpu.pretending(monkeypatch):
        yield


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return data.load(tasks.write_images(tmp_path / "images"))


def losses(found: Comparison) -> dict[str, list[float]]:
    return {c.name: [v for e in c.seeds[0].history for v in (e.train_loss, e.valid_loss)] for c in found.candidates}


@pretended
@pytest.mark.parametrize(
    ("kind", "networks"),
    [
        ("images", ("cnn", "cnn+lstm", "CELL")),  # augmentation, and classes out of balance
        ("shops", ("cnn", "gru")),  # quantiles
        ("sequences", ("cnn", "bilstm2")),  # of unequal length
        ("text", ("cnn", "gru")),  # an embedding
        ("next subwords", ("gru",)),  # what the network writes
        ("sound", ("cnn",)),  # bands and frames
        ("events", ("rnn",)),  # labels at every step
    ],
)
def test_all_of_a_comparison_is_where_it_should_be(
    kind: str, networks: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No tensor of the processor meets one of the GPU, all that is drawn is the same, and so is what is learned."""
    write, options = finished.KINDS[kind]
    source = write(tmp_path)
    if kind == "images":
        options = {"augment": "shift,flip"}
        for file in sorted((source / "right").iterdir())[4:]:  # so that classes are weighted
            file.unlink()
    (tmp_path / "my_cell.py").write_text(finished.CELL)
    named = [n.replace("CELL", f"{tmp_path / 'my_cell.py'}:Leaky") for n in networks]
    monkeypatch.setattr(comparison.report, "write", lambda *_: None)  # it takes seconds, and computes on the processor
    here = lab.compare(source, named, device="cpu", out=tmp_path / "cpu", **SMALL, **options)
    with pretend_gpu.pretending(monkeypatch):
        there = lab.compare(source, named, out=tmp_path / "cuda", **SMALL, **options)
        if kind != "shops":  # which forecast from a table of what is to come
            said = predict(tmp_path / "cuda", source)
            assert said.rows == predict(tmp_path / "cuda", source).rows
    assert there.device == pretend_gpu.NAME
    assert all(c.cost.gpu_bytes == pretend_gpu.TAKEN for c in there.candidates)
    assert all(c.cost.gpu_bytes is None for c in here.candidates)
    for name, expected in losses(here).items():
        assert losses(there)[name] == pytest.approx(expected, rel=1e-3), name  # the twin's rounding, twice through Adam


@pretended
def test_a_pretended_gpu_refuses_what_a_real_one_does(gpu: None) -> None:
    there = torch.ones(2, device="cuda")
    assert there.device.type == (there * 2).device.type == "cuda"
    for mistake in (lambda: there + torch.ones(2), lambda: torch.ones(2)[there.long()], lambda: there.numpy()):
        with pytest.raises((RuntimeError, TypeError)):
            mistake()
    assert (there.cpu() + torch.ones(2)).numpy().tolist() == [2, 2]


def test_dropout_draws_what_torch_draws() -> None:
    """So that the processor may draw for a GPU; item after item, however the features lie in memory."""
    x = torch.randn(5, 7, 3)
    for features in (x, x.transpose(0, 1).contiguous().transpose(0, 1)):
        torch.manual_seed(3)
        ours, after = _dropped(features, 0.3), torch.rand(4)
        torch.manual_seed(3)
        assert torch.equal(ours, F.dropout(x, 0.3))
        assert torch.equal(after, torch.rand(4))


def begun_on(name: str, task: Task, folder: Path) -> planning.Plan:
    """A run that has begun on a device of that name."""
    made = planning.plan(task, ["rnn"], trials=1, seeds=1, epochs=1, size=1000)
    config = made.config.model_copy(update={"device": name})
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config.model_dump_json())
    return made


def test_a_run_goes_on_where_it_was_begun(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = begun_on("cpu", task, tmp_path / "run")
    gpus(monkeypatch, "Small", "Large")
    on_gpu = planning.plan(task, ["rnn"], trials=1, seeds=1, epochs=1, size=1000, on=device.choose())
    assert on_gpu.config.device == "Small"
    went_on, folder = resume.place(on_gpu, tmp_path / "run", open_=True)
    assert (went_on.device, went_on.config, folder) == (device.CPU, made.config, tmp_path / "run")
    begun_on("Large", task, tmp_path / "large")
    went_on, _ = resume.place(on_gpu, tmp_path / "large", open_=True)
    assert (went_on.device, went_on.config.device) == (torch.device("cuda", 1), "Large")


def test_a_run_whose_gpu_is_gone_says_what_to_do(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = begun_on("NVIDIA of old", task, tmp_path / "run")
    gpus(monkeypatch)
    with pytest.raises(
        DataError, match="was begun on the NVIDIA of old, and this machine has none; go on with it on a"
    ):
        resume.place(made, tmp_path / "run", open_=True)
    with pytest.raises(DataError, match="holds a run with device NVIDIA of old, and cpu is asked for now; choose"):
        comparison.compare(made, out=tmp_path / "run")
    assert resume.place(made, tmp_path / "run", open_=True, fresh=True) == (made, tmp_path / "run")
    assert resume.place(made, tmp_path / "run", open_=False) == (made, tmp_path / "run")


def test_a_run_is_found_in_its_own_folder_though_the_device_is_another(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder's name follows from all that decides the figures, the device among it."""
    monkeypatch.chdir(tmp_path)
    gpus(monkeypatch)
    odd = replace(task, source=tmp_path / "a.b [c].csv")
    made = planning.plan(odd, ["rnn"], trials=1, seeds=1, epochs=1, size=1000)
    elsewhere = made.config.model_copy(update={"device": "Large"})
    old = default_folder(odd.source, elsewhere)
    assert old != default_folder(odd.source, made.config)
    begun_on("Large", odd, old)
    assert old.name.startswith("a.b [c]-")
    begun_on("cpu", data.load(tasks.write_series(tmp_path / "s.csv", rows=200)), Path("runs/a.b [c]-00000000"))
    with pytest.raises(DataError, match="was begun on the Large"):
        resume.place(made, None, open_=True)
    begun_on("cpu", odd, default_folder(odd.source, made.config))
    assert resume.place(made, None, open_=True) == (made, default_folder(odd.source, made.config))


def test_what_is_finished_is_shown_without_its_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished.run("images")
    kinds: dict[str, type[Record]] = {"config.json": Config, "result.json": Comparison}
    for name, kind in kinds.items():
        kept = sealed.load_record(run.folder / name, kind)
        sealed.save_record(tmp_path / name, kept.model_copy(update={"device": "NVIDIA of old"}))
    gpus(monkeypatch)
    names = sealed.load_record(tmp_path / "config.json", Config).candidates
    found = lab.compare(run.source, names, out=tmp_path, trials=1, seeds=2, epochs=2, size=1500, quiet=True)
    assert (found.device, found.created) == ("NVIDIA of old", run.found.created)
    (entry,) = catalogue.entries(tmp_path)
    assert entry.device == "NVIDIA of old"
    page = (tmp_path / "report.html").read_text()
    assert "measured on the NVIDIA of old, the item's way there" in " ".join(page.split())


def test_a_run_on_the_processor_has_the_name_that_it_had(task: Task) -> None:
    config = planning.plan(task, ["rnn"], trials=1, seeds=1, epochs=1, size=1000).config
    old = json.loads(config.model_dump_json())
    assert (old.pop("device"), old.pop("processes")) == ("cpu", 1)
    assert Config.model_validate(old) == config  # a run of before there was a choice
    assert (
        config.key
        == hashlib.sha256(
            config.model_dump_json(exclude={"device", "processes", "settings", "space"}).encode()
        ).hexdigest()[:8]
    )
    assert config.key != config.model_copy(update={"device": "Large"}).key
    assert config.key != config.model_copy(update={"processes": 2}).key


def test_a_worker_makes_its_plan_on_the_same_device(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, "Small", "Large")
    made = planning.plan(task, ["rnn"], trials=1, seeds=1, epochs=1, size=1000, on=device.choose("cuda:1"))
    orders = crew._orders(made)
    threads = torch.get_num_threads()
    try:
        own = crew._workshop(orders, Path("run")).made
        assert (own.device, own.config) == (torch.device("cuda", 1), made.config)
        with pytest.raises(DataError, match="another GPU than the run was begun with"):
            crew._workshop(replace(orders, device="cuda"), Path("run"))
    finally:
        torch.set_num_threads(threads)
        crew._workshop.cache_clear()


def test_a_team_shares_the_gpus_of_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, "One", "Two")
    alone = device.choose("cuda")
    assert team.own(alone) == alone
    monkeypatch.setattr(team.dist, "is_initialized", lambda: True)
    for place, mine in (("0", 0), ("1", 1), ("2", 0)):
        monkeypatch.setenv("LOCAL_RANK", place)
        assert team.own(alone) == torch.device("cuda", mine)
    assert team.own(torch.device("cuda", 1)) == torch.device("cuda", 1)
    assert team.own(device.CPU) == device.CPU


def test_what_takes_time_is_waited_for(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch's seconds end when the GPU is done; that an answer has come back ends the time of one item."""
    waits: list[torch.device] = []
    monkeypatch.setattr(device, "finish", waits.append)
    made = planning.plan(task, ["cnn"], trials=1, seeds=1, epochs=1, size=1000)
    model = made.blueprints[0].build(task, made.widths[0])
    back: list[int] = []
    bring = Tensor.cpu
    monkeypatch.setattr(Tensor, "cpu", lambda self: back.append(1) or bring(self))
    costs.latencies([model], first(task.test), rounds=3)
    assert len(back) == 5 + 3
    monkeypatch.undo()
    monkeypatch.setattr(device, "finish", waits.append)
    lesson = replace(task.lesson, augment=None)
    from pellucid.lab.train import Unit, _epoch

    _epoch(Unit("u", Path("u"), model, [], {}), torch.optim.Adam(model.parameters()), lesson, 8)
    assert waits == [device.CPU, device.CPU]


@pretended
def test_claims_measure_the_same_from_the_same_draws(gpu: None) -> None:
    small = {"steps": 5, "epochs": 1, "length": 6, "lag": 3}
    by_experiment = {u.experiment: u for c in claims(quick=True) for u in c.units if u.settings.get("use") != "sound"}
    assert len(by_experiment) > 10
    for name, unit in by_experiment.items():
        settings = {k: small.get(k, v) for k, v in unit.settings.items()}
        quick = replace(unit, settings=settings)
        there, here = measure(quick, device.choose()), measure(quick)
        if name != "speed":  # which measures time
            assert there.measures == pytest.approx(here.measures, rel=1e-3, abs=0.2), name
        assert _key(quick, "cpu") != _key(quick, pretend_gpu.NAME)


@pytest.mark.parametrize("command", ["compare", "predict", "claims", "see"])
def test_a_command_without_its_gpu_ends_with_a_sentence(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pellucid import cli

    gpus(monkeypatch)
    monkeypatch.setattr(
        "sys.argv", ["pellucid", command, *([] if command == "claims" else [str(tmp_path)]), "--device", "cuda"]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("pellucid: device is cuda, and ")


def test_python_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch)
    threads = torch.get_num_threads()
    with pytest.raises(ArgumentError, match="device is cuda, and"):
        lab.compare(tmp_path, device="cuda", threads=2)
    assert torch.get_num_threads() == threads
