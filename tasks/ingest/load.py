"""A load: what the lake had before it, what it brings, and what that replaces."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from article_flows.tasks.ingest.profile import LoadProfile
from article_flows.tasks.ingest.rejects import KnownRejects
from article_flows.tasks.lake.key_columns import KeyBatch, id_tags, keys_of
from article_flows.tasks.lake.lake import STAGING, Lake
from article_flows.tasks.lake.parts import Part, part_name
from article_flows.tasks.lake.sorted_keys import Flags, Keys, KeySet, Words
from article_flows.tasks.lake.superseded import LIST_SCHEMA, current_key_batches, list_superseded
from article_flows.tasks.reading.base.rows import Reject

LOADS = f"{STAGING}/loads"


class RowClassification(NamedTuple):
    """What some rows are to a load, each a flag for every row.

    Attributes:
        new: those to be stored.
        changed: those of the new whose id the lake had with other content.
        duplicates: rows that the load had before, with the same id and content.
        repeated_ids: those of the new that have the id of another new row of the load.
    """

    new: Flags
    changed: Flags
    duplicates: Flags
    repeated_ids: Flags


class Load:
    """Knows each row of a lake, and what a load brings; safe to share by threads.

    An id that comes again with other content replaces the row that was there before the load. Two
    rows of one load that share an id stay both: which is the right one, nobody can say.

    A load that was killed has left parts, and no word about what they replace. The next one says
    it first: what was there before them with the same id.

    Args:
        lake: the lake as it is.
        into: where the articles go, if not there: for a trial, which changes nothing in the lake.
        keep_versions: rows whose id comes again stay, also if the load is killed before `finish`.

    Attributes:
        before: the lake as it was.
        profile: what the articles are like that it stores, and why rows are rejected.
        known_rejects: those that the lake has.

    Raises:
        UserError: a part of the articles is damaged, or the lake cannot be read.
    """

    def __init__(
        self, lake: Lake, into: Lake | None = None, *, keep_versions: bool = False
    ) -> None:
        self.lake = into or lake
        self._name = part_name("load").removeprefix("load-").removesuffix(".parquet")
        self.before = lake
        self.profile = LoadProfile()
        self.known_rejects = KnownRejects(self.lake)
        self._keep_versions = keep_versions
        self._lock = Lock()
        self._parts = 0
        self._replaces = False
        self._known, self._current, self._brought = KeySet(), KeySet(), KeySet()
        self._ids_before, self._ids_brought = KeySet(), KeySet()
        if into is None:
            _end_killed_loads(lake)
        for _, stretch, current in current_key_batches(lake):
            self._known.add_keys(stretch.keys.take(current))
            self._ids_before.add_keys(_id_keys(stretch.tags[current]))

    def next_part_name(self) -> str:
        """A name for the load's next part; before the first one the load is put on record."""
        with self._lock:
            self._parts += 1
            if self._parts == 1:
                record = orjson.dumps({"keep_versions": self._keep_versions})
                self.lake.storage.write(_record(self._name), record)
            return f"part-{self._name}-{self._parts:06d}.parquet"

    def knows(self, rows: pa.RecordBatch) -> Flags:
        """Tell of each canonical row whether it is in the lake, or taken by this load."""
        return self._known.contains_keys(keys_of(rows))

    def has_ids(self, rows: pa.RecordBatch) -> Flags:
        """Tell of each canonical row whether its id was in the lake before this load."""
        return self._ids_before.contains_keys(_id_keys(id_tags(rows["article_id"])))

    def take(self, rows: pa.RecordBatch) -> RowClassification:
        """Tell of each canonical row of a source what it is, and take it in."""
        keys, ids = keys_of(rows), _id_keys(id_tags(rows["article_id"]))
        new = self._known.add_keys(keys)
        self._brought.add_keys(keys.take(new))
        self._current.add_keys(keys)
        repeated = new.copy()
        repeated[new] = ~self._ids_brought.add_keys(ids.take(new))
        doubled = ~new & self._brought.contains_keys(keys)
        changed = new & self._ids_before.contains_keys(ids)
        self._replaces |= bool(changed.any())
        return RowClassification(new, changed, doubled, repeated)

    def count(self, stored: pa.RecordBatch) -> None:
        """Have the profile count rows that were stored."""
        with self._lock:
            self.profile.add(stored)

    def count_rejects(self, source: str, rejects: list[Reject]) -> None:
        """Have the profile count rows of a source that were set aside."""
        with self._lock:
            self.profile.add_rejects(source, rejects)

    def finish(self, *, mirror: bool = False) -> int:
        """List the rows that the load replaces as superseded; returns how many.

        Args:
            mirror: also those that the load has not met at all.
        """
        lake, count = self.lake, 0
        if mirror or (self._replaces and not self._keep_versions):
            rows = self._replaced(mirror=mirror)
            count = rows.num_rows
            if count:
                list_superseded(lake, f"superseded-{self._name}", rows)
        # Only now: a load that is killed before this line is ended by the next one.
        if self._parts:
            lake.storage.delete(_record(self._name))
        return count

    def _replaced(self, *, mirror: bool) -> pa.Table:
        def gone(part: Part, stretch: KeyBatch) -> Flags:
            if _is_of(part, self._name):
                return np.zeros(len(stretch.tags), np.bool_)
            keys = stretch.keys
            not_met = ~self._current.contains_keys(keys)
            came_again = self._ids_brought.contains_keys(_id_keys(stretch.tags))
            if not mirror:
                return not_met & came_again
            return not_met & ~came_again if self._keep_versions else not_met

        return _rows_where(self.before, gone)


