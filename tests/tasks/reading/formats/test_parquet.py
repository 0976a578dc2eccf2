import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import RecordChunk, Source
from article_flows.tasks.reading.formats import arrow, parquet
from article_flows.tasks.reading.formats.parquet import read_parquet
from tests.support import ROOT

NASTY = ROOT.parent / "shared" / "data" / "dev" / "nasty" / "parquet_fastparquet"
ERROR = re.compile(r"a\.parquet (cannot be read|is encrypted) .*")


def source(path: Path) -> Source:
    return Source(LocalFile(path), "a.parquet", "parquet")


def read_all(path: Path, batch_rows: int = 1000) -> list[RecordChunk]:
    return list(read_parquet(source(path), batch_rows))


def records(chunk: RecordChunk) -> list[dict[str, object]]:
    return chunk.head(chunk.num_rows)


def values(chunk: RecordChunk, name: str) -> list[object]:
    return [record[name] for record in chunk.records]


def rows_or_error(path: Path) -> int | str:
    try:
        return sum(map(len, read_all(path)))
    except UserError as error:
        return str(error)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.parquet"


def test_any_column_type_is_read(path: Path) -> None:
    day = date(2019, 1, 4)
    record = {
        "list": ["a", "b"],
        "struct": {"x": 1, "y": [None, 2.5]},
        "decimal": Decimal("1.50"),
        "day": day,
        "binary": b"\xff",
        "none": None,
    }
    table = pa.Table.from_pylist([record] * 3).append_column(
        "category", pa.array(["x", "y", "x"]).dictionary_encode()
    )
    pq.write_table(table, path)
    (chunk,) = read_all(path)
    assert chunk.rows == [1, 2, 3]
    assert records(chunk) == [record | {"category": each} for each in "xyx"]


def test_large_strings_and_nulls_are_read(path: Path) -> None:
    pq.write_table(pa.table({"body": pa.array(["a", None], pa.large_string())}), path)
    (chunk,) = read_all(path)
    assert values(chunk, "body") == ["a", None]


def test_nanoseconds_are_truncated_and_dates_out_of_range_become_text(path: Path) -> None:
    nano = pa.array([1_546_560_000_123_456_789], pa.timestamp("ns", tz="UTC"))
    far = pa.array([2**61], pa.timestamp("us"))
    far_day = pa.array([2**30], pa.date32())
    nested = pa.array([[2**61]], pa.list_(pa.timestamp("ms")))
    pq.write_table(
        pa.table({"body": ["x"], "nano": nano, "far": far, "day": far_day, "nested": nested}), path
    )
    (record,) = records(read_all(path)[0])
    assert record["nano"] == datetime(2019, 1, 4, 0, 0, 0, 123456, tzinfo=UTC)
    assert all(isinstance(record[name], str) for name in ("far", "day", "nested"))


def test_the_first_and_last_dates_of_python_stay_dates(path: Path) -> None:
    ends = [datetime(1, 1, 2), datetime(9999, 12, 30)]
    pq.write_table(pa.table({"day": pa.array(ends, pa.timestamp("us"))}), path)
    assert values(read_all(path)[0], "day") == ends


def test_an_unknown_time_zone_is_read_as_utc(path: Path) -> None:
    pq.write_table(pa.table({"at": pa.array([0, None], pa.timestamp("s", tz="Foo/Bar"))}), path)
    assert values(read_all(path)[0], "at") == [datetime(1970, 1, 1, tzinfo=UTC), None]


def test_int96_timestamps_beyond_the_range_of_nanoseconds_are_read(path: Path) -> None:
    far = datetime(3000, 1, 1)
    table = pa.table({"at": pa.array([far], pa.timestamp("us"))})
    pq.write_table(table, path, use_deprecated_int96_timestamps=True)
    assert values(read_all(path)[0], "at") == [far]


def test_uuids_become_text(path: Path) -> None:
    one = UUID(int=7)
    pq.write_table(pa.table({"id": pa.array([one.bytes, None], pa.uuid())}), path)
    assert values(read_all(path)[0], "id") == [str(one), None]


def invalid_text(rows: list[bytes]) -> pa.StringArray:
    array = pa.array(rows, pa.binary())
    return pa.StringArray.from_buffers(len(rows), *array.buffers()[1:])


def test_text_that_is_not_utf8_rejects_its_row_only(path: Path) -> None:
    pq.write_table(pa.table({"body": invalid_text([b"a", b"b\xff", b"c"])}), path)
    (chunk,) = read_all(path)
    assert (chunk.rows, values(chunk, "body")) == ([1, 3], ["a", "c"])
    assert [(each.row, each.reason, each.raw) for each in chunk.rejects] == [
        (2, "text that is not UTF-8", "b\ufffd")
    ]


def test_invalid_text_in_lists_and_dictionaries_rejects_its_row_only(path: Path) -> None:
    invalid = invalid_text([b"a", b"b", b"\xff", b"d"])
    lists = pa.ListArray.from_arrays([0, 2, 3, 4], invalid)
    table = pa.table({"sentences": lists, "kind": invalid_text([b"\xfe", b"x", b"y"])})
    pq.write_table(table, path)
    (chunk,) = read_all(path)
    assert (chunk.rows, [each.row for each in chunk.rejects]) == ([3], [1, 2])
    assert records(chunk) == [{"sentences": ["d"], "kind": "y"}]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.binary(max_size=8), max_size=40),
    st.integers(1, 50),
    st.integers(1, 50),
    st.booleans(),
)
def test_every_row_is_good_or_rejected(
    tmp_path_factory: pytest.TempPathFactory,
    bodies: list[bytes],
    batch_rows: int,
    group_rows: int,
    use_dictionary: bool,
) -> None:
    path = tmp_path_factory.mktemp("p") / "a.parquet"
    table = pa.table({"body": invalid_text(bodies)})
    pq.write_table(table, path, row_group_size=group_rows, use_dictionary=use_dictionary)
    good: dict[int, object] = {}
    rejected: set[int] = set()
    for chunk in read_all(path, batch_rows):
        assert len(chunk) <= batch_rows
        good |= zip(chunk.rows, values(chunk, "body"), strict=True)
        rejected |= {each.row for each in chunk.rejects}
    expected = dict(enumerate(bodies, start=1))
    assert rejected == {n for n, each in expected.items() if not is_utf8(each)}
    assert good == {n: each.decode() for n, each in expected.items() if n not in rejected}


