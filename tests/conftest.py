"""Shared fixtures: Prefect's environment (set before it is imported), servers, scheduling."""

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

PREFECT_HOME = tempfile.mkdtemp(prefix="prefect-home-")
os.environ["PREFECT_HOME"] = PREFECT_HOME
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "1"
# The tests' runs must never reach a developer's own server.
for variable in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE"):
    os.environ.pop(variable, None)

# A shell makes its background jobs ignore SIGINT, and their child processes inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402  # Prefect reads the environment above when it is imported
from xdist.scheduler.loadscope import LoadScopeScheduling  # noqa: E402

from tests.object_store import ObjectStoreServer  # noqa: E402

_PREFECT_SERVER_FILES = (
    "tests/benchmarks/test_ways.py",
    "tests/examples/test_examples.py",
    "tests/flows/cli/test_app.py",
    "tests/flows/test_dataframe.py",
    "tests/flows/test_ingest.py",
    "tests/flows/test_ingest_sources.py",
    "tests/flows/test_flow_states.py",
    "tests/flows/test_pipeline.py",
    "tests/flows/test_summarize.py",
    "tests/tasks/summarize/test_endpoint.py",
    "tests/tasks/orchestration/test_event_loop.py",
    "tests/tasks/orchestration/test_event_loop_run.py",
    "tests/tasks/orchestration/test_event_loop_task_runner.py",
    "tests/tasks/orchestration/test_event_loop_task_runner_engine.py",
)
_SHARED = {
    "tests/test_deployments.py": "deployments",
    "tests/test_kill.py": "kill",
    **dict.fromkeys(_PREFECT_SERVER_FILES, "prefect_server"),
}
"""Scheduling groups of files that share a server, since servers are slow to start."""


class BySharedServer(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no annotations
    """Distributes single tests or files, but sends tests that share a server to the same worker.

    xdist's own groups rely on a suffix of the test id, which pytest 9.2 does not pass to xdist.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        default = nodeid if self.config.getvalue("dist") == "loadgroup" else file
        return _SHARED.get(file, default)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Use `BySharedServer` for ``--dist loadgroup`` (slow tests) and ``loadfile`` (fast ones)."""
    is_supported = config.getvalue("dist") in ("loadgroup", "loadfile")
    return BySharedServer(config, log) if is_supported else None


@pytest.fixture(scope="session")
def database(pytestconfig: pytest.Config) -> Path:
    """Return a prepared database for Prefect servers to copy."""
    from tests.prefect_database import prefect_database

    assert pytestconfig.cache is not None
    return prefect_database(pytestconfig.cache.mkdir("prefect-database"))


@pytest.fixture(scope="session")
def prefect_server(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run a Prefect server on a temporary database, once per session."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing import utilities

    from tests.prefect_database import with_database

    # For the temporary servers started by the command line.
    with_database(Path(PREFECT_HOME), database)
    folder = tmp_path_factory.mktemp("prefect-server")
    shutil.copyfile(database, folder / "prefect-test.db")
    # With heartbeats, the end of a flow run waits up to a second for the heartbeat thread.
    no_heartbeats = temporary_settings(updates={PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    with (
        mock.patch.object(utilities, "mkdtemp", return_value=str(folder)),
        utilities.prefect_test_harness(server_startup_timeout=120),
        no_heartbeats,
    ):
        yield


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStoreServer]:
    """Run an S3 server, once per session, with its keys in the environment."""
    with ObjectStoreServer() as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment().items():
            patch.setenv(name, value)
        yield store


@pytest.fixture(autouse=True)
def object_store_recovers(request: pytest.FixtureRequest) -> Iterator[None]:
    """End the faults that a test started in the object store, which the session shares."""
    yield
    if "object_store" in request.fixturenames:
        request.getfixturevalue("object_store").recover()


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    """Fail a test that leaves an `EventLoopTaskRunner` thread behind."""
    yield
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("EventLoopTaskRunner")]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests have recorded."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "figure":
                terminalreporter.write_line(value)


def pytest_unconfigure() -> None:
    shutil.rmtree(PREFECT_HOME, ignore_errors=True)
