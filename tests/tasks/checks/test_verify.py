"""Each kind of damage to a lake is reported in one line that names the file and the remedy."""

import fcntl
import json
import os
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from article_flows.tasks.checks.verify import verify_lake
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.enriched.discovery import FoundTable, find_tables
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.enriched.upkeep import store_orphaned_answers
from article_flows.tasks.journal.file_journal import FileJournal
from article_flows.tasks.journal.format import MAGIC, encode_records
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.merge_log import begin_merge
from article_flows.tasks.lake.parquet_parts import Part
from article_flows.tasks.locks.lock import locked
from article_flows.tasks.locks.waiting import Timing
from article_flows.tasks.storage.object_store import ObjectStorage
from article_flows.tasks.summarize.open_job import open_job
from tests.object_store import ObjectStoreServer
from tests.tasks.lake.lake_support import (
    ANSWERS,
    ARTICLES,
    CHANGED,
    FILTERED,
    copy_full_lake,
    copy_to_store,
    settings_of,
    table_of,
)
from tests.tasks.locks.lease_support import leave_lock
from tests.tasks.summarize.job_support import answer, article, at, fill, run, run_open

QUICK = Timing(heartbeat_s=0.05, expiry_s=0.6, poll_s=(0.01, 0.05))
NOBODY = 65534
Change = Callable[[pa.Table], pa.Table]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return copy_full_lake(tmp_path / "lake")


@pytest.fixture
def table(lake: Lake) -> EnrichedTable:
    return EnrichedTable(lake, table_of(lake).recipe, table_of(lake).model)


def files_of(lake: Lake, folder: str) -> list[Path]:
    return [at(lake, part.name) for part in lake.parts(folder)]


def rewrite(path: Path, change: Change) -> None:
    """Change the rows of a part without updating their hashes."""
    pq.write_table(change(pq.read_table(path)), path, write_page_checksum=True)


def with_value(name: str, value: Any, row: int = 0) -> Change:
    """Return a change that sets one value of a column."""

    def change(rows: pa.Table) -> pa.Table:
        values = rows[name].to_pylist()
        values[row] = value
        position = rows.schema.get_field_index(name)
        field = rows.schema.field(name)
        return rows.set_column(position, field, pa.array(values, field.type))

    return change


def only_problem(lake: Lake) -> str:
    """Return the only problem that is found in a lake."""
    (problem,) = verify_lake(lake).problems
    assert "\n" not in problem
    return problem


def test_an_intact_lake_has_no_problems(lake: Lake) -> None:
    found = verify_lake(lake)
    assert found.problems == []
    assert found.passed
    assert (found.articles, found.answers) == (ARTICLES, ANSWERS)
    (counts,) = found.notes
    assert f"articles {ARTICLES} = answered {ANSWERS} + failed 1 + remaining 1" in counts
    parts = [each for each in at(lake).rglob("*.parquet") if "_staging" not in each.parts]
    assert found.parts == len(parts)


