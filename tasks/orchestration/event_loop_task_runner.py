"""A Prefect task runner that runs all async tasks of a flow run on one event loop.

Prefect's default `ThreadPoolTaskRunner` gives each task run a thread, an event loop and a client
of its own, and starts all of them at once. Here they share one of each, so what tasks share
(connections, limits, caches) can be plain asyncio objects, and `submit` waits while enough is
under way.
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


# Of PrefectFuture, as that is the only type that `flow(task_runner=...)` is annotated to take;
# the futures are PrefectConcurrentFutures.
class EventLoopTaskRunner(TaskRunner[PrefectFuture[Any]]):
    """Runs async tasks on one event loop in one thread, at most `max_in_flight` at a time.

    What differs from `ThreadPoolTaskRunner`, and why:

    - *Back-pressure.* `submit` blocks while `max_in_flight` task runs are under way, so a `map`
      over many inputs never creates all the runs at once. A run holds its slot until it has ended:
      also while it waits for upstream runs (these were submitted before, so they hold theirs or
      have ended, and cannot be waiting for it) and while it sleeps before a retry.
    - *Nested submits never block.* What a task run submits to its own runner, in whatever thread,
      starts at once and takes no slot: were it to wait for one, parents that wait for their
      children would hold all slots for ever. Nor does `submit` block on the loop of any other
      `EventLoopTaskRunner`, where a subflow of an async task runs.
    - *Async flows.* `submit` and `map` block the flow's own loop while they wait, as Prefect's
      `result()` does. Task runs progress in their own thread meanwhile. To keep the flow's loop
      free, write `await asyncio.to_thread(my_task.map, inputs)`.
    - *Async tasks share a loop.* One that blocks, blocks all; see `EventLoopFuture` for how to
      wait for a nested run. Sync tasks run in worker threads, as many as are in flight.
    - *Leaving the `with` block* normally (a flow that returns or fails): runs that have begun end
      as they would, runs that still wait for upstream runs become Crashed. Leaving it by an
      exception (interrupt, termination, a cancelled async flow; any exception if the block is
      yours): runs on the loop are cancelled and become Crashed. No thread is left either way.

    Raises ValueError if `max_in_flight` is less than 1.
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
        """Start a run of `task` as soon as a slot is free, and return its future.

        Raises RuntimeError if the runner is not started, or stops while this waits for a slot.
        """
        loop = self._started_loop()
        job = TaskRunJob(task, parameters, wait_for, dependencies, loop)
        if not (self._inside_own_run() or on_event_loop_thread()):
            self._gate.enter(while_waiting=raise_if_flow_run_suspension_requested)
            job.on_end = self._gate.leave
        context = contextvars.copy_context()
        context.run(_current_runner.set, self)
        loop.start(job, context)
        return job.future

    def cancel_all(self) -> None:
        """Cancel the task runs on the loop, wait for those in threads, and stop.

        Called from one of these runs it does not wait: they include the caller.
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

    __hash__ = None  # type: ignore[assignment]  # equal by configuration, as Prefect's runners are

    def __reduce__(self) -> tuple[Any, ...]:
        # Threads and locks do not travel to another process; the configuration does.
        return type(self), (self._max_in_flight,)

    def _started_loop(self) -> EventLoopThread:
        """Return the loop, which starts with the first submit: many flow runs submit nothing."""
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
    """Keep Prefect from walking into a value in search of futures; the task gets the value."""
    return cast(T, quote(value))
