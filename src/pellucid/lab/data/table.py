"""CSV and Parquet tables: read with polars, with mistakes named by file and row."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as arrow
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pellucid.errors import DataError

PARQUET = (".parquet", ".pq")
NULLS = ("", "NA", "NaN", "nan")
WHOLE = 2.0  # bytes that reading a CSV file at once takes, for each of its own
csv.field_size_limit(2**31 - 1)  # a text may be longer than the 131,072 characters that Python allows of itself
ROWS = 10_000  # of a large table that are read together
SHORT = 6  # characters of a number that is a column's name
LINES = 1000  # of a CSV file that tell how it is written
BLOCK = 4 * 2**20  # bytes of a large CSV file that are read together; a row has room in it


def read(source: Path, nulls: tuple[str, ...] = NULLS, *, header: bool = True, typed: bool = True) -> pl.DataFrame:
    """The table, numbers as numbers, times as text or times; ``nulls`` are the cells that count as empty.

    Columns are numbered where a CSV file has no ``header``; where it is not to be ``typed``, all of its values are text.

    Raises:
        DataError: the file is no table, is empty, or is not UTF-8.
    """
    with _said_of(source):
        if source.suffix.lower() in PARQUET:
            table = pl.read_parquet(source)
        else:
            if header:
                _check_names(source)
            table = pl.read_csv(source, **_form(source, nulls), has_header=header, infer_schema=typed)
            table = table.head(table.height - _empty_lines(source))
            if header and typed:
                _check_unlike_values(source, table)
    return _not_empty(source, table)


def _empty_lines(source: Path) -> int:
    """How many empty lines a file ends with, each of which polars takes for a row."""
    with source.open("rb") as file:
        file.seek(max(0, source.stat().st_size - 4096))
        end = file.read()
    return max(0, end[len(end.rstrip(b"\r\n")) :].count(b"\n") - 1)


def _check_unlike_values(source: Path, table: pl.DataFrame) -> None:
    """Check that columns which are called by numbers are not called by a row of values: each within its column's."""
    names = table.columns
    if not all(map(_is_number, names)) or names == [str(k) for k in range(len(names))]:
        return
    called = [float(name.replace(",", ".")) for name in names]
    columns = [table[name] for name in names]
    if all(c.dtype.is_numeric() and c.min() <= v <= c.max() for c, v in zip(columns, called, strict=True)):  # type: ignore[operator]
        raise _no_names(source, names)


def _no_names(source: Path, names: Sequence[str]) -> DataError:
    return DataError(
        f"{source}: the first line ({', '.join(names)}) looks like values and not like names of columns; put a line with "
        "names above it"
    )


def _check_names(source: Path) -> None:
    """Check that a CSV file's first line names columns, each once; numbers may be names: of years, sensors, wavelengths."""
    names = _first_row(source)
    if names and re.fullmatch("sep=.?", names[0]):
        raise DataError(f"{source}: the first line is {names[0]!r}, which only Excel reads; remove it")
    if names and all(_is_number(name) or names_a_time(name) for name in names) and not _could_be_names(names):
        raise _no_names(source, names)
    twice = next((name for k, name in enumerate(names) if name and name in names[:k]), None)
    if twice is not None:
        raise DataError(f"{source}: two columns are called {twice!r}; rename one of them")


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


def names_a_time(name: str) -> bool:
    """Whether the name of a column is a time, with its year: 2024-01-31, 1/22/20."""
    dated = r"(^|.*\D)(1[89]|20)\d\d(\D.*|$)|(19|20)\d{6}|\d{1,2}/\d{1,2}/\d\d"
    return re.fullmatch(dated, name) is not None and time_form(pl.Series([name])) is not None


def _first_row(source: Path) -> list[str]:
    with source.open(encoding="utf-8-sig", errors="replace", newline="") as handle:
        return [name.strip() for name in next(csv.reader(handle, delimiter=_dialect(source)[0]), [])]


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)(e[-+]?\d+)?", text.strip(), re.IGNORECASE) is not None


def _not_empty(source: Path, table: pl.DataFrame) -> pl.DataFrame:
    if table.height == 0:
        raise DataError(f"{source}: the table has a header and no rows; add rows")
    return table


