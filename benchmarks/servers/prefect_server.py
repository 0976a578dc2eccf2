"""Run one Prefect server with a temporary database for the whole benchmark."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

_QUIET_CPU_S = 0.15
"""CPU seconds per second below which the server counts as idle."""
_WAIT_TIMEOUT_S = 180.0


@contextmanager
def prefect_server() -> Iterator[None]:
    """Run a Prefect server and set PREFECT_API_URL for all child processes."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        # Must be set before Prefect is imported, here and in the measured processes.
        os.environ |= {
            "PREFECT_HOME": home,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        }
        for name in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE"):
            os.environ.pop(name, None)
        from prefect.settings import get_current_settings
        from prefect.testing.utilities import prefect_test_harness

        with prefect_test_harness(server_startup_timeout=120):
            os.environ["PREFECT_API_URL"] = str(get_current_settings().api.url)
            yield


def wait_until_quiet() -> None:
    """Wait until the server has processed the events of the last run, at most three minutes.

    A way with one task run per article leaves a backlog that would slow down the next measurement.
    """
    servers = [child for child in psutil.Process().children(recursive=True) if child.is_running()]
    deadline = time.monotonic() + _WAIT_TIMEOUT_S
    while servers and time.monotonic() < deadline:
        before = _cpu_seconds(servers)
        time.sleep(1)
        if _cpu_seconds(servers) - before < _QUIET_CPU_S:
            return


def _cpu_seconds(processes: list[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total
