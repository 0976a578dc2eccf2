"""Keys of columns equal the keys of their rows one by one, wherever a column is sliced."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.lake.key_columns import id_tags, read_key_batches, read_parts, text_keys
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.parquet_parts import Part
from article_flows.tasks.lake.sorted_keys import keys_of_bytes

# Typical and extreme ids: short ones, URLs, very long ones, and some that differ in a zero byte.
IDS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["", "a", "a\0", "x" * 255, "x" * 256, "x" * 257, "字" * 100, "y" * 3_000]),
)


@given(st.lists(st.binary(min_size=16, max_size=16)), st.data())
def test_text_keys_are_the_bytes_of_the_hashes(texts: list[bytes], data: st.DataObject) -> None:
    hashes = pa.array([text.hex() for text in texts], pa.string())
    start = data.draw(st.integers(0, len(texts)))
    for cut, expected in ((hashes, texts), (hashes.slice(start), texts[start:])):
        for actual_half, half in zip(text_keys(cut), keys_of_bytes(expected), strict=True):
            assert actual_half.tolist() == half.tolist()


@pytest.mark.parametrize("bad", ["", "0" * 31, "0" * 33, "0" * 31 + "g", None, "é" * 16])
def test_an_invalid_hash_is_rejected(bad: str | None) -> None:
    with pytest.raises(ValueError, match="32 hex digits"):
        text_keys(pa.array(["0" * 32, bad], pa.string()))


@given(st.lists(IDS, unique=True), st.data())
def test_an_id_has_the_same_tag_in_any_column_and_distinct_ids_have_distinct_tags(
    ids: list[str], data: st.DataObject
) -> None:
    column = pa.array(ids, pa.string())
    tags = id_tags(column).tolist()
    assert len(set(tags)) == len(ids)
    assert [id_tags(pa.array([each]))[0] for each in ids] == tags
    start = data.draw(st.integers(0, len(ids)))
    assert id_tags(column.slice(start)).tolist() == tags[start:]
    assert id_tags(column.cast(pa.large_string())).tolist() == tags


def test_numbered_ids_have_distinct_tags() -> None:
    ids = pa.array([f"{prefix}{number}" for prefix in ("a", "b-0000") for number in range(50_000)])
    assert len(set(id_tags(ids).tolist())) == 100_000


def part(lake: Lake, name: str, rows: list[tuple[str, str]]) -> Part:
    table = pa.table(
        dict(zip(("article_id", "content_hash"), map(list, zip(*rows, strict=True)), strict=True))
    )
    return lake.write_part(lake.articles, name, table)


def test_parts_are_read_in_order_and_an_error_names_the_part(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    rows = [(f"a{number}", f"{number:032x}") for number in range(30)]
    parts = [part(lake, f"p{n}.parquet", rows[3 * n : 3 * n + 3]) for n in range(10)]
    read_all = list(read_parts(parts))
    assert [low for each in read_all for low in each.texts.low.tolist()] == list(range(30))
    tags_read = [tag for each in read_all for tag in each.tags.tolist()]
    assert tags_read == id_tags(pa.array([name for name, _ in rows])).tolist()
    assert [batch.first for batch in read_key_batches(parts[0], rows=2)] == [0, 2]
    bad = part(lake, "bad.parquet", [("a", "nonsense")])
    with pytest.raises(UserError, match=r"bad\.parquet: content_hash nonsense is not 32 hex"):
        list(read_parts([*parts, bad]))
