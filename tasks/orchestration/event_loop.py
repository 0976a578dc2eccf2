"""One long-lived event loop in a thread of its own, and the gate in front of it."""

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

if sys.platform == "win32":  # uvloop does not exist there
    from asyncio import new_event_loop
else:
    from uvloop import new_event_loop

T = TypeVar("T")

GATE_POLL_SECONDS = 1.0

_logger = get_logger("task_runner.eventloop")
_this_thread = threading.local()


def on_event_loop_thread() -> bool:
    """Tell whether the calling thread is the thread of an `EventLoopThread` (of any of them)."""
    return getattr(_this_thread, "runs_event_loop", False)


async def until_done(future: "concurrent.futures.Future[Any]") -> None:
    """Wait until `future` is done, however it ended.

    Unlike `asyncio.wrap_future`, neither the future's exception nor the waiter's own
    cancellation passes from the one to the other.
    """
    wrapped = asyncio.wrap_future(future)
    # An exception that nobody asks for here would be logged.
    wrapped.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait([wrapped])


class InFlightGate:
    """A bounded number of slots, taken by blocking: what gives `submit` its back-pressure."""

    def __init__(self, slots: int) -> None:
        self._free = threading.Semaphore(slots)
        self._closed = False

    def enter(self, while_waiting: Callable[[], None]) -> None:
        """Take a slot, waiting for one if need be.

        `while_waiting` is called every `GATE_POLL_SECONDS`, and stops the wait by raising. Raises
        RuntimeError if the gate is closed, or closes meanwhile.
        """
        while not self._free.acquire(timeout=GATE_POLL_SECONDS):
            while_waiting()
        if self._closed:
            self.leave()  # wakes the next of those who wait
            raise RuntimeError("Task runner is not started")

    def leave(self) -> None:
        """Give a slot back."""
        self._free.release()

    def close(self) -> None:
        """Let no one in any more; those who wait get a RuntimeError."""
        self._closed = True
        self.leave()


class LoopJob(Protocol):
    """What an `EventLoopThread` runs."""

    def run(self) -> Coroutine[Any, Any, None]:
        """Do the work, on the loop. Raises nothing."""

    def cancelled_by_stop(self, now: bool) -> bool:
        """Take note that the loop is about to stop, and say whether to cancel the coroutine.

        `now` is false if what has begun may run to its end.
        """


class EventLoopThread:
    """An event loop in a thread of its own, with one Prefect client for all that runs on it.

    `contextvars` of the creator (settings, say) are those of the loop; each job brings its own.
    """

    def __init__(self) -> None:
        self._jobs: dict[asyncio.Task[None], LoopJob] = {}
        self._lock = threading.Lock()
        self._intake_open = True
        self._serving: concurrent.futures.Future[asyncio.AbstractEventLoop] = (
            concurrent.futures.Future()
        )
        # Without a bound of its own: a job holds at most one thread, and the gate bounds the jobs.
        # Any bound here would deadlock sync tasks that wait for sync tasks they submitted.
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
        """Run `job` on the loop, in `context`. Raises RuntimeError if the loop is stopping."""
        with self._lock:
            if not self._intake_open:
                raise RuntimeError("Task runner is not started")
            self._loop.call_soon_threadsafe(self._create_task, job, context)

    async def in_thread(self, fn: Callable[[], T]) -> T:
        """Run `fn` in a worker thread, in a copy of the caller's context, always to its end."""
        future = self._threads.submit(contextvars.copy_context().run, fn)
        await until_done(future)
        return future.result()

    def call_in_thread(self, fn: Callable[[], None]) -> None:
        """Call `fn` in a worker thread soon, and log what it raises."""

        def call() -> None:
            try:
                fn()
            except Exception:
                _logger.exception("Exception in a callback of a future")

        try:
            self._threads.submit(call)
        except RuntimeError:  # the loop has stopped: nothing is left that could be held up
            call()

    def stop(self, *, cancel: bool) -> None:
        """Take no more jobs, and let those under way end; with `cancel`, cancel them. Idempotent.

        Returns at once; `join` waits.
        """
        with self._lock:
            self._intake_open = False
            with suppress(RuntimeError):  # the loop is closed: stopped before
                self._loop.call_soon_threadsafe(self._stop, cancel)

    def join(self) -> None:
        """Wait until all jobs have ended and no thread is left; call `stop` first."""
        try:
            self._thread.join()
        except BaseException:  # KeyboardInterrupt, or a flow's timeout: they must not wait
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
        # One turn of the loop later, when each coroutine has begun: one cancelled before that
        # would be thrown away without a word.
        self._loop.call_soon(self._cancel_jobs, cancel)

    def _cancel_jobs(self, cancel: bool) -> None:
        for task, job in self._jobs.items():
            if job.cancelled_by_stop(now=cancel):
                task.cancel()
