"""One Prefect server for the whole benchmark, on a temporary database."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

_QUIET = 0.15
_LONGEST_WAIT_S = 180.0


@contextmanager
def prefect_server() -> Iterator[None]:
    """Run a server; PREFECT_API_URL names it to every process started meanwhile."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        # Before Prefect is imported, here and (by inheritance) in the measured processes.
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
    """Wait until the server has worked off the events of the last run, or for three minutes.

    A task run for each article leaves a backlog that would slow down whatever is measured next.
    """
    servers = [child for child in psutil.Process().children(recursive=True) if child.is_running()]
    until = time.monotonic() + _LONGEST_WAIT_S
    while servers and time.monotonic() < until:
        before = _cpu_seconds(servers)
        time.sleep(1)
        if _cpu_seconds(servers) - before < _QUIET:
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
