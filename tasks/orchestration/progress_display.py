"""Show progress while something runs: a line in the terminal or the log, an artifact in the UI."""

from __future__ import annotations

import contextlib
import contextvars
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger
from rich.console import Console
from rich.live import Live
from rich.text import Text

_LINE_EVERY_S = 0.25
_ARTIFACT_EVERY_S = 5.0
_LOG_EVERY_S = 30.0
_LAST_S = 5.0


class ProgressSource(Protocol):
    """What can be shown."""

    @property
    def percent(self) -> float:
        """Share that is done, 0 to 100."""

    def line(self) -> str:
        """How far it is, for people."""


@contextmanager
def shown(progress: ProgressSource, key: str) -> Iterator[None]:
    """Show progress from threads of its own, until the block ends; ``key`` is the artifact's."""
    ending = threading.Event()
    lines = _show_line if sys.stderr.isatty() else _log_lines
    threads = [
        threading.Thread(target=contextvars.copy_context().run, args=call, daemon=True)
        for call in ((_show_artifact, progress, key, ending), (lines, progress, ending))
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        for thread in threads:
            # The artifact's may wait for an API that is away.
            thread.join(_LAST_S)


def _show_line(progress: ProgressSource, ending: threading.Event) -> None:
    with Live(console=Console(stderr=True), transient=True, refresh_per_second=8) as live:
        while not ending.wait(_LINE_EVERY_S):
            live.update(Text(progress.line()))


def _log_lines(progress: ProgressSource, ending: threading.Event) -> None:
    logger = get_run_logger()
    while not ending.wait(_LOG_EVERY_S):
        logger.info(progress.line())


def _show_artifact(progress: ProgressSource, key: str, ending: threading.Event) -> None:
    """The UI's bar; if Prefect's API is away, only the bar suffers."""
    artifact: UUID | None = None
    pause = 0.0
    while True:
        ended = ending.wait(pause)
        pause = _ARTIFACT_EVERY_S
        with contextlib.suppress(Exception):
            if artifact is None:
                artifact = create_progress_artifact(  # type: ignore[assignment]  # sync here
                    progress.percent, key=key, description=progress.line()
                )
            else:
                update_progress_artifact(artifact, progress.percent, description=progress.line())
        if ended:
            return
