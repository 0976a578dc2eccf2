"""Display the progress of a run: a line in the terminal or the log, and an artifact in the UI."""

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

_TERMINAL_INTERVAL_S = 0.25
_ARTIFACT_INTERVAL_S = 5.0
_LOG_INTERVAL_S = 30.0
_JOIN_TIMEOUT_S = 5.0


class ProgressSource(Protocol):
    """Progress that can be displayed."""

    @property
    def percent(self) -> float:
        """The percentage that is done, 0 to 100."""

    def line(self) -> str:
        """Return the progress as one line of text."""


@contextmanager
def display_progress(progress: ProgressSource, key: str) -> Iterator[None]:
    """Display progress until the block ends.

    Args:
        progress: Read from other threads.
        key: The key of the progress artifact.
    """
    stopping = threading.Event()
    show = _update_terminal if sys.stderr.isatty() else _update_log
    threads = [
        threading.Thread(target=contextvars.copy_context().run, args=call, daemon=True)
        for call in ((_update_artifact, progress, key, stopping), (show, progress, stopping))
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            # With a timeout, because the API may be down.
            thread.join(_JOIN_TIMEOUT_S)


def _update_terminal(progress: ProgressSource, stopping: threading.Event) -> None:
    with Live(console=Console(stderr=True), transient=True, refresh_per_second=8) as live:
        while not stopping.wait(_TERMINAL_INTERVAL_S):
            live.update(Text(progress.line()))


def _update_log(progress: ProgressSource, stopping: threading.Event) -> None:
    logger = get_run_logger()
    while not stopping.wait(_LOG_INTERVAL_S):
        logger.info(progress.line())


def _update_artifact(progress: ProgressSource, key: str, stopping: threading.Event) -> None:
    """Update the progress artifact; errors of Prefect's API are ignored."""
    artifact: UUID | None = None
    interval = 0.0
    while True:
        ended = stopping.wait(interval)
        interval = _ARTIFACT_INTERVAL_S
        with contextlib.suppress(Exception):
            if artifact is None:
                artifact = create_progress_artifact(  # type: ignore[assignment]  # sync here
                    progress.percent, key=key, description=progress.line()
                )
            else:
                update_progress_artifact(artifact, progress.percent, description=progress.line())
        if ended:
            return
