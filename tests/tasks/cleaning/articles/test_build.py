import json
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from article_flows.tasks.cleaning.articles.build import CanonicalChunk, to_canonical
from article_flows.tasks.cleaning.columns.guesses import ColumnMap
from article_flows.tasks.cleaning.filters.rules import Rules
from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA, content_hash
from article_flows.tasks.reading.base.rows import EXCERPT_CHARS, RecordChunk, Reject

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
    chunk = to_canonical(RecordChunk(list(records), rows, rejects or []), COLUMNS, "a.jsonl")
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
        "reference_summary": None,
        "flags": ["short"],
    }
    assert len(hashed) == 32


def test_a_record_with_a_body_only() -> None:
    row = one({"text": "Some text.", "title": "", "author": None, "date": "", "lang": " "})
    hashed = blake2b(b"\0Some text.", digest_size=16).hexdigest()
    assert row.pop("article_id") == f"content-{hashed[:16]}"
    assert row.pop("content_hash") == hashed
    assert (row.pop("body"), row.pop("source")) == ("Some text.", "a.jsonl")
    assert row.pop("flags") == ["short"]
    assert set(row.values()) == {None}


def test_the_url_is_the_id_if_the_source_has_none() -> None:
    assert one({"text": "x", "url": "u"})["article_id"] == "u"
    assert one({"text": "x", "url": "u", "id": ""})["article_id"] == "u"
    assert one({"text": "x", "url": "u", "id": 0})["article_id"] == "0"


def test_an_ambiguous_date_is_kept_in_extra() -> None:
    row = one({"text": "x", "date": "early spring", "n": 1})
    assert (row["published_at"], row["extra"]) == (None, '{"date":"early spring","n":1}')
    assert "date_unread" in row["flags"]
    blank = one({"text": "x", "date": "  ", "n": 1})
    assert (blank["published_at"], blank["extra"]) == (None, '{"n":1}')
    assert "date_unread" not in (blank["flags"] or [])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "empty body"),
        (" \n\u3000\ufeff", "empty body"),
        ("\u200b\u200b \u200d\u200e\xad\u2060\u2800", "empty body"),
        (None, "empty body"),
        (float("nan"), "empty body"),
        ([], "empty body"),
        (17, "empty body: not text but int"),
        ({"a": "b"}, "empty body: not text but dict"),
        (["a", 1], "empty body: not text but list"),
        (b"\xff", "empty body: bytes that are not UTF-8"),
    ],
)
def test_a_record_without_a_body_is_rejected(body: object, reason: str) -> None:
    earlier = Reject(2, "not JSON", "{")
    chunk = to_canonical(
        RecordChunk([{"text": "x"}, {"id": "b", "text": body}], [1, 3], [earlier]), COLUMNS, "a"
    )
    assert chunk.batch.num_rows == 1
    assert [(each.row, each.reason) for each in chunk.rejects] == [(2, "not JSON"), (3, reason)]
    assert json.loads(chunk.rejects[1].raw)["id"] == "b"


def test_a_list_of_sentences_is_joined() -> None:
    assert one({"text": ["One.", "Two."]})["body"] == "One. Two."
    assert one({"text": ["一。", "二。"]})["body"] == "一。二。"


def test_other_columns_of_any_type_are_kept() -> None:
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


def test_values_that_orjson_rejects_are_kept() -> None:
    deep: Any = "bottom"
    for _ in range(300):
        deep = [deep]
    record = {"text": "x", "big": 2**70, "odd\ud800": "\udc00", "deep": deep, "nan": float("inf")}
    extra = json.loads(one(record | {"day": date(2019, 1, 4)})["extra"])
    assert extra["big"] == 2**70
    assert extra["odd\ufffd"] == "\ufffd"
    assert extra["deep"] == deep
    assert (extra["nan"], extra["day"]) == (None, "2019-01-04")


def test_a_deeply_nested_row_is_rejected() -> None:
    deep: Any = "bottom"
    for _ in range(100_000):
        deep = [deep]
    for record in ({"text": "x", "deep": deep}, {"text": deep}, {"text": "x", "title": deep}):
        (reject,) = convert(record).rejects
        assert reject.reason == "nested too deeply to be kept"


def test_a_deeply_nested_row_does_not_affect_other_rows() -> None:
    deep: Any = "bottom"
    for _ in range(100_000):
        deep = [deep]
    records = [{"id": n, "text": "" if n == 8 else f"Text {n}."} for n in range(1, 10)]
    chunk = convert(*(each | {"deep": deep} if each["id"] in (3, 6) else each for each in records))
    assert [(each.row, each.reason) for each in chunk.rejects] == [
        (3, "nested too deeply to be kept"),
        (6, "nested too deeply to be kept"),
        (8, "empty body"),
    ]
    assert chunk.batch["article_id"].to_pylist() == ["1", "2", "4", "5", "7", "9"]
    assert chunk.rows.tolist() == [1, 2, 4, 5, 7, 9]


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
    max_leaves=4,
)


ROW = st.dictionaries(st.sampled_from([*COLUMNS.columns.values(), "x", ""]), JSON)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROW, max_size=4))
def test_any_records_are_converted_or_rejected(records: list[dict[str, Any]]) -> None:
    chunk = convert(*records)
    assert chunk.batch.num_rows + len(chunk.rejects) == len(records)
    for extra in chunk.batch.column("extra").to_pylist():
        assert extra is None or isinstance(json.loads(extra), dict)


