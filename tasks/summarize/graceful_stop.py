"""Stop a run on SIGINT or SIGTERM: gracefully on the first signal, at once on the second."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from types import FrameType
from typing import Self

from article_flows.tasks.common.signals import end_by_signal, handle_signals
from article_flows.tasks.llm.gateway.gateway import Gateway

_DUPLICATE_S = 0.3
"""Seconds within which a second signal is a duplicate of the first. `timeout` of GNU coreutils, for
example, signals its child process and then its process group."""


class GracefulStop:
    """A context manager in which the first SIGINT or SIGTERM stops a gateway.

    The first signal raises nothing: responses in flight are still received for a while, and the
    block ends by itself. A second signal raises Interrupted, as does the first one if no request
    has been sent yet.

    Args:
        gateway: The gateway to stop.
        grace_s: Seconds to wait for responses in flight.

    Attributes:
        signal: The signal that stopped the gateway; None if no signal did.
    """

    def __init__(self, gateway: Gateway, grace_s: float) -> None:
        self.signal: signal.Signals | None = None
        self._gateway = gateway
        self._grace_s = grace_s
        self._first_at: float | None = None
        self._closing: asyncio.Task[None] | None = None
        self._handlers = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._handlers.enter_context(handle_signals(self._on_signal))
        return self

    def __exit__(self, *problem: object) -> None:
        self._handlers.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # A signal handler interrupts the main thread anywhere, so it must not take a lock.
        gateway, now = self._gateway, time.monotonic()
        if self._first_at is not None:
            if now - self._first_at < _DUPLICATE_S:
                return
            end_by_signal(number, again=True)
        if gateway.totals.first_sent_at is None:
            end_by_signal(number)
        self._first_at = now
        if gateway.stopped is None:
            self.signal = signal.Signals(number)
            gateway.stop(f"interrupted by {self.signal.name}; run again to continue")
        gateway.call_soon(self._schedule_close)

    def _schedule_close(self) -> None:
        asyncio.get_running_loop().call_later(self._grace_s, self._close)

    def _close(self) -> None:
        self._closing = asyncio.get_running_loop().create_task(self._gateway.close())
