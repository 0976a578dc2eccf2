"""A budget is never exceeded, and nearly all of it is used."""

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
    Nobody,
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


def asking(text: str = "x") -> Request:
    return Request(TEMPLATE, text, plain, Nobody())


async def billed(url: str) -> float:
    """US dollars by the endpoint's own count."""
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
async def test_half_of_what_a_run_costs_is_used_and_not_exceeded(faults: Faults) -> None:
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
    assert gateway.totals.cost_usd + budget.lost_usd >= 0.9 * whole / 2


async def test_a_budget_that_is_enough_changes_nothing() -> None:
    async with running_endpoint() as url, gateway_to(url, budget_usd=100.0) as gateway:
        assert len(of_kind(await endings(gateway, 50), Answer)) == 50
        assert not gateway.budget_spent
        assert gateway.stopped is None


async def test_what_is_left_goes_to_an_article_that_is_short_enough() -> None:
    worst = Budget(1.0, PRICE).worst_case(TEMPLATE, article(2))
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


def test_the_worst_case_is_above_what_any_byte_level_vocabulary_makes_of_a_text() -> None:
    budget = Budget(1.0, PRICE)
    for text in ("word " * 50, "a1!" * 50, "桥梁获得批准" * 50, "🜨🜩" * 20):
        at_most = PRICE.cost(Usage(len(text.encode()) + TEMPLATE.head_bytes, 0, 200))
        assert budget.worst_case(TEMPLATE, text) >= at_most


def test_an_answer_that_was_lost_keeps_its_worst_case() -> None:
    budget = Budget(1.0, PRICE)
    one = asking()
    held = budget.hold(one)
    budget.lose(held)
    assert budget.lost_usd == held
    assert "held for answers that were lost" in budget.spent_words(0.1)


@given(
    st.floats(1e-5, 1e-2),
    st.lists(
        st.tuples(st.text(max_size=200), st.floats(0, 1), st.booleans(), st.integers(0, 8)),
        max_size=60,
    ),
)
def test_whatever_is_billed_up_to_the_worst_case_stays_within_the_budget(
    limit: float, calls: list[tuple[str, float, bool, int]]
) -> None:
    """Calls overlap: each is settled when so many others have begun."""
    budget = Budget(limit, PRICE)
    under_way: list[tuple[float, float, bool]] = []
    billed_usd = 0.0
    for text, share, lost, at_once in calls:
        one = asking(text)
        if budget.fits(one):
            under_way.append((budget.hold(one), share, lost))
        while len(under_way) > at_once:
            held, part, gone = under_way.pop(0)
            billed_usd += held * part
            if gone:
                budget.lose(held)
            else:
                budget.settle(held, held * part, NO_USAGE)
    billed_usd += sum(held for held, _, _ in under_way)
    assert billed_usd <= limit + 1e-12
