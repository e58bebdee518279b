"""The GPU benchmark's page says what its rows say: right means, right limits, and no figure of a wrong result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="the reports draw with the extra bench")

from benchmarks import gpu, gpu_plan, report_gpu
from benchmarks.report_gpu import Device, differs
from pellucid.ops.cuda import cudnn

MACHINE = {"device": "A GPU", "torch": "2", "cuda": "13.0", "cudnn": "91300", "driver": "580.1", "tiny": False}


def row(ours: float, other: float, **how: Any) -> dict[str, Any]:
    """A row of an LSTM that takes so many seconds, and cuDNN so many."""
    times = {
        name: {"median": median, "low": 0.9 * median, "high": 1.25 * median, "calls": 9}
        for name, median in (("pellucid", ours), ("torch", other))
    }
    found = {"table": "plain", "cell": "LSTM", "size": [128, 16, 64, 64], "mode": "forward", "dtype": "bfloat16"}
    found |= {"times": times, "first": {"pellucid": 2.0, "torch": 0.5}, "failed": {}, "on_cudnn": ["torch"]}
    found |= {"relative_error": {"pellucid": {"output": 0.002}, "torch": {"output": 0.003}}}
    return {**MACHINE, **found, "multiply_adds": 4e9, "bytes": 1e6, **how}


def device(tmp_path: Path, *rows: dict[str, Any]) -> Device:
    """What the report reads from them."""
    path = tmp_path / "gpu.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    (found,) = Device.each(path)
    return found


def line(text: str, *begins: str) -> list[str]:
    """The cells of the table's line that begins so."""
    (found,) = [cells for cells in map(cells_of, text.splitlines()) if cells[: len(begins)] == [*begins]]
    return found


def cells_of(text: str) -> list[str]:
    return [cell.strip() for cell in text.strip().strip("|").split("|")]


def test_a_mean_of_ratios_is_geometric(tmp_path: Path) -> None:
    """Twice as fast at one size and half as fast at another are as fast, and the smallest stands beside."""
    found = device(tmp_path, row(1e-3, 2e-3), row(1e-3, 5e-4, size=[512, 16, 64, 64]))
    assert line(report_gpu.summary(found, "plain", ("torch",)), "LSTM", "forward")[2:4] == ["2", "1.00 (0.50)"]
    assert line(report_gpu.summary(found, "plain", ("torch",)), "all", "forward")[2:4] == ["2", "1.00 (0.50)"]


def test_a_ratio_has_the_range_of_its_quartiles(tmp_path: Path) -> None:
    """From the other's quick calls over our slow ones to the reverse: 2 · 0.9 / 1.25 and 2 · 1.25 / 0.9."""
    assert "2.00 (1.44 to 2.78)" in report_gpu.rows_of(device(tmp_path, row(1e-3, 2e-3)), "plain", ("torch",))


def test_the_part_of_the_floor(tmp_path: Path) -> None:
    """4e9 multiply-adds at 1e13 a second are 0.4 ms, more than 1 MB at 1e12 bytes a second: 40 % of 1 ms."""
    limits = {**MACHINE, "table": "limits", "ceilings": {"bfloat16": 1e13, "float32": 1e12, "copy": 1e12}}
    found = device(tmp_path, limits, row(1e-3, 2e-3))
    assert found.floor(found.rows[0]) == (pytest.approx(4e-4), "multiply-adds")
    assert "40 %" in line(report_gpu.summary(found, "plain", ("torch",)), "LSTM", "forward")
    assert "0.400 multiply-adds" in report_gpu.rows_of(found, "plain", ("torch",))
    many = device(tmp_path, limits, row(1e-3, 2e-3, bytes=6e8))
    assert many.floor(many.rows[0]) == (pytest.approx(6e-4), "bytes")


def test_empty_steps_are_those_of_the_same_steps_and_batch(tmp_path: Path) -> None:
    """The same cell, mode, T and B; where they take longer than the floor they are the limit."""
    limits = {**MACHINE, "table": "limits", "ceilings": {"bfloat16": 1e13, "float32": 1e12, "copy": 1e12}}
    same = row(8e-4, 1.0, table="empty", size=[128, 16, 16, 16])
    others = [
        row(9e-4, 1.0, table="empty", size=[128, 1, 16, 16]),
        row(9e-4, 1.0, table="empty", size=[128, 16, 16, 16], cell="GRU"),
        row(9e-4, 1.0, table="empty", size=[128, 16, 16, 16], mode="forward + backward"),
    ]
    found = device(tmp_path, limits, *others, same, row(1e-3, 2e-3))
    assert found.empty(found.table("plain")[0]) == 8e-4
    assert "80 %" in line(report_gpu.summary(found, "plain", ("torch",)), "LSTM", "forward")


