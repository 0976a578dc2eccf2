"""What every flow shares: a name for its run, and an end in one line when the user can mend it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from tasks.errors import BudgetSpent, UserError
from tasks.settings import LakeSettings, run_label

P = ParamSpec("P")
R = TypeVar("R")


def flow_run_label() -> str:
    """The name of a flow run in Prefect's UI, from its settings."""
    settings = flow_run.parameters["settings"]
    return run_label(settings) if isinstance(settings, LakeSettings) else flow_run.flow_name


def publish(markdown: str, key: str) -> None:
    """Leave a report as an artifact; if Prefect's API is away, only the artifact is missing."""
    try:
        create_markdown_artifact(markdown, key=key)
    except Exception as error:
        get_run_logger().warning("%s is not in the UI: %s", key, error)


def fails_in_one_line(function: Callable[P, R]) -> Callable[P, R]:
    """Turn a UserError into the flow's Failed state with its message.

    A caller that asks for the flow's result gets the UserError itself. A spent budget is no
    failure: the state is Completed and named BudgetSpent, and its result the report.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BudgetSpent as spent:
            completed: State[R] = Completed(
                name="BudgetSpent", message=str(spent), data=spent.report
            )
            return completed  # type: ignore[return-value]  # a state, as below
        except UserError as error:
            failed: State[R] = Failed(message=str(error), data=error)
            # Prefect takes a returned state as the flow's own; the type is that of its result.
            return failed  # type: ignore[return-value]

    return wrapped