def _fits(source: Path, held: float) -> bool:
    """Whether a table may be read at once where it may take so many bytes; what is one block anyway always may."""
    return source.stat().st_size <= max(held / WHOLE, BLOCK)


def _form(source: Path, nulls: tuple[str, ...]) -> dict[str, Any]:
    """How a CSV file is written."""
    with source.open("rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(f"{source}: the table is UTF-16; save it as UTF-8 CSV with a header line")
    separator, decimal_comma = _dialect(source)
    return {
        "infer_schema_length": None,
        "separator": separator,
        "decimal_comma": decimal_comma,
        "null_values": list(nulls),
    }


@contextmanager
def _said_of(source: Path) -> Iterator[None]:
    """What polars finds wrong with a table, as a sentence."""
    try:
        yield
    except pl.exceptions.NoDataError:
        raise DataError(f"{source}: the file is empty; give a table with a header line") from None
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError, csv.Error) as error:
        reason = str(error).splitlines()[0]
        if "straddl" in reason:
            needed = 5 * WHOLE * source.stat().st_size / 1e9  # of the memory texts have a quarter, and it is rounded
            raise DataError(
                f"{source}: a row has more than {BLOCK / 2**20:.3g} MB, which is as much as is read at a time of a large table; "
                f"give --memory {needed:.2g} or more to have it read at once"
            ) from None
        raise DataError(
            f"{source}: the table cannot be read ({reason}); save it as UTF-8 CSV with a header line"
        ) from None


def glance(source: Path, held: float, nulls: tuple[str, ...] = NULLS) -> pl.DataFrame:
    """The table as :func:`read` gives it, or its first rows where that takes too much memory: enough to tell what is in it.

    Args:
        source: CSV or Parquet.
        held: bytes that the whole table may take.
        nulls: as for :func:`read`.

    Raises:
        DataError: as for :func:`read`.
    """
    if _fits(source, held):
        return read(source, nulls)
    with _said_of(source):
        if source.suffix.lower() in PARQUET:
            return _not_empty(source, next(_rows_of_parquet(source, None), pl.DataFrame()))
        _check_names(source)
        first = pl.read_csv(_first_lines(source, ROWS), **_form(source, nulls))
        _check_unlike_values(source, first)
    return _with_late_columns(source, _not_empty(source, first), nulls)


def _with_late_columns(source: Path, first: pl.DataFrame, nulls: tuple[str, ...]) -> pl.DataFrame:
    """The first rows; what stands in a column that is empty in all of them is told by its first value, put into the last."""
    late = [name for name in first.columns if first[name].null_count() == first.height]
    for piece in pieces(source, tuple(late), 0, nulls=nulls, numbers=tuple(late)) if late else ():
        for name in [name for name in late if piece[name].null_count() < piece.height]:
            value = piece[name].drop_nulls()[0]
            first = first.with_columns(pl.Series(name, [*[None] * (first.height - 1), value], dtype=pl.String))
            late.remove(name)
        if not late:
            break
    return first


def pieces(
    source: Path,
    columns: Sequence[str],
    held: float,
    *,
    nulls: tuple[str, ...] = NULLS,
    numbers: Sequence[str] = (),
) -> Iterator[pl.DataFrame]:
    """Some columns of the table, a few rows at a time where the whole takes too much memory, or of Parquet.

    Of a CSV file all values are text, since nobody has seen what else stands in a column; :func:`numbers` makes numbers
    of those columns that are to hold ``numbers``.

    Args:
        source: CSV or Parquet.
        columns: to read.
        held: bytes that the whole table may take.
        nulls: as for :func:`read`.
        numbers: columns in which numbers are needed.

    Raises:
        DataError: as for :func:`read`.
    """
    if source.suffix.lower() in PARQUET:
        with _said_of(source):
            yield from _rows_of_parquet(source, columns)
    elif _fits(source, held):
        yield read(source, nulls, typed=False).select(columns).with_columns(_points(source, numbers))
    else:
        with _said_of(source):
            yield from _rows_of_csv(source, columns, nulls, numbers)


