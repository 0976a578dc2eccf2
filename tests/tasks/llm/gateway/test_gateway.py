"""The gateway in front of the mock endpoint: bills, counts and re-asks."""

import asyncio

import pytest

from article_flows.tasks.llm.limits.retry_policy import RetryPolicy
from article_flows.tasks.llm.protocol.chat import Usage
from article_flows.tasks.llm.protocol.prices import Price, Rates
from article_flows.tasks.llm.protocol.results import Answer, RequestFailed, RunStopped
from article_flows.tasks.mock_endpoint.faults import Faults
from tests.tasks.llm.gateway.gateway_support import (
    EVERY,
    FAST,
    JSON_TEMPLATE,
    OK,
    PATIENT,
    PRICE,
    TEMPLATE,
    Make,
    article,
    as_json,
    ask,
    completion_body,
    ending,
    endings,
    gateway_to,
    of_kind,
    plain,
    scripted,
    stats_of,
)
from tests.tasks.mock_endpoint.mock_support import running_endpoint

# ---- Answers and bills.


@pytest.mark.parametrize("make", EVERY)
async def test_without_faults_every_article_needs_one_request(make: Make) -> None:
    async with running_endpoint() as url, gateway_to(url, make=make) as gateway:
        results = await endings(gateway, 40)
        stats = await stats_of(url)
    answers = of_kind(results, Answer)
    assert len(answers) == 40
    assert all(answer.attempts == 1 and answer.fields["summary"] for answer in answers)
    assert (stats["calls"], stats["distinct"], stats["answered_twice"]) == (40, 40, 0)
    totals = gateway.totals
    assert (totals.calls, totals.attempts, totals.answered, totals.in_flight) == (40, 40, 40, 0)
    assert totals.usage.prompt == stats["billed_prompt_tokens"]
    assert totals.usage.completion == stats["billed_completion_tokens"]
    assert totals.cost_usd == pytest.approx(PRICE.cost(totals.usage))
    assert totals.cost_usd == pytest.approx(sum(answer.cost_usd for answer in answers))


async def test_under_all_faults_at_once_no_answer_and_no_bill_is_lost() -> None:
    faults = Faults(
        http_500=0.08,
        http_503=0.04,
        http_429=0.08,
        reset=0.04,
        truncated=0.04,
        garbage=0.04,
        invalid_json=0.04,
        content_filter=0.02,
        cut=0.02,
        empty=0.02,
        retry_after=0.001,
        seed=7,
    )
    async with (
        running_endpoint(faults) as url,
        gateway_to(url, max_in_flight=16, retry=PATIENT) as gateway,
    ):
        results = await endings(gateway, 200, template=JSON_TEMPLATE, parse=as_json)
        stats = await stats_of(url)
    answers, failures = of_kind(results, Answer), of_kind(results, RequestFailed)
    assert len(answers) + len(failures) == 200
    assert {failure.error.error_class for failure in failures} <= {"content_filter"}
    totals = gateway.totals
    assert totals.attempts == stats["calls"]
    assert totals.attempts == sum(result.attempts for result in (*answers, *failures))
    assert totals.answered == stats["distinct"] == len(answers)
    assert stats["answered_twice"] == 0
    # Garbage is a 200 that the endpoint bills, but whose usage cannot be read.
    assert 0 < totals.usage.prompt <= stats["billed_prompt_tokens"]
    assert totals.usage == sum((result.usage for result in (*answers, *failures)), Usage())
    assert totals.cost_usd == pytest.approx(sum(r.cost_usd for r in (*answers, *failures)))
    assert totals.errors.total() == totals.attempts - len(answers)


async def test_usage_and_cost_include_failed_attempts() -> None:
    filtered = completion_body(choices=[{"message": {}, "finish_reason": "content_filter"}])
    async with (
        scripted((500, {}), (200, completion_body("")), OK, (200, filtered)) as script,
        gateway_to(script.base_url) as gateway,
    ):
        answer = await ask(gateway, TEMPLATE, "x", plain)
        assert (answer.attempts, answer.usage) == (3, Usage(200, 0, 20))
        assert answer.cost_usd == pytest.approx(PRICE.cost(Usage(200, 0, 20)))
        with pytest.raises(RequestFailed) as caught:
            await ask(gateway, TEMPLATE, "y", plain)
    assert caught.value.usage == Usage(100, 0, 10)
    assert caught.value.cost_usd == pytest.approx(PRICE.cost(Usage(100, 0, 10)))
    assert gateway.totals.usage == Usage(300, 0, 30)


