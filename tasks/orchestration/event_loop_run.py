"""A task run on a shared event loop: its future, and the job that executes it."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeVar, cast
from uuid import UUID

from prefect import Task
from prefect._internal.result_records import ResultRecord
from prefect._internal.uuid7 import uuid7
from prefect.client.schemas.objects import RunInput, State
from prefect.futures import (
    PrefectConcurrentFuture,
    PrefectDistributedFuture,
    PrefectFlowRunFuture,
    PrefectFuture,
)
from prefect.task_engine import AsyncTaskRunEngine, run_task_async, run_task_sync
from prefect.utilities.annotations import quote
from prefect.utilities.collections import StopVisiting, visit_collection

from article_flows.tasks.orchestration.event_loop import EventLoopThread, until_done

R = TypeVar("R")

FOREIGN_FUTURE_POLL_SECONDS = 1.0


class EventLoopFuture(PrefectConcurrentFuture[R]):
    """The future of a task run on an event loop that it shares with other task runs.

    It differs from `PrefectConcurrentFuture` in two respects. Code on the same loop must not block
    on it: there, `wait` and `result` raise RuntimeError if the run has not ended; use
    `await future.wait_async()` or `await future.result_async()`. Callbacks are called in a worker
    thread, so that a slow one does not block the loop.
    """

    def __init__(self, task_run_id: UUID, loop: EventLoopThread) -> None:
        self._loop = loop
        super().__init__(task_run_id, concurrent.futures.Future())

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the task run to end, for at most `timeout` seconds."""
        self._raise_if_blocking_loop()
        super().wait(timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:
        """Wait for the task run to end, and return its result; see `PrefectFuture.result`."""
        self.wait(timeout)
        # Prefect runs a coroutine for each result, even if the result is in memory.
        state = self._final_state
        if state is not None and state.is_completed() and isinstance(state.data, ResultRecord):
            return cast(R, state.data.result)
        return super().result(timeout, raise_on_failure)

    async def wait_async(self) -> None:
        """Wait for the task run to end, without blocking the loop."""
        await until_done(self.wrapped_future)
        super().wait()

    async def result_async(self, raise_on_failure: bool = True) -> R:
        """Wait for the result of the task run without blocking the loop, and return it.

        Raises the same exceptions as `PrefectFuture.result`.
        """
        await self.wait_async()
        return super().result(raise_on_failure=raise_on_failure)

    def add_done_callback(self, fn: Callable[[PrefectFuture[R]], None]) -> None:
        """Call `fn` with this future once the run has ended; at once if it has already."""
        if self.wrapped_future.done():
            fn(self)
        else:
            call = partial(self._loop.call_in_thread, partial(fn, self))
            self.wrapped_future.add_done_callback(lambda _: call())

    def _add_prefect_done_callback(self, fn: Callable[[PrefectFuture[R]], None]) -> None:
        # Prefect's `as_completed` and `wait` register a callback with this, and then block.
        self._raise_if_blocking_loop()
        super()._add_prefect_done_callback(fn)

    def _raise_if_blocking_loop(self) -> None:
        if self._loop.is_current and not self.wrapped_future.done():
            raise RuntimeError(
                f"Waiting for task run {self.task_run_id} would block the event loop it runs on: "
                "use `await future.result_async()` or `await future.wait_async()`"
            )


@dataclass(eq=False)
class TaskRunJob:
    """A submitted task run, which waits for its upstream runs and then executes.

    Attributes:
        on_end: Called when the run has ended, in whatever state.
        cancel_event: Checked by Prefect's engine before each attempt.
        phase: What the run is doing: waiting for upstream runs, or running on the loop or in a
            worker thread.
    """

    task: Task[Any, Any]
    parameters: dict[str, Any]
    wait_for: Iterable[PrefectFuture[Any]] | None
    dependencies: dict[str, set[RunInput]] | None
    loop: EventLoopThread
    on_end: Callable[[], None] | None = None
    task_run_id: UUID = field(default_factory=uuid7)
    cancel_event: threading.Event = field(default_factory=threading.Event)
    phase: Literal["upstream", "loop", "thread"] = "upstream"

    def __post_init__(self) -> None:
        self.future: EventLoopFuture[Any] = EventLoopFuture(self.task_run_id, self.loop)

    def should_cancel(self, now: bool) -> bool:
        """Cancel a run that waits for upstream runs and, if `now`, one that has started."""
        is_cancelled = now or self.phase == "upstream"
        if is_cancelled:
            # A thread cannot be stopped except by this.
            self.cancel_event.set()
        return is_cancelled and self.phase != "thread"

    async def run(self) -> None:
        """Execute the task, and set the future's result or exception."""
        wrapped = self.future.wrapped_future
        try:
            if wrapped.set_running_or_notify_cancel():
                wrapped.set_result(await self._run_engine())
        # Even SystemExit must not escape: it would stop the loop that all task runs share.
        except BaseException as error:
            wrapped.set_exception(error)
        finally:
            if self.on_end is not None:
                self.on_end()

    async def _run_engine(self) -> State[Any] | None:
        try:
            await self._until_upstream_done()
        except asyncio.CancelledError:
            await self._crash()
        call: dict[str, Any] = {
            "task": self.task,
            "task_run_id": self.task_run_id,
            "parameters": self.parameters,
            "wait_for": self.wait_for,
            "return_type": "state",
            "dependencies": self.dependencies,
            "context": {"cancel_event": self.cancel_event},
        }
        if self.task.isasync:
            self.phase = "loop"
            return await run_task_async(**call)
        self.phase = "thread"
        return await self.loop.in_thread(partial(run_task_sync, **call))

    async def _until_upstream_done(self) -> None:
        """Wait for the futures in the inputs, so that the engine does not block on them."""
        for future in futures_in([self.parameters, self.wait_for]):
            if future.task_run_id == self.task_run_id:
                continue  # the engine reports a run that waits for itself
            if isinstance(future, PrefectConcurrentFuture):
                await until_done(future.wrapped_future)
                # Stores the state in the future, so that the engine does not read it from the API.
                with suppress(Exception, asyncio.CancelledError):
                    future.wait()
            elif isinstance(future, PrefectDistributedFuture | PrefectFlowRunFuture):
                with suppress(Exception):  # the engine waits, too, and reports the exception
                    await future.wait_async()
            else:
                await self.loop.in_thread(partial(self._wait_unless_cancelled, future))

    def _wait_unless_cancelled(self, future: PrefectFuture[Any]) -> None:
        with suppress(Exception):
            while not future.state.is_final() and not self.cancel_event.is_set():
                future.wait(timeout=FOREIGN_FUTURE_POLL_SECONDS)

    async def _crash(self) -> None:
        """Report a run that has not started as Crashed, as the engine does for cancelled runs."""
        engine = AsyncTaskRunEngine[Any, Any](
            task=self.task, parameters=self.parameters, wait_for=self.wait_for
        )
        async with engine.initialize_run(self.task_run_id, self.dependencies):
            raise asyncio.CancelledError("Task run cancelled by the task runner")


def futures_in(inputs: Any) -> list[PrefectFuture[Any]]:
    """Return the futures in nested collections, except those inside `quote`."""
    found: list[PrefectFuture[Any]] = []

    def collect(value: Any, context: dict[str, Any]) -> Any:
        if isinstance(context.get("annotation"), quote):
            raise StopVisiting
        if isinstance(value, PrefectFuture):
            found.append(value)
        return value

    visit_collection(inputs, visit_fn=collect, return_data=False, max_depth=-1, context={})
    return found
