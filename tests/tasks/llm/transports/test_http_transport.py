"""All transports over real HTTP: requests, redirects and proxies, the probe, the key."""

import logging
import traceback
from pathlib import Path
from typing import Any

import pytest

from article_flows.tasks.llm.protocol.chat import NO_HEADERS, Completion, Usage
from article_flows.tasks.llm.protocol.errors import EndpointUnavailable, LLMError
from article_flows.tasks.llm.transports.http_transport import proxy_for
from tests.tasks.llm.gateway.gateway_support import (
    EVERY,
    KEY,
    TEMPLATE,
    Make,
    Script,
    article,
    completion_body,
    error_of,
    opened,
    over_http,
    scripted,
    stats_of,
)
from tests.tasks.mock_endpoint.mock_support import running_endpoint

every = pytest.mark.parametrize("make", EVERY)


async def completion_of(make: Make, script: Script) -> Completion:
    async with opened(make(script.base_url)) as transport:
        return await transport.complete(TEMPLATE, article(1))


# ---- Completions.


@every
async def test_a_request_is_sent_and_its_completion_parsed(make: Make) -> None:
    body = completion_body(
        usage={
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 60},
        }
    )
    async with scripted((200, body)) as script:
        completion = await completion_of(make, script)
    assert completion == Completion("Fine.", "stop", Usage(100, 60, 10), "m-1")
    (seen,) = script.seen
    assert (seen.method, seen.target) == ("POST", "/v1/chat/completions")
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.headers["content-type"] == "application/json"
    assert seen.json == {**TEMPLATE.options(), "messages": TEMPLATE.messages(article(1))}


@pytest.mark.parametrize("key", [None, "", "  \n"])
async def test_without_a_key_no_authorization_is_sent(key: str | None) -> None:
    async with (
        scripted((200, completion_body())) as script,
        opened(over_http(script.base_url, key, 5)) as transport,
    ):
        await transport.complete(TEMPLATE, "x")
        await transport.probe()
    assert [request.method for request in script.seen] == ["POST", "GET"]
    assert not any("authorization" in request.headers for request in script.seen)


async def test_white_space_around_the_key_is_not_sent() -> None:
    """Keys are often read from files that end with a line break."""
    async with scripted((200, completion_body())) as script:
        async with opened(over_http(script.base_url, f" {KEY}\n", 5)) as transport:
            await transport.complete(TEMPLATE, "x")
        assert script.seen[0].headers["authorization"] == f"Bearer {KEY}"


@every
@pytest.mark.parametrize("key", [f"{KEY}\nX-Evil: 1", f"{KEY}…", f"{KEY}\x00"])
async def test_a_key_that_is_invalid_in_a_header_is_rejected(make: Make, key: str) -> None:
    async with scripted((200, completion_body())) as script:
        error = await error_of(make, script.base_url, key=key)
        assert isinstance(error, EndpointUnavailable)
        assert error.error_class == "bad_key"
        assert not script.seen


@every
async def test_a_lone_surrogate_in_an_article_does_not_stop_it(make: Make) -> None:
    async with (
        scripted((200, completion_body())) as script,
        opened(make(script.base_url)) as transport,
    ):
        await transport.complete(TEMPLATE, "cut \ud83d off")
    assert script.seen[0].json["messages"][1]["content"] == "cut � off"


@every
async def test_the_mock_endpoint_gives_all_transports_the_same_completion(make: Make) -> None:
    async with (
        running_endpoint(api_key=KEY) as url,
        opened(make(url)) as transport,
        opened(over_http(url)) as other,
    ):
        await transport.probe()
        first = await other.complete(TEMPLATE, article(1))
        second = await transport.complete(TEMPLATE, article(1))
        assert (first.text, first.finish_reason, first.model) == (
            second.text,
            second.finish_reason,
            second.model,
        )
        stats = await stats_of(url)
        assert first.usage.prompt + second.usage.prompt == stats["billed_prompt_tokens"]
        assert first.usage.completion + second.usage.completion == stats["billed_completion_tokens"]


# ---- Redirects and proxies.


@every
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_redirect_is_followed(make: Make, status: int) -> None:
    async with scripted((200, completion_body())) as other:
        moved = (status, b"", {"Location": f"{other.base_url}/chat/completions"})
        async with scripted(moved) as script:
            error = await error_of(make, script.base_url)
            assert isinstance(error, EndpointUnavailable)
            assert other.base_url in error.message
            assert len(script.seen) == 1
    assert not other.seen


@every
async def test_a_probe_follows_no_redirect(make: Make) -> None:
    async with scripted((200, b"{}")) as other:
        async with (
            scripted((307, b"", {"Location": other.base_url})) as script,
            opened(make(script.base_url)) as transport,
        ):
            await transport.probe()
        assert [request.target for request in script.seen] == ["/v1/models"]
    assert not other.seen