@pytest.mark.parametrize(
    ("ours", "torch", "wrong"),
    [
        (0.002, 0.003, False),
        (0.011, 0.003, False),  # less than four times
        (0.013, 0.003, True),
        (0.0039, 1e-5, False),  # one rounding
        (0.05, None, False),  # nobody to compare with: 16 roundings are 0.0625
        (0.07, None, True),
        (float("nan"), 0.003, True),
        (float("nan"), None, True),
    ],
)
def test_what_is_right(ours: float, torch: float | None, wrong: bool) -> None:
    """By what rounding does to others in the same number type; float16 rounds less and is no measure."""
    errors = {"pellucid": {"output": ours}, "torch, float16": {"output": 1e-7}}
    if torch is not None:
        errors["torch"] = {"output": torch}
    assert bool(differs(row(1.0, 1.0, relative_error=errors))) is wrong


def test_a_wrong_result_is_in_no_mean(tmp_path: Path) -> None:
    """However fast it was; its gradient alone is enough, and it is told at the end."""
    errors = {"pellucid": {"output": 0.002, "input gradient": 0.9}, "torch": {"output": 0.003, "input gradient": 0.003}}
    found = device(tmp_path, row(1e-3, 2e-3), row(1e-9, 1.0, size=[512, 16, 64, 64], relative_error=errors))
    assert line(report_gpu.summary(found, "plain", ("torch",)), "LSTM", "forward")[2:4] == ["1", "2.00 (2.00)"]
    assert "input gradient is 9.0e-01 from the truth" in report_gpu.failures(found)
    assert "input gradient" not in report_gpu.failures(device(tmp_path, row(1e-3, 2e-3)))


def test_what_failed_is_told(tmp_path: Path) -> None:
    """A row, a side, and torch without cuDNN; a row that was measured later stands for the one that failed."""
    named = {name: row(1.0, 1.0)[name] for name in (*MACHINE, "table", "cell", "mode", "dtype")}
    failed = named | {"size": [9, 9, 9, 9], "error": "RuntimeError: no such kernel"}
    side = row(1.0, 1.0, failed={"torch, float16": "OutOfMemoryError: too much"}, on_cudnn=[])
    told = report_gpu.failures(device(tmp_path, failed, side))
    assert "RuntimeError: no such kernel" in told
    assert "OutOfMemoryError: too much" in told
    assert "not on cuDNN" in told
    assert report_gpu.failures(device(tmp_path, failed, row(1.0, 1.0, size=[9, 9, 9, 9]))) == "None.\n"


def test_published_figures_stand_beside_and_in_no_ratio(tmp_path: Path) -> None:
    """They were measured on another machine, and the page says so."""
    heads = row(1.5e-3, 1.0, table="heads", cell="sLSTM, 16 heads", published={"FlashRNN": 1.97e-3})
    text = report_gpu.published(device(tmp_path, heads))
    assert line(text, "sLSTM, 16 heads")[2::2] == ["1.50", "FlashRNN 1.97"]
    assert "not measured here" in text


