"""Map the columns of one source, from its first rows, its sibling files and its name.

Loads and ``inspect`` call this; `guesses.py` has the rules for a single table.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import NamedTuple

from article_flows.tasks.cleaning.columns.fields import value_at
from article_flows.tasks.cleaning.columns.guesses import ColumnMap, guess_columns
from article_flows.tasks.cleaning.columns.profiles import columns_of, is_blank
from article_flows.tasks.cleaning.dates.to_utc import day_first, day_month_orders
from article_flows.tasks.common.column_names import columns_named
from article_flows.tasks.common.errors import (
    SourceUnavailable,
    StoppedRun,
    StorageUnavailable,
    UserError,
)
from article_flows.tasks.common.signals import raise_if_interrupted
from article_flows.tasks.reading.base.rows import BATCH_ROWS, Record, RecordChunk, Source
from article_flows.tasks.reading.formats.registry import DOCUMENT, read

FILE_DATE = "(file name)"
"""The column that holds the date in a file's name."""
MAX_SIBLINGS, SIBLING_ROWS = 24, 5
"""How many sibling files are read if a file's body column is uncertain, and rows of each."""
MAX_DOUBTFUL_ROWS = 20
"""A source with more rows than this needs no siblings to show which column is its body."""

_MAX_SAMPLE_CHUNKS = 4
_ALL_FOLDERS = "//"
_CACHED_BODIES = 1_000
_CACHED_FOLDERS = 4
_SIBLING_CHARS = 10_000
# Lists of pages: the name of the list does not date its pages.
_FETCHED = ("urls", "sitemap")
# Formats that are not read again: their pages would be fetched again, or they have only one row.
_READ_ONCE = (*_FETCHED, DOCUMENT)
_AMBIGUOUS_ORDER = (
    "none of its dates shows whether the day or the month comes first; set --date-order"
)
_DATE_IN_NAME = re.compile(r"(?<!\d)(\d{4})([-_]?)(\d\d)\2(\d\d)(?!\d)", re.ASCII)
_FIRST_YEAR = 1600


def read_sample(
    chunks: Iterator[RecordChunk], rows: int = BATCH_ROWS
) -> tuple[list[Record], Generator[RecordChunk, None, None]]:
    """Read ahead until there are enough rows to map the columns.

    A reader's first chunk may have only a few rows, which may be alike by chance.

    Returns:
        At most `rows` records, and an iterator over all chunks from the first on. A UserError
        while reading ahead is raised by the iterator in its place. Only a few chunks are buffered.
    """
    buffered: list[RecordChunk] = []
    failed: UserError | None = None
    records: list[Record] = []
    filled = 0
    while len(records) < rows and filled < _MAX_SAMPLE_CHUNKS:
        try:
            chunk = next(chunks, None)
        except UserError as error:
            failed = error
            break
        if chunk is None:
            break
        buffered.append(chunk)
        filled += bool(chunk.num_rows)
        records += chunk.head(rows - len(records))
    return records, _from_the_first(buffered, failed, chunks)


def _from_the_first(
    buffered: list[RecordChunk], failed: UserError | None, chunks: Iterator[RecordChunk]
) -> Generator[RecordChunk, None, None]:
    # Each chunk is released as soon as it is yielded.
    buffered.reverse()
    while buffered:
        yield buffered.pop()
    if failed is not None:
        raise failed
    yield from chunks


class _FirstRows(NamedTuple):
    """The first rows of a file, and the names of its columns."""

    columns: frozenset[str]
    records: list[Record]


