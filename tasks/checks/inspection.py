"""Inspect the first rows of a source to show how it would be loaded; nothing is stored."""

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
    mean_row_bytes,
    parquet_rows,
    size_of,
)
from article_flows.tasks.cleaning.articles.build import to_canonical
from article_flows.tasks.cleaning.columns.guesses import ColumnMap
from article_flows.tasks.cleaning.columns.mapping import map_columns, read_sample, with_file_date
from article_flows.tasks.cleaning.columns.options import columns_for_source
from article_flows.tasks.cleaning.columns.profiles import ColumnProfile, columns_of
from article_flows.tasks.cleaning.dates.to_utc import parse_date
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.ingest.options import LoadOptions
from article_flows.tasks.llm.protocol.token_estimate import estimate_tokens
from article_flows.tasks.reading.base.rows import BATCH_ROWS, Record, Source
from article_flows.tasks.reading.base.text_encoding import without_surrogates
from article_flows.tasks.reading.formats.registry import read

BODY_CHARS = 200
"""Length to which bodies in samples are truncated."""
EXAMPLE_CHARS = 60
SAMPLES = 3
_FETCHED_FORMATS = ("urls", "sitemap")
_FETCHED_ROWS = 5
"""Pages to fetch from a list of URLs or a sitemap, to keep the load on web servers low."""
_MAX_REASONS = 10
_UNDECODABLE = "bytes that are not "
_HOST_TO_ALLOW = re.compile(r"--allow-host (\S+)$")
_MAX_COMPRESSION_RATIO = 8
"""Assumed compression ratio of text whose uncompressed size is unknown."""


@dataclass(frozen=True)
class InspectedColumn:
    """A column of a source.

    Attributes:
        type: Type of its values, see `ColumnProfile.type`.
        filled: Share of the rows that have a value, 0 to 1.
        example: Start of the first value.
        taken_for: Columns of the articles table that it is loaded into. Empty if it is kept in
            ``extra``.
        why: Reason for this mapping, or why it is not what its name suggests.
    """

    name: str
    type: str
    filled: float
    example: str
    taken_for: tuple[str, ...]
    why: str


@dataclass
class Inspection:
    """The result of inspecting a source.

    Attributes:
        format: Name in `FORMATS`.
        facts: Findings of the reader, such as ``encoding`` and ``delimiter``.
        rows: Number of inspected rows.
        total_rows: Rows in the whole source; None if unknown.
        counted: Whether ``total_rows`` was counted and not estimated.
        articles: Inspected rows that would be stored, duplicates included.
        rejects: Number of the other inspected rows by reason.
        flags: Number of articles by flag.
        tokens: Estimated tokens in the bodies of the whole source; None if unknown.
        samples: Some articles as they would be stored, with truncated bodies.
        day_first: See `ColumnMap.day_first`.
        error: Why the source cannot be read (completely) or loaded, in one line.
    """

    name: str
    format: str
    size: Size
    facts: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    total_rows: int | None = None
    counted: bool = False
    columns: list[InspectedColumn] = field(default_factory=list)
    articles: int = 0
    rejects: dict[str, int] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)
    tokens: int | None = None
    samples: list[dict[str, Any]] = field(default_factory=list)
    day_first: bool | None = None
    error: str | None = None

    @property
    def no_articles_reason(self) -> str:
        """Why none of the inspected rows would be stored, in one line; empty if one would."""
        if self.error or self.articles:
            return ""
        if not self.rows:
            return f"{self.name}: has no rows"
        reason = next(iter(self.rejects), "")
        others = " and other reasons" if len(self.rejects) > 1 else ""
        remedy = ""
        if all(_UNDECODABLE in each for each in self.rejects):
            remedy = "; set the encoding with --encoding, for example windows-1252"
        what = f"none of the {self.rows:,} inspected rows would be stored"
        if self.rows == 1:
            what = "its only row would not be stored"
        return f"{self.name}: {what}: {reason}{others}{remedy}"

    @property
    def private_hosts(self) -> list[str]:
        """Private hosts in the rejected rows, which would have to be allowed."""
        matches = (_HOST_TO_ALLOW.search(reason) for reason in self.rejects)
        return list(dict.fromkeys(match[1] for match in matches if match))

    @property
    def group_key(self) -> tuple[object, ...]:
        """A key that is equal for sources that are loaded in the same way."""
        mapping = tuple((column.name, column.taken_for) for column in self.columns)
        error = (self.error or "").replace(self.name, "")
        return self.format, self.size.compression, mapping, error


