"""A journal gives back what was written up to where it was cut, and nothing that was not."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.journal import Journal, JournalFolder, read_journal
from tests.tasks.job_support import files_no_longer_than

PAYLOADS = st.lists(st.binary(max_size=40), max_size=6)


def journal_of(path: Path, payloads: list[bytes]) -> bytes:
    journal = Journal(path)
    for payload in payloads:
        journal.append(payload)
    journal.close()
    return path.read_bytes()


def is_dirty(journal: Journal) -> bool:
    return journal.dirty


@contextmanager
def scratch() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(folder) / "one.journal"


@settings(max_examples=30, deadline=None)
@given(payloads=PAYLOADS)
def test_cut_at_every_byte_a_prefix_is_read(payloads: list[bytes]) -> None:
    with scratch() as path:
        whole = journal_of(path, payloads)
        assert list(read_journal(path)) == payloads
        seen = set()
        for cut in range(len(whole) + 1):
            path.write_bytes(whole[:cut])
            read = list(read_journal(path))
            assert read == payloads[: len(read)]
            seen.add(len(read))
        assert seen == set(range(len(payloads) + 1))


@settings(max_examples=300, deadline=None)
@given(payloads=PAYLOADS, data=st.data())
def test_with_any_byte_flipped_a_prefix_is_read(payloads: list[bytes], data: st.DataObject) -> None:
    with scratch() as path:
        spoilt = bytearray(journal_of(path, payloads))
        position = data.draw(st.integers(0, len(spoilt) - 1))
        spoilt[position] ^= data.draw(st.integers(1, 255))
        path.write_bytes(spoilt)
        read = list(read_journal(path))
        assert read == payloads[: len(read)]
        assert len(read) < max(1, len(payloads))


def test_zeros_that_a_power_cut_left_are_no_records(tmp_path: Path) -> None:
    path = tmp_path / "one.journal"
    path.write_bytes(journal_of(path, [b"one", b""]) + bytes(4096))
    assert list(read_journal(path)) == [b"one", b""]


@settings(max_examples=60, deadline=None)
@given(payloads=PAYLOADS, data=st.data())
def test_a_cut_journal_can_be_gone_on_with(payloads: list[bytes], data: st.DataObject) -> None:
    with scratch() as path:
        whole = journal_of(path, payloads)
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
        kept = list(read_journal(path))
        journal_of(path, [b"behind the cut"])
        assert list(read_journal(path)) == [*kept, b"behind the cut"]


def test_a_record_that_the_disk_has_no_room_for_spoils_none_after_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "one.journal")
    journal.append(b"before")
    with files_no_longer_than(journal.path.stat().st_size + 20), pytest.raises(OSError, match="of"):
        journal.append(b"x" * 1000)
    journal.append(b"after")
    journal.close()
    assert list(read_journal(journal.path)) == [b"before", b"after"]


def test_append_after_close_raises_and_writes_to_no_other_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "one.journal")
    journal.append(b"one")
    journal.close()
    # The kernel gives the number of the closed descriptor to the next file.
    others = [(tmp_path / f"other{number}").open("wb") for number in range(5)]
    with pytest.raises(OSError, match="is closed"):
        journal.append(b"two")
    journal.sync()
    journal.close()
    for other in others:
        other.close()
        assert Path(other.name).read_bytes() == b""
    assert list(read_journal(journal.path)) == [b"one"]


def test_a_file_that_is_no_journal_has_no_records(tmp_path: Path) -> None:
    path = tmp_path / "one.journal"
    for content in (b"", b"AFJR", b"something else altogether"):
        path.write_bytes(content)
        assert list(read_journal(path)) == []


def test_a_folder_tells_what_earlier_runs_left_and_keeps_its_own_unless_discarded(
    tmp_path: Path,
) -> None:
    journal_of(tmp_path / "earlier-000001.journal", [b"left"])
    with JournalFolder(tmp_path, "later") as journals:
        assert [path.name for path in journals.leftovers] == ["earlier-000001.journal"]
        journals.open("000001").append(b"committed")
        journals.open("000002").append(b"not")
        journals.open("000002").append(b"committed")
        journals.discard("000001")
    left = JournalFolder(tmp_path, "third").leftovers
    assert [path.name for path in left] == ["earlier-000001.journal", "later-000002.journal"]
    assert list(read_journal(left[1])) == [b"not", b"committed"]
    with JournalFolder(tmp_path, "third") as journals:
        journals.discard_leftovers()
    assert list(tmp_path.iterdir()) == []


def test_what_is_appended_is_made_durable_soon_even_if_a_sync_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with JournalFolder(tmp_path, "run") as journals:
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
