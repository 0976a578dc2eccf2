"""A budget is never exceeded, and almost all of it is used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.llm.gateway.gateway import Gateway
from article_flows.tasks.llm.limits.budget import Budget
from article_flows.tasks.llm.protocol.chat import NO_USAGE, Usage
from article_flows.tasks.llm.protocol.request import Request
from article_flows.tasks.llm.protocol.results import Answer, RunStopped
from article_flows.tasks.mock_endpoint.faults import Faults
from tests.tasks.llm.gateway.gateway_support import (
    FAST,
    PRICE,
    TEMPLATE,
    NoReceiver,
    OneResult,
    article,
    ending,
    endings,
    gateway_to,
    of_kind,
    over_http,
    plain,
    stats_of,
)
from tests.tasks.mock_endpoint.mock_support import running_endpoint


def request_for(text: str = "x") -> Request:
    return Request(TEMPLATE, text, plain, NoReceiver())


async def billed(url: str) -> float:
    """Return US dollars by the endpoint's own count."""
    stats = await stats_of(url)
    return PRICE.cost(Usage(stats["billed_prompt_tokens"], 0, stats["billed_completion_tokens"]))


@pytest.mark.parametrize(
    "faults",
    [
        Faults(latency="lognormal:0.01"),
        Faults(http_500=0.1, http_429=0.1, empty=0.1, retry_after=0.01),
        Faults(reset=0.1, truncated=0.1, garbage=0.05),
    ],
    ids=["well", "faults", "lost answers"],
)
async def test_half_the_cost_of_a_run_as_budget_is_used_but_not_exceeded(faults: Faults) -> None:
    async with running_endpoint() as url, gateway_to(url) as gateway:
        await endings(gateway, 400)
        whole = gateway.totals.cost_usd
    async with (
        running_endpoint(faults) as url,
        gateway_to(url, budget_usd=whole / 2, max_in_flight=32) as gateway,
    ):
        results = await endings(gateway, 400)
        spent = await billed(url)
        assert gateway.budget_spent
        assert isinstance(await ending(gateway), RunStopped)
    assert len(of_kind(results, Answer)) + len(of_kind(results, RunStopped)) >= 390
    assert of_kind(results, RunStopped)
    assert "budget" in str(gateway.stopped)
    budget = gateway.limits.budget
    assert budget is not None
    assert spent <= whole / 2
    assert gateway.totals.cost_usd <= whole / 2
    assert gateway.totals.cost_usd + budget.written_off_usd >= 0.9 * whole / 2


async def test_a_sufficient_budget_changes_nothing() -> None:
    async with running_endpoint() as url, gateway_to(url, budget_usd=100.0) as gateway:
        assert len(of_kind(await endings(gateway, 50), Answer)) == 50
        assert not gateway.budget_spent
        assert gateway.stopped is None


async def test_the_rest_of_the_budget_goes_to_an_article_that_is_short_enough() -> None:
    worst = Budget(1.0, PRICE).worst_case_usd(TEMPLATE, article(2))
    async with (
        running_endpoint() as url,
        gateway_to(url, budget_usd=1.2 * worst, max_in_flight=1) as gateway,
    ):
        long, short = OneResult(), OneResult()
        gateway.submit(
            [
                Request(TEMPLATE, article(1) * 200, plain, long),
                Request(TEMPLATE, article(2), plain, short),
            ]
        )
        assert isinstance(await short.result, Answer)
        assert isinstance(await long.result, RunStopped)


async def test_a_budget_needs_a_price() -> None:
    with pytest.raises(ValueError, match="needs a price"):
        Gateway(
            over_http("http://127.0.0.1:1/v1"),
            max_in_flight=1,
            price=None,
            retry=FAST,
            budget_usd=1.0,
        )


def test_the_worst_case_covers_any_byte_level_vocabulary() -> None:
    budget = Budget(1.0, PRICE)
    for text in ("word " * 50, "a1!" * 50, "桥梁获得批准" * 50, "🜨🜩" * 20):
        at_most = PRICE.cost(Usage(len(text.encode()) + TEMPLATE.head_bytes, 0, 200))
        assert budget.worst_case_usd(TEMPLATE, text) >= at_most


def test_the_worst_case_of_a_lost_answer_is_written_off() -> None:
    budget = Budget(1.0, PRICE)
    one = request_for()
    reserved = budget.reserve(one)
    budget.write_off(reserved)
    assert budget.written_off_usd == reserved
    assert "reserved for answers that were lost" in budget.exhausted_message(0.1)


@given(
    st.floats(1e-5, 1e-2),
    st.lists(
        st.tuples(st.text(max_size=200), st.floats(0, 1), st.booleans(), st.integers(0, 8)),
        max_size=60,
    ),
)
def test_bills_up_to_the_worst_case_never_exceed_the_budget(
    limit: float, calls: list[tuple[str, float, bool, int]]
) -> None:
    """Requests overlap: each is settled once ``at_once`` others are in flight."""
    budget = Budget(limit, PRICE)
    in_flight: list[tuple[float, float, bool]] = []
    billed_usd = 0.0
    for text, share, lost, at_once in calls:
        one = request_for(text)
        if budget.fits(one):
            in_flight.append((budget.reserve(one), share, lost))
        while len(in_flight) > at_once:
            reserved, part, gone = in_flight.pop(0)
            billed_usd += reserved * part
            if gone:
                budget.write_off(reserved)
            else:
                budget.settle(reserved, reserved * part, NO_USAGE)
    billed_usd += sum(reserved for reserved, _, _ in in_flight)
    assert billed_usd <= limit + 1e-12
