"""How a CSV file is written: its separator and decimal point, its first line, and where its rows begin."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import polars as pl

from pellucid.errors import DataError
from pellucid.lab.counted import counted
from pellucid.lab.data.time_forms import names_a_time

csv.field_size_limit(2**31 - 1)  # a text may be longer than the 131,072 characters that Python allows of itself
SHOWN = 8  # cells of a first line that a sentence repeats
SHORT = 6  # characters of a number that is a column's name
BYTES = 2**16  # of a CSV file that tell how it is written


def dialect(source: Path) -> tuple[str, bool]:
    """The separator, by the header, and whether numbers have a decimal comma."""
    about = source.stat()
    return _found_dialect(source, about.st_size, about.st_mtime_ns)


def check_names(source: Path) -> None:
    """Check that a CSV file's first line names columns, each once; numbers may be names: of years, sensors, wavelengths."""
    above = _lines_above(source)
    if above:
        raise DataError(
            f"{source}: the table begins with {counted(above, 'line')} of remarks (#); remove what stands above the header"
        )
    names = _first_row(source)
    if names and re.fullmatch("sep=.?", names[0]):
        raise DataError(f"{source}: the first line is {names[0]!r}, which only Excel reads; remove it")
    if names and all(_is_number(name) or names_a_time(name) for name in names) and not _could_be_names(names):
        raise _no_names(source, names)
    twice = next((name for k, name in enumerate(names) if name and name in names[:k]), None)
    if twice is not None:
        raise DataError(f"{source}: two columns are called {twice!r}; rename one of them")


def check_unlike_values(source: Path, table: pl.DataFrame) -> None:
    """Check that columns which are called by numbers are not called by a row of values: each within its column's."""
    names = table.columns
    if not all(map(_is_number, names)) or names == [str(k) for k in range(len(names))]:
        return
    called = [float(name.replace(",", ".")) for name in names]
    columns = [table[name] for name in names]
    if all(c.dtype.is_numeric() and c.min() <= v <= c.max() for c, v in zip(columns, called, strict=True)):  # type: ignore[operator]
        raise _no_names(source, names)


def _lines_above(source: Path) -> int:
    """How many lines of remarks stand above the header: several that begin with #, or one with fewer cells than what follows."""
    with source.open(encoding="utf-8-sig", errors="replace") as handle:
        lines = [line for line in handle.readlines(BYTES) if line.strip()]
    remarks = len(list(itertools.takewhile(lambda line: line.lstrip(' "').startswith("#"), lines)))
    if remarks == 1 and len(lines) > 1:
        separator = max(",;\t", key=lines[1].count)
        return int(lines[0].count(separator) < lines[1].count(separator))
    return remarks if remarks < len(lines) else 0


def begins_with_numbers(source: Path) -> bool:
    """Whether a CSV file's first line holds numbers alone, and so no names."""
    with source.open(encoding="utf-8-sig", errors="replace") as handle:
        cells = handle.readline().replace(";", ",").replace("\t", ",").split(",")
    return all(_is_number(cell) for cell in cells)


def first_lines(source: Path, count: int) -> bytes:
    """The beginning of a CSV file from its header on: some lines more than ``count`` of them, up to the end of a row."""
    found: list[bytes] = []
    quotes = 0
    with source.open("rb") as lines:
        for line in itertools.islice(lines, empty_lines_before(source), None):
            found.append(line)
            quotes += line.count(b'"')
            if len(found) > count and quotes % 2 == 0:
                break
    return b"".join(found)


def rows(source: Path) -> Iterator[tuple[list[str], int]]:
    """The cells of each row below the header and the line on which it begins, the file's first being 1; an empty line has none."""
    with source.open(encoding="utf-8-sig", errors="replace", newline="") as handle:
        reader = csv.reader(handle, delimiter=dialect(source)[0])
        begins = next((reader.line_num + 1 for cells in reader if cells), 1)
        for cells in reader:
            yield cells, begins
            begins = reader.line_num + 1


def empty_lines_before(source: Path) -> int:
    """How many empty lines a file begins with, before the header."""
    with source.open(encoding="utf-8-sig", errors="replace") as handle:
        return sum(1 for _ in itertools.takewhile(lambda line: not line.strip("\r\n"), handle))


def empty_lines(source: Path) -> int:
    """How many empty lines a file ends with, each of which polars takes for a row."""
    with source.open("rb") as file:
        file.seek(max(0, source.stat().st_size - 4096))
        end = file.read()
    return max(0, end[len(end.rstrip(b"\r\n")) :].count(b"\n") - 1)


def one_column(source: Path) -> bool:
    """Whether a CSV file has one column, of which an empty line is a missing value."""
    return len(_first_row(source)) == 1


def _first_row(source: Path) -> list[str]:
    with source.open(encoding="utf-8-sig", errors="replace", newline="") as handle:
        cells = next(filter(None, csv.reader(handle, delimiter=dialect(source)[0])), [])
        return [name.strip() for name in cells]


def _could_be_names(values: Sequence[str]) -> bool:
    """Whether numbers or times may be names: different whole ones or times, or three and more short ones in order."""
    if list(values) in (["0"], ["1"]):  # of an array with one column
        return True
    if len(values) < 2 or len(set(values)) < len(values):
        return False
    if all(value.isdecimal() for value in values) or all(names_a_time(value) for value in values):
        return True
    if len(values) < 3 or not all(_is_number(value) and len(value) <= SHORT for value in values):
        return False
    numbers = [float(value.replace(",", ".")) for value in values]
    return numbers in (sorted(numbers), sorted(numbers, reverse=True))


def _no_names(source: Path, names: Sequence[str]) -> DataError:
    few = ", ".join(names if len(names) <= SHOWN else [*names[:SHOWN], "..."])
    return DataError(
        f"{source}: the first line ({few}) looks like values and not like names of columns; put a line with "
        "names above it"
    )


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)(e[-+]?\d+)?", text.strip(), re.IGNORECASE) is not None


@lru_cache(maxsize=64)
def _found_dialect(source: Path, size: int, changed: int) -> tuple[str, bool]:
    """Of a file of that size and time, which is read once."""
    with source.open(encoding="utf-8-sig", errors="replace") as handle:
        lines = list(itertools.dropwhile(lambda line: not line.strip("\r\n"), handle.readlines(BYTES)))
    header, rest = "", iter(lines)
    for line in rest:
        header += line
        if header.count('"') % 2 == 0:
            break
    plain = re.sub(r'"[^"]*"', "", header)  # what stands in quotes separates nothing
    separator = max(",;\t", key=plain.count) if any(c in plain for c in ",;\t") else ","
    if source.suffix.lower() == ".tsv" and "\t" in plain:
        separator = "\t"
    cells = [[cell.strip(' \r\n"') for cell in line.split(separator)] for line in rest]
    columns = itertools.zip_longest(*cells, fillvalue="")
    return separator, separator != "," and any(_have_decimal_commas(column, separator) for column in columns)


def _have_decimal_commas(cells: Sequence[str], separator: str) -> bool:
    """Whether a comma in numbers of a column is the decimal point, and not a mark of thousands: 900 and then 1,000.

    What separates by semicolons mostly does so since the comma is the decimal point; with tabs there has to be a number that
    cannot be read otherwise.
    """
    commas = [cell for cell in cells if re.fullmatch(r"[-+]?\d+,\d+", cell)]
    if any(not re.fullmatch(r"[-+]?[1-9]\d{0,2},\d{3}", cell) for cell in commas):
        return True
    return separator == ";" and bool(commas) and not any(re.fullmatch(r"[-+]?\d{3}", cell) for cell in cells)
