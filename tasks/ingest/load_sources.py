"""Load sources into the lake: read rows, convert them to articles, drop known ones, write parts.

The task ``load-sources`` and dry runs call `ingest_sources`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from article_flows.tasks.cleaning.articles.build import CanonicalChunk, to_canonical
from article_flows.tasks.cleaning.columns.guesses import ColumnMap
from article_flows.tasks.cleaning.columns.mapping import (
    Siblings,
    map_columns,
    read_sample,
    with_file_date,
)
from article_flows.tasks.cleaning.columns.options import columns_for_source
from article_flows.tasks.cleaning.text.to_json import excerpt
from article_flows.tasks.common.errors import SourceUnavailable, StorageUnavailable, UserError
from article_flows.tasks.common.text_safety import printable
from article_flows.tasks.ingest.article_writer import ArticleWriter, article_writer
from article_flows.tasks.ingest.coalescing import ChunkPart, CoalescedChunk, coalesce
from article_flows.tasks.ingest.load import Load
from article_flows.tasks.ingest.options import LoadOptions
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
"""A callback that gets a source's report after some of its rows were loaded."""

# The rows of these formats arrive in the order in which pages are fetched, so a partly read source
# cannot be resumed at a row.
_UNORDERED = ("urls", "sitemap")


def ingest_sources(
    reports: Iterable[tuple[Source, SourceReport]],
    load: Load,
    loading: LoadOptions = LoadOptions(),  # noqa: B008
    on_progress: Progress | None = None,
) -> None:
    """Load sources one after another, and account for each row in the source's report.

    When this returns, all rows counted as `stored` are in the lake. An error of a source is in its
    report and does not stop the others.

    Args:
        reports: Each source with its report, which is empty unless a previous attempt started it.
        load: The load, shared by all sources of a run.
        on_progress: Called after each chunk of rows.

    Raises:
        SourceUnavailable: Some sources are temporarily unavailable. Their reports say how far they
            were read; call this again with them. All others are done.
        UserError: The lake cannot be written.
    """
    unavailable: list[SourceReport] = []
    with reject_writer(load.lake, load.known_rejects) as rejects, article_writer(load) as articles:
        for chunk in coalesce(_parts(list(reports), loading, unavailable)):
            rows = to_canonical(chunk.chunk, chunk.columns, chunk.source, loading.rules)
            rows = _without_near_duplicates(rows, load, loading)
            _store(rows, chunk, load, (articles, rejects))
            if on_progress:
                on_progress(chunk.reports[-1])
    if unavailable:
        raise SourceUnavailable(str(unavailable[0].error))


def ingest_source(
    source: Source,
    load: Load,
    loading: LoadOptions = LoadOptions(),  # noqa: B008
    on_progress: Progress | None = None,
) -> SourceReport:
    """Load one source and return its report; see `ingest_sources`."""
    report = SourceReport(source.name)
    try:
        ingest_sources([(source, report)], load, loading, on_progress)
    except SourceUnavailable as error:
        report.error = str(error)
    return report


def _parts(
    reports: Sequence[tuple[Source, SourceReport]],
    loading: LoadOptions,
    unavailable: list[SourceReport],
) -> Iterator[ChunkPart]:
    """Yield the chunks of all sources; add the reports of unavailable ones to `unavailable`."""
    siblings = loading.siblings or Siblings(source for source, _ in reports)
    for source, report in reports:
        report.error, report.format, report.facts = None, source.format, source.facts
        with _errors_reported(report, unavailable), closing(read(source)) as chunks:
            yield from _mapped(chunks, source, report, loading, siblings)


def map_source(
    source: Source, chunks: Iterator[RecordChunk], loading: LoadOptions, siblings: Siblings
) -> tuple[ColumnMap, Iterator[RecordChunk]]:
    """Map a source's columns by its first rows; return the mapping and all of its chunks.

    Raises:
        UserError: No column can be the body, or a given column does not exist.
    """
    sample, all_chunks = read_sample(chunks)
    columns = ColumnMap({})
    if sample:
        given = columns_for_source(loading.columns, source.name)
        columns = map_columns(source, sample, given, loading.day_first, siblings)
    return columns, with_file_date(all_chunks, columns, source)


def _mapped(
    chunks: Iterator[RecordChunk],
    source: Source,
    report: SourceReport,
    loading: LoadOptions,
    siblings: Siblings,
) -> Iterator[ChunkPart]:
    """Yield a source's chunks, after the rows of a previous attempt, with the column mapping."""
    # A new attempt samples the same rows, so the mapping stays the same.
    columns, all_chunks = map_source(source, chunks, loading, siblings)
    if columns.used:
        templates = {target: each.text for target, each in columns.templates.items()}
        report.columns = {**columns.columns, **templates}
        report.notes = dict(columns.notes)
    done = report.last_row
    for chunk in all_chunks:
        if (last := _last_row(chunk)) > done or not done:
            yield ChunkPart(report, _after(chunk, done) if done else chunk, columns)
            report.last_row = max(report.last_row, last)


