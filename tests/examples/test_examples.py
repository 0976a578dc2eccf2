"""Every example runs unchanged, as a reader would run it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

from tests.support import ROOT, cli_environment

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.slow]

EXAMPLES = ROOT / "examples"
PRINTED = {
    "notebook.py": "empty body",
    "chinese_recipe/run.py": "summary_zh",
    "own_flow.py": "published 5 rows",
    "bucket_lake.py": "10 answered",
}


def test_every_example_is_tested_and_in_the_readme() -> None:
    found = {path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.py")}
    readme = (EXAMPLES / "README.md").read_text()
    assert found == {*PRINTED, "nightly_schedule.py"}
    assert all(f"({name})" in readme for name in found)


@pytest.mark.parametrize("name", PRINTED)
def test_every_example_runs_and_prints_its_result(name: str, tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=tmp_path,
        # A test of the command line in this process may have silenced the console.
        env=cli_environment(PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="INFO"),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=180,
    )
    assert finished.returncode == 0, finished.stdout
    assert PRINTED[name] in finished.stdout
    assert "Traceback" not in finished.stdout


def test_the_schedule_is_served_and_runs(tmp_path: Path) -> None:
    with served("nightly_schedule.py", tmp_path) as process:
        deployment = deployed("article-pipeline/nightly-digest", process)
        run = run_deployment(deployment.id, timeout=120, as_subflow=False)

    (schedule,) = deployment.schedules
    assert getattr(schedule.schedule, "cron", None) == "0 3 * * *"
    assert isinstance(run, FlowRun)
    assert run.state is not None
    assert run.state.is_completed(), run.state
    assert (tmp_path / "lake-nightly" / "current" / "digest").is_dir()


@contextmanager
def served(name: str, folder: Path) -> "Iterator[subprocess.Popen[str]]":
    """Run an example that serves until it is ended."""
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name)],
            cwd=folder,
            env=cli_environment(),
            text=True,
            stdout=log,
            stderr=log,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=60)


def deployed(name: str, process: "subprocess.Popen[str]") -> DeploymentResponse:
    """Wait until the server has a deployment."""
    with get_client(sync_client=True) as client:
        while process.poll() is None:
            try:
                return client.read_deployment_by_name(name)
            except ObjectNotFound:
                time.sleep(0.2)
    raise AssertionError("the example has ended")
