"""The summarize flow: enrich every article that has no answer yet."""

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from article_flows.flows.flow_states import (
    flow_run_label,
    publish,
    report_to_log,
    user_error_as_failed_state,
)
from article_flows.tasks.common.stopwatch import Stopwatch
from article_flows.tasks.lake.sorted_keys import KeySet
from article_flows.tasks.mock_endpoint.process import running_mock_endpoint
from article_flows.tasks.orchestration.event_loop_task_runner import EventLoopTaskRunner, untraced
from article_flows.tasks.reports.summarize_markdown import summarize_markdown
from article_flows.tasks.settings import SummarizeSettings
from article_flows.tasks.summarize.graceful_stop import GracefulStop
from article_flows.tasks.summarize.open_job import GRACE_S, open_job
from article_flows.tasks.summarize.progress import show_progress
from article_flows.tasks.summarize.report import SummarizeReport
from article_flows.tasks.summarize.tasks import (
    close_endpoint,
    plan_batches,
    settle_report,
    submit_batches,
    submit_copies,
)

BATCHES_IN_FLIGHT = 32


@flow(
    name="summarize-articles",
    flow_run_name=flow_run_label,
    task_runner=EventLoopTaskRunner(max_in_flight=BATCHES_IN_FLIGHT),
)
@user_error_as_failed_state
def summarize_articles(
    settings: SummarizeSettings = SummarizeSettings(),  # noqa: B008
) -> SummarizeReport:
    """Enrich every article in the lake that has no answer from this recipe and model yet.

    Raises:
        UserError: A setting is wrong, or another run is writing to the table.
        StoppedRun: The run ended early; has the report.
    """
    return summarize(settings)


def summarize(settings: SummarizeSettings, only: KeySet | None = None) -> SummarizeReport:
    """Do the work of `summarize_articles` within the flow run of the caller.

    Args:
        settings: The settings of the run.
        only: Content hashes of the articles to enrich; None for all that have no answer.
    """
    watch = Stopwatch()
    run_id, label = str(flow_run.id), flow_run.name or ""
    with open_job(settings, run_id, label, report_to_log, running_mock_endpoint) as job:
        shared = untraced(job)
        planner = plan_batches(shared, settings, untraced(only))
        watch.lap("plan")
        with show_progress(job, planner), GracefulStop(job.gateway, GRACE_S) as stop:
            batch_runs = submit_batches(planner, job)
            batch_runs.wait()
        watch.lap("ask")
        copy_runs = submit_copies(planner, job)
        close_endpoint.submit(shared).wait()
        runs = untraced(batch_runs), untraced(copy_runs)
        report = settle_report(shared, untraced(planner), *runs, watch)
        report.mark_interrupted(stop.signal)
    publish(summarize_markdown(report), key="summarize-report")
    get_run_logger().info(report.line())
    return report.or_raise()
