"""A part returns the rows that were written or an error that names it, never other rows."""

import errno
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.parquet_parts import Part, PartMissing, PartWriter
from tests.tasks.summarize.job_support import at

NAME = "articles/p.parquet"
COLUMNS = ["article_id", "content_hash"]


def table(rows: int = 12) -> pa.Table:
    """Return articles with strings, timestamps and nulls; few enough for a small part."""
    empty = dict.fromkeys(ARTICLES_SCHEMA.names)
    moment = datetime(2024, 1, 2, tzinfo=UTC)
    return pa.Table.from_pylist(
        [
            {
                **empty,
                "article_id": f"a{number}",
                "title": f"title {number}" if number % 2 else None,
                "body": f"word {number} " * 5,
                "content_hash": f"{number:032x}",
                "published_at": moment,
            }
            for number in range(rows)
        ],
        ARTICLES_SCHEMA,
    )


def written(lake: Lake) -> Part:
    with lake.part_writer("articles", "p.parquet", ARTICLES_SCHEMA, row_group=5) as writer:
        writer.write_table(table())
    return lake.part(writer.name)


@cache
def content() -> bytes:
    """Return the bytes of a part."""
    with TemporaryDirectory() as folder:
        lake = Lake(folder)
        return at(lake, written(lake).name).read_bytes()


def footer_start(part: bytes) -> int:
    return len(part) - 8 - int.from_bytes(part[-8:-4], "little")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("parts") / "lake")
    written(lake)
    return lake


def read_by_columns(part: Part) -> pa.Table:
    with part.open() as file:
        return file.read(COLUMNS)


def read_by_groups(part: Part) -> pa.Table:
    with part.open() as file:
        return file.read_row_groups(range(file.metadata.num_row_groups), COLUMNS)


def read_by_batches(part: Part) -> pa.Table:
    with part.open() as file:
        return pa.Table.from_batches(file.iter_batches(4, COLUMNS))


def read_whole(part: Part) -> pa.Table:
    with part.open() as file:
        assert file.schema.equals(ARTICLES_SCHEMA)
        assert file.num_rows == file.metadata.num_rows == part.rows() == 12
        return file.read()


READERS: list[Callable[[Part], pa.Table]] = [
    read_whole,
    read_by_columns,
    read_by_groups,
    read_by_batches,
]


def assert_original_rows_or_error(
    lake: Lake, damaged: bytes | bytearray, read: Callable[[Part], pa.Table]
) -> None:
    at(lake, NAME).write_bytes(damaged)
    try:
        rows = read(lake.part(NAME))
    except UserError as error:
        message = str(error)
    else:
        assert rows.equals(table().select(rows.schema.names))
        assert rows.schema.names == (ARTICLES_SCHEMA.names if read is read_whole else COLUMNS)
        return
    assert message.startswith(f"{at(lake, NAME)}: ")
    assert "\n" not in message


@pytest.mark.parametrize("read", READERS)
def test_written_rows_are_read_back(lake: Lake, read: Callable[[Part], pa.Table]) -> None:
    at(lake, NAME).write_bytes(content())
    rows = read(lake.part(NAME))
    assert rows.equals(table().select(rows.schema.names))


@settings(max_examples=400, deadline=None)
@given(
    position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), read=st.sampled_from(READERS)
)
def test_a_flipped_bit_is_detected_or_makes_no_difference(
    lake: Lake, position: float, bit: int, read: Callable[[Part], pa.Table]
) -> None:
    damaged = bytearray(content())
    damaged[int(position * len(damaged))] ^= 1 << bit
    assert_original_rows_or_error(lake, damaged, read)


@settings(max_examples=200, deadline=None)
@given(
    start=st.floats(0, 1, exclude_max=True),
    noise=st.binary(min_size=1, max_size=600),
    read=st.sampled_from(READERS),
)
@example(start=0.0, noise=bytes(600), read=read_whole)
def test_overwritten_bytes_are_detected_or_make_no_difference(
    lake: Lake, start: float, noise: bytes, read: Callable[[Part], pa.Table]
) -> None:
    first = int(start * len(content()))
    damaged = bytearray(content())
    damaged[first : first + len(noise)] = noise[: len(damaged) - first]
    assert_original_rows_or_error(lake, damaged, read)