def test_an_empty_chunk_gives_an_empty_batch_with_the_schema() -> None:
    assert convert().batch.num_rows == 0
    assert pa.types.is_timestamp(ARTICLES_SCHEMA.field("published_at").type)


ENGLISH = "The committee met in the old town hall and voted on the new plan for the harbour. " * 3


def test_html_becomes_text_and_is_flagged() -> None:
    row = one({"text": f"<p>{ENGLISH}</p><p>Fish &amp; chips&nbsp;<br>a\u0308</p>", "lang": "en"})
    assert row["body"].startswith("The committee met")
    assert "Fish & chips" in row["body"]
    assert row["body"].endswith("ä")
    assert row["flags"] == ["html"]
    (reject,) = convert({"text": "<p> </p><br>"}).rejects
    assert reject.reason == "empty body"


def test_a_missing_language_is_detected_from_the_text() -> None:
    chunk = convert({"text": ENGLISH}, {"text": ENGLISH, "lang": "EN-gb"}, {"text": "7 " * 99})
    assert chunk.batch["language"].to_pylist() == ["en", "en", None]
    assert chunk.batch["flags"].to_pylist() == [["language_detected"], None, None]
    records = RecordChunk([{"text": ENGLISH}], [1])
    off = to_canonical(records, COLUMNS, "a", Rules(detect_language=False)).batch.to_pylist()
    assert (off[0]["language"], off[0]["flags"]) == (None, None)


def test_mojibake_is_kept_and_flagged() -> None:
    texts = [f"FranÃ§ois. {ENGLISH}", f"Fran\ufffdois. {ENGLISH}", f"Fran\ud800ois. {ENGLISH}"]
    chunk = convert(*({"text": text, "lang": "en"} for text in texts))
    assert chunk.batch["body"][0].as_py() == texts[0].strip()
    assert chunk.batch["flags"].to_pylist() == [["mojibake"], *[["replacement_characters"]] * 2]


def test_excessive_lengths_are_rejected_with_a_short_excerpt() -> None:
    chunk = convert({"id": 1, "text": "x" * 5_000_000}, {"text": "<p>" + "x" * 5_000_000})
    assert chunk.rejects[0].reason == (
        "5,000,000 characters; the maximum is 1,000,000 (--max-chars)"
    )
    assert chunk.rejects[0].raw == ('{"id":1,"text":"' + "x" * 5_000)[:EXCERPT_CHARS]
    assert chunk.rejects[1].reason.startswith("5,000,003 characters")
    records = RecordChunk([{"text": "Too short."}, {"text": ENGLISH}], [4, 9])
    short = to_canonical(records, COLUMNS, "a", Rules(min_chars=20))
    assert [each.row for each in short.rejects] == [4]
    assert short.batch.num_rows == 1


def test_a_category_that_looks_like_a_path_is_kept_as_text() -> None:
    assert one({"text": "x", "section": "../../etc"})["category"] == "../../etc"


@pytest.mark.parametrize(
    ("raw", "summary"),
    [
        ("One. ", "One."),
        (["One.", "Or another. ", None, ""], "One.\nOr another."),
        ([["One.", "Two."], "Three."], "One. Two.\nThree."),
        ([], None),
        (" ", None),
        (None, None),
    ],
)
def test_reference_summaries(raw: object, summary: str | None) -> None:
    columns = ColumnMap({"body": "text", "reference_summary": "target"})
    records = RecordChunk([{"text": "x", "target": raw}, {"text": "y", "target": 17}], [1, 2])
    assert to_canonical(records, columns, "a").batch["reference_summary"].to_pylist() == [
        summary,
        "17",
    ]


def test_the_hash_of_a_row_of_any_length_is_content_hash() -> None:
    lengths = [1, 2045, 2046, 2047, 2048, 4093, 4095, 65_533, 70_000]
    titles = [None, "t"] * len(lengths)
    records = [
        {"title": title, "text": "é" * length}
        for title, length in zip(titles, lengths, strict=False)
    ]
    made = convert(*records).batch["content_hash"].to_pylist()
    assert made == [
        content_hash(title, "é" * length) for title, length in zip(titles, lengths, strict=False)
    ]


def test_the_id_is_derived_from_the_content_if_there_is_no_other() -> None:
    chunk = convert({"text": "a", "id": "1"}, {"text": "b", "url": "u"}, {"text": "c"})
    hashes = chunk.batch["content_hash"].to_pylist()
    assert chunk.batch["article_id"].to_pylist() == ["1", "u", f"content-{hashes[2][:16]}"]


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("https://user:secret@example.org/a?b=c@d", "https://example.org/a?b=c@d"),
        ("https://user@example.org", "https://example.org"),
        ("https://example.org/@name", "https://example.org/@name"),
        ("mail@example.org", "mail@example.org"),
    ],
)
def test_a_password_in_a_url_is_not_stored(url: str, stored: str) -> None:
    chunk = RecordChunk([{"url": url, "body": "Some text."}], [1])
    rows = to_canonical(chunk, ColumnMap({"url": "url", "body": "body"}), "a.csv").batch
    row = rows.to_pylist()[0]
    assert (row["url"], row["article_id"]) == (stored, stored)
    assert "secret" not in str(row)
