"""A load: what the lake had before it, what it brings, and what that replaces."""

from __future__ import annotations

from collections import defaultdict
from threading import Lock
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tasks.compaction import keys_of
from tasks.key_columns import id_tags, row_keys
from tasks.keys import KeySet
from tasks.lake import STAGING, Lake, part_name
from tasks.sorted_keys import Flags, Keys, Words
from tasks.superseded import LIST_SCHEMA, current_stretches, list_superseded

_LOADS = f"{STAGING}/loads"


class RowsTaken(NamedTuple):
    """What some rows are to a load.

    Attributes:
        new: of each row whether it is to be stored.
        changed: how many of these have an id that the lake had with other content.
        duplicates: how many rows the load had before, with the same id and content.
    """

    new: Flags
    changed: int
    duplicates: int


class Load:
    """Knows each row of a lake, and what a load brings; safe to share by threads.

    An id that comes again with other content replaces the row that was there before the load. Two
    rows of one load that share an id stay both: which is the right one, nobody can say.

    A load that was killed has left parts, and no word about what they replace: the next one takes
    them for its own.

    Args:
        lake: the lake as it is.
        into: where the articles go, if not there: for a trial.

    Raises:
        UserError: a part of the articles is damaged, or the lake cannot be read.
    """

    def __init__(self, lake: Lake, into: Lake | None = None) -> None:
        self.lake = into or lake
        self._name = part_name("load").removeprefix("load-").removesuffix(".parquet")
        self._before = lake
        self._lock = Lock()
        self._parts = 0
        self._replaces = False
        self._known, self._current, self._brought = KeySet(), KeySet(), KeySet()
        self._ids_before, self._ids_brought = KeySet(), KeySet()
        self._killed = [
            file.name.rpartition("/")[2].removesuffix(".json") for file in lake.storage.list(_LOADS)
        ]
        for part, stretch, current in current_stretches(lake):
            keys = row_keys(stretch.texts, stretch.tags).take(current)
            ids = _id_keys(stretch.tags[current])
            self._known.add_keys(keys)
            if self._is_own(part.name):
                self._current.add_keys(keys)
                self._ids_brought.add_keys(ids)
                self._replaces = True
            else:
                self._ids_before.add_keys(ids)

    def next_part_name(self) -> str:
        """A name for the load's next part; before the first one the load is put on record."""
        with self._lock:
            self._parts += 1
            if self._parts == 1:
                self.lake.storage.write(self._record(self._name), b"{}")
            return f"part-{self._name}-{self._parts:06d}.parquet"

    def take(self, rows: pa.RecordBatch) -> RowsTaken:
        """Tell of each canonical row of a source what it is, and take it in."""
        keys, ids = keys_of(rows), _id_keys(id_tags(rows["article_id"]))
        new = self._known.add_keys(keys)
        self._brought.add_keys(keys.take(new))
        self._current.add_keys(keys)
        self._ids_brought.add_keys(ids.take(new))
        doubled = ~new & self._brought.contains_keys(keys)
        changed = new & self._ids_before.contains_keys(ids)
        self._replaces |= bool(changed.any())
        return RowsTaken(new, _count(changed), _count(doubled))

    def finish(self, *, mirror: bool = False, keep_versions: bool = False) -> int:
        """List the rows that the load replaces as superseded; returns how many.

        Args:
            mirror: also those that the load has not met at all.
            keep_versions: none of them for having an id that came again.
        """
        lake, count = self.lake, 0
        if mirror or (not keep_versions and self._replaces):
            rows = self._replaced(mirror=mirror, keep_versions=keep_versions)
            count = rows.num_rows
            if count:
                list_superseded(lake, f"superseded-{self._name}", rows)
        # Only now: a load that is killed before this line is taken up by the next one.
        for name in [*self._killed, self._name]:
            lake.storage.delete(self._record(name))
        return count

    def _replaced(self, *, mirror: bool, keep_versions: bool) -> pa.Table:
        found: dict[str, list[pa.Array]] = defaultdict(list)
        for part, stretch, current in current_stretches(self._before):
            if self._is_own(part.name):
                continue
            gone = current & ~self._current.contains_keys(row_keys(stretch.texts, stretch.tags))
            came_again = self._ids_brought.contains_keys(_id_keys(stretch.tags))
            if not mirror:
                gone &= came_again
            elif keep_versions:
                gone &= ~came_again
            if gone.any():
                rows = stretch.columns.filter(pa.array(gone))
                found["part"].append(pa.array([part.name] * rows.num_rows, pa.string()))
                found["article_id"].append(rows["article_id"])
                found["content_hash"].append(rows["content_hash"])
        columns = [pa.chunked_array(found[name], pa.string()) for name in LIST_SCHEMA.names]
        return pa.table(columns, schema=LIST_SCHEMA)

    def _is_own(self, part: str) -> bool:
        base = part.rpartition("/")[2]
        return any(base.startswith(f"part-{name}-") for name in [*self._killed, self._name])

    def _record(self, name: str) -> str:
        return f"{_LOADS}/{name}.json"


def _id_keys(tags: Words) -> Keys:
    return Keys(tags, np.zeros_like(tags))


def _count(flags: Flags) -> int:
    return int(np.count_nonzero(flags))