def _end_killed_loads(lake: Lake) -> None:
    """List what the rows of killed loads replace, the oldest load first."""
    names = [file.name.rpartition("/")[2] for file in lake.storage.list(LOADS)]
    killed = [name.removesuffix(".json") for name in names]
    while killed:
        ids = KeySet()
        for part, stretch, current in current_key_batches(lake):
            if _is_of(part, killed[0]) and not _keeps_versions(lake, killed[0]):
                ids.add_keys(_id_keys(stretch.tags[current]))
        if len(ids):
            rows = _rows_where(lake, partial(_replaced_by, ids, killed))
            if rows.num_rows:
                list_superseded(lake, f"superseded-{killed[0]}", rows)
        lake.storage.delete(_record(killed.pop(0)))


def _keeps_versions(lake: Lake, load: str) -> bool:
    """What the record of a load says; one that was cut in writing was cut before any part."""
    try:
        return bool(orjson.loads(lake.storage.read(_record(load))).get("keep_versions"))
    except orjson.JSONDecodeError:
        return False


def _replaced_by(ids: KeySet, loads: list[str], part: Part, stretch: KeyBatch) -> Flags:
    """Which rows of a part have one of some ids, unless it is of the load that has, or a later."""
    if any(_is_of(part, load) for load in loads):
        return np.zeros(len(stretch.tags), np.bool_)
    return ids.contains_keys(_id_keys(stretch.tags))


def _rows_where(lake: Lake, gone: Callable[[Part, KeyBatch], Flags]) -> pa.Table:
    """The current rows of articles that are to be current no longer, as LIST_SCHEMA."""
    found: dict[str, list[pa.Array]] = {name: [] for name in LIST_SCHEMA.names}
    for part, stretch, current in current_key_batches(lake):
        flags = current & gone(part, stretch)
        if flags.any():
            rows = stretch.columns.filter(pa.array(flags))
            found["part"].append(pa.array([part.name] * rows.num_rows, pa.string()))
            found["article_id"].append(rows["article_id"])
            found["content_hash"].append(rows["content_hash"])
    columns = [pa.chunked_array(found[name], pa.string()) for name in LIST_SCHEMA.names]
    return pa.table(columns, schema=LIST_SCHEMA)


def _record(load: str) -> str:
    return f"{LOADS}/{load}.json"


def _is_of(part: Part, load: str) -> bool:
    return part.name.rpartition("/")[2].startswith(f"part-{load}-")


def _id_keys(tags: Words) -> Keys:
    return Keys(tags, np.zeros_like(tags))
