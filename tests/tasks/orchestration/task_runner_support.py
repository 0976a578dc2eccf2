"""Tasks and helpers that the tests of task runners share."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import TaskRun
from prefect.exceptions import ObjectNotFound
from prefect.task_runners import ThreadPoolTaskRunner

from article_flows.tasks.orchestration.event_loop_task_runner import EventLoopTaskRunner

Runner = Any  # a `TaskRunner`; tasks are Any too, for mypy has an async one return coroutines
both_runners = pytest.mark.parametrize(
    "runner",
    [EventLoopTaskRunner(max_in_flight=4), ThreadPoolTaskRunner()],
    ids=["event-loop", "thread-pool"],
)


def uncached(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a task as `prefect.task` does; each run of it really runs."""
    return task(**{"cache_policy": NO_CACHE, **options})


def flow_on(runner: Runner) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a flow as `prefect.flow` does."""
    return flow(task_runner=runner)


@uncached()
async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


@uncached()
def add(left: int, right: int) -> int:
    return left + right


@uncached()
async def fail(message: str = "no luck") -> None:
    raise ValueError(message)


@uncached()
async def echo(value: Any) -> Any:
    return value


@uncached()
async def never(begun: threading.Event, ended: list[str] | None = None) -> None:
    begun.set()
    try:
        await asyncio.Event().wait()
    finally:
        if ended is not None:
            ended.append("cleaned up")


def run_in_flow(runner: Runner, body: Callable[[], Any]) -> Any:
    """Run `body` as a flow, and return what it returns (not as a flow's result: any type)."""
    returned = []

    @flow_on(runner)
    def test_flow() -> None:
        returned.append(body())

    test_flow()
    return returned[0]


def recorded(task_run_id: UUID, is_recorded: Callable[[TaskRun], bool]) -> TaskRun:
    """Return the task run as the server has it, once the event in question has arrived."""
    deadline = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            with suppress(ObjectNotFound):
                if is_recorded(run := client.read_task_run(task_run_id)):
                    return run
            time.sleep(0.05)
    raise AssertionError("The server never recorded it")
