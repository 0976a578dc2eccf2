"""Runs on an `EventLoopTaskRunner` end when it stops, and no thread is left."""

import asyncio
import concurrent.futures
import threading
from contextlib import nullcontext

import pytest

from article_flows.tasks.orchestration.event_loop_task_runner import EventLoopTaskRunner
from tests.tasks.orchestration.task_runner_support import (
    Runner,
    both_runners,
    double,
    echo,
    flow_on,
    never,
    recorded,
    run_in_flow,
    uncached,
)

pytestmark = pytest.mark.usefixtures("prefect_server", "no_thread_is_left")


@both_runners
def test_leaving_normally_lets_started_runs_finish(runner: Runner) -> None:
    started, release = threading.Event(), threading.Event()

    @uncached()
    async def slow() -> str:
        started.set()
        while not release.is_set():
            await asyncio.sleep(0.001)
        return "ended"

    with runner.duplicate() as active_runner:
        running = active_runner.submit(slow, {})
        waiting = active_runner.submit(echo, {"value": running})
        started.wait()
        threading.Timer(0.05, release.set).start()
    assert running.result() == "ended"
    with pytest.raises(asyncio.CancelledError):
        waiting.result()
    assert recorded(waiting.task_run_id, lambda run: run.state_name == "Crashed")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_leaving_by_an_exception_cancels_runs(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    started, ended = threading.Event(), list[str]()

    futures = []

    def submit_and_leave() -> None:
        with EventLoopTaskRunner() as runner:
            futures.append(runner.submit(never, {"started": started, "ended": ended}))
            futures.append(runner.submit(echo, {"value": futures[0]}))
            started.wait()
            raise error

    with pytest.raises(error):
        submit_and_leave()
    assert ended == ["cleaned up"]
    for future in futures:
        with pytest.raises(asyncio.CancelledError):
            future.result()
        assert recorded(future.task_run_id, lambda run: run.state_name == "Crashed")
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_an_interrupted_flow_cancels_its_task_runs() -> None:
    started, ended = threading.Event(), list[str]()
    futures = []

    def body() -> None:
        futures.append(never.submit(started, ended))
        started.wait()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_in_flow(EventLoopTaskRunner(), body)
    assert ended == ["cleaned up"]
    assert recorded(futures[0].task_run_id, lambda run: run.state_name == "Crashed")


async def test_a_cancelled_async_flow_cancels_its_task_runs() -> None:
    started, ended = threading.Event(), list[str]()

    @flow_on(EventLoopTaskRunner())
    async def test_flow() -> None:
        never.submit(started, ended)
        await asyncio.Event().wait()

    running = asyncio.create_task(test_flow())
    await asyncio.to_thread(started.wait)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == ["cleaned up"]


def test_cancel_all_releases_a_blocked_submit() -> None:
    started, ended = threading.Event(), list[str]()
    with (
        concurrent.futures.ThreadPoolExecutor() as threads,
        EventLoopTaskRunner(max_in_flight=1) as runner,
    ):
        running = runner.submit(never, {"started": started, "ended": ended})
        started.wait()
        blocked = threads.submit(runner.submit, double, {"number": 1})
        runner.cancel_all()
        with pytest.raises(RuntimeError, match="not started"):
            blocked.result()
        with pytest.raises(asyncio.CancelledError):
            running.result()
    assert ended == ["cleaned up"]


@pytest.mark.parametrize("is_async", [True, False])
def test_a_run_can_cancel_all(is_async: bool) -> None:
    with EventLoopTaskRunner() as runner:

        @uncached()
        async def give_up_async() -> None:
            runner.cancel_all()
            await asyncio.Event().wait()

        @uncached()
        def give_up() -> str:
            runner.cancel_all()
            return "ended"

        started = threading.Event()
        sibling = runner.submit(never, {"started": started})
        started.wait()
        future = runner.submit(give_up_async if is_async else give_up, {})
        with pytest.raises(asyncio.CancelledError):
            sibling.result()
        with pytest.raises(asyncio.CancelledError) if is_async else nullcontext():
            assert future.result() == "ended"


def test_a_run_submitted_right_before_leaving_finishes() -> None:
    for _ in range(5):
        with EventLoopTaskRunner() as runner:
            future = runner.submit(double, {"number": 5})
        assert future.result() == 10


def test_a_cancelled_future_is_never_run() -> None:
    started = threading.Event()
    ran = []

    @uncached()
    async def hold_the_loop() -> None:
        started.set()
        release.wait()

    @uncached()
    async def note() -> None:
        ran.append(1)

    release = threading.Event()
    with EventLoopTaskRunner() as runner:
        runner.submit(hold_the_loop, {})
        started.wait()
        future = runner.submit(note, {})
        assert future.wrapped_future.cancel()
        release.set()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    assert not ran
