import email.utils
import math
import time
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from article_flows.tasks.llm.protocol.error_classification import (
    classify,
    classify_wrapped,
    duration,
    one_line,
    retry_after,
)
from article_flows.tasks.llm.protocol.errors import (
    PERMANENT_ERROR_CLASSES,
    EndpointUnavailable,
    LLMError,
    RateLimited,
    RejectedInput,
    Transient,
)

KEY = "sk-proj-0123456789abcdef"
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def of(status: int, error: Any = None, headers: dict[str, str] | None = None) -> LLMError:
    """Classify an error in OpenAI's format."""
    return classify(status, headers or {}, orjson.dumps({"error": error or {}}))


@pytest.mark.parametrize(
    ("status", "error", "kind", "error_class"),
    [
        (429, {"code": "rate_limit_exceeded"}, RateLimited, "rate_limited"),
        (429, {"type": "insufficient_quota"}, EndpointUnavailable, "out_of_quota"),
        (429, {"code": "insufficient_quota"}, EndpointUnavailable, "out_of_quota"),
        (403, {"code": "billing_not_active"}, EndpointUnavailable, "out_of_quota"),
        (402, {"message": "Insufficient Balance"}, EndpointUnavailable, "out_of_quota"),
        (401, {"code": "invalid_api_key"}, EndpointUnavailable, "bad_key"),
        (403, {"message": "Country not supported"}, EndpointUnavailable, "bad_key"),
        (400, {"message": "API key not valid.", "code": 400}, EndpointUnavailable, "bad_key"),
        (404, {"code": "model_not_found"}, EndpointUnavailable, "no_such_model"),
        (404, {"message": "The model `x` does not exist"}, EndpointUnavailable, "no_such_model"),
        (404, {"message": "Invalid URL (POST /chat)"}, EndpointUnavailable, "no_such_url"),
        (405, {}, EndpointUnavailable, "no_such_url"),
        (500, {"type": "server_error"}, Transient, "server_error"),
        (502, {}, Transient, "server_error"),
        (503, {"code": "overloaded"}, Transient, "server_error"),
        (529, {"type": "overloaded_error"}, Transient, "server_error"),
        (408, {}, Transient, "server_error"),
        (409, {}, Transient, "server_error"),
        (400, {"code": "content_filter"}, RejectedInput, "content_filter"),
        (500, {"code": "content_filter"}, RejectedInput, "content_filter"),
        (403, {"metadata": {"flagged_input": "…"}}, RejectedInput, "content_filter"),
        (400, {"code": "context_length_exceeded"}, RejectedInput, "too_long"),
        (400, {"type": "exceed_context_size_error"}, RejectedInput, "too_long"),
        (400, {"message": "maximum context length is 8192"}, RejectedInput, "too_long"),
        (413, {}, RejectedInput, "too_long"),
        (400, {"message": "Unsupported parameter"}, RejectedInput, "bad_request"),
        (422, {}, RejectedInput, "bad_request"),
    ],
)
def test_errors_are_classified_by_status_and_code(
    status: int, error: Any, kind: type[LLMError], error_class: str
) -> None:
    classified = of(status, error)
    assert type(classified) is kind
    assert classified.error_class == error_class


def test_a_request_larger_than_the_quota_is_too_long_and_not_rate_limited() -> None:
    """OpenAI answers 429 to a prompt beyond a whole minute's tokens: retrying would never end."""
    message = (
        "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 41000. "
        "The input or output tokens must be reduced in order to run successfully."
    )
    assert of(429, {"message": message, "code": "rate_limit_exceeded"}).error_class == "too_long"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_stops_the_run_and_names_its_target(status: int) -> None:
    error = classify(status, {"location": "https://elsewhere.example/x"}, b"")
    assert isinstance(error, EndpointUnavailable)
    assert "https://elsewhere.example/x" in error.message
    assert "--base-url" in error.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "Oh no"}}, "Oh no"),
        ({"error": "Oh no"}, "Oh no"),
        ({"message": "Oh no", "object": "error"}, "Oh no"),
        ({"detail": "Oh no"}, "Oh no"),
        ({"detail": {"message": "Oh no"}}, "Oh no"),
        ({"error": {"detail": "Oh no"}}, "Oh no"),
        ([{"error": {"code": 400, "message": "Oh no"}}], "Oh no"),
        (
            {"detail": [{"loc": ["body", "model"], "msg": "Field required", "input": "SECRET"}]},
            "body.model: Field required",
        ),
        ({"detail": ["Oh no", {"msg": "dear"}]}, "Oh no; dear"),
    ],
)
def test_the_message_is_found_in_every_usual_wrapping(body: Any, message: str) -> None:
    assert classify(400, {}, orjson.dumps(body)).message == f"HTTP 400: {message}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html><head><title>502 Bad Gateway</title></head>...", "HTTP 502: 502 Bad Gateway"),
        (b"<!doctype html><style>p{}</style><p>We&#39;ll be\nback</p>", "HTTP 502: We'll be back"),
        (b"<p>Sorry</p><script>" + b"x" * 10**6, "HTTP 502: Sorry"),
        (b"upstream connect error\r\n\r\n", "HTTP 502: upstream connect error"),
        (b"", "HTTP 502"),
        (b"null", "HTTP 502: null"),
        (b'{"error": null}', 'HTTP 502: {"error": null}'),
    ],
)
def test_a_body_that_is_not_json_gives_a_one_line_message(body: bytes, message: str) -> None:
    assert classify(502, {}, body).message == message


