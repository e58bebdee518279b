"""CSV and Parquet tables: read with polars, with mistakes named by file and row."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
ROWS = 10_000  # of a large table that are read together
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
    return _not_empty(source, table)


def _check_names(source: Path) -> None:
    """Check that a CSV file's first line names columns, each once; whole numbers that ascend, and 0 alone, may be names."""
    names = _first_row(source)
    twice = next((name for k, name in enumerate(names) if name and name in names[:k]), None)
    values = [name for name in names if _is_number(name) or time_form(pl.Series([name])) is not None]
    counted = [int(name) for name in names if name.isdecimal()]
    ascend = len(names) > 1 and counted == sorted(set(counted))
    if names and names == values and not (len(counted) == len(names) and (ascend or counted == [0])):
        raise DataError(
            f"{source}: the first line ({', '.join(names)}) looks like values and not like names of columns; put a line with "
            "names above it"
        )
    if twice is not None:
        raise DataError(f"{source}: two columns are called {twice!r}; rename one of them")


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
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError) as error:
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
            return next(_rows_of_parquet(source, None))
        _check_names(source)
        first = pl.read_csv(_first_lines(source), **_form(source, nulls))
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


def _first_lines(source: Path) -> bytes:
    """The beginning of a CSV file, up to the end of a row."""
    found: list[bytes] = []
    quotes = 0
    with source.open("rb") as lines:
        for line in lines:
            found.append(line)
            quotes += line.count(b'"')
            if len(found) > ROWS and quotes % 2 == 0:
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
        read_options=arrow.ReadOptions(use_threads=False, block_size=BLOCK),
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
            yield pl.DataFrame(pl.from_arrow(batch)).with_columns(points)


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
    return time_form(sample) is None and numbers.null_count() > len(sample) / 2 and _marked(sample) is None


MARKED = r"^[-+]?[$€£¥₩]?\s?[-+]?\d{1,3}([., '’\u00a0\u202f]?\d{3})*([.,]\d+)?\s?(%|[$€£¥₩])?$"


def _marked(column: pl.Series) -> str | None:
    """One of the column's texts, where they mostly are numbers between other marks: 1,234.50 or 12 % or $3."""
    told = column.drop_nulls().str.strip_chars()
    marked = told.filter(told.str.contains(MARKED) & told.cast(pl.Float64, strict=False).is_null())
    return marked[0] if len(marked) > len(told) / 2 else None


def could_be_classes(column: pl.Series) -> bool:
    """Whether a column's values could name classes."""
    kind = column.dtype
    plain = kind in (pl.String, pl.Boolean, pl.Categorical, pl.Enum) or kind.is_integer()
    return plain and column.null_count() < len(column)


FORMATS = (
    "%Y-%m", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%Y%m%d",
    "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y",
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y",
)  # fmt: skip


def time_form(column: pl.Series, groups: Sequence[NDArray[np.int64]] | None = None) -> str | None:
    """How a column of texts writes times, or None where it holds none.

    Where day and month could be either way round, the reading is taken in which the times of each group of rows ascend, and
    of two such the one in which they are more evenly apart.
    """
    readings: list[tuple[bool, float, str]] = []
    first = column.head(1000)
    for form in FORMATS:
        if times(first, form).null_count() > first.null_count():
            continue  # nor can it be read in all rows
        read = times(column, form)
        if read.null_count() > column.null_count() or read.null_count() == len(read):
            continue
        whole = read.to_physical()
        each = [whole] if groups is None else [whole.gather(rows) for rows in groups]
        apart = np.concatenate([part.diff().drop_nulls().to_numpy().astype(float) for part in each])
        uneven = float(apart.std() / abs(apart.mean())) if len(apart) and apart.mean() else 0.0
        readings.append((bool((apart <= 0).any()), uneven, form))
    return min(readings, key=lambda r: r[:2])[2] if readings else None


def times(column: pl.Series, form: str) -> pl.Series:
    """A column of texts as times (of no zone); null where a text is not of the form."""
    text = column.str.strip_chars()
    if form == "%Y-%m":
        text, form = text + "-01", "%Y-%m-%d"
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
    """The separator, by the header line, and whether numbers have a decimal comma."""
    with source.open(encoding="utf-8", errors="replace") as handle:
        lines = [line for _, line in zip(range(20), handle, strict=False)]
    header = lines[0] if lines else ""
    separator = max(",;\t", key=header.count) if any(c in header for c in ",;\t") else ","
    decimal_comma = separator == ";" and any(re.search(r"(^|;)\s*[-+]?\d+,\d", line) for line in lines[1:])
    return separator, decimal_comma


def numbers(source: Path, column: pl.Series, before: int = 0) -> pl.Series | None:
    """A column as numbers, with nulls where there is nothing; None where it holds no numbers, or mostly other things.

    Args:
        source: of the table.
        column: some rows of it.
        before: rows that come before them.

    Raises:
        DataError: some of its values are no numbers.
    """
    if column.dtype == pl.String:
        if column.is_in(["true", "false"]).all() and column.null_count() < len(
            column
        ):  # so in the text of a large file
            return (column == "true").cast(pl.Float64)
        cast = column.str.strip_chars().cast(pl.Float64, strict=False)
        wrong = (cast.is_null() & column.is_not_null()).to_numpy()
        given = len(column) - column.null_count()
        if not given or wrong.sum() > given / 2:
            if (marked := _marked(column)) is not None:
                raise DataError(
                    f"{source}: column {column.name!r} has numbers with marks, such as {marked!r}; write them with digits and a "
                    "decimal point alone, or remove the column"
                )
            return None
        if wrong.any():
            at = int(wrong.argmax())
            raise DataError(
                f"{source}, {row(source, before + at)}: column {column.name!r} has {column[at]!r} where a number is needed; correct it, "
                "or remove the column"
            )
        return cast
    return column.cast(pl.Float64) if column.dtype.is_numeric() or column.dtype == pl.Boolean else None


def further_numbers(source: Path, column: pl.Series, before: int) -> pl.Series:
    """The same of a column that holds numbers in the rows that were looked at first.

    Raises:
        DataError: it does not here.
    """
    found = numbers(source, column, before)
    if found is None and column.null_count() == len(column):
        return column.cast(pl.Float64)
    if found is None:
        raise DataError(
            f"{source}, {row(source, before)}: column {column.name!r} holds numbers up to there, and other things from "
            "there on; correct it, or remove the column"
        )
    return found


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