def _points(source: Path, numbers: Sequence[str]) -> list[pl.Expr]:
    """Of a CSV file with decimal commas, columns of numbers with points instead."""
    _, decimal_comma = _dialect(source)
    return [pl.col(*numbers).str.replace(",", ".", literal=True)] if numbers and decimal_comma else []


def _first_lines(source: Path, count: int) -> bytes:
    """The beginning of a CSV file: some lines more than ``count`` of them, up to the end of a row."""
    found: list[bytes] = []
    quotes = 0
    with source.open("rb") as lines:
        for line in lines:
            found.append(line)
            quotes += line.count(b'"')
            if len(found) > count and quotes % 2 == 0:
                break
    return b"".join(found)


def _rows_of_parquet(source: Path, columns: Sequence[str] | None) -> Iterator[pl.DataFrame]:
    with pq.ParquetFile(source, memory_map=True) as file:
        for batch in file.iter_batches(ROWS, columns=None if columns is None else list(columns)):
            yield pl.DataFrame(pl.from_arrow(batch))


def _rows_of_csv(
    source: Path, columns: Sequence[str], nulls: tuple[str, ...], numbers: Sequence[str]
) -> Iterator[pl.DataFrame]:
    """By Arrow, since polars takes several times a file's size to go through it."""
    form, points = _form(source, nulls), _points(source, numbers)
    reader = arrow.open_csv(
        source,
        read_options=arrow.ReadOptions(
            use_threads=False, block_size=BLOCK, column_names=_names(source, form), skip_rows_after_names=1
        ),
        parse_options=arrow.ParseOptions(
            delimiter=form["separator"],
            newlines_in_values=True,
            ignore_empty_lines=not _one_column(source),
        ),
        convert_options=arrow.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()),
            include_columns=list(columns),
            null_values=list(nulls),
            strings_can_be_null=True,
        ),
    )
    with reader:
        for batch in reader:
            piece = pl.DataFrame(pl.from_arrow(batch))
            piece.columns = list(columns)  # polars calls what has no name otherwise here
            yield piece.with_columns(points)


def _names(source: Path, form: dict[str, Any]) -> list[str]:
    """The columns' names as polars gives them, also to those that have none."""
    return pl.read_csv(_first_lines(source, 1), **form, n_rows=0).columns


def _one_column(source: Path) -> bool:
    """Whether a CSV file has one column, of which an empty line is a missing value."""
    with source.open(encoding="utf-8", errors="replace") as handle:
        return not any(separator in handle.readline() for separator in ",;\t")


def begins_with_numbers(source: Path) -> bool:
    """Whether a CSV file's first line holds numbers alone, and so no names."""
    with source.open(encoding="utf-8-sig", errors="replace") as handle:
        cells = handle.readline().replace(";", ",").replace("\t", ",").split(",")
    return all(_is_number(cell) for cell in cells)


def is_words(column: pl.Series) -> bool:
    """Whether a column holds text, and no times or numbers written as text."""
    if column.dtype in (pl.Categorical, pl.Enum):
        return True
    if column.dtype != pl.String or column.null_count() == len(column):
        return False
    sample = column.drop_nulls().head(1000)
    numbers = sample.str.strip_chars().str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    few = numbers.null_count() <= len(sample) / 2
    return not (few or marked(sample) is not None or unread_times(sample) or time_form(sample) is not None)


def unread_times(column: pl.Series) -> bool:
    """Whether a column of texts is called as times are, and holds digits as these do, in whichever form."""
    if column.name.strip().lower() not in CALLED_TIMES or column.dtype != pl.String:
        return False
    told = column.drop_nulls().str.strip_chars()
    like = told.str.count_matches(r"\d").ge(2) & ~told.str.contains(
        r"^\d{1,2}:\d\d(:\d\d)?$"
    )  # of a day, which may recur
    return len(told) > 0 and like.sum() > len(told) / 2


