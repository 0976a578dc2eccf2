"""Where the command line begins: a signal ends it in one line from the first moment on."""

from __future__ import annotations

import os
import signal
from types import FrameType

from article_flows.flows.cli.exit_status import status_of


def main() -> None:
    """Run the command line; the imports come after the handlers, as they take their time."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    from article_flows.flows.cli.app import main as run

    run()


def _end(number: int, frame: FrameType | None) -> None:
    """Nothing was begun yet, so there is nothing to end in order."""
    by = signal.Signals(number)
    os.write(2, f"article-flows: interrupted by {by.name} before anything was begun\n".encode())
    os._exit(status_of(by))
