"""However a journal's bytes are corrupted, a prefix of the written records is read back.

A truncated end, as a kill or a power failure leaves it, is distinguished from damage.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from article_flows.tasks.journal.file_journal import FileJournal
from article_flows.tasks.journal.format import (
    MAGIC,
    JournalContents,
    JournalEnd,
    encode_records,
    read_journal,
)
from tests.tasks.journal.journal_support import leftover_of, records_of

PAYLOADS = st.lists(st.binary(max_size=40), max_size=6)
"""Any bytes."""
OUTCOMES = st.lists(
    st.dictionaries(st.text(max_size=5), st.text(max_size=9)).map(orjson.dumps), max_size=6
)
"""Bytes like those of outcomes: JSON, which contains no zeros."""


def bytes_of(payloads: list[bytes]) -> bytes:
    return MAGIC + encode_records(payloads)


def read(content: bytes) -> tuple[list[bytes], JournalContents]:
    found = read_journal(content)
    return found.records, found


def accounted(content: bytes, found: JournalContents) -> int:
    """Return the number of bytes in the records that were read plus those left out."""
    read_bytes = len(bytes_of(found.records)) if content.startswith(MAGIC) else 0
    return read_bytes + found.left_out


def append(path: Path, *payloads: bytes) -> None:
    journal = FileJournal(path)
    for payload in payloads:
        journal.append(payload)
    journal.close()


@settings(max_examples=50, deadline=None)
@given(payloads=PAYLOADS)
def test_appended_payloads_are_read_back(payloads: list[bytes]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "one.journal"
        append(path, *payloads)
        assert path.read_bytes() == bytes_of(payloads)
        assert records_of(path) == payloads


@settings(max_examples=60, deadline=None)
@given(payloads=PAYLOADS)
def test_truncated_at_any_byte_a_prefix_is_read(payloads: list[bytes]) -> None:
    whole = bytes_of(payloads)
    ends, seen = set(), set()
    for cut in range(len(whole) + 1):
        records, found = read(whole[:cut])
        assert records == payloads[: len(records)]
        assert accounted(whole[:cut], found) <= cut
        ends.add(found.end)
        seen.add(len(records))
    assert seen == set(range(len(payloads) + 1))
    # A truncated tail is normal and not reported as damage.
    assert ends == {JournalEnd.COMPLETE, JournalEnd.TRUNCATED}


@settings(max_examples=60, deadline=None)
@given(payloads=OUTCOMES, zeros=st.integers(1, 50))
def test_a_tail_replaced_by_zeros_counts_as_truncated(payloads: list[bytes], zeros: int) -> None:
    """A power failure can leave a file with its full length but without its last blocks."""
    whole = bytes_of(payloads)
    for kept in range(len(whole) + 1):
        records, found = read(whole[:kept] + bytes(len(whole) - kept + zeros))
        assert records == payloads[: len(records)]
        assert found.end is JournalEnd.TRUNCATED


@settings(max_examples=60, deadline=None)
@given(payloads=PAYLOADS, change=st.integers(1, 255))
def test_with_any_byte_changed_a_prefix_is_read(payloads: list[bytes], change: int) -> None:
    whole = bytes_of(payloads)
    for position in range(len(whole)):
        corrupted = bytearray(whole)
        corrupted[position] ^= change
        records, found = read(bytes(corrupted))
        assert records == payloads[: len(records)]
        assert len(records) < max(1, len(payloads))
        assert found.end is not JournalEnd.COMPLETE


@settings(max_examples=20, deadline=None)
@given(payloads=OUTCOMES)
def test_any_bit_flip_before_the_last_record_is_detected(payloads: list[bytes]) -> None:
    whole = bytes_of([*payloads, b"the last"])
    for position in range(8 * len(bytes_of(payloads))):
        corrupted = bytearray(whole)
        corrupted[position // 8] ^= 1 << position % 8
        found = read(bytes(corrupted))[1]
        assert found.end is (
            JournalEnd.FOREIGN if position < 8 * len(MAGIC) else JournalEnd.DAMAGED
        )
        assert accounted(bytes(corrupted), found) == len(whole)


@settings(max_examples=200, deadline=None)
@given(payloads=PAYLOADS, garbage=st.binary(min_size=1, max_size=60))
def test_garbage_after_the_records_is_not_read_as_a_record(
    payloads: list[bytes], garbage: bytes
) -> None:
    records, found = read(bytes_of(payloads) + garbage)
    assert records == payloads
    assert found.end in (JournalEnd.TRUNCATED, JournalEnd.DAMAGED)


@settings(max_examples=300, deadline=None)
@given(payloads=PAYLOADS, data=st.data(), garbage=st.binary(max_size=60))
def test_a_range_replaced_by_garbage_adds_no_record_and_hides_none_before_it(
    payloads: list[bytes], data: st.DataObject, garbage: bytes
) -> None:
    whole = bytes_of(payloads)
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, len(whole)))
    records, _ = read(whole[:begin] + garbage + whole[end:])
    before, _ = read(whole[:begin])
    assert records[: len(before)] == before
    # If the range consists of complete records, the records after it may be readable.
    assert all(record in payloads for record in records)


@settings(max_examples=60, deadline=None)
@given(content=st.binary(min_size=1, max_size=60))
def test_a_foreign_file_has_no_records_and_is_kept(content: bytes) -> None:
    assume(not MAGIC.startswith(content.rstrip(b"\0")) and not content.startswith(MAGIC))
    records, found = read(content)
    assert (records, found.end) == ([], JournalEnd.FOREIGN)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "one.journal"
        path.write_bytes(content)
        assert leftover_of(path).set_aside_if_foreign()
        assert path.with_name("one.journal.unreadable").read_bytes() == content
