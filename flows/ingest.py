"""Load articles: files, folders and globs into one canonical Parquet table."""

import time

from prefect import flow, get_run_logger, unmapped

from flows.outcome import fails_in_one_line, flow_run_label, publish
from tasks.articles import SourceReport
from tasks.columns import parse_column_options
from tasks.errors import UserError
from tasks.event_loop_task_runner import EventLoopTaskRunner
from tasks.ingest import group_sources, load_sources, read_known_articles
from tasks.keys import KeySet
from tasks.lake import Lake
from tasks.prefect_inputs import untraced
from tasks.report_markdown import ingest_markdown
from tasks.reports import IngestReport
from tasks.settings import IngestSettings
from tasks.sources import find_sources


@flow(
    name="ingest-articles",
    flow_run_name=flow_run_label,
    task_runner=EventLoopTaskRunner(max_in_flight=2),
)
@fails_in_one_line
def ingest_articles(settings: IngestSettings = IngestSettings()) -> IngestReport:  # noqa: B008
    """Add to the lake's articles what is new in the sources.

    Raises:
        UserError: no source can be found or read, or the lake cannot be written.
    """
    started = time.monotonic()
    lake = Lake(settings.lake)
    sources = find_sources(settings.sources)
    columns = parse_column_options(settings.columns)
    with lake.locked("articles"):
        known = read_known_articles(untraced(lake))
        loads = load_sources.map(
            [untraced(group) for group in group_sources(sources)],
            lake=unmapped(untraced(lake)),
            given_columns=unmapped(columns),
            known=unmapped(untraced(known)),
            loaded=unmapped(untraced(KeySet())),
        )
        reports = [report for load in loads for report in load.result()]
    reports += [SourceReport(broken.name, error=broken.reason) for broken in sources.broken]
    report = IngestReport(
        sources=reports,
        skipped=sources.skipped,
        articles=str(lake.articles),
        rejects=str(lake.rejects),
        seconds=time.monotonic() - started,
    )
    if report.broken and not report.rows_in:
        raise UserError(report.broken[0].error or "no source could be read")
    publish(ingest_markdown(report), key="ingest-report")
    get_run_logger().info(report.line())
    return report
