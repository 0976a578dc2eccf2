"""The deployments as operators run them: a real server, `prefect deploy --all`, a real worker."""

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

# One server and one worker serve them all.

T = TypeVar("T")
BIN = Path(sys.executable).parent
DEPLOYMENTS = ["ingest-articles", "summarize-articles", "article-pipeline"]


class Server:
    """A Prefect server of the test's own, with a home, a worker and an API client."""

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
        """Start a command that runs until the end of the test, away from the repository."""
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
        """Call the server's API, again while its SQLite is busy, as Prefect's client does."""

        def answer() -> httpx.Response | None:
            response = self.api.post(path, json=body)
            return None if response.status_code == httpx.codes.SERVICE_UNAVAILABLE else response

        return wait_for(answer).raise_for_status().json()

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment by its name, which is also its flow's."""
        found = self.api.get(f"/deployments/name/{name}/{name}").raise_for_status().json()
        return dict(found)

    def ended_run(self, flow_run_id: str) -> dict[str, Any]:
        """Wait until a flow run has ended."""

        def ended() -> dict[str, Any] | None:
            run = self.api.get(f"/flow_runs/{flow_run_id}").raise_for_status().json()
            return run if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED") else None

        return wait_for(ended)

    def stop(self) -> None:
        """End everything that was started."""
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                # How soon Prefect's worker ends is not what is tested here.
                process.kill()
                process.wait()


def wait_for(look: Callable[[], T | None], seconds: float = 120) -> T:
    """Look again and again until there is something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if (found := look()) is not None:
                return found
        except httpx.ConnectError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"nothing within {seconds} s")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Iterator[Server]:
    """A server with everything deployed and a worker that runs it."""
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
def test_bootstrap_creates_pool_and_limit_and_can_be_run_again(server: Server) -> None:
    assert "already exists" in server.run("article-flows", "bootstrap")
    pool = server.api.get("/work_pools/article-flows").raise_for_status().json()
    limit = server.api.get("/concurrency_limits/tag/article-flows-llm").raise_for_status().json()
    assert pool["type"] == "process"
    assert limit["concurrency_limit"] >= 32


@pytest.mark.slow
@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_deployment_is_apart_and_has_no_folder_in_it(server: Server, name: str) -> None:
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
def test_run_with_default_parameters_enriches_the_demo(server: Server) -> None:
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
def test_run_from_a_schedule_completes(server: Server) -> None:
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


def test_prefect_yaml_names_no_folder() -> None:
    document = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    assert document["pull"] == []
    assert [each["name"] for each in document["deployments"]] == DEPLOYMENTS
    assert not any("/" in each["entrypoint"] for each in document["deployments"])
