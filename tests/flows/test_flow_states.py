"""The final state of a flow run after a signal, a user error, or an unexpected error."""

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
    """Replace the exception, as Prefect's task engine does when a task run starts."""
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        raise instead


@pytest.mark.parametrize(
    "instead", [ValueError("Task run is not set"), UserError("the lake is unavailable")]
)
def test_a_run_ended_by_a_signal_is_cancelled_even_if_the_exception_is_lost(
    instead: Exception,
) -> None:
    state = state_of(lambda: lose_what_the_handler_raised(instead))
    assert state.is_cancelled()
    assert "interrupted by SIGTERM" in (state.message or "")
    result = state.result(raise_on_failure=False)
    assert isinstance(result, InterruptedRun)
    assert result.signal is signal.SIGTERM


def test_an_earlier_signal_does_not_cancel_a_later_run() -> None:
    assert state_of(lambda: lose_what_the_handler_raised(ValueError("lost"))).is_cancelled()

    def wrong() -> None:
        raise UserError("a.csv: no such file; name another")

    state = state_of(wrong)
    assert state.is_failed()
    assert state.message == "a.csv: no such file; name another"


def test_an_unexpected_error_fails_with_its_message() -> None:
    def broken() -> None:
        raise ZeroDivisionError("division by zero")

    state = state_of(broken)
    assert state.is_failed()
    assert "ZeroDivisionError: division by zero" in (state.message or "")
