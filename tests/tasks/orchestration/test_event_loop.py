"""Behaviour of `EventLoopTaskRunner` that differs from Prefect's default runner."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.futures import PrefectFuture, as_completed, wait
from prefect.task_runners import ThreadPoolTaskRunner

from article_flows.tasks.orchestration.event_loop_task_runner import EventLoopTaskRunner
from tests.tasks.orchestration.task_runner_support import (
    add,
    double,
    echo,
    fail,
    flow_on,
    never,
    run_in_flow,
    uncached,
)

pytestmark = pytest.mark.usefixtures("prefect_server", "no_thread_is_left")


def test_max_in_flight_must_be_positive() -> None:
    with pytest.raises(ValueError, match="max_in_flight must be at least 1, not 0"):
        EventLoopTaskRunner(0)
    assert EventLoopTaskRunner(2) != EventLoopTaskRunner(3)
    assert EventLoopTaskRunner(2) != ThreadPoolTaskRunner(2)


def test_async_tasks_share_loop_thread_and_client() -> None:
    @uncached()
    async def look(_: int) -> tuple[int, int, int]:
        await asyncio.sleep(0)
        return id(asyncio.get_running_loop()), threading.get_ident(), id(get_client())

    seen = run_in_flow(EventLoopTaskRunner(), lambda: look.map(range(10)).result())
    assert len(set(seen)) == 1
    assert threading.get_ident() not in seen[0]


@pytest.mark.parametrize("is_async", [True, False])
def test_submit_blocks_while_max_in_flight_runs_are_in_flight(is_async: bool) -> None:
    in_flight, peak, ended = 0, 0, 0
    lock = threading.Lock()

    def step(by: int) -> None:
        nonlocal in_flight, peak, ended
        with lock:
            in_flight += by
            peak = max(peak, in_flight)
            ended += by < 0

    # No run passes unless three are in flight.
    barrier, async_barrier = threading.Barrier(3), asyncio.Barrier(3)

    @uncached()
    async def work_async() -> None:
        step(1)
        await async_barrier.wait()
        step(-1)

    @uncached()
    def work() -> None:
        step(1)
        barrier.wait()
        step(-1)

    with EventLoopTaskRunner(max_in_flight=3) as runner:
        for submitted in range(1, 13):
            runner.submit(work_async if is_async else work, {})
            assert submitted - ended <= 3
    assert (peak, ended) == (3, 12)


def test_a_run_releases_its_slot_in_every_final_state() -> None:
    with EventLoopTaskRunner(max_in_flight=1) as runner:
        failed = runner.submit(fail, {})
        not_ready = runner.submit(double, {"number": failed})
        too_slow = never.with_options(timeout_seconds=0.01)
        timed_out = runner.submit(too_slow, {"started": threading.Event()})
        assert runner.submit(double, {"number": 1}).result() == 2
        futures: list[Any] = [failed, not_ready, timed_out]
        wait(futures)
        assert [future.state.name for future in futures] == ["Failed", "NotReady", "TimedOut"]


@pytest.mark.slow
@pytest.mark.parametrize("max_in_flight", [1, 2])
def test_nested_runs_never_wait_for_a_slot(max_in_flight: int) -> None:
    @uncached()
    def blocking_parent(depth: int) -> Any:
        return depth and 1 + int(blocking_parent.submit(depth - 1).result())

    @uncached()
    async def parent(depth: int) -> Any:
        if not depth:
            return 0
        children: Any = parent.map([depth - 1] * 2)
        mapped_in_thread: Any = await asyncio.to_thread(double.map, range(3))
        await mapped_in_thread[2].wait_async()
        return 1 + max([await child.result_async() for child in children])

    def body() -> Any:
        futures = [*parent.map([2, 2]), *blocking_parent.map([2, 2])]
        return [future.result() for future in futures]

    assert run_in_flow(EventLoopTaskRunner(max_in_flight), body) == [2, 2, 2, 2]


@pytest.mark.slow
def test_blocking_on_the_loop_raises_an_error() -> None:
    @uncached()
    async def parent() -> list[str]:
        child: Any = echo.submit(1)
        blockers: list[Callable[[], Any]] = [
            child.result,
            child.wait,
            lambda: list(as_completed([child])),
            lambda: wait([child], timeout=1),
            lambda: echo.submit(1, return_state=True),
        ]
        messages = []
        for block in blockers:
            try:
                block()
            except RuntimeError as error:
                messages.append(str(error))
        await child.wait_async()
        assert (child.result(), child.state.name) == (1, "Completed")
        failing: Any = fail.submit("awaited")
        with pytest.raises(ValueError, match="awaited"):
            await failing.result_async()
        return messages

    messages = run_in_flow(EventLoopTaskRunner(), lambda: parent.submit().result())
    assert len(messages) == 5
    assert all("use `await future.result_async()`" in message for message in messages)


@pytest.mark.slow
def test_a_subflow_in_an_async_task_submits_without_blocking() -> None:
    # The subflow runs on the outer loop, where its upstream runs must still progress.
    @uncached()
    async def slow() -> int:
        await asyncio.sleep(0.2)
        return 40

    @uncached()
    async def parent() -> Any:
        upstream = slow.submit()

        @flow_on(EventLoopTaskRunner(max_in_flight=1))
        async def subflow() -> Any:
            return await add.submit(add.submit(upstream, 1), 1).result_async()

        return await subflow()

    assert run_in_flow(EventLoopTaskRunner(), lambda: parent.submit().result()) == 42


def test_waiting_for_futures_of_other_runners_does_not_block_the_loop() -> None:
    release = threading.Event()

    class ForeignFuture(PrefectFuture[int]):
        """A future without a `concurrent.futures.Future` inside, like those of Dask or Ray."""

        def __init__(self, inner: PrefectFuture[int]) -> None:
            self._inner = inner

        _final_state = property(lambda self: self._inner._final_state)
        task_run_id = property(lambda self: self._inner.task_run_id)
        state = property(lambda self: self._inner.state)

        def wait(self, timeout: float | None = None) -> None:
            self._inner.wait(timeout)

        def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> int:
            return self._inner.result(timeout, raise_on_failure)

        def add_done_callback(self, fn: Callable[[PrefectFuture[int]], None]) -> None:
            self._inner.add_done_callback(fn)

    @uncached()
    def held() -> int:
        release.wait()
        return 3

    other: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner()
    with other, EventLoopTaskRunner() as runner:
        upstream = other.submit(held, {})
        futures = [
            runner.submit(double, {"number": upstream}),
            runner.submit(double, {"number": ForeignFuture(upstream)}),
        ]
        # The loop is not blocked while both wait.
        assert runner.submit(double, {"number": 1}).result() == 2
        release.set()
        assert [future.result() for future in futures] == [6, 6]


def test_a_slow_callback_does_not_block_the_loop() -> None:
    seen = concurrent.futures.Future[int]()
    with EventLoopTaskRunner() as runner:

        def callback(future: PrefectFuture[int]) -> None:
            seen.set_result(future.result() + runner.submit(double, {"number": 2}).result())

        runner.submit(double, {"number": 1}).add_done_callback(callback)
        assert seen.result(timeout=60) == 6


def test_an_exception_in_a_callback_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def raise_error(_: object) -> None:
        raise ValueError("callback failed")

    started, release = threading.Event(), threading.Event()

    @uncached()
    def held() -> None:
        started.set()
        release.wait()

    with EventLoopTaskRunner() as runner:
        runner.submit(held, {}).add_done_callback(raise_error)
        release.set()
    assert "Exception in a callback of a future" in caplog.text
