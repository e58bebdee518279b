"""CSV and Parquet tables: read with polars, with mistakes named by file and row."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from pellucid.errors import DataError


def read(source: Path) -> pl.DataFrame:
    """The table, numbers as numbers, times as text or times.

    Raises:
        DataError: the file is no table, is empty, or is not UTF-8.
    """
    try:
        if source.suffix.lower() in (".parquet", ".pq"):
            table = pl.read_parquet(source)
        else:
            separator = "\t" if source.suffix.lower() == ".tsv" else ","
            table = pl.read_csv(
                source, infer_schema_length=None, separator=separator, null_values=["", "NA", "NaN", "nan"]
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


def row(index: int) -> str:
    """A row as a person counts it in the file, the header being line 1."""
    return f"line {index + 2}"
