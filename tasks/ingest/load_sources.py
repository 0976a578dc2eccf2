"""Ingest sources into the lake: read, make canonical, drop what is there, write parts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from article_flows.tasks.cleaning.articles.build import CanonicalChunk, canonical
from article_flows.tasks.cleaning.columns.guesses import ColumnMap
from article_flows.tasks.cleaning.columns.mapping import (
    Siblings,
    map_columns,
    sampled,
    with_file_date,
)
from article_flows.tasks.cleaning.columns.options import given_for
from article_flows.tasks.cleaning.text.to_json import excerpt
from article_flows.tasks.common.errors import SourceUnavailable, StorageUnavailable, UserError
from article_flows.tasks.common.text_safety import printable
from article_flows.tasks.ingest.article_writer import ArticleWriter, article_writer
from article_flows.tasks.ingest.coalescing import ChunkPart, CoalescedChunk, coalesce
from article_flows.tasks.ingest.load import Load
from article_flows.tasks.ingest.options import Loading
from article_flows.tasks.ingest.rejects import RejectWriter, reject_writer
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.lake.key_columns import keys_of
from article_flows.tasks.lake.sorted_keys import KeySet
from article_flows.tasks.reading.base.rows import (
    EXCERPT_CHARS,
    RecordChunk,
    Reject,
    Source,
)
from article_flows.tasks.reading.formats.registry import read

logger = logging.getLogger(__name__)

Progress = Callable[[SourceReport], None]
"""Is told of a report after some of its rows were taken in."""

_UNORDERED = ("urls", "sitemap")
"""Formats whose rows come as they are fetched: there is no row to go on from."""


def ingest_sources(
    reports: Iterable[tuple[Source, SourceReport]],
    load: Load,
    loading: Loading = Loading(),  # noqa: B008
    on_progress: Progress | None = None,
) -> None:
    """Load sources into the load's lake, one after another, and account for each row.

    Share one load among the sources of a run. Each source comes with its report, empty but where
    it was begun before; `on_progress` gets it after each chunk of rows. When this returns, what is
    `stored` is in the lake.

    Raises:
        SourceUnavailable: some could not be read just now; their reports say how far they came, all
            others are done. Call it again with these.
        UserError: the lake cannot be written. What is wrong with a source is in its report.
    """
    away: list[SourceReport] = []
    with reject_writer(load.lake, load.known_rejects) as rejects, article_writer(load) as articles:
        for bundle in coalesce(_pieces(list(reports), loading, away)):
            rows = canonical(bundle.chunk, bundle.columns, bundle.source, loading.rules)
            rows = _far_enough(rows, load, loading)
            _take(rows, bundle, load, (articles, rejects))
            if on_progress:
                on_progress(bundle.reports[-1])
    if away:
        raise SourceUnavailable(str(away[0].error))


def ingest_source(
    source: Source,
    load: Load,
    loading: Loading = Loading(),  # noqa: B008
    on_progress: Progress | None = None,
) -> SourceReport:
    """Load one source and report what became of each row; see `ingest_sources`."""
    report = SourceReport(source.name)
    try:
        ingest_sources([(source, report)], load, loading, on_progress)
    except SourceUnavailable as error:
        report.error = str(error)
    return report


def _pieces(
    reports: Sequence[tuple[Source, SourceReport]], loading: Loading, away: list[SourceReport]
) -> Iterator[ChunkPart]:
    """The chunks of all sources; `away` gets the reports of those to be read another time."""
    siblings = loading.siblings or Siblings(source for source, _ in reports)
    for source, report in reports:
        report.error, report.format, report.facts = None, source.format, source.facts
        with _told(report, away), closing(read(source)) as chunks:
            yield from _mapped(chunks, source, report, loading, siblings)


def _mapped(
    chunks: Iterator[RecordChunk],
    source: Source,
    report: SourceReport,
    loading: Loading,
    siblings: Siblings,
) -> Iterator[ChunkPart]:
    """A source's chunks, from where it is to go on, with what its columns are taken for."""
    # A source that is read again is mapped by the same rows.
    sample, all_chunks = sampled(chunks)
    columns = ColumnMap({})
    if sample:
        given = given_for(loading.columns, source.name)
        columns = map_columns(source, sample, given, loading.day_first, siblings)
        templates = {target: each.text for target, each in columns.templates.items()}
        report.columns = {**columns.columns, **templates}
        report.notes = dict(columns.notes)
    done = report.last_row
    for chunk in with_file_date(all_chunks, columns, source):
        if (last := _last_row(chunk)) > done or not done:
            yield ChunkPart(report, _after(chunk, done) if done else chunk, columns)
            report.last_row = max(report.last_row, last)


