"""How flow runs are named, reported and ended; shared by all flows and the command line."""

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
from article_flows.tasks.orchestration.prefect_api_monitor import api_monitor
from article_flows.tasks.orchestration.sync_calls import publish_markdown
from article_flows.tasks.settings import LakeSettings, run_label

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=LakeSettings)

_final_states: dict[str, State[Any]] = {}
"""The final state of each flow function in this process, recorded before Prefect's engine."""


def run_flow(flow: Flow[P, R], *args: P.args, **kwargs: P.kwargs) -> State[R]:
    """Run a flow and return its final state, even if Prefect's API is unavailable.

    Prefect's engine raises if it cannot start or finish a run without its API. The state that the
    flow's own code reached is returned then. A subflow that could not start runs as part of its
    parent flow.
    """
    name = flow.fn.__name__
    _final_states.pop(name, None)
    try:
        return flow(*args, return_state=True, **kwargs)
    except Exception as error:
        if name not in _final_states and FlowRunContext.get() is not None:
            get_run_logger().warning("%s continues without its own flow run: %s", flow.name, error)
            with suppress(Exception):
                flow.fn(*args, **kwargs)
        if name not in _final_states:
            raise
        api_monitor.is_down = True
        return _final_states[name]


def flow_run_label() -> str:
    """Return the name of the current flow run in Prefect's UI."""
    settings = flow_run.parameters["settings"]
    return run_label(settings) if isinstance(settings, LakeSettings) else flow_run.flow_name


def report_to_log(line: str) -> None:
    """Log a line, and print it if a person may be waiting at a terminal."""
    get_run_logger().warning(line)
    if sys.stderr.isatty() or "PREFECT__FLOW_RUN_ID" not in os.environ:
        print(f"article-flows: {line}", file=sys.stderr, flush=True)


def publish(markdown: str, key: str) -> None:
    """Store a report as an artifact; skip it if Prefect's API is unavailable."""
    if not api_monitor.check():
        return
    try:
        publish_markdown(markdown, key)
    except Exception as error:
        get_run_logger().warning("cannot store the artifact %s: %s", key, error)


def user_error_as_failed_state(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a flow function so that a UserError becomes a Failed state with its message.

    The result of that state is the UserError. A spent budget is not a failure: the state is
    Completed, named BudgetSpent, and its result is the report. A run ended by SIGINT, SIGTERM or
    SIGHUP is Cancelled with an InterruptedRun, whatever exception arrives here: Prefect, for one,
    drops an exception that a signal handler raises while a task run starts.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with interruptible():
                result = function(*args, **kwargs)
        except (Exception, Interrupted) as error:
            user_error = _user_error(error)
            state = _state_for(user_error or error)
            _record(function, state)
            if user_error is None:
                raise
            # Prefect uses a returned state as the flow's own.
            return state  # type: ignore[return-value]
        _record(function, Completed(data=result))
        return result

    return wrapped


def _record(function: Callable[..., Any], state: State[Any]) -> None:
    """Remember a final state, and check for an API outage before the engine needs the API."""
    _final_states[function.__name__] = state
    if not api_monitor.is_down:
        api_monitor.check()


def _user_error(error: BaseException) -> UserError | None:
    if isinstance(error, StoppedRun):
        return error
    if (received := interrupted_by()) is not None:
        _cancel_task_runs()
        return InterruptedRun.early(received)
    return error if isinstance(error, UserError) else None


def _state_for(error: BaseException) -> State[Any]:
    match error:
        case BudgetSpent():
            return Completed(name="BudgetSpent", message=str(error), data=error.report)
        case InterruptedRun():
            return Cancelled(message=str(error), data=error)
        case _:
            return Failed(message=str(error), data=error)


def _cancel_task_runs() -> None:
    """Cancel the flow run's task runs; the flow run would wait for them to finish otherwise."""
    context = FlowRunContext.get()
    cancel = getattr(context and context.task_runner, "cancel_all", None)
    if cancel is not None:
        cancel()
