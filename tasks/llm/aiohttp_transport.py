"""How a chat request travels over aiohttp: slower than our own client, but through a proxy too."""

from __future__ import annotations

import os
import ssl
from math import inf
from typing import Any

import aiohttp

from tasks.llm import http_response
from tasks.llm.chat import ChatTemplate, Completion
from tasks.llm.classify import classify, limit_headers, one_line
from tasks.llm.completion import parse_completion
from tasks.llm.errors import EndpointRefused, LLMError, Transient
from tasks.llm.http_dialer import CONNECT_TIMEOUT_S
from tasks.llm.http_pool import KEEPALIVE_S
from tasks.llm.transport import check_key, mind_probe, proxy_for


class AiohttpTransport:
    """Any OpenAI-compatible ``/chat/completions`` over one aiohttp connection pool.

    Args:
        base_url: up to and including ``/v1``.
        api_key: sent as a bearer token; None sends none.
        timeout_s: seconds from sending a request to the last byte of its answer. Opening a
            connection has its own limit of 10 s. There is no queue for connections: the
            gateway's gate decides how many requests are under way.

    Attributes:
        stall_s: see Transport.
    """

    def __init__(self, base_url: str, api_key: str | None, timeout_s: float) -> None:
        self.stall_s: float | None = None
        self._base_url = base_url.rstrip("/")
        self._url = f"{self._base_url}/chat/completions"
        self._api_key = (api_key or "").strip() or None
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def complete(
        self, template: ChatTemplate, user: str, *, patience: float = 1.0
    ) -> Completion:
        """Send one request once; raises LLMError."""
        request = template.encode(user)
        status, headers, body = await self._exchange("POST", self._url, request, patience)
        if status != 200:
            raise classify(status, headers, body, self._api_key)
        return parse_completion(body, self._api_key, limit_headers(headers))

    async def probe(self) -> None:
        """List the models; servers that have no such list (404, 405) are there all the same."""
        status, headers, body = await self._exchange("GET", f"{self._base_url}/models", None)
        mind_probe(status, headers, body, self._api_key)

    async def close(self) -> None:
        """Close the pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(
        self, method: str, url: str, body: bytes | None, patience: float = 1.0
    ) -> tuple[int, Any, bytes]:
        check_key(self._api_key)
        stall_s = None if self.stall_s is None else patience * self.stall_s
        limits = aiohttp.ClientTimeout(
            total=self._timeout_s,
            sock_connect=CONNECT_TIMEOUT_S,
            sock_read=None if stall_s == inf else stall_s,
        )
        try:
            # A redirect would take the article, and a 301 or 302 a GET in its place, elsewhere.
            async with self._open().request(
                method, url, data=body, allow_redirects=False, timeout=limits
            ) as response:
                return response.status, response.headers, await _read(response)
        except aiohttp.SocketTimeoutError:
            raise Transient("timeout", f"no byte for {stall_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # from None: what the libraries say of an error may have the key in it.
            raise self._translated(error, url) from None

    def _translated(self, error: Exception, url: str) -> LLMError:
        match error:
            case aiohttp.InvalidURL():
                return EndpointRefused("no_such_url", f"{url} is not a URL; check --base-url")
            case aiohttp.ConnectionTimeoutError():
                return Transient("connection", f"no connection within {CONNECT_TIMEOUT_S:g} s")
            case TimeoutError():
                return Transient("timeout", f"no answer within {self._timeout_s:g} s")
            case aiohttp.ClientConnectorError():
                return Transient(
                    "connection",
                    f"cannot connect to {error.host}:{error.port} ({_reason(error.os_error)}); "
                    "is it up, and --base-url right?",
                )
            case aiohttp.ClientPayloadError():
                return Transient("truncated", "the answer broke off")
        return Transient("connection", one_line(error, self._api_key) or type(error).__name__)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Content-Type": "application/json"}
            if self._api_key:
                headers["Authorization"] = f"Bearer {self._api_key}"
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S),
                headers=headers,
                # Not trust_env: for each request that reads ~/.netrc in a thread, and it fails
                # where an entry there meets the bearer token.
                proxy=proxy_for(self._base_url),
            )
        return self._session


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, unpacked; an endless one, or a packed bomb, is given up on."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > http_response.LARGEST_BODY:
            raise Transient("too_large", http_response.too_large())
    return bytes(body)


def _reason(error: OSError) -> str:
    """Why there is no connection; TLS has its own errno, which os.strerror would misread."""
    if isinstance(error, ssl.SSLError) or not error.errno or error.errno < 0:
        return one_line(error.strerror or error)
    return os.strerror(error.errno)
