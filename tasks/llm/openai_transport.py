"""The same interface over the official client, for providers that need its plug-ins.

Slower than aiohttp (1 to 5 ms of CPU a call), but anything that the SDK can reach it can:
Azure AD tokens, Bedrock or Vertex adapters, a custom HTTP client.
"""

from __future__ import annotations

import openai
import orjson

from tasks.llm.chat import ChatTemplate, Completion
from tasks.llm.classify import classify, one_line
from tasks.llm.completion import parse_completion
from tasks.llm.errors import LLMError, Transient
from tasks.llm.transport import PROBE_REFUSED, check_key


class OpenAITransport:
    """Calls through an ``AsyncOpenAI`` client, whose own retries must be off.

    Raises:
        ValueError: the client would retry by itself, which hides rate limits from the gateway.
    """

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        if client.max_retries:
            raise ValueError("build the client with max_retries=0: the gateway retries")
        self._client = client

    async def complete(self, template: ChatTemplate, user: str) -> Completion:
        """Send one request once; raises LLMError."""
        check_key(self._client.api_key)
        body = {**template.options(), "messages": template.messages(user)}
        try:
            # Not chat.completions.create: it would follow a redirect with the article, and
            # parse a body that parse_completion is more lenient with.
            response = await self._client.post(
                "/chat/completions",
                body=body,
                cast_to=openai.HttpxBinaryResponseContent,
                options={"follow_redirects": False},
            )
        except openai.APIError as error:
            # from None: what the library says of an error may have the key in it.
            raise self._translated(error) from None
        return parse_completion(response.content, self._client.api_key)

    async def probe(self) -> None:
        """List the models; servers that have no such list are there all the same."""
        check_key(self._client.api_key)
        try:
            await self._client.get(
                "/models",
                cast_to=openai.HttpxBinaryResponseContent,
                options={"follow_redirects": False},
            )
        except openai.APIStatusError as error:
            if error.status_code in PROBE_REFUSED:
                raise self._translated(error) from None
        except openai.APIError as error:
            raise self._translated(error) from None

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()

    def _translated(self, error: openai.APIError) -> LLMError:
        secret = self._client.api_key
        if isinstance(error, openai.APIStatusError):
            body = error.response.content or orjson.dumps({"error": error.body})
            return classify(error.status_code, error.response.headers, body, secret)
        if isinstance(error, openai.APITimeoutError):
            return Transient("timeout", "no answer in time")
        text = one_line(error.__cause__ or error, secret)
        if "message body" in text:
            return Transient("truncated", "the answer broke off")
        return Transient("connection", text or type(error.__cause__ or error).__name__)
