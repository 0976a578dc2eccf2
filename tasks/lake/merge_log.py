"""Merges: parts replaced by one new part, so that a crash at any moment loses and doubles nothing.

A merge first leaves a note under ``_staging/merges/`` that names the parts and their replacement;
then the new part appears, the old ones go, and the note goes last. Whoever reads the table through
`Lake.parts` takes the new part as soon as it is there, and not the old ones; the next
run finishes what was left half done.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import NamedTuple

import orjson

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.storage.base import Storage

NOTES = "_staging/merges"


class MergeNote(NamedTuple):
    """What a merge is about: parts, and the part that replaces them (None: nothing is left)."""

    name: str
    old: list[str]
    new: str | None


def note_merge(storage: Storage, folder: str, old: Iterable[str], new: str | None) -> MergeNote:
    """Leave a note of a merge that begins."""
    note = MergeNote(f"{NOTES}/{folder}/{secrets.token_hex(8)}.json", list(old), new)
    storage.write(note.name, orjson.dumps({"old": note.old, "new": note.new}))
    return note


def complete_merge(storage: Storage, note: MergeNote) -> None:
    """Remove the parts of a merge whose new part is there, then its note."""
    for name in note.old:
        storage.delete(name)
    storage.delete(note.name)


def read_notes(storage: Storage, folder: str) -> list[MergeNote]:
    """The notes of merges below a folder that have not ended.

    Raises:
        UserError: one is damaged.
    """
    notes = []
    for file in storage.list(f"{NOTES}/{folder}"):
        try:
            document = orjson.loads(storage.read(file.name))
            notes.append(MergeNote(file.name, document["old"], document["new"]))
        except FileNotFoundError:
            continue  # that merge has ended
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{storage.location(file.name)}: the note of a merge is damaged ({error}); put it "
                "back from a backup, or see with `article-flows verify` which rows are there "
                "twice, and remove it"
            ) from error
    return notes


def hidden_parts(notes: Iterable[MergeNote], names: set[str]) -> set[str]:
    """Of the parts that were listed, those that a new part among them replaces."""
    ended = [note for note in notes if note.new is None or note.new in names]
    return {name for note in ended for name in note.old if name != note.new}


def finish_merges(storage: Storage, folder: str) -> int:
    """Finish, or take back, the merges that a killed run left; returns how many there were.

    To be called by the only writer of the folder.
    """
    notes = read_notes(storage, folder)
    names = {file.name for file in storage.list(folder)} if notes else set()
    for note in notes:
        if note.new is None or note.new in names:
            complete_merge(storage, note)
        else:
            storage.delete(note.name)
    return len(notes)
