"""A task run on a shared event loop: its future, and the job that runs it."""

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
    """The future of a task run on an event loop that many task runs share.

    It is a `PrefectConcurrentFuture` in every respect but two. Code on that very loop must not
    block on it: `wait` and `result` raise RuntimeError there if the run has not ended, and
    `await future.wait_async()` and `await future.result_async()` are the way to go. And callbacks
    are called in a worker thread, so that a slow one does not hold up the loop.
    """

    def __init__(self, task_run_id: UUID, loop: EventLoopThread) -> None:
        self._loop = loop
        super().__init__(task_run_id, concurrent.futures.Future())

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the task run to end; at most `timeout` seconds."""
        self._refuse_to_block_the_loop()
        super().wait(timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:
        """Wait for the task run to end, and return its result; see `PrefectFuture.result`."""
        self.wait(timeout)
        # Prefect starts a coroutine for each result; one that is in memory needs none.
        state = self._final_state
        if state is not None and state.is_completed() and isinstance(state.data, ResultRecord):
            return cast(R, state.data.result)
        return super().result(timeout, raise_on_failure)

    async def wait_async(self) -> None:
        """Wait for the task run to end, without blocking the loop."""
        await until_done(self.wrapped_future)
        super().wait()

    async def result_async(self, raise_on_failure: bool = True) -> R:
        """Return the task run's result when it has ended, without blocking the loop.

        Raises what `PrefectFuture.result` raises.
        """
        await self.wait_async()
        return super().result(raise_on_failure=raise_on_failure)

    def add_done_callback(self, fn: Callable[[PrefectFuture[R]], None]) -> None:
        """Have `fn` called with this future when the run has ended; at once if it has."""
        if self.wrapped_future.done():
            fn(self)
        else:
            call = partial(self._loop.call_in_thread, partial(fn, self))
            self.wrapped_future.add_done_callback(lambda _: call())

    def _add_prefect_done_callback(self, fn: Callable[[PrefectFuture[R]], None]) -> None:
        # Prefect's `as_completed` and `wait` register with this, and then block.
        self._refuse_to_block_the_loop()
        super()._add_prefect_done_callback(fn)

    def _refuse_to_block_the_loop(self) -> None:
        if self._loop.is_current and not self.wrapped_future.done():
            raise RuntimeError(
                f"Waiting for task run {self.task_run_id} would block the event loop it runs on: "
                "use `await future.result_async()` or `await future.wait_async()`"
            )


@dataclass(eq=False)
class TaskRunJob:
    """One submitted task run: waits for what it depends on, then runs."""

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

    def cancelled_by_stop(self, now: bool) -> bool:
        """Give up a run that waits for others, and (`now`) one that has begun; see `Job`."""
        gives_up = now or self.phase == "upstream"
        if gives_up:
            # The engine looks at it before each attempt; a thread cannot be stopped otherwise.
            self.cancel_event.set()
        return gives_up and self.phase != "thread"

    async def run(self) -> None:
        """Run the task and settle the future, with the exception if the engine raises one."""
        wrapped = self.future.wrapped_future
        try:
            if wrapped.set_running_or_notify_cancel():
                wrapped.set_result(await self._run_engine())
        # Not even SystemExit may leave the coroutine: it would end the loop of all task runs.
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
        """Wait for the futures among the inputs, so that the engine finds them done."""
        for future in futures_in([self.parameters, self.wait_for]):
            if future.task_run_id == self.task_run_id:
                continue  # the engine raises a good error for that
            if isinstance(future, PrefectConcurrentFuture):
                await until_done(future.wrapped_future)
                # Has the future keep its state, or the engine would ask the API for it.
                with suppress(Exception, asyncio.CancelledError):
                    future.wait()
            elif isinstance(future, PrefectDistributedFuture | PrefectFlowRunFuture):
                with suppress(Exception):  # the engine waits too, and raises it in a run
                    await future.wait_async()
            else:
                await self.loop.in_thread(partial(self._wait_unless_cancelled, future))

    def _wait_unless_cancelled(self, future: PrefectFuture[Any]) -> None:
        with suppress(Exception):
            while not future.state.is_final() and not self.cancel_event.is_set():
                future.wait(timeout=FOREIGN_FUTURE_POLL_SECONDS)

    async def _crash(self) -> None:
        """Record a run that had not begun as Crashed, as the engine does with a cancelled one."""
        engine = AsyncTaskRunEngine[Any, Any](
            task=self.task, parameters=self.parameters, wait_for=self.wait_for
        )
        async with engine.initialize_run(self.task_run_id, self.dependencies):
            raise asyncio.CancelledError("Task run cancelled by the task runner")


def futures_in(inputs: Any) -> list[PrefectFuture[Any]]:
    """Return the futures in nested collections, those inside `quote` excepted."""
    found: list[PrefectFuture[Any]] = []

    def collect(value: Any, context: dict[str, Any]) -> Any:
        if isinstance(context.get("annotation"), quote):
            raise StopVisiting
        if isinstance(value, PrefectFuture):
            found.append(value)
        return value

    visit_collection(inputs, visit_fn=collect, return_data=False, max_depth=-1, context={})
    return found
