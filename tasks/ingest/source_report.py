"""What became of a source's rows; a folder of documents is one line, not ten thousand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields


@dataclass
class SourceReport:
    """What became of a source's rows.

    `rows_in == stored + duplicates + already_there + rejected` when the load of the source's group
    has ended; the stored rows are in the lake then. `duplicates` are equal (id and content) to a
    row of the same load, `already_there` to one from before; `changed` of the stored have an id
    that the lake had with other content, and `repeated_ids` one that another stored row of the
    load has. `error` says why the source could not be read (further).

    Attributes:
        columns: which canonical column was taken from what.
        notes: by source's column, why it is not what its name says, or what is in doubt.
        facts: what its reader has found out (`Source.facts`).
        files: how many sources this is the report of (`folded`).
        finished: read to its end, or to what cannot be mended by another try.
        last_row: number of the last row that was read; where another try goes on.
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


def folded(reports: Iterable[SourceReport]) -> list[SourceReport]:
    """Reports in their order, with those of single articles in one folder put together.

    Sources that could not be read stay by themselves, as do tables.
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
