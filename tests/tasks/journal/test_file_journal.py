"""Journals in a local folder: appends survive, full disks are handled, leftovers are recovered."""

import errno
import os
import time
from pathlib import Path

import pytest

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.journal.disk_reserve import DiskReserve, reserve_bytes
from article_flows.tasks.journal.file_journal import FileJournal, FileJournals
from article_flows.tasks.journal.format import MAGIC, encode_records
from tests.tasks.journal.journal_support import leftover_of, records_of
from tests.tasks.summarize.job_support import file_size_limit


def journal_of(path: Path, payloads: list[bytes]) -> bytes:
    journal = FileJournal(path)
    for payload in payloads:
        journal.append(payload)
    journal.close()
    return path.read_bytes()


def is_dirty(journal: FileJournal) -> bool:
    return journal.dirty


def names(journals: FileJournals) -> list[str]:
    return [Path(leftover.name).name for leftover in journals.leftovers]


def test_records_that_did_not_fit_are_written_in_order_once_there_is_space(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "one.journal")
    journal.append(b"before")
    size = journal.path.stat().st_size
    with file_size_limit(size + 20):
        for more in (b"fits", b"x" * 1000), (b"after",):
            with pytest.raises(OSError, match="too large"):
                journal.append(*more)
        assert journal.unwritten == 2
        # The file contains complete records only, even while the disk is full.
        assert records_of(journal.path) == [b"before", b"fits"]
    journal.append(b"last")
    assert journal.unwritten == 0
    assert journal.close() == 0
    assert records_of(journal.path) == [b"before", b"fits", b"x" * 1000, b"after", b"last"]


@pytest.mark.parametrize("space_at", ["sync", "close", "never"])
def test_unwritten_records_are_retried_by_sync_and_close(tmp_path: Path, space_at: str) -> None:
    journal = FileJournal(tmp_path / "one.journal")
    with file_size_limit(journal.path.stat().st_size + 20):
        with pytest.raises(OSError, match="too large"):
            journal.append(b"x" * 1000)
        if space_at == "never":
            with pytest.raises(OSError, match="too large"):
                journal.sync()
            assert journal.close() == 1
    if space_at == "sync":
        journal.sync()
        assert journal.unwritten == 0
    if space_at != "never":
        assert journal.close() == 0
    assert len(records_of(journal.path)) == (space_at != "never")


