"""How a chat request travels: straight over aiohttp, the fast way for any compatible server."""

from __future__ import annotations

import os
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
import orjson

from tasks.llm.chat import NO_USAGE, ChatTemplate, Completion, Usage
from tasks.llm.classify import classify
from tasks.llm.errors import EndpointRefused, LLMError, Transient, UnusableArticle

_CONNECT_TIMEOUT_S = 10.0
# uvicorn, which vLLM and others run on, closes an idle connection after 5 s; a request sent
# into one that is being closed is lost, so they are dropped here a second earlier.
_KEEPALIVE_S = 4.0
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Transport(Protocol):
    """One way to reach an endpoint."""

    async def complete(self, template: ChatTemplate, user: str) -> Completion:
        """Send one request once; raises LLMError."""
        ...

    async def probe(self) -> None:
        """Make one free call that shows whether the endpoint is there; raises LLMError."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...


class AiohttpTransport:
    """Any OpenAI-compatible ``/chat/completions`` over one aiohttp connection pool.

    Args:
        base_url: up to and including ``/v1``.
        api_key: sent as a bearer token; None sends none.
        timeout_s: seconds from sending a request to the last byte of its answer. Opening a
            connection has its own limit of 10 s. There is no queue for connections: the
            gateway's gate decides how many requests are under way.
    """

    def __init__(self, base_url: str, api_key: str | None, timeout_s: float) -> None:
        self._base_url = base_url.rstrip("/")
        self._url = f"{self._base_url}/chat/completions"
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def complete(self, template: ChatTemplate, user: str) -> Completion:
        """Send one request once; raises LLMError."""
        status, headers, body = await self._exchange("POST", self._url, template.encode(user))
        if status != 200:
            raise classify(status, headers, body)
        return parse_completion(body)

    async def probe(self) -> None:
        """List the models; servers that have no such list (404, 405) are there all the same."""
        status, headers, body = await self._exchange("GET", f"{self._base_url}/models", None)
        if status in (401, 402):
            raise classify(status, headers, body)

    async def close(self) -> None:
        """Close the pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(self, method: str, url: str, body: bytes | None) -> tuple[int, Any, bytes]:
        try:
            async with self._open().request(method, url, data=body) as response:
                return response.status, response.headers, await response.read()
        except aiohttp.InvalidURL as error:
            raise EndpointRefused("no_such_url", f"{url} is not a URL; check --base-url") from error
        except TimeoutError as error:
            raise Transient("timeout", f"no answer within {self._timeout_s:g} s") from error
        except aiohttp.ClientConnectorError as error:
            number = error.os_error.errno
            reason = os.strerror(number) if number and number > 0 else str(error.os_error.strerror)
            where = f"{error.host}:{error.port}"
            raise Transient(
                "connection",
                f"cannot connect to {where} ({reason}); is it up, and --base-url right?",
            ) from error
        except aiohttp.ClientPayloadError as error:
            raise Transient("truncated", "the answer broke off") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Transient("connection", self._redacted(error)) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Content-Type": "application/json"}
            if self._api_key:
                headers["Authorization"] = f"Bearer {self._api_key}"
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S),
                timeout=aiohttp.ClientTimeout(
                    total=self._timeout_s, sock_connect=_CONNECT_TIMEOUT_S
                ),
                headers=headers,
                trust_env=urlsplit(self._base_url).hostname not in _LOOPBACK,
            )
        return self._session

    def _redacted(self, error: BaseException) -> str:
        text = " ".join(str(error).split()) or type(error).__name__
        return text.replace(self._api_key, "***") if self._api_key else text


def parse_completion(body: bytes) -> Completion:
    """The few fields that matter of a ``chat.completion`` object; raises LLMError."""
    try:
        document = orjson.loads(body)
        choice = document["choices"][0]
        message = choice["message"]
        usage = parse_usage(document.get("usage"))
        finish_reason = choice.get("finish_reason") or "stop"
        text = message.get("content")
        refusal = message.get("refusal")
        model = document.get("model") or ""
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError) as error:
        raise _unreadable(body) from error
    if finish_reason == "content_filter":
        raise UnusableArticle("content_filter", "the endpoint withheld the answer", usage=usage)
    if refusal and not text:
        raise UnusableArticle("content_filter", f"the model refused: {refusal}", usage=usage)
    return Completion(text, finish_reason, usage, model)


def parse_usage(usage: dict[str, Any] | None) -> Usage:
    """Tokens from a ``usage`` object; servers that send none count as zero."""
    if not usage:
        return NO_USAGE
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        usage.get("prompt_tokens") or 0,
        details.get("cached_tokens") or 0,
        usage.get("completion_tokens") or 0,
    )


def _unreadable(body: bytes) -> LLMError:
    """A 200 that is no completion: some gateways wrap an error so, others send rubbish."""
    if b'"error"' in body[:200]:
        return classify(500, {}, body)
    return Transient("bad_response", "the endpoint's answer is not a chat completion")
