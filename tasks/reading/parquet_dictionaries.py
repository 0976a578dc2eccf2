"""How long the texts are that a Parquet file stores once, for as many rows as there may be."""

from functools import cached_property
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MAX_BATCH = 256 << 20
"""Bytes that a batch may come to if all of its rows have the longest text there is."""


class Dictionaries:
    """The dictionaries of an open file's columns of text: `opened` is what it is read from."""

    def __init__(self, file: pq.ParquetFile, opened: BinaryIO) -> None:
        self._metadata = file.metadata
        self._opened = opened

    def rows(self, group: int, rows: int) -> int:
        """Return how many rows of a row group, `rows` at most, are read at a time: 1 or more.

        Raises pa.ArrowException or OSError for a file that is damaged.
        """
        about = self._metadata.row_group(group)
        columns = [about.column(index) for index in range(about.num_columns)]
        # A dictionary is no larger than its column.
        large = [
            each.path_in_schema
            for each in columns
            if each.physical_type == "BYTE_ARRAY"
            and each.has_dictionary_page
            and each.total_uncompressed_size * rows > MAX_BATCH // len(columns)
        ]
        if not large or not about.num_rows:
            return rows
        batch = next(self._file.iter_batches(1, row_groups=[group], columns=large), None)
        if batch is None:
            return rows
        longest = sum(map(_longest, batch.columns))
        return max(1, min(rows, MAX_BATCH // max(1, longest)))

    @cached_property
    def _file(self) -> pq.ParquetFile:
        """The file once more, with texts as dictionaries, which come whole with the first row."""
        names = [column.path for column in self._metadata.schema]
        return pq.ParquetFile(
            self._opened,
            metadata=self._metadata,
            read_dictionary=names,
            pre_buffer=False,
            buffer_size=1 << 16,
        )


def _longest(column: Any) -> int:
    while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = column.values
    if not pa.types.is_dictionary(column.type):
        return 0
    return pc.max(pc.binary_length(column.dictionary)).as_py() or 0
