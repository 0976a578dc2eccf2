"""Journals in an object store: group commits, the local spool, and outages of the store."""

import time
from pathlib import Path

import pytest

from article_flows.tasks.common.errors import StorageUnavailable, UserError
from article_flows.tasks.journal.format import MAGIC, encode_records
from article_flows.tasks.journal.open import find_leftovers, open_journals
from article_flows.tasks.journal.spool import SPOOL_VARIABLE, spool_folder
from article_flows.tasks.storage.local import LocalStorage
from tests.tasks.journal.journal_support import (
    FOLDER,
    TABLE,
    FolderAsObjects,
    find_spooled,
    in_spool,
    journals_of,
    objects,
    records,
    until,
)


def test_appended_records_soon_move_from_the_spool_to_an_object(
    store: FolderAsObjects,
) -> None:
    with journals_of(store) as journals:
        one, two = journals.open("000001"), journals.open("000002")
        assert journals.open("000001") is one
        one.append(b"1a", b"1b")
        two.append(b"2a")
        until(lambda: journals.unwritten == 0)
        one.append(b"1c")
        until(lambda: journals.unwritten == 0 and len(objects(store)) >= 2)
        until(lambda: not in_spool(store))
        assert sorted(records(find_leftovers(store, TABLE))) == [b"1a", b"1b", b"1c", b"2a"]
    again = journals_of(store, "next")
    assert sorted(records(again.leftovers)) == [b"1a", b"1b", b"1c", b"2a"]
    assert all(left.name.startswith(f"{store.root}/{FOLDER}/run-") for left in again.leftovers)
    again.discard_leftovers()
    assert objects(store) == []
    assert in_spool(store) == []


def test_an_object_is_deleted_once_all_its_batches_are_committed(store: FolderAsObjects) -> None:
    with journals_of(store) as journals:
        store.hold.clear()
        for batch in ("000001", "000002"):
            journals.open(batch).append(batch.encode())
        # All records that the thread has not taken yet become one object.
        store.hold.set()
        until(lambda: journals.unwritten == 0)
        journals.open("000003").append(b"000003")
        until(lambda: journals.unwritten == 0)
        journals.discard("000001")
        journals.discard("000003")
        until(lambda: records(find_leftovers(store, TABLE))[-1:] == [b"000002"])
        journals.discard("000002")
        until(lambda: objects(store) == [])
    assert in_spool(store) == []


def test_records_committed_before_their_group_are_not_written(store: FolderAsObjects) -> None:
    with journals_of(store) as journals:
        store.hold.clear()
        journals.open("000001").append(b"taken by the thread")
        time.sleep(0.05)
        journals.open("000001").append(b"pending")
        journals.open("000002").append(b"of another batch")
        journals.discard("000001")
        store.hold.set()
        until(lambda: journals.unwritten == 0)
        until(lambda: records(find_leftovers(store, TABLE)) == [b"of another batch"])
        journals.discard("000002")
    assert objects(store) == []
    assert in_spool(store) == []


