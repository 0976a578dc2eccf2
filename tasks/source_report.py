"""What became of a source's rows."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class SourceReport:
    """What became of a source's rows.

    `rows_in == stored + duplicates + already_there + rejected` when the load of the source's group
    has ended; the stored rows are in the lake then. `duplicates` are equal (id and content) to a
    row of the same load, `already_there` to one from before; `changed` of the stored have an id
    that the lake had with other content, and `repeated_ids` one that another stored row of the
    load has. `error` says why the source could not be read (further).

    Attributes:
        columns: which canonical column was taken from what.
        notes: by source's column, why it is not what its name says, or what is in doubt.
        facts: what its reader has found out (`Source.facts`).
        files: how many sources this is the report of (`tasks.folded`).
        finished: read to its end, or to what cannot be mended by another try.
        last_row: number of the last row that was read; where another try goes on.
    """

    source: str
    rows_in: int = 0
    stored: int = 0
    changed: int = 0
    repeated_ids: int = 0
    duplicates: int = 0
    already_there: int = 0
    rejected: int = 0
    columns: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    format: str = ""
    files: int = 1
    finished: bool = False
    last_row: int = 0
    notes: dict[str, str] = field(default_factory=dict)