def test_devices_are_apart(tmp_path: Path) -> None:
    """And tiny sizes are no figures of a device."""
    path = tmp_path / "gpu.jsonl"
    rows = [row(1e-3, 2e-3), row(1e-3, 4e-3, device="Another"), row(1e-3, 9e-3, tiny=True)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    devices = Device.each(path)
    assert [len(d.rows) for d in devices] == [1, 1, 1]
    tiny, real = report_gpu.page(devices[2:]), report_gpu.page(devices[:2])
    assert "## A GPU" in real
    assert "## Another" in real
    assert "none of these figures" in tiny
    assert "none of these figures" not in real


def test_a_page_is_made_of_what_a_run_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command to the page, and its summaries in the terminal."""
    out = tmp_path / "gpu.jsonl"
    gpu.main(["--device", "cpu", "--tiny", "--out", str(out), "--only", "limits", "float32", "resets"])
    monkeypatch.setattr("sys.argv", ["report_gpu", str(out), "--out", str(tmp_path)])
    capsys.readouterr()
    report_gpu.main()
    printed, page = capsys.readouterr().out, (tmp_path / "speed-gpu.md").read_text()
    sizes = {case.tiny().size for case in gpu_plan.float32() if case.cell == "GRU"}
    for text in (printed, page):
        assert line(text, "GRU", "forward")[2] == str(len(sizes))
    assert "<details><summary>resets, forward + backward</summary>" in page
    assert "Not measured in this run." in page


def test_the_table_of_paths_is_of_right_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """cuDNN's time by the same layer where it was measured, torch.nn's elsewhere, of the device with most of such rows; the
    library reads what was written."""
    both = {"table": "float16", "dtype": "float16", "size": [1024, 16, 768, 768]}
    sided = row(1e-3, 4e-4, **both)
    sided["times"]["by cuDNN"] = sided["times"]["torch"] | {"median": 5e-4}
    wrong = row(1e-3, 5e-4, size=[9, 9, 9, 9], relative_error={"pellucid": {"output": 0.9}, "torch": {"output": 0.003}})
    rows = [sided, row(1e-3, 2e-3, mode="forward + backward"), wrong, row(1e-3, 2e-3, table="resets")]
    rows.append(row(1e-3, 9e-3, device="Another GPU"))
    out, table = tmp_path / "gpu.jsonl", tmp_path / "cudnn.json"
    out.write_text("".join(json.dumps(r) + "\n" for r in rows))
    monkeypatch.setattr(report_gpu, "TABLE", table)
    monkeypatch.setattr("sys.argv", ["report_gpu", str(out), "--out", str(tmp_path)])
    report_gpu.main()
    monkeypatch.setattr(cudnn, "TABLE", table)
    assert cudnn.table.__wrapped__() == (
        cudnn.Measured("LSTM", "float16", False, (1024, 16, 768), 0.5),
        cudnn.Measured("LSTM", "bfloat16", True, (128, 16, 64), 2.0),
    )


def test_a_goal_is_reached_by_its_mean_and_its_smallest(tmp_path: Path) -> None:
    """Published times count as the other's; a row that is wrong does not count."""
    sizes = [[1, 1, n, n] for n in (64, 128, 256)]
    quick, slow = row(1e-3, 9e-3, size=sizes[0]), row(1e-3, 9e-4, size=sizes[1])
    wrong = row(1e-3, 1e-5, size=sizes[2], relative_error={"pellucid": {"output": 0.9}, "torch": {"output": 0.003}})
    both = row(1e-3, 1.3e-3, mode="forward + backward")
    heads = row(1e-3, 1.0, table="heads", cell="sLSTM, 16 heads", published={"FlashRNN": 1.5e-3})
    text = report_gpu.goals(device(tmp_path, quick, slow, wrong, both, heads))
    assert line(text, "plain, torch.nn", "forward")[2:] == [
        "mean 1.3, nowhere below 1.0", "no", "2.85", "0.900", "LSTM 1·1·128·128"
    ]  # fmt: skip
    assert line(text, "plain, torch.nn", "forward + backward")[3] == "yes"
    assert line(text, "FlashRNN")[1:6] == ["forward", "nowhere below 1.3", "yes", "1.50", "1.50"]
    assert "Resets" not in text


def test_what_a_way_of_meeting_costs(tmp_path: Path) -> None:
    """A step of either pass, in the order in which the ways were measured."""
    how: dict[str, Any] = {"table": "meeting", "size": [1000, 1, 32, 32]}
    rows = [
        row(ours, ours, **how, cell=f"LSTM, {way}", mode=mode)
        for way, times in (("grid of 4", (2e-3, 5e-3)), ("block of 1", (1e-3, 2e-3)))
        for mode, ours in zip(("forward", "forward + backward"), times, strict=True)
    ]
    text = report_gpu.meeting(device(tmp_path, *rows))
    assert line(text, "grid of 4") == ["grid of 4", "32", "2.00", "3.00"]
    assert text.index("grid of 4") < text.index("block of 1")
    assert report_gpu.meeting(device(tmp_path, row(1e-3, 1e-3))) == report_gpu.NOT_MEASURED
