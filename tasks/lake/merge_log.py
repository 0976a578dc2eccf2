"""Replace parts by one new part so that a crash neither loses nor duplicates a row.

A merge first writes a note below ``_staging/merges/`` that names the old parts and the new one.
Then it commits the new part, deletes the old parts, and finally deletes the note. `Lake.parts`
returns the new part as soon as it exists, and from then on hides the old ones. The next run
completes or reverts an interrupted merge.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import NamedTuple

import orjson

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.storage.base import Storage

MERGE_NOTES = "_staging/merges"


class MergeNote(NamedTuple):
    """The note of a merge.

    Attributes:
        name: The note's file name in the lake.
        old: The names of the parts to replace.
        new: The name of the part that replaces them, or None if no row remains.
    """

    name: str
    old: list[str]
    new: str | None


def begin_merge(storage: Storage, folder: str, old: Iterable[str], new: str | None) -> MergeNote:
    """Write the note of a merge, before its new part is committed."""
    note = MergeNote(f"{MERGE_NOTES}/{folder}/{secrets.token_hex(8)}.json", list(old), new)
    storage.write(note.name, orjson.dumps({"old": note.old, "new": note.new}))
    return note


def complete_merge(storage: Storage, note: MergeNote) -> None:
    """Delete the old parts of a merge whose new part is committed, then its note."""
    for name in note.old:
        storage.delete(name)
    storage.delete(note.name)


def read_merge_notes(storage: Storage, folder: str) -> list[MergeNote]:
    """Return the notes of unfinished merges below a folder.

    Raises:
        UserError: A note is damaged.
    """
    notes = []
    for file in storage.list(f"{MERGE_NOTES}/{folder}"):
        try:
            document = orjson.loads(storage.read(file.name))
            notes.append(MergeNote(file.name, document["old"], document["new"]))
        except FileNotFoundError:
            continue  # the merge has completed since
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{storage.location(file.name)}: the note of a merge is damaged ({error}); put it "
                "back from a backup, or check with `article-flows verify` which rows are "
                "duplicated, and remove it"
            ) from error
    return notes


def hidden_parts(notes: Iterable[MergeNote], names: set[str]) -> set[str]:
    """Return the old parts of merges whose new part is among the listed names."""
    committed = [note for note in notes if note.new is None or note.new in names]
    return {name for note in committed for name in note.old if name != note.new}


def finish_merges(storage: Storage, folder: str) -> int:
    """Complete or revert the merges that a killed run left; return their number.

    The caller must be the folder's only writer.
    """
    notes = read_merge_notes(storage, folder)
    names = {file.name for file in storage.list(folder)} if notes else set()
    for note in notes:
        if note.new is None or note.new in names:
            complete_merge(storage, note)
        else:
            storage.delete(note.name)
    return len(notes)
