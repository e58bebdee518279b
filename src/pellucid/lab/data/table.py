"""CSV and Parquet tables: read with polars, with mistakes named by file and row."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from pellucid.errors import DataError

PARQUET = (".parquet", ".pq")


def read(source: Path) -> pl.DataFrame:
    """The table, numbers as numbers, times as text or times.

    Raises:
        DataError: the file is no table, is empty, or is not UTF-8.
    """
    try:
        if source.suffix.lower() in PARQUET:
            table = pl.read_parquet(source)
        else:
            separator, decimal_comma = _dialect(source)
            table = pl.read_csv(
                source,
                infer_schema_length=None,
                separator=separator,
                decimal_comma=decimal_comma,
                null_values=["", "NA", "NaN", "nan"],
            )
    except pl.exceptions.NoDataError:
        raise DataError(f"{source}: the file is empty; give a table with a header line") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{source}: the table cannot be read ({reason}); save it as UTF-8 CSV with a header line"
        ) from None
    if table.height == 0:
        raise DataError(f"{source}: the table has a header and no rows; add rows")
    return table


def row(source: Path, index: int) -> str:
    """A row as a person counts it: in a CSV file the header is line 1; in Parquet the first row is row 1."""
    return f"row {index + 1}" if source.suffix.lower() in PARQUET else f"line {index + 2}"


def _dialect(source: Path) -> tuple[str, bool]:
    """The separator, by the header line, and whether numbers have a decimal comma."""
    with source.open(encoding="utf-8", errors="replace") as handle:
        lines = [line for _, line in zip(range(20), handle, strict=False)]
    header = lines[0] if lines else ""
    separator = max(",;\t", key=header.count) if any(c in header for c in ",;\t") else ","
    decimal_comma = separator == ";" and any(re.search(r"(^|;)\s*[-+]?\d+,\d", line) for line in lines[1:])
    return separator, decimal_comma
