"""The OpenAI wire format of the mock endpoint: requests in, completions and errors out.

Shapes follow https://platform.openai.com/docs/api-reference/chat and the error codes guide.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from hashlib import blake2b
from math import ceil
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from tasks.llm.tokens import estimate_tokens

MODEL_ID: Final = "extractive-v1"
NOTICE: Final = "extractive (picks sentences out of the text), not a language model"
_TOKENS_PER_MESSAGE: Final = 3
"""What the chat format adds to each message, and once more for the reply: OpenAI's cookbook,
"How to count tokens with tiktoken"."""
_TITLE = re.compile(r"Title:[ \t]*([^\n]*)\n[ \t]*\n", re.IGNORECASE)


class ApiError(Exception):
    """An answer other than 200, in the shape of an OpenAI error.

    Attributes:
        status: the HTTP status.
        code: OpenAI's code for it.
        headers: sent with the body.
        body: the JSON.
        fault: the fault or limit that caused it, for the statistics; "" for an honest error.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        kind: str = "invalid_request_error",
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        fault: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.fault = fault
        self.headers = dict(headers or {})
        error = {"message": message, "type": kind, "param": param, "code": code, **(extra or {})}
        self.body = orjson.dumps({"error": error})


def _join_parts(content: Any) -> Any:
    """Join a list of text parts, which a message may have in place of a string."""
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        texts = [part.get("text") for part in content]
        return "\n".join(texts) if all(isinstance(text, str) for text in texts) else content
    return content


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Annotated[str | None, BeforeValidator(_join_parts)] = None


class _JsonSchema(BaseModel):
    name: str
    definition: dict[str, Any] | None = Field(default=None, alias="schema")


class _ResponseFormat(BaseModel):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _JsonSchema | None = None


_Tokens = Annotated[int, Field(strict=True, ge=1)]


class ChatRequest(BaseModel):
    """The body of a chat completion request, and what it asks for."""

    model: Annotated[str, Field(min_length=1)]
    messages: Annotated[list[_Message], Field(min_length=1)]
    response_format: _ResponseFormat = _ResponseFormat(type="text")
    max_completion_tokens: _Tokens | None = None
    max_tokens: _Tokens | None = None
    stream: Literal[False] | None = None
    n: Literal[1] | None = None

    @property
    def limit(self) -> int | None:
        """The most tokens that the answer may have."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def schema_wanted(self) -> dict[str, Any] | None:
        """The JSON schema that the answer must be valid against."""
        wanted = self.response_format.json_schema
        return wanted.definition if wanted and self.response_format.type == "json_schema" else None

    @cached_property
    def instruction(self) -> str:
        """The system and developer messages."""
        roles = ("system", "developer")
        return "\n".join(each.content or "" for each in self.messages if each.role in roles)

    @cached_property
    def article(self) -> tuple[str, str]:
        """Title ("" if there is none) and text of the article, or the whole last user message."""
        users = [each.content or "" for each in self.messages if each.role == "user"]
        prompt = users[-1] if users else ""
        # An instruction may speak of the marks; those around the article end a line.
        mark = "<article>\n" if "<article>\n" in prompt else "<article>"
        start, end = prompt.find(mark), prompt.rfind("</article>")
        text = (prompt[start + len(mark) : end] if 0 <= start < end else prompt).strip()
        titled = _TITLE.match(text)
        return (titled[1].strip(), text[titled.end() :]) if titled else ("", text)

    @cached_property
    def fixed_tokens(self) -> int:
        """The estimate for the system messages and the schema, which an endpoint can cache."""
        schema = b"" if self.schema_wanted is None else orjson.dumps(self.schema_wanted)
        return estimate_tokens(self.instruction) + -(-len(schema) // 4)

    @cached_property
    def prompt_tokens(self) -> int:
        """The estimate for all messages and the schema."""
        texts = [each.content or "" for each in self.messages]
        return (
            _TOKENS_PER_MESSAGE * (len(texts) + 1)
            + sum(map(estimate_tokens, texts))
            + self.fixed_tokens
            - estimate_tokens(self.instruction)
        )

    @cached_property
    def prompt_hash(self) -> str:
        """16 hex digits of the messages alone."""
        told = orjson.dumps([(each.role, each.content) for each in self.messages])
        return blake2b(told, digest_size=8).hexdigest()


def parse_chat(raw: bytes) -> ChatRequest:
    """Read the body of a chat completion request.

    Raises:
        ApiError: 400, with the parameter that is wrong.
    """
    try:
        chat = ChatRequest.model_validate_json(raw)
    except ValidationError as error:
        raise _invalid(error) from None
    kind, schema = chat.response_format.type, chat.schema_wanted
    if kind == "json_object" and not any(
        "json" in (m.content or "").lower() for m in chat.messages
    ):
        raise ApiError(
            400,
            "'messages' must contain the word 'json' in some form, to use 'response_format' of "
            "type 'json_object'.",
            param="messages",
        )
    if kind == "json_schema" and (schema is None or schema.get("type", "object") != "object"):
        raise ApiError(
            400,
            "Invalid schema for response_format: schema must be a JSON Schema of "
            "'type: \"object\"'.",
            param="response_format",
        )
    return chat


def _invalid(error: ValidationError) -> ApiError:
    """Report the first thing that is wrong, with its name as OpenAI writes it: messages[0].role."""
    problem = error.errors(include_url=False, include_input=False)[0]
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in problem["loc"])
    param = "".join(steps).removeprefix(".")
    if not param:
        return ApiError(400, f"We could not parse the JSON body of your request: {problem['msg']}")
    message = f"Invalid value for '{param}': {problem['msg']}."
    return ApiError(400, message, param=param, code="invalid_value")


_ERRORS: Final = {
    "http_500": (
        500,
        "server_error",
        None,
        "The server had an error while processing your request.",
    ),
    "http_503": (503, "server_error", "overloaded", "That model is currently overloaded."),
    "insufficient_quota": (
        *(429, "insufficient_quota", "insufficient_quota"),
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "content_filter": (
        *(400, "invalid_request_error", "content_filter"),
        "The response was filtered due to the prompt triggering the content management policy.",
    ),
}
_AZURE: Final = {"status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}}


def error_of(shape: str, fault: str) -> ApiError:
    """Return an error in the shape of OpenAI's or, for the content filter, Azure's."""
    status, kind, code, message = _ERRORS[shape]
    azure = _AZURE if shape == "content_filter" else None
    return ApiError(status, message, code=code, kind=kind, extra=azure, fault=fault)


def rate_limited(message: str, wait_s: float, fault: str, kind: str = "requests") -> ApiError:
    """Return a 429 that says how long to wait, in whole seconds and in milliseconds.

    A wait of 0 seconds leaves the caller to guess it.
    """
    headers = {"retry-after": str(ceil(wait_s)), "retry-after-ms": str(ceil(wait_s * 1000))}
    return ApiError(
        429,
        message,
        code="rate_limit_exceeded",
        kind=kind,
        headers=headers if wait_s > 0 else None,
        fault=fault,
    )
