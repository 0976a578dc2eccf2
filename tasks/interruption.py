"""SIGINT, SIGTERM and SIGHUP as a request to end: the first asks for it, the second insists.

Python handles signals in the main thread alone; in any other the blocks here change nothing, and
what they change they put back at their end. A signal that is ignored stays ignored.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, Self

if TYPE_CHECKING:
    from tasks.llm.gateway import Gateway

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_SAME_S = 0.3
"""Seconds within which a second signal is the first one once more: `timeout` of the coreutils,
for one, sends its signal to the process and then to the group that the process is in."""


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
    with _handled_by(_this_process.end) as handled:
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


class GracefulStop:
    """In the block, the first SIGINT or SIGTERM has a gateway send nothing more.

    It raises nothing then: what is in flight is taken in for a while, and the block ends by
    itself. A second signal raises Interrupted, and so does the first if nothing has been sent.

    Args:
        gateway: its calls.
        grace_s: seconds after which the answers that have not come are given up.

    Attributes:
        signal: what stopped the gateway; None if it has not been a signal.
    """

    def __init__(self, gateway: Gateway, grace_s: float) -> None:
        self.signal: signal.Signals | None = None
        self._gateway = gateway
        self._grace_s = grace_s
        self._first_at: float | None = None
        self._closing: asyncio.Task[None] | None = None
        self._handlers = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._handlers.enter_context(_handled_by(self._on_signal))
        return self

    def __exit__(self, *problem: object) -> None:
        self._handlers.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # Between any two instructions of the main thread: nothing here may take a lock.
        gateway, now = self._gateway, time.monotonic()
        if self._first_at is not None:
            if now - self._first_at < _SAME_S:
                return
            _this_process.end(number, again=True)
        if gateway.totals.first_sent_at is None:
            _this_process.end(number)
        self._first_at = now
        if gateway.stopped is None:
            self.signal = signal.Signals(number)
            gateway.stop(f"interrupted by {self.signal.name}; run again to go on")
        gateway.call_soon(self._give_up_later)

    def _give_up_later(self) -> None:
        asyncio.get_running_loop().call_later(self._grace_s, self._give_up)

    def _give_up(self) -> None:
        self._closing = asyncio.get_running_loop().create_task(self._gateway.close())


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[bool]:
    """Have a function called for SIGINT and SIGTERM, in the block; False in other threads."""
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
