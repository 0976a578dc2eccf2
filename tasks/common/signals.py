"""SIGINT, SIGTERM and SIGHUP as a request to end: the first asks for it, the second insists.

Python handles signals in the main thread alone; in any other the blocks here change nothing, and
what they change they put back at their end. A signal that is ignored stays ignored.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    pass

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM has come, and what runs is to end.

    Attributes:
        signal: which of the two.
        again: it came before, and whoever sent it does not want to wait.
    """

    def __init__(self, number: int, *, again: bool = False) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = signal.Signals(number)
        self.again = again


class _Interruptible:
    """The blocks that are entered, and the signal that has ended one of them."""

    def __init__(self) -> None:
        self.blocks = 0
        self.ended_by: signal.Signals | None = None

    def end(self, number: int, frame: FrameType | None = None, *, again: bool = False) -> NoReturn:
        """Handle a signal."""
        if self.blocks:
            self.ended_by = signal.Signals(number)
        raise Interrupted(number, again=again)


_this_process = _Interruptible()


@contextmanager
def interruptible() -> Iterator[None]:
    """In the block, SIGINT and SIGTERM raise Interrupted."""
    with handling(_this_process.end) as handled:
        if not _this_process.blocks:
            _this_process.ended_by = None
        _this_process.blocks += handled
        try:
            yield
        finally:
            _this_process.blocks -= handled


def interrupted_by() -> signal.Signals | None:
    """The signal that has ended an interruptible block, if one has."""
    return _this_process.ended_by


def raise_if_interrupted() -> None:
    """For long work in other threads: raise Interrupted if it was raised in the main thread."""
    if (by := _this_process.ended_by) is not None:
        raise Interrupted(by)


@contextmanager
def handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[bool]:
    """Call a function for SIGINT and SIGTERM, in the block; False in other threads."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = {}
    try:
        for number in SIGNALS if in_main_thread else ():
            # None: set by something that is not Python, which knows why.
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, handler)
        yield in_main_thread
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def end_by_signal(number: int, *, again: bool = False) -> NoReturn:
    """Raise Interrupted for a signal, and remember it as the one that ended the run."""
    _this_process.end(number, again=again)
