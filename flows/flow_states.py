"""What every flow shares: a name for its run, and an end in one line, with or without an API."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

from prefect import Flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from article_flows.tasks.common.errors import BudgetSpent, InterruptedRun, StoppedRun, UserError
from article_flows.tasks.common.signals import Interrupted, interrupted_by, interruptible
from article_flows.tasks.orchestration.api_outage import absence
from article_flows.tasks.orchestration.sync_calls import publish_markdown
from article_flows.tasks.settings import LakeSettings, run_label

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=LakeSettings)

_ended: dict[str, State[Any]] = {}
"""How the flows' own code has ended in this process, by the names of their functions."""


def state_of(flow: Flow[P, R], *args: P.args, **kwargs: P.kwargs) -> State[R]:
    """Run a flow, and say how it ended, also where Prefect's API is not there to hear it.

    Prefect's engine raises where it cannot begin or end a run without its API. How the flow's own
    code ended counts then; a part of another flow that was not begun goes on within that one.
    """
    name = flow.fn.__name__
    _ended.pop(name, None)
    try:
        return flow(*args, return_state=True, **kwargs)
    except Exception as error:
        if name not in _ended and FlowRunContext.get() is not None:
            get_run_logger().warning("%s goes on without a run of its own: %s", flow.name, error)
            with suppress(Exception):
                flow.fn(*args, **kwargs)
        if name not in _ended:
            raise
        absence.away = True
        return _ended[name]


def flow_run_label() -> str:
    """The name of a flow run in Prefect's UI, from its settings."""
    settings = flow_run.parameters["settings"]
    return run_label(settings) if isinstance(settings, LakeSettings) else flow_run.flow_name


def report_to_log(line: str) -> None:
    """Say a line to whoever waits for the run: in its log, and in the terminal if there is one."""
    get_run_logger().warning(line)
    if sys.stderr.isatty() or "PREFECT__FLOW_RUN_ID" not in os.environ:
        print(f"article-flows: {line}", file=sys.stderr, flush=True)


def publish(markdown: str, key: str) -> None:
    """Leave a report as an artifact; if Prefect's API is away, only the artifact is missing."""
    if not absence.is_over():
        return
    try:
        publish_markdown(markdown, key)
    except Exception as error:
        get_run_logger().warning("%s is not in the UI: %s", key, error)


def user_error_as_failed_state(function: Callable[P, R]) -> Callable[P, R]:
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
                result = function(*args, **kwargs)
        except (Exception, Interrupted) as error:
            meant = _user_error(error)
            state = _state_by(meant or error)
            _take_note(function, state)
            if meant is None:
                raise
            # Prefect takes a returned state as the flow's own; the type is that of its result.
            return state  # type: ignore[return-value]
        _take_note(function, Completed(data=result))
        return result

    return wrapped


def _take_note(function: Callable[..., Any], state: State[Any]) -> None:
    """Keep how a flow's own code has ended; Prefect's engine is told next, if it can be."""
    _ended[function.__name__] = state
    if not absence.away:
        absence.is_over()


def _user_error(error: BaseException) -> UserError | None:
    """What to tell the user; None for what nobody foresaw."""
    if isinstance(error, StoppedRun):
        return error
    if (by := interrupted_by()) is not None:
        _cancel_task_runs()
        return InterruptedRun.early(by)
    return error if isinstance(error, UserError) else None


def _state_by(error: BaseException) -> State[Any]:
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
