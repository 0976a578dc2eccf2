"""Limit how long a run from a terminal waits for Prefect's API during an outage.

Prefect's engine calls the API at the end of a run. The flows check the API before that: while it
does not respond, Prefect's clients try each call only once, and what could not be sent when the
command ends is dropped.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn

from article_flows.tasks.storage.scratch import remove_scratch

_MAX_RETRIES = "PREFECT_CLIENT_MAX_RETRIES"

_DEFAULT_SETTINGS = {_MAX_RETRIES: "3", "PREFECT_API_REQUEST_TIMEOUT": "10"}
"""Prefect's client settings for a run from a terminal, unless the environment sets them. With
Prefect's own defaults, a call takes ten minutes if the server hangs, and one if it is down."""

_CHECK_TIMEOUT_S = 2.0

_EXIT_TIMEOUT_S = 8.0
"""Seconds that Prefect's threads have at exit to reach the API."""


class ApiMonitor:
    """A monitor of Prefect's API, which reduces the retries of Prefect's clients in an outage.

    Attributes:
        is_down: Whether the API did not respond when it was last checked.
    """

    def __init__(self) -> None:
        self.is_down = False
        self._retries: str | None = None

    def start_tracking(self) -> None:
        """Start tracking the API. Call this before Prefect reads its settings."""
        for name, value in _DEFAULT_SETTINGS.items():
            os.environ.setdefault(name, value)
        self._retries = os.environ[_MAX_RETRIES]

    def check(self) -> bool:
        """Check the API from inside a flow, and return whether it responds.

        Returns True without a check if the API is not tracked, as on a worker.
        """
        if self._retries is None:
            return True
        is_down = not _api_responds()
        if is_down != self.is_down:
            self.is_down = is_down
            _set_max_retries("0" if is_down else self._retries)
        return not is_down

    def exit(self, status: int) -> NoReturn:
        """Exit the process; during an outage, wait at most 8 seconds for Prefect's threads."""
        if self.is_down:
            timer = threading.Timer(_EXIT_TIMEOUT_S, _exit_now, [status])
            timer.daemon = True
            timer.start()
        sys.exit(status)


api_monitor = ApiMonitor()
"""The monitor of the API that this process uses."""


def _exit_now(status: int) -> None:
    remove_scratch()  # os._exit runs no finalizers
    os._exit(status)


def _set_max_retries(count: str) -> None:
    """Set how often Prefect's clients retry a failed call, including clients already in use."""
    from prefect.context import refresh_global_settings_context

    os.environ[_MAX_RETRIES] = count
    refresh_global_settings_context()


def _api_responds() -> bool:
    import httpx
    from prefect.context import SyncClientContext
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        SyncClientContext.get_or_create() as context,
    ):
        try:
            context.client.request("GET", "/health", timeout=_CHECK_TIMEOUT_S)
        except httpx.HTTPStatusError as error:
            return not error.response.is_server_error
        except (httpx.HTTPError, RuntimeError):
            return False
    return True
