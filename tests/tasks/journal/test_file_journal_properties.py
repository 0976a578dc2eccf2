"""Whatever happens to a journal's bytes, what is read back is a prefix of what was written.

And how it ends is told apart: cut short, as a kill or a power cut leaves it, or damaged.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from article_flows.tasks.journal.file_journal import Journal
from article_flows.tasks.journal.format import (
    MAGIC,
    End,
    JournalContents,
    encode_records,
    read_journal,
)
from tests.tasks.journal.journal_support import leftover_of, records_of

PAYLOADS = st.lists(st.binary(max_size=40), max_size=6)
"""Any bytes."""
OUTCOMES = st.lists(
    st.dictionaries(st.text(max_size=5), st.text(max_size=9)).map(orjson.dumps), max_size=6
)
"""Bytes as outcomes are: JSON, which has no zeros."""


def bytes_of(payloads: list[bytes]) -> bytes:
    return MAGIC + encode_records(payloads)


def read(content: bytes) -> tuple[list[bytes], JournalContents]:
    found = read_journal(content)
    return found.records, found


def accounted(content: bytes, found: JournalContents) -> int:
    """Bytes up to the end of the last record that was read, and those that were left out."""
    read_whole = len(bytes_of(found.records)) if content.startswith(MAGIC) else 0
    return read_whole + found.left_out


def append(path: Path, *payloads: bytes) -> None:
    journal = Journal(path)
    for payload in payloads:
        journal.append(payload)
    journal.close()


@settings(max_examples=50, deadline=None)
@given(payloads=PAYLOADS)
def test_what_is_appended_is_what_is_read(payloads: list[bytes]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "one.journal"
        append(path, *payloads)
        assert path.read_bytes() == bytes_of(payloads)
        assert records_of(path) == payloads


@settings(max_examples=60, deadline=None)
@given(payloads=PAYLOADS)
def test_cut_at_every_byte_a_prefix_is_read(payloads: list[bytes]) -> None:
    whole = bytes_of(payloads)
    ends, seen = set(), set()
    for cut in range(len(whole) + 1):
        records, found = read(whole[:cut])
        assert records == payloads[: len(records)]
        assert accounted(whole[:cut], found) <= cut
        ends.add(found.end)
        seen.add(len(records))
    assert seen == set(range(len(payloads) + 1))
    # A tail that is merely cut is nothing to tell anybody.
    assert ends == {End.WHOLE, End.CUT}


@settings(max_examples=60, deadline=None)
@given(payloads=OUTCOMES, zeros=st.integers(1, 50))
def test_with_any_tail_lost_to_zeros_it_is_cut_and_no_more(
    payloads: list[bytes], zeros: int
) -> None:
    """A power cut can leave a file with its length and without its last blocks."""
    whole = bytes_of(payloads)
    for kept in range(len(whole) + 1):
        records, found = read(whole[:kept] + bytes(len(whole) - kept + zeros))
        assert records == payloads[: len(records)]
        assert found.end is End.CUT


@settings(max_examples=60, deadline=None)
@given(payloads=PAYLOADS, change=st.integers(1, 255))
def test_with_any_byte_changed_a_prefix_is_read(payloads: list[bytes], change: int) -> None:
    whole = bytes_of(payloads)
    for position in range(len(whole)):
        spoilt = bytearray(whole)
        spoilt[position] ^= change
        records, found = read(bytes(spoilt))
        assert records == payloads[: len(records)]
        assert len(records) < max(1, len(payloads))
        assert found.end is not End.WHOLE


@settings(max_examples=20, deadline=None)
@given(payloads=OUTCOMES)
def test_every_bit_that_flips_before_the_last_record_is_told(payloads: list[bytes]) -> None:
    whole = bytes_of([*payloads, b"the last"])
    for position in range(8 * len(bytes_of(payloads))):
        spoilt = bytearray(whole)
        spoilt[position // 8] ^= 1 << position % 8
        found = read(bytes(spoilt))[1]
        assert found.end is (End.FOREIGN if position < 8 * len(MAGIC) else End.DAMAGED)
        assert accounted(bytes(spoilt), found) == len(whole)


@settings(max_examples=200, deadline=None)
@given(payloads=PAYLOADS, rubbish=st.binary(min_size=1, max_size=60))
def test_rubbish_behind_the_records_is_no_record(payloads: list[bytes], rubbish: bytes) -> None:
    records, found = read(bytes_of(payloads) + rubbish)
    assert records == payloads
    assert found.end in (End.CUT, End.DAMAGED)


@settings(max_examples=300, deadline=None)
@given(payloads=PAYLOADS, data=st.data(), rubbish=st.binary(max_size=60))
def test_a_stretch_replaced_by_rubbish_invents_no_record_and_hides_none_before_it(
    payloads: list[bytes], data: st.DataObject, rubbish: bytes
) -> None:
    whole = bytes_of(payloads)
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, len(whole)))
    records, _ = read(whole[:begin] + rubbish + whole[end:])
    before, _ = read(whole[:begin])
    assert records[: len(before)] == before
    # A stretch of whole records that is cut out leaves those behind it readable.
    assert all(record in payloads for record in records)


@settings(max_examples=60, deadline=None)
@given(content=st.binary(min_size=1, max_size=60))
def test_a_file_that_is_no_journal_has_no_records_and_is_kept(content: bytes) -> None:
    assume(not MAGIC.startswith(content.rstrip(b"\0")) and not content.startswith(MAGIC))
    records, found = read(content)
    assert (records, found.end) == ([], End.FOREIGN)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "one.journal"
        path.write_bytes(content)
        assert leftover_of(path).set_aside_if_foreign()
        assert path.with_name("one.journal.unreadable").read_bytes() == content
