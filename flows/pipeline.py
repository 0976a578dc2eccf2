"""The pipeline flow: load articles, then enrich them."""

from dataclasses import dataclass

from prefect import flow

from article_flows.flows.flow_states import (
    flow_run_label,
    publish,
    run_flow,
    user_error_as_failed_state,
)
from article_flows.flows.ingest import ingest_articles
from article_flows.flows.summarize import BATCHES_IN_FLIGHT, summarize_articles
from article_flows.tasks.common.errors import BudgetSpent, StoppedRun
from article_flows.tasks.ingest.report import IngestReport
from article_flows.tasks.orchestration.event_loop_task_runner import EventLoopTaskRunner
from article_flows.tasks.orchestration.sync_calls import result_of, result_or_error
from article_flows.tasks.reports.ingest_markdown import ingest_markdown
from article_flows.tasks.reports.summarize_markdown import summarize_markdown
from article_flows.tasks.settings import PipelineSettings
from article_flows.tasks.summarize.report import SummarizeReport


@dataclass
class PipelineReport:
    """The reports of both flows."""

    ingest: IngestReport
    summarize: SummarizeReport

    def markdown(self) -> str:
        """Return both reports as Markdown."""
        return ingest_markdown(self.ingest) + "\n" + summarize_markdown(self.summarize)


@flow(
    name="article-pipeline",
    flow_run_name=flow_run_label,
    # Used by subflows that run as part of this flow because Prefect's API is unavailable.
    task_runner=EventLoopTaskRunner(max_in_flight=BATCHES_IN_FLIGHT),
)
@user_error_as_failed_state
def article_pipeline(
    settings: PipelineSettings = PipelineSettings(),  # noqa: B008
) -> PipelineReport:
    """Load new and changed articles, then enrich every article that has no answer yet.

    Raises:
        UserError: For the reasons of the two flows; StoppedRun has the pipeline's report.
    """
    ingested = result_of(run_flow(ingest_articles, settings.for_ingest()))
    state = run_flow(summarize_articles, settings.for_summarize())
    result = result_or_error(state)
    stopped = result if isinstance(result, StoppedRun) and result.report else None
    report = PipelineReport(ingested, stopped.report if stopped else result_of(state))
    publish(report.markdown(), key="pipeline-report")
    if stopped:
        raise stopped.with_report(report) from stopped
    if report.summarize.budget_spent:
        raise BudgetSpent(str(report.summarize.stopped), report)
    return report
