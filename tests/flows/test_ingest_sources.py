"""Loads from remote, temporarily unavailable or nearly identical sources count every row once."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pyarrow.fs as pafs
import pytest
from prefect import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
)

from article_flows.flows.ingest import ingest_articles
from article_flows.tasks.common.errors import SourceUnavailable
from article_flows.tasks.ingest.progress import LoadProgress
from article_flows.tasks.ingest.report import IngestReport
from article_flows.tasks.ingest.tasks import find_all_sources, load_sources
from article_flows.tasks.reading.places import bucket_files as object_source
from article_flows.tasks.reading.web import download
from article_flows.tasks.settings import IngestSettings
from tests.object_store import ObjectStoreServer
from tests.support import read_rows, write_articles
from tests.tasks.reading.web.web_support import Site, status

pytestmark = pytest.mark.usefixtures("prefect_server")

TEXT = (
    "The council met on Monday and voted to build the bridge that residents had asked for. "
    "Work is to begin in spring, once the river has gone down, and to end before the winter."
)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry tasks immediately, and send each request only once."""
    for task in (find_all_sources, load_sources):
        monkeypatch.setattr(task, "retry_delay_seconds", [0.0, 0.0])
    monkeypatch.setattr(download, "ATTEMPTS", 1)


def settings(lake: Path, *sources: str | Path, **others: Any) -> IngestSettings:
    return IngestSettings(lake=str(lake), sources=[str(source) for source in sources], **others)


def ran(given: IngestSettings) -> tuple[IngestReport, UUID]:
    """Run the flow, which must complete; return its report and run id."""
    state = ingest_articles(given, return_state=True)
    assert state.is_completed(), state.message
    report: IngestReport = state.result()
    counts = report.counts()
    assert counts.pop("rows_in") == sum(counts.values())
    assert state.state_details.flow_run_id
    return report, state.state_details.flow_run_id


def tries_of(flow_run_id: UUID) -> Counter[str]:
    """Return how often the tasks of a run were started, by the first two words of their names."""
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(
            task_run_filter=TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[flow_run_id]))
        )
    tries: Counter[str] = Counter()
    for run in runs:
        tries["-".join(run.name.split("-")[:2])] += run.run_count
    return tries


def artifacts_of(flow_run_id: UUID) -> dict[str, str]:
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
        )
    return {str(artifact.key): str(artifact.data) for artifact in found}


