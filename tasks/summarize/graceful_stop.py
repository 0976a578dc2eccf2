"""The first signal stops a run gracefully; the second insists."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from types import FrameType
from typing import Self

from article_flows.tasks.common.signals import end_by_signal, handling
from article_flows.tasks.llm.gateway.gateway import Gateway

_SAME_S = 0.3
"""Seconds within which a second signal is the first one once more: `timeout` of the coreutils,
for one, sends its signal to the process and then to the group that the process is in."""


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
        self._handlers.enter_context(handling(self._on_signal))
        return self

    def __exit__(self, *problem: object) -> None:
        self._handlers.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # Between any two instructions of the main thread: nothing here may take a lock.
        gateway, now = self._gateway, time.monotonic()
        if self._first_at is not None:
            if now - self._first_at < _SAME_S:
                return
            end_by_signal(number, again=True)
        if gateway.totals.first_sent_at is None:
            end_by_signal(number)
        self._first_at = now
        if gateway.stopped is None:
            self.signal = signal.Signals(number)
            gateway.stop(f"interrupted by {self.signal.name}; run again to go on")
        gateway.call_soon(self._give_up_later)

    def _give_up_later(self) -> None:
        asyncio.get_running_loop().call_later(self._grace_s, self._give_up)

    def _give_up(self) -> None:
        self._closing = asyncio.get_running_loop().create_task(self._gateway.close())
