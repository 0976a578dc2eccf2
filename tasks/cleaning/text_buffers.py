"""The bytes of a column of text, without a copy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def bytes_of(texts: pa.StringArray) -> tuple[Bytes, Offsets]:
    """Return a column's UTF-8 as one stretch, without a copy, and where in it each row begins.

    There is one offset more than rows: row ``i`` is ``stretch[offsets[i]:offsets[i + 1]]``.
    `texts` may be a slice, of `string` or `large_string`.
    """
    large = pa.types.is_large_string(texts.type)
    _, starts, values = texts.buffers()
    if not len(texts) or starts is None or values is None:
        return np.empty(0, np.uint8), np.zeros(len(texts) + 1, np.int64)
    kind = np.dtype(np.int64 if large else np.int32)
    own = np.frombuffer(starts, kind)[texts.offset : texts.offset + len(texts) + 1]
    offsets: Offsets = own.astype(np.int64)
    first, end = int(offsets[0]), int(offsets[-1])
    return np.frombuffer(values, np.uint8)[first:end], offsets - first
