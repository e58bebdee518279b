"""CSV and Parquet tables: read with polars, with mistakes named by file and row."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.csv as arrow
import pyarrow.parquet as pq

from pellucid.errors import DataError
from pellucid.lab.data import csv_form, time_forms

PARQUET = (".parquet", ".pq")
TABLES = frozenset({".csv", ".tsv", *PARQUET})
NULLS = ("", "NA", "NaN", "nan")
WHOLE = 2.0  # bytes that reading a CSV file at once takes, for each of its own
ROWS = 10_000  # of a large table that are read together
BLOCK = 4 * 2**20  # bytes of a large CSV file that are read together; a row has room in it
GROUPED = r"^[-+]?\d{1,3}(\.\d{3})+(,\d+)?$"  # thousands where the comma is the decimal point
MARKED = r"^[-+]?[$€£¥₩]?\s?[-+]?\d{1,3}([., '’\u00a0\u202f]?\d{3})*([.,]\d+)?\s?(%|[$€£¥₩])?$"


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
                csv_form.check_names(source)
            table = pl.read_csv(source, **_form(source, nulls), has_header=header, infer_schema=typed)
            table = table.head(max(0, table.height - csv_form.empty_lines(source)))
            table = _without_empty_lines(source, table)
            if header and typed:
                csv_form.check_unlike_values(source, table)
    return _not_empty(source, table)


def _not_empty(source: Path, table: pl.DataFrame) -> pl.DataFrame:
    if table.height == 0:
        raise DataError(f"{source}: the table has a header and no rows; add rows")
    return table


def _without_empty_lines(source: Path, table: pl.DataFrame) -> pl.DataFrame:
    """The table, or its first rows, without those that polars makes of empty lines; of one column such a line is a missing value."""
    if csv_form.one_column(source) or not table.select(pl.all_horizontal(pl.all().is_null()).any()).item():
        return table
    rows = itertools.islice(csv_form.rows(source), table.height)
    empty = [number for number, (cells, _) in enumerate(rows) if not cells]
    return (
        table.with_row_index("number of a row").filter(~pl.col("number of a row").is_in(empty)).drop("number of a row")
    )


def _fits(source: Path, held: float) -> bool:
    """Whether a table may be read at once where it may take so many bytes; what is one block anyway always may."""
    return source.stat().st_size <= max(held / WHOLE, BLOCK)


def _form(source: Path, nulls: tuple[str, ...]) -> dict[str, Any]:
    """How a CSV file is written, as polars wants to be told."""
    with source.open("rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(f"{source}: the table is UTF-16; save it as UTF-8 CSV with a header line")
    separator, decimal_comma = csv_form.dialect(source)
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
        csv_form.check_names(source)
        first = pl.read_csv(csv_form.first_lines(source, ROWS), **_form(source, nulls))
        first = _without_empty_lines(source, first)
        csv_form.check_unlike_values(source, first)
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
    _, decimal_comma = csv_form.dialect(source)
    return [pl.col(*numbers).str.replace(",", ".", literal=True)] if numbers and decimal_comma else []


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
            use_threads=False,
            block_size=BLOCK,
            column_names=_names(source, form),
            skip_rows=csv_form.empty_lines_before(source),
            skip_rows_after_names=1,
        ),
        parse_options=arrow.ParseOptions(
            delimiter=form["separator"],
            newlines_in_values=True,
            ignore_empty_lines=not csv_form.one_column(source),
        ),
        convert_options=arrow.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()),
            include_columns=list(columns),
            null_values=list(nulls),
            strings_can_be_null=True,
        ),
    )
    behind = csv_form.empty_lines(source) if csv_form.one_column(source) else 0  # which are no values
    held = pl.DataFrame()
    with reader:
        for batch in reader:
            piece = pl.DataFrame(pl.from_arrow(batch))
            piece.columns = list(columns)  # polars calls what has no name otherwise here
            whole = pl.concat([held, piece]) if held.width else piece
            yield whole.head(-behind).with_columns(points) if behind else whole.with_columns(points)
            held = whole.tail(behind) if behind else pl.DataFrame()


def _names(source: Path, form: dict[str, Any]) -> list[str]:
    """The columns' names as polars gives them, also to those that have none."""
    return pl.read_csv(csv_form.first_lines(source, 1), **form, n_rows=0).columns


def names(source: Path) -> list[str]:
    """The names of the columns, from the file's head alone.

    Raises:
        DataError: the file cannot be read, or has no names.
    """
    with _said_of(source):
        if source.suffix.lower() in PARQUET:
            return list(pq.read_schema(source).names)
        csv_form.check_names(source)
        return _names(source, _form(source, NULLS))


def row(source: Path, index: int) -> str:
    """Where a row stands in the file: the line it begins on, the header being line 1; in Parquet the row, from 1."""
    if source.suffix.lower() in PARQUET:
        return f"row {index + 1}"
    counts = csv_form.one_column(source)  # there an empty line is a row
    lines = (begins for cells, begins in csv_form.rows(source) if cells or counts)
    return f"line {next(itertools.islice(lines, index, None))}"


def is_words(column: pl.Series) -> bool:
    """Whether a column holds text, and no times or numbers written as text."""
    if column.dtype in (pl.Categorical, pl.Enum):
        return True
    if column.dtype != pl.String or column.null_count() == len(column):
        return False
    sample = column.drop_nulls().head(1000)
    numbers = sample.str.strip_chars().str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    few = numbers.null_count() <= len(sample) / 2
    return not (few or marked(sample) is not None or time_forms.unread(sample) or time_forms.find(sample) is not None)


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


def numbers(source: Path, column: pl.Series) -> pl.Series | None:
    """A column of the table, or of its first rows, as numbers, with nulls where there is nothing; None where it mostly holds others.

    Raises:
        DataError: some of its values are no numbers, or may be thousands or fractions.
    """
    if column.dtype == pl.String and source.suffix.lower() not in PARQUET and csv_form.dialect(source)[1]:
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
