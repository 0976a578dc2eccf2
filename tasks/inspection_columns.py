"""What the columns of a source would be taken for by a load, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.cleaning.canonical_dates import moment
from tasks.cleaning.column_profiles import Profile, columns_of
from tasks.cleaning.columns import ColumnMap
from tasks.reading.readers_base import Record
from tasks.reading.readers_text import without_surrogates

EXAMPLE_CHARS = 60


@dataclass(frozen=True)
class ColumnSeen:
    """A source's column.

    Attributes:
        type: of its values, in words, see `Profile.type`.
        filled: share of the rows that have a value.
        example: the start of the first value.
        taken_for: the canonical columns that it goes into; empty: it is kept in ``extra``.
        why: in words, why it is taken, or why it is not what its name says.
    """

    name: str
    type: str
    filled: float
    example: str
    taken_for: tuple[str, ...]
    why: str


def columns_seen(
    names: Sequence[str], records: Sequence[Record], columns: ColumnMap
) -> list[ColumnSeen]:
    """Tell of each column what it is and is for; of nested fields only where they are taken.

    Args:
        names: the source's columns in order.
        records: of the rows looked at.
        columns: what they are taken for.
    """
    uses: dict[str, list[str]] = {}
    for target, column in columns.columns.items():
        uses.setdefault(column, []).append(target)
    for target, template in columns.templates.items():
        for column in template.columns:
            uses.setdefault(column, []).append(target)
    seen = []
    for name, values in columns_of(names, records).items():
        if name in names or name in uses:
            profile = Profile(name, values)
            targets = tuple(uses.get(name, ()))
            reasons = dict.fromkeys(columns.reasons.get(target, "") for target in targets)
            told = _dates_read(profile, columns) if "published_at" in targets else ""
            why = "; ".join(filter(None, (*reasons, told, columns.notes.get(name, ""))))
            filled = len(profile.values) / len(records) if records else 0.0
            shown = without_surrogates(name)
            seen.append(ColumnSeen(shown, profile.type, filled, _example(profile), targets, why))
    return seen


def _example(profile: Profile) -> str:
    first = str(profile.values[0])[:500] if profile.values else ""
    text = " ".join(without_surrogates(first).split())
    return text if len(text) <= EXAMPLE_CHARS else f"{text[: EXAMPLE_CHARS - 1]}…"


def _dates_read(profile: Profile, columns: ColumnMap) -> str:
    """Say how many dates can be read, if not all."""
    read = sum(moment(value, columns.day_first) is not None for value in profile.values)
    if read == len(profile.values):
        return ""
    is_left_open = columns.order_open and profile.name not in columns.notes
    later = "; a load looks on for one that tells the order of day and month" * is_left_open
    return f"{read:,} of the first {len(profile.values):,} dates can be read{later}"
