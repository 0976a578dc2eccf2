"""If Prefect's server dies or hangs during a run, the run still completes, commits and reports."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from article_flows.tasks.checks.verify import verify_lake
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.mock_endpoint.faults import Faults
from article_flows.tasks.summarize.tasks import LLM_TAG
from benchmarks.servers.endpoints import MockEndpoint
from tests.prefect_database import with_database
from tests.support import only_json, read_rows, start_cli, write_articles

pytestmark = pytest.mark.slow

ARTICLES = 600
BIN = Path(sys.executable).parent
OUTAGE_S = 30.0


class Server:
    """A Prefect server that can be killed and restarted on the same port."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it responds."""
        self._process = subprocess.Popen(
            [str(BIN / "prefect"), "server", "start", "--port", str(self.port), "--no-ui"],
            env={**os.environ, "PREFECT_HOME": str(self._home), "PREFECT_API_URL": self.url},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        deadline = time.monotonic() + 120
        while not self._responds():
            assert time.monotonic() < deadline
            time.sleep(0.5)

    def kill(self) -> None:
        """Kill the server and its child processes."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def hang(self) -> None:
        """Suspend the server: it accepts connections but does not respond."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def post(self, path: str, body: Any) -> Any:
        """Call the API."""
        return httpx.post(f"{self.url}{path}", json=body, timeout=30).raise_for_status().json()

    def _responds(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5).is_success
        except httpx.TransportError:
            return False


@pytest.fixture
def server(tmp_path: Path, database: Path) -> Iterator[Server]:
    server = Server(with_database(tmp_path / "prefect", database))
    server.start()
    server.post("/v2/concurrency_limits/", {"name": f"tag:{LLM_TAG}", "limit": 64})
    yield server
    server.kill()


@pytest.fixture
def endpoint() -> Iterator[MockEndpoint]:
    """An endpoint with a latency of 0.5 s: 600 requests, 16 at a time, take 19 s."""
    with MockEndpoint(Faults.parse(["latency=fixed:0.5"])) as endpoint:
        yield endpoint


def start_run(
    tmp_path: Path, server: Server, endpoint: MockEndpoint, in_flight: int
) -> "subprocess.Popen[str]":
    source = write_articles(tmp_path / "articles.jsonl", ARTICLES)
    return start_cli(
        *("run", source, "--lake", tmp_path / "lake", "--json", "--batch-size", "20"),
        *("--base-url", endpoint.base_url, "--model", "m", "--max-in-flight", str(in_flight)),
        PREFECT_API_URL=server.url,
    )


def wait_for_answers(endpoint: MockEndpoint, count: int, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while endpoint.stats()["answered"] < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_end(process: "subprocess.Popen[str]") -> "subprocess.CompletedProcess[str]":
    out, errors = process.communicate(timeout=180)
    return subprocess.CompletedProcess(process.args, process.returncode, out, errors)


def assert_all_answered_once(
    completed: "subprocess.CompletedProcess[str]", endpoint: MockEndpoint
) -> None:
    assert completed.returncode == 0, completed.stderr
    report = only_json(completed)
    table = read_rows(report["table"])
    assert report["answered"] == ARTICLES
    assert len(table) == table["article_id"].nunique() == ARTICLES
    assert table["summary"].notna().all()
    assert endpoint.stats()["answered_twice"] == 0


def test_a_recovered_server_gets_the_final_state(
    tmp_path: Path, server: Server, endpoint: MockEndpoint
) -> None:
    process = start_run(tmp_path, server, endpoint, in_flight=6)
    wait_for_answers(endpoint, ARTICLES // 6, process)
    server.kill()
    time.sleep(OUTAGE_S)
    server.start()
    completed = wait_for_end(process)

    assert_all_answered_once(completed, endpoint)
    states = {run["name"]: run["state_type"] for run in server.post("/flow_runs/filter", {})}
    assert set(states.values()) == {"COMPLETED"}, states


@pytest.mark.parametrize("disable", [Server.kill, Server.hang])
def test_a_run_does_not_wait_for_a_dead_server(
    tmp_path: Path,
    server: Server,
    endpoint: MockEndpoint,
    disable: Callable[[Server], None],
) -> None:
    process = start_run(tmp_path, server, endpoint, in_flight=16)
    wait_for_answers(endpoint, ARTICLES // 3, process)
    disable(server)
    disabled = time.monotonic()
    while endpoint.stats()["answered"] < ARTICLES:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    answered = time.monotonic()
    completed = wait_for_end(process)
    print(
        f"{answered - disabled:.1f} s of requests, {time.monotonic() - answered:.1f} s to the end"
    )

    assert_all_answered_once(completed, endpoint)
    (line,) = completed.stderr.splitlines()
    assert "Prefect" in line
    assert verify_lake(Lake(str(tmp_path / "lake"))).problems == []


def test_a_run_whose_server_dies_during_the_load_still_enriches(
    tmp_path: Path, server: Server, endpoint: MockEndpoint
) -> None:
    with Lake(str(tmp_path / "lake")).locked("articles"):
        process = start_run(tmp_path, server, endpoint, in_flight=64)
        deadline = time.monotonic() + 120
        while not any(run["state_type"] == "RUNNING" for run in loading_runs(server)):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        server.kill()
    completed = wait_for_end(process)

    assert_all_answered_once(completed, endpoint)
    assert completed.stderr.splitlines()[-1].startswith(
        "article-flows: Prefect's API was unavailable"
    )


def loading_runs(server: Server) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = server.post(
        "/flow_runs/filter", {"flows": {"name": {"any_": ["ingest-articles"]}}}
    )
    return runs
