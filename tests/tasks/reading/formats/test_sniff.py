"""Tables without a header in files with a text suffix or none."""

from pathlib import Path

import pytest

from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import Source
from article_flows.tasks.reading.formats.registry import format_of, read
from tests.support import ROOT

CSL = ROOT.parent / "shared" / "data" / "dev" / "csl" / "ts_dev.tsv"
PROSE = "The council met, and voted; residents (of both sides of the river) had asked for it."


def format_in(folder: Path, lines: list[str], name: str) -> str:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return format_of(LocalFile(path), name)


TABLES = {
    "tabs": [f"Title {number}\t{PROSE * 3}\tOther, text" for number in range(25)],
    "one tab": [f"{number}\t文章,第{number}篇;正文" for number in range(20)],
    "bars": [f"{number}|{PROSE}|News, {number}, a, b, c" for number in range(25)],
    "semicolons": [
        f"{number};2020-05-0{number % 9};A text, of, many, commas" for number in range(25)
    ],
    "JSON in a column": [f'{number}\t{PROSE}\t{{"a": "b"}}' for number in range(20)],
    "an empty field": [f"{number}|{'' if number % 3 else 'x'}|{PROSE}|y" for number in range(25)],
    "few long lines": [f"Title {number}\t{PROSE * 90}" for number in range(8)],
    "one broken line of many": [f"{n}\tText" + "\tx" * (n == 30) for n in range(60)],
}
DOCUMENTS = {
    "prose": [PROSE] * 40,
    "short": TABLES["tabs"][:15],
    "indented": [f"\t{PROSE}" for _ in range(40)],
    "code": [f"\tif (x) {{ a = {number}; b = 2; }}" for number in range(40)],
    "C": [f"for (i = {number}; i < 9; i++) {{" for number in range(40)],
    "statements": [f"int a{number};\t/* x */ b = 1;" for number in range(40)],
    "poem": [line for n in range(20) for line in (f"Shall I compare thee, {n};", "to a day;", "")],
    "Markdown": ["| a | b |", "|---|---|"] + [f"| {number} | x |" for number in range(40)],
    "bare Markdown": ["a | b | c", "--- | --- | ---"] + ["1 | 2 | x"] * 40,
    "a table and prose": [f"{number}\tx" for number in range(25)] + [PROSE] * 40,
    "log": [f"2024-01-01 10:00:{n} | INFO | tasks.x:{n} - done" for n in range(10, 50)],
    "padded log": [f"10:00:{n} | {('INFO', 'DEBUG')[n % 2]:<8} | done" for n in range(10, 50)],
    "uneven": [f"a\t{'b' * 3}" + "\tc" * (number % 2) for number in range(40)],
}


@pytest.mark.parametrize("lines", TABLES.values(), ids=TABLES)
def test_tables_without_a_header_are_csv(tmp_path: Path, lines: list[str]) -> None:
    assert format_in(tmp_path, lines, "table.txt") == "csv"
    assert format_in(tmp_path, lines, "table") == "csv"
    source = Source(LocalFile(tmp_path / "table"), "table", "csv")
    chunks = list(read(source))
    assert sum(chunk.num_rows + len(chunk.rejects) for chunk in chunks) == len(lines)
    assert sum(len(chunk.rejects) for chunk in chunks) <= 1
    assert source.facts["header"] == "none"


@pytest.mark.parametrize("lines", DOCUMENTS.values(), ids=DOCUMENTS)
def test_prose_logs_and_code_stay_documents(tmp_path: Path, lines: list[str]) -> None:
    assert format_in(tmp_path, lines, "text.txt") == "document"


@pytest.mark.skipif(not CSL.exists(), reason="needs the development data")
def test_a_table_without_a_known_suffix_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "csl.txt"
    path.write_bytes(CSL.read_bytes())
    assert format_of(LocalFile(path), "csl.txt") == "csv"
