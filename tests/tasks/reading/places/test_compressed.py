"""Compressed files are read up to where they are damaged; decompression bombs are rejected."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.streams import MIN_FREE_BYTES
from article_flows.tasks.reading.places.compressed import (
    CompressedFile,
    codec_of,
    codec_of_suffix,
    unpacked_name,
)


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstd,
    "bzip2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
}
ROWS = b"".join(b"%d,some text of row %d\n" % (number, number * 7919) for number in range(40_000))


def compressed_file(folder: Path, packed: bytes, codec: str) -> CompressedFile:
    path = folder / "a.csv.gz"
    path.write_bytes(packed)
    return CompressedFile(LocalFile(path), codec, "data/a.csv.gz")


def parts_of(packed: CompressedFile, size: int = 100_000) -> tuple[bytes, str]:
    """Return all parts that could be read, and the error after them."""
    parts = []
    with packed.open() as file:
        try:
            while part := file.read(size):
                parts.append(part)
        except UserError as error:
            return b"".join(parts), str(error)
    return b"".join(parts), ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compressed")


@given(
    members=st.lists(st.binary(max_size=3_000), min_size=1, max_size=4),
    codec=st.sampled_from(sorted(PACK)),
    size=st.integers(1, 5_000),
)
@settings(max_examples=60, deadline=None)
def test_all_members_round_trip_with_every_codec(
    folder: Path, members: list[bytes], codec: str, size: int
) -> None:
    packed = b"".join(map(PACK[codec], members))
    assert codec_of(packed[:512]) == codec
    whole = b"".join(members)
    one = compressed_file(folder, packed, codec)
    assert parts_of(one, size) == (whole, "")
    with one.open() as file, one.open_seekable() as seekable:
        assert file.readlines() == io.BytesIO(whole).readlines()
        file.seek(0)
        assert file.read() == whole
        seekable.seek(-min(3, len(whole)), io.SEEK_END)
        assert seekable.read() == whole[-3:]


@pytest.mark.parametrize("codec", PACK)
def test_a_truncated_file_is_read_up_to_its_end_and_then_raises(tmp_path: Path, codec: str) -> None:
    packed = PACK[codec](ROWS)
    cut = compressed_file(tmp_path, packed[: len(packed) * 2 // 3], codec)
    before, error = parts_of(cut)
    assert ROWS.startswith(before)
    assert len(before) > 0.5 * len(ROWS)
    assert error.startswith("data/a.csv.gz ends in the middle of its compressed data, after")
    with cut.open() as file, pytest.raises(UserError, match="ends in the middle"):
        file.read()
    with cut.open() as file:
        lines: list[bytes] = []
        with pytest.raises(UserError, match="ends in the middle"):
            lines.extend(iter(file.readline, b""))
    with cut.open() as file:
        seen: list[bytes] = []
        with pytest.raises(UserError, match="ends in the middle"):
            seen.extend(file)
        assert len(seen) == before.count(b"\n")
        assert ROWS.startswith(b"".join(seen))
    with pytest.raises(UserError, match="ends in the middle"):
        cut.open_seekable()


@pytest.mark.parametrize("codec", PACK)
def test_reading_a_whole_truncated_file_raises(tmp_path: Path, codec: str) -> None:
    packed = PACK[codec](ROWS)
    with (
        compressed_file(tmp_path, packed[:-5], codec).open() as file,
        pytest.raises(UserError, match=r"ends in|checksum"),
    ):
        file.read(1 << 30)


@pytest.mark.parametrize("codec", PACK)
def test_damage_is_reported(tmp_path: Path, codec: str) -> None:
    packed = bytearray(PACK[codec](ROWS))
    # Arrow's Zstandard has no checksum: only a block's header shows damage.
    at = 6 if codec == "zstd" else len(packed) // 2
    packed[at : at + 2_000] = b"\xff" * 2_000
    before, error = parts_of(compressed_file(tmp_path, bytes(packed), codec))
    assert len(before) < len(ROWS)
    assert before[: len(before) // 2] == ROWS[: len(before) // 2]
    assert error.startswith("data/a.csv.gz is damaged: ")
    assert "unpacked bytes; get an intact copy" in error


def test_a_wrong_checksum_is_reported(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(ROWS))
    packed[-8] ^= 1
    before, error = parts_of(compressed_file(tmp_path, bytes(packed), "gzip"))
    assert ROWS.startswith(before)
    assert "is damaged: its checksum is wrong" in error


@pytest.mark.parametrize("codec", PACK)
def test_trailing_data_is_reported_unless_it_is_padding(tmp_path: Path, codec: str) -> None:
    packed = PACK[codec](b"some text")
    before, error = parts_of(compressed_file(tmp_path, packed + b"no such thing", codec))
    assert before == b"some text"
    assert "is damaged" in error
    padded = packed + bytes(1 << 20) + packed
    assert parts_of(compressed_file(tmp_path, padded, codec)) == (b"some text" * 2, "")


@pytest.mark.parametrize("codec", PACK)
def test_bombs_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str) -> None:
    monkeypatch.setattr("article_flows.tasks.reading.places.compressed.MIN_BOMB_BYTES", 1 << 20)
    bomb = compressed_file(tmp_path, PACK[codec](bytes(20 << 20)), codec)
    before, error = parts_of(bomb)
    assert len(before) <= 12 << 20
    assert error.startswith("data/a.csv.gz unpacks to more than 50 times its size (")
    with pytest.raises(UserError, match="more than 50 times"):
        bomb.open_seekable()
    assert parts_of(compressed_file(tmp_path, PACK[codec](ROWS), codec)) == (ROWS, "")


def test_an_xz_that_needs_too_much_memory_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("article_flows.tasks.reading.places.compressed.MAX_DECODER_BYTES", 1 << 20)
    assert "emory" in parts_of(compressed_file(tmp_path, lzma.compress(b"some text"), "xz"))[1]


def test_temporary_copies_leave_room_on_their_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("article_flows.tasks.reading.base.streams.MIN_FREE_BYTES", 1 << 60)
    assert MIN_FREE_BYTES > 100 << 20
    packed = compressed_file(tmp_path, gzip.compress(ROWS), "gzip")
    with pytest.raises(
        UserError, match=r"^data/a.csv.gz: .* has no room for a temporary copy.*TMPDIR"
    ):
        packed.open_seekable()


def test_seeks_other_than_to_the_start_are_rejected(tmp_path: Path) -> None:
    with compressed_file(tmp_path, gzip.compress(ROWS), "gzip").open() as file:
        for target, whence in ((len(ROWS) - 9, io.SEEK_SET), (0, io.SEEK_END)):
            with pytest.raises(OSError, match="can only seek to its start"):
                file.seek(target, whence)
        assert file.read(1 << 20) == ROWS[: 1 << 20]
        file.seek(0)
        assert file.readline() == ROWS.splitlines(keepends=True)[0]


def test_suffixes_and_first_bytes_indicate_the_codec() -> None:
    named = {"a.csv.gz": "a.csv", "a.CSV.ZST": "a.CSV", "a.tgz": "a.tar", "a.csv": "a.csv"}
    assert {name: unpacked_name(name) for name in named} == named
    assert [codec_of_suffix(name) for name in ("a.xz", "a.csv", ".gz")] == ["xz", None, None]
    assert codec_of(b"BZh is how this text begins") is None
    assert codec_of(b"") is None
