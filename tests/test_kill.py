"""A run that is killed or interrupted and started again gives the same result."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import psutil
import pytest
from prefect import get_client
from prefect.states import Cancelling

from article_flows.flows.pipeline import article_pipeline
from article_flows.tasks.mock_endpoint.faults import Faults
from benchmarks.servers.endpoints import MockEndpoint
from tests.support import (
    ROOT,
    cli_environment,
    only_json,
    read_rows,
    run_cli,
    start_cli,
    write_articles,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

BIN = Path(sys.executable).parent
ARTICLES = 400
IN_FLIGHT = 16


@pytest.fixture
def endpoint() -> Iterator[MockEndpoint]:
    """An endpoint with a latency of 0.25 s: 400 requests, 16 at a time, take over 6 s."""
    with MockEndpoint(Faults.parse(["latency=fixed:0.25"])) as endpoint:
        yield endpoint


@pytest.fixture
def command(tmp_path: Path, endpoint: MockEndpoint) -> list[str]:
    source = write_articles(tmp_path / "articles.jsonl", ARTICLES)
    return [
        *("run", str(source), "--lake", str(tmp_path / "lake"), "--json"),
        *("--base-url", endpoint.base_url, "--model", "m", "--max-in-flight", str(IN_FLIGHT)),
    ]


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.04)


def wait_for_answers(endpoint: MockEndpoint, count: int, process: "subprocess.Popen[str]") -> None:
    wait_for(lambda: endpoint.stats()["answered"] >= count, process)


def assert_every_article_once(report: dict[str, object]) -> None:
    table = read_rows(str(report["table"]))
    assert len(table) == ARTICLES
    assert table["article_id"].nunique() == ARTICLES
    assert table["summary"].notna().all()


def test_interrupted_runs_report_and_keep_answers_in_flight(
    command: list[str], endpoint: MockEndpoint
) -> None:
    # Early, so that the run is not over even if the machine stalls for seconds.
    for answers, number, status in ((1, signal.SIGINT, 130), (6, signal.SIGTERM, 143)):
        process = start_cli(*command)
        wait_for_answers(endpoint, answers * IN_FLIGHT, process)
        process.send_signal(number)
        assert_reported(process, number, status, endpoint)

    assert_every_article_once(only_json(run_cli(*command)))
    assert endpoint.stats()["answered_twice"] == 0


def test_a_second_signal_does_not_wait_for_requests_in_flight(tmp_path: Path) -> None:
    source = write_articles(tmp_path / "articles.jsonl", 3)
    with MockEndpoint(Faults.parse(["latency=fixed:600"])) as endpoint:
        process = start_cli(
            *("run", source, "--lake", tmp_path / "lake", "--json", "--timeout-s", "900"),
            *("--base-url", endpoint.base_url, "--model", "m"),
        )
        wait_for(lambda: endpoint.stats()["active"] == 3, process)
        process.send_signal(signal.SIGTERM)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert orjson.loads(out) == {
        "error": "interrupted by SIGTERM; completed work is kept, run again to continue"
    }
    assert errors.count("\n") == 1, errors


def test_a_signal_during_a_load_is_reported_in_one_line(tmp_path: Path) -> None:
    source = write_articles(tmp_path / "articles.jsonl", 100_000)
    lake = tmp_path / "lake"
    process = start_cli("ingest", source, "--lake", lake)
    wait_for(lambda: any(lake.rglob("*")), process)
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=60)
    said = "article-flows: interrupted by SIGTERM; completed work is kept, run again to continue\n"
    assert (process.returncode, out, errors) == (143, "", said)


def test_a_deployment_run_can_be_cancelled_in_the_ui(
    command: list[str], endpoint: MockEndpoint, tmp_path: Path
) -> None:
    settings = {
        **{"sources": [command[1]], "lake": command[3], "max_in_flight": IN_FLIGHT},
        **{"base_url": endpoint.base_url, "model": "m"},
    }
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(article_pipeline)
        deployment_id = client.create_deployment(
            flow_id, "cancelled", entrypoint="article_flows.flows.pipeline.article_pipeline"
        )
        created = client.create_flow_run_from_deployment(
            deployment_id, parameters={"settings": settings}
        )
        process = subprocess.Popen(
            [str(BIN / "prefect"), "flow-run", "execute", str(created.id)],
            env=cli_environment(),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_for_answers(endpoint, IN_FLIGHT, process)
        client.set_flow_run_state(created.id, Cancelling())
        log, _ = process.communicate(timeout=120)
        run = client.read_flow_run(created.id)
        states = client.read_flow_run_states(created.id)

    assert run.state is not None
    assert run.state.is_cancelled(), log
    messages = [state.message or "" for state in states if state.is_cancelled()]
    assert "interrupted by SIGTERM" in messages[0], log
    answered = len(read_rows(Path(command[3]) / "summaries"))
    assert answered == endpoint.stats()["answered"] < ARTICLES
    assert f"{answered} answered, {ARTICLES - answered} left" in messages[0]
    assert_every_article_once(only_json(run_cli(*command)))
    assert endpoint.stats()["answered_twice"] == 0


def test_the_temporary_server_ends_after_a_kill_and_survives_a_signal_to_the_group(
    command: list[str], endpoint: MockEndpoint
) -> None:
    process = start_in_terminal(command)
    wait_for_answers(endpoint, IN_FLIGHT, process)
    (server,) = temporary_servers(process)
    process.kill()
    process.communicate()
    server.wait(timeout=60)  # or raises

    process = start_in_terminal(command)
    wait_for_answers(endpoint, 3 * IN_FLIGHT, process)
    (server,) = temporary_servers(process)
    os.killpg(process.pid, signal.SIGTERM)
    assert_reported(process, signal.SIGTERM, 143, endpoint)
    assert not server.is_running()


def test_ctrl_c_in_a_terminal_does_not_reach_the_temporary_server(
    command: list[str], endpoint: MockEndpoint
) -> None:
    """Ctrl-C reaches all processes of a terminal, but the temporary server must survive it."""
    controller, terminal = pty.openpty()
    process = start_in_terminal(command, terminal)
    os.close(terminal)
    wait_for_answers(endpoint, IN_FLIGHT, process)
    os.write(controller, b"\x03")
    assert_reported(process, signal.SIGINT, 130, endpoint)
    os.close(controller)


def start_in_terminal(command: list[str], terminal: int | None = None) -> "subprocess.Popen[str]":
    """Start the command line in its own session, without a Prefect server configured."""

    def start_session() -> None:
        os.setsid()
        if terminal is not None:
            # Makes it the controlling terminal, whose Ctrl-C reaches the process group.
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    environment = cli_environment()
    del environment["PREFECT_API_URL"]
    return subprocess.Popen(
        [str(BIN / "article-flows"), *command],
        env=environment,
        stdin=terminal or subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=start_session,
    )


def temporary_servers(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    children = psutil.Process(process.pid).children()
    return [
        child
        for child in children
        if "article_flows.tasks.orchestration.temporary_server" in child.cmdline()
    ]


def assert_reported(
    process: "subprocess.Popen[str]",
    number: signal.Signals,
    status: int,
    endpoint: MockEndpoint,
) -> None:
    """Assert that an interrupted run has reported its work, and kept all that was paid for."""
    out, errors = process.communicate(timeout=120)
    assert process.returncode == status, errors
    report = orjson.loads(out)
    assert report["answered"] + report["reused"] == endpoint.stats()["distinct"] < ARTICLES
    assert report["answered"] + report["reused"] + report["left"] == ARTICLES
    assert report["stopped"].startswith(f"interrupted by {number.name}: ")
    assert errors == f"article-flows: {report['stopped']}\n"
