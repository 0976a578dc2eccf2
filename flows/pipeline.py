"""The pipeline: load articles, summarise them, report."""

from dataclasses import dataclass

from prefect import flow

from article_flows.flows.flow_states import (
    flow_run_label,
    publish,
    state_of,
    user_error_as_failed_state,
)
from article_flows.flows.ingest import ingest_articles
from article_flows.flows.summarize import BATCHES_IN_FLIGHT, summarize_articles
from article_flows.tasks.common.errors import BudgetSpent, StoppedRun
from article_flows.tasks.ingest.report import IngestReport
from article_flows.tasks.orchestration.event_loop_task_runner import EventLoopTaskRunner
from article_flows.tasks.orchestration.sync_calls import result_of, result_or_error
from article_flows.tasks.reports.ingest_markdown import ingest_markdown
from article_flows.tasks.reports.markdown import summarize_markdown
from article_flows.tasks.settings import PipelineSettings
from article_flows.tasks.summarize.report import SummarizeReport


@dataclass
class PipelineReport:
    """What both halves did."""

    ingest: IngestReport
    summarize: SummarizeReport

    def markdown(self) -> str:
        """For the artifact and the terminal."""
        return ingest_markdown(self.ingest) + "\n" + summarize_markdown(self.summarize)


@flow(
    name="article-pipeline",
    flow_run_name=flow_run_label,
    # For the flows that could not begin runs of their own, as Prefect's API was away.
    task_runner=EventLoopTaskRunner(max_in_flight=BATCHES_IN_FLIGHT),
)
@user_error_as_failed_state
def article_pipeline(
    settings: PipelineSettings = PipelineSettings(),  # noqa: B008
) -> PipelineReport:
    """Load what is new in the sources, then ask about every article that has no answer yet.

    Raises:
        UserError: as the two flows; a run that had to stop comes with its report.
    """
    loaded = result_of(state_of(ingest_articles, settings.for_ingest()))
    state = state_of(summarize_articles, settings.for_summarize())
    ended = result_or_error(state)
    stopped = ended if isinstance(ended, StoppedRun) and ended.report else None
    report = PipelineReport(loaded, stopped.report if stopped else result_of(state))
    publish(report.markdown(), key="pipeline-report")
    if stopped:
        raise stopped.with_report(report) from stopped
    if report.summarize.budget_spent:
        raise BudgetSpent(str(report.summarize.stopped), report)
    return report