CALLED_TIMES = ("date", "time", "timestamp", "datetime", "ds")
GROUPED = r"^[-+]?\d{1,3}(\.\d{3})+(,\d+)?$"  # thousands where the comma is the decimal point
MARKED = r"^[-+]?[$€£¥₩]?\s?[-+]?\d{1,3}([., '’\u00a0\u202f]?\d{3})*([.,]\d+)?\s?(%|[$€£¥₩])?$"


def marked(column: pl.Series) -> str | None:
    """One of the column's texts, where they mostly are numbers between other marks: 1,234.50 or 12 % or $3."""
    if column.dtype != pl.String:
        return None
    told = column.drop_nulls().str.strip_chars()
    found = told.filter(told.str.contains(MARKED) & told.cast(pl.Float64, strict=False).is_null())
    return found[0] if len(found) > len(told) / 2 else None


def could_be_classes(column: pl.Series) -> bool:
    """Whether a column's values could name classes."""
    kind = column.dtype
    plain = kind in (pl.String, pl.Boolean, pl.Categorical, pl.Enum) or kind.is_integer()
    return plain and column.null_count() < len(column)


FORMATS = (
    "%Y-%m", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %I:%M:%S %p",
    "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%Y%m%d",
    "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y",
    "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%d/%m/%Y %I:%M:%S %p", "%d/%m/%Y %I:%M %p", "%d/%m/%y", "%m/%d/%y",
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%d.%m.%y", "%d-%m-%Y", "%m-%d-%Y",
    "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d, %Y", "%b %Y", "%b-%y",
)  # fmt: skip
MONTHS = {"%Y-%m": "%d %Y-%m", "%b %Y": "%d %b %Y", "%b-%y": "%d %b-%y"}  # forms that have no day, which is the first
MISREAD = 0.1  # of a column's times that may be written otherwise than the rest, and are then named


def time_form(
    column: pl.Series, groups: Sequence[NDArray[np.int64]] | None = None, *, all_of_them: bool = False
) -> str | None:
    """How a column of texts writes times, or None where it holds none.

    A form in which all can be read is taken, or else, unless it has to be ``all_of_them``, one in which nearly all can. Where day and month could be either way
    round, the reading is taken in which the times of each group of rows ascend, and of two such the one in which they are
    more evenly apart.
    """
    readings: list[tuple[bool, bool, float, str]] = []
    first = column.head(1000)
    for form in FORMATS:
        if _misread(first, times(first, form), form) is None:
            continue
        read = times(column, form)
        wrong = _misread(column, read, form)
        if wrong is None or (wrong and all_of_them):
            continue
        whole = read.to_physical()
        each = [whole] if groups is None else [whole.gather(rows) for rows in groups]
        apart = np.concatenate([part.drop_nulls().diff().drop_nulls().to_numpy().astype(float) for part in each])
        uneven = float(apart.std() / abs(apart.mean())) if len(apart) and apart.mean() else 0.0
        readings.append((wrong > 0, bool((apart <= 0).any()), uneven, form))
    return min(readings, key=lambda r: r[:3])[3] if readings else None


def _misread(column: pl.Series, read: pl.Series, form: str) -> int | None:
    """How many of a column's times were not read; None where they are more than a few, or years are none."""
    given = len(column) - column.null_count()
    wrong = read.null_count() - column.null_count()
    if not given or wrong > MISREAD * given or read.null_count() == len(read):
        return None
    if not form.startswith("%Y-%m-") and read.dt.year().min() < 1000:  # type: ignore[operator]
        return None
    return wrong


def times(column: pl.Series, form: str) -> pl.Series:
    """A column of texts as times (of no zone); null where a text is not of the form."""
    text = column.str.strip_chars()
    if form in MONTHS:
        text, form = "1 " + text, MONTHS[form]
    try:
        read = text.str.to_datetime(form, strict=False)
    except pl.exceptions.PolarsError:
        return pl.Series(column.name, [None] * len(column), dtype=pl.Datetime("us"))
    return read.dt.replace_time_zone(None) if getattr(read.dtype, "time_zone", None) else read


