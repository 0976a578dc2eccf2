"""The entry point of `article-flows`: handles signals before the slow imports begin."""

from __future__ import annotations

import os
import signal
from types import FrameType

from article_flows.flows.cli.exit_status import status_of_signal


def main() -> None:
    """Install signal handlers, then import and run the command line."""
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signal_number) is not signal.SIG_IGN:
            signal.signal(signal_number, _exit)
    from article_flows.flows.cli.app import main as run_command_line

    run_command_line()


def _exit(signal_number: int, frame: FrameType | None) -> None:
    """Exit at once: no work has started that would need cleaning up."""
    received = signal.Signals(signal_number)
    line = f"article-flows: interrupted by {received.name} before anything was started\n"
    os.write(2, line.encode())
    os._exit(status_of_signal(received))
