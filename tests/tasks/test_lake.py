"""A part gets into the lake whole or not at all, and one process at a time writes a table."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import UserError
from tasks.lake import Lake, part_name
from tests.tasks.job_support import files_no_longer_than

ROOT = Path(__file__).parents[2]
TABLE = pa.table({"id": ["a", "b"], "n": [1, 2]})
HOLD_LOCK = """
import sys
from tasks.lake import Lake
with Lake(sys.argv[1]).locked("a-table"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_part_is_there_only_once_it_is_whole(lake: Lake) -> None:
    with lake.part_writer(lake.articles, "part-1.parquet", TABLE.schema) as writer:
        writer.write_table(TABLE)
        writer.write_table(TABLE)
        assert lake.parts(lake.articles) == []
        assert not lake.articles.exists()
    assert lake.parts(lake.articles) == [lake.articles / "part-1.parquet"]
    assert pq.read_table(writer.path).num_rows == writer.rows == 4
    assert files_below(lake.staging) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_writer_that_raises_midway_leaves_nothing(lake: Lake, error: type[BaseException]) -> None:
    def write() -> None:
        with lake.part_writer(lake.articles, "part-1.parquet", TABLE.schema) as writer:
            writer.write_table(TABLE)
            raise error

    with pytest.raises(error):
        write()
    assert files_below(lake.root) == []


def test_a_disk_that_is_full_leaves_nothing_and_says_so(lake: Lake) -> None:
    noise = pa.table({"text": [os.urandom(200_000).hex()]})
    lake.stage("parts")
    with files_no_longer_than(4096), pytest.raises(OSError, match="too large"):
        lake.write_part(lake.articles, "part-1.parquet", noise)
    with files_no_longer_than(10), pytest.raises(OSError, match="too large"):
        lake.write_file(lake.summaries / "_recipe.json", b"x" * 1000)
    assert files_below(lake.root) == []


def test_a_part_of_the_same_name_replaces_the_first(lake: Lake) -> None:
    lake.write_part(lake.articles, "part-1.parquet", TABLE)
    lake.write_part(lake.articles, "part-1.parquet", TABLE.slice(1))
    (part,) = lake.parts(lake.articles)
    assert pq.read_table(part).to_pylist() == [{"id": "b", "n": 2}]


def test_a_table_of_another_schema_is_refused(lake: Lake) -> None:
    def write() -> None:
        with lake.part_writer(lake.articles, "part-1.parquet", TABLE.schema) as writer:
            writer.write_table(pa.table({"id": ["a"], "n": ["not a number"]}))

    with pytest.raises(pa.ArrowInvalid):
        write()
    assert files_below(lake.root) == []


def test_part_names_are_unique_and_sort_by_time() -> None:
    names = [part_name() for _ in range(500)]
    assert len(set(names)) == 500
    moments = [name.split("-")[1] for name in names]
    assert moments == sorted(moments)
    assert all(name.startswith("part-") and name.endswith(".parquet") for name in names)


@pytest.mark.parametrize("root", ["s3://bucket/lake", "gs://bucket", "FILE:///tmp/lake"])
def test_a_store_that_is_not_supported_is_refused(root: str) -> None:
    with pytest.raises(UserError, match="local disk"):
        Lake(root)


def test_a_root_that_is_or_lies_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="give a folder"):
        Lake(tmp_path / "file")
    with pytest.raises(UserError, match=r"cannot be written \(Not a directory\)"):
        Lake(tmp_path / "file" / "lake").stage("parts")


def test_to_look_at_a_lake_does_not_make_it(lake: Lake) -> None:
    assert lake.parts(lake.articles) == []
    assert not lake.root.exists()


def test_the_lock_excludes_another_holder_and_no_other_lock(lake: Lake) -> None:
    with lake.locked("a-table"):
        with (
            pytest.raises(UserError, match="is writing a-table"),
            lake.locked("a-table"),
        ):
            pass
        with lake.locked("another-table"):
            pass
    with lake.locked("a-table"):
        pass


def test_the_lock_excludes_another_process_and_is_freed_by_its_death(lake: Lake) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(lake.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="another run"), lake.locked("a-table"):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with lake.locked("a-table"):
            pass


def test_what_a_killed_writer_left_is_swept_away_a_day_later(lake: Lake) -> None:
    for name, age_s in (("dead", 25 * 3600), ("alive", 60)):
        staged = lake.stage("parts") / f"{name}.parquet"
        staged.touch()
        os.utime(staged, (time.time() - age_s,) * 2)
    lake.sweep()
    assert [path.stem for path in files_below(lake.root)] == ["alive"]
