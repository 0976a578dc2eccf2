"""The order of day and month in a source's column of dates, where its first rows do not tell."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from tasks.cleaning.columns import ColumnMap
from tasks.cleaning.dates_order import day_first_in
from tasks.errors import SourceAway, StoppedRun, StorageDown
from tasks.reading.readers import DOCUMENT, read
from tasks.reading.readers_base import Source

_NOT_TWICE = ("urls", "sitemap", DOCUMENT)
"""Formats that would be fetched once more, or that have one row, which has been looked at."""
_UNTOLD = "none of its dates tells whether the day or the month comes first; say it by --date-order"


def with_date_order(
    columns: ColumnMap, source: Source, day_first: bool | None = None, *, read_on: bool = True
) -> ColumnMap:
    """Settle `ColumnMap.day_first`: as it is given, or by the first date of the source that tells.

    A sorted file may have thousands of rows before that one, so it is read once more, up to there.

    Args:
        columns: by the first rows.
        source: what they are of.
        day_first: what the user has said; None: nothing.
        read_on: whether to read it.

    Raises:
        SourceAway: the source cannot be read just now.
        InterruptedRun: the run is to end.
    """
    if day_first is not None:
        return replace(columns, day_first=day_first, order_open=False)
    if not columns.order_open or not read_on:
        return columns
    order = _told_by(source, columns.columns["published_at"])
    if order is not None:
        return replace(columns, day_first=order, order_open=False)
    return replace(columns, notes={**columns.notes, columns.columns["published_at"]: _UNTOLD})


def _told_by(source: Source, column: str) -> bool | None:
    if source.format in _NOT_TWICE:
        return None
    try:
        with closing(read(replace(source, facts={}))) as chunks:
            return day_first_in(chunks, column)
    except (SourceAway, StorageDown, StoppedRun):
        raise
    except Exception:
        # Whatever is wrong there is told when its rows are loaded; those before it are kept.
        return None
