from pathlib import Path

import pytest

from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import RecordChunk, Source
from article_flows.tasks.reading.formats.registry import read
from article_flows.tasks.reading.formats.urls import url_finder
from tests.tasks.reading.web.web_support import Site, page

A, B = "http://example.org/a", "https://example.org/b"
SPIEGEL = ["http://www.spiegel.de/politik/0,1518,12,00.html", f"{A},b"]


@pytest.mark.parametrize(
    ("lines", "urls"),
    [
        ([A, B], [A, B]),
        (["url,section", f"{A},News", f"{B},Sport 2"], [None, A, B]),
        (["id;url", f"1;{A}", f"2;{B}"], [None, A, B]),
        (["# mine", "Title\tLink", f"One\t{A}", f"Two\t{B}"], [None, A, B]),
        ([f"{A}\t1", f"{B}\t2"], [A, B]),
        ([f"{A},News", f"{B},Sport"], [A, B]),
        ([f'"{A}","News, 1"', f'"{B}","x/y"'], [A, B]),
        ([f"{A} | In short", f"{B} | At length"], [A, B]),
        (["url", A, B], ["url", A, B]),
        (SPIEGEL, SPIEGEL),
        ([SPIEGEL[0]] * 2, [SPIEGEL[0]] * 2),
        ([A, f"{B}?x=1,News"], [A, f"{B}?x=1,News"]),
        (["no url, at all", "nor here, I fear"], ["no url, at all", "nor here, I fear"]),
    ],
)
def test_the_url_in_each_line_is_found(lines: list[str], urls: list[str | None]) -> None:
    find = url_finder("\n".join(lines))
    assert [find(line) for line in lines if not line.startswith("#")] == urls


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_the_urls_of_a_table_are_fetched(tmp_path: Path, encoding: str) -> None:
    with Site({"/a": page("A"), "/b": page("B")}) as site:
        lines = ["url,section", f"{site.url('/a')},News", "", f"{site.url('/b')},Sport"]
        path = tmp_path / "list.csv"
        path.write_text("\n".join(lines), encoding=encoding)
        source = Source(LocalFile(path), path.name, "urls", allow_hosts=(site.host,))
        rows: dict[int, object] = {}
        for chunk in read(source):
            assert isinstance(chunk, RecordChunk)
            assert chunk.rejects == []
            titles = (record["title"] for record in chunk.records)
            rows.update(zip(chunk.rows, titles, strict=True))
        assert rows == {2: "A", 4: "B"}