class Siblings:
    """The files of a load by folder and format. Thread-safe.

    A single short article does not show which column is its body, but other files of the folder
    with the same columns do. Which of them are read depends neither on the article nor on the
    order in which files are loaded. If the folder has few files, files of other folders are read.

    Args:
        sources: All sources of the load.
    """

    def __init__(self, sources: Iterable[Source] = ()) -> None:
        self._folders: dict[tuple[str, str], list[Source]] = defaultdict(list)
        for source in sources:
            if source.format not in _READ_ONCE:
                self._folders[_folder(source)].append(source)
                self._folders[_ALL_FOLDERS, source.format].append(source)
        self._rows_of = lru_cache(_CACHED_FOLDERS)(self._read_rows)
        self._cached_body = lru_cache(_CACHED_BODIES)(self._find_body)
        self._lock = threading.Lock()

    def body_of(
        self, source: Source, names: Iterable[str], given: Mapping[str, str], *, of_all: bool
    ) -> str | None:
        """Return the body's column in sibling files; None if they do not show it.

        Args:
            source: The file whose body column is uncertain.
            names: Its columns.
            given: The mapping requested by the user (``--column``).
            of_all: Whether to consider siblings with other columns, if those with the same columns
                do not show it.
        """
        if len(self._folders.get((_ALL_FOLDERS, source.format), ())) < 2:
            return None
        options = tuple(sorted(given.items()))
        with self._lock:
            return self._cached_body(_folder(source), frozenset(names), options, of_all)

    def _find_body(
        self,
        key: tuple[str, str],
        columns: frozenset[str],
        given: tuple[tuple[str, str], ...],
        of_all: bool,
    ) -> str | None:
        rows = self._rows_of(key)
        if len(self._folders[key]) < MAX_SIBLINGS:
            rows = rows + self._rows_of((_ALL_FOLDERS, key[1]))
        alike = [each for each in rows if columns <= each.columns]
        for siblings in [alike, rows][: 1 + of_all]:
            records = [record for sibling in siblings for record in sibling.records]
            try:
                return guess_columns(_names(records), records, dict(given)).get("body")
            except UserError:
                continue
        return None

    def _read_rows(self, key: tuple[str, str]) -> list[_FirstRows]:
        return list(_first_rows(self._folders[key]))


def _folder(source: Source) -> tuple[str, str]:
    return source.name.rpartition("/")[0], source.format


def _first_rows(sources: list[Source]) -> Iterator[_FirstRows]:
    """Read the first rows of an evenly spread sample of sources; unreadable ones are left out."""
    ordered = sorted(sources, key=lambda source: source.name)
    last = len(ordered) - 1
    for index in sorted({round(last * n / (MAX_SIBLINGS - 1)) for n in range(MAX_SIBLINGS)}):
        try:
            with closing(read(replace(ordered[index], facts={}), SIBLING_ROWS)) as chunks:
                rows, _ = read_sample(chunks, SIBLING_ROWS)
        except StoppedRun:
            raise
        except Exception:
            # The error is reported when the rows of that source are loaded.
            continue
        yield _FirstRows(frozenset(_names(rows)), [_shortened(record) for record in rows])


def _shortened(record: Record) -> Record:
    return {
        name: value[:_SIBLING_CHARS] if isinstance(value, (str, bytes)) else value
        for name, value in record.items()
    }


def map_columns(
    source: Source,
    sample: Sequence[Record],
    given: Mapping[str, str],
    day_first: bool | None = None,
    siblings: Siblings | None = None,
    *,
    read_on: bool = True,
) -> ColumnMap:
    """Map canonical columns to the columns of a source.

    Args:
        sample: The source's first rows, see `read_sample`.
        given: The mapping requested by the user (``--column``).
        day_first: Whether 01/02/2020 is the first of February; None to infer it from the dates.
        siblings: The files of the load, used if the source does not show which column is its body.
        read_on: Whether the source may be read again to find a date that shows the order.

    Raises:
        UserError: A given column does not exist, or no column can be the body.
        SourceUnavailable: The source is temporarily unavailable.
        InterruptedRun: The run was interrupted.
    """
    columns = _guessed(source, sample, given, siblings or Siblings())
    if len(sample) == 1 and _takes_file_date(source, columns, sample[0], given):
        return replace(columns, columns={**columns.columns, "published_at": FILE_DATE})
    return _with_date_order(columns, source, day_first, read_on=read_on)


