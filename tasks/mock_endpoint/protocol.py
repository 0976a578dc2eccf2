"""The OpenAI wire format of the mock endpoint: parses requests and formats errors.

Follows https://platform.openai.com/docs/api-reference/chat and the error codes guide.
"""

import re
from functools import cached_property
from hashlib import blake2b
from math import ceil
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, ValidationError

from article_flows.tasks.llm.protocol.token_estimate import estimate_tokens

MODEL_ID: Final = "extractive-v1"
NOTICE: Final = "extractive (picks sentences out of the text), not a language model"
_TOKENS_PER_MESSAGE: Final = 3
"""What the chat format adds per message and for the reply (OpenAI Cookbook, "How to count tokens
with tiktoken")."""
_TITLE = re.compile(r"Title:[ \t]*([^\n]*)\n[ \t]*\n", re.IGNORECASE)
_FAULTS: Final = {
    "http_500": (500, "server_error", None, "The server had an error. Sorry about that!"),
    "http_503": (503, "server_error", "overloaded", "That model is currently overloaded."),
    "http_429": (429, "requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    "insufficient_quota": (
        *(429, "insufficient_quota", "insufficient_quota"),
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "content_filter": (
        *(400, "invalid_request_error", "content_filter"),
        "The response was filtered due to the prompt triggering the content management policy.",
    ),
    "too_long": (
        *(400, "invalid_request_error", "context_length_exceeded"),
        "The messages exceed this model's maximum context length. Please reduce their length.",
    ),
}
"""Status, type, code and message of each fault and limit."""


class ApiError(Exception):
    """An error response in OpenAI's format.

    Args:
        status: The HTTP status.
        message: The error's message.
        code: The error's code.
        kind: The error's type.
        param: The parameter that is wrong.
        wait_s: Seconds for the Retry-After headers; 0 sends none.
        fault: The fault or limit that caused it; empty for a genuine error.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        kind: str = "invalid_request_error",
        param: str | None = None,
        wait_s: float = 0.0,
        fault: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.fault = fault
        retry = {"retry-after": str(ceil(wait_s)), "retry-after-ms": str(ceil(wait_s * 1000))}
        self.headers = retry if wait_s > 0 else {}
        error: dict[str, Any] = {"message": message, "type": kind, "param": param, "code": code}
        if code == "content_filter":
            error["innererror"] = {"code": "ResponsibleAIPolicyViolation"}  # As in Azure.
        self.body = orjson.dumps({"error": error})

    @classmethod
    def of_fault(cls, like: str, fault: str = "", wait_s: float = 0.0) -> "ApiError":
        """Return the error of the fault ``like``, reported as ``fault`` if that is given."""
        status, kind, code, message = _FAULTS[like]
        return cls(status, message, code=code, kind=kind, wait_s=wait_s, fault=fault or like)


def _join_parts(content: Any) -> Any:
    """Join the text parts of a message whose content is a list."""
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        texts = [part.get("text") for part in content]
        return "\n".join(texts) if all(isinstance(text, str) for text in texts) else content
    return content or ""


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Annotated[str, BeforeValidator(_join_parts)] = ""


class _JsonSchema(BaseModel):
    name: str
    definition: dict[str, Any] | None = Field(default=None, alias="schema")


class _ResponseFormat(BaseModel):
    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: _JsonSchema | None = None


class ChatRequest(BaseModel):
    """The body of a chat completion request."""

    model: Annotated[str, Field(min_length=1)]
    messages: Annotated[list[_Message], Field(min_length=1)]
    response_format: _ResponseFormat = _ResponseFormat()
    max_tokens: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        default=None, validation_alias=AliasChoices("max_completion_tokens", "max_tokens")
    )
    stream: Literal[False] | None = None
    n: Literal[1] | None = None

    @property
    def requested_schema(self) -> dict[str, Any] | None:
        """The JSON schema that the answer must conform to."""
        schema = self.response_format.json_schema
        return schema.definition if schema and self.response_format.type == "json_schema" else None

    @cached_property
    def instruction(self) -> str:
        """The system and developer messages."""
        return "\n".join(m.content for m in self.messages if m.role in ("system", "developer"))

    @cached_property
    def article(self) -> tuple[str, str]:
        """Title (may be empty) and text of the article; without tags, the last user message."""
        prompt = next((m.content for m in reversed(self.messages) if m.role == "user"), "")
        # An instruction may mention the tag; the one before the article ends its line.
        tag = "<article>\n" if "<article>\n" in prompt else "<article>"
        start, end = prompt.find(tag), prompt.rfind("</article>")
        text = (prompt[start + len(tag) : end] if 0 <= start < end else prompt).strip()
        titled = _TITLE.match(text)
        return (titled[1].strip(), text[titled.end() :]) if titled else ("", text)

    @cached_property
    def schema_tokens(self) -> int:
        """Estimated tokens of the schema."""
        schema = self.requested_schema
        return -(-len(orjson.dumps(schema)) // 4) if schema else 0

    @cached_property
    def prompt_tokens(self) -> int:
        """Estimated tokens of all messages and the schema."""
        texts = sum(estimate_tokens(message.content) for message in self.messages)
        return texts + self.schema_tokens + _TOKENS_PER_MESSAGE * (len(self.messages) + 1)

    @cached_property
    def prompt_hash(self) -> str:
        """A hash of the messages, as 16 hex digits."""
        messages = orjson.dumps([(message.role, message.content) for message in self.messages])
        return blake2b(messages, digest_size=8).hexdigest()


def parse_chat(raw: bytes) -> ChatRequest:
    """Parse the body of a chat completion request.

    Raises:
        ApiError: 400, naming the invalid parameter.
    """
    try:
        chat = ChatRequest.model_validate_json(raw)
    except ValidationError as error:
        raise _invalid(error) from None
    kind, schema = chat.response_format.type, chat.requested_schema
    if kind == "json_object" and not any("json" in m.content.lower() for m in chat.messages):
        message = "'messages' must contain the word 'json' in some form, to get a 'json_object'."
        raise ApiError(400, message, param="messages")
    if kind == "json_schema" and (schema is None or schema.get("type", "object") != "object"):
        message = "Invalid schema for response_format: it must be of 'type: \"object\"'."
        raise ApiError(400, message, param="response_format")
    return chat


def _invalid(error: ValidationError) -> ApiError:
    """Return the first validation error, with the name in OpenAI's style: messages[0].role."""
    problem = error.errors(include_url=False, include_input=False)[0]
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in problem["loc"])
    param = "".join(steps).removeprefix(".")
    if not param:
        return ApiError(400, f"We could not parse the JSON body of your request: {problem['msg']}")
    message = f"Invalid value for '{param}': {problem['msg']}."
    return ApiError(400, message, param=param, code="invalid_value")
