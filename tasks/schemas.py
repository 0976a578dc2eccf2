"""Tables of an earlier version have fewer columns: they get the new ones, as nulls."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from tasks.compaction import rewrite_parts
from tasks.lake import STAGING, Lake
from tasks.parts import Part

ADDED = ("reference_summary", "flags")
"""Columns of articles that lakes of earlier versions have not until they are upgraded."""
_UPGRADED = f"{STAGING}/schemas"
"""Folder with a file for each folder of parts that was looked through."""


def upgrade_parts(lake: Lake, folder: str, schema: pa.Schema, row_group: int) -> int:
    """Write those parts of a folder anew that lack columns of its schema; returns how many.

    Looks into each part once in the life of a lake, and for each schema. To be called by the only
    writer of the folder, while nobody relies on a part's name.
    """
    mark = f"{_UPGRADED}/{folder.replace('/', '.')}-{len(schema)}"
    if any(file.name == mark for file in lake.storage.list(_UPGRADED)):
        return 0
    old = [part for part in lake.parts(folder) if _lacks_columns(part, schema)]
    for part in old:
        rewrite_parts(lake, [part], schema, row_group)
    lake.storage.write(mark, b"looked through\n")  # an empty object may be a folder
    return len(old)


def is_earlier(schema: pa.Schema, now: pa.Schema, required: Collection[str] = ()) -> bool:
    """Tell whether a part's schema is what a table's was before `ADDED` were.

    Args:
        schema: of the part.
        now: of the table; a column of articles may be ``article_<name>`` in it.
        required: columns of the table that are always there.
    """
    may_lack = {f"{prefix}{name}" for prefix in ("", "article_") for name in ADDED} - {*required}
    left = [field for field in now if field.name in schema.names or field.name not in may_lack]
    return bool(schema.equals(pa.schema(left), check_metadata=False))


def _lacks_columns(part: Part, schema: pa.Schema) -> bool:
    with part.open() as file:
        return set(file.schema.names) < set(schema.names)
