"""A transport over the official OpenAI client, for providers that need its plug-ins.

Slower than `HttpTransport` (1 to 5 ms of CPU per request), but supports what the SDK does: Azure
AD tokens, Bedrock or Vertex adapters, a custom HTTP client.
"""

from __future__ import annotations

from math import inf

import openai
import orjson

from article_flows.tasks.llm.protocol.chat import ChatTemplate, Completion
from article_flows.tasks.llm.protocol.completion import parse_completion
from article_flows.tasks.llm.protocol.error_classification import classify, limit_headers, one_line
from article_flows.tasks.llm.protocol.errors import LLMError, Transient
from article_flows.tasks.llm.transports.http_transport import FATAL_PROBE_STATUSES, check_key


class OpenAITransport:
    """A transport over an ``AsyncOpenAI`` client.

    Args:
        client: Must not retry, as that would hide rate limits from the gateway.

    Attributes:
        stall_timeout_s: See `Transport`; a shorter timeout of the client takes precedence.

    Raises:
        ValueError: The client retries.
    """

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        if client.max_retries:
            raise ValueError("build the client with max_retries=0: the gateway retries")
        self.stall_timeout_s: float | None = None
        self._client = client

    async def complete(
        self, template: ChatTemplate, user: str, *, stall_timeout_factor: float = 1.0
    ) -> Completion:
        """Send one request, without retries; see `Transport.complete`."""
        check_key(self._client.api_key)
        body = {**template.options(), "messages": template.messages(user)}
        timeout = self._timeout(stall_timeout_factor)
        try:
            # Not chat.completions.create, which would follow redirects with the article, and whose
            # parser is less lenient than parse_completion.
            response = await self._client.post(
                "/chat/completions",
                body=body,
                cast_to=openai.HttpxBinaryResponseContent,
                options={"follow_redirects": False, "timeout": timeout},
            )
        except openai.APIError as error:
            # from None, because the library's error may contain the key.
            raise self._translate(error, timeout) from None
        headers = limit_headers(response.response.headers)
        return parse_completion(response.content, self._client.api_key, headers)

    async def probe(self) -> None:
        """List the models; a server without such a list passes as well."""
        check_key(self._client.api_key)
        timeout = self._timeout()
        try:
            await self._client.get(
                "/models",
                cast_to=openai.HttpxBinaryResponseContent,
                options={"follow_redirects": False, "timeout": timeout},
            )
        except openai.APIStatusError as error:
            if error.status_code in FATAL_PROBE_STATUSES:
                raise self._translate(error, timeout) from None
        except openai.APIError as error:
            raise self._translate(error, timeout) from None

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()

    def _timeout(self, stall_timeout_factor: float = 1.0) -> openai.Timeout:
        """Return the client's timeout, with the stall timeout as an upper bound on reads."""
        configured = self._client.timeout
        timeout = (
            configured if isinstance(configured, openai.Timeout) else openai.Timeout(configured)
        )
        if self.stall_timeout_s is None or stall_timeout_factor == inf:
            return timeout
        read = stall_timeout_factor * self.stall_timeout_s
        if timeout.read is not None:
            read = min(read, timeout.read)
        return openai.Timeout(
            connect=timeout.connect, read=read, write=timeout.write, pool=timeout.pool
        )

    def _translate(self, error: openai.APIError, timeout: openai.Timeout) -> LLMError:
        secret = self._client.api_key
        if isinstance(error, openai.APIStatusError):
            body = error.response.content or orjson.dumps({"error": error.body})
            return classify(error.status_code, error.response.headers, body, secret)
        if isinstance(error, openai.APITimeoutError):
            # By name, because the client supports two HTTP libraries, each with its own class.
            if type(error.__cause__).__name__ == "ReadTimeout" and timeout.read is not None:
                return Transient("timeout", f"no data for {timeout.read:g} s")
            return Transient("timeout", "no response in time")
        text = one_line(error.__cause__ or error, secret)
        if "message body" in text:
            return Transient("truncated", "the response was cut short")
        return Transient("connection", text or type(error.__cause__ or error).__name__)


def open_client(base_url: str, api_key: str | None, timeout_s: float) -> OpenAITransport:
    """Return a transport with a client of its own; ``timeout_s`` applies to each request."""
    client = openai.AsyncOpenAI(
        base_url=base_url,
        # The client requires a key; servers that need none ignore it.
        api_key=api_key or "none",
        max_retries=0,
        timeout=timeout_s,
    )
    return OpenAITransport(client)
