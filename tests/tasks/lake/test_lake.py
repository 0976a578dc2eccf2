"""A part is committed to a lake atomically, and one process at a time writes a table."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.merge_log import begin_merge, complete_merge
from article_flows.tasks.lake.parquet_parts import part_name
from tests.tasks.summarize.job_support import at, file_size_limit

TABLE = pa.table({"id": ["a", "b"], "n": [1, 2]})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def files_of(lake: Lake) -> list[str]:
    """Return all files of a lake except the lock files of scratch folders."""
    names = [path.relative_to(at(lake)) for path in at(lake).rglob("*") if path.is_file()]
    return sorted(name.as_posix() for name in names if name.name != ".lock")


def names_of(lake: Lake, folder: str) -> list[str]:
    return [part.name for part in lake.parts(folder)]


def test_a_part_is_invisible_until_it_is_complete(lake: Lake) -> None:
    with lake.part_writer(lake.articles, "part-1.parquet", TABLE.schema) as writer:
        writer.write_table(TABLE)
        writer.write_table(TABLE)
        assert lake.parts(lake.articles) == []
        assert not at(lake, lake.articles).exists()
    (part,) = lake.parts(lake.articles)
    assert (part.name, part.size) == (writer.name, at(lake, writer.name).stat().st_size)
    assert part.rows() == writer.rows == 4
    assert files_of(lake) == ["articles/part-1.parquet"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_writer_that_raises_leaves_no_file(lake: Lake, error: type[BaseException]) -> None:
    def write() -> None:
        with lake.part_writer(lake.articles, "part-1.parquet", TABLE.schema) as writer:
            writer.write_table(TABLE)
            raise error

    with pytest.raises(error):
        write()
    assert files_of(lake) == []


def test_a_full_disk_is_reported_and_leaves_no_file(lake: Lake) -> None:
    noise = pa.table({"text": [os.urandom(200_000).hex()]})
    with file_size_limit(4096), pytest.raises(UserError, match=r"cannot be written \(.*large"):
        lake.write_part(lake.articles, "part-1.parquet", noise)
    with file_size_limit(10), pytest.raises(UserError, match=r"cannot be written \(.*large"):
        lake.storage.write(f"{lake.summaries}/_recipe.json", b"x" * 1000)
    assert files_of(lake) == []


def test_a_part_with_the_same_name_replaces_the_first(lake: Lake) -> None:
    lake.write_part(lake.articles, "part-1.parquet", TABLE)
    lake.write_part(lake.articles, "part-1.parquet", TABLE.slice(1))
    (part,) = lake.parts(lake.articles)
    assert pq.read_table(str(part)).to_pylist() == [{"id": "b", "n": 2}]


def test_a_table_with_another_schema_is_rejected(lake: Lake) -> None:
    def write() -> None:
        with lake.part_writer(lake.articles, "part-1.parquet", TABLE.schema) as writer:
            writer.write_table(pa.table({"id": ["a"], "n": ["not a number"]}))

    with pytest.raises(pa.ArrowInvalid):
        write()
    assert files_of(lake) == []


def test_part_names_are_unique_and_sort_by_time() -> None:
    names = [part_name() for _ in range(500)]
    assert len(set(names)) == 500
    moments = [name.split("-")[1] for name in names]
    assert moments == sorted(moments)
    assert all(name.startswith("part-") and name.endswith(".parquet") for name in names)


def test_files_that_parquet_readers_ignore_are_not_parts(lake: Lake) -> None:
    (folder := at(lake, "articles")).mkdir(parents=True)
    for name in ("a.parquet", "_b.parquet", ".c.parquet", "d.parquet.crc", "_x/e.parquet"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    assert names_of(lake, lake.articles) == ["articles/a.parquet"]


def test_a_reader_sees_either_the_merged_part_or_the_old_ones_and_never_both(
    lake: Lake,
) -> None:
    old = [lake.write_part(lake.articles, f"{name}.parquet", TABLE).name for name in "bc"]
    other = lake.write_part(lake.articles, "d.parquet", TABLE).name
    note = begin_merge(lake.storage, lake.articles, old, "articles/a.parquet")
    assert names_of(lake, lake.articles) == [*old, other]
    lake.write_part(lake.articles, "a.parquet", TABLE)
    assert names_of(lake, lake.articles) == ["articles/a.parquet", other]
    complete_merge(lake.storage, note)
    assert names_of(lake, lake.articles) == ["articles/a.parquet", other]
    assert files_of(lake) == ["articles/a.parquet", other]


@pytest.mark.parametrize("root", ["hdfs://host/lake", "http://host/lake", "memory://lake"])
def test_an_unsupported_store_is_rejected(root: str) -> None:
    with pytest.raises(UserError, match="is not supported; give a folder, or a URI"):
        Lake(root)


def test_a_root_that_is_a_file_or_below_one_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="give a folder"):
        Lake(tmp_path / "file")
    with pytest.raises(UserError, match=r"cannot be written \(Not a directory\)"):
        Lake(tmp_path / "file" / "lake").write_part("articles", "a.parquet", TABLE)


def test_reading_a_lake_does_not_create_it(lake: Lake) -> None:
    assert lake.parts(lake.articles) == []
    assert not lake.has_articles()
    lake.sweep()
    assert not at(lake).exists()


def test_a_lock_excludes_other_holders_but_not_other_locks(lake: Lake) -> None:
    with lake.locked("a-table"):
        with pytest.raises(UserError, match="a-table"), lake.locked("a-table"):
            pass
        with lake.locked("another-table"):
            pass
    with lake.locked("a-table"):
        pass
