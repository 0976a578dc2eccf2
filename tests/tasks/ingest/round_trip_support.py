"""Write rows of articles in every format, encoding and compression that loads can read."""

import bz2
import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

Row = dict[str, str | None]
NAMES = ["id", "title", "body", "date", "author"]


def as_csv(delimiter: str) -> Callable[[list[Row]], str]:
    def write(rows: list[Row]) -> str:
        file = io.StringIO(newline="")
        writer = csv.DictWriter(file, NAMES, delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
        return file.getvalue()

    return write


def as_jsonl(rows: list[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def as_object(rows: list[Row]) -> str:
    return json.dumps({"made": {"by": "us"}, "articles": rows, "n": 1}, ensure_ascii=False)


TEXTS: dict[str, Callable[[list[Row]], str]] = {
    "comma.csv": as_csv(","),
    "semicolon.csv": as_csv(";"),
    "tab.tsv": as_csv("\t"),
    "bar.csv": as_csv("|"),
    "lines.jsonl": as_jsonl,
    "escaped.jsonl": lambda rows: "".join(json.dumps(row) + "\r\n" for row in rows),
    "list.json": lambda rows: json.dumps(rows, ensure_ascii=False),
    "pretty.json": lambda rows: json.dumps(rows, ensure_ascii=False, indent=2),
    "object.json": as_object,
}


def as_parquet(rows: list[Row]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=3)
    return file.getvalue()


def as_feather(rows: list[Row]) -> bytes:
    file = io.BytesIO()
    feather.write_feather(pa.Table.from_pylist(rows), file, chunksize=3)
    return file.getvalue()


def as_stream(rows: list[Row]) -> bytes:
    file, table = io.BytesIO(), pa.Table.from_pylist(rows)
    with ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    return file.getvalue()


def as_workbook(rows: list[Row]) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    heads: Row = {name: name for name in NAMES}
    for number, row in enumerate([heads, *rows], start=1):
        for column, name in enumerate(NAMES, start=1):
            cell = sheet.cell(number, column, row[name] or None)
            # A text that begins with "=" must not become a formula.
            cell.data_type = "s" if row[name] else "n"
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


TABLES: dict[str, Callable[[list[Row]], bytes]] = {
    "table.parquet": as_parquet,
    "table.feather": as_feather,
    "table.arrow": as_stream,
    "book.xlsx": as_workbook,
}
# The property samples the combinations of formats and encodings, of which there are thousands.
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "gb18030")
UNDETECTABLE = {"gb18030"}
"""Encodings that cannot be detected in texts as short as these."""


def zipped(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"inner/{name}", data)
    return file.getvalue()


PACKINGS: dict[str, Callable[[str, bytes], bytes]] = {
    "": lambda _, data: data,
    ".gz": lambda _, data: gzip.compress(data, 1, mtime=0),
    ".bz2": lambda _, data: bz2.compress(data, 1),
    ".zst": lambda _, data: pa.Codec("zstd").compress(data, asbytes=True),
    ".zip": zipped,
}


def write(folder: Path, rows: list[Row], written: tuple[str, str], packing: str) -> Path:
    name, encoding = written
    data = TEXTS[name](rows).encode(encoding) if encoding else TABLES[name](rows)
    path = folder / f"{name}{packing}"
    path.write_bytes(PACKINGS[packing](name, data))
    return path
