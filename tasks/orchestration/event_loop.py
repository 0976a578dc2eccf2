"""An event loop in its own thread, and a gate that bounds its jobs; for `EventLoopTaskRunner`."""

import asyncio
import concurrent.futures
import contextvars
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from prefect.context import AsyncClientContext, SyncClientContext
from prefect.logging.loggers import get_logger

if sys.platform == "win32":  # uvloop does not support Windows
    from asyncio import new_event_loop
else:
    from uvloop import new_event_loop

T = TypeVar("T")

GATE_POLL_SECONDS = 1.0

_logger = get_logger("task_runner.eventloop")
_this_thread = threading.local()


def on_event_loop_thread() -> bool:
    """Return whether the calling thread is that of any `EventLoopThread`."""
    return getattr(_this_thread, "runs_event_loop", False)


async def until_done(future: "concurrent.futures.Future[Any]") -> None:
    """Wait until `future` is done, with or without an exception.

    Unlike awaiting `asyncio.wrap_future`, this does not raise the future's exception, and a
    cancelled waiter does not cancel the future.
    """
    wrapped = asyncio.wrap_future(future)
    # asyncio logs exceptions that are never retrieved.
    wrapped.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait([wrapped])


class InFlightGate:
    """A bounded number of slots that `submit` acquires, which gives it back-pressure."""

    def __init__(self, slots: int) -> None:
        self._free = threading.Semaphore(slots)
        self._closed = False

    def acquire(self, while_waiting: Callable[[], None]) -> None:
        """Acquire a slot; block until one is free.

        Args:
            while_waiting: Called every `GATE_POLL_SECONDS`; it aborts the wait by raising.

        Raises:
            RuntimeError: The gate is closed, or was closed while waiting.
        """
        while not self._free.acquire(timeout=GATE_POLL_SECONDS):
            while_waiting()
        if self._closed:
            self.release()  # wakes the next waiting thread
            raise RuntimeError("Task runner is not started")

    def release(self) -> None:
        """Release a slot."""
        self._free.release()

    def close(self) -> None:
        """Close the gate; waiting and later calls of `acquire` raise RuntimeError."""
        self._closed = True
        self.release()


class LoopJob(Protocol):
    """A unit of work for an `EventLoopThread`."""

    def run(self) -> Coroutine[Any, Any, None]:
        """Do the work on the loop; must not raise."""

    def should_cancel(self, now: bool) -> bool:
        """Prepare for the stop of the loop, and return whether to cancel the coroutine.

        Args:
            now: False if work that has started may finish.
        """


class EventLoopThread:
    """An event loop in its own thread, with one Prefect client that its jobs share.

    The loop runs in a copy of the creator's context (`contextvars`), each job in its own.
    """

    def __init__(self) -> None:
        self._jobs: dict[asyncio.Task[None], LoopJob] = {}
        self._lock = threading.Lock()
        self._accepts_jobs = True
        self._serving: concurrent.futures.Future[asyncio.AbstractEventLoop] = (
            concurrent.futures.Future()
        )
        # Unbounded: the gate bounds the jobs, and a job has at most one thread. A bound would
        # deadlock sync tasks that wait for sync tasks they have submitted.
        self._threads = concurrent.futures.ThreadPoolExecutor(
            max_workers=sys.maxsize, thread_name_prefix="EventLoopTaskRunner-worker"
        )
        self._thread = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._main,),
            name="EventLoopTaskRunner",
            daemon=True,
        )
        self._thread.start()
        self._loop = self._serving.result()

    @property
    def is_current(self) -> bool:
        """Whether the calling thread is this loop's."""
        return threading.get_ident() == self._thread.ident

    def start(self, job: LoopJob, context: contextvars.Context) -> None:
        """Run a job on the loop, in the given context.

        Raises:
            RuntimeError: The loop is stopping.
        """
        with self._lock:
            if not self._accepts_jobs:
                raise RuntimeError("Task runner is not started")
            self._loop.call_soon_threadsafe(self._create_task, job, context)

    async def in_thread(self, fn: Callable[[], T]) -> T:
        """Run `fn` in a worker thread, in a copy of the caller's context; cannot be cancelled."""
        future = self._threads.submit(contextvars.copy_context().run, fn)
        await until_done(future)
        return future.result()

    def call_in_thread(self, fn: Callable[[], None]) -> None:
        """Schedule `fn` in a worker thread, and log its exceptions."""

        def call() -> None:
            try:
                fn()
            except Exception:
                _logger.exception("Exception in a callback of a future")

        try:
            self._threads.submit(call)
        except RuntimeError:  # the loop has stopped, so the call blocks no job
            call()

    def stop(self, *, cancel: bool) -> None:
        """Stop the loop once its jobs have ended. Idempotent; returns at once, `join` waits.

        Args:
            cancel: Whether to cancel running jobs instead of letting them finish.
        """
        with self._lock:
            self._accepts_jobs = False
            with suppress(RuntimeError):  # the loop has stopped before
                self._loop.call_soon_threadsafe(self._stop, cancel)

    def join(self) -> None:
        """Wait until all jobs and threads have ended; call `stop` first."""
        try:
            self._thread.join()
        except BaseException:  # KeyboardInterrupt or a flow's timeout must not wait for the jobs
            self.stop(cancel=True)
            self._thread.join()
            raise
        self._threads.shutdown()

    def _main(self) -> None:
        _this_thread.runs_event_loop = True
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            if self._serving.done():
                raise
            self._serving.set_exception(error)

    async def _serve(self) -> None:
        with SyncClientContext.get_or_create() as self._sync_clients:
            async with AsyncClientContext() as self._clients:
                self._stopping = asyncio.Event()
                self._serving.set_result(asyncio.get_running_loop())
                await self._stopping.wait()
                while self._jobs:
                    await asyncio.wait(self._jobs)

    def _create_task(self, job: LoopJob, context: contextvars.Context) -> None:
        context.run(self._share_clients)
        task = self._loop.create_task(job.run(), context=context)
        self._jobs[task] = job
        task.add_done_callback(self._jobs.pop)

    def _share_clients(self) -> None:
        AsyncClientContext.__var__.set(self._clients)
        if SyncClientContext.get() is None:
            SyncClientContext.__var__.set(self._sync_clients)

    def _stop(self, cancel: bool) -> None:
        self._stopping.set()
        # In the next iteration, when each coroutine has started: a coroutine that is cancelled
        # before its start runs no code at all, and would not settle its future.
        self._loop.call_soon(self._cancel_jobs, cancel)

    def _cancel_jobs(self, cancel: bool) -> None:
        for task, job in self._jobs.items():
            if job.should_cancel(now=cancel):
                task.cancel()