async def test_the_environments_proxy_is_used_except_for_loopback_addresses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """~/.netrc is ignored: with trust_env, an entry there would conflict with the bearer token."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with scripted((200, completion_body())) as proxy, scripted((200, b"")) as near:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.base_url.removesuffix("/v1").removeprefix("http://"))
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.setenv(name, "near.example")
        async with opened(over_http("http://far.example/v1")) as transport:
            await transport.complete(TEMPLATE, "x")
        assert [request.target for request in proxy.seen] == [
            "http://far.example/v1/chat/completions"
        ]
        assert proxy.seen[0].headers["authorization"] == f"Bearer {KEY}"
        await error_of(over_http, near.base_url)
        assert len(proxy.seen) == 1
        assert len(near.seen) == 1


def test_proxy_for_ignores_loopback_and_no_proxy_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert proxy_for("http://far.example/v1") is None
    monkeypatch.setenv("http_proxy", "proxy.example:3128")
    monkeypatch.setenv("no_proxy", "near.example")
    assert proxy_for("http://far.example/v1") == "http://proxy.example:3128"
    for base_url in (
        "https://far.example/v1",
        "http://near.example/v1",
        "http://localhost:8000/v1",
        "http://127.0.0.1/v1",
        "http://[::1]:8000/v1",
    ):
        assert proxy_for(base_url) is None


# ---- The probe.


@every
@pytest.mark.parametrize(
    ("status", "body", "stops"),
    [
        (200, {"data": []}, False),
        (200, b"<html>", False),
        (404, b"", False),
        (405, b"", False),
        (403, b"", False),
        (500, b"", False),
        (401, {"error": {"message": f"bad key {KEY}"}}, True),
        (402, {}, True),
    ],
)
async def test_a_probe_fails_only_on_errors_that_affect_every_request(
    make: Make, status: int, body: Any, stops: bool
) -> None:
    async with scripted((status, body)) as script, opened(make(script.base_url)) as transport:
        if not stops:
            return await transport.probe()
        with pytest.raises(EndpointUnavailable) as caught:
            await transport.probe()
    assert KEY not in "".join(traceback.format_exception(caught.value))
    return None


# ---- The key.


@every
async def test_the_key_is_in_no_log_and_no_repr(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with scripted(
        (200, completion_body()), (401, {"error": {"message": KEY}}), (500, KEY.encode())
    ) as script:
        transport = make(script.base_url)
        await transport.complete(TEMPLATE, "x")
        for _ in range(2):
            with pytest.raises(LLMError):
                await transport.complete(TEMPLATE, "x")
        await transport.close()
        assert script.seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(transport) + str(transport)
    assert not [record for record in caplog.records if KEY in record.getMessage()]


async def test_a_transport_can_be_closed_twice_and_before_its_first_call() -> None:
    for make in EVERY:
        transport = make("http://127.0.0.1:9/v1")
        await transport.close()
        await transport.close()


async def test_an_endless_response_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("article_flows.tasks.llm.transports.http_response.MAX_BODY_BYTES", 1_000)
    async with scripted((200, completion_body("x" * 2_000))) as script:
        error = await error_of(over_http, script.base_url)
    assert error.error_class == "too_large"


# ---- Rate limit headers.


DATE = "Sun, 22 Nov 2026 16:09:13 GMT"
KEPT = {
    "x-ratelimit-limit-requests": "60",
    "anthropic-ratelimit-tokens-reset": "2026-11-22T16:10:00Z",
    "date": DATE,
}
LIMITS = {
    "X-RateLimit-Limit-Requests": "60",
    "anthropic-ratelimit-tokens-reset": "2026-11-22T16:10:00Z",
    "Date": DATE,
    "X-Other": "1",
}


@every
async def test_rate_limit_headers_come_with_the_completion_and_no_others(make: Make) -> None:
    async with scripted((200, completion_body(), LIMITS)) as script:
        assert (await completion_of(make, script)).headers == KEPT
    async with scripted((200, completion_body())) as script:
        assert (await completion_of(make, script)).headers is NO_HEADERS


@every
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, {}),
        (500, b""),
        (200, {"error": {"message": "odd"}}),
        (200, completion_body(choices=[{"message": {}, "finish_reason": "content_filter"}])),
    ],
)
async def test_rate_limit_headers_come_with_any_error(make: Make, status: int, body: Any) -> None:
    async with scripted((status, body, LIMITS)) as script:
        assert (await error_of(make, script.base_url)).headers == KEPT
    async with scripted((status, body)) as script:
        assert (await error_of(make, script.base_url)).headers is NO_HEADERS