def test_a_large_group_is_written_immediately(
    store: FolderAsObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("article_flows.tasks.journal.object_journal.SYNC_EVERY_S", 3600.0)
    with journals_of(store) as journals:
        journal = journals.open("000001")
        for _ in range(8):
            journal.append(b"x" * (32 << 10))
        until(lambda: journals.unwritten == 0)
        assert len(objects(store)) == 1


def test_append_never_waits_for_the_store(store: FolderAsObjects) -> None:
    with journals_of(store) as journals:
        journal = journals.open("000001")
        store.hold.clear()
        for number in range(100):
            journal.append(b"%d" % number)
        assert journals.unwritten == 100
        # The spool protects them from the death of this process.
        assert records(find_spooled(store)) == [b"%d" % number for number in range(100)]
        store.hold.set()
        until(lambda: journals.unwritten == 0)
    assert records(find_leftovers(store, TABLE)) == [b"%d" % number for number in range(100)]


@pytest.mark.parametrize(
    "fault",
    [StorageUnavailable("lake s3://bucket: away"), UserError("no bucket"), ValueError("odd")],
)
def test_an_outage_stops_the_run_and_the_next_run_recovers_all_records(
    store: FolderAsObjects, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    reported: list[str] = []
    with journals_of(store) as journals:
        journals.on_write_failure = reported.append
        journal = journals.open("000001")
        journal.append(b"before")
        until(lambda: journals.unwritten == 0)
        store.fault = fault
        journal.append(b"one")
        until(lambda: bool(reported))
        journal.append(b"two")
        journals.open("000002").append(b"three")
    assert reported == [str(fault)]
    assert "3 answers are kept in" in caplog.text
    assert str(spool_folder(store.root, TABLE)) in caplog.text
    store.fault = None
    again = journals_of(store, "next")
    assert records(again.leftovers) == [b"before", b"one", b"two", b"three"]
    with again:
        again.discard_leftovers()
    assert objects(store) == []
    assert in_spool(store) == []


def test_pending_records_are_written_when_the_store_recovers(store: FolderAsObjects) -> None:
    reported: list[str] = []
    with journals_of(store) as journals:
        journals.on_write_failure = reported.append
        store.fault = StorageUnavailable("away")
        journal = journals.open("000001")
        for number in range(5):
            journal.append(b"%d" % number)
            until(lambda: bool(reported))
        store.fault = None
        until(lambda: journals.unwritten == 0)
        until(lambda: in_spool(store) == [])
    assert records(find_leftovers(store, TABLE)) == [b"0", b"1", b"2", b"3", b"4"]
    assert reported == ["away"]


def test_an_object_whose_write_seemed_to_fail_is_deleted_as_well(
    store: FolderAsObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, failures = store.write, [StorageUnavailable("away")]

    def write_and_fail_once(name: str, content: bytes) -> None:
        write(name, content)
        if failures:
            raise failures.pop()

    monkeypatch.setattr(store, "write", write_and_fail_once)
    with journals_of(store) as journals:
        journals.open("000001").append(b"one")
        until(lambda: journals.unwritten == 0)
        assert len(objects(store)) == 2
        journals.discard("000001")
    assert objects(store) == []


def test_a_run_continues_with_a_warning_if_the_spool_cannot_be_written(
    store: FolderAsObjects,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(SPOOL_VARIABLE, str(tmp_path / "file"))
    with journals_of(store) as journals:
        journals.on_write_failure = lambda _: None
        journal = journals.open("000001")
        journal.append(b"one")
        until(lambda: journals.unwritten == 0)
        store.fault = StorageUnavailable("away")
        journal.append(b"two")
    store.fault = None
    assert records(find_leftovers(store, TABLE)) == [b"one"]
    messages = [record.getMessage() for record in caplog.records]
    assert sum(SPOOL_VARIABLE in message for message in messages) == 1
    assert "1 answers could not be written (away)" in messages[-1]


def test_foreign_and_damaged_journals_are_set_aside(
    store: FolderAsObjects, caplog: pytest.LogCaptureFixture
) -> None:
    whole = MAGIC + encode_records([b"one", b"two", b"three"])
    store.write(f"{FOLDER}/a.journal", whole)
    store.write(f"{FOLDER}/b.journal", whole.replace(b"two", b"twO"))
    store.write(f"{FOLDER}/c.journal", b"something else")
    journals = journals_of(store)
    assert records(journals.leftovers) == [b"one", b"two", b"three", b"one"]
    assert objects(store) == [f"{FOLDER}/{name}.journal" for name in "abc"]
    journals.set_aside_foreign()
    journals.discard_leftovers()
    assert objects(store) == [f"{FOLDER}/b.journal.damaged", f"{FOLDER}/c.journal.unreadable"]
    assert store.read(f"{FOLDER}/c.journal.unreadable") == b"something else"
    assert [record.getMessage().split(": ")[0] for record in caplog.records] == [
        f"{store.root}/{FOLDER}/c.journal.unreadable",
        f"{store.root}/{FOLDER}/b.journal.damaged",
    ]
    assert journals_of(store).leftovers == []


def test_a_local_lake_gets_journal_files_and_a_disk_reserve(tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path / "lake"))
    folder = tmp_path / "lake" / FOLDER
    assert find_leftovers(storage, TABLE) == []
    assert not folder.exists()
    with open_journals(storage, TABLE, "run", max_in_flight=8) as journals:
        assert (folder / "reserve").stat().st_size == 1 << 20
        journals.open("000001").append(b"one")
    assert [path.name for path in folder.iterdir()] == ["run-000001.journal"]
    assert records(find_leftovers(storage, TABLE)) == [b"one"]


def test_a_lake_that_cannot_be_written_fails(tmp_path: Path) -> None:
    (tmp_path / "_staging").touch()
    with pytest.raises(UserError, match="cannot be written"):
        open_journals(LocalStorage(str(tmp_path)), TABLE, "run")
