"""What loading a source would make of it, told by its first rows: nothing is stored."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from article_flows.tasks.checks.inspection_sizes import (
    COUNTED_BYTES,
    Size,
    parquet_rows,
    row_bytes,
    size_of,
)
from article_flows.tasks.cleaning.articles.build import canonical
from article_flows.tasks.cleaning.columns.guesses import ColumnMap
from article_flows.tasks.cleaning.columns.mapping import map_columns, sampled, with_file_date
from article_flows.tasks.cleaning.columns.options import given_for
from article_flows.tasks.cleaning.columns.profiles import ColumnProfile, columns_of
from article_flows.tasks.cleaning.dates.to_utc import moment
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.ingest.options import Loading
from article_flows.tasks.llm.protocol.token_estimate import estimate_tokens
from article_flows.tasks.reading.base.rows import BATCH_ROWS, Record, Source
from article_flows.tasks.reading.base.text_encoding import without_surrogates
from article_flows.tasks.reading.formats.registry import read

BODY_CHARS = 200
"""How much of a body is shown."""
EXAMPLE_CHARS = 60
SAMPLES = 3
_FETCHED = ("urls", "sitemap")
_FETCHED_ROWS = 5
"""Pages of a list of addresses that are fetched to look at: each costs somebody a request."""
_MOST_REASONS = 10
_UNDECODED = "bytes that are not "
_ALLOWED_BY = re.compile(r"--allow-host (\S+)$")
_PACKED = 8
"""How much larger text is usually than what it is packed into, at most."""


@dataclass(frozen=True)
class ColumnSeen:
    """A source's column.

    Attributes:
        type: of its values, in words, see `ColumnProfile.type`.
        filled: share of the rows that have a value.
        example: the start of the first value.
        taken_for: the canonical columns that it goes into; empty: it is kept in ``extra``.
        why: in words, why it is taken, or why it is not what its name says.
    """

    name: str
    type: str
    filled: float
    example: str
    taken_for: tuple[str, ...]
    why: str


@dataclass
class Inspection:
    """What was found out of a source.

    Attributes:
        format: its name in `FORMATS`.
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


def inspect_source(source: Source, loading: Loading = Loading()) -> Inspection:  # noqa: B008
    """Look at the first rows of a source: what they are, and what they would be taken for.

    Never raises for what is wrong with the source: ``error`` says it.
    """
    seen = Inspection(source.name, source.format, size_of(source.place), source.facts)
    most = _FETCHED_ROWS if source.format in _FETCHED else BATCH_ROWS
    is_cheap = _is_counted(seen)
    records: list[Record] = []
    rejects: Counter[str] = Counter()
    flags: Counter[str] = Counter()
    tokens = more = 0
    try:
        # The rows that a load would map the columns by; the others are counted if that is cheap.
        records, chunks = sampled(read(source, most), most)
        with closing(chunks):
            columns = _mapped(seen, source, records, loading, read_on=is_cheap)
            for chunk in with_file_date(chunks, columns or ColumnMap({}), source):
                if seen.rows >= most:
                    if not is_cheap:
                        break
                    more += len(chunk)
                    continue
                seen.rows += len(chunk)
                if columns is None:
                    rejects.update(reject.reason for reject in chunk.rejects)
                    continue
                stored = canonical(chunk, columns, seen.name, loading.rules)
                rejects.update(reject.reason for reject in stored.rejects)
                rows = stored.batch.to_pylist()
                seen.articles += len(rows)
                seen.samples += map(_sample, rows[: SAMPLES - len(seen.samples)])
                flags.update(each for row in rows for each in row["flags"] or ())
                tokens += sum(estimate_tokens(row["body"]) for row in rows)
            else:
                seen.total_rows, seen.counted = seen.rows + more, True
    except UserError as error:
        seen.error = seen.error or str(error)
    seen.flags = dict(flags.most_common())
    seen.rejects = dict(rejects.most_common(_MOST_REASONS))
    if others := rejects.total() - sum(seen.rejects.values()):
        seen.rejects["other reasons"] = others
    if not seen.counted:
        _estimate_rows(seen, source, records)
    if seen.total_rows is not None and seen.rows:
        seen.tokens = round(tokens * seen.total_rows / seen.rows)
    return seen


