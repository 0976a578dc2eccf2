import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from article_flows.tasks.mock_endpoint.faults import Faults
from benchmarks.servers.endpoints import MockEndpoint
from tests.tasks.mock_endpoint.mock_support import ARTICLE, STRUCTURED, chat, post

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-m", "article_flows.tasks.mock_endpoint")
PARENT = """
import time
from article_flows.tasks.mock_endpoint.process import running_mock_endpoint
with running_mock_endpoint() as base_url:
    print(base_url, flush=True)
    time.sleep(600)
"""


def process_at(base_url: str) -> psutil.Process:
    """Return the child process that listens on this URL."""
    port = int(base_url.removesuffix("/v1").rpartition(":")[2])
    children = psutil.Process().children(recursive=True)
    (found,) = (
        child
        for child in children
        if any(each.laddr.port == port for each in child.net_connections("tcp4"))
    )
    return found


def has_ended(process: psutil.Process, seconds: float = 20) -> bool:
    """Wait for any process to end."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_the_child_process_serves_and_ends() -> None:
    with MockEndpoint() as endpoint:
        process = process_at(endpoint.base_url)
        status, answer = post(endpoint.base_url, chat())
        post(endpoint.base_url, chat())
        stats = endpoint.stats()
        counts = endpoint.prompt_counts()
        endpoint.reset_stats()
        after = endpoint.stats()
    assert status == 200
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert (stats["answered"], stats["distinct"], stats["answered_twice"]) == (2, 1, 1)
    assert list(counts.values()) == [2]
    assert after["calls"] == 0
    assert not process.is_running()
    endpoint.stop()


def test_two_processes_with_the_same_seed_answer_and_misbehave_alike() -> None:
    faults = Faults.parse(["http_500=0.3", "empty=0.2"], seed=11)

    def run() -> list[tuple[int, str]]:
        with MockEndpoint(faults) as endpoint:
            bodies = [chat(f"{n} {ARTICLE}", response_format=STRUCTURED) for n in range(30)]
            replies = [post(endpoint.base_url, body) for body in bodies]
        return [
            (status, answer["choices"][0]["message"]["content"] if status == 200 else "")
            for status, answer in replies
        ]

    first = run()
    assert first == run()
    assert {status for status, _ in first} == {200, 500}


def test_the_key_reaches_the_child_but_not_its_command_line() -> None:
    with MockEndpoint(api_key="sk-secret", strict_model=True) as endpoint:
        rejected, _ = post(endpoint.base_url, chat())
        status, _ = post(endpoint.base_url, chat(), "sk-secret")
        unknown, _ = post(endpoint.base_url, chat(model="gpt-x"), "sk-secret")
        command = process_at(endpoint.base_url).cmdline()
    assert (rejected, status, unknown) == (401, 200, 404)
    assert not any("sk-secret" in part for part in command)


def test_the_error_for_a_port_in_use_contains_the_childs_output() -> None:
    with (
        MockEndpoint() as first,
        pytest.raises(RuntimeError, match=rf"cannot listen on 127\.0\.0\.1:{first.port}"),
    ):
        MockEndpoint(port=first.port).start()


def test_the_child_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert parent.stdout is not None
    with parent.stdout:
        child = process_at(parent.stdout.readline().decode().strip())
        parent.kill()
        parent.wait()
    assert has_ended(child)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_on_the_command_line_it_prints_its_url_and_ends_on_a_signal(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "article_flows.tasks.mock_endpoint",
            "--port",
            "0",
            "--fault",
            "latency=none",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    status, _ = post(line.split()[0], chat())
    process.send_signal(number)
    rest, errors = process.communicate(timeout=20)
    assert status == 200
    assert "extractive-v1" in line
    assert "not a language model" in line
    assert (process.returncode, rest, errors) == (0, "", "")


def test_an_unknown_fault_is_a_one_line_error() -> None:
    finished = subprocess.run(
        [*COMMAND, "--fault", "http_501=1"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr.startswith("mock endpoint: unknown fault 'http_501=1'")
    assert finished.stderr.count("\n") == 1
