"""The deployments on a real Prefect server: `prefect deploy --all`, then a real worker."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pandas as pd
import pytest
import yaml

from tests.prefect_database import with_database
from tests.support import ROOT

T = TypeVar("T")
BIN = Path(sys.executable).parent
DEPLOYMENTS = ["ingest-articles", "summarize-articles", "article-pipeline"]


class Server:
    """A Prefect server for this test, with its own home, worker and API client."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.home = home
        self.environment = {
            **{name: value for name, value in os.environ.items() if "OPENAI" not in name},
            "HOME": str(home),
            "PREFECT_HOME": str(home / ".prefect"),
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        }
        self.api = httpx.Client(base_url=self.environment["PREFECT_API_URL"], timeout=30)
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> None:
        """Start a command outside the repository; it runs until the end of the test."""
        log = (self.home / f"{'-'.join(command[:3])}.log").open("wb")
        self._processes.append(
            subprocess.Popen(
                [str(BIN / command[0]), *command[1:]],
                env=self.environment,
                cwd=self.home,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        )

    def run(self, *command: str) -> str:
        """Run a command in the repository, as an operator would."""
        return subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            env=self.environment,
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def post(self, path: str, body: dict[str, Any] | list[Any]) -> Any:
        """Call the server's API, and retry while its SQLite is busy, as Prefect's client does."""

        def attempt() -> httpx.Response | None:
            response = self.api.post(path, json=body)
            return None if response.status_code == httpx.codes.SERVICE_UNAVAILABLE else response

        return wait_for(attempt).raise_for_status().json()

    def deployment(self, name: str) -> dict[str, Any]:
        """Return a deployment by its name, which is also the name of its flow."""
        found = self.api.get(f"/deployments/name/{name}/{name}").raise_for_status().json()
        return dict(found)

    def ended_run(self, flow_run_id: str) -> dict[str, Any]:
        """Wait for a flow run to end, and return it."""

        def ended() -> dict[str, Any] | None:
            run = self.api.get(f"/flow_runs/{flow_run_id}").raise_for_status().json()
            return run if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED") else None

        return wait_for(ended)

    def stop(self) -> None:
        """Stop all processes."""
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                # How fast Prefect's worker stops is not under test.
                process.kill()
                process.wait()


def wait_for(probe: Callable[[], T | None], seconds: float = 120) -> T:
    """Poll until a probe returns something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if (result := probe()) is not None:
                return result
        except httpx.ConnectError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"nothing within {seconds} s")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Iterator[Server]:
    """A server with all deployments and a worker, shared by all tests."""
    server = Server(tmp_path_factory.mktemp("operator"))
    with_database(server.home / ".prefect", database)
    try:
        server.start("prefect", "server", "start", "--port", str(server.port), "--no-ui")
        wait_for(lambda: True if server.api.get("/health").is_success else None)
        server.run("article-flows", "bootstrap")
        server.run("prefect", "--no-prompt", "deploy", "--all")
        server.start("prefect", "worker", "start", "--pool", "article-flows")
        yield server
    finally:
        server.stop()


@pytest.mark.slow
def test_bootstrap_creates_pool_and_limit_and_can_be_repeated(server: Server) -> None:
    assert "already exists" in server.run("article-flows", "bootstrap")
    pool = server.api.get("/work_pools/article-flows").raise_for_status().json()
    limit = server.api.get("/concurrency_limits/tag/article-flows-llm").raise_for_status().json()
    assert pool["type"] == "process"
    assert limit["concurrency_limit"] >= 32


@pytest.mark.slow
@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_deployment_runs_once_at_a_time_and_names_no_local_folder(
    server: Server, name: str
) -> None:
    deployment = server.deployment(name)
    assert deployment["global_concurrency_limit"]["limit"] == 1
    assert deployment["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    assert str(ROOT) not in str(deployment)
    schema = deployment["parameter_openapi_schema"]["definitions"]
    properties = next(iter(schema.values()))["properties"]
    assert all(setting["description"] for setting in properties.values())
    positions = [setting["position"] for setting in properties.values()]
    assert len(set(positions)) == len(positions)


@pytest.mark.slow
def test_summarize_is_scheduled_nightly(server: Server) -> None:
    (schedule,) = server.deployment("summarize-articles")["schedules"]
    assert schedule["schedule"]["cron"] == "0 3 * * *"
    assert schedule["active"] is True


@pytest.mark.slow
def test_a_run_with_default_parameters_enriches_the_demo(server: Server) -> None:
    deployment = server.deployment("article-pipeline")
    created = server.post(f"/deployments/{deployment['id']}/create_flow_run", {})

    run = server.ended_run(created["id"])

    assert run["state_type"] == "COMPLETED", run["state"]
    tables = server.home / "article-flows" / "lake" / "summaries"
    assert len(pd.read_parquet(tables)) == 100
    artifacts = server.post("/artifacts/filter", {})
    assert {"pipeline-report", "ingest-report", "summarize-report"} <= {
        artifact["key"] for artifact in artifacts
    }


@pytest.mark.slow
def test_a_scheduled_run_completes(server: Server) -> None:
    deployment = server.deployment("summarize-articles")
    soon = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
    schedule = {"interval": 86_400, "anchor_date": soon, "timezone": "UTC"}
    (created,) = server.post(
        f"/deployments/{deployment['id']}/schedules", [{"schedule": schedule, "active": True}]
    )

    def scheduled() -> dict[str, Any] | None:
        runs = server.post(
            "/flow_runs/filter",
            {
                "deployments": {"id": {"any_": [deployment["id"]]}},
                "sort": "EXPECTED_START_TIME_ASC",
                "limit": 1,
            },
        )
        return runs[0] if runs and runs[0]["start_time"] else None

    try:
        run = server.ended_run(wait_for(scheduled)["id"])
    finally:
        server.api.delete(f"/deployments/{deployment['id']}/schedules/{created['id']}")
    assert run["auto_scheduled"] is True
    assert run["state_type"] == "COMPLETED", run["state"]


def test_prefect_yaml_names_no_local_folder() -> None:
    document = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    assert document["pull"] == []
    assert [each["name"] for each in document["deployments"]] == DEPLOYMENTS
    assert not any("/" in each["entrypoint"] for each in document["deployments"])
