"""Compaction merges small parts; wherever it dies, every row exists exactly once."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from article_flows.tasks.common.article_schema import Mask
from article_flows.tasks.lake.compaction import merge_small_parts, retire_rows
from article_flows.tasks.lake.key_columns import keys_of
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.merge_log import finish_merges
from article_flows.tasks.lake.sorted_keys import Keys, KeySet
from tests.tasks.storage.crashing_storage import at_every_change
from tests.tasks.summarize.job_support import at

SCHEMA = pa.schema(
    [("article_id", pa.string()), ("content_hash", pa.string()), ("note", pa.string())]
)
TABLE = "summaries/s/m"


def rows(*numbers: int) -> pa.Table:
    return pa.table(
        [
            [f"a{number}" for number in numbers],
            [f"{number:032x}" for number in numbers],
            pa.nulls(len(numbers), pa.string()),
        ],
        schema=SCHEMA,
    )


def write(lake: Lake, name: str, *numbers: int, folder: str = TABLE) -> None:
    lake.write_part(folder, f"{name}.parquet", rows(*numbers))


def numbers_in(lake: Lake, folder: str = TABLE) -> list[int]:
    """Return the rows as this project reads them: from `Lake.parts`."""
    found = []
    for part in lake.parts(folder):
        with part.open() as file:
            table = file.read()
        assert table.schema == SCHEMA
        found += [int(text, 16) for text in table["content_hash"].to_pylist()]
    return sorted(found)


def numbers_by_pyarrow(lake: Lake, folder: str = TABLE) -> list[int]:
    """Return the rows as any Parquet reader sees them."""
    table = ds.dataset(at(lake, folder)).to_table()
    assert table.schema == SCHEMA
    return sorted(int(text, 16) for text in table["content_hash"].to_pylist())


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def test_few_parts_are_not_merged(lake: Lake) -> None:
    for number in range(7):
        write(lake, f"p{number}", number)
    assert merge_small_parts(lake, TABLE, SCHEMA, 100) == 0
    assert len(lake.parts(TABLE)) == 7


def test_many_parts_become_one_with_the_same_rows(lake: Lake) -> None:
    for number in range(20):
        write(lake, f"p{number:02}", 2 * number, 2 * number + 1)
    assert merge_small_parts(lake, TABLE, SCHEMA, 100) == 20
    assert len(lake.parts(TABLE)) == 1
    assert numbers_in(lake) == numbers_by_pyarrow(lake) == list(range(40))
    with lake.parts(TABLE)[0].open() as file:
        assert file.read()["note"].null_count == 40
    assert merge_small_parts(lake, TABLE, SCHEMA, 100) == 0


def test_parts_of_other_tables_are_not_merged(lake: Lake) -> None:
    for number in range(9):
        write(lake, f"p{number}", number)
        write(lake, f"p{number}", number, folder="summaries/s/other")
    merge_small_parts(lake, TABLE, SCHEMA, 100)
    assert len(lake.parts("summaries/s/other")) == 9


def test_a_merged_part_has_a_maximum_size(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        write(lake, f"p{number:02}", *range(100 * number, 100 * number + 100))
    size = lake.parts(TABLE)[0].size
    monkeypatch.setattr("article_flows.tasks.lake.compaction.MAX_PART_BYTES", 5 * size)
    merge_small_parts(lake, TABLE, SCHEMA, 100)
    assert max(part.size for part in lake.parts(TABLE)) <= 6 * size
    assert 6 <= len(lake.parts(TABLE)) < 30
    assert numbers_in(lake) == list(range(3000))


def test_a_merge_that_dies_anywhere_neither_loses_nor_duplicates_rows(lake: Lake) -> None:
    for number in range(9):
        write(lake, f"p{number}", number)
    pristine = at(lake).with_name("pristine")
    shutil.copytree(at(lake), pristine)
    deaths = 0
    for _ in at_every_change(lake, lambda dying: merge_small_parts(dying, TABLE, SCHEMA, 100)):
        deaths += 1
        assert numbers_in(lake) == list(range(9))
        assert set(numbers_by_pyarrow(lake)) == set(range(9))
        finish_merges(lake.storage, TABLE)
        assert numbers_in(lake) == numbers_by_pyarrow(lake) == list(range(9))
        assert lake.storage.list("_staging/merges") == []
        shutil.rmtree(at(lake))
        shutil.copytree(pristine, at(lake))
    # Write the note and the new part; delete the nine old parts and the note.
    assert deaths == 12


def test_retired_rows_are_kept_below_superseded(lake: Lake) -> None:
    write(lake, "p", 1, 2, 3)
    stale = stale_numbers(2, 3)
    assert retire_rows(lake, lake.parts(TABLE)[0], SCHEMA, 100, stale) == 2
    assert numbers_in(lake) == [1]
    assert numbers_in(lake, f"superseded/{TABLE}") == [2, 3]
    assert retire_rows(lake, lake.parts(TABLE)[0], SCHEMA, 100, stale) == 0


def test_a_part_without_remaining_rows_is_deleted(lake: Lake) -> None:
    write(lake, "p", 1, 2)
    retire_rows(lake, lake.parts(TABLE)[0], SCHEMA, 100, stale_numbers(1, 2))
    assert lake.parts(TABLE) == []
    assert numbers_in(lake, f"superseded/{TABLE}") == [1, 2]


def test_retiring_that_dies_anywhere_loses_nothing_and_can_be_repeated(lake: Lake) -> None:
    write(lake, "p", 1, 2, 3)
    pristine = at(lake).with_name("pristine")
    shutil.copytree(at(lake), pristine)

    def retire(dying: Lake) -> None:
        finish_merges(dying.storage, TABLE)
        for part in dying.parts(TABLE):
            retire_rows(dying, part, SCHEMA, 100, stale_numbers(2))

    for _ in at_every_change(lake, retire):
        everywhere = {*numbers_in(lake), *numbers_in(lake, f"superseded/{TABLE}")}
        assert everywhere == {1, 2, 3}
        assert set(numbers_in(lake)) >= {1, 3}
        retire(lake)
        assert numbers_in(lake) == [1, 3]
        assert numbers_in(lake, f"superseded/{TABLE}") == [2]
        shutil.rmtree(at(lake))
        shutil.copytree(pristine, at(lake))


def stale_numbers(*numbers: int) -> Callable[[Keys], Mask]:
    stale = KeySet()
    stale.add_keys(keys_of(rows(*numbers)))
    return stale.contains_keys