def test_a_missing_lake_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        verify_lake(Lake(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no articles"):
        verify_lake(Lake(tmp_path / "empty"))
    assert not (tmp_path / "nowhere").exists()


def test_verify_does_not_write(lake: Lake) -> None:
    def all_files() -> dict[str, tuple[int, int]]:
        found = at(lake).rglob("*")
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}

    before = all_files()
    verify_lake(Lake(at(lake)))
    assert all_files() == before


def test_the_lock_of_a_table_has_the_same_name_as_in_a_run(lake: Lake) -> None:
    (found,) = find_tables(lake)
    assert found.table is not None
    assert found.name == found.table.name
    assert found.folders[:2] == (found.table.folder, found.table.failures)


def test_a_missing_part_of_the_articles_is_a_problem(lake: Lake) -> None:
    largest = max(files_of(lake, "articles"), key=lambda path: path.stat().st_size)
    largest.unlink()
    problems = verify_lake(lake).problems
    assert any("its article is not in the lake" in line for line in problems)


def test_articles_of_missing_answer_parts_are_counted_as_remaining(
    lake: Lake, table: EnrichedTable
) -> None:
    for part in files_of(lake, table.folder):
        part.unlink()
    found = verify_lake(lake)
    assert found.problems == []
    assert f"answered 0 + failed 1 + remaining {ARTICLES - 1}" in found.notes[0]


def folders_of(table: EnrichedTable) -> dict[str, str]:
    return {
        "articles": "articles",
        "answers": table.folder,
        "failures": table.failures,
        "old articles": "superseded/articles",
        "old answers": table.superseded,
    }


@pytest.mark.parametrize("what", ["articles", "answers", "failures", "old articles", "old answers"])
def test_flipped_bytes_in_a_page_are_found(lake: Lake, table: EnrichedTable, what: str) -> None:
    part = files_of(lake, folders_of(table)[what])[0]
    column = pq.ParquetFile(part).metadata.row_group(0).column(1)
    content = bytearray(part.read_bytes())
    middle = column.data_page_offset + column.total_compressed_size - 3
    content[middle] ^= 0xFF
    part.write_bytes(content)
    problem = next(line for line in verify_lake(lake).problems if "damaged" in line)
    assert str(part) in problem
    assert "put it back from a backup" in problem


def test_a_damaged_part_of_the_articles_is_not_blamed_on_the_answers(lake: Lake) -> None:
    part = files_of(lake, "articles")[0]
    part.write_bytes(part.read_bytes()[:-9])
    assert "damaged" in only_problem(lake)
    assert any(
        "not checked whether every row has its article" in x for x in verify_lake(lake).notes
    )


def test_an_empty_part_is_found(lake: Lake, table: EnrichedTable) -> None:
    part = files_of(lake, table.folder)[0]
    part.write_bytes(b"")
    assert "is empty (0 bytes)" in only_problem(lake)


@pytest.mark.parametrize("what", ["articles", "answers"])
def test_a_duplicated_part_is_found(lake: Lake, table: EnrichedTable, what: str) -> None:
    part = files_of(lake, folders_of(table)[what])[0]
    rows = pq.ParquetFile(part).metadata.num_rows
    shutil.copy(part, part.with_name("part-z-copy.parquet"))
    problem = only_problem(lake)
    assert "part-z-copy.parquet: row 1 (article 'a" in problem
    assert f"the same article_id and content_hash twice, first in row 1 of {part};" in problem
    assert (f"and {rows - 1:,} more rows" in problem) == (rows > 1)


def test_several_kinds_of_damage_get_a_line_each(lake: Lake, table: EnrichedTable) -> None:
    """Duplicates are found even if an earlier part cannot be read."""
    first, second = files_of(lake, "articles")[:2]
    shutil.copy(second, second.with_name("part-z-copy.parquet"))
    first.write_bytes(first.read_bytes()[:-9])
    answers = files_of(lake, table.folder)[0]
    rewrite(answers, with_value("summary", None))
    damaged, twice, null = verify_lake(lake).problems
    assert damaged.startswith(f"{first}: the part is damaged")
    assert f"first in row 1 of {second}" in twice
    assert null.startswith(f"{answers}: row 1")


def test_a_duplicated_failure_is_found(lake: Lake, table: EnrichedTable) -> None:
    (part,) = files_of(lake, table.failures)
    shutil.copy(part, part.with_name("part-z-copy.parquet"))
    problem = only_problem(lake)
    assert "has failed again since" in problem
    assert "run again" in problem


@pytest.mark.parametrize(
    ("what", "column", "value", "words"),
    [
        ("articles", "body", "This was edited by hand.", "content_hash is not the hash"),
        ("articles", "title", "This was edited by hand.", "content_hash is not the hash"),
        ("answers", "body", "This was edited by hand.", "content_hash is not the hash"),
        ("old articles", "body", "This was edited by hand.", "content_hash is not the hash"),
        ("old answers", "body", "This was edited by hand.", "content_hash is not the hash"),
        ("articles", "body", None, "body is null"),
        ("answers", "summary", None, "summary is null"),
        ("answers", "category", None, "category is null"),
        ("answers", "category", "sprot", "category is not one of the recipe's values"),
        ("answers", "keywords", ["one", None], "keywords has a null in its list"),
        ("answers", "recipe_hash", "0" * 16, "recipe_hash is not"),
        ("answers", "recipe", "summary", "recipe is not digest"),
        ("answers", "answered_at", None, "answered_at is null"),
        ("failures", "model", "other", "model is not extractive-v1"),
        ("failures", "error_class", None, "error_class is null"),
        ("old answers", "summary", None, "summary is null"),
    ],
)
def test_an_edited_row_is_found(
    lake: Lake, table: EnrichedTable, what: str, column: str, value: Any, words: str
) -> None:
    part = files_of(lake, folders_of(table)[what])[0]
    rewrite(part, with_value(column, value))
    problem = only_problem(lake)
    assert words in problem
    assert problem.startswith(f"{part}: row 1 (article '")
    assert "backup" in problem


def test_an_invalid_hash_is_found(lake: Lake, table: EnrichedTable) -> None:
    rewrite(files_of(lake, "superseded/articles")[0], with_value("content_hash", "none"))
    problems = verify_lake(lake).problems
    assert any("not 32 hex digits" in line for line in problems)


@pytest.mark.parametrize("what", ["articles", "answers", "failures", "old answers"])
def test_a_part_with_another_schema_is_found(lake: Lake, table: EnrichedTable, what: str) -> None:
    def dropped(rows: pa.Table) -> pa.Table:
        return rows.drop_columns(["source"])

    def wider(rows: pa.Table) -> pa.Table:
        return rows.append_column("mood", pa.array(["good"] * rows.num_rows))

    def typed(rows: pa.Table) -> pa.Table:
        position = rows.schema.get_field_index("title")
        return rows.set_column(position, "title", rows["title"].cast(pa.binary()))

    part = files_of(lake, folders_of(table)[what])[0]
    original = part.read_bytes()
    for change, words in (
        (dropped, "has no column source"),
        (wider, "has an unexpected column mood"),
        (typed, "column title is of type binary, not string"),
    ):
        rewrite(part, change)
        problems = verify_lake(lake).problems
        assert problems[0].startswith(f"{part}: {words}")
        part.write_bytes(original)


def test_a_row_without_its_article_is_found(lake: Lake, table: EnrichedTable) -> None:
    shutil.rmtree(at(lake, "superseded/articles"))
    part = files_of(lake, table.superseded)[0]
    shutil.copy(part, at(lake, table.folder) / "part-z.parquet")
    problem = only_problem(lake)
    assert f"row 1 (article '{CHANGED}'): its article is not in the lake" in problem


def test_a_row_whose_article_was_changed_is_no_problem(lake: Lake, table: EnrichedTable) -> None:
    fill(lake, [article("a2", "A new text. It has two sentences.")])
    found = verify_lake(lake)
    assert found.problems == []
    assert any("answers for articles that were changed or removed" in x for x in found.notes)


def test_an_answer_to_an_article_removed_before_it_arrived_is_no_problem(
    lake: Lake, table: EnrichedTable
) -> None:
    fields = {"summary": "s", "keywords": ["k"], "category": "other", "language": "en"}
    assert store_orphaned_answers(table, [answer("0" * 32, **fields)], "run-id")
    assert verify_lake(lake).problems == []


def test_a_failure_of_an_answered_article_is_found(lake: Lake, table: EnrichedTable) -> None:
    rows = pq.read_table(files_of(lake, table.folder)[0]).slice(0, 1)
    copied = ("article_id", "content_hash", "title", "source")

    def answered(failures: pa.Table) -> pa.Table:
        for name in copied:
            position = failures.schema.get_field_index(name)
            failures = failures.set_column(position, name, rows[name])
        return failures

    (part,) = files_of(lake, table.failures)
    second = part.with_name("part-z.parquet")
    shutil.copy(part, second)
    rewrite(second, answered)
    assert "the article has an answer now; run again" in only_problem(lake)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("articles/notes.txt", "is not a Parquet part"),
        ("articles/part-1.parquet.tmp", "is not a Parquet part"),
        ("summaries/digest/part-1.parquet", "is in a folder that belongs to no table"),
        ("_staging/sponge/thing", "is not a file of article-flows"),
        ("_staging/journals/digest/b.odd", "is not a file of article-flows"),
        ("_staging/journals/digest/b.journal.damaged", "a journal was set aside as damaged"),
        ("_staging/journals/digest/b.journal.unreadable", "set aside as incompatible"),
        ("_staging/journals/digest/reserve", "disk space"),
        ("_staging/loads/l.json", "a load is incomplete; load again"),
        ("_staging/merges/articles/m.json", "the record of a merge is damaged"),
        ("_staging/superseded/s.parquet", "damaged"),
    ],
)
def test_foreign_and_leftover_files_are_found(lake: Lake, name: str, words: str) -> None:
    path = at(lake, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    problem = only_problem(lake)
    assert problem.startswith(str(path))
    assert words in problem


def test_an_upload_in_progress_is_no_problem(lake: Lake) -> None:
    """Large parts are uploaded to object stores this way; a later upload removes leftovers."""
    path = at(lake, "_staging/uploads/0f1e2d")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half of a part")
    assert verify_lake(lake).passed


@pytest.mark.parametrize("name", ["articles/_SUCCESS", "articles/.DS_Store", "README"])
def test_files_that_readers_ignore_are_no_problem(lake: Lake, name: str) -> None:
    at(lake, name).write_bytes(b"x")
    found = verify_lake(lake)
    assert found.problems == []
    assert any(
        line.startswith(f"{at(lake, name)}: does not belong to the lake") for line in found.notes
    )


def test_a_wrong_damaged_or_missing_table_description_is_found(
    lake: Lake, table: EnrichedTable
) -> None:
    path = at(lake, table.folder) / "_recipe.json"
    about = json.loads(path.read_bytes())
    about["recipe"]["instructions"] += " Be brief."
    path.write_text(json.dumps(about))
    assert "does not match its folder" in only_problem(lake)
    path.write_text("{")
    assert "_recipe.json: is damaged" in only_problem(lake)
    path.unlink()
    assert "_recipe.json: is missing" in only_problem(lake)


def test_an_incomplete_merge_is_found(lake: Lake, table: EnrichedTable) -> None:
    old = [part.name for part in lake.parts(table.folder)]
    begin_merge(lake.storage, table.folder, old, f"{table.folder}/part-new.parquet")
    problem = only_problem(lake)
    assert "is incomplete" in problem
    assert "run again to finish it" in problem
    with lake.locked(table.name):
        assert verify_lake(lake).problems == []


def test_a_merge_of_articles_in_progress_is_no_problem(lake: Lake) -> None:
    old = [part.name for part in lake.parts("articles")]
    begin_merge(lake.storage, "articles", old, "articles/part-new.parquet")
    with lake.locked("articles-parts"):
        assert verify_lake(lake).problems == []
    assert f"a merge of {len(old)} parts of articles is incomplete" in only_problem(lake)


def test_answers_of_a_killed_run_are_found(lake: Lake, table: EnrichedTable) -> None:
    path = at(lake, f"_staging/journals/{table.name}/run-1.journal")
    path.parent.mkdir(parents=True, exist_ok=True)
    journal = FileJournal(path)
    journal.append(*(answer(f"{n:032x}", summary="s").encode() for n in range(3)))
    journal.close()
    problem = only_problem(lake)
    assert (
        "3 answers of a killed run are not in the table yet; run again to recover them" in problem
    )
    with lake.locked(table.name):
        found = verify_lake(lake)
    assert found.problems == []
    assert any("is being written" in line for line in found.notes)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    first, second = verify_lake(lake).problems
    assert "1 answers of a killed run are not in the table yet" in first
    assert "damaged before its end" in second


def test_scratch_folders_of_dead_processes_are_found(lake: Lake) -> None:
    folder = at(lake, "_staging/parts/abc")
    folder.mkdir(parents=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert verify_lake(lake).problems == []
    os.close(descriptor)
    problem = only_problem(lake)
    assert problem.startswith(f"{folder}: partly written files of a killed run")


def test_a_load_in_progress_is_no_problem(lake: Lake) -> None:
    with lake.locked("articles"):
        lake.storage.write("_staging/loads/l.json", b"{}")
        assert verify_lake(lake).problems == []
    assert "a load is incomplete" in only_problem(lake)


def test_a_run_in_progress_is_no_problem(lake: Lake) -> None:
    options = settings_of(lake)
    with open_job(options, "run-id") as job:
        assert verify_lake(lake).problems == []
        run_open(job, options)
        assert verify_lake(lake).problems == []
    found = verify_lake(lake)
    assert (found.problems, found.answers) == ([], ANSWERS + 1)


def test_parts_merged_during_the_check_are_read_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first part is replaced by one with the same rows before it is opened."""
    opened = Part.open
    moved: list[str] = []

    def open_once_moved(part: Part, *given: Any) -> Any:
        if not moved and part.name.startswith("articles/"):
            moved.append(part.name)
            at(lake, part.name).rename(at(lake, part.name).with_name("part-merged.parquet"))
        return opened(part, *given)

    monkeypatch.setattr(Part, "open", open_once_moved)
    found = verify_lake(lake)
    assert moved
    assert (found.problems, found.articles) == ([], ARTICLES)


@pytest.mark.slow
def test_verify_works_on_an_object_store(
    lake: Lake, object_store: ObjectStoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTICLE_FLOWS_SPOOL", str(tmp_path / "spool"))
    there = copy_to_store(lake, object_store.uri("verify"))
    assert verify_lake(there).problems == []
    (name,) = (each.name for each in find_tables(there))
    records = encode_records([answer("0" * 32, summary="s").encode()])
    there.storage.write(f"_staging/journals/{name}/run-000.journal", MAGIC + records)
    with locked(there.storage, name, timing=QUICK):
        assert verify_lake(there, QUICK).problems == []
    assert "1 answers of a killed run are not in the table yet" in only_problem(there)
    spoilt = MAGIC + records + b"no record" + records
    there.storage.write(f"_staging/journals/{name}/run-000.journal", spoilt)
    waiting, damaged = verify_lake(there, QUICK).problems
    assert "1 answers of a killed run are not in the table yet" in waiting
    assert "the journal is damaged before its end" in damaged
    there.storage.write(f"_staging/journals/{name}/run-000.journal", MAGIC + records)
    there.storage.delete(f"_staging/locks/{name}.json")
    leave_lock(ObjectStorage(str(there)), name)
    waiting, lock = verify_lake(there, QUICK).problems
    assert "1 answers of a killed run are not in the table yet" in waiting
    assert f"the lock {name} belongs to a dead run" in lock


def test_a_whole_run_during_the_check_is_no_problem(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run answers an article that was loaded after the articles were read."""
    options = settings_of(lake)
    ran: list[object] = []

    def after_a_run(lake: Lake) -> list[FoundTable]:
        if not ran:
            fill(lake, [article("late")])
            ran.append(run(options))
        return find_tables(lake)

    monkeypatch.setattr("article_flows.tasks.checks.verify.find_tables", after_a_run)
    found = verify_lake(lake)
    assert ran
    assert (found.problems, found.articles, found.answers) == ([], ARTICLES + 1, ANSWERS + 2)


def test_a_read_only_lake_can_be_verified(lake: Lake) -> None:
    with TemporaryDirectory() as folder:
        copy = Path(folder, "lake")
        shutil.copytree(at(lake), copy)
        for path in (Path(folder), copy, *copy.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            assert in_unprivileged_child(lambda: not verify_lake(Lake(copy)).problems)
        finally:
            for path in (Path(folder), *copy.rglob("*"), copy):
                path.chmod(0o755)


def in_unprivileged_child(check: Callable[[], bool]) -> bool:
    """Return the result of a check in a process without root's rights, which ignore file modes."""
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(NOBODY)
            os._exit(0 if check() else 1)
        except BaseException:
            traceback.print_exc()
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


def data_of(folder: Path) -> list[Any]:
    """Return all data that a reader of a lake sees."""
    lake = Lake(folder)
    found: list[Any] = []
    for top in ("articles", "rejects", "summaries", "failures", "superseded"):
        for part in lake.parts(top):
            with part.open() as file:
                found.append((part.name, file.read()))
    for path in sorted(folder.rglob("_recipe.json")):
        about = json.loads(path.read_bytes())
        about["recipe"].pop("description")
        found.append(about)
    return found


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_flipped_byte_is_found_or_has_no_effect(data: st.DataObject, lake: Lake) -> None:
    before = data_of(at(lake))
    files = sorted(
        path
        for path in at(lake).rglob("*")
        if path.is_file() and path.stat().st_size and "locks" not in path.parts
    )
    path = data.draw(st.sampled_from(files))
    content = path.read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    damaged = bytearray(content)
    damaged[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    try:
        assert verify_lake(lake).problems or data_of(at(lake)) == before
    finally:
        path.write_bytes(content)


def test_problems_name_the_row_number(lake: Lake, table: EnrichedTable) -> None:
    part = max(
        files_of(lake, table.folder), key=lambda path: pq.ParquetFile(path).metadata.num_rows
    )
    rows = pq.read_table(part)
    number = rows.num_rows - 1
    rewrite(part, with_value("summary", None, number))
    where = f"row {number + 1} (article {rows['article_id'][number].as_py()!r})"
    assert where in only_problem(lake)
    assert pc.is_null(pq.read_table(part)["summary"]).to_pylist().count(True) == 1


def test_a_failed_article_is_counted_once(lake: Lake) -> None:
    found = verify_lake(lake)
    assert "failed 1" in found.notes[0]
    assert FILTERED in {
        row["article_id"]
        for part in lake.parts("failures")
        for row in pq.read_table(at(lake, part.name)).to_pylist()
    }
