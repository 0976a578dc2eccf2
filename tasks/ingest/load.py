"""The state of a load: the rows already in the lake, the loaded rows, and the rows they replace."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from article_flows.tasks.common.article_schema import Mask
from article_flows.tasks.ingest.profile import LoadProfile
from article_flows.tasks.ingest.rejects import KnownRejects
from article_flows.tasks.lake.key_columns import KeyBatch, id_tags, keys_of
from article_flows.tasks.lake.lake import STAGING, Lake
from article_flows.tasks.lake.parquet_parts import Part, part_name
from article_flows.tasks.lake.sorted_keys import Keys, KeySet, UInt64Array
from article_flows.tasks.lake.tombstones import (
    TOMBSTONE_SCHEMA,
    current_key_batches,
    write_tombstones,
)
from article_flows.tasks.reading.base.rows import Reject

LOADS = f"{STAGING}/loads"


class RowClassification(NamedTuple):
    """The classification of a batch of rows, one boolean per row each.

    Attributes:
        new: Rows to store.
        changed: New rows whose id was in the lake with different content.
        duplicates: Rows with the same id and content as an earlier row of the load.
        repeated_ids: New rows with the same id as another new row of the load.
    """

    new: Mask
    changed: Mask
    duplicates: Mask
    repeated_ids: Mask


class Load:
    """A load in progress: the rows already in the lake and the rows it has added. Thread-safe.

    A row whose id is in the lake with different content replaces the row from before the load. Two
    rows of one load with the same id are both kept, because neither is known to be the right one.

    A load that was killed leaves parts behind without having listed the rows that they replace. The
    next load lists these first: earlier rows with the same ids.

    Args:
        lake: The current lake.
        into: The lake to write to, if it is another one; a dry run leaves the lake unchanged.
        keep_versions: Whether to keep the old rows of changed articles, even if the load is killed
            before `finish`.

    Attributes:
        lake: The lake to write to.
        before: The lake before the load.
        profile: Statistics of the stored articles and the reasons of rejects.
        known_rejects: The rejects in the lake.

    Raises:
        UserError: A part of the articles is damaged, or the lake cannot be read.
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
        self._known, self._seen, self._stored = KeySet(), KeySet(), KeySet()
        self._ids_before, self._ids_stored = KeySet(), KeySet()
        if into is None:
            _finish_killed_loads(lake)
        for _, batch, current in current_key_batches(lake):
            self._known.add_keys(batch.keys.take(current))
            self._ids_before.add_keys(_id_keys(batch.tags[current]))

    def next_part_name(self) -> str:
        """Return a name for the load's next part; the first call records the load in the lake."""
        with self._lock:
            self._parts += 1
            if self._parts == 1:
                record = orjson.dumps({"keep_versions": self._keep_versions})
                self.lake.storage.write(_record(self._name), record)
            return f"part-{self._name}-{self._parts:06d}.parquet"

    def knows(self, rows: pa.RecordBatch) -> Mask:
        """Return for each canonical row whether it is in the lake or in this load."""
        return self._known.contains_keys(keys_of(rows))

    def has_ids(self, rows: pa.RecordBatch) -> Mask:
        """Return for each canonical row whether its id was in the lake before the load."""
        return self._ids_before.contains_keys(_id_keys(id_tags(rows["article_id"])))

    def take(self, rows: pa.RecordBatch) -> RowClassification:
        """Classify canonical rows of a source, and add them to the load."""
        keys, ids = keys_of(rows), _id_keys(id_tags(rows["article_id"]))
        new = self._known.add_keys(keys)
        self._stored.add_keys(keys.take(new))
        self._seen.add_keys(keys)
        repeated_ids = new.copy()
        repeated_ids[new] = ~self._ids_stored.add_keys(ids.take(new))
        duplicates = ~new & self._stored.contains_keys(keys)
        changed = new & self._ids_before.contains_keys(ids)
        self._replaces |= bool(changed.any())
        return RowClassification(new, changed, duplicates, repeated_ids)

    def count(self, stored: pa.RecordBatch) -> None:
        """Add stored rows to the profile."""
        with self._lock:
            self.profile.add(stored)

    def count_rejects(self, source: str, rejects: list[Reject]) -> None:
        """Add rejected rows of a source to the profile."""
        with self._lock:
            self.profile.add_rejects(source, rejects)

    def finish(self, *, mirror: bool = False) -> int:
        """List the rows that the load replaces as superseded.

        Args:
            mirror: Whether to list also the rows that are not in the load at all.

        Returns:
            The number of superseded rows.
        """
        lake, count = self.lake, 0
        if mirror or (self._replaces and not self._keep_versions):
            rows = self._replaced(mirror=mirror)
            count = rows.num_rows
            if count:
                write_tombstones(lake, f"superseded-{self._name}", rows)
        # Deleted last: if the load is killed before this line, the next load finishes it.
        if self._parts:
            lake.storage.delete(_record(self._name))
        return count

    def _replaced(self, *, mirror: bool) -> pa.Table:
        def is_replaced(part: Part, batch: KeyBatch) -> Mask:
            if _is_of(part, self._name):
                return np.zeros(len(batch.tags), np.bool_)
            is_unseen = ~self._seen.contains_keys(batch.keys)
            has_new_version = self._ids_stored.contains_keys(_id_keys(batch.tags))
            if not mirror:
                return is_unseen & has_new_version
            return is_unseen & ~has_new_version if self._keep_versions else is_unseen

        return _rows_where(self.before, is_replaced)