class FullDisk:
    """Replaces os.write by one that limits the total size of the files in a folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, *, free: int) -> None:
        self._folder = folder
        self._write = os.write
        self.size = self._used() + free
        monkeypatch.setattr("article_flows.tasks.journal.file_journal.os.write", self.write)

    def write(self, descriptor: int, content: bytes) -> int:
        free = self.size - self._used()
        if free <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(descriptor, content[:free])

    def _used(self) -> int:
        return sum(path.stat().st_size for path in self._folder.iterdir())


def test_a_full_disk_releases_its_reserve_for_answers_in_flight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[str] = []
    with FileJournals(tmp_path, "run", reserve=1 << 20, lake="the-lake") as journals:
        journals.on_write_failure = reported.append
        reserve = tmp_path / "reserve"
        assert reserve.stat().st_blocks * 512 >= 1 << 20
        one, two = journals.open("000001"), journals.open("000002")
        one.append(b"before")
        FullDisk(monkeypatch, tmp_path, free=50)
        for number in range(4):
            one.append(b"%d" % number * 100)
            two.append(b"%d" % number * 100)
        assert not reserve.exists()
        assert len(reported) == 1
        assert reported[0].startswith("lake the-lake: the disk is full; free some space")
        assert journals.unwritten == 0
        disk = FullDisk(monkeypatch, tmp_path, free=250)
        with pytest.raises(OSError, match="No space left"):
            one.append(b"a" * 200, b"b" * 200)
        assert journals.unwritten == 1
        disk.size += 10_000
    expected = [b"%d" % number * 100 for number in range(4)]
    assert records_of(one.path) == [b"before", *expected, b"a" * 200, b"b" * 200]
    assert records_of(two.path) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == [one.path.name, two.path.name]


def test_answers_lost_at_the_end_are_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with FileJournals(tmp_path, "run", reserve=1) as journals:
        journal = journals.open("000001")
        FullDisk(monkeypatch, tmp_path, free=0)
        with pytest.raises(OSError, match="No space left"):
            journal.append(b"one" * 9, b"two" * 9)
    assert "2 answers could not be written" in caplog.text


def test_a_run_does_not_start_without_space_for_the_reserve(tmp_path: Path) -> None:
    journals = FileJournals(tmp_path, "run", reserve=1 << 20, lake="the-lake")
    with (
        file_size_limit(1 << 19),
        pytest.raises(UserError, match="lake the-lake: cannot be written"),
        journals,
    ):
        pytest.fail("it started")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("in_flight", "megabytes"), [(1, 1), (64, 1), (1_000, 15.625), (100_000, 64)]
)
def test_the_reserve_grows_with_the_requests_in_flight(in_flight: int, megabytes: float) -> None:
    assert reserve_bytes(in_flight) == megabytes * (1 << 20)


def test_the_reserve_works_on_a_file_system_without_fallocate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr("article_flows.tasks.journal.disk_reserve.os.posix_fallocate", unsupported)
    reserve = DiskReserve(tmp_path / "reserve", 3 << 19)
    reserve.allocate()
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= 3 << 19
    assert [reserve.release(), reserve.release()] == [True, False]
    assert list(tmp_path.iterdir()) == []


def test_append_after_close_fails_and_writes_to_no_other_file(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "one.journal")
    journal.append(b"one")
    journal.close()
    # The kernel reuses the number of the closed descriptor for the next file.
    others = [(tmp_path / f"other{number}").open("wb") for number in range(5)]
    with pytest.raises(OSError, match="is closed"):
        journal.append(b"two")
    journal.sync()
    journal.close()
    for other in others:
        other.close()
        assert Path(other.name).read_bytes() == b""
    assert records_of(journal.path) == [b"one"]


def test_leftovers_of_earlier_runs_are_found_and_own_journals_are_kept_unless_discarded(
    tmp_path: Path,
) -> None:
    journal_of(tmp_path / "earlier-000001.journal", [b"left"])
    with FileJournals(tmp_path, "later") as journals:
        assert names(journals) == ["earlier-000001.journal"]
        journals.open("000001").append(b"committed")
        journals.open("000002").append(b"not")
        journals.open("000002").append(b"committed")
        journals.discard("000001")
    third = FileJournals(tmp_path, "third")
    assert names(third) == ["earlier-000001.journal", "later-000002.journal"]
    assert list(third.leftovers[1].records()) == [b"not", b"committed"]
    with FileJournals(tmp_path, "third") as journals:
        journals.discard_leftovers()
    assert list(tmp_path.iterdir()) == []


def test_appended_records_are_synced_soon_even_if_a_sync_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with FileJournals(tmp_path, "run") as journals:
        journal = journals.open("000001")
        synced = journal.sync
        failures = [OSError("the disk is gone")]

        def sync_that_fails_once() -> None:
            if failures:
                raise failures.pop()
            synced()

        monkeypatch.setattr(journal, "sync", sync_that_fails_once)
        journal.append(b"one")
        for _ in range(1_000):
            if not is_dirty(journal):
                break
            time.sleep(0.01)
        assert not is_dirty(journal)
    assert "the disk is gone" in caplog.text


def test_leftovers_are_deleted_or_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = MAGIC + encode_records([b"one", b"two", b"three"])
    damaged = whole.replace(b"two", b"twO")
    files = {
        "cut.journal": whole[:-2],
        "damaged.journal": damaged,
        "empty.journal": b"",
        "foreign.journal": b"AFJRNL02" + whole[8:],
        "short.journal": b"AFJ",
        "whole.journal": whole,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    journals = FileJournals(tmp_path, "run")
    read = {Path(left.name).name: list(left.records()) for left in journals.leftovers}
    assert read.pop("whole.journal") == [b"one", b"two", b"three"]
    assert read.pop("cut.journal") == [b"one", b"two"]
    assert read.pop("damaged.journal") == [b"one"]
    assert list(read.values()) == [[], [], []]
    assert caplog.text == ""

    journals.set_aside_foreign()
    assert "foreign.journal" not in names(journals)
    (warning,) = (record.getMessage() for record in caplog.records)
    assert warning.startswith(f"{tmp_path}/foreign.journal.unreadable: not a journal of this vers")
    caplog.clear()

    journals.discard_leftovers()
    (warning,) = (record.getMessage() for record in caplog.records)
    left_out = len(encode_records([b"two", b"three"]))
    assert warning.startswith(f"{tmp_path}/damaged.journal.damaged: damaged: {left_out} bytes")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "damaged.journal.damaged": damaged,
        "foreign.journal.unreadable": files["foreign.journal"],
    }
    caplog.clear()
    # They are reported once and never read again.
    assert FileJournals(tmp_path, "next").leftovers == []


def test_setting_a_file_aside_overwrites_no_other(tmp_path: Path) -> None:
    for content in (b"rubbish 1", b"rubbish 2", b"rubbish 3"):
        (tmp_path / "a.journal").write_bytes(content)
        assert leftover_of(tmp_path / "a.journal").set_aside_if_foreign()
    assert sorted(path.read_bytes()[-1:] for path in tmp_path.iterdir()) == [b"1", b"2", b"3"]


def test_a_missing_leftover_is_empty_and_an_unreadable_one_fails(
    tmp_path: Path,
) -> None:
    gone = leftover_of(tmp_path / "gone.journal")
    assert list(gone.records()) == []
    assert not gone.set_aside_if_foreign()
    gone.discard()
    (tmp_path / "odd.journal").mkdir()
    with pytest.raises(UserError, match=r"odd\.journal: answers of an earlier run cannot be read"):
        list(leftover_of(tmp_path / "odd.journal").records())


def test_a_journal_never_overwrites_another(tmp_path: Path) -> None:
    path = tmp_path / "one.journal"
    written = journal_of(path, [b"one"])
    with pytest.raises(FileExistsError):
        FileJournal(path)
    assert path.read_bytes() == written
