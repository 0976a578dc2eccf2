"""Sends chat requests over our own thin HTTP client, to any compatible server."""

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
PROBE_REFUSED = {401, 402}
"""Statuses that show, for a list of models, that no call can succeed."""


class HttpTransport:
    """Any OpenAI-compatible ``/chat/completions`` over one HttpPool, the fast way.

    Where the environment names an HTTP proxy for the endpoint, all requests go through it.

    Args:
        base_url: up to and including ``/v1``.
        api_key: sent as a bearer token; None sends none.
        timeout_s: seconds from sending a request to the last byte of its answer. Opening a
            connection has its own limit of 10 s.
    """

    def __init__(self, base_url: str, api_key: str | None, timeout_s: float) -> None:
        self._base_url = base_url.rstrip("/")
        self._api_key = (api_key or "").strip() or None
        self._timeout_s = timeout_s
        self._stall_s: float | None = None
        self._pool: HttpPool | None = None

    @property
    def stall_s(self) -> float | None:
        """Seconds without a byte after which a call is given up; None for no such limit."""
        return self._stall_s

    @stall_s.setter
    def stall_s(self, seconds: float | None) -> None:
        self._stall_s = seconds
        if self._pool is not None:
            self._pool.stall_s = seconds

    async def complete(
        self, template: ChatTemplate, user: str, *, patience: float = 1.0
    ) -> Completion:
        """Send one request once; raises LLMError."""
        answer = await self._exchange(
            "POST", "/chat/completions", template.encode(user), patience=patience
        )
        if answer.status != 200:
            raise classify(answer.status, answer.headers, answer.body, self._api_key)
        headers = limit_headers(answer.headers) if answer.mentions(b"ratelimit-") else NO_HEADERS
        return parse_completion(answer.body, self._api_key, headers)

    async def probe(self) -> None:
        """List the models; servers that have no such list (404, 405) are there all the same."""
        answer = await self._exchange("GET", "/models", None)
        if answer.status == 401 and not self._api_key:
            raise EndpointUnavailable(
                "bad_key", "the endpoint wants a key; set OPENAI_API_KEY or name a Secret block"
            )
        if answer.status in PROBE_REFUSED:
            raise classify(answer.status, answer.headers, answer.body, self._api_key)

    async def close(self) -> None:
        """Close the pool."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def _exchange(
        self, method: str, path: str, body: bytes | None, *, patience: float = 1.0
    ) -> Response:
        pool = self._pool or self._open()
        try:
            return await pool.request(method, path, body, patience=patience)
        except HttpError as error:
            message, fault = one_line(error.message, self._api_key), str(error.fault)
            if fault == "connect":
                message, fault = f"{message}; is it up, and --base-url right?", "connection"
            # from None: what the server sent, and so the error, may have the key in it.
            raise Transient(fault, message) from None

    def _open(self) -> HttpPool:
        check_key(self._api_key)
        headers = {"Content-Type": "application/json"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        try:
            self._pool = HttpPool(
                self._base_url,
                headers,
                timeout_s=self._timeout_s,
                stall_s=self._stall_s,
                proxy=proxy_for(self._base_url),
            )
        except ValueError:
            raise EndpointUnavailable(
                "no_such_url", f"{self._base_url} is not a URL; check --base-url"
            ) from None
        return self._pool


def check_key(api_key: str | None) -> None:
    """Raise EndpointUnavailable if no HTTP header can carry the key."""
    if api_key and not (api_key.isascii() and api_key.isprintable()):
        raise EndpointUnavailable(
            "bad_key",
            "the API key has line breaks or other characters that no key has; "
            "check OPENAI_API_KEY or the Secret block",
        )


def proxy_for(base_url: str) -> str | None:
    """Return the proxy that the environment names for the endpoint; none for this machine.

    Raises:
        EndpointUnavailable: it is not an HTTP proxy.
    """
    parts = urlsplit(base_url)
    if not parts.hostname or parts.hostname in _LOOPBACK or proxy_bypass(parts.hostname):
        return None
    proxy = getproxies().get(parts.scheme)
    if proxy is None:
        return None
    scheme, found, _ = proxy.partition("://")
    if found and scheme.lower() not in ("http", "https"):
        raise EndpointUnavailable(
            "no_such_url", f"{parts.scheme}_proxy names a {scheme} proxy; only http and https work"
        )
    return proxy if found else f"http://{proxy}"