@contextmanager
def _told(report: SourceReport, away: list[SourceReport]) -> Iterator[None]:
    """Have the report say what is wrong with its source."""
    finished = True
    try:
        yield
    except (SourceUnavailable, StorageUnavailable) as error:
        report.error = printable(str(error))
        if finished := report.format in _UNORDERED and report.last_row > 0:
            return
        away.append(report)
    except UserError as error:
        report.error = printable(str(error))
    except Exception as error:
        # A reader must not fail in a way that nobody thought of; if one does, the others go on.
        logger.exception("%s cannot be read", report.source)
        report.error = (
            f"{report.source} cannot be read after row {report.last_row} (the rows before are "
            f"kept): {type(error).__name__}: {printable(str(error))[:200]}; please report this"
        )
    finally:
        report.finished = finished


def _last_row(chunk: RecordChunk) -> int:
    return max([*chunk.rows[-1:], *(reject.row for reject in chunk.rejects)], default=0)


def _after(chunk: RecordChunk, done: int) -> RecordChunk:
    """The rows of a chunk that come after one."""
    rejects = [reject for reject in chunk.rejects if reject.row > done]
    first = sum(number <= done for number in chunk.rows)
    return RecordChunk(chunk.records[first:], chunk.rows[first:], rejects)


def _far_enough(chunk: CanonicalChunk, load: Load, loading: Loading) -> CanonicalChunk:
    """A chunk whose near duplicates of other articles are among its rejects.

    An article whose id the lake has is a new version of that one, however much they are alike; and
    what is equal to a row that stays is counted as a duplicate.
    """
    finder, rows = loading.near_duplicates, chunk.batch
    if finder is None or not rows.num_rows:
        return chunk
    known = load.knows(rows)
    # What the lake has, the finder has seen; for a mirror it sees that as the sources bring it.
    seen = np.arange(len(known)) if loading.mirror else np.flatnonzero(~known)
    some = rows.take(pa.array(seen))
    found = finder.find(some["article_id"], some["body"])
    reasons = {int(seen[index]): reason for index, reason in found}
    kept = known | load.has_ids(rows)
    kept |= ~np.isin(np.arange(rows.num_rows), list(reasons))
    keys, staying = keys_of(rows), KeySet()
    staying.add_keys(keys.take(kept))
    kept |= staying.contains_keys(keys)
    rejects = [
        Reject(int(chunk.rows[place]), reasons[place], _excerpt(rows, place))
        for place in np.flatnonzero(~kept).tolist()
    ]
    rejects = sorted([*chunk.rejects, *rejects], key=lambda reject: reject.row)
    return CanonicalChunk(rows.filter(pa.array(kept)), rejects, chunk.rows[kept])


def _excerpt(rows: pa.RecordBatch, place: int) -> str:
    """What tells an article: its short fields, and how its body begins."""
    shown = rows.select(["article_id", "title", "url", "body"]).slice(place, 1).to_pylist()[0]
    return excerpt(shown, EXCERPT_CHARS)


def _take(
    chunk: CanonicalChunk,
    bundle: CoalescedChunk,
    load: Load,
    writers: tuple[ArticleWriter, RejectWriter],
) -> None:
    """Take a chunk into the load, have it written, and account for its rows."""
    articles, rejects = writers
    rows = bundle.named(chunk)
    taken = load.take(rows)
    new = rows if taken.new.all() else rows.filter(pa.array(taken.new))
    load.count(new)
    articles.add(new)
    owners = bundle.owners_of(chunk.rows)
    _count(bundle, owners, "rows_in", np.ones(len(owners), np.bool_))
    _count(bundle, owners, "stored", taken.new)
    _count(bundle, owners, "changed", taken.changed)
    _count(bundle, owners, "repeated_ids", taken.repeated_ids)
    _count(bundle, owners, "duplicates", taken.duplicates)
    _count(bundle, owners, "already_there", ~(taken.new | taken.duplicates))
    for report, of_source in bundle.rejects_of(chunk.rejects):
        report.rows_in += len(of_source)
        report.rejected += len(of_source)
        load.count_rejects(report.source, of_source)
        rejects.add(report.source, of_source)


def _count(
    bundle: CoalescedChunk, owners: npt.NDArray[np.int64], name: str, flags: npt.NDArray[np.bool_]
) -> None:
    """Add to a count of each source's report the rows of it that are flagged."""
    counts = np.bincount(owners[flags], minlength=len(bundle.reports))
    for report, count in zip(bundle.reports, counts.tolist(), strict=True):
        setattr(report, name, getattr(report, name) + count)