@given(st.integers(300, 599), st.binary(), TEXT)
@example(500, b"<" * 200_000, "")
@example(500, bytes(range(256)) * 40_000, "\x1b[31m\x00\r\n")
def test_any_body_gives_a_short_printable_line(status: int, body: bytes, text: str) -> None:
    for sent in (body, orjson.dumps({"error": {"message": text}}), orjson.dumps({"detail": text})):
        error = classify(status, {}, sent)
        assert error.message.isprintable()
        assert len(error.message) < 500


NAMES = st.sampled_from(["error", "detail", "message", "code", "type", "metadata", "loc", "msg"])
JSON = st.recursive(
    st.none() | st.integers(0, 600) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
)


@given(JSON)
def test_any_json_gives_an_error(document: Any) -> None:
    body = orjson.dumps(document)
    assert isinstance(classify(400, {}, body), LLMError)
    assert isinstance(classify_wrapped(body), LLMError)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "message": "slow down"}, RateLimited),
        ({"code": "429", "message": "slow down"}, RateLimited),
        ({"type": "rate_limit_error", "message": "slow down"}, RateLimited),
        ({"code": 502, "message": "upstream"}, Transient),
        ({"message": "upstream"}, Transient),
        ({"code": "insufficient_quota", "message": "no money"}, EndpointUnavailable),
        ({"code": 401, "message": "No auth"}, EndpointUnavailable),
        ({"code": 402}, EndpointUnavailable),
        ({"code": "content_filter", "message": "no"}, RejectedInput),
        ({"code": 400, "message": "maximum context length is 5"}, RejectedInput),
    ],
)
def test_an_error_wrapped_in_a_200_is_classified_by_its_content(
    error: Any, kind: type[LLMError]
) -> None:
    assert type(classify_wrapped(orjson.dumps({"error": error}))) is kind


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'{"id": "x", "choices": []}'])
def test_an_unknown_200_is_transient(body: bytes) -> None:
    error = classify_wrapped(body)
    assert type(error) is Transient
    assert error.error_class == "bad_response"


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize("padding", [0, 290, 10_000])
def test_an_echoed_key_is_masked_completely(status: int, padding: int) -> None:
    text = f"{'x' * padding} Incorrect API key: {KEY}"
    for body in (orjson.dumps({"error": {"message": text}}), text.encode(), b"<p>" + text.encode()):
        message = classify(status, {"location": f"http://h/?key={KEY}"}, body, KEY).message
        assert KEY[:8] not in message


def test_a_secret_too_short_to_be_a_key_is_not_masked() -> None:
    assert one_line("extra text", "x") == "extra text"


def test_only_rejected_inputs_are_permanent() -> None:
    assert of(400, {"code": "content_filter"}).error_class in PERMANENT_ERROR_CLASSES
    assert of(400, {"code": "context_length_exceeded"}).error_class in PERMANENT_ERROR_CLASSES
    for status in (401, 404, 429, 500):
        assert of(status).error_class not in PERMANENT_ERROR_CLASSES


# ---- How long to wait.


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "6m0s"}, None),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "20ms",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "1.5s",
            },
            1.5,
        ),
    ],
)
def test_retry_after_is_read_from_the_headers(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers) == seconds
    assert of(429, headers=headers).retry_after == seconds
    assert of(503, headers=headers).retry_after == seconds


def test_an_http_date_is_in_gmt_even_if_it_does_not_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        date = email.utils.formatdate(now + 90, usegmt=True)
        assert retry_after({"retry-after": date}) == 90.0
        assert retry_after({"retry-after": date.removesuffix(" GMT")}) == 90.0
    finally:
        monkeypatch.undo()
        time.tzset()


HEADERS = (
    "retry-after retry-after-ms x-ratelimit-reset-requests x-ratelimit-reset-tokens "
    "x-ratelimit-remaining-requests x-ratelimit-remaining-tokens"
).split()
DATES = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Mon", "Wed", "?"]),
    st.integers(-1, 99),
    st.sampled_from(["Jan", "Feb", "Okt"]),
    st.integers(-5, 10**12),
    *[st.integers(-1, 99)] * 3,
    st.sampled_from(["GMT", "+0200", "-9999", ""]),
)
NUMBERS = st.floats().map(str) | st.integers().map(str)
DURATIONS = st.lists(
    st.tuples(st.integers(0, 10**400).map(str), st.sampled_from(["ms", "s", "m", "h", "d", "x"]))
).map(lambda parts: "".join(number + unit for number, unit in parts))
VALUES = TEXT | DATES | NUMBERS | DURATIONS | st.just("0")


@given(st.dictionaries(st.sampled_from(HEADERS), VALUES))
@example({"retry-after": "Mon, 1 Jan 99999999999 00:00:00 GMT"})
@example({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "9" * 400 + "s"})
def test_no_header_gives_a_negative_or_infinite_wait(headers: dict[str, str]) -> None:
    seconds = retry_after(headers)
    assert seconds is None or (seconds >= 0 and math.isfinite(seconds))


@given(VALUES)
def test_a_duration_is_finite_or_none(text: str) -> None:
    seconds = duration(text)
    assert seconds is None or (seconds >= 0 and math.isfinite(seconds))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20ms", 0.02),
        ("1.5s", 1.5),
        ("6m0s", 360.0),
        ("1h0m0s", 3600.0),
        ("1d", 86400.0),
        ("12", 12.0),
        ("", None),
        ("   ", None),
        ("soon", None),
        ("1s soon", None),
        ("-1s", None),
    ],
)
def test_durations_are_parsed(text: str, seconds: float | None) -> None:
    assert duration(text) == seconds
