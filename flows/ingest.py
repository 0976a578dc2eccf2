"""The ingest flow: load articles from any supported source into one Parquet table."""

import time

from prefect import flow, get_run_logger, unmapped
from prefect.runtime import flow_run

from article_flows.flows.flow_states import (
    flow_run_label,
    publish,
    report_to_log,
    user_error_as_failed_state,
)
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.ingest.progress import LoadProgress
from article_flows.tasks.ingest.report import IngestReport
from article_flows.tasks.ingest.source_report import SourceReport, fold_reports
from article_flows.tasks.ingest.tasks import (
    find_all_sources,
    group_sources,
    load_sources,
    prepare_loading,
    read_known_articles,
    replace_versions,
    tidy_table,
)
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.orchestration.event_loop_task_runner import EventLoopTaskRunner, untraced
from article_flows.tasks.orchestration.progress_display import display_progress
from article_flows.tasks.reports.ingest_markdown import ingest_markdown, profile_markdown
from article_flows.tasks.settings import IngestSettings


@flow(
    name="ingest-articles",
    flow_run_name=flow_run_label,
    task_runner=EventLoopTaskRunner(max_in_flight=2),
)
@user_error_as_failed_state
def ingest_articles(settings: IngestSettings = IngestSettings()) -> IngestReport:  # noqa: B008
    """Load new and changed articles from the sources into the lake.

    Raises:
        UserError: No source can be found or read, or the lake cannot be written.
    """
    started = time.monotonic()
    lake = Lake(settings.lake)
    sources = find_all_sources(settings)
    progress = LoadProgress(len(sources))
    with lake.locked(
        "articles", wait_s=settings.wait_s, on_wait=report_to_log, label=flow_run.name or ""
    ):
        load = read_known_articles(untraced(lake), settings)
        loading = prepare_loading(untraced(lake), settings, untraced(sources))
        with display_progress(progress, "article-flows-load-progress"):
            loads = load_sources.map(
                [untraced(group) for group in group_sources(sources)],
                load=unmapped(untraced(load)),
                loading=unmapped(untraced(loading)),
                progress=unmapped(untraced(progress)),
            )
            reports = fold_reports(report for load_run in loads for report in load_run.result())
        reports += [SourceReport(broken.name, error=broken.reason) for broken in sources.broken]
        superseded = replace_versions(untraced(load), settings, untraced(reports))
        tidy_table(untraced(lake))
    report = IngestReport(
        sources=reports,
        skipped=sources.skipped,
        articles=lake.location(lake.articles),
        rejects=lake.location(lake.rejects),
        superseded=superseded,
        superseded_articles=lake.location(f"{lake.superseded}/{lake.articles}"),
        seconds=time.monotonic() - started,
        profile=load.profile,
    )
    if report.broken and not report.rows_in:
        raise UserError(report.broken[0].error or "no source could be read")
    publish(ingest_markdown(report), key="ingest-report")
    publish(profile_markdown(report), key="articles-table")
    get_run_logger().info(report.line())
    return report
