"""A signal ends the command with one line at any time; a closed pipe is not an error."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT, cli_environment

INTERRUPTED_WHILE_IT_IMPORTS = """
import os, signal, sys, types
cli = types.ModuleType("article_flows.flows.cli.app")
cli.main = lambda: os.kill(os.getpid(), signal.{name})
sys.modules["article_flows.flows.cli.app"] = cli
from article_flows.flows.cli.entry import main
main()
"""
INTERRUPTED_AND_THE_SIGNAL_LOST = """
import signal
from article_flows.flows.cli import app
from article_flows.flows.cli import run_commands
from article_flows.tasks.common.errors import UserError
def ingest(*_, **__):
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        raise {instead}
run_commands.ingest = ingest
app.main(["ingest", "demo"])
"""
COMMAND = str(Path(sys.executable).with_name("article-flows"))


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_during_the_imports_is_one_line(name: str, status: int) -> None:
    program = INTERRUPTED_WHILE_IT_IMPORTS.replace("{name}", name)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert ended.returncode == status
    assert ended.stdout == ""
    assert ended.stderr == f"article-flows: interrupted by {name} before anything was started\n"


@pytest.mark.parametrize(
    "instead", ["UserError('the flow run ended as Failed')", "ValueError('Task run is not set')"]
)
def test_a_signal_whose_exception_is_lost_gives_the_same_line(instead: str) -> None:
    program = INTERRUPTED_AND_THE_SIGNAL_LOST.replace("{instead}", instead)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (ended.returncode, ended.stdout) == (143, "")
    assert ended.stderr == (
        "article-flows: interrupted by SIGTERM; completed work is kept, run again to continue\n"
    )


@pytest.mark.slow
def test_a_closed_output_pipe_is_no_error() -> None:
    with subprocess.Popen(
        [COMMAND, "recipes"], env=cli_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (141, b"")


@pytest.mark.slow
def test_unwritable_output_is_reported_in_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [COMMAND, "recipes"],
            env=cli_environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr == (
        b"article-flows: cannot write to standard output (No space left on device)\n"
    )
