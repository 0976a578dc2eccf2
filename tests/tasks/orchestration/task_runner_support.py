"""Tasks and helpers for tests of task runners."""

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

# A `TaskRunner`. Tasks are Any, too, because mypy types async tasks as returning coroutines.
Runner = Any
both_runners = pytest.mark.parametrize(
    "runner",
    [EventLoopTaskRunner(max_in_flight=4), ThreadPoolTaskRunner()],
    ids=["event-loop", "thread-pool"],
)


def uncached(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a task like `prefect.task`, without caching."""
    return task(**{"cache_policy": NO_CACHE, **options})


def flow_on(runner: Runner) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a flow like `prefect.flow`."""
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
async def never(started: threading.Event, ended: list[str] | None = None) -> None:
    started.set()
    try:
        await asyncio.Event().wait()
    finally:
        if ended is not None:
            ended.append("cleaned up")


def run_in_flow(runner: Runner, body: Callable[[], Any]) -> Any:
    """Run `body` in a flow, and return its result, which can have any type."""
    returned = []

    @flow_on(runner)
    def test_flow() -> None:
        returned.append(body())

    test_flow()
    return returned[0]


def recorded(task_run_id: UUID, is_recorded: Callable[[TaskRun], bool]) -> TaskRun:
    """Wait until the server has recorded an event of a task run, and return the task run."""
    deadline = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            with suppress(ObjectNotFound):
                if is_recorded(run := client.read_task_run(task_run_id)):
                    return run
            time.sleep(0.05)
    raise AssertionError("the server did not record it")
