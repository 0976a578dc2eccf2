import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import RecordChunk, Source
from article_flows.tasks.reading.formats import arrow
from article_flows.tasks.reading.formats.arrow import read_arrow
from article_flows.tasks.reading.formats.registry import format_of

ERROR = re.compile(r"a\.arrow cannot be read .*")
TABLE = pa.table(
    {
        "id": range(300),
        "body": [f"Artikel {n} über Dinge" for n in range(300)],
        "kind": pa.array(["x", "y", "x"] * 100).dictionary_encode(),
        "sentences": [["a", "b"]] * 300,
    }
)


def as_file(compression: str | None = None) -> bytes:
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(sink, TABLE.schema, options=options) as writer:
        writer.write_table(TABLE, max_chunksize=100)
    return sink.getvalue()


def as_stream() -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=100)
    return sink.getvalue()


def as_feather(version: int) -> bytes:
    sink = io.BytesIO()
    table = TABLE.drop(["sentences"]) if version == 1 else TABLE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        feather.write_feather(table, sink, version=version)
    return sink.getvalue()


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(LocalFile(tmp_path / "a.arrow"), "a.arrow", "arrow")


def read_all(source: Source, content: bytes, batch_rows: int = 1000) -> list[RecordChunk]:
    source.file.path.write_bytes(content)  # type: ignore[attr-defined]  # a LocalFile
    assert format_of(source.file, source.name) == "arrow"
    return list(read_arrow(source, batch_rows))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (as_file, "Arrow file (Feather 2)"),
        (lambda: as_file("zstd"), "Arrow file (Feather 2)"),
        (lambda: as_file("lz4"), "Arrow file (Feather 2)"),
        (as_stream, "Arrow stream"),
        (lambda: as_feather(2), "Arrow file (Feather 2)"),
        (lambda: as_feather(1), "Feather 1"),
    ],
)
def test_all_variants_yield_the_same_rows(
    source: Source, make: Callable[[], bytes], kind: str
) -> None:
    chunks = read_all(source, make(), 64)
    assert source.facts["kind"] == kind
    assert [number for chunk in chunks for number in chunk.rows] == list(range(1, 301))
    assert max(map(len, chunks)) <= 64
    rows = [row for chunk in chunks for row in chunk.head(64)]
    columns = list(rows[0])
    assert rows == TABLE.select(columns).to_pylist()
    assert columns[:3] == ["id", "body", "kind"]


def test_long_rows_are_yielded_in_small_chunks(source: Source) -> None:
    sink = io.BytesIO()
    table = pa.table({"body": ["x" * 3_000_000] * 6})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert max(map(len, read_all(source, sink.getvalue()))) <= 3


@pytest.mark.parametrize("make", [as_file, as_stream])
def test_batches_before_a_truncation_are_kept(source: Source, make: Callable[[], bytes]) -> None:
    content = make()
    source.file.path.write_bytes(content[: len(content) * 3 // 4])  # type: ignore[attr-defined]
    chunks = read_arrow(source)
    assert len(next(chunks)) == 100
    message = r"^a\.arrow cannot be read after row \d00 \(the rows before are kept\) as Arrow: .*"
    with pytest.raises(UserError, match=message) as error:
        list(chunks)
    assert "\n" not in str(error.value)


def test_text_that_is_not_utf8_rejects_its_row_only(source: Source) -> None:
    body = pa.array([b"a", b"b\xff", b"c"], pa.binary())
    table = pa.table({"body": pa.StringArray.from_buffers(3, *body.buffers()[1:])})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    (chunk,) = read_all(source, sink.getvalue())
    assert (chunk.rows, chunk.records) == ([1, 3], [{"body": "a"}, {"body": "c"}])
    assert [(each.row, each.raw) for each in chunk.rejects] == [(2, "b\ufffd")]


def test_string_views_and_run_ends_become_plain_text(source: Source) -> None:
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["x", "y"]))
    table = pa.table({"body": pa.array(["a", "b", "c"], pa.string_view()), "kind": runs})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    (chunk,) = read_all(source, sink.getvalue())
    assert [row["body"] for row in chunk.records] == ["a", "b", "c"]
    assert [row["kind"] for row in chunk.head(3)] == ["x", "x", "y"]