async def test_the_price_tier_depends_on_the_single_request() -> None:
    price = Price((Rates(0, 1e-6, 1e-6, 0.0), Rates(150, 1.0, 1.0, 0.0)))
    async with (
        scripted((200, completion_body("")), OK) as script,
        gateway_to(script.base_url, price=price) as gateway,
    ):
        answer = await ask(gateway, TEMPLATE, "x", plain)
    assert answer.usage.prompt == 200
    assert answer.cost_usd == pytest.approx(200e-6)
    assert gateway.totals.cost_usd == pytest.approx(200e-6)


async def test_a_price_per_request_applies_to_answers_and_not_to_errors() -> None:
    price = Price((Rates(0, 0.0, 0.0, 0.0),), per_call=0.01)
    async with (
        scripted((500, {}), (200, completion_body("")), OK) as script,
        gateway_to(script.base_url, price=price) as gateway,
    ):
        answer = await ask(gateway, TEMPLATE, "x", plain)
    assert answer.cost_usd == pytest.approx(0.02)


async def test_without_a_price_costs_are_none_rather_than_zero() -> None:
    async with scripted(OK) as script, gateway_to(script.base_url, price=None) as gateway:
        answer = await ask(gateway, TEMPLATE, "x", plain)
    assert answer.cost_usd is None
    assert answer.usage == Usage(100, 0, 10)


async def test_the_model_is_the_one_that_the_endpoint_reports() -> None:
    async with (
        scripted(OK, (200, completion_body(model=None))) as script,
        gateway_to(script.base_url) as gateway,
    ):
        assert (await ask(gateway, TEMPLATE, "x", plain)).model == "m-1"
        assert (await ask(gateway, TEMPLATE, "x", plain)).model == TEMPLATE.model


# ---- Requests in flight.


@pytest.mark.parametrize("max_in_flight", [1, 5])
async def test_requests_in_flight_never_exceed_the_limit(max_in_flight: int) -> None:
    faults = Faults(latency="fixed:0.005", http_500=0.2, reset=0.1)
    async with (
        running_endpoint(faults) as url,
        gateway_to(url, max_in_flight=max_in_flight) as gateway,
    ):
        await endings(gateway, 40)
        assert (await stats_of(url))["max_concurrent_seen"] == max_in_flight
    assert gateway.totals.in_flight == 0


async def test_cancelled_callers_release_their_workers_and_keep_counts_right() -> None:
    faults = Faults(latency="fixed:0.05", http_500=0.2)
    async with running_endpoint(faults) as url, gateway_to(url, max_in_flight=4) as gateway:
        for delay in (0.0, 0.001, 0.02, 0.06, 0.07):
            callers = [asyncio.create_task(ending(gateway, article(n))) for n in range(12)]
            await asyncio.sleep(delay)
            for caller in callers:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)
            assert gateway.totals.in_flight == 0
        while (await stats_of(url, reset=True))["max_concurrent_seen"]:
            await asyncio.sleep(0.001)
        results = await asyncio.wait_for(endings(gateway, 12), 30)
        assert len(of_kind(results, Answer)) == 12
        assert (await stats_of(url))["max_concurrent_seen"] == 4


# ---- Invalid responses.


async def test_invalid_responses_are_retried_within_the_reask_budget() -> None:
    policy = RetryPolicy(
        base_s=0.001, cap_s=0.01, max_invalid_responses=4, min_reasks=6, reask_share=0.25
    )
    async with (
        running_endpoint(Faults(invalid_json=1.0)) as url,
        gateway_to(url, retry=policy) as gateway,
    ):
        results = await endings(gateway, 30, template=JSON_TEMPLATE, parse=as_json)
        stats = await stats_of(url)
    failures = of_kind(results, RequestFailed)
    assert {failure.error.error_class for failure in failures} == {"invalid_json"}
    assert len(failures) == 30
    assert stats["calls"] == gateway.totals.attempts == 30 + 6
    assert gateway.totals.reasks == 6
    assert sum(failure.usage.prompt for failure in failures) == stats["billed_prompt_tokens"]
    assert all(failure.cost_usd > 0 for failure in failures)


