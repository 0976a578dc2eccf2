"""The OpenAI wire format of the embedded endpoint: requests in, errors out.

Shapes follow https://platform.openai.com/docs/api-reference/chat and the error codes guide.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

import orjson

from tasks.llm.tokens import estimate_tokens

MODEL_ID: Final = "extractive-v1"
NOTICE: Final = "extractive (picks sentences out of the text), not a language model"
_TOKENS_PER_MESSAGE: Final = 3
"""What the chat format adds to each message, and once more for the reply: OpenAI's cookbook,
"How to count tokens with tiktoken"."""

_OPENING = "<article>"
_CLOSING = "</article>"
_TITLE = re.compile(r"Title:[ \t]*([^\n]*)\n[ \t]*\n", re.IGNORECASE)
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_INSTRUCTING = ("system", "developer")


class ApiError(Exception):
    """An answer other than 200, in the shape of an OpenAI error.

    Attributes:
        status: the HTTP status.
        code: OpenAI's code for it.
        headers: what goes beside the body.
        body: the JSON.
        fault: the fault or limit that made it, for the statistics; "" for an honest error.
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
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.fault = ""
        self.headers = dict(headers or {})
        error = {"message": message, "type": kind, "param": param, "code": code, **(extra or {})}
        self.body = orjson.dumps({"error": error})


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a chat completion request asks for.

    Attributes:
        model: the model's name, as the caller wrote it.
        instruction: the system and developer messages.
        title: the article's title if the prompt has one, else "".
        text: the article, or the whole last user message.
        schema: the JSON schema that the answer must be valid against.
        json_object: whether any JSON object will do.
        max_tokens: the most tokens the answer may have.
        prompt_tokens: the estimate for all messages and the schema.
        prompt_hash: 16 hex digits of the messages alone.
        cacheable: key and tokens of the prompt's fixed part (system messages and schema).
    """

    model: str
    instruction: str
    title: str
    text: str
    schema: dict[str, Any] | None
    json_object: bool
    max_tokens: int | None
    prompt_tokens: int
    prompt_hash: str
    cacheable: tuple[bytes, int] = field(default=(b"", 0))


def parse_chat(raw: bytes) -> ChatRequest:
    """Read the body of a chat completion request, or raise the ApiError that says what is wrong."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, f"We could not parse the JSON body of your request: {error}") from None
    if not isinstance(body, dict):
        raise ApiError(400, "The body of the request must be a JSON object.")
    messages = _messages(body)
    _refuse_unsupported(body)
    schema, json_object = _response_format(body)
    instruction = "\n".join(text for role, text in messages if role in _INSTRUCTING)
    if json_object and not any("json" in text.lower() for _, text in messages):
        raise ApiError(
            400,
            "'messages' must contain the word 'json' in some form, to use 'response_format' of "
            "type 'json_object'.",
            param="messages",
        )
    schema_json = orjson.dumps(schema) if schema is not None else b""
    fixed_tokens = estimate_tokens(instruction) + -(-len(schema_json) // 4)
    prompt = next((text for role, text in reversed(messages) if role == "user"), "")
    title, text = _article(prompt)
    return ChatRequest(
        model=_model(body),
        instruction=instruction,
        title=title,
        text=text,
        schema=schema,
        json_object=json_object,
        max_tokens=_max_tokens(body),
        prompt_tokens=_TOKENS_PER_MESSAGE * (len(messages) + 1)
        + -(-len(schema_json) // 4)
        + sum(estimate_tokens(text) for _, text in messages),
        prompt_hash=blake2b(orjson.dumps(body["messages"]), digest_size=8).hexdigest(),
        cacheable=(
            blake2b(instruction.encode() + b"\0" + schema_json, digest_size=16).digest(),
            fixed_tokens,
        ),
    )


def _model(body: dict[str, Any]) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise ApiError(400, "you must provide a model parameter", param="model")
    return model


def _messages(body: dict[str, Any]) -> list[tuple[str, str]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, "'messages' must be a list of at least one message.", param="messages")
    return [_message(index, message) for index, message in enumerate(messages)]


def _message(index: int, message: Any) -> tuple[str, str]:
    place = f"messages[{index}]"
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        raise ApiError(
            400,
            f"Invalid value for '{place}.role': expected one of {', '.join(sorted(_ROLES))}.",
            param=f"{place}.role",
            code="invalid_value",
        )
    content = message.get("content")
    if isinstance(content, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in content
    ):
        content = "\n".join(part["text"] for part in content)
    if content is None and message["role"] == "assistant":
        content = ""
    if not isinstance(content, str):
        raise ApiError(
            400,
            f"Invalid type for '{place}.content': expected a string or a list of text parts.",
            param=f"{place}.content",
            code="invalid_type",
        )
    return message["role"], content


def _refuse_unsupported(body: dict[str, Any]) -> None:
    if body.get("stream"):
        raise ApiError(
            400,
            "This endpoint does not support streaming; send the request without 'stream'.",
            param="stream",
            code="unsupported_value",
        )
    if body.get("n") not in (None, 1):
        raise ApiError(
            400, "This endpoint gives one choice; 'n' must be 1.", param="n", code="invalid_value"
        )


def _max_tokens(body: dict[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ApiError(
                400,
                f"Invalid value for '{name}': expected an integer of at least 1.",
                param=name,
                code="integer_below_min_value",
            )
        return value
    return None


def _response_format(body: dict[str, Any]) -> tuple[dict[str, Any] | None, bool]:
    wanted = body.get("response_format")
    if wanted is None:
        return None, False
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind in ("text", "json_object"):
        return None, kind == "json_object"
    if kind != "json_schema":
        raise ApiError(
            400,
            "Invalid value for 'response_format.type': expected one of json_object, json_schema, "
            "text.",
            param="response_format.type",
            code="invalid_value",
        )
    outer = wanted.get("json_schema")
    if not isinstance(outer, dict) or not isinstance(outer.get("name"), str):
        raise ApiError(
            400,
            "Missing required parameter: 'response_format.json_schema.name'.",
            param="response_format.json_schema.name",
            code="missing_required_parameter",
        )
    schema = outer.get("schema")
    if not isinstance(schema, dict) or ("type" in schema and schema["type"] != "object"):
        raise ApiError(
            400,
            f"Invalid schema for response_format '{outer['name']}': schema must be a JSON Schema "
            "of 'type: \"object\"'.",
            param="response_format",
        )
    return schema, False


def _article(prompt: str) -> tuple[str, str]:
    # An instruction may speak of the marks; those around the article stand at the end of a line.
    start = prompt.find(f"{_OPENING}\n")
    if start < 0:
        start = prompt.find(_OPENING)
    end = prompt.rfind(_CLOSING)
    marked = 0 <= start < end
    text = (prompt[start + len(_OPENING) : end] if marked else prompt).strip()
    titled = _TITLE.match(text)
    return (titled[1].strip(), text[titled.end() :]) if titled else ("", text)
