"""How long a run from a terminal waits for Prefect's API when it goes away in the middle.

While the run is at work nothing waits for the API but Prefect's own threads. Prefect's engine
cannot end a run without it, so before that the API is looked for: where it does not answer, each
call is tried once, and what could not be sent by the end of the command is given up.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn

from article_flows.tasks.storage.scratch import remove_scratch

RETRIES = "PREFECT_CLIENT_MAX_RETRIES"

SETTINGS = {RETRIES: "3", "PREFECT_API_REQUEST_TIMEOUT": "10"}
"""Prefect's client settings of a terminal run, unless the environment has others. Prefect's own
let a call wait for ten minutes while the server hangs, and for one while it is gone."""

_LOOK_S = 2.0
_LAST_S = 8.0
"""Seconds in which the API answers if it is there, and that the end of the command waits for it."""


class ApiOutage:
    """Whether Prefect's API is away, as far as this process knows.

    Attributes:
        away: it did not answer when it was last needed.
    """

    def __init__(self) -> None:
        self.away = False
        self._retries: str | None = None

    def heed(self) -> None:
        """Look for the API from now on. Call before Prefect reads its settings anew."""
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        self._retries = os.environ[RETRIES]

    def is_over(self) -> bool:
        """Look for the API, inside a flow; true where nobody heeds its absence, as on a worker."""
        if self._retries is None:
            return True
        away = not _answers()
        if away != self.away:
            self.away = away
            self._try_again("0" if away else self._retries)
        return not away

    def leave(self, status: int) -> NoReturn:
        """Exit, and do not wait for ever for Prefect's threads to reach the API."""
        if self.away:
            ending = threading.Timer(_LAST_S, _exit, [status])
            ending.daemon = True
            ending.start()
        sys.exit(status)

    def _try_again(self, times: str) -> None:
        """Set how often Prefect's clients repeat a call that failed, those at work included."""
        from prefect.context import refresh_global_settings_context

        os.environ[RETRIES] = times
        refresh_global_settings_context()


def _exit(status: int) -> None:
    """Exit at once; Prefect's threads, which are waited for, would keep scratch folders alive."""
    remove_scratch()
    os._exit(status)


absence = ApiOutage()
"""Of the API that this process talks to."""


def _answers() -> bool:
    import httpx
    from prefect.context import SyncClientContext
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        SyncClientContext.get_or_create() as context,
    ):
        try:
            context.client.request("GET", "/health", timeout=_LOOK_S)
        except httpx.HTTPStatusError as error:
            return not error.response.is_server_error
        except (httpx.HTTPError, RuntimeError):
            return False
    return True
