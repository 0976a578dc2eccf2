"""The same interface over the official client, for providers that need its plug-ins.

Slower than aiohttp (1 to 5 ms of CPU a call), but anything that the SDK can reach it can:
Azure AD tokens, Bedrock or Vertex adapters, a custom HTTP client.
"""

from __future__ import annotations

import openai
import orjson

from tasks.llm.chat import ChatTemplate, Completion
from tasks.llm.classify import classify
from tasks.llm.errors import LLMError, Transient
from tasks.llm.transport import parse_completion


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
        body = {**template.options(), "messages": template.messages(user)}
        try:
            response = await self._client.chat.completions.with_raw_response.create(**body)
        except openai.APIError as error:
            raise _translated(error) from error
        return parse_completion(response.content)

    async def probe(self) -> None:
        """List the models; servers that have no such list are there all the same."""
        try:
            await self._client.models.list()
        except openai.APIStatusError as error:
            if error.status_code in (401, 402):
                raise _translated(error) from error
        except openai.APIError as error:
            raise _translated(error) from error

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()


def _translated(error: openai.APIError) -> LLMError:
    if isinstance(error, openai.APIStatusError):
        body = error.response.content or orjson.dumps({"error": error.body})
        return classify(error.status_code, error.response.headers, body)
    if isinstance(error, openai.APITimeoutError):
        return Transient("timeout", "no answer in time")
    cause = error.__cause__ or error
    return Transient("connection", " ".join(str(cause).split()) or type(cause).__name__)
