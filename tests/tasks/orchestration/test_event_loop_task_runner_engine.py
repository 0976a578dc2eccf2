"""Retries, timeouts, contexts and caching work with both task runners."""

import asyncio
import contextvars
import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from prefect import get_run_logger, tags
from prefect.cache_policies import INPUTS
from prefect.context import TagsContext, TaskRunContext
from prefect.runtime import flow_run
from prefect.transactions import transaction

from tests.tasks.orchestration.task_runner_support import (
    Runner,
    both_runners,
    run_in_flow,
    uncached,
)

pytestmark = pytest.mark.usefixtures("prefect_server", "no_thread_is_left")

user_variable: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="unset")


@both_runners
def test_failed_runs_are_retried(runner: Runner) -> None:
    attempts = []

    @uncached(retries=2, retry_delay_seconds=[0, 0.01])
    async def succeed_on_third_attempt() -> int:
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError("not yet")
        context = TaskRunContext.get()
        assert context is not None
        return context.task_run.run_count

    with runner.duplicate() as started:
        assert started.submit(succeed_on_third_attempt, {}).result() == 3


@pytest.mark.slow
@both_runners
def test_timeouts_names_and_tags_apply(runner: Runner) -> None:
    @uncached(timeout_seconds=0.05)
    async def too_slow() -> None:
        await asyncio.sleep(60)

    @uncached(task_run_name="batch-{number}", tags={"of-task"})
    async def named(number: int) -> tuple[str, set[str]]:
        context = TaskRunContext.get()
        assert context is not None
        return context.task_run.name, set(context.task_run.tags)

    def body() -> Any:
        slow = too_slow.submit()
        slow.wait()
        with tags("of-flow"):
            return slow.state.name, named.submit(7).result()

    assert run_in_flow(runner, body) == ("TimedOut", ("batch-7", {"of-task", "of-flow"}))


@both_runners
def test_tasks_see_the_context_of_their_flow(
    runner: Runner, caplog: pytest.LogCaptureFixture
) -> None:
    def look() -> tuple[Any, ...]:
        get_run_logger().info("hello from a task run")
        seen = user_variable.get(), flow_run.get_id(), TagsContext.get().current_tags
        user_variable.set("set by a task run")
        return seen

    @uncached()
    async def look_async() -> tuple[Any, ...]:
        await asyncio.sleep(0)
        return look()

    look_sync = uncached()(look)

    def body() -> None:
        user_variable.set("set by the flow")
        with tags("tagged"):
            futures = [look_async.submit(), look_sync.submit(), look_async.submit()]
        expected = ("set by the flow", flow_run.get_id(), {"tagged"})
        assert [future.result() for future in futures] == [expected] * 3
        assert user_variable.get() == "set by the flow"

    with caplog.at_level(logging.INFO):
        contextvars.copy_context().run(run_in_flow, runner, body)
    logged = [record for record in caplog.records if record.message == "hello from a task run"]
    assert [record.name for record in logged] == ["prefect.task_runs"] * 3


@both_runners
def test_caching_and_transactions_work(runner: Runner) -> None:
    rolled_back = []

    # The runner is part of the key, because both cases share the cache.
    @uncached(cache_policy=INPUTS, persist_result=True)
    async def costly(key: str) -> str:
        return key.upper()

    costly.on_rollback(lambda _: rolled_back.append("undone"))

    def body() -> tuple[str, str]:
        first = costly.submit(runner.name)
        first.wait()
        second = costly.submit(runner.name)
        assert second.result() == runner.name.upper()
        with suppress(ZeroDivisionError), transaction():
            costly.submit(runner.name + "again").wait()
            raise ZeroDivisionError
        return str(first.state.name), str(second.state.name)

    assert run_in_flow(runner, body) == ("Completed", "Cached")
    assert rolled_back == ["undone"]


@both_runners
def test_sync_generator_tasks_work_and_async_ones_are_rejected(runner: Runner) -> None:
    @uncached()
    def count() -> Iterator[int]:
        yield from range(3)

    @uncached()
    async def count_async() -> Any:
        yield 1

    with runner.duplicate() as started:
        with_items = started.submit(count, {})
        assert list(with_items.result()) == [0, 1, 2]
        unsupported = started.submit(count_async, {})
        with pytest.raises(TypeError, match="await"):
            unsupported.result()
