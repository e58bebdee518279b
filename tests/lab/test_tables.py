"""Tables as spreadsheets and other programs write them: what can be read is, and what would be misread is a sentence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.lab.test_odd_data import sine, write_rows
from tests.lab.test_sequences import write_long

from pellucid.errors import ArgumentError, DataError
from pellucid.lab import data
from pellucid.lab.data import table
from pellucid.lab.data.series.newest import newest

DAYS = [str(np.datetime64("2023-01-01") + k) for k in range(200)]
HOURS = [np.datetime64("2023-01-01T00:00:00") + k * np.timedelta64(1, "h") for k in range(200)]


@pytest.mark.parametrize(
    ("header", "times", "said"),
    [
        ("t,y", [k % 20 for k in range(200)], True),
        ("t,y", list(range(200)), False),
        ("t,y", [k * k % 101 for k in range(200)], False),  # a temperature, perhaps
        ("hour,y", [k % 24 for k in range(200)], False),
        ("day,y", [int(day[-2:]) for day in DAYS], False),
        ("month,y", [k % 12 + 1 for k in range(200)], False),
        ("cycle,y", [k % 20 for k in range(200)], True),
        ("Frame_no,y", [k % 20 for k in range(200)], True),
        ("hours,y", [k % 40 for k in range(200)], True),  # no hour of a day
    ],
)
def test_a_time_that_starts_anew_is_told(tmp_path: Path, header: str, times: list[int], said: bool) -> None:
    rows = [f"{t},{v}" for t, v in zip(times, sine(), strict=True)]
    source = write_rows(tmp_path / "a.csv", header, rows)
    name = header.split(",")[0]
    assert (f"'{name}' starts anew" in data.load(source).hint) is said
    assert data.load(source).channels == 1 + (times != list(range(200)))
    parts = write_rows(tmp_path / "b.csv", f"{header},part", [f"{row},{k // 20}" for k, row in enumerate(rows)])
    if said:
        assert not data.load(parts, id="part", target="y", horizon=1, window=2).hint


def test_where_a_time_starts_anew_the_column_that_changes_is_named(tmp_path: Path) -> None:
    rows = [f"E{k // 20},{k // 50},{k % 20},{v}" for k, v in enumerate(sine())]
    task = data.load(write_rows(tmp_path / "a.csv", "the engine,batch,cycle,y", rows))
    assert "starts anew among the rows, just where 'the engine' changes" in task.hint
    assert "give --id 'the engine'; to say what each is" in task.hint
    assert data.load(tmp_path / "a.csv", id="the engine", horizon=1, window=2).channels == 2


COUNTING: dict[str, Callable[[int], float]] = {
    "cycle": lambda k: k,
    "Sample_no": lambda k: 5 + k,
    "frame": lambda k: 2 * k + (k > 90) * 4,  # with a gap
    "day": lambda k: k + 1,
    "hour": lambda k: k,
    "ts": lambda k: 1_700_000_000_000 + 60_000 * k,
    "epoch": lambda k: 1_700_000_000 + k,
    "time (s)": lambda k: k * 0.02,
}


@pytest.mark.parametrize("name", COUNTING)
def test_a_column_that_counts_steps_is_no_input(tmp_path: Path, name: str) -> None:
    rows = [f"{COUNTING[name](k)},{v}" for k, v in enumerate(sine())]
    task = data.load(write_rows(tmp_path / "a.csv", f"{name},y", rows), missing="linear")
    assert (task.channels, task.preprocessing["time"], task.hint) == (1, name, "")
    if name != "ts":  # which is nothing else
        alone = write_rows(tmp_path / "b.csv", name, [row.split(",")[0] for row in rows])
        assert data.load(alone, missing="linear").preprocessing["target"] == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hour", lambda k: k % 24),
        ("day", lambda k: int(DAYS[k][-2:])),
        ("sample", lambda k: k * k),  # ascends, and by no even steps
        ("cycle", lambda k: k * k % 7),
        ("rows", lambda k: k // 3),
        ("daylight", lambda k: k),
        ("min", lambda k: k),
    ],
)
def test_a_value_that_is_called_as_a_time_stays_an_input(
    tmp_path: Path, name: str, value: Callable[[int], int]
) -> None:
    """In prediction from a few rows, along which it ascends, as well."""
    rows = [f"{value(k)},{v}" for k, v in enumerate(sine())]
    task = data.load(write_rows(tmp_path / "a.csv", f"{name},y", rows), horizon=2, window=8)
    assert (task.channels, task.preprocessing["time"], task.hint) == (2, None, "")
    few = write_rows(tmp_path / "b.csv", f"{name},y", rows[48:60])
    assert newest(few, task.preprocessing).x.shape == (1, 8, 2)


def test_what_is_forecast_is_no_time(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "a.csv", "day,y", [f"{k},{v}" for k, v in enumerate(sine())])
    assert data.load(source, target="day").channels == 2


@pytest.mark.parametrize(
    ("header", "refused"),
    [
        ("2024-01-01,10.84", r"the first line \(2024-01-01, 10.84\) looks like values"),
        ("112,112", r"the first line \(112, 112\) looks like values"),
        ("1,5e-3", "looks like values"),
        ("9.7e-01,9.2e-01,6.8e-01", "looks like values"),
        ("49,1", "looks like values"),  # both within their columns
        ("0.9699999,0.92", "looks like values"),
        ("y,y", "two columns are called 'y'"),
        ("sep=;", "only Excel reads"),
        ("0,1", None),  # as arrays are written
        ("773869,767541", None),  # sensors
        ("2023,2022", None),  # years
        ("2023-01,2023-02", "are called by times"),
        ("day,10.84", None),
        ("1.8.0,2.8.0", None),  # no days of the year 0
        ("0-5,6-10", None),
        (",y", None),  # an index without a name
    ],
)
def test_a_first_line_that_names_no_columns_is_a_sentence(tmp_path: Path, header: str, refused: str | None) -> None:
    source = write_rows(tmp_path / "a.csv", header, [f"{k},{v}" for k, v in enumerate(sine())])
    if refused is None:
        assert data.load(source).kind == "series"
        return
    for memory in (8.0, 0.0):
        with pytest.raises(DataError, match=refused):
            data.load(source, memory=memory)


@pytest.mark.parametrize(
    ("above", "lines"),
    [
        (["# logger v2.1"], 1),
        (["# logger, 0815", "", "#site: roof"], 2),
        (['"# written, by"', "# hand"], 2),
        (["#t,y"], 0),
    ],
)
def test_remarks_above_the_header_are_a_sentence(tmp_path: Path, above: list[str], lines: int) -> None:
    header = [] if not lines else ["t,y"]
    source = write_rows(tmp_path / "a.csv", "\n".join([*above, *header]), [f"{k},{v}" for k, v in enumerate(sine())])
    if not lines:
        assert data.load(source).kind == "series"
        return
    with pytest.raises(
        DataError, match=rf"begins with {lines} lines? of remarks \(#\); remove what stands above the head"
    ):
        data.recognise(source)


@pytest.mark.parametrize("name", ["book.xlsx", "Book.XLS", "book.ods"])
def test_a_workbook_is_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(DataError, match="this is a workbook; save the sheet as CSV, and give that"):
        data.recognise(tmp_path / name)


def test_a_first_line_of_a_large_table_is_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "BLOCK", 500)
    source = write_rows(tmp_path / "a.csv", "2024-01-01,10.84", [f"{k},{v}" for k, v in enumerate(sine())])
    with pytest.raises(DataError, match="looks like values"):
        data.load(source, memory=0.0)


@pytest.mark.parametrize("mark", ["1,{:03.0f}.5", "{:.1f}%", "$ {:.2f}", "{:.2f} €", "{:.0f}'000", "1.{:03.0f},5"])
def test_numbers_with_marks_are_a_sentence_and_no_texts(tmp_path: Path, mark: str) -> None:
    rows = [f'{np.datetime64("2024-01-01") + k},"{mark.format(100 + v)}"' for k, v in enumerate(sine())]
    source = write_rows(tmp_path / "a.csv", "day,y", rows)
    assert data.recognise(source).kind == "series"
    with pytest.raises(DataError, match="column 'y' has numbers with marks, such as"):
        data.load(source)


def test_names_and_few_marked_numbers_are_words(tmp_path: Path) -> None:
    rows = [f"{k},{v},{['red', 'blue', '5%'][k % 3]},{k % 2}-{k % 7}" for k, v in enumerate(sine())]
    task = data.load(write_rows(tmp_path / "a.csv", "t,y,colour,code", rows), target="y")
    assert task.hint == "Networks see numbers alone, and not what is in 'colour' and 'code'."
    assert task.channels == 1


def test_lists_beside_numbers_are_told(tmp_path: Path) -> None:
    pl.DataFrame({"pixels": [[k, 1, 2] for k in range(200)], "y": sine()}).write_parquet(tmp_path / "a.parquet")
    assert "'pixels'" in data.load(tmp_path / "a.parquet").hint


def test_times_across_are_a_sentence(tmp_path: Path) -> None:
    header = ",".join(["shop", *(f"2024-{m:02d}" for m in range(1, 13))])
    source = write_rows(tmp_path / "a.csv", header, [",".join([f"s{k}", *map(str, range(12))]) for k in range(40)])
    with pytest.raises(DataError, match=r"called by times \(2024-01, 2024-02, ...\).* turn the table"):
        data.load(source)


def test_a_search_that_leads_nowhere_says_nothing(tmp_path: Path) -> None:
    """Whatever is imported first: in a process of its own."""
    source = write_rows(tmp_path / "a.csv", "y", ["3"] * 100)
    command = [sys.executable, "-c", f"from pellucid.lab import data; data.load({str(source)!r})"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")


WRITTEN: dict[str, tuple[Callable[[Any], str], str]] = {
    "with AM and PM": (lambda t: t.item().strftime("%m/%d/%Y %I:%M:%S %p"), "hour"),
    "with UTC": (lambda t: f"{str(t).replace('T', ' ')} UTC", "hour"),
    "months by name": (
        lambda t: (np.datetime64("1980-01") + (t - HOURS[0]) // np.timedelta64(1, "h")).item().strftime("%b %Y"),
        "month",
    ),
    "short years": (lambda t: (HOURS[0] + (t - HOURS[0]) * 24).item().strftime("%d-%b-%y"), "day"),
    "whole numbers": (lambda t: (HOURS[0] + (t - HOURS[0]) * 24).item().strftime("%Y%m%d"), "day"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_times_as_other_programs_write_them(tmp_path: Path, name: str) -> None:
    write, step = WRITTEN[name]
    rows = [f"{write(t)},{v}" for t, v in zip(HOURS, sine(), strict=True)]
    source = write_rows(tmp_path / "a.csv", "Date,y", rows)
    assert data.recognise(source).kind == "series"
    task = data.load(source)
    assert (task.step, task.channels) == (step, 1)


@pytest.mark.parametrize("at", [3, 150, 1500])
@pytest.mark.parametrize("wrong", ["2023-02-30", "n.a."])
def test_a_time_that_cannot_be_read_is_named(tmp_path: Path, at: int, wrong: str) -> None:
    rows = [f"{np.datetime64('2015-01-01') + k},{k % 7}" for k in range(2000)]
    rows[at] = f"{wrong},3"
    with pytest.raises(DataError, match=f"line {at + 2}: the time '{wrong}' in column 'when' is written otherwise"):
        data.load(write_rows(tmp_path / "a.csv", "when,y", rows))


def test_times_of_a_form_that_is_not_known_are_a_sentence(tmp_path: Path) -> None:
    rows = [f"{t.item().strftime('%Hh%M on %d %m %Y')},{v}" for t, v in zip(HOURS, sine(), strict=True)]
    source = write_rows(tmp_path / "a.csv", "time,y", rows)
    assert data.recognise(source).kind == "series"
    with pytest.raises(DataError, match="the times in column 'time', such as '00h00 on 01 01 2023', cannot be read"):
        data.load(source)


def test_a_name_that_is_long_is_no_text(tmp_path: Path) -> None:
    rows = [f'"LOS ANGELES INTERNATIONAL AIRPORT, CA US",{day},{v}' for day, v in zip(DAYS, sine(), strict=True)]
    assert data.recognise(write_rows(tmp_path / "a.csv", "NAME,DATE,TMAX", rows)).kind == "series"


@pytest.mark.parametrize(("yes", "no"), [("True", "False"), ("TRUE", "FALSE"), ("true", "false")])
@pytest.mark.parametrize("memory", [8.0, 0.0])
def test_true_and_false_are_numbers(
    tmp_path: Path, yes: str, no: str, memory: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "BLOCK", 500)
    rows = [f"{day},{yes if k % 7 else no},{v}" for k, (day, v) in enumerate(zip(DAYS, sine(), strict=True))]
    assert data.load(write_rows(tmp_path / "a.csv", "date,open,y", rows), memory=memory).channels == 2


GERMAN: dict[str, tuple[str, str, Callable[[int], str], str | None]] = {
    "quoted": ("a.csv", ";", lambda k: f'"{k},5"', None),
    "tabs": ("a.tsv", "\t", lambda k: f"{k},5", None),
    "whole at first": ("a.csv", ";", lambda k: f"{k},5" if k > 100 else str(k), None),
    "thousands": (
        "a.csv",
        ";",
        lambda k: f"{k + 900},5" if k < 100 else f"{k // 100}.{k % 100:03d}",
        "marks, such as '1.000'",
    ),
    "American thousands": (
        "a.csv",
        ";",
        lambda k: f"{2 * k + 900:,}",
        "where a number is needed|marks, such as '1,000'",
    ),
    "thousands after tabs": ("a.tsv", "\t", lambda k: f"{k + 20_000:,}", "marks, such as '20,000'"),
    "three digits": ("a.csv", ";", lambda k: f"{k // 100 + 1},{k % 100:03d}", None),
}


@pytest.mark.parametrize("name", GERMAN)
def test_decimal_commas(tmp_path: Path, name: str) -> None:
    file, separator, write, refused = GERMAN[name]
    rows = [f"{day}{separator}{write(k)}" for k, day in enumerate(DAYS)]
    source = write_rows(tmp_path / file, f"day{separator}y", rows)
    if refused:
        with pytest.raises(DataError, match=refused):
            data.load(source)
        return
    task = data.load(source)
    wanted = [float(write(k).strip('"').replace(",", ".")) for k in range(200)]
    (mean,), (spread,) = task.scale
    np.testing.assert_allclose(task.test.y[-1, 0] * spread + mean, wanted[-task.horizon], rtol=1e-5)


def test_points_beside_decimal_commas(tmp_path: Path) -> None:
    """A latitude of 52.520 has no mark of thousands, and what are no numbers is not looked at."""
    rows = [f"{day};52.{520 + k};{['A-77', '12.345', 'B-1'][k % 3]};{k},5" for k, day in enumerate(DAYS)]
    task = data.load(write_rows(tmp_path / "a.csv", "day;lat;article;y", rows))
    assert task.channels == 2
    assert "'article'" in task.hint


def test_the_clock_is_the_column_that_is_read_in_full(tmp_path: Path) -> None:
    rows = [f"{'N/A' if k % 25 == 0 else '2020-01-01'},{day},{k % 7}" for k, day in enumerate(DAYS)]
    assert data.load(write_rows(tmp_path / "a.csv", "last_service,date,y", rows)).step == "day"


@pytest.mark.parametrize("header", ["time", "Date"])
def test_times_of_a_day_count_rows(tmp_path: Path, header: str) -> None:
    rows = [f"{k // 60:02d}:{k % 60:02d}:00,{v}" for k, v in enumerate(sine())]
    task = data.load(write_rows(tmp_path / "a.csv", f"{header},y", rows))
    assert (task.step, task.channels) == ("", 1)
    assert f"not what is in '{header}'" in task.hint


SPLIT: dict[str, tuple[str, str]] = {
    "American": ("%m/%d/%Y", "%H:%M"),
    "German": ("%d.%m.%Y", "%H:%M:%S"),
    "ISO": ("%Y-%m-%d", "%H:%M:%S"),
    "with AM and PM": ("%m/%d/%Y", "%I:%M %p"),
}


@pytest.mark.parametrize("memory", [8.0, 0.0])
@pytest.mark.parametrize("name", SPLIT)
def test_a_date_and_a_time_of_the_day_are_read_together(
    tmp_path: Path, name: str, memory: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "BLOCK", 500)
    of_date, of_day = SPLIT[name]
    rows = [f"{t.item().strftime(of_date)},{t.item().strftime(of_day)},{v}" for t, v in zip(HOURS, sine(), strict=True)]
    source = write_rows(tmp_path / "a.csv", "date,time,y", rows)
    task = data.load(source, memory=memory, horizon=2)
    assert (task.step, task.channels) == ("hour", 1)
    assert task.hint.startswith("Networks see no calendar")
    assert newest(source, task.preprocessing, task.step).ahead == [("2023-01-09 08:00:00", "2023-01-09 09:00:00")]


def test_a_time_of_the_day_that_is_not_read_with_its_date_is_named(tmp_path: Path) -> None:
    rows = [f"{str(t)[:10]},{k % 24},{v}" for k, (t, v) in enumerate(zip(HOURS, sine(), strict=True))]
    with pytest.raises(DataError, match="if column 'Hour' belongs to it, write both in one, as 2024-01-31 12:00"):
        data.load(write_rows(tmp_path / "a.csv", "date,Hour,y", rows))
    rows = [f"{day},08:30,{v}" for day, v in zip(DAYS, sine(), strict=True)]
    assert data.load(write_rows(tmp_path / "b.csv", "date,time,y", rows)).step == "day"


def test_a_column_of_words_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    rows = [
        f"{day},{'yes' if k % 7 else 'no'},{'abc'[k % 3]},{v}"
        for k, (day, v) in enumerate(zip(DAYS, sine(), strict=True))
    ]
    source = write_rows(tmp_path / "a.csv", "date,holiday,kind,y", rows)
    for options, said in (
        ({"known": "holiday"}, "column 'holiday' holds words, such as 'no', and .* alone; write 0 and 1 in it"),
        ({"known": "kind"}, "column 'kind' holds words, such as 'a', .* write a column of 0 and 1 for each"),
        ({"known": "holidays"}, "has no column 'holidays'; its columns are date, holiday, kind, y"),
        ({"target": "holiday"}, "column 'holiday' holds words"),
        ({"target": "date"}, "column 'date' holds no values of the series; those that do are y"),
    ):
        with pytest.raises(ArgumentError, match=said):
            data.load(source, **options)


def test_days_that_recur_count_rows(tmp_path: Path) -> None:
    rows = [f"202201{k // 24 + 1:02d},{k % 24 * 100},{v}" for k, v in enumerate(sine())]
    assert data.load(write_rows(tmp_path / "a.csv", "date,time,y", rows)).step == ""


def test_a_separator_is_one_outside_quotes(tmp_path: Path) -> None:
    rows = [f"{day};{v}" for day, v in zip(DAYS, sine(), strict=True)]
    assert data.load(write_rows(tmp_path / "a.csv", '"Date";"Temp, outside, degrees C"', rows)).channels == 1
    assert data.load(write_rows(tmp_path / "b.csv", '"Date\n(local)";"Temp, C"', rows)).channels == 1
    tabs = [row.replace(";", "\t") for row in rows]
    assert data.load(write_rows(tmp_path / "c.tsv", "Time\tHumidity, in, %", tabs)).channels == 1


def test_an_index_that_counts_rows_is_no_channel(tmp_path: Path) -> None:
    frame = pl.read_csv(write_long(tmp_path / "a.csv")).sort("label", maintain_order=True)
    frame.with_row_index("").write_csv(tmp_path / "b.csv")
    assert data.load(tmp_path / "b.csv").channels == data.load(tmp_path / "a.csv").channels == 2
    series = write_rows(tmp_path / "c.csv", ",y", [f"{k},{v}" for k, v in enumerate(sine())])
    assert data.load(series).channels == 1
    values = write_rows(tmp_path / "d.csv", ",y", [f"{k * k % 7},{v}" for k, v in enumerate(sine())])
    assert data.load(values).channels == 2


@pytest.mark.parametrize("header", [",time,a,b", "time,a,b,,", '"time\n(h)",a,b'])
def test_odd_headers_of_large_tables(tmp_path: Path, header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"{k},{v},{k % 7}" for k, v in enumerate(sine())]
    rows = [f"{k},{row}" if header[0] == "," else row + "," * header.endswith(",,") * 2 for k, row in enumerate(rows)]
    source = write_rows(tmp_path / "a.csv", header, rows)
    small = data.load(source)
    monkeypatch.setattr(table, "BLOCK", 500)
    assert data.load(source, memory=0.0).fingerprint == small.fingerprint


EMPTY = {
    "before": lambda lines: ["", "", *lines],
    "within": lambda lines: [*lines[:9], "", *lines[9:]],
    "behind": lambda lines: [*lines, "", ""],
    "all three": lambda lines: ["", *lines[:9], "", "", *lines[9:], ""],
}


@pytest.mark.parametrize("held", ["whole", "in pieces"])
@pytest.mark.parametrize("where", EMPTY)
def test_an_empty_line_is_no_row_and_is_counted(
    tmp_path: Path, where: str, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if held == "in pieces":
        monkeypatch.setattr("pellucid.lab.data.table.BLOCK", 64)
    lines = ["a,b", *(f"{k},{k * k}" for k in range(20))]
    file = tmp_path / "x.csv"
    for number in (3, 15):
        file.write_text("\n".join(EMPTY[where](lines)) + "\n")
        rows = [row for piece in table.pieces(file, ["a", "b"], 0) for row in piece.rows()]
        assert rows == [(str(k), str(k * k)) for k in range(20)]
        written = EMPTY[where]([*lines[: number + 1], f"{number},bad", *lines[number + 2 :]])
        file.write_text("\n".join(written) + "\n")
        with pytest.raises(DataError, match=f"line {written.index(f'{number},bad') + 1}: column 'b' has 'bad'"):
            data.load(file, horizon=1, window=2, memory=0.0 if held == "in pieces" else 1.0)


@pytest.mark.parametrize("held", ["whole", "in pieces"])
def test_an_empty_line_of_one_column_is_a_missing_value_unless_at_the_end(
    tmp_path: Path, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if held == "in pieces":
        monkeypatch.setattr("pellucid.lab.data.table.BLOCK", 8)
    file = tmp_path / "x.csv"
    file.write_text("\n".join(["a", "1", "", "3", *map(str, range(4, 30)), "", "", ""]))
    values = [value for piece in table.pieces(file, ["a"], 0) for (value,) in piece.rows()]
    assert values == ["1", None, *map(str, range(3, 30))]
    assert [table.row(file, k) for k in range(3)] == ["line 2", "line 3", "line 4"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_nothing_at_the_end_is_nothing(tmp_path: Path, end: str) -> None:
    source = write_rows(tmp_path / "a.csv", "date,y", [f"{day},{v}" for day, v in zip(DAYS, sine(), strict=True)])
    plain = data.load(source).fingerprint
    source.write_text(source.read_text() + end)
    assert data.load(source).fingerprint == plain


def test_rows_of_a_sequence_are_in_the_order_of_their_times(tmp_path: Path) -> None:
    frame = pl.read_csv(write_long(tmp_path / "a.csv"))
    frame.sample(fraction=1, shuffle=True, seed=0).write_csv(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"the time of id 's\d+' goes back to \d+; sort the rows of each id by 'time'"):
        data.load(tmp_path / "b.csv")
    mixed = frame.sort("time", maintain_order=True)  # sequences may lie among each other
    mixed.write_csv(tmp_path / "c.csv")
    assert len(data.load(tmp_path / "c.csv").train) == len(data.load(tmp_path / "a.csv").train)
    down = frame.with_columns(time=-pl.col("time"))  # counts down
    down.write_csv(tmp_path / "e.csv")
    assert data.load(tmp_path / "e.csv").channels == 2
    clock = frame.with_columns(time=pl.Series([k * k % 3 for k in range(frame.height)]))  # says no order
    clock.write_csv(tmp_path / "d.csv")
    assert data.load(tmp_path / "d.csv").channels == 2


TEXTS: dict[str, tuple[str, Callable[[int], str], str, int]] = {
    "another column of two kinds": (
        "text,verified,label",
        lambda k: f"this is {k},{k % 2 == 0},{'abc'[k % 3]}",
        "text",
        3,
    ),
    "long addresses": ("url,text,label", lambda k: f"https://example.org/a/b/c/{k},nice {k},{'abc'[k % 3]}", "text", 3),
    "a content of few kinds": (
        "content,title,label",
        lambda k: f"{['video', 'text'][k % 2]},the title of {k},{'abc'[k % 3]}",
        "title",
        3,
    ),
    "a target of words": ("tweet,target,stance", lambda k: f"i say {k},{'abcd'[k % 4]},{k % 3}", "tweet", 3),
    "one language": ("text,lang,kind", lambda k: f"this is number {k},en,{'abc'[k % 3]}", "text", 3),
    "label first": ("label,message", lambda k: f"{'ham' if k % 2 else 'spam'},hello there {k}", "message", 2),
    "labels with a point": ("text,is_good", lambda k: f"this is number {k},{k % 2}.0", "text", 2),
}


@pytest.mark.parametrize("option", ["text", "label", "id"])
def test_a_column_that_is_not_there_is_not_said_to_be(tmp_path: Path, option: str) -> None:
    source = write_rows(tmp_path / "a.csv", "text,label", [f"some words of {k},{k % 2}" for k in range(60)])
    with pytest.raises(ArgumentError, match="has no column 'nope'; its columns are text, label"):
        data.recognise(source, **{option: "nope"})  # type: ignore[arg-type]


def test_what_the_classes_of_texts_are_is_told(tmp_path: Path) -> None:
    """Which column they are in, and which of them look like one."""
    kinds = ["billing", "Login", "login ", "bill ing", "log in", "log  IN"]
    rows = [f"these are some words of {k},{kinds[k % 6]}" for k in range(120)]
    task = data.load(write_rows(tmp_path / "a.csv", "body,category", rows))
    assert task.title == "120 texts of 6 classes (column 'category')"
    (said,) = (c for c in task.cautions if "capitals" in c)
    assert said.startswith(
        "Classes 'Login' and 'login ' differ in capitals or blanks alone, and 1 more case like it; if"
    )


@pytest.mark.parametrize("name", TEXTS)
def test_texts_and_labels_are_told_by_what_they_are_called(tmp_path: Path, name: str) -> None:
    header, write, column, classes = TEXTS[name]
    source = write_rows(tmp_path / "a.csv", header, [write(k) for k in range(120)])
    assert f"a column of texts, '{column}'" in data.recognise(source).sentence
    task = data.load(source)
    assert (task.kind, task.outputs) == ("text", classes)


def test_what_comes_after_a_long_text_has_its_line(tmp_path: Path) -> None:
    rows = [f"{'word ' * 40_000 if k == 3 else 'some words'} {k},{k % 2 if k != 30 else ''}" for k in range(60)]
    with pytest.raises(DataError, match="line 32: column 'label' is empty there"):
        data.load(write_rows(tmp_path / "a.csv", "text,label", rows))