def inspect_source(source: Source, loading: LoadOptions = LoadOptions()) -> Inspection:  # noqa: B008
    """Inspect the first rows of a source.

    Problems of the source do not raise; they are returned in ``error``.

    Example:
        >>> from article_flows.tasks.ingest.options import sources_of
        >>> from article_flows.tasks.settings import IngestSettings
        >>> (demo,) = sources_of(IngestSettings(sources=["demo"]))
        >>> inspection = inspect_source(demo)
        >>> inspection.format, inspection.rows, inspection.articles
        ('jsonl', 100, 100)
    """
    inspection = Inspection(source.name, source.format, size_of(source.file), source.facts)
    max_rows = _FETCHED_ROWS if source.format in _FETCHED_FORMATS else BATCH_ROWS
    is_cheap = _is_cheap_to_count(inspection)
    records: list[Record] = []
    rejects: Counter[str] = Counter()
    flags: Counter[str] = Counter()
    tokens = uninspected_rows = 0
    try:
        # The rows from which a load would infer the columns; the rest is only counted, if cheap.
        records, chunks = read_sample(read(source, max_rows), max_rows)
        with closing(chunks):
            columns = _map_columns(inspection, source, records, loading, read_on=is_cheap)
            for chunk in with_file_date(chunks, columns or ColumnMap({}), source):
                if inspection.rows >= max_rows:
                    if not is_cheap:
                        break
                    uninspected_rows += len(chunk)
                    continue
                inspection.rows += len(chunk)
                if columns is None:
                    rejects.update(reject.reason for reject in chunk.rejects)
                    continue
                converted = to_canonical(chunk, columns, inspection.name, loading.rules)
                rejects.update(reject.reason for reject in converted.rejects)
                articles = converted.batch.to_pylist()
                inspection.articles += len(articles)
                samples_left = SAMPLES - len(inspection.samples)
                inspection.samples += map(_sample, articles[:samples_left])
                flags.update(flag for article in articles for flag in article["flags"] or ())
                tokens += sum(estimate_tokens(article["body"]) for article in articles)
            else:
                inspection.total_rows = inspection.rows + uninspected_rows
                inspection.counted = True
    except UserError as error:
        inspection.error = inspection.error or str(error)
    inspection.flags = dict(flags.most_common())
    inspection.rejects = dict(rejects.most_common(_MAX_REASONS))
    if others := rejects.total() - sum(inspection.rejects.values()):
        inspection.rejects["other reasons"] = others
    if not inspection.counted:
        _estimate_rows(inspection, source, records)
    if inspection.total_rows is not None and inspection.rows:
        inspection.tokens = round(tokens * inspection.total_rows / inspection.rows)
    return inspection


def _is_cheap_to_count(inspection: Inspection) -> bool:
    if inspection.format in _FETCHED_FORMATS or inspection.format == "parquet":
        return False
    # A source whose uncompressed size is unknown is read all the same: reading it finds the error.
    size = inspection.size
    stored = size.stored or 0
    unpacked = size.unpacked if size.unpacked is not None else stored * _MAX_COMPRESSION_RATIO
    return inspection.format == "excel" or 0 < unpacked <= COUNTED_BYTES


def _map_columns(
    inspection: Inspection,
    source: Source,
    records: list[Record],
    loading: LoadOptions,
    *,
    read_on: bool,
) -> ColumnMap | None:
    """Infer the column mapping; return None if the columns do not suffice for articles."""
    columns = None
    if records:
        given = columns_for_source(loading.columns, source.name)
        day_first, siblings = loading.day_first, loading.siblings
        try:
            columns = map_columns(source, records, given, day_first, siblings, read_on=read_on)
            inspection.day_first = columns.day_first
        except UserError as error:
            inspection.error = str(error)
        names = list(dict.fromkeys(name for record in records for name in record))
        inspection.columns = _inspected_columns(names, records, columns or ColumnMap({}))
    return columns


def _sample(row: dict[str, Any]) -> dict[str, Any]:
    """Return an article without empty columns, with long texts truncated."""
    kept = {name: value for name, value in row.items() if value not in (None, [])}
    kept.pop("content_hash", None)
    for name in ("body", "reference_summary", "extra"):
        if len(text := kept.get(name) or "") > BODY_CHARS:
            kept[name] = f"{text[: BODY_CHARS - 1]}…"
    return kept


def _estimate_rows(inspection: Inspection, source: Source, records: list[Record]) -> None:
    unpacked = inspection.size.unpacked
    if source.format == "parquet":
        inspection.total_rows = parquet_rows(source)
        inspection.counted = inspection.total_rows is not None
    elif unpacked is not None and source.format not in _FETCHED_FORMATS:
        mean = mean_row_bytes(records, inspection.facts.get("encoding", ""))
        inspection.total_rows = max(inspection.rows, round(unpacked / mean)) if mean else None


def _inspected_columns(
    names: Sequence[str], records: Sequence[Record], columns: ColumnMap
) -> list[InspectedColumn]:
    """Describe all top-level columns, and the nested fields that are used."""
    targets_of: dict[str, list[str]] = {}
    for target, column in columns.columns.items():
        targets_of.setdefault(column, []).append(target)
    for target, template in columns.templates.items():
        for column in template.columns:
            targets_of.setdefault(column, []).append(target)
    inspected = []
    for name, values in columns_of(names, records).items():
        if name in names or name in targets_of:
            profile = ColumnProfile(name, values)
            targets = tuple(targets_of.get(name, ()))
            reasons = dict.fromkeys(columns.reasons.get(target, "") for target in targets)
            unread = _unread_dates(profile, columns) if "published_at" in targets else ""
            why = "; ".join(filter(None, (*reasons, unread, columns.notes.get(name, ""))))
            filled = len(profile.values) / len(records) if records else 0.0
            shown = without_surrogates(name)
            inspected.append(
                InspectedColumn(shown, profile.type, filled, _example(profile), targets, why)
            )
    return inspected


def _example(profile: ColumnProfile) -> str:
    first = str(profile.values[0])[:500] if profile.values else ""
    text = " ".join(without_surrogates(first).split())
    return text if len(text) <= EXAMPLE_CHARS else f"{text[: EXAMPLE_CHARS - 1]}…"


def _unread_dates(profile: ColumnProfile, columns: ColumnMap) -> str:
    """Return how many dates can be read; empty if all can."""
    parsed = sum(parse_date(value, columns.day_first) is not None for value in profile.values)
    if parsed == len(profile.values):
        return ""
    is_ambiguous = columns.order_ambiguous and profile.name not in columns.notes
    hint = "; a load reads on until a date settles the order of day and month" * is_ambiguous
    return f"{parsed:,} of the first {len(profile.values):,} dates can be read{hint}"
