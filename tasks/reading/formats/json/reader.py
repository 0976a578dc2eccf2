"""Stream JSON documents: a list, a list inside an object, columns, or concatenated objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.rows import (
    BATCH_ROWS,
    RecordChunk,
    Reject,
    Row,
    Source,
    in_chunks,
    open_source,
    unique_names,
)
from article_flows.tasks.reading.base.text_encoding import MAX_TEXT_BYTES, utf8_blocks
from article_flows.tasks.reading.formats.json.elements import ENDS_WITHIN, Elements, too_large
from article_flows.tasks.reading.formats.json.layouts import (
    JsonLayout,
    ObjectEnd,
    Shape,
    is_large_object,
    layout_of,
    skip_to_list,
)
from article_flows.tasks.reading.formats.json.scanner import ELEMENTS, MEMBERS, VALUES, Window
from article_flows.tasks.reading.formats.json.values import (
    NotJsonError,
    TooManyValuesError,
    parse_json,
    reject,
)

HEAD_BYTES = 2 << 20
"""How much of a document is used to infer its layout."""
_REMEDY = "write it as JSON Lines (pandas: to_json(orient='records', lines=True)) or Parquet"
_SYNTAX = {Shape.LIST: ELEMENTS, Shape.MEMBERS: MEMBERS, Shape.VALUES: VALUES}


def read_json(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Stream the articles of a JSON document, numbered from 1 by element.

    It holds one element of at most 16 MiB in memory; only a document of columns is read as a
    whole. `source.facts` receives ``layout``, ``encoding`` and ``ignored`` (lists that are not
    read).

    Raises:
        UserError: The file is empty or truncated; the elements before have been yielded.
    """
    with open_source(source) as file:
        window = Window(utf8_blocks(file, source))
        yield from in_chunks(_rows(window, source), batch_rows)


def _rows(window: Window, source: Source) -> Iterator[Row | Reject]:
    window.grow(HEAD_BYTES)
    head = bytes(window.data[:HEAD_BYTES])
    whole = len(window.data) <= HEAD_BYTES and not window.more()
    if whole and not head.strip():
        raise UserError(f"{source.name} is empty: it contains no articles")
    layout, skipped, count = layout_of(head, whole), 0, 0
    if layout.shape is Shape.VALUES and not whole and is_large_object(window):
        result = skip_to_list(window, HEAD_BYTES)
        if isinstance(result, ObjectEnd):
            count = 1
            yield _no_list(result, head, window.base, source.name)
        else:
            layout, skipped = result, window.base
    source.facts["layout"] = str(layout)
    if layout.shape in (Shape.COLUMNS, Shape.SPLIT):
        yield from _column_rows(window, layout, source.name)
        return
    window.drop(layout.start)
    elements = Elements(window, source.name, _SYNTAX[layout.shape], count)
    yield from elements.rows()
    if layout.shape is not Shape.VALUES:
        yield from elements.rest(len(layout.path))
    _report_ignored(source, layout, skipped, elements.skipped_members)


def _no_list(end: ObjectEnd, head: bytes, size: int, name: str) -> Reject:
    """Reject an object that is too large for an article and has no list of articles."""
    if end is ObjectEnd.BROKEN:
        raise UserError(
            f"{name} has no list of articles in its first {size:,} bytes, and is not JSON after "
            "them; download or save it again, preferably as JSON Lines"
        )
    cut = f"; {ENDS_WITHIN}" if end is ObjectEnd.OF_FILE else ""
    return reject(1, f"{too_large()}, and has no list of articles{cut}", head)


def _report_ignored(source: Source, layout: JsonLayout, skipped: int, after: bool) -> None:
    ignored = [*layout.ignored]
    if skipped:
        ignored.append(f"{skipped >> 20} MiB of members before the list")
    if after:
        ignored.append("members after the list")
    if ignored:
        source.facts["ignored"] = ", ".join(ignored)


def _column_rows(window: Window, layout: JsonLayout, name: str) -> Iterator[Row | Reject]:
    window.grow(MAX_TEXT_BYTES + 1)
    text = bytes(window.data)
    if len(text) > MAX_TEXT_BYTES:
        raise UserError(
            f"{name} holds columns, not rows, and is larger than "
            f"{MAX_TEXT_BYTES >> 20} MiB: {_REMEDY}"
        )
    try:
        value = parse_json(text)
    except TooManyValuesError as error:
        raise UserError(
            f"{name} holds columns, not rows, which must be held in memory, but {error}: {_REMEDY}"
        ) from None
    except NotJsonError as error:
        yield reject(1, str(error), text)
        return
    if layout_of(text, whole=True).shape is not layout.shape:
        # The head looked like columns, but the rest does not.
        yield Row(1, value, len(text))
        return
    rows = _split_rows(value) if layout.shape is Shape.SPLIT else _transposed(value)
    size = len(text) // max(1, len(rows))
    for number, record in enumerate(rows, start=1):
        if isinstance(record, dict):
            yield Row(number, record, size)
        else:
            yield reject(number, record, b"")


def _split_rows(value: dict[str, Any]) -> list[dict[str, Any] | str]:
    """Return the rows of pandas' "split" orientation; the reason of a reject for invalid rows."""
    names = unique_names(map(str, value["columns"]))
    return [
        dict(zip(names, row, strict=True))
        if isinstance(row, list) and len(row) == len(names)
        else f"not one value for each of the {len(names)} columns"
        for row in value["data"]
    ]


def _transposed(value: dict[str, Any]) -> list[dict[str, Any] | str]:
    """Return the rows of columns that are lists or objects by index; missing cells are left out."""
    columns = {
        name: cells if isinstance(cells, dict) else dict(enumerate(cells))
        for name, cells in value.items()
    }
    indices = dict.fromkeys(index for cells in columns.values() for index in cells)
    return [
        {name: cells[index] for name, cells in columns.items() if index in cells}
        for index in indices
    ]
