"""Send chat requests to any OpenAI-compatible server over a lightweight HTTP client."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from article_flows.tasks.llm.protocol.chat import NO_HEADERS, ChatTemplate, Completion
from article_flows.tasks.llm.protocol.completion import parse_completion
from article_flows.tasks.llm.protocol.error_classification import classify, limit_headers, one_line
from article_flows.tasks.llm.protocol.errors import EndpointUnavailable, Transient
from article_flows.tasks.llm.transports.http_pool import HttpPool
from article_flows.tasks.llm.transports.http_response import HttpError, Response

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
FATAL_PROBE_STATUSES = {401, 402}
"""Statuses of the model list that show that no request can succeed."""


class HttpTransport:
    """The default transport, over an `HttpPool`.

    If the environment names an HTTP proxy for the endpoint, all requests go through it.

    Args:
        base_url: Up to and including ``/v1``.
        api_key: Sent as a bearer token; None sends none.
        timeout_s: Seconds from sending a request to the last byte of its response. Opening a
            connection has a separate limit of 10 s.
    """

    def __init__(self, base_url: str, api_key: str | None, timeout_s: float) -> None:
        self._base_url = base_url.rstrip("/")
        self._api_key = (api_key or "").strip() or None
        self._timeout_s = timeout_s
        self._stall_timeout_s: float | None = None
        self._pool: HttpPool | None = None

    @property
    def stall_timeout_s(self) -> float | None:
        """Seconds without a byte after which a request is aborted; None for no limit."""
        return self._stall_timeout_s

    @stall_timeout_s.setter
    def stall_timeout_s(self, seconds: float | None) -> None:
        self._stall_timeout_s = seconds
        if self._pool is not None:
            self._pool.stall_timeout_s = seconds

    async def complete(
        self, template: ChatTemplate, user: str, *, stall_timeout_factor: float = 1.0
    ) -> Completion:
        """Send one request, without retries; see `Transport.complete`."""
        response = await self._request(
            "POST", "/chat/completions", template.encode(user), stall_timeout_factor
        )
        if response.status != 200:
            raise classify(response.status, response.headers, response.body, self._api_key)
        has_limits = response.mentions(b"ratelimit-")
        headers = limit_headers(response.headers) if has_limits else NO_HEADERS
        return parse_completion(response.body, self._api_key, headers)

    async def probe(self) -> None:
        """List the models; a server without such a list (404, 405) passes as well."""
        response = await self._request("GET", "/models", None)
        if response.status == 401 and not self._api_key:
            raise EndpointUnavailable(
                "bad_key", "the endpoint requires a key; set OPENAI_API_KEY or name a Secret block"
            )
        if response.status in FATAL_PROBE_STATUSES:
            raise classify(response.status, response.headers, response.body, self._api_key)

    async def close(self) -> None:
        """Close the pool."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def _request(
        self, method: str, path: str, body: bytes | None, stall_timeout_factor: float = 1.0
    ) -> Response:
        pool = self._pool or self._open_pool()
        try:
            return await pool.request(method, path, body, stall_timeout_factor=stall_timeout_factor)
        except HttpError as error:
            message, fault = one_line(error.message, self._api_key), str(error.fault)
            if fault == "connect":
                message, fault = (
                    f"{message}; check that it is running, and --base-url",
                    "connection",
                )
            # from None, because the error may contain the key if the server echoed it.
            raise Transient(fault, message) from None

    def _open_pool(self) -> HttpPool:
        check_key(self._api_key)
        headers = {"Content-Type": "application/json"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        try:
            self._pool = HttpPool(
                self._base_url,
                headers,
                timeout_s=self._timeout_s,
                stall_timeout_s=self._stall_timeout_s,
                proxy=proxy_for(self._base_url),
            )
        except ValueError:
            raise EndpointUnavailable(
                "no_such_url", f"{self._base_url} is not a URL; check --base-url"
            ) from None
        return self._pool


def check_key(api_key: str | None) -> None:
    """Raise EndpointUnavailable if the key cannot be sent in an HTTP header."""
    if api_key and not (api_key.isascii() and api_key.isprintable()):
        raise EndpointUnavailable(
            "bad_key",
            "the API key contains line breaks or other characters that are not valid in a key; "
            "check OPENAI_API_KEY or the Secret block",
        )


def proxy_for(base_url: str) -> str | None:
    """Return the URL of the proxy that the environment names for the endpoint, if any.

    Loopback addresses are never reached through a proxy.

    Raises:
        EndpointUnavailable: The proxy is not an HTTP proxy.
    """
    parts = urlsplit(base_url)
    if not parts.hostname or parts.hostname in _LOOPBACK or proxy_bypass(parts.hostname):
        return None
    proxy = getproxies().get(parts.scheme)
    if proxy is None:
        return None
    scheme, separator, _ = proxy.partition("://")
    if separator and scheme.lower() not in ("http", "https"):
        raise EndpointUnavailable(
            "no_such_url",
            f"{parts.scheme}_proxy names a {scheme} proxy; only http and https are supported",
        )
    return proxy if separator else f"http://{proxy}"
