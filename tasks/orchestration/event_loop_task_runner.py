"""A Prefect task runner that runs all async tasks of a flow run on one event loop.

Prefect's default `ThreadPoolTaskRunner` creates a thread, an event loop and a client for each task
run, and starts all runs at once. Here, runs share one of each, so that connections, limits and
caches can be plain asyncio objects, and `submit` blocks while `max_in_flight` runs are in flight.
"""

import contextvars
import threading
from collections.abc import Iterable
from typing import Any, TypeVar, cast

from prefect import Task
from prefect._flow_run_suspension import raise_if_flow_run_suspension_requested
from prefect.client.schemas.objects import RunInput
from prefect.futures import PrefectConcurrentFuture, PrefectFuture
from prefect.task_runners import TaskRunner
from prefect.utilities.annotations import quote

from article_flows.tasks.orchestration.event_loop import (
    EventLoopThread,
    InFlightGate,
    on_event_loop_thread,
)
from article_flows.tasks.orchestration.event_loop_run import TaskRunJob

_current_runner: contextvars.ContextVar["EventLoopTaskRunner"] = contextvars.ContextVar(
    "event-loop-task-runner"
)


# The futures are PrefectConcurrentFutures, but `flow(task_runner=...)` is annotated to accept only
# a TaskRunner[PrefectFuture].
class EventLoopTaskRunner(TaskRunner[PrefectFuture[Any]]):
    """A task runner that runs tasks on one event loop, at most `max_in_flight` at a time.

    It differs from `ThreadPoolTaskRunner` as follows:

    - *Back-pressure.* `submit` blocks while `max_in_flight` task runs are in flight, so a `map`
      over many inputs does not create all runs at once. A run holds its slot until it has ended,
      including while it waits for upstream runs (which were submitted before it, so they cannot be
      waiting for its slot) and while it sleeps before a retry.
    - *Nested submits never block.* A task run that submits to its own runner, from any thread,
      needs no slot: otherwise, parents that wait for their children could hold all slots forever.
      `submit` does not block on the loop of another `EventLoopTaskRunner` either, where the subflow
      of an async task runs.
    - *Async flows.* While `submit` and `map` wait, they block the flow's own loop, as Prefect's
      `result()` does; task runs continue in their own thread. To keep the flow's loop free, use
      `await asyncio.to_thread(my_task.map, inputs)`.
    - *Async tasks share a loop.* A task that blocks it blocks all; see `EventLoopFuture` for how
      to wait for a nested run. Sync tasks run in worker threads.
    - *Leaving the `with` block.* If the flow returns or fails, runs that have started finish, and
      runs that wait for upstream runs become Crashed. On any other exception (an interrupt, a
      termination, a cancelled async flow), and on every exception if you use the runner without a
      flow, runs on the loop are cancelled and become Crashed. No thread is left in either case.

    Args:
        max_in_flight: The maximum number of task runs in flight.

    Raises:
        ValueError: `max_in_flight` is less than 1.

    Example:
        >>> from prefect import flow
        >>> @flow(task_runner=EventLoopTaskRunner(max_in_flight=8))
        ... def my_flow() -> None: ...
    """

    def __init__(self, max_in_flight: int = 32) -> None:
        if max_in_flight < 1:
            raise ValueError(f"max_in_flight must be at least 1, not {max_in_flight}")
        super().__init__()  # type: ignore[no-untyped-call]  # Prefect's has no annotations
        self._max_in_flight = max_in_flight
        self._gate = InFlightGate(max_in_flight)
        self._loop: EventLoopThread | None = None
        self._loop_lock = threading.Lock()

    def duplicate(self) -> "EventLoopTaskRunner":
        """Return a new runner with the same configuration, not started."""
        return type(self)(max_in_flight=self._max_in_flight)

    def submit(
        self,
        task: Task[..., Any],
        parameters: dict[str, Any],
        wait_for: Iterable[PrefectFuture[Any]] | None = None,
        dependencies: dict[str, set[RunInput]] | None = None,
    ) -> PrefectConcurrentFuture[Any]:
        """Start a run of `task` once a slot is free, and return its future.

        Raises:
            RuntimeError: The runner is not started, or was stopped while waiting for a slot.
        """
        loop = self._started_loop()
        job = TaskRunJob(task, parameters, wait_for, dependencies, loop)
        if not (self._inside_own_run() or on_event_loop_thread()):
            self._gate.acquire(while_waiting=raise_if_flow_run_suspension_requested)
            job.on_end = self._gate.release
        context = contextvars.copy_context()
        context.run(_current_runner.set, self)
        loop.start(job, context)
        return job.future

    def cancel_all(self) -> None:
        """Cancel the task runs on the loop, wait for those in threads, and stop.

        It does not wait if a task run of this runner calls it.
        """
        self._stop(cancel=True)

    def __enter__(self) -> "EventLoopTaskRunner":
        super().__enter__()
        self._gate = InFlightGate(self._max_in_flight)
        return self

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        try:
            self._stop(cancel=exc_type is not None)
        finally:
            super().__exit__(exc_type, exc_value, traceback)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EventLoopTaskRunner):
            return NotImplemented
        return self._max_in_flight == other._max_in_flight

    __hash__ = None  # type: ignore[assignment]  # compares configurations, like Prefect's runners

    def __reduce__(self) -> tuple[Any, ...]:
        # Threads and locks cannot be pickled; the configuration can.
        return type(self), (self._max_in_flight,)

    def _started_loop(self) -> EventLoopThread:
        """Return the loop; start it on the first submit, because many flow runs submit nothing."""
        with self._loop_lock:
            if not self._started:
                raise RuntimeError("Task runner is not started")
            if self._loop is None:
                self._loop = EventLoopThread()
            return self._loop

    def _inside_own_run(self) -> bool:
        return _current_runner.get(None) is self

    def _stop(self, *, cancel: bool) -> None:
        self._gate.close()
        loop = self._loop
        if loop is None:
            return
        loop.stop(cancel=cancel)
        if not (self._inside_own_run() or loop.is_current):
            loop.join()
            self._loop = None


T = TypeVar("T")


def untraced(value: T) -> T:
    """Wrap a task argument so that Prefect does not search it for futures; the task gets the value.

    Example:
        >>> untraced([1, 2]).unquote()
        [1, 2]
    """
    return cast(T, quote(value))
