"""The columns of one source of a load: by its first rows, by the files beside it, by its name."""

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
"""The column that the date in a file's name is put into."""
MAX_SIBLINGS, SIBLING_ROWS = 24, 5
"""How many files of a folder are looked at for one whose body is in doubt, and rows of each."""
MAX_DOUBTFUL_ROWS = 20
"""A source with more rows than this tells by itself which column is its body."""

_MAX_SAMPLE_CHUNKS = 4
_ALL_FOLDERS = "//"
"""Stands for all folders of a load."""
_CACHED_BODIES = 1_000
_CACHED_FOLDERS = 4
_SIBLING_CHARS = 10_000
_FETCHED = ("urls", "sitemap")
"""Formats of lists of pages: their names say nothing of a page."""
_READ_ONCE = (*_FETCHED, DOCUMENT)
"""Formats that would be fetched once more, or that have one row, which has been looked at."""
_AMBIGUOUS_ORDER = (
    "none of its dates tells whether the day or the month comes first; say it by --date-order"
)
_DATE_IN_NAME = re.compile(r"(?<!\d)(\d{4})([-_]?)(\d\d)\2(\d\d)(?!\d)", re.ASCII)
_FIRST_YEAR = 1600


def sampled(
    chunks: Iterator[RecordChunk], rows: int = BATCH_ROWS
) -> tuple[list[Record], Generator[RecordChunk, None, None]]:
    """Read ahead until there are enough rows to tell what the columns are.

    A reader's first chunk may be a few rows, which could be all alike by chance.

    Returns:
        The first rows, up to so many, and all chunks from the first on; a UserError on the way
        is raised by the chunks, in its place. At most a few chunks are held.
    """
    held: list[RecordChunk] = []
    failed: UserError | None = None
    records: list[Record] = []
    while len(records) < rows and sum(bool(chunk.num_rows) for chunk in held) < _MAX_SAMPLE_CHUNKS:
        try:
            chunk = next(chunks, None)
        except UserError as error:
            failed = error
            break
        if chunk is None:
            break
        held.append(chunk)
        records += chunk.head(rows - len(records))
    return records, _from_the_first(held, failed, chunks)


def _from_the_first(
    held: list[RecordChunk], failed: UserError | None, chunks: Iterator[RecordChunk]
) -> Generator[RecordChunk, None, None]:
    held.reverse()
    while held:
        yield held.pop()
    if failed is not None:
        raise failed
    yield from chunks


class _Rows(NamedTuple):
    """The first rows of a file, and the names of its columns."""

    columns: frozenset[str]
    records: list[Record]


class Siblings:
    """The files of a load by folder and format; safe to share by threads.

    A short article alone does not show that its column is the body. Some of the files beside it
    that have its columns do, and which ones are looked at depends neither on it nor on the order
    in which files are loaded. Where the folder has few, some of the other folders are looked at.

    Args:
        sources: all sources of the load.
    """

    def __init__(self, sources: Iterable[Source] = ()) -> None:
        self._folders: dict[tuple[str, str], list[Source]] = defaultdict(list)
        for source in sources:
            if source.format not in _READ_ONCE:
                self._folders[_folder(source)].append(source)
                self._folders[_ALL_FOLDERS, source.format].append(source)
        self._rows_of = lru_cache(_CACHED_FOLDERS)(self._read_rows)
        self._body_by = lru_cache(_CACHED_BODIES)(self._find_body)
        self._lock = threading.Lock()

    def body_of(
        self, source: Source, names: Iterable[str], given: Mapping[str, str], *, of_all: bool
    ) -> str | None:
        """Return the body's column in files of the same folder; None if they do not tell.

        Args:
            source: the file whose body is in doubt.
            names: its columns.
            given: which column is what, see `given_for`.
            of_all: if those that have all of its columns do not tell, let all of them.
        """
        if len(self._folders.get((_ALL_FOLDERS, source.format), ())) < 2:
            return None
        said = tuple(sorted(given.items()))
        with self._lock:
            return self._body_by(_folder(source), frozenset(names), said, of_all)

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
        alike = [each.records for each in rows if columns <= each.columns]
        for pool in [alike, [each.records for each in rows]][: 1 + of_all]:
            records = [record for some in pool for record in some]
            try:
                return guess_columns(_names(records), records, dict(given)).get("body")
            except UserError:
                continue
        return None

    def _read_rows(self, key: tuple[str, str]) -> list[_Rows]:
        return list(_first_rows(self._folders[key]))


