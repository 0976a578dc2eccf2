from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import UserError
from tasks.places import LocalPlace
from tasks.readers_base import RecordChunk, Source
from tasks.readers_parquet import read_parquet


def read_all(path: Path, batch_rows: int = 1000) -> list[RecordChunk]:
    return list(read_parquet(Source(LocalPlace(path), "a.parquet", "parquet"), batch_rows))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.parquet"


def test_any_column_types(path: Path) -> None:
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
    assert chunk.records == [record | {"category": each} for each in "xyx"]


def test_nanoseconds_and_dates_out_of_range(path: Path) -> None:
    nano = pa.array([1_546_560_000_123_456_789], pa.timestamp("ns", tz="UTC"))
    far = pa.array([2**61], pa.timestamp("us"))
    pq.write_table(pa.table({"body": ["x"], "nano": nano, "far": far}), path)
    (record,) = read_all(path)[0].records
    assert record["nano"] == datetime(2019, 1, 4, 0, 0, 0, 123456, tzinfo=UTC)
    assert isinstance(record["far"], str)


def test_text_that_is_not_utf8_rejects_its_row_only(path: Path) -> None:
    column = pa.StringArray.from_buffers(
        3, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffc")
    )
    pq.write_table(pa.table({"body": column}), path)
    (chunk,) = read_all(path)
    assert (chunk.rows, [record["body"] for record in chunk.records]) == ([1, 3], ["a", "c"])
    assert [(each.row, each.reason) for each in chunk.rejects] == [(2, "text that is not UTF-8")]


def test_two_columns_of_one_name_both_stay(path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array(["1"]), pa.array(["2"])], ["a", "a"]), path)
    assert read_all(path)[0].records == [{"a": "1", "a_2": "2"}]


def test_an_empty_table_has_no_rows(path: Path) -> None:
    pq.write_table(pa.table({"body": pa.array([], pa.string())}), path)
    assert read_all(path) == []


def test_chunks_are_bounded_in_rows_and_bytes(path: Path) -> None:
    bodies = [f"{n}" + "x" * 3_000_000 for n in range(6)]
    pq.write_table(pa.table({"body": bodies}), path, compression="none", use_dictionary=False)
    assert max(len(chunk) for chunk in read_all(path)) <= 3
    assert [len(chunk) for chunk in read_all(path, 1)] == [1] * 6


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_a_cut_file_is_named(path: Path, keep: float) -> None:
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
    chunks = read_parquet(Source(LocalPlace(path), "a.parquet", "parquet"), 1000)
    assert [record["body"] for record in next(chunks).records] == bodies[:10]
    with pytest.raises(UserError, match=r"after row 10 \(the rows before are kept\)"):
        next(chunks)
