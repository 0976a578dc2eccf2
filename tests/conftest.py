"""What tests share: Prefect's environment (before it is imported), and one test server."""

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator

PREFECT_HOME = tempfile.mkdtemp(prefix="prefect-home-")
os.environ["PREFECT_HOME"] = PREFECT_HOME
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "1"
# A developer's own server must never see the tests' runs.
for variable in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE"):
    os.environ.pop(variable, None)

import pytest  # noqa: E402  # Prefect reads its environment when it is imported, so that is first

from tests.object_store import ObjectStoreServer  # noqa: E402


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have all slow tests with a Prefect server share one worker, and so one server."""
    for item in items:
        is_slow = item.get_closest_marker("slow") is not None
        if is_slow and "prefect_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("prefect_server"))


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """Run a Prefect server on a temporary database, once for the session."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    # Each flow run that ends waits up to a second for the thread that sends its heartbeats.
    no_heartbeats = temporary_settings(updates={PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    with prefect_test_harness(server_startup_timeout=120), no_heartbeats:
        yield


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStoreServer]:
    """Run an S3 server, once for the session; its keys are in the environment meanwhile."""
    with ObjectStoreServer() as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment().items():
            patch.setenv(name, value)
        yield store


@pytest.fixture(autouse=True)
def object_store_recovers(request: pytest.FixtureRequest) -> Iterator[None]:
    """End the faults that a test began in the object store: it is the session's."""
    yield
    if "object_store" in request.fixturenames:
        request.getfixturevalue("object_store").recover()


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    """Fail a test that leaves a thread of an `EventLoopTaskRunner` behind."""
    yield
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("EventLoopTaskRunner")]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have measured and recorded as a figure."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "figure":
                terminalreporter.write_line(value)


def pytest_unconfigure() -> None:
    shutil.rmtree(PREFECT_HOME, ignore_errors=True)
