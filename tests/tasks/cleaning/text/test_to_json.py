import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from article_flows.tasks.cleaning.text.to_json import excerpt, to_json

# If a record has a number over 64 bits, json writes it instead of orjson, and formats floats
# differently (1e-05 for 1e-5); the excerpt may end before that number.
INTEGERS = st.integers(-(2**63), 2**64 - 1)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), INTEGERS, st.floats(), st.text(), st.dates()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(), JSON), st.integers(0, 40))
def test_an_excerpt_is_the_beginning_of_the_full_json(record: dict[str, Any], chars: int) -> None:
    assert excerpt(record, chars) == to_json(record)[:chars]


@pytest.mark.parametrize(
    "long",
    ["x" * 5_000_000, ["x"] * 1_000_000, {"k": "\n" * 5_000_000}, ("é" * 3_000_000).encode()],
)
def test_an_excerpt_of_a_large_record_serializes_little(
    long: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []

    def noting(value: Any) -> str:
        encoded.append(len(json.dumps(value, default=str)))
        return to_json(value)

    monkeypatch.setattr("article_flows.tasks.cleaning.text.to_json.to_json", noting)
    text = excerpt({"a": 1, "body": long}, 2_000)
    assert len(text) == 2_000
    assert text.startswith('{"a":1,"body":')
    assert encoded[0] < 100_000


def test_numbers_of_any_size_are_kept_exactly() -> None:
    assert (
        to_json({"n": 10**30, "m": -(2**63)}) == '{"m":-9223372036854775808,"n":1' + "0" * 30 + "}"
    )


def test_binary_bytes_have_an_excerpt() -> None:
    assert excerpt({"raw": b"\xff" * 10_000}, 100) == to_json({"raw": b"\xff" * 10_000})[:100]


def test_deeply_nested_values_have_no_excerpt() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert excerpt({"a": deep}, 2_000) == ""
