from pathlib import Path
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
)

from article_flows.flows.pipeline import article_pipeline
from article_flows.tasks.settings import PipelineSettings
from tests.support import read_rows

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_the_demo_becomes_an_enriched_table_with_reports_in_the_ui(tmp_path: Path) -> None:
    settings = PipelineSettings(lake=str(tmp_path / "lake"), recipe="digest")

    state = article_pipeline(settings, return_state=True)

    assert state.is_completed()
    report = state.result()
    table = read_rows(report.summarize.table)
    assert len(table) == 100
    assert set(table["language"]) == {"en", "zh"}
    assert table[["summary", "keywords", "category", "cost_usd"]].notna().all().all()
    flow_run_id = state.state_details.flow_run_id
    assert flow_run_id
    artifacts = artifacts_of(flow_run_id)
    assert set(artifacts) >= {"pipeline-report", "ingest-report", "summarize-report"}
    assert "article-flows-progress" in artifacts
    assert artifacts["pipeline-report"] == report.markdown()
    assert "not a language model" in artifacts["pipeline-report"]
    assert artifacts["pipeline-report"].count("###") == 3


def artifacts_of(flow_run_id: UUID) -> dict[str, str]:
    """Return key and data of the artifacts of a flow run and its subflow runs."""
    with get_client(sync_client=True) as client:
        children = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[flow_run_id])
            )
        )
        runs = [flow_run_id, *(child.id for child in children)]
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=runs))
        )
    return {str(artifact.key): str(artifact.data) for artifact in found}