@contextmanager
def _errors_reported(report: SourceReport, unavailable: list[SourceReport]) -> Iterator[None]:
    """Catch errors of a source and record them in its report."""
    finished = True
    try:
        yield
    except (SourceUnavailable, StorageUnavailable) as error:
        report.error = printable(str(error))
        if finished := report.format in _UNORDERED and report.last_row > 0:
            return
        unavailable.append(report)
    except UserError as error:
        report.error = printable(str(error))
    except Exception as error:
        # An unexpected error of a reader must not stop the other sources.
        logger.exception("unexpected error while reading %s", report.source)
        report.error = (
            f"{report.source} cannot be read after row {report.last_row} (the rows before are "
            f"kept): {type(error).__name__}: {printable(str(error))[:200]}; please report this"
        )
    finally:
        report.finished = finished


def _last_row(chunk: RecordChunk) -> int:
    return max([*chunk.rows[-1:], *(reject.row for reject in chunk.rejects)], default=0)


def _after(chunk: RecordChunk, done: int) -> RecordChunk:
    """Return the rows of a chunk after a row number."""
    rejects = [reject for reject in chunk.rejects if reject.row > done]
    first = sum(number <= done for number in chunk.rows)
    return RecordChunk(chunk.records[first:], chunk.rows[first:], rejects)


def _without_near_duplicates(
    chunk: CanonicalChunk, load: Load, loading: LoadOptions
) -> CanonicalChunk:
    """Reject the near duplicates in a chunk.

    An article whose id is in the lake is a new version of that article, however similar they are;
    and a row equal to a kept row is kept too, to be counted as a duplicate.
    """
    near_duplicates, rows = loading.near_duplicates, chunk.batch
    if near_duplicates is None or not rows.num_rows:
        return chunk
    known = load.knows(rows)
    # The index already has the articles of the lake, except for a mirror, which indexes known
    # articles as the sources bring them.
    indexes = np.arange(len(known)) if loading.mirror else np.flatnonzero(~known)
    candidates = rows.take(pa.array(indexes))
    found = near_duplicates.find(candidates["article_id"], candidates["body"])
    reasons = {int(indexes[index]): reason for index, reason in found}
    kept = known | load.has_ids(rows)
    kept |= ~np.isin(np.arange(rows.num_rows), list(reasons))
    keys, kept_keys = keys_of(rows), KeySet()
    kept_keys.add_keys(keys.take(kept))
    kept |= kept_keys.contains_keys(keys)
    rejects = [
        Reject(int(chunk.rows[index]), reasons[index], _excerpt(rows, index))
        for index in np.flatnonzero(~kept).tolist()
    ]
    rejects = sorted([*chunk.rejects, *rejects], key=lambda reject: reject.row)
    return CanonicalChunk(rows.filter(pa.array(kept)), rejects, chunk.rows[kept])


def _excerpt(rows: pa.RecordBatch, index: int) -> str:
    """Return the short fields of an article and the beginning of its body, as JSON."""
    shown = rows.select(["article_id", "title", "url", "body"]).slice(index, 1).to_pylist()[0]
    return excerpt(shown, EXCERPT_CHARS)


def _store(
    rows: CanonicalChunk,
    chunk: CoalescedChunk,
    load: Load,
    writers: tuple[ArticleWriter, RejectWriter],
) -> None:
    """Write the new rows and the rejects of a chunk, and account for all of its rows."""
    articles, rejects = writers
    batch = chunk.with_source_names(rows)
    classes = load.take(batch)
    new = batch if classes.new.all() else batch.filter(pa.array(classes.new))
    load.count(new)
    articles.add(new)
    owners = chunk.owners_of(rows.rows)
    _count(chunk, owners, "rows_in", np.ones(len(owners), np.bool_))
    _count(chunk, owners, "stored", classes.new)
    _count(chunk, owners, "changed", classes.changed)
    _count(chunk, owners, "repeated_ids", classes.repeated_ids)
    _count(chunk, owners, "duplicates", classes.duplicates)
    _count(chunk, owners, "already_there", ~(classes.new | classes.duplicates))
    for report, of_source in chunk.rejects_of(rows.rejects):
        report.rows_in += len(of_source)
        report.rejected += len(of_source)
        load.count_rejects(report.source, of_source)
        rejects.add(report.source, of_source)


def _count(
    chunk: CoalescedChunk, owners: npt.NDArray[np.int64], name: str, flags: npt.NDArray[np.bool_]
) -> None:
    """Add the number of flagged rows of each source to a count of its report."""
    counts = np.bincount(owners[flags], minlength=len(chunk.reports))
    for report, count in zip(chunk.reports, counts.tolist(), strict=True):
        setattr(report, name, getattr(report, name) + count)