def is_utf8(raw: bytes) -> bool:
    return "\ufffd" not in raw.decode(errors="replace") or "\ufffd".encode() in raw


def test_both_columns_of_the_same_name_are_kept(path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array(["1"]), pa.array(["2"])], ["a", "a"]), path)
    assert records(read_all(path)[0]) == [{"a": "1", "a_2": "2"}]


def test_an_empty_table_has_no_rows(path: Path) -> None:
    pq.write_table(pa.table({"body": pa.array([], pa.string())}), path)
    assert read_all(path) == []


def test_chunks_have_limited_rows_and_bytes(path: Path) -> None:
    bodies = [f"{n}" + "x" * 3_000_000 for n in range(6)]
    pq.write_table(pa.table({"body": bodies}), path, compression="none", use_dictionary=False)
    assert max(len(chunk) for chunk in read_all(path)) <= 3
    assert [len(chunk) for chunk in read_all(path, 1)] == [1] * 6


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_a_truncated_file_is_a_one_line_error(path: Path, keep: float) -> None:
    pq.write_table(pa.table({"body": ["x" * 50] * 100}), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(UserError, match=r"^a\.parquet cannot be read as Parquet: .*[^.]$") as error:
        read_all(path)
    assert "\n" not in str(error.value)


def test_rows_before_a_broken_row_group_are_kept(path: Path) -> None:
    bodies = [f"article {n}" for n in range(30)]
    pq.write_table(
        pa.table({"body": bodies}),
        path,
        row_group_size=10,
        compression="zstd",
        use_dictionary=False,
    )
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    content = bytearray(path.read_bytes())
    start = column.data_page_offset
    content[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(content)
    chunks = read_parquet(source(path), 1000)
    assert values(next(chunks), "body") == bodies[:10]
    with pytest.raises(UserError, match=r"after row 10 \(the rows before are kept\)"):
        next(chunks)


def test_any_damage_yields_rows_or_a_one_line_error(path: Path) -> None:
    pq.write_table(
        pa.table({"body": [f"article {n}" for n in range(300)], "n": range(300)}),
        path,
        row_group_size=100,
    )
    whole = path.read_bytes()
    random = np.random.default_rng(5)
    for _ in range(150):
        content = bytearray(whole)
        for position in random.integers(4, len(whole) - 4, size=3):
            content[position] = random.integers(256)
        path.write_bytes(content)
        read = rows_or_error(path)
        assert isinstance(read, int) or ERROR.fullmatch(read), read


def test_an_encrypted_file_is_reported_as_such(path: Path) -> None:
    path.write_bytes(b"PARE" + bytes(200) + (100).to_bytes(4, "little") + b"PARE")
    with pytest.raises(UserError, match=r"^a\.parquet is encrypted Parquet; decrypt it first"):
        read_all(path)


@pytest.mark.skipif(not NASTY.exists(), reason="needs the development data")
def test_files_of_other_writers_load_completely() -> None:
    for path in sorted(NASTY.rglob("*.parq*")):
        if not path.is_file() or path.name.startswith("."):
            continue
        rows = rows_or_error(path)
        metadata = pq.ParquetFile(path).metadata
        groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
        assert rows == sum(groups), path


@pytest.mark.parametrize("as_dictionary", [True, False])
def test_a_text_stored_once_for_all_rows_is_a_decompression_bomb(
    path: Path, monkeypatch: pytest.MonkeyPatch, as_dictionary: bool
) -> None:
    monkeypatch.setattr(arrow, "MIN_BOMB_BYTES", 8 << 20)
    monkeypatch.setattr(parquet, "MAX_BATCH_BYTES", 2 << 20)
    text = "x" * 100_000
    body = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), [text])
    if not as_dictionary:
        body = body.cast(pa.string())
    pq.write_table(pa.table({"id": range(1000), "body": body}), path)
    sizes: list[int] = []
    with pytest.raises(UserError, match=r"\(the rows before are kept\).* over 50 times its size"):
        sizes.extend(chunk.num_rows for chunk in read_parquet(source(path)))
    assert 0 < max(sizes) <= (83 if as_dictionary else 20)
    assert path.stat().st_size < 100_000


def test_a_batch_of_one_repeated_text_stays_small(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "MAX_BATCH_BYTES", 1 << 20)
    bodies = ["x" * 100_000] * 50 + ["y"] * 950
    pq.write_table(pa.table({"body": bodies}), path)
    chunks = read_all(path)
    assert max(chunk.num_rows for chunk in chunks) == 10
    assert [row["body"] for chunk in chunks for row in records(chunk)] == bodies


def test_many_rows_of_short_repeated_texts_are_not_a_decompression_bomb(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow, "MIN_BOMB_BYTES", 1 << 20)
    table = pa.table({"body": [f"body {n} " * 9 for n in range(20_000)]})
    kinds = pa.array(["a category"] * 20_000).dictionary_encode()
    pq.write_table(table.append_column("kind", kinds), path)
    assert rows_or_error(path) == 20_000