def _guessed(
    source: Source, sample: Sequence[Record], given: Mapping[str, str], siblings: Siblings
) -> ColumnMap:
    names = _names(sample)

    def with_body_of_siblings(*, of_all: bool) -> ColumnMap | None:
        body = None
        if "body" not in given:
            body = siblings.body_of(source, names, given, of_all=of_all)
        if body is None or body not in columns_of(names, sample):
            return None
        columns = guess_columns(names, sample, {**given, "body": body}, source.name)
        return replace(columns, reasons={**columns.reasons, "body": "as in the files next to it"})

    try:
        columns = guess_columns(names, sample, given, source.name)
    except UserError:
        if found := with_body_of_siblings(of_all=True):
            return found
        raise
    body = columns.get("body")
    is_certain = body is None or bool(columns_named([body], "body"))
    if is_certain or len(sample) > MAX_DOUBTFUL_ROWS:
        return columns
    return with_body_of_siblings(of_all=False) or columns


def _names(records: Iterable[Record]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record))


def date_in_name(file_name: str, today: date | None = None) -> date | None:
    """Return the date in a file name such as ``2021-03-04-title.md`` or ``20210304_title.txt``.

    Args:
        today: The current date in UTC, for tests.

    Returns:
        The date, or None if the name has no date, several dates, or a date in the future.

    Example:
        >>> date_in_name("2021-03-04-title.md")
        datetime.date(2021, 3, 4)
    """
    found = set()
    for year, _, month, day in _DATE_IN_NAME.findall(file_name):
        try:
            found.add(date(int(year), int(month), int(day)))
        except ValueError:
            continue
    today = today or datetime.now(UTC).date()
    days = [each for each in found if each <= today and each.year >= _FIRST_YEAR]
    return days[0] if len(days) == len(found) == 1 else None


def _takes_file_date(
    source: Source, columns: ColumnMap, record: Record, given: Mapping[str, str]
) -> bool:
    """Return whether to date a source's only row by the file name."""
    is_settled = "published_at" in columns.templates or given.get("published_at") == ""
    if is_settled or source.format in _FETCHED:
        return False
    column = columns.get("published_at")
    is_undated = column is None or is_blank(value_at(record, column))
    return is_undated and date_in_name(source.file.file_name) is not None


def with_file_date(
    chunks: Iterable[RecordChunk], columns: ColumnMap, source: Source
) -> Iterator[RecordChunk]:
    """Add the date in the source's name to its rows, if the mapping uses it."""
    if columns.get("published_at") != FILE_DATE:
        return iter(chunks)
    day = {FILE_DATE: date_in_name(source.file.file_name)}
    return (
        RecordChunk([record | day for record in chunk.records], chunk.rows, chunk.rejects)
        for chunk in chunks
    )


def _with_date_order(
    columns: ColumnMap, source: Source, day_first: bool | None, *, read_on: bool
) -> ColumnMap:
    """Set `ColumnMap.day_first`, as given or from the first date in the source that shows it.

    In a sorted file, thousands of rows may precede that date, so the source is read again.
    """
    if day_first is not None:
        return replace(columns, day_first=day_first, order_ambiguous=False)
    if not columns.order_ambiguous or not read_on:
        return columns
    column = columns.columns["published_at"]
    order = _order_in(source, column)
    if order is not None:
        return replace(columns, day_first=order, order_ambiguous=False)
    return replace(columns, notes={**columns.notes, column: _AMBIGUOUS_ORDER})


def _order_in(source: Source, column: str) -> bool | None:
    if source.format in _READ_ONCE:
        return None
    try:
        with closing(read(replace(source, facts={}))) as chunks:
            for chunk in chunks:
                raise_if_interrupted()
                values = [value_at(record, column) for record in chunk.records]
                if day_month_orders(values) != (False, False):
                    return day_first(values)
    except (SourceUnavailable, StorageUnavailable, StoppedRun):
        raise
    except Exception:
        # The error is reported when the rows are loaded; the rows before it are kept.
        pass
    return None
