import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from article_flows.tasks.cleaning.text.to_json import excerpt, to_json

# With a larger number anywhere another encoder writes the whole, 1e-5 as 1e-05 for instance; the
# excerpt may end before that number.
INTEGERS = st.integers(-(2**63), 2**64 - 1)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), INTEGERS, st.floats(), st.text(), st.dates()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(), JSON), st.integers(0, 40))
def test_an_excerpt_is_the_start_of_the_whole(record: dict[str, Any], chars: int) -> None:
    assert excerpt(record, chars) == to_json(record)[:chars]


@pytest.mark.parametrize(
    "long",
    ["x" * 5_000_000, ["x"] * 1_000_000, {"k": "\n" * 5_000_000}, ("é" * 3_000_000).encode()],
)
def test_an_excerpt_of_much_is_made_of_little(long: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []

    def noting(value: Any) -> str:
        encoded.append(len(json.dumps(value, default=str)))
        return to_json(value)

    monkeypatch.setattr("article_flows.tasks.cleaning.text.to_json.to_json", noting)
    text = excerpt({"a": 1, "body": long}, 2_000)
    assert len(text) == 2_000
    assert text.startswith('{"a":1,"body":')
    assert encoded[0] < 100_000


def test_numbers_of_any_size_stay_as_they_are() -> None:
    assert (
        to_json({"n": 10**30, "m": -(2**63)}) == '{"m":-9223372036854775808,"n":1' + "0" * 30 + "}"
    )


def test_bytes_that_are_no_text_have_an_excerpt_too() -> None:
    assert excerpt({"raw": b"\xff" * 10_000}, 100) == to_json({"raw": b"\xff" * 10_000})[:100]


def test_what_is_nested_without_end_has_none() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert excerpt({"a": deep}, 2_000) == ""
