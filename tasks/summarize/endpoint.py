"""Resolve the endpoint of a run (URL, model, price, API key), and build its gateway."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from article_flows.tasks.common.errors import UsageError, UserError
from article_flows.tasks.llm.gateway.gateway import Gateway
from article_flows.tasks.llm.protocol.prices import FREE, Price
from article_flows.tasks.llm.transports.base import Transport
from article_flows.tasks.llm.transports.http_transport import HttpTransport
from article_flows.tasks.orchestration.sync_calls import load_secret
from article_flows.tasks.settings import LIST_PRICE, MOCK, SummarizeSettings

MOCK_MODEL = "extractive-v1"
_OPENAI = "https://api.openai.com/v1"


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as resolved from the settings.

    Attributes:
        base_url: The URL of the API, such as ``https://host/v1``; ``mock`` for the mock endpoint.
        price: The price of the model's tokens; None if unknown.
        api_key: The API key, which ``repr`` does not show.
    """

    base_url: str
    model: str
    price: Price | None
    is_mock: bool
    api_key: str | None = field(default=None, repr=False)

    def describe(self) -> str:
        """Return the model and the endpoint in words, for reports."""
        if self.is_mock:
            return f"{self.model} (mock endpoint: picks sentences, not a language model)"
        return f"{self.model} at {self.base_url}"


def resolve_endpoint(settings: SummarizeSettings) -> Endpoint:
    """Resolve the endpoint that the settings name.

    Raises:
        UserError: The URL is invalid or contains a key, no model is named, the price is required
            but unknown, or the Secret block does not exist.

    Example:
        >>> endpoint = resolve_endpoint(SummarizeSettings(base_url="mock"))
        >>> endpoint.describe()
        'extractive-v1 (mock endpoint: picks sentences, not a language model)'
    """
    price = _price(settings)
    if settings.base_url == MOCK:
        if settings.model not in ("", MOCK_MODEL):
            raise UsageError(
                f"the mock endpoint does not serve {settings.model}; "
                "leave --model out, or name the model's endpoint with --base-url"
            )
        return Endpoint(MOCK, MOCK_MODEL, price or FREE, is_mock=True)
    _check_url(settings.base_url)
    if not settings.model:
        raise UsageError(
            f"no model named for {settings.base_url}; "
            "name one with --model, or use the free mock endpoint with --base-url mock"
        )
    price = price or Price.for_model(settings.model, settings.base_url)
    if settings.budget_usd and price is None:
        raise UsageError(
            f"no price is known for {settings.model}, and a budget needs one; "
            "give --price-in and --price-out"
        )
    return Endpoint(
        settings.base_url.rstrip("/"),
        settings.model,
        price,
        is_mock=False,
        api_key=_api_key(settings),
    )


def base_url_from(given: str | None, environment: Mapping[str, str]) -> str:
    """Choose the base URL: the given one, else OPENAI_BASE_URL, else a default.

    The default is OpenAI if OPENAI_API_KEY is set, else the mock endpoint, which is free.

    Example:
        >>> base_url_from(None, {})
        'mock'
        >>> base_url_from(None, {"OPENAI_API_KEY": "sk-1"})
        'https://api.openai.com/v1'
    """
    if given or environment.get("OPENAI_BASE_URL"):
        return given or environment["OPENAI_BASE_URL"]
    return _OPENAI if environment.get("OPENAI_API_KEY") else MOCK


def build_gateway(endpoint: Endpoint, base_url: str, settings: SummarizeSettings) -> Gateway:
    """Build the gateway to an endpoint.

    Args:
        endpoint: The resolved endpoint.
        base_url: Its URL, which for the mock endpoint is known only once that runs.
        settings: The settings of the run.
    """
    return Gateway(
        _transport(endpoint, base_url, settings),
        max_in_flight=settings.max_in_flight,
        price=endpoint.price,
        rpm=settings.rpm or None,
        tpm=settings.tpm or None,
        budget_usd=settings.budget_usd or None,
        hedge=settings.hedge,
    )


def _transport(endpoint: Endpoint, base_url: str, settings: SummarizeSettings) -> Transport:
    if settings.client == "openai":
        # Imported on demand: it takes half a second, and few runs use it.
        from article_flows.tasks.llm.transports.openai_transport import open_client

        return open_client(base_url, endpoint.api_key, settings.timeout_s)
    return HttpTransport(base_url, endpoint.api_key, settings.timeout_s)


def _check_url(base_url: str) -> None:
    try:
        parts = urlsplit(base_url)
        is_valid_port = parts.port is None or parts.port > 0
    except ValueError:
        is_valid_port = False
    if not is_valid_port or parts.scheme not in ("http", "https") or not parts.hostname:
        redacted = re.sub(r"//.*@|\?.*", "…", base_url)
        raise UsageError(f"base URL {redacted!r}: not a URL; use one like https://host/v1, or mock")
    if parts.username or parts.password or parts.query:
        raise UsageError(
            f"base URL of {parts.hostname}: must not contain a key; "
            "set OPENAI_API_KEY or name a Secret block"
        )


def _price(settings: SummarizeSettings) -> Price | None:
    given = (settings.price_in, settings.price_out)
    if given == (LIST_PRICE, LIST_PRICE):
        return None
    if min(given) < 0:
        raise UsageError("give both prices, --price-in and --price-out, or neither")
    return Price.per_million(*given)


def _api_key(settings: SummarizeSettings) -> str | None:
    if not settings.api_key_secret:
        return _checked_key(os.environ.get("OPENAI_API_KEY", ""), "OPENAI_API_KEY") or None
    try:
        key = load_secret(settings.api_key_secret)
    except ValueError as error:
        raise UserError(
            f"Secret block {settings.api_key_secret!r}: does not exist on this Prefect server; "
            "create it in the UI under Blocks"
        ) from error
    return _checked_key(key, f"Secret block {settings.api_key_secret!r}")


def _checked_key(key: str, where: str) -> str:
    """Strip a key, and raise UserError if no HTTP header can hold it.

    HTTP libraries raise an error that contains the whole key.
    """
    key = key.strip()
    if not (key.isascii() and (key.isprintable() or not key)):
        raise UserError(f"{where}: has characters that no API key has; copy the key again")
    return key
