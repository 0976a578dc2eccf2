"""What every flow shares: a name for its run, and an end in one line when the user can mend it."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from tasks.errors import BudgetSpent, InterruptedRun, StoppedRun, UserError
from tasks.interruption import Interrupted, interrupted_by, interruptible
from tasks.settings import LakeSettings, run_label

P = ParamSpec("P")
R = TypeVar("R")


def flow_run_label() -> str:
    """The name of a flow run in Prefect's UI, from its settings."""
    settings = flow_run.parameters["settings"]
    return run_label(settings) if isinstance(settings, LakeSettings) else flow_run.flow_name


def tell(line: str) -> None:
    """Say a line to whoever waits for the run: in its log, and in the terminal if there is one."""
    get_run_logger().warning(line)
    if sys.stderr.isatty() or "PREFECT__FLOW_RUN_ID" not in os.environ:
        print(f"article-flows: {line}", file=sys.stderr, flush=True)


def publish(markdown: str, key: str) -> None:
    """Leave a report as an artifact; if Prefect's API is away, only the artifact is missing."""
    try:
        create_markdown_artifact(markdown, key=key)
    except Exception as error:
        get_run_logger().warning("%s is not in the UI: %s", key, error)


def fails_in_one_line(function: Callable[P, R]) -> Callable[P, R]:
    """Turn a UserError into the flow's Failed state with its message.

    A caller that asks for the flow's result gets the UserError itself. A spent budget is no
    failure: the state is Completed and named BudgetSpent, and its result the report. A run that
    SIGINT or SIGTERM has ended is Cancelled, with an InterruptedRun, whatever came of the signal:
    Prefect, for one, loses what a handler raises while it begins a task run.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with interruptible():
                return function(*args, **kwargs)
        except StoppedRun as stopped:
            state = _state_of(stopped)
        except (Exception, Interrupted) as error:
            if (by := interrupted_by()) is not None:
                _cancel_task_runs()
                state = _state_of(InterruptedRun.early(by))
            elif isinstance(error, UserError):
                state = _state_of(error)
            else:
                raise
        # Prefect takes a returned state as the flow's own; the type is that of its result.
        return state  # type: ignore[return-value]

    return wrapped


def _state_of(error: UserError) -> State[Any]:
    """How a flow run ends by an error."""
    match error:
        case BudgetSpent():
            return Completed(name="BudgetSpent", message=str(error), data=error.report)
        case InterruptedRun():
            return Cancelled(message=str(error), data=error)
        case _:
            return Failed(message=str(error), data=error)


def _cancel_task_runs() -> None:
    """Give up the flow run's task runs: its end would wait for them as for those of any other."""
    context = FlowRunContext.get()
    cancel = getattr(context and context.task_runner, "cancel_all", None)
    if cancel is not None:
        cancel()
