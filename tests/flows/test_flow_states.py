"""How a flow run ends in Prefect: by a signal, by what the user can mend, by anything else."""

import signal
from collections.abc import Callable

import pytest
from prefect import flow
from prefect.client.schemas.objects import State

from article_flows.flows.flow_states import user_error_as_failed_state
from article_flows.tasks.common.errors import InterruptedRun, UserError

pytestmark = pytest.mark.usefixtures("prefect_server")


def state_of(function: Callable[[], None]) -> State[None]:
    state: State[None] = flow(name="outcome")(user_error_as_failed_state(function))(
        return_state=True
    )
    return state


def lose_what_the_handler_raised(instead: Exception) -> None:
    """As Prefect's task engine does if a signal comes while it begins a task run."""
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        raise instead


@pytest.mark.parametrize(
    "instead", [ValueError("Task run is not set"), UserError("the lake is away")]
)
def test_a_run_that_a_signal_has_ended_is_cancelled_whatever_came_of_the_signal(
    instead: Exception,
) -> None:
    state = state_of(lambda: lose_what_the_handler_raised(instead))
    assert state.is_cancelled()
    assert "interrupted by SIGTERM" in (state.message or "")
    result = state.result(raise_on_failure=False)
    assert isinstance(result, InterruptedRun)
    assert result.signal is signal.SIGTERM


def test_an_earlier_signal_is_not_the_end_of_a_later_run() -> None:
    assert state_of(lambda: lose_what_the_handler_raised(ValueError("lost"))).is_cancelled()

    def wrong() -> None:
        raise UserError("a.csv: no such file; name another")

    state = state_of(wrong)
    assert state.is_failed()
    assert state.message == "a.csv: no such file; name another"


def test_what_nobody_foresaw_fails_with_what_it_says() -> None:
    def broken() -> None:
        raise ZeroDivisionError("division by zero")

    state = state_of(broken)
    assert state.is_failed()
    assert "ZeroDivisionError: division by zero" in (state.message or "")