def row(source: Path, index: int) -> str:
    """Where a row stands in the file: the line it begins on, the header being line 1; in Parquet the row, from 1."""
    if source.suffix.lower() in PARQUET:
        return f"row {index + 1}"
    with source.open(encoding="utf-8-sig", errors="replace", newline="") as handle:
        reader = csv.reader(handle, delimiter=_dialect(source)[0])
        begins = 1
        for number, fields in enumerate(reader):
            if number - 1 == index:
                return f"line {begins}"
            begins = reader.line_num + 1
            if not fields:
                index += 1  # an empty line is no row
    return f"line {begins}"


def _dialect(source: Path) -> tuple[str, bool]:
    """The separator, by the header, and whether numbers have a decimal comma."""
    about = source.stat()
    return _found_dialect(source, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=64)
def _found_dialect(source: Path, size: int, changed: int) -> tuple[str, bool]:
    """Of a file of that size and time, which is read once."""
    with source.open(encoding="utf-8-sig", errors="replace") as handle:
        lines = list(itertools.islice(handle, LINES))
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


def numbers(source: Path, column: pl.Series) -> pl.Series | None:
    """A column of the table, or of its first rows, as numbers, with nulls where there is nothing; None where it mostly holds others.

    Raises:
        DataError: some of its values are no numbers, or may be thousands or fractions.
    """
    if column.dtype == pl.String and source.suffix.lower() not in PARQUET and _dialect(source)[1]:
        told = column.str.strip_chars()
        grouped = told.filter(told.str.contains(GROUPED))
        if len(grouped) and told.str.contains(r"^[-+]?(\d{3}|[\d.]*,\d+)$").any():  # 995, 1.000 or 1.000,5
            raise marks(source, column.name, grouped[0])
        column = column.str.replace(",", ".", literal=True)
    return _as_numbers(source, column, 0)


def further_numbers(source: Path, column: pl.Series, before: int) -> pl.Series:
    """Some rows, which ``before`` others come before, of a column that holds numbers in the rows that were looked at first.

    Raises:
        DataError: it does not here.
    """
    found = _as_numbers(source, column, before)
    if found is None and column.null_count() == len(column):
        return column.cast(pl.Float64)
    if found is None:
        raise DataError(
            f"{source}, {row(source, before)}: column {column.name!r} holds numbers up to there, and other things from "
            "there on; correct it, or remove the column"
        )
    return found


def _as_numbers(source: Path, column: pl.Series, before: int) -> pl.Series | None:
    if column.dtype != pl.String:
        return column.cast(pl.Float64) if column.dtype.is_numeric() or column.dtype == pl.Boolean else None
    words = column.str.strip_chars().str.to_lowercase()
    if words.is_in(["true", "false"]).all() and column.null_count() < len(column):  # so in the text of a file
        return (words == "true").cast(pl.Float64)
    cast = column.str.strip_chars().cast(pl.Float64, strict=False)
    wrong = (cast.is_null() & column.is_not_null()).to_numpy()
    given = len(column) - column.null_count()
    if not given or wrong.sum() > given / 2:
        return None
    if wrong.any():
        at = int(wrong.argmax())
        raise DataError(
            f"{source}, {row(source, before + at)}: column {column.name!r} has {column[at]!r} where a number is needed; correct it, "
            "or remove the column"
        )
    return cast


def marks(source: Path, name: str, marked: str) -> DataError:
    """That a column's numbers are written with marks."""
    return DataError(
        f"{source}: column {name!r} has numbers with marks, such as {marked!r}; write them with digits and a decimal point "
        "alone, or remove the column"
    )


def counts_rows(column: pl.Series) -> bool:
    """Whether a column is the index that pandas writes beside its columns."""
    unnamed = re.fullmatch(r"|Unnamed: 0(\.\d+)?|__index_level_0__", column.name) is not None
    return unnamed and column.dtype.is_integer() and bool((column.cast(pl.Int64).diff().drop_nulls() > 0).all())


def complete(source: Path, column: pl.Series, before: int) -> None:
    """Check that nothing is missing in some rows of a column, ``before`` which others come.

    Raises:
        DataError: something is.
    """
    if column.null_count():
        at = before + int(column.is_null().arg_max() or 0)
        raise DataError(
            f"{source}, {row(source, at)}: column {column.name!r} is empty there; fill it in or drop the row"
        )