def _is_counted(seen: Inspection) -> bool:
    if seen.format in _FETCHED or seen.format == "parquet":
        return False
    # What cannot be unpacked for its size may still have rows, and then the reason to be told.
    size = seen.size
    unpacked = size.unpacked if size.unpacked is not None else (size.stored or 0) * _PACKED
    return seen.format == "excel" or 0 < unpacked <= COUNTED_BYTES


def _mapped(
    seen: Inspection, source: Source, records: list[Record], loading: Loading, *, read_on: bool
) -> ColumnMap | None:
    """Tell what the columns are; None where that is not enough for articles."""
    columns = None
    if records:
        given = given_for(loading.columns, source.name)
        day_first, siblings = loading.day_first, loading.siblings
        try:
            columns = map_columns(source, records, given, day_first, siblings, read_on=read_on)
            seen.day_first = columns.day_first
        except UserError as error:
            seen.error = str(error)
        names = list(dict.fromkeys(name for record in records for name in record))
        seen.columns = _columns_seen(names, records, columns or ColumnMap({}))
    return columns


def _sample(row: dict[str, Any]) -> dict[str, Any]:
    """An article without what nobody reads, its texts cut."""
    kept = {name: value for name, value in row.items() if value not in (None, [])}
    kept.pop("content_hash", None)
    for name in ("body", "reference_summary", "extra"):
        if len(text := kept.get(name) or "") > BODY_CHARS:
            kept[name] = f"{text[: BODY_CHARS - 1]}…"
    return kept


def _estimate_rows(seen: Inspection, source: Source, records: list[Record]) -> None:
    unpacked = seen.size.unpacked
    if source.format == "parquet":
        seen.total_rows = parquet_rows(source)
        seen.counted = seen.total_rows is not None
    elif unpacked is not None and source.format not in _FETCHED:
        mean = row_bytes(records, seen.facts.get("encoding", ""))
        seen.total_rows = max(seen.rows, round(unpacked / mean)) if mean else None


def _columns_seen(
    names: Sequence[str], records: Sequence[Record], columns: ColumnMap
) -> list[ColumnSeen]:
    """Tell of each column what it is and is for; of nested fields only where they are taken."""
    uses: dict[str, list[str]] = {}
    for target, column in columns.columns.items():
        uses.setdefault(column, []).append(target)
    for target, template in columns.templates.items():
        for column in template.columns:
            uses.setdefault(column, []).append(target)
    seen = []
    for name, values in columns_of(names, records).items():
        if name in names or name in uses:
            profile = ColumnProfile(name, values)
            targets = tuple(uses.get(name, ()))
            reasons = dict.fromkeys(columns.reasons.get(target, "") for target in targets)
            told = _dates_read(profile, columns) if "published_at" in targets else ""
            why = "; ".join(filter(None, (*reasons, told, columns.notes.get(name, ""))))
            filled = len(profile.values) / len(records) if records else 0.0
            shown = without_surrogates(name)
            seen.append(ColumnSeen(shown, profile.type, filled, _example(profile), targets, why))
    return seen


def _example(profile: ColumnProfile) -> str:
    first = str(profile.values[0])[:500] if profile.values else ""
    text = " ".join(without_surrogates(first).split())
    return text if len(text) <= EXAMPLE_CHARS else f"{text[: EXAMPLE_CHARS - 1]}…"


def _dates_read(profile: ColumnProfile, columns: ColumnMap) -> str:
    """Say how many dates can be read, if not all."""
    read = sum(moment(value, columns.day_first) is not None for value in profile.values)
    if read == len(profile.values):
        return ""
    is_left_open = columns.order_open and profile.name not in columns.notes
    later = "; a load looks on for one that tells the order of day and month" * is_left_open
    return f"{read:,} of the first {len(profile.values):,} dates can be read{later}"
