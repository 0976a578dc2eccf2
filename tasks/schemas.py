"""Tables of an earlier version have fewer columns: they get the new ones, as nulls."""

from __future__ import annotations

import pyarrow as pa

from tasks.compaction import rewrite_parts
from tasks.lake import STAGING, Lake
from tasks.parts import Part

_UPGRADED = f"{STAGING}/schemas"
"""Folder with an empty file for each folder of parts that was looked through."""


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
    lake.storage.write(mark, b"")
    return len(old)


def _lacks_columns(part: Part, schema: pa.Schema) -> bool:
    with part.open() as file:
        return set(file.schema.names) < set(schema.names)