@pytest.mark.slow
def test_a_change_of_any_footer_byte_is_detected(lake: Lake) -> None:
    """The footer contains the names, types and positions of the columns."""
    part = content()
    for position in range(footer_start(part), len(part)):
        for bit in (position % 8, (position + 3) % 8):
            damaged = bytearray(part)
            damaged[position] ^= 1 << bit
            assert_original_rows_or_error(lake, damaged, read_whole)


@settings(max_examples=60, deadline=None)
@given(length=st.floats(0, 1, exclude_max=True))
@example(length=0.0)
def test_a_truncated_part_is_named(lake: Lake, length: float) -> None:
    at(lake, NAME).write_bytes(content()[: int(length * len(content()))])
    with pytest.raises(UserError, match=r"p\.parquet: the part is damaged \(.*put it back"):
        read_by_columns(lake.part(NAME))


@pytest.mark.parametrize("region", ["page data", "footer", "footer length", "trailing magic"])
def test_damage_anywhere_names_the_part(lake: Lake, region: str) -> None:
    part = bytearray(content())
    column = pq.ParquetFile(pa.BufferReader(content())).metadata.row_group(1).column(0)
    position = {
        "page data": column.dictionary_page_offset + column.total_compressed_size - 3,
        "footer": footer_start(content()) + 30,
        "footer length": len(part) - 8,
        "trailing magic": len(part) - 2,
    }[region]
    part[position] ^= 0x10
    at(lake, NAME).write_bytes(part)
    with pytest.raises(UserError, match=r"p\.parquet: the part is damaged"):
        read_by_columns(lake.part(NAME))


def test_missing_and_unreadable_parts_are_not_reported_as_damaged(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(lake, NAME).unlink(missing_ok=True)
    with pytest.raises(PartMissing, match=r"p\.parquet: is gone; run again"):
        lake.part(NAME).open()

    def fail(name: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(lake.storage, "open", fail)
    with pytest.raises(UserError, match=r"p\.parquet: cannot be read \(Permission denied\)"):
        lake.part(NAME).open()


def test_pages_and_footer_have_checksums_and_any_parquet_reader_accepts_the_part(
    lake: Lake,
) -> None:
    at(lake, NAME).write_bytes(content())
    assert content()[-16:-12] == b"FtrC"
    assert pq.read_table(at(lake, NAME)).equals(table())
    assert pq.ParquetFile(at(lake, NAME), page_checksum_verification=True).read().equals(table())
    column = pq.read_metadata(at(lake, NAME)).row_group(0).column(0)
    damaged = bytearray(content())
    damaged[column.dictionary_page_offset + column.total_compressed_size - 3] ^= 0x01
    with pytest.raises(OSError, match="CRC checksum"):
        pq.ParquetFile(pa.BufferReader(damaged), page_checksum_verification=True).read()


def test_a_part_written_by_another_tool_without_checksums_can_be_read(lake: Lake) -> None:
    pq.write_table(table(), at(lake, NAME), write_page_checksum=False)
    assert read_whole(lake.part(NAME)).equals(table())


def test_a_large_footer_is_read_completely(lake: Lake) -> None:
    with lake.part_writer("articles", "p.parquet", ARTICLES_SCHEMA, row_group=1) as writer:
        writer.write_table(table(120))
    part = lake.part(NAME)
    assert len(at(lake, NAME).read_bytes()) - footer_start(at(lake, NAME).read_bytes()) > 70_000
    with part.open() as file:
        assert file.metadata.num_row_groups == 120
        assert file.read().equals(table(120))


def test_a_known_footer_is_not_read_again(lake: Lake) -> None:
    at(lake, NAME).write_bytes(content())
    with lake.part(NAME).open() as file:
        footer = file.metadata
    without_end = content()[: footer_start(content())]
    at(lake, NAME).write_bytes(without_end)
    with lake.part(NAME).open(footer) as file:
        assert file.read(COLUMNS).equals(table().select(COLUMNS))


def test_an_aborted_writer_leaves_no_file(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    writer = PartWriter(lake.storage, NAME, ARTICLES_SCHEMA)
    writer.write_table(table())
    assert [path.suffix for path in lake.storage.scratch.iterdir() if path.name != ".lock"]
    writer.abort()
    assert [path.name for path in lake.storage.scratch.iterdir()] == [".lock"]
    assert lake.parts(lake.articles) == []