def _finish_killed_loads(lake: Lake) -> None:
    """List the rows that killed loads replace as superseded, the oldest load first."""
    names = [file.name.rpartition("/")[2] for file in lake.storage.list(LOADS)]
    killed = [name.removesuffix(".json") for name in names]
    while killed:
        ids = KeySet()
        for part, batch, current in current_key_batches(lake):
            if _is_of(part, killed[0]) and not _keeps_versions(lake, killed[0]):
                ids.add_keys(_id_keys(batch.tags[current]))
        if len(ids):
            rows = _rows_where(lake, partial(_replaced_by, ids, killed))
            if rows.num_rows:
                write_tombstones(lake, f"superseded-{killed[0]}", rows)
        lake.storage.delete(_record(killed.pop(0)))


def _keeps_versions(lake: Lake, load: str) -> bool:
    try:
        return bool(orjson.loads(lake.storage.read(_record(load))).get("keep_versions"))
    except orjson.JSONDecodeError:
        # The load was killed while writing its record, so before it wrote any part.
        return False


def _replaced_by(ids: KeySet, loads: list[str], part: Part, batch: KeyBatch) -> Mask:
    """Return which rows of a part have one of the ids; none if the part is of one of the loads."""
    if any(_is_of(part, load) for load in loads):
        return np.zeros(len(batch.tags), np.bool_)
    return ids.contains_keys(_id_keys(batch.tags))


def _rows_where(lake: Lake, predicate: Callable[[Part, KeyBatch], Mask]) -> pa.Table:
    """Return the current rows of articles for which a predicate holds, with `TOMBSTONE_SCHEMA`."""
    found: dict[str, list[pa.Array]] = {name: [] for name in TOMBSTONE_SCHEMA.names}
    for part, batch, current in current_key_batches(lake):
        flags = current & predicate(part, batch)
        if flags.any():
            rows = batch.columns.filter(pa.array(flags))
            found["part"].append(pa.array([part.name] * rows.num_rows, pa.string()))
            found["article_id"].append(rows["article_id"])
            found["content_hash"].append(rows["content_hash"])
    columns = [pa.chunked_array(found[name], pa.string()) for name in TOMBSTONE_SCHEMA.names]
    return pa.table(columns, schema=TOMBSTONE_SCHEMA)


def _record(load: str) -> str:
    return f"{LOADS}/{load}.json"


def _is_of(part: Part, load: str) -> bool:
    return part.name.rpartition("/")[2].startswith(f"part-{load}-")


def _id_keys(tags: UInt64Array) -> Keys:
    return Keys(tags, np.zeros_like(tags))
