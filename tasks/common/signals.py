"""Interruption by SIGINT, SIGTERM or SIGHUP: gracefully by the first signal, at once by the second.

Python handles signals only in the main thread; in other threads the context managers here do
nothing. They restore the previous handlers on exit and leave ignored signals ignored.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """One of `SIGNALS` has arrived and the current work must stop.

    Attributes:
        again: Whether it is a repeated signal: stop at once, without waiting for calls in flight.
    """

    def __init__(self, number: int, *, again: bool = False) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = signal.Signals(number)
        self.again = again


class _InterruptibleBlocks:
    """The interruptible blocks that this process is in, and the signal that ended one of them."""

    def __init__(self) -> None:
        self.depth = 0
        self.ended_by: signal.Signals | None = None

    def end(self, number: int, frame: FrameType | None = None, *, again: bool = False) -> NoReturn:
        if self.depth:
            self.ended_by = signal.Signals(number)
        raise Interrupted(number, again=again)


_blocks = _InterruptibleBlocks()


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` within the block when one of `SIGNALS` arrives."""
    with handle_signals(_blocks.end) as is_main_thread:
        if not _blocks.depth:
            _blocks.ended_by = None
        _blocks.depth += is_main_thread
        try:
            yield
        finally:
            _blocks.depth -= is_main_thread


def interrupted_by() -> signal.Signals | None:
    """Return the signal that ended an interruptible block, or None."""
    return _blocks.ended_by


def raise_if_interrupted() -> None:
    """Raise `Interrupted` if a signal has ended an interruptible block.

    Long work in other threads calls this now and then, since signals reach only the main thread.
    """
    if (by := _blocks.ended_by) is not None:
        raise Interrupted(by)


@contextmanager
def handle_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[bool]:
    """Handle `SIGNALS` with a function within the block.

    Yields:
        Whether this is the main thread; in other threads the function is never called.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = {}
    try:
        for number in SIGNALS if in_main_thread else ():
            # None means a handler that was not installed from Python; it must stay.
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, handler)
        yield in_main_thread
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def end_by_signal(number: int, *, again: bool = False) -> NoReturn:
    """Raise `Interrupted`, and record the signal as the one that ended the run."""
    _blocks.end(number, again=again)