def write(path: Path, *rows: Mapping[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_temporarily_unavailable_web_source_is_loaded_once(tmp_path: Path) -> None:
    content = write_articles(tmp_path / "articles.jsonl", 7).read_text()
    local = write_articles(tmp_path / "local.jsonl", 5, start=100)
    with Site({"/articles.jsonl": status(503, 429, then=content)}) as site:
        url = site.url("/articles.jsonl")

        report, run = ran(settings(tmp_path / "lake", url, local))

    assert (report.rows_in, report.stored, report.broken) == (12, 12, [])
    assert {each.source: each.rows_in for each in report.sources} == {url: 7, str(local): 5}
    assert tries_of(run)["find-sources"] == 3
    assert len(read_rows(tmp_path / "lake" / "articles")) == 12


def test_an_unavailable_source_is_reported_and_the_others_are_loaded(tmp_path: Path) -> None:
    local = write_articles(tmp_path / "local.jsonl", 5)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 this is no Parquet PAR1")
    with Site({"/a.jsonl": status(*[503] * 9)}) as site:
        url = site.url("/a.jsonl")

        report, run = ran(settings(tmp_path / "lake", url, local, broken))
        alone = ingest_articles(settings(tmp_path / "other", url), return_state=True)

    assert report.stored == 5
    errors = {each.source: str(each.error) for each in report.broken}
    assert set(errors) == {url, str(broken)}
    assert "has a server error (503)" in errors[url]
    assert "not read" in report.line()
    assert tries_of(run)["find-sources"] == 3
    assert alone.is_failed()
    assert str(alone.message).startswith(url)
    with pytest.raises(SourceUnavailable):
        alone.result()


def test_a_missing_source_is_requested_once(tmp_path: Path) -> None:
    with Site({}) as site:
        state = ingest_articles(
            settings(tmp_path / "lake", site.url("/a.jsonl")), return_state=True
        )
    assert state.is_failed()
    assert "does not exist (404)" in str(state.message)
    assert site.counts["/a.jsonl"] == 1


def put(store: ObjectStoreServer, prefix: str, name: str, content: bytes) -> None:
    system, path = pafs.FileSystem.from_uri(store.uri(prefix))
    with system.open_output_stream(f"{path}/{name}", compression=None) as file:
        file.write(content)


def test_a_bucket_is_loaded_like_a_folder(tmp_path: Path, object_store: ObjectStoreServer) -> None:
    prefix = f"in-{uuid4().hex}"
    for number in range(3):
        path = write_articles(tmp_path / f"{number}.jsonl", 4, start=10 * number)
        put(object_store, prefix, path.name, path.read_bytes())

    report, _ = ran(settings(tmp_path / "lake", object_store.uri(prefix)))
    again, _ = ran(settings(tmp_path / "lake", object_store.uri(prefix)))

    assert (report.rows_in, report.stored, len(report.sources)) == (12, 12, 3)
    assert (again.stored, again.already_there) == (0, 12)
    assert all(each.source.startswith("s3://") for each in report.sources)
    assert not any("?" in each.source for each in report.sources)


def test_an_outage_in_the_middle_of_a_file_loses_and_duplicates_no_row(
    tmp_path: Path, object_store: ObjectStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_source, "RETRY_TIMEOUT_S", 0.0)
    # Opened buckets are cached for the process.
    object_source._bucket.cache_clear()
    prefix = f"in-{uuid4().hex}"
    long = "More was said of it. " * 60
    rows = [{"id": number, "body": f"It was day {number}. {long}"} for number in range(6_000)]
    path = write(tmp_path / "big.jsonl", *rows)
    path.write_text(f"no JSON\n{path.read_text()}null\n")
    put(object_store, prefix, "big.jsonl", path.read_bytes())
    small = write_articles(tmp_path / "small.jsonl", 3)
    put(object_store, prefix, "small.jsonl", small.read_bytes())
    rows_at_tries: list[int] = []
    reports_of = LoadProgress.reports_of

    def begin(self: LoadProgress, group: Any) -> Any:
        object_store.outage(False)
        reports = reports_of(self, group)
        rows_at_tries.append(sum(report.rows_in for _, report in reports))
        return reports

    monkeypatch.setattr(LoadProgress, "reports_of", begin)

    def goes() -> None:
        if len(rows_at_tries) == 1:
            object_store.outage(True, "reset")

    monkeypatch.setattr("article_flows.tasks.ingest.tasks.raise_if_interrupted", goes)
    try:
        report, run = ran(settings(tmp_path / "lake", object_store.uri(prefix)))
    finally:
        object_source._bucket.cache_clear()

    first, second = rows_at_tries
    assert first == 0 < second < 6_000
    assert tries_of(run)["load-sources"] == 2
    assert (report.rows_in, report.stored, report.rejected) == (6_005, 6_003, 2)
    assert (report.duplicates, report.already_there, report.broken) == (0, 0, [])
    ids = read_rows(report.articles)["article_id"]
    assert len(ids) == ids.nunique() == 6_003
    assert read_rows(report.rejects)["row"].tolist() == [1, 6_002]


def test_near_duplicates_are_rejected_but_new_versions_are_not(tmp_path: Path) -> None:
    source, lake = tmp_path / "a.jsonl", tmp_path / "lake"
    other = "Nobody knows why the lights went out in the old town. They came back on at noon."
    near = {"id": "copy", "body": f"{TEXT} Really."}
    write(source, {"id": "first", "body": TEXT}, near, {"id": "other", "body": other})

    report, _ = ran(settings(lake, source, near_duplicates=True))

    assert (report.stored, report.rejected) == (2, 1)
    (reject,) = read_rows(report.rejects).to_dict("records")
    assert reject["row"] == 2
    assert reject["reason"].startswith("near duplicate of first (similarity 0.")
    again, _ = ran(settings(lake, source, near_duplicates=True))
    assert (again.stored, again.already_there, again.rejected) == (0, 2, 1)
    assert len(read_rows(report.rejects)) == 1

    write(source, {"id": "first", "body": f"{TEXT} That was corrected."}, near)
    updated, _ = ran(settings(lake, source, near_duplicates=True))

    assert (updated.stored, updated.changed, updated.rejected) == (1, 1, 1)
    assert updated.superseded == 1
    bodies = read_rows(report.articles).set_index("article_id")["body"].to_dict()
    assert bodies == {"first": f"{TEXT} That was corrected.", "other": other}


def test_a_load_publishes_its_report_and_a_profile_of_the_table(tmp_path: Path) -> None:
    source = write(
        tmp_path / "a.jsonl",
        {"id": 1, "body": TEXT, "date": "2020-05-04"},
        {"id": 1, "body": TEXT, "date": "2020-05-04"},
        {"id": 2, "body": f"{TEXT} Again.", "date": "2021-05-04"},
        {"id": 3, "body": ""},
    )

    _, run = ran(settings(tmp_path / "lake", source))

    artifacts = artifacts_of(run)
    assert {"ingest-report", "articles-table", "article-flows-load-progress"} <= set(artifacts)
    row = next(line for line in artifacts["ingest-report"].splitlines() if "a.jsonl" in line)
    assert [cell.strip() for cell in row.split("|")[2:-1]] == ["4", "2", "1", "0", "1"]
    assert "1 × empty body" in artifacts["ingest-report"]
    for words in ("2020", "2021", "en"):
        assert words in artifacts["articles-table"]
    assert f"{2 * len(TEXT) + len(' Again.'):,}" in artifacts["articles-table"]
