"""A run that is killed, or interrupted, and started again: as if nothing had happened."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.llm.embedded_process import EmbeddedEndpoint
from tasks.llm.faults import Faults
from tests.support import cli_environment, only_json, read_rows, run_cli, start_cli, write_articles

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

ARTICLES = 400
IN_FLIGHT = 16


@pytest.fixture
def endpoint() -> Iterator[EmbeddedEndpoint]:
    """An endpoint that takes 0.25 s an answer: 400 of them, 16 at once, take over 6 s."""
    with EmbeddedEndpoint(Faults.parse(["latency=fixed:0.25"])) as endpoint:
        yield endpoint


@pytest.fixture
def command(tmp_path: Path, endpoint: EmbeddedEndpoint) -> list[str]:
    source = write_articles(tmp_path / "articles.jsonl", ARTICLES)
    return [
        *("run", str(source), "--lake", str(tmp_path / "lake"), "--json"),
        *("--base-url", endpoint.base_url, "--model", "m", "--max-in-flight", str(IN_FLIGHT)),
    ]


def wait_for_answers(
    endpoint: EmbeddedEndpoint, count: int, process: "subprocess.Popen[str]"
) -> None:
    deadline = time.monotonic() + 120
    while endpoint.stats()["answered"] < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_all_there_once(told: dict[str, object]) -> None:
    table = read_rows(str(told["table"]))
    assert len(table) == ARTICLES
    assert table["article_id"].nunique() == ARTICLES
    assert table["summary"].notna().all()


def test_killed_twice_and_run_again(
    command: list[str], endpoint: EmbeddedEndpoint, tmp_path: Path
) -> None:
    kills = 0
    for answers in (ARTICLES // 4, ARTICLES // 2):
        process = start_cli(*command)
        wait_for_answers(endpoint, answers, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
    completed = run_cli(*command)

    told = only_json(completed)
    stats = endpoint.stats()
    assert completed.returncode == 0, completed.stderr
    assert told["answered"] + told["reused"] == ARTICLES
    assert_all_there_once(told)
    # What the endpoint had sent and the killed process had not yet written down.
    assert stats["answered_twice"] <= kills * IN_FLIGHT
    assert told["calls"] <= ARTICLES // 2 + IN_FLIGHT
    assert not list((tmp_path / "lake" / "_staging" / "journals").rglob("*.journal"))
    print(f"paid twice after {kills} kills: {stats['answered_twice']} (in flight: {IN_FLIGHT})")


def test_interrupted_run_keeps_what_was_in_flight(
    command: list[str], endpoint: EmbeddedEndpoint
) -> None:
    process = start_cli(*command)
    # Early, so that even a machine that stops for seconds has not come to the end by itself.
    wait_for_answers(endpoint, IN_FLIGHT, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors

    told = only_json(run_cli(*command))
    assert_all_there_once(told)
    assert endpoint.stats()["answered_twice"] == 0


def test_ctrl_c_in_a_terminal_spares_the_servers_beside_it(
    command: list[str], endpoint: EmbeddedEndpoint
) -> None:
    """Ctrl-C reaches all that a terminal runs; Prefect's own temporary server must outlive it."""
    environment = {
        name: value for name, value in cli_environment().items() if name != "PREFECT_API_URL"
    }
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("article-flows")), *command],
        env=environment,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A session of its own whose terminal this is: what is typed there reaches its group.
        preexec_fn=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)),  # type: ignore[func-returns-value]
    )
    os.close(terminal)
    wait_for_answers(endpoint, IN_FLIGHT, process)
    os.write(controller, b"\x03")
    out, errors = process.communicate(timeout=60)
    os.close(controller)

    assert process.returncode == 130
    assert (
        "interrupted"
        in only_json(subprocess.CompletedProcess(command, process.returncode, out, errors))["error"]
    )
    assert errors.count("\n") == 1, errors
    assert_all_there_once(only_json(run_cli(*command)))
    assert endpoint.stats()["answered_twice"] == 0
