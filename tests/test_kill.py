"""A run that is killed, or interrupted, and started again: as if nothing had happened."""

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
from benchmarks.endpoints import MockEndpoint
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
    """An endpoint that takes 0.25 s an answer: 400 of them, 16 at once, take over 6 s."""
    with MockEndpoint(Faults.parse(["latency=fixed:0.25"])) as endpoint:
        yield endpoint


@pytest.fixture
def command(tmp_path: Path, endpoint: MockEndpoint) -> list[str]:
    source = write_articles(tmp_path / "articles.jsonl", ARTICLES)
    return [
        *("run", str(source), "--lake", str(tmp_path / "lake"), "--json"),
        *("--base-url", endpoint.base_url, "--model", "m", "--max-in-flight", str(IN_FLIGHT)),
    ]


def wait_for(there: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.04)


def wait_for_answers(endpoint: MockEndpoint, count: int, process: "subprocess.Popen[str]") -> None:
    wait_for(lambda: endpoint.stats()["answered"] >= count, process)


def assert_all_there_once(told: dict[str, object]) -> None:
    table = read_rows(str(told["table"]))
    assert len(table) == ARTICLES
    assert table["article_id"].nunique() == ARTICLES
    assert table["summary"].notna().all()


def test_interrupted_runs_report_and_keep_what_was_in_flight(
    command: list[str], endpoint: MockEndpoint
) -> None:
    # Early, so that even a machine that stops for seconds has not come to the end by itself.
    for answers, number, status in ((1, signal.SIGINT, 130), (6, signal.SIGTERM, 143)):
        process = start_cli(*command)
        wait_for_answers(endpoint, answers * IN_FLIGHT, process)
        process.send_signal(number)
        assert_reported(process, number, status, endpoint)

    assert_all_there_once(only_json(run_cli(*command)))
    assert endpoint.stats()["answered_twice"] == 0


def test_a_second_signal_does_not_wait_for_what_is_in_flight(tmp_path: Path) -> None:
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


def test_a_signal_while_articles_are_loaded_is_one_clear_line(tmp_path: Path) -> None:
    source = write_articles(tmp_path / "articles.jsonl", 100_000)
    lake = tmp_path / "lake"
    process = start_cli("ingest", source, "--lake", lake)
    wait_for(lambda: any(lake.rglob("*")), process)
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=60)
    said = "article-flows: interrupted by SIGTERM; completed work is kept, run again to continue\n"
    assert (process.returncode, out, errors) == (143, "", said)


def test_run_of_a_deployment_that_is_cancelled_in_the_ui(
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
    told = [state.message or "" for state in states if state.is_cancelled()]
    assert "interrupted by SIGTERM" in told[0], log
    answered = len(read_rows(Path(command[3]) / "summaries"))
    assert answered == endpoint.stats()["answered"] < ARTICLES
    assert f"{answered} answered, {ARTICLES - answered} left" in told[0]
    assert_all_there_once(only_json(run_cli(*command)))
    assert endpoint.stats()["answered_twice"] == 0


def test_the_temporary_server_goes_after_kill_and_outlives_a_signal_to_the_group(
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


def test_ctrl_c_in_a_terminal_spares_the_servers_beside_it(
    command: list[str], endpoint: MockEndpoint
) -> None:
    """Ctrl-C reaches all that a terminal runs; Prefect's own temporary server must outlive it."""
    controller, terminal = pty.openpty()
    process = start_in_terminal(command, terminal)
    os.close(terminal)
    wait_for_answers(endpoint, IN_FLIGHT, process)
    os.write(controller, b"\x03")
    assert_reported(process, signal.SIGINT, 130, endpoint)
    os.close(controller)


def start_in_terminal(command: list[str], terminal: int | None = None) -> "subprocess.Popen[str]":
    """Start the command line where no Prefect server is set, in a session of its own."""

    def own_session() -> None:
        os.setsid()
        if terminal is not None:
            # What is typed there reaches the group.
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
        preexec_fn=own_session,
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
    """A run that was interrupted has told what it did, and took in all that was paid for."""
    out, errors = process.communicate(timeout=120)
    assert process.returncode == status, errors
    told = orjson.loads(out)
    assert told["answered"] + told["reused"] == endpoint.stats()["distinct"] < ARTICLES
    assert told["answered"] + told["reused"] + told["left"] == ARTICLES
    assert told["stopped"].startswith(f"interrupted by {number.name}: ")
    assert errors == f"article-flows: {told['stopped']}\n"
