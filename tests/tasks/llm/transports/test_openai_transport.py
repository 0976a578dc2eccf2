"""Tests specific to the OpenAI transport; test_http_transport.py runs the common ones."""

import openai
import pytest

from article_flows.tasks.llm.protocol.errors import EndpointUnavailable, LLMError
from article_flows.tasks.llm.transports.openai_transport import OpenAITransport
from tests.tasks.llm.gateway.gateway_support import KEY, TEMPLATE, completion_body, opened, scripted


@pytest.mark.parametrize("retries", [1, 2])
def test_a_client_that_retries_is_rejected(retries: int) -> None:
    client = openai.AsyncOpenAI(api_key=KEY, max_retries=retries)
    with pytest.raises(ValueError, match="max_retries=0"):
        OpenAITransport(client)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
async def test_statuses_that_the_client_would_retry_are_sent_once(status: int) -> None:
    async with scripted((status, {}, {"Retry-After": "0"})) as script:
        client = openai.AsyncOpenAI(base_url=script.base_url, api_key=KEY, max_retries=0)
        async with opened(OpenAITransport(client)) as transport:
            with pytest.raises(LLMError):
                await transport.complete(TEMPLATE, "x")
        assert len(script.seen) == 1


async def test_azures_client_keeps_its_paths_and_its_key_does_not_follow_a_redirect() -> None:
    """On a redirect to another host httpx drops only Authorization; Azure's key is in api-key."""
    async with scripted((200, completion_body())) as other:
        moved = (307, b"", {"Location": f"{other.base_url}/x"})
        async with scripted((200, completion_body()), moved) as script:
            client = openai.AsyncAzureOpenAI(
                azure_endpoint=script.base_url.removesuffix("/v1"),
                api_key=KEY,
                api_version="2024-10-21",
                max_retries=0,
            )
            async with opened(OpenAITransport(client)) as transport:
                assert (await transport.complete(TEMPLATE, "x")).text == "Fine."
                with pytest.raises(EndpointUnavailable):
                    await transport.complete(TEMPLATE, "x")
        assert not other.seen
    assert script.seen[0].headers["api-key"] == KEY
    assert script.seen[0].target.startswith("/openai/deployments/extractive-v1/chat/completions?")


async def test_the_clients_own_http_client_and_headers_are_used() -> None:
    async with scripted((200, completion_body())) as script:
        client = openai.AsyncOpenAI(
            base_url=script.base_url,
            api_key=KEY,
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(),
            default_headers={"x-team": "news"},
        )
        async with opened(OpenAITransport(client)) as transport:
            assert (await transport.complete(TEMPLATE, "x")).text == "Fine."
    assert script.seen[0].headers["x-team"] == "news"


async def test_a_key_that_the_client_fetches_is_sent() -> None:
    """As with Azure AD, whose tokens last an hour."""

    async def token() -> str:
        return KEY

    async with scripted((200, completion_body())) as script:
        client = openai.AsyncOpenAI(base_url=script.base_url, api_key=token, max_retries=0)
        async with opened(OpenAITransport(client)) as transport:
            await transport.complete(TEMPLATE, "x")
    assert script.seen[0].headers["authorization"] == f"Bearer {KEY}"
