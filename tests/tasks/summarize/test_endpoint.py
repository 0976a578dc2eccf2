"""Endpoint, model, price and key are resolved from the settings; the key is never shown."""

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr

from article_flows.tasks.common.errors import UsageError, UserError
from article_flows.tasks.llm.protocol.chat import Usage
from article_flows.tasks.settings import SummarizeSettings
from article_flows.tasks.summarize.endpoint import (
    MOCK_MODEL,
    base_url_from,
    build_gateway,
    resolve_endpoint,
)
from tests.tasks.summarize.job_support import endpoint

KEY = "sk-very-secret-0123456789"
OWN = "http://localhost:8000/v1"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def settings(**values: Any) -> SummarizeSettings:
    return SummarizeSettings(**values)


@pytest.mark.parametrize(
    ("given", "environment", "url"),
    [
        (None, {}, "mock"),
        (None, {"OPENAI_API_KEY": KEY}, "https://api.openai.com/v1"),
        (None, {"OPENAI_BASE_URL": OWN}, OWN),
        (None, {"OPENAI_BASE_URL": OWN, "OPENAI_API_KEY": KEY}, OWN),
        (None, {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": ""}, "mock"),
        ("", {"OPENAI_BASE_URL": OWN}, OWN),
        ("mock", {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": OWN}, "mock"),
        ("http://given/v1", {"OPENAI_BASE_URL": OWN}, "http://given/v1"),
    ],
)
def test_the_url_is_the_given_one_else_from_the_environment_else_the_mock(
    given: str | None, environment: dict[str, str], url: str
) -> None:
    assert base_url_from(given, environment) == url


@pytest.mark.parametrize("model", ["", MOCK_MODEL])
def test_the_mock_endpoint_is_free_and_described_as_a_mock(
    monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    resolved = resolve_endpoint(settings(base_url="mock", model=model))
    assert (resolved.is_mock, resolved.model, resolved.api_key) == (True, MOCK_MODEL, None)
    assert resolved.price is not None
    assert resolved.price.cost(Usage(10**6, 0, 10**6)) == 0
    assert "not a language model" in resolved.describe()


def test_a_custom_endpoint_is_used_as_configured() -> None:
    resolved = resolve_endpoint(settings(base_url=f"{OWN}/", model="qwen"))
    assert (resolved.base_url, resolved.model, resolved.is_mock) == (OWN, "qwen", False)
    assert resolved.describe() == f"qwen at {OWN}"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"base_url": "mock", "model": "gpt-4o"}, "the mock endpoint does not serve gpt-4o"),
        ({"base_url": OWN}, "no model named for http://localhost:8000/v1"),
        ({"base_url": "localhost:8000", "model": "m"}, "not a URL"),
        ({"base_url": "ftp://host/v1", "model": "m"}, "not a URL"),
        ({"base_url": "http://", "model": "m"}, "not a URL"),
        ({"base_url": "http://host:many/v1", "model": "m"}, "not a URL"),
        ({"base_url": "http://host:0/v1", "model": "m"}, "not a URL"),
        ({"base_url": "http://[::1/v1", "model": "m"}, "not a URL"),
        ({"model": "", "price_in": 1.0}, "give both prices"),
        ({"base_url": OWN, "model": "m", "price_out": 1.0}, "give both prices"),
        ({"base_url": OWN, "model": "m", "price_in": -0.5, "price_out": 1.0}, "give both prices"),
    ],
)
def test_invalid_settings_are_rejected_before_the_start(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        resolve_endpoint(settings(**values))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{KEY}@host/v1",
        f"https://{KEY}@host/v1",
        f"https://:{KEY}@host/v1",
        f"https://host/v1?api-key={KEY}",
        f"htps://user:{KEY}@host/v1",
        f"https://user:{KEY}@host:port/v1",
        f"https://host:port/v1?api-key={KEY}",
    ],
)
def test_a_key_in_the_url_is_rejected_without_being_shown(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_endpoint(settings(base_url=url, model="m"))
    assert KEY not in str(caught.value)


def test_prices_are_the_given_ones_else_list_prices_else_unknown() -> None:
    usage = Usage(1_000_000, 0, 2_000_000)

    def cost(**values: Any) -> float | None:
        price = resolve_endpoint(settings(base_url=OWN, **values)).price
        return price.cost(usage) if price else None

    assert cost(model="gpt-4o-mini", price_in=1.0, price_out=2.0) == pytest.approx(5.0)
    assert cost(model="unknown-model", price_in=0.0, price_out=0.0) == 0
    assert cost(model="unknown-model") is None
    listed = cost(model="gpt-4o-mini")
    assert listed is not None
    assert listed > 0
    mock = resolve_endpoint(settings(price_in=1.0, price_out=2.0)).price
    assert mock is not None
    assert mock.cost(usage) == pytest.approx(5.0)


def test_the_key_from_the_environment_is_stripped_and_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = settings(base_url=OWN, model="m")
    assert resolve_endpoint(chosen).api_key is None
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    resolved = resolve_endpoint(chosen)
    assert resolved.api_key == KEY
    assert KEY not in f"{resolved!r} {resolved} {resolved.describe()} {chosen!r}"
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert resolve_endpoint(chosen).api_key is None


@pytest.mark.parametrize("key", [f"{KEY}\nX-Injected: 1", f"{KEY}…", f"{KEY}\x7f"])
def test_a_key_that_no_header_can_hold_is_rejected_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match="OPENAI_API_KEY: has characters") as caught:
        resolve_endpoint(settings(base_url=OWN, model="m"))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("client", ["built-in", "openai"])
def test_either_client_reaches_the_endpoint(client: str) -> None:
    url = endpoint().base_url
    chosen = settings(base_url=url, model=MOCK_MODEL, client=client)
    resolved = resolve_endpoint(chosen)

    async def probe() -> str | None:
        gateway = build_gateway(resolved, url, chosen)
        await gateway.probe()
        await gateway.close()
        return gateway.stopped

    assert asyncio.run(probe()) is None


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_the_key_can_come_from_a_secret_block(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.blocks.system import Secret

    monkeypatch.setenv("OPENAI_API_KEY", "of-the-environment")
    Secret(value=SecretStr(f"{KEY}\n")).save("llm-key")
    chosen = settings(base_url=OWN, model="m", api_key_secret="llm-key")
    assert resolve_endpoint(chosen).api_key == KEY
    with pytest.raises(UserError, match="Secret block 'no-such-key': does not exist"):
        resolve_endpoint(chosen.model_copy(update={"api_key_secret": "no-such-key"}))