def test_a_table_without_rows_yields_nothing(source: Source) -> None:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, TABLE.schema):
        pass
    assert read_all(source, sink.getvalue()) == []


def test_feather_version_1_files_have_a_size_limit(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow, "MAX_FEATHER_V1_BYTES", 1000)
    with pytest.raises(UserError, match="which can only be read as a whole; convert it to Parquet"):
        read_all(source, as_feather(1))


@pytest.mark.parametrize(("make", "times"), [(as_file, 100), (as_stream, 100)])
def test_any_damage_yields_rows_or_a_one_line_error(
    source: Source, make: Callable[[], bytes], times: int
) -> None:
    random = np.random.default_rng(5)
    for _ in range(times):
        _damage(source, make(), random)


def test_a_damaged_feather_version_1_file_does_not_crash_the_process(source: Source) -> None:
    content = bytearray(as_feather(1))
    content[-200:-8] = b"\xff" * 192
    source.file.path.write_bytes(content)  # type: ignore[attr-defined]
    message = (
        r"^a\.arrow cannot be read as Arrow: its metadata is damaged; download or save it again$"
    )
    with pytest.raises(UserError, match=message):
        list(read_arrow(source))


def _damage(source: Source, whole: bytes, random: np.random.Generator) -> None:
    content = bytearray(whole)
    for position in random.integers(8, len(whole), size=3):
        content[position] = random.integers(256)
    source.file.path.write_bytes(content)  # type: ignore[attr-defined]
    read = _rows_or_error(source)
    assert isinstance(read, int) or ERROR.fullmatch(read), read


def _rows_or_error(source: Source) -> int | str:
    try:
        return sum(len(chunk.head(1000)) for chunk in read_arrow(source))
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("last", [b"c", b"\xff"])
@pytest.mark.parametrize("in_list", [False, True])
def test_offsets_out_of_range_are_an_error(source: Source, last: bytes, in_list: bool) -> None:
    """Without validation, Arrow would crash the test process."""
    out_of_range = pa.py_buffer(np.array([0, 1, 2**30, 3], np.int32))
    text = pa.py_buffer(b"ab" + last)
    if in_list:
        valid = pa.py_buffer(np.array([0, 1, 2, 3], np.int32))
        words = pa.StringArray.from_buffers(3, valid, text)
        column = pa.Array.from_buffers(
            pa.list_(words.type), 3, [None, out_of_range], children=[words]
        )
    else:
        column = pa.StringArray.from_buffers(3, out_of_range, text)
    sink = io.BytesIO()
    batch = pa.record_batch({"column": column})
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(UserError, match=r"a\.arrow cannot be read as Arrow: .*[Oo]ffset"):
        read_all(source, sink.getvalue())


@pytest.mark.parametrize(
    ("kind", "wrap"),
    [
        (pa.large_string(), lambda text: text),
        (pa.dictionary(pa.int32(), pa.string()), lambda text: text),
        (pa.list_(pa.string()), lambda text: [text]),
        (pa.large_list(pa.string()), lambda text: [text]),
        (pa.list_(pa.string(), 1), lambda text: [text]),
        (pa.list_view(pa.string()), lambda text: [text]),
        (pa.struct({"x": pa.string()}), lambda text: {"x": text}),
    ],
)
def test_invalid_text_in_any_type_rejects_its_row_only(
    source: Source, kind: pa.DataType, wrap: Callable[[str], object]
) -> None:
    texts = "abcdefghijklmnop", "b", "qrstuvwxyzabcdef"
    table = pa.table({"column": pa.array(map(wrap, texts), kind)})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    broken = sink.getvalue().replace(b"qrstuvwxyzabcdef", b"qrstuvwxyzabcde\xff")
    (chunk,) = read_all(source, broken)
    assert chunk.rows == [1, 2]
    assert [(each.row, each.raw) for each in chunk.rejects] == [(3, "qrstuvwxyzabcde\ufffd")]