async def test_the_reask_budget_grows_with_the_answers() -> None:
    policy = RetryPolicy(
        base_s=0.001, cap_s=0.01, max_invalid_responses=4, min_reasks=0, reask_share=0.5
    )
    invalid = (200, completion_body(""))
    async with (
        scripted(*[OK] * 4, *[invalid] * 5, OK) as script,
        gateway_to(script.base_url, retry=policy, max_in_flight=1) as gateway,
    ):
        for _ in range(4):
            await ask(gateway, TEMPLATE, "x", plain)
        failed = await ending(gateway)
        assert isinstance(failed, RequestFailed)
        assert failed.attempts == 3
        failed = await ending(gateway)
        assert isinstance(failed, RequestFailed)
        assert failed.attempts == 1


async def test_an_article_gets_at_most_max_invalid_responses() -> None:
    async with (
        scripted((200, completion_body(""))) as script,
        gateway_to(script.base_url) as gateway,
    ):
        failed = await ending(gateway)
    assert isinstance(failed, RequestFailed)
    assert (failed.attempts, failed.error.error_class) == (FAST.max_invalid_responses, "empty")
    assert failed.usage == Usage(400, 0, 40)


async def test_a_cut_off_answer_is_retried_once_with_a_doubled_output_limit() -> None:
    cut = (
        200,
        completion_body(choices=[{"message": {"content": "Fi"}, "finish_reason": "length"}]),
    )
    async with (
        scripted((200, completion_body("")), cut, OK, cut, cut, OK) as script,
        gateway_to(script.base_url) as gateway,
    ):
        answer = await ask(gateway, TEMPLATE, "x", plain)
        assert answer.finish_reason == "stop"
        assert [request.json["max_tokens"] for request in script.seen] == [200, 200, 400]
        with pytest.raises(RequestFailed, match="cut_off"):
            await ask(gateway, TEMPLATE, "y", plain)
        assert [request.json["max_tokens"] for request in script.seen[3:]] == [200, 400]


# ---- Rejected inputs.


@pytest.mark.parametrize(
    ("faults", "error_class"),
    [(Faults(poison="bridge"), "content_filter"), (Faults(too_long=5), "too_long")],
)
async def test_rejected_inputs_are_not_retried(faults: Faults, error_class: str) -> None:
    async with running_endpoint(faults) as url, gateway_to(url) as gateway:
        results = await endings(gateway, 20)
        stats = await stats_of(url)
    assert {result.error.error_class for result in of_kind(results, RequestFailed)} == {error_class}
    assert len(of_kind(results, RequestFailed)) == 20
    assert stats["calls"] == 20
    assert gateway.totals.usage.prompt == stats["billed_prompt_tokens"]


async def test_an_article_larger_than_the_quota_does_not_block_the_run() -> None:
    async with running_endpoint(Faults(tpm=400)) as url, gateway_to(url) as gateway:
        long = await asyncio.wait_for(ending(gateway, article(1) * 100), 30)
        assert isinstance(long, RequestFailed)
        assert (long.error.error_class, long.attempts) == ("too_long", 1)
        assert isinstance(await ending(gateway, article(1)), Answer)


async def test_rejecting_every_request_stops_the_run_and_fails_no_article_permanently() -> None:
    """The recipe, the key or the server is at fault, so a later run must retry."""
    async with (
        scripted((400, {"error": {"message": "Unsupported parameter"}})) as script,
        gateway_to(script.base_url, max_in_flight=2) as gateway,
    ):
        results = await endings(gateway, 40)
        assert len(script.seen) <= 10 + 2
    failures = of_kind(results, RequestFailed)
    assert len(failures) + len(of_kind(results, RunStopped)) == 40
    assert {failure.error.error_class for failure in failures} == {"request_refused"}
    assert "Unsupported parameter" in str(gateway.stopped)


async def test_a_bad_request_among_answers_fails_its_article_permanently() -> None:
    rejected = (400, {"error": {"message": "odd"}})
    async with (
        scripted(OK, *[rejected] * 12, OK) as script,
        gateway_to(script.base_url) as gateway,
    ):
        assert isinstance(await ending(gateway), Answer)
        for _ in range(12):
            failed = await ending(gateway)
            assert isinstance(failed, RequestFailed)
            assert (failed.error.error_class, failed.attempts) == ("bad_request", 1)
        assert isinstance(await ending(gateway), Answer)


async def test_an_article_with_lone_surrogates_is_answered() -> None:
    async with running_endpoint() as url, gateway_to(url) as gateway:
        assert isinstance(await ending(gateway, article(1) + "\udcff"), Answer)
