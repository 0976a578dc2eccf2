"""Convert Arrow columns of any type, as readers yield them, to articles."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from article_flows.tasks.cleaning.articles.build import CanonicalChunk, to_canonical
from article_flows.tasks.cleaning.columns.guesses import ColumnMap
from article_flows.tasks.cleaning.columns.templates import Template
from article_flows.tasks.reading.base.rows import RecordChunk, in_chunks
from article_flows.tasks.reading.formats.arrow import RowCounter, batch_to_rows

COLUMNS = ColumnMap(
    {
        "article_id": "id",
        "title": "title",
        "body": "text",
        "author": "by.name",
        "published_at": "date",
        "language": "lang",
        "reference_summary": "summary",
    }
)
TEXTS = st.one_of(st.none(), st.text(st.sampled_from("abc é\n\r\0\x85\u0301中。<p>&amp;\ufffd")))
MOMENTS = st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1))
KINDS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.string(), TEXTS),
    (pa.large_string(), TEXTS),
    (pa.string_view(), TEXTS),
    (pa.dictionary(pa.int8(), pa.string()), TEXTS),
    (pa.binary(), st.one_of(st.none(), st.binary(max_size=4), st.just("é".encode()))),
    (pa.binary_view(), st.one_of(st.none(), st.just(b"\xff"), st.just("é".encode()))),
    (pa.list_(pa.string()), st.one_of(st.none(), st.lists(TEXTS, max_size=3))),
    (pa.struct([("name", pa.string()), ("n", pa.int64())]), st.fixed_dictionaries({"name": TEXTS})),
    (pa.int64(), st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))),
    (pa.float64(), st.floats()),
    (pa.bool_(), st.booleans()),
    (pa.decimal128(9, 2), st.decimals(0, 9, places=2)),
    (pa.timestamp("ms"), MOMENTS.map(lambda each: each.replace(microsecond=0))),
    (pa.timestamp("us", "Europe/Berlin"), MOMENTS.map(lambda each: each.replace(tzinfo=UTC))),
    (pa.date32(), st.dates()),
    (pa.time64("us"), st.times()),
    (pa.map_(pa.string(), pa.int64()), st.lists(st.tuples(st.text(max_size=2), st.just(1)))),
    (pa.null(), st.none()),
]


def read(batch: pa.RecordBatch) -> RecordChunk:
    rows = batch_to_rows(batch, RowCounter())
    return next(in_chunks(rows, 1000), RecordChunk())


@st.composite
def batches(draw: Callable[..., Any]) -> pa.RecordBatch:
    rows = draw(st.integers(0, 4))
    columns = {}
    for name in ("id", "title", "text", "by", "date", "lang", "summary", "x"):
        kind, values = draw(st.sampled_from([*KINDS, *KINDS[:1] * 9]))
        drawn = draw(st.lists(values, min_size=rows + 1, max_size=rows + 1))
        columns[name] = pa.array(drawn, kind)[1:]
    return pa.record_batch(columns)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(batches())
def test_arrow_columns_give_the_same_articles_as_records(batch: pa.RecordBatch) -> None:
    chunk = read(batch)
    records = RecordChunk(batch.to_pylist(), [*range(1, batch.num_rows + 1)])
    of_columns = to_canonical(chunk, COLUMNS, "a")
    of_records = to_canonical(records, COLUMNS, "a")
    assert of_columns.batch.to_pylist() == of_records.batch.to_pylist()
    assert of_columns.rejects == of_records.rejects
    assert of_columns.batch.num_rows + len(of_columns.rejects) == len(chunk)


def convert(columns: ColumnMap, **arrays: pa.Array) -> CanonicalChunk:
    chunk = to_canonical(read(pa.record_batch(arrays)), columns, "a")
    chunk.batch.validate(full=True)
    return chunk


BODY = ColumnMap({"body": "text"})
FAR_DAY = 2**60 // 86_400_000 * 86_400_000


def test_other_columns_keep_their_json_form() -> None:
    chunk = convert(
        BODY,
        text=pa.array(["x", "y"]),
        n=pa.array([1, None]),
        tags=pa.array([["a"], []]),
        inner=pa.array([{"k": [1]}, None]),
        price=pa.array([Decimal("1.50"), None]),
    )
    assert [json.loads(extra) for extra in chunk.batch["extra"].to_pylist()] == [
        {"n": 1, "tags": ["a"], "inner": {"k": [1]}, "price": "1.50"},
        {"n": None, "tags": [], "inner": None, "price": None},
    ]


def test_values_outside_the_range_of_python_types_are_converted() -> None:
    chunk = convert(
        ColumnMap({"body": "text", "published_at": "date"}),
        text=pa.array(["x", "y"]),
        date=pa.array([1_546_603_200_000_000_001, 1], pa.timestamp("ns")),
        far=pa.array([2**60, 0], pa.timestamp("s")),
        deep=pa.array([[{"at": FAR_DAY}], [{"at": 0}]], pa.list_(pa.struct([("at", pa.date64())]))),
        took=pa.array([1, 2], pa.duration("ns")),
    )
    first, second = chunk.batch.to_pylist()
    assert first["published_at"] == datetime(2019, 1, 4, 12, tzinfo=UTC)
    assert second["published_at"] in (datetime(1970, 1, 1, tzinfo=UTC), None)
    extras = [json.loads(row["extra"]) for row in (first, second)]
    assert extras[1]["far"] == "1970-01-01T00:00:00"
    assert {"far", "deep", "took"} <= set(extras[0])


def test_an_ambiguous_date_is_kept_in_extra() -> None:
    columns = ColumnMap({"body": "text", "published_at": "date"})
    chunk = convert(columns, text=pa.array(["x"] * 3), date=pa.array(["soon", "2019-01-04", ""]))
    assert chunk.batch["extra"].to_pylist() == ['{"date":"soon"}', None, None]
    assert chunk.batch["published_at"].null_count == 2


def test_a_body_that_is_not_text_is_rejected() -> None:
    chunk = convert(BODY, text=pa.array([1, None]))
    assert [(each.row, each.reason, each.raw) for each in chunk.rejects] == [
        (1, "empty body: not text but int", '{"text":1}'),
        (2, "empty body", '{"text":null}'),
    ]
    raw = convert(BODY, text=pa.array([b"\xff", "é".encode()]))
    assert [each.reason for each in raw.rejects] == ["empty body: bytes that are not UTF-8"]
    assert raw.batch["body"].to_pylist() == ["é"]


def test_struct_fields_can_be_mapped() -> None:
    columns = ColumnMap({"body": "article.text", "title": "article.head.line", "url": "u.v"})
    article = pa.array(
        [{"text": "x", "head": {"line": "T"}, "n": 1}, {"text": "y", "head": None, "n": None}]
    )
    made = convert(columns, **{"article": article, "u.v": pa.array(["u", None])})
    first, second = made.batch.to_pylist()
    assert (first["body"], first["title"], first["url"]) == ("x", "T", "u")
    assert (second["body"], second["title"], second["url"]) == ("y", None, None)
    assert first["extra"] == '{"article":{"n":1}}'
    assert json.loads(second["extra"])["article"]["n"] is None


def test_a_template_combines_columns_into_a_body() -> None:
    columns = ColumnMap({"title": "t"}, {"body": Template("{t}\n\n{parts}\n\n{n}")})
    arrays = {
        "t": pa.array(["Title", None, " "]),
        "parts": pa.array([["One.", "Two."], ["Only."], []]),
        "n": pa.array([1, None, None]),
        "x": pa.array(["kept", "kept", "kept"]),
    }
    made = convert(columns, **arrays)
    assert made.batch["body"].to_pylist() == ["Title\n\nOne. Two.\n\n1", "Only."]
    assert made.batch["title"].to_pylist() == ["Title", None]
    assert made.batch["extra"].to_pylist() == ['{"x":"kept"}'] * 2
    assert [(each.row, each.reason) for each in made.rejects] == [(3, "empty body")]


def test_an_assumed_time_zone_is_flagged() -> None:
    columns = ColumnMap({"body": "text", "published_at": "date"})
    noon = datetime(2019, 1, 4, 12)
    chunk = convert(
        columns,
        text=pa.array(["x" * 200] * 3),
        date=pa.array(["2019-01-04 12:00:00", "2019-01-04T13:00:00+01:00", "2019-01-04"]),
    )
    assert chunk.batch["published_at"].to_pylist() == [
        noon.replace(tzinfo=UTC),
        noon.replace(tzinfo=UTC),
        noon.replace(tzinfo=UTC) - timedelta(hours=12),
    ]
    assert chunk.batch["flags"].to_pylist() == [["utc_assumed"], None, None]
