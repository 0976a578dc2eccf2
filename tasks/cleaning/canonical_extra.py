"""The columns of a source that mean nothing to us, kept as JSON; and what is noticed of a row."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from tasks.cleaning.canonical_fields import TOO_DEEP, Fields, python_values
from tasks.cleaning.canonical_json import to_json
from tasks.cleaning.columns import ColumnMap
from tasks.cleaning.flags import FLAGS
from tasks.cleaning.text_buffers import Mask


def extras(
    fields: Fields, columns: ColumnMap, unread_dates: Mask, failed: dict[int, str]
) -> pa.StringArray:
    """Return a JSON object of what is in no column used, and the dates that nobody could read."""
    date = columns.templates.get("published_at")
    date_columns = date.columns if date else tuple(filter(None, [columns.get("published_at")]))
    some_unread = unread_dates.any()
    dates = {name: python_values(fields.column(name)) for name in date_columns if some_unread}
    texts: list[str | None] = []
    for index, rest in enumerate(fields.others(columns.used)):
        if some_unread and unread_dates[index]:
            rest = rest | {name: column[index] for name, column in dates.items()}
        try:
            texts.append(to_json(rest) if rest else None)
        except RecursionError:
            texts.append(None)
            failed[index] = TOO_DEEP
    return pa.array(texts, pa.string())


def flag_lists(noticed: Mapping[str, Mask], rows: int) -> pa.ListArray:
    """Return the flags of each row, in the order of `FLAGS`; null where there is none."""
    none = np.zeros(rows, np.bool_)
    table = np.column_stack([noticed.get(flag, none) for flag in FLAGS])
    ends = np.cumsum(table.sum(axis=1))
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    names = pa.array(FLAGS, pa.string()).take(pa.array(np.nonzero(table)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets), names, mask=pa.array(~table.any(axis=1)))
