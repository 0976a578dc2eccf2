import json
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.canonical import ARTICLES_SCHEMA, CanonicalChunk, canonical
from tasks.columns import ColumnMap
from tasks.readers_base import RecordChunk, Reject

COLUMNS = ColumnMap(
    {
        "article_id": "id",
        "title": "title",
        "body": "text",
        "url": "url",
        "author": "author",
        "published_at": "date",
        "language": "lang",
        "category": "section",
    }
)


def convert(*records: dict[str, Any], rejects: list[Reject] | None = None) -> CanonicalChunk:
    rows = list(range(1, len(records) + 1))
    chunk = canonical(RecordChunk(list(records), rows, rejects or []), COLUMNS, "a.jsonl")
    chunk.batch.validate(full=True)
    assert chunk.batch.schema == ARTICLES_SCHEMA
    return chunk


def one(record: dict[str, Any]) -> dict[str, Any]:
    (row,) = convert(record).batch.to_pylist()
    return dict(row)


def test_a_full_record() -> None:
    row = one(
        {
            "id": 17,
            "title": " A title ",
            "text": "First.\r\nSecond.",
            "url": "https://example.org/a",
            "author": ["A. B.", "C. D."],
            "date": "Fri, 04 Jan 2019 12:00:00 GMT",
            "lang": "en",
            "section": "news",
            "licence": "CC BY",
            "b": [1, {"x": None}],
        }
    )
    hashed = blake2b(b"A title\0First.\nSecond.", digest_size=16).hexdigest()
    assert row == {
        "article_id": "17",
        "title": "A title",
        "body": "First.\nSecond.",
        "url": "https://example.org/a",
        "author": "A. B., C. D.",
        "published_at": datetime(2019, 1, 4, 12, tzinfo=UTC),
        "language": "en",
        "category": "news",
        "content_hash": hashed,
        "source": "a.jsonl",
        "extra": '{"b":[1,{"x":null}],"licence":"CC BY"}',
    }
    assert len(hashed) == 32


def test_a_record_with_a_body_only() -> None:
    row = one({"text": "Some text.", "title": "", "author": None, "date": "", "lang": " "})
    hashed = blake2b(b"\0Some text.", digest_size=16).hexdigest()
    assert row.pop("article_id") == f"content-{hashed[:16]}"
    assert row.pop("content_hash") == hashed
    assert (row.pop("body"), row.pop("source")) == ("Some text.", "a.jsonl")
    assert set(row.values()) == {None}


def test_the_url_is_the_id_where_there_is_none() -> None:
    assert one({"text": "x", "url": "u"})["article_id"] == "u"
    assert one({"text": "x", "url": "u", "id": ""})["article_id"] == "u"
    assert one({"text": "x", "url": "u", "id": 0})["article_id"] == "0"


def test_a_date_that_cannot_be_told_is_kept_as_written() -> None:
    row = one({"text": "x", "date": "early spring", "n": 1})
    assert (row["published_at"], row["extra"]) == (None, '{"date":"early spring","n":1}')


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "empty body"),
        (" \n\u3000\ufeff", "empty body"),
        (None, "empty body"),
        (float("nan"), "empty body"),
        ([], "empty body"),
        (17, "empty body: not text but int"),
        ({"a": "b"}, "empty body: not text but dict"),
        (["a", 1], "empty body: not text but list"),
        (b"\xff", "empty body: bytes that are not UTF-8"),
    ],
)
def test_a_record_without_a_body_is_rejected_with_its_row(body: object, reason: str) -> None:
    earlier = Reject(2, "not JSON", "{")
    chunk = canonical(
        RecordChunk([{"text": "x"}, {"id": "b", "text": body}], [1, 3], [earlier]), COLUMNS, "a"
    )
    assert chunk.batch.num_rows == 1
    assert [(each.row, each.reason) for each in chunk.rejects] == [(2, "not JSON"), (3, reason)]
    assert json.loads(chunk.rejects[1].raw)["id"] == "b"


def test_a_body_of_sentences_is_joined() -> None:
    assert one({"text": ["One.", "Two."]})["body"] == "One. Two."
    assert one({"text": ["一。", "二。"]})["body"] == "一。二。"


def test_other_columns_are_kept_whatever_they_hold() -> None:
    extra = json.loads(
        one(
            {
                "text": "x",
                "day": date(2019, 1, 4),
                "at": datetime(2019, 1, 4, tzinfo=UTC),
                "price": Decimal("1.50"),
                "raw": b"\xff",
                "word": b"caf\xc3\xa9",
                "nan": float("nan"),
                "map": [("k", 1)],
                "keys": {1: "a"},
            }
        )["extra"]
    )
    assert extra == {
        "day": "2019-01-04",
        "at": "2019-01-04T00:00:00+00:00",
        "price": "1.50",
        "raw": "/w==",
        "word": "café",
        "nan": None,
        "map": [["k", 1]],
        "keys": {"1": "a"},
    }


def test_what_orjson_refuses_is_kept_too() -> None:
    deep: Any = "bottom"
    for _ in range(300):
        deep = [deep]
    record = {"text": "x", "big": 2**70, "odd\ud800": "\udc00", "deep": deep, "nan": float("inf")}
    extra = json.loads(one(record | {"day": date(2019, 1, 4)})["extra"])
    assert extra["big"] == 2**70
    assert extra["odd\ufffd"] == "\ufffd"
    assert extra["deep"] == deep
    assert (extra["nan"], extra["day"]) == (None, "2019-01-04")


def test_what_is_nested_without_end_is_rejected_not_raised() -> None:
    deep: Any = "bottom"
    for _ in range(100_000):
        deep = [deep]
    for record in ({"text": "x", "deep": deep}, {"text": deep}, {"text": "x", "title": deep}):
        (reject,) = convert(record).rejects
        assert reject.reason == "nested too deeply to be kept"


def test_lone_surrogates_do_not_break_arrow() -> None:
    row = one({"text": "a\ud800b", "title": "\udfff", "id": "x\udc00"})
    assert (row["body"], row["title"], row["article_id"]) == ("a\ufffdb", "\ufffd", "x\ufffd")


def test_the_same_text_has_the_same_hash_under_any_id() -> None:
    chunk = convert({"id": "a", "text": "x"}, {"id": "b", "text": " x "}, {"id": "a", "text": "x "})
    rows = chunk.batch.to_pylist()
    assert [row["article_id"] for row in rows] == ["a", "b", "a"]
    assert len({row["content_hash"] for row in rows}) == 1


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from([*COLUMNS.columns.values(), "x", ""]), JSON)))
def test_nothing_raises_and_no_row_is_lost(records: list[dict[str, Any]]) -> None:
    chunk = convert(*records)
    assert chunk.batch.num_rows + len(chunk.rejects) == len(records)
    for extra in chunk.batch.column("extra").to_pylist():
        assert extra is None or isinstance(json.loads(extra), dict)


def test_an_empty_chunk_has_the_schema() -> None:
    assert convert().batch.num_rows == 0
    assert pa.types.is_timestamp(ARTICLES_SCHEMA.field("published_at").type)
