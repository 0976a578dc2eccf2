"""The contract of task runners, tested with `EventLoopTaskRunner` and Prefect's default runner."""

import asyncio
import concurrent.futures
import pickle
import threading
from typing import Any

import pytest
from prefect import allow_failure, unmapped
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, PrefectFutureList, as_completed, wait
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from tests.tasks.orchestration.task_runner_support import (
    Runner,
    add,
    both_runners,
    double,
    echo,
    fail,
    flow_on,
    recorded,
    run_in_flow,
    uncached,
)

pytestmark = pytest.mark.usefixtures("prefect_server", "no_thread_is_left")


@both_runners
def test_map_and_submit_return_results(runner: Runner) -> None:
    def body() -> Any:
        doubled = double.map([1, 2, 3])
        summed = add.map(doubled, unmapped(10))
        return doubled.result(), summed.result(), add.submit(1, right=double.submit(2)).result()

    assert run_in_flow(runner, body) == ([2, 4, 6], [12, 14, 16], 5)


@both_runners
def test_futures_support_as_completed_wait_and_callbacks(runner: Runner) -> None:
    def body() -> None:
        futures = double.map(range(5))
        assert isinstance(futures, PrefectFutureList)
        assert {future.result() for future in as_completed(list(futures))} == {0, 2, 4, 6, 8}
        done, not_done = wait(list(double.map(range(3))), timeout=10)
        assert (len(done), len(not_done)) == (3, 0)
        future = double.submit(4)
        called = concurrent.futures.Future[PrefectFuture[int]]()
        future.add_done_callback(called.set_result)
        assert called.result(timeout=60) is future
        future.wait()
        assert future.state.is_completed()
        assert double.submit(1, return_state=True).result() == 2

    run_in_flow(runner, body)


@both_runners
def test_waiting_for_a_result_can_time_out(runner: Runner) -> None:
    begun, release = threading.Event(), threading.Event()

    @uncached()
    def blocked() -> str:
        begun.set()
        release.wait()
        return "at last"

    with runner.duplicate() as started:
        future = started.submit(blocked, {})
        begun.wait()
        with pytest.raises(TimeoutError):
            future.result(timeout=0.01)
        future.wait(timeout=0.01)
        release.set()
        assert future.result() == "at last"


@both_runners
def test_a_failed_run_does_not_affect_other_runs(runner: Runner) -> None:
    def body() -> None:
        failed, fine = fail.submit("boom"), double.submit(1)
        with pytest.raises(ValueError, match="boom"):
            failed.result()
        assert isinstance(failed.result(raise_on_failure=False), ValueError)
        assert failed.state.is_failed()
        assert fine.result() == 2
        assert double.submit(2).result() == 4

    run_in_flow(runner, body)


@both_runners
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_no_exception_of_a_task_ends_the_runner(runner: Runner, error: BaseException) -> None:
    @uncached()
    async def exit_now() -> None:
        raise error

    with runner.duplicate() as started:
        future = started.submit(exit_now, {})
        with pytest.raises(type(error)):
            future.result()
        assert started.submit(double, {"number": 3}).result() == 6
    assert recorded(future.task_run_id, lambda run: run.state_name == "Crashed")


@both_runners
def test_wait_for_orders_runs(runner: Runner) -> None:
    order = []

    @uncached()
    async def note(name: str, after: Any = None) -> str:
        await asyncio.sleep(0.01 if name == "first" else 0)
        order.append(name)
        return name

    def body() -> Any:
        first = note.submit("first")
        second = note.submit("second", wait_for=[first])
        third = note.submit("third", after={"deep": [second]})
        return note.submit("fourth", after=quote([third]), wait_for=[third]).result()

    run_in_flow(runner, body)
    assert order == ["first", "second", "third", "fourth"]


@both_runners
def test_a_failed_upstream_leaves_downstream_not_ready(runner: Runner) -> None:
    def body() -> list[State[Any]]:
        failed = fail.submit()
        futures = [
            double.submit(1, wait_for=[failed]),
            echo.submit([failed]),
            add.submit(1, failed),
            echo.submit(echo.submit(failed)),
        ]
        wait(futures)
        return [future.state for future in futures]

    states = run_in_flow(runner, body)
    assert [state.name for state in states] == ["NotReady"] * 4
    assert all(state.is_pending() for state in states)


@both_runners
def test_allow_failure_passes_the_exception_on(runner: Runner) -> None:
    def body() -> Any:
        return echo.submit(allow_failure(fail.submit("passed on"))).result()

    assert str(run_in_flow(runner, body)) == "passed on"


@both_runners
def test_dependencies_are_recorded_on_the_server(runner: Runner) -> None:
    def body() -> None:
        upstream = double.map([1])
        downstream = add.map(upstream, unmapped(double.submit(3)), wait_for=[upstream[0]])
        downstream.wait()
        run = recorded(downstream[0].task_run_id, lambda run: run.state_name == "Completed")
        inputs = run.task_inputs
        assert [str(source.id) for source in inputs["wait_for"]] == [str(upstream[0].task_run_id)]  # type: ignore[union-attr]  # of runs, not of parameters
        assert inputs["left"]

    run_in_flow(runner, body)


@both_runners
def test_a_sync_task_can_wait_for_runs_it_submits(runner: Runner) -> None:
    @uncached()
    def parent(number: int) -> Any:
        return sum(double.map([number, number + 1]).result()) + add.submit(1, 1).result()

    assert run_in_flow(runner, lambda: parent.map([1, 2]).result()) == [8, 12]


@pytest.mark.slow
@both_runners
async def test_an_async_flow_can_map_and_submit(runner: Runner) -> None:
    @flow_on(runner)
    async def test_flow() -> Any:
        return double.map(range(12)).result() + add.map([1], [2]).result()

    assert await test_flow() == [*range(0, 24, 2), 3]


@both_runners
def test_a_runner_can_be_restarted_and_rejects_submits_when_not_started(runner: Runner) -> None:
    fresh = runner.duplicate()
    assert fresh == runner
    assert fresh is not runner
    for _ in range(2):
        with pytest.raises(RuntimeError, match="not started"):
            fresh.submit(double, {"number": 1})
        with pytest.raises(RuntimeError, match="must be started"):
            fresh.map(double, {"number": [1]})
        with fresh:
            assert fresh.submit(double, {"number": 1}).result() == 2
            with pytest.raises(RuntimeError, match="already started"):
                fresh.__enter__()


@both_runners
def test_a_runner_can_be_pickled(runner: Runner) -> None:
    assert pickle.loads(pickle.dumps(runner)) == runner
    changed = flow_on(ThreadPoolTaskRunner())(add).with_options(task_runner=runner)
    assert changed.task_runner == runner
