"""What loading a source would make of it, told by its first rows: nothing is stored."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from tasks.cleaning.canonical import canonical
from tasks.cleaning.column_mapping import Siblings, map_columns, sampled, with_file_date
from tasks.cleaning.columns import ColumnMap
from tasks.cleaning.rules import Rules
from tasks.errors import UserError
from tasks.inspection_columns import ColumnSeen, columns_seen
from tasks.inspection_sizes import COUNTED_BYTES, Size, parquet_rows, row_bytes, size_of
from tasks.llm.tokens import estimate_tokens
from tasks.reading.readers import read
from tasks.reading.readers_base import BATCH_ROWS, Record, RecordChunk, Source

BODY_CHARS = 200
"""How much of a body is shown."""
SAMPLES = 3
_FETCHED = ("urls", "sitemap")
_FETCHED_ROWS = 5
"""Pages of a list of addresses that are fetched to look at: each costs somebody a request."""
_MOST_REASONS = 10
_UNDECODED = "bytes that are not "
_ALLOWED_BY = re.compile(r"--allow-host (\S+)$")
_PACKED = 8
"""How much larger text is usually than what it is packed into, at most."""


@dataclass
class Inspection:
    """What was found out of a source.

    Attributes:
        format: its name in `tasks.reading.readers.FORMATS`.
        facts: what its reader has found out: ``encoding``, ``delimiter``.
        rows: how many rows were looked at.
        total_rows: rows of the whole; None: nobody knows.
        counted: they were counted, not estimated.
        articles: rows of those looked at that would be stored, duplicates included.
        rejects: reasons of the others, with counts; lengths and so on as in the first of a kind.
        flags: what was noticed, with counts of articles.
        tokens: estimated for the bodies of the whole; None: nobody knows.
        samples: some articles as they would be stored, their bodies cut.
        day_first: see `ColumnMap.day_first`.
        error: why it cannot be read (further) or loaded, in one line.
    """

    name: str
    format: str
    size: Size
    facts: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    total_rows: int | None = None
    counted: bool = False
    columns: list[ColumnSeen] = field(default_factory=list)
    articles: int = 0
    rejects: dict[str, int] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)
    tokens: int | None = None
    samples: list[dict[str, Any]] = field(default_factory=list)
    day_first: bool | None = None
    error: str | None = None

    @property
    def nothing(self) -> str:
        """Why none of the rows looked at would be stored, in one line; empty: one would."""
        if self.error or self.articles:
            return ""
        if not self.rows:
            return f"{self.name}: there is no row in it"
        reason = next(iter(self.rejects), "")
        also = " and other reasons" if len(self.rejects) > 1 else ""
        remedy = ""
        if all(_UNDECODED in each for each in self.rejects):
            remedy = "; say its encoding by --encoding, such as windows-1252"
        looked = f"none of the {self.rows:,} rows looked at would be stored"
        if self.rows == 1:
            looked = "its only row would not be stored"
        return f"{self.name}: {looked}: {reason}{also}{remedy}"

    @property
    def private_hosts(self) -> list[str]:
        """The private hosts that rows would be fetched from, if the user allowed it."""
        found = (_ALLOWED_BY.search(reason) for reason in self.rejects)
        return list(dict.fromkeys(each[1] for each in found if each))

    @property
    def kind(self) -> tuple[object, ...]:
        """The same for two sources that are loaded in the same way."""
        taken = tuple((each.name, each.taken_for) for each in self.columns)
        return self.format, self.size.compression, taken, (self.error or "").replace(self.name, "")


def inspect_source(
    source: Source,
    given: Mapping[str, str] | None = None,
    rules: Rules | None = None,
    day_first: bool | None = None,
    siblings: Siblings | None = None,
) -> Inspection:
    """Look at the first rows of a source: what they are, and what they would be taken for.

    Args:
        source: see `tasks.reading.sources.find_sources`.
        given: which column is what, see `tasks.cleaning.columns.given_for`.
        rules: which rows are articles; None: the usual ones.
        day_first: whether 01/02/2024 is the first of February; None: its dates tell.
        siblings: the files that would be loaded with it.

    Never raises for what is wrong with the source: ``error`` says it.
    """
    seen = Inspection(source.name, source.format, size_of(source.place), source.facts)
    look = _Look(seen, source, given or {}, rules or Rules(), day_first, siblings)
    batch_rows = _FETCHED_ROWS if source.format in _FETCHED else BATCH_ROWS
    try:
        look.at_first(read(source, batch_rows), batch_rows)
    except UserError as error:
        seen.error = seen.error or str(error)
    _estimate(seen, source, look)
    return seen


class _Look:
    """Looks at the first rows of a source."""

    def __init__(
        self,
        seen: Inspection,
        source: Source,
        given: Mapping[str, str],
        rules: Rules,
        day_first: bool | None,
        siblings: Siblings | None,
    ) -> None:
        self.seen = seen
        self.source = source
        self.day_first = day_first
        self.siblings = siblings
        self.given = given
        self.rules = rules
        self.records: list[Record] = []
        self.tokens = 0

    def at_first(self, chunks: Iterator[RecordChunk], batch_rows: int) -> None:
        """Look at the rows that a load would map the columns by, and count the others if cheap."""
        self.records, all_chunks = sampled(chunks, batch_rows)
        is_cheap = self._is_counted()
        columns = self._map(read_on=is_cheap)
        with closing(all_chunks):
            for chunk in with_file_date(all_chunks, columns or ColumnMap({}), self.source):
                if self.seen.rows < batch_rows:
                    self._add(chunk, columns)
                elif is_cheap:
                    self.seen.total_rows = (self.seen.total_rows or self.seen.rows) + len(chunk)
                else:
                    return
        self.seen.total_rows = self.seen.total_rows or self.seen.rows
        self.seen.counted = True

    def _is_counted(self) -> bool:
        size = self.seen.size
        if self.seen.format in _FETCHED or self.seen.format == "parquet":
            return False
        # What cannot be unpacked for its size may still have rows, and then the reason to be told.
        unpacked = size.unpacked if size.unpacked is not None else (size.stored or 0) * _PACKED
        return self.seen.format == "excel" or 0 < unpacked <= COUNTED_BYTES

    def _map(self, *, read_on: bool) -> ColumnMap | None:
        """Tell what the columns are; None where that is not enough for articles."""
        if not self.records:
            return None
        names = list(dict.fromkeys(name for record in self.records for name in record))
        try:
            columns = map_columns(
                self.source,
                self.records,
                self.given,
                self.day_first,
                self.siblings,
                read_on=read_on,
            )
        except UserError as error:
            self.seen.error = str(error)
            self.seen.columns = columns_seen(names, self.records, ColumnMap({}))
            return None
        self.seen.columns = columns_seen(names, self.records, columns)
        self.seen.day_first = columns.day_first
        return columns

    def _add(self, chunk: RecordChunk, columns: ColumnMap | None) -> None:
        self.seen.rows += len(chunk)
        if columns is None:
            self._reject(reject.reason for reject in chunk.rejects)
            return
        stored = canonical(chunk, columns, self.seen.name, self.rules)
        self._reject(reject.reason for reject in stored.rejects)
        self.seen.articles += stored.batch.num_rows
        noticed = Counter(self.seen.flags)
        noticed.update(each for row in stored.batch["flags"].to_pylist() for each in row or ())
        self.seen.flags = dict(noticed.most_common())
        self.tokens += sum(estimate_tokens(body) for body in stored.batch["body"].to_pylist())
        more = stored.batch[: SAMPLES - len(self.seen.samples)].to_pylist()
        self.seen.samples += [_sample(row) for row in more]

    def _reject(self, reasons: Iterable[str]) -> None:
        counts = Counter(self.seen.rejects)
        for reason in reasons:
            known = reason in counts or len(counts) < _MOST_REASONS
            counts[reason if known else "other reasons"] += 1
        self.seen.rejects = dict(counts.most_common())


def _sample(row: dict[str, Any]) -> dict[str, Any]:
    """An article without what nobody reads, its texts cut."""
    kept = {name: value for name, value in row.items() if value not in (None, [])}
    kept.pop("content_hash", None)
    for name in ("body", "reference_summary", "extra"):
        if len(text := kept.get(name) or "") > BODY_CHARS:
            kept[name] = f"{text[: BODY_CHARS - 1]}…"
    return kept


def _estimate(seen: Inspection, source: Source, look: _Look) -> None:
    """Tell the rows of the whole where they were not counted, and its tokens."""
    unpacked = seen.size.unpacked
    if not seen.counted and source.format == "parquet":
        seen.total_rows = parquet_rows(source)
        seen.counted = seen.total_rows is not None
    elif not seen.counted and unpacked is not None and source.format not in _FETCHED:
        mean = row_bytes(look.records, seen.facts.get("encoding", ""))
        seen.total_rows = max(seen.rows, round(unpacked / mean)) if mean else None
    if seen.total_rows is not None and seen.rows:
        seen.tokens = round(look.tokens * seen.total_rows / seen.rows)
