"""Write DataFrames to Parquet files, so that a load reads them like any other source."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from article_flows.tasks.common.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

PREFIX = "dataframe:"
"""Prefix of the spec of a spooled DataFrame, before the path of its Parquet file."""
NAME = "dataframe"
"""The name of such a source in reports and tables; the same in every run."""
_ROW_GROUP = 10_000


def spool_frames(
    sources: Sequence[Any],
) -> tuple[Sequence[Any], TemporaryDirectory[str] | None]:
    """Replace DataFrames among the sources by specs of Parquet files.

    Returns:
        The sources, and the temporary folder of the files (None if there was no DataFrame). The
        folder is removed when this object is no longer referenced.

    Raises:
        UsageError: Two columns of a frame have the same name.
    """
    if not any(is_frame(source) for source in sources):
        return sources, None
    folder = TemporaryDirectory(prefix="article-flows-frame-")
    specs = [
        spool_frame(source, Path(folder.name, f"{number}.parquet")) if is_frame(source) else source
        for number, source in enumerate(sources)
    ]
    return specs, folder


def spool_frame(frame: pd.DataFrame, path: Path) -> str:
    """Write a DataFrame, without its index, to a Parquet file; return its spec.

    Columns of mixed types, which Arrow or Parquet cannot represent, are written as text.

    Raises:
        UsageError: Two columns have the same name, or a name is not valid Unicode.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [str(name) for name in frame.columns]
    # Found before anything is paid for: pandas raises only when the result is built.
    invalid = [ascii(name) for name in names if name.encode(errors="replace").decode() != name]
    if invalid:
        raise UsageError(f"{NAME}: the column {invalid[0]} is not valid Unicode; rename or drop it")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UsageError(f"{NAME}: has the column {repeated[0]} twice; rename or drop one")
    arrays = [_as_arrow(frame.iloc[:, index]) for index in range(len(names))]
    table = pa.table(dict(zip(names, arrays, strict=True)))
    pq.write_table(table, path, row_group_size=_ROW_GROUP)
    return f"{PREFIX}{path}"


def is_frame(source: object) -> bool:
    """Return whether a source is a DataFrame."""
    # Without importing pandas, which a run from a terminal does not need this early.
    return type(source).__name__ == "DataFrame" and hasattr(source, "iloc")


def _as_arrow(column: pd.Series[Any]) -> pa.Array:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        array = pa.Array.from_pandas(column)
        # Parquet lacks some types of Arrow, such as that of empty dictionaries.
        pq.write_table(pa.table({"": array[:0]}), pa.BufferOutputStream())
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        array = pa.array([_as_text(value) for value in column], pa.string())
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _as_text(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = value if isinstance(value, str) else str(value)
    return text.encode(errors="replace").decode()
