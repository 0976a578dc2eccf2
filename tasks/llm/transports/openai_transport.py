"""The same interface over the official client, for providers that need its plug-ins.

Slower than aiohttp (1 to 5 ms of CPU a call), but anything that the SDK can reach it can:
Azure AD tokens, Bedrock or Vertex adapters, a custom HTTP client.
"""

from __future__ import annotations

from math import inf

import openai
import orjson

from article_flows.tasks.llm.protocol.chat import ChatTemplate, Completion
from article_flows.tasks.llm.protocol.completion import parse_completion
from article_flows.tasks.llm.protocol.error_classification import classify, limit_headers, one_line
from article_flows.tasks.llm.protocol.errors import LLMError, Transient
from article_flows.tasks.llm.transports.http_transport import PROBE_REFUSED, check_key


class OpenAITransport:
    """Calls through an ``AsyncOpenAI`` client, whose own retries must be off.

    Attributes:
        stall_s: see Transport; a limit of the client's own that is shorter holds all the same.

    Raises:
        ValueError: the client would retry by itself, which hides rate limits from the gateway.
    """

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        if client.max_retries:
            raise ValueError("build the client with max_retries=0: the gateway retries")
        self.stall_s: float | None = None
        self._client = client

    async def complete(
        self, template: ChatTemplate, user: str, *, patience: float = 1.0
    ) -> Completion:
        """Send one request once; raises LLMError."""
        check_key(self._client.api_key)
        body = {**template.options(), "messages": template.messages(user)}
        limits = self._limits(patience)
        try:
            # Not chat.completions.create: it would follow a redirect with the article, and
            # parse a body that parse_completion is more lenient with.
            response = await self._client.post(
                "/chat/completions",
                body=body,
                cast_to=openai.HttpxBinaryResponseContent,
                options={"follow_redirects": False, "timeout": limits},
            )
        except openai.APIError as error:
            # from None: what the library says of an error may have the key in it.
            raise self._translated(error, limits) from None
        headers = limit_headers(response.response.headers)
        return parse_completion(response.content, self._client.api_key, headers)

    async def probe(self) -> None:
        """List the models; servers that have no such list are there all the same."""
        check_key(self._client.api_key)
        limits = self._limits()
        try:
            await self._client.get(
                "/models",
                cast_to=openai.HttpxBinaryResponseContent,
                options={"follow_redirects": False, "timeout": limits},
            )
        except openai.APIStatusError as error:
            if error.status_code in PROBE_REFUSED:
                raise self._translated(error, limits) from None
        except openai.APIError as error:
            raise self._translated(error, limits) from None

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()

    def _limits(self, patience: float = 1.0) -> openai.Timeout:
        """The client's own limits, with no wait for a byte longer than ``stall_s``."""
        own = self._client.timeout
        limits = own if isinstance(own, openai.Timeout) else openai.Timeout(own)
        if self.stall_s is None or patience == inf:
            return limits
        stall_s = patience * self.stall_s
        read = stall_s if limits.read is None else min(stall_s, limits.read)
        return openai.Timeout(
            connect=limits.connect, read=read, write=limits.write, pool=limits.pool
        )

    def _translated(self, error: openai.APIError, limits: openai.Timeout) -> LLMError:
        secret = self._client.api_key
        if isinstance(error, openai.APIStatusError):
            body = error.response.content or orjson.dumps({"error": error.body})
            return classify(error.status_code, error.response.headers, body, secret)
        if isinstance(error, openai.APITimeoutError):
            # By name: the client has two HTTP libraries to choose from, each with its own class.
            if type(error.__cause__).__name__ == "ReadTimeout" and limits.read is not None:
                return Transient("timeout", f"no byte for {limits.read:g} s")
            return Transient("timeout", "no answer in time")
        text = one_line(error.__cause__ or error, secret)
        if "message body" in text:
            return Transient("truncated", "the answer broke off")
        return Transient("connection", text or type(error.__cause__ or error).__name__)


def open_client(base_url: str, api_key: str | None, timeout_s: float) -> OpenAITransport:
    """A transport over a client of its own; ``timeout_s`` is for one call."""
    client = openai.AsyncOpenAI(
        base_url=base_url,
        # The client refuses to be without one; servers that want no key do not look at it.
        api_key=api_key or "none",
        max_retries=0,
        timeout=timeout_s,
    )
    return OpenAITransport(client)
