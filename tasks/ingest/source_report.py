"""The report of one source; the reports of a folder of documents are combined into one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields


@dataclass
class SourceReport:
    """The report of a source.

    `rows_in == stored + duplicates + already_there + rejected` once the source's group is loaded;
    the stored rows are in the lake then.

    Attributes:
        source: The source's name.
        rows_in: Rows read.
        stored: New rows.
        changed: Stored rows whose id was in the lake with different content.
        repeated_ids: Stored rows with the same id as another stored row of the load.
        duplicates: Rows with the same id and content as another row of the load.
        already_there: Rows with the same id and content as a row from before the load.
        rejected: Rows that are not articles.
        columns: Maps canonical columns to source columns or templates.
        facts: What the reader found out, see `Source.facts`.
        error: Why the source could not be read, or not to its end.
        format: The source's format.
        files: The number of sources that the report covers, see `fold_reports`.
        finished: Whether the source was read to its end, or to an error that is not temporary.
        last_row: The number of the last row read; the next attempt continues after it.
        notes: For source columns, why the name does not match the values, or what is uncertain.
    """

    source: str
    rows_in: int = 0
    stored: int = 0
    changed: int = 0
    repeated_ids: int = 0
    duplicates: int = 0
    already_there: int = 0
    rejected: int = 0
    columns: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    format: str = ""
    files: int = 1
    finished: bool = False
    last_row: int = 0
    notes: dict[str, str] = field(default_factory=dict)


_COUNTS = tuple(each.name for each in fields(SourceReport) if each.type == "int")


def fold_reports(reports: Iterable[SourceReport]) -> list[SourceReport]:
    """Combine the reports of files with a single article by folder, file extension and format.

    The reports of tables and of unreadable sources are kept separate. The order is kept.
    """
    kept: dict[tuple[str, ...], SourceReport] = {}
    for number, report in enumerate(reports):
        folder, slash, name = report.source.rpartition("/")
        if report.error or report.rows_in > report.files or not slash:
            kept[str(number), report.source] = report
            continue
        suffix = name[name.rfind(".") :] if "." in name else ""
        key = (folder, suffix, report.format)
        if key in kept:
            _add(kept[key], report)
        else:
            kept[key] = report
    return [_named(report, key) for key, report in kept.items()]


def _add(total: SourceReport, report: SourceReport) -> None:
    for name in _COUNTS:
        setattr(total, name, getattr(total, name) + getattr(report, name))
    total.columns = {**report.columns, **total.columns}


def _named(report: SourceReport, key: tuple[str, ...]) -> SourceReport:
    if report.files > 1:
        report.source = f"{key[0]}/*{key[1]}"
    return report
