"""Load unusual sources as the flow does, and check the reports."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from article_flows.tasks.ingest.load import Load
from article_flows.tasks.ingest.load_sources import Progress, ingest_sources
from article_flows.tasks.ingest.options import load_options, sources_of
from article_flows.tasks.ingest.report import IngestReport
from article_flows.tasks.ingest.source_report import SourceReport, fold_reports
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.reports.ingest_markdown import ingest_markdown, profile_markdown
from article_flows.tasks.settings import IngestSettings
from tests.tasks.summarize.job_support import at

TEXT = "The council met on Monday. It voted to build the bridge that residents had asked for."
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def loaded(
    home: Path, *sources: str | Path, on_progress: Progress | None = None, **options: Any
) -> IngestReport:
    """Load sources as the flow does; check that counts add up and messages are clean lines."""
    given = [str(source) for source in sources or (home / "in",)]
    settings = IngestSettings(sources=given, lake=str(home / "lake"), **options)
    found, lake = sources_of(settings), Lake(settings.lake)
    load = Load(lake)
    reports = [(source, SourceReport(source.name)) for source in found]
    ingest_sources(reports, load, load_options(settings, lake), on_progress)
    load.finish()
    shown = fold_reports(report for _, report in reports)
    shown += [SourceReport(each.name, error=each.reason) for each in found.broken]
    report = IngestReport(
        shown,
        found.skipped,
        lake.location(lake.articles),
        lake.location(lake.rejects),
        0.0,
        profile=load.profile,
    )
    counts = report.counts()
    assert counts.pop("rows_in") == sum(counts.values())
    for text in (ingest_markdown(report), profile_markdown(report), report.line()):
        assert not CONTROLS.search(text), text
    for each in report.broken:
        assert "\n" not in str(each.error)
    return report


def rows_of(home: Path, folder: str = "articles") -> list[dict[str, Any]]:
    lake = Lake(home / "lake")
    tables = [pq.read_table(at(lake, part.name)) for part in lake.parts(folder)]
    return [row for table in tables for row in table.to_pylist()]


def write_jsonl(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
