"""How a flow ends when the user can mend what went wrong: Failed, one line, no traceback."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prefect.client.schemas.objects import State
from prefect.states import Failed

from tasks.errors import UserError

P = ParamSpec("P")
R = TypeVar("R")


def fails_in_one_line(function: Callable[P, R]) -> Callable[P, R]:
    """Turn a UserError into the flow's Failed state with its message.

    A caller that asks for the flow's result gets the UserError itself.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except UserError as error:
            failed: State[R] = Failed(message=str(error), data=error)
            # Prefect takes a returned state as the flow's own; the type is that of its result.
            return failed  # type: ignore[return-value]

    return wrapped
