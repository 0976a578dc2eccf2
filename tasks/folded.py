"""One report for many sources of one kind: a folder of documents is one line, not ten thousand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

from tasks.source_report import SourceReport

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