def _folder(source: Source) -> tuple[str, str]:
    return source.name.rpartition("/")[0], source.format


def _first_rows(sources: list[Source]) -> Iterator[_Rows]:
    """Read the start of some sources, evenly spread over all; what cannot be read is left out."""
    ordered = sorted(sources, key=lambda source: source.name)
    last = len(ordered) - 1
    for place in sorted({round(last * n / (MAX_SIBLINGS - 1)) for n in range(MAX_SIBLINGS)}):
        try:
            with closing(read(replace(ordered[place], facts={}), SIBLING_ROWS)) as chunks:
                rows, _ = sampled(chunks, SIBLING_ROWS)
        except StoppedRun:
            raise
        except Exception:
            # Whatever is wrong there is told when its rows are loaded.
            continue
        yield _Rows(frozenset(_names(rows)), [_cut(record) for record in rows])


def _cut(record: Record) -> Record:
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
    """Map canonical columns to a source's: by what is given, its first rows, its folder and name.

    Args:
        source: what the rows are of.
        sample: its first rows, see `sampled`.
        given: which column is what, see `given_for`.
        day_first: whether 01/02/2020 is the first of February; None: its dates tell.
        siblings: the files of the load, which tell the body where the source does not.
        read_on: whether the source may be read once more, up to a date that tells its order.

    Raises:
        UserError: a given column is not there, or no column can be the body.
        SourceUnavailable: the source cannot be read just now.
        InterruptedRun: the run is to end.
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
        return replace(columns, reasons={**columns.reasons, "body": "as in the files beside it"})

    try:
        columns = guess_columns(names, sample, given, source.name)
    except UserError:
        if found := with_body_of_siblings(of_all=True):
            return found
        raise
    body = columns.get("body")
    is_told_by_name = body is None or bool(columns_named([body], "body"))
    if is_told_by_name or len(sample) > MAX_DOUBTFUL_ROWS:
        return columns
    return with_body_of_siblings(of_all=False) or columns


def _names(records: Iterable[Record]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record))


def date_in_name(file_name: str, today: date | None = None) -> date | None:
    """Return the day that a file's name says: ``2021-03-04-title.md``, ``20210304_title.txt``.

    None if there is none, if there are several, or if it is still to come.
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
    """Whether a source's only row has no date, and none is not what the user has said."""
    is_settled = "published_at" in columns.templates or given.get("published_at") == ""
    if is_settled or source.format in _FETCHED:
        return False
    column = columns.get("published_at")
    is_undated = column is None or is_blank(value_at(record, column))
    return is_undated and date_in_name(source.place.file_name) is not None


def with_file_date(
    chunks: Iterable[RecordChunk], columns: ColumnMap, source: Source
) -> Iterator[RecordChunk]:
    """Put the date in the source's name into its rows, if they are to be dated by it."""
    if columns.get("published_at") != FILE_DATE:
        return iter(chunks)
    day = {FILE_DATE: date_in_name(source.place.file_name)}
    return (
        RecordChunk([record | day for record in chunk.records], chunk.rows, chunk.rejects)
        for chunk in chunks
    )


def _with_date_order(
    columns: ColumnMap, source: Source, day_first: bool | None, *, read_on: bool
) -> ColumnMap:
    """Settle `ColumnMap.day_first`: as it is given, or by the first date of the source that tells.

    A sorted file may have thousands of rows before that one, so it is read once more, up to there.
    """
    if day_first is not None:
        return replace(columns, day_first=day_first, order_open=False)
    if not columns.order_open or not read_on:
        return columns
    order = _order_in(source, columns.columns["published_at"])
    if order is not None:
        return replace(columns, day_first=order, order_open=False)
    return replace(
        columns, notes={**columns.notes, columns.columns["published_at"]: _AMBIGUOUS_ORDER}
    )


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
        # Whatever is wrong there is told when its rows are loaded; those before it are kept.
        pass
    return None
