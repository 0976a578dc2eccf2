import json
import resource
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base import text_encoding
from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import RecordChunk, Source
from article_flows.tasks.reading.formats.json import elements, reader, scanner, values
from article_flows.tasks.reading.formats.json.reader import read_json
from article_flows.tasks.reading.formats.json.scanner import BracketScan

CUT = "ends within its list"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "articles.json"


def read_all(path: Path, content: bytes) -> tuple[RecordChunk, str, dict[str, str]]:
    """Return all rows, the message of a final error if any, and the facts."""
    path.write_bytes(content)
    source = Source(LocalFile(path), path.name, "json")
    everything, error = RecordChunk(), ""
    try:
        for chunk in read_json(source):
            everything.records += chunk.records
            everything.rows += chunk.rows
            everything.rejects += chunk.rejects
    except UserError as raised:
        error = str(raised)
    numbers = sorted(everything.rows + [each.row for each in everything.rejects])
    assert numbers == list(range(1, len(numbers) + 1))
    return everything, error, source.facts


@pytest.mark.parametrize(
    ("document", "layout", "rows"),
    [
        ([{"a": 1}, {"a": 2}], "a list of objects", [{"a": 1}, {"a": 2}]),
        (
            {"meta": {"n": [1]}, "tags": [{"t": 1}], "data": [{"a": "x"}, {"a": "y"}], "z": [1]},
            "a list of objects in data",
            [{"a": "x"}, {"a": "y"}],
        ),
        ({"response": {"docs": [{"a": 1}]}}, "a list of objects in response.docs", [{"a": 1}]),
        (
            {"type": "FeatureCollection", "features": [{"type": "Feature", "id": 1}]},
            "a list of objects in features",
            [{"type": "Feature", "id": 1}],
        ),
        (
            {"i1": {"title": "x", "body": "a"}, "i\n2": {"title": "y", "body": "b"}},
            "objects by key (the key is in the column key)",
            [{"key": "i1", "title": "x", "body": "a"}, {"key": "i\n2", "title": "y", "body": "b"}],
        ),
        (
            {"title": {"0": "x", "1": "y"}, "body": {"0": "a", "1": None}},
            "columns",
            [{"title": "x", "body": "a"}, {"title": "y", "body": None}],
        ),
        (
            {"title": ["x", "y"], "body": ["a", "b"]},
            "columns",
            [{"title": "x", "body": "a"}, {"title": "y", "body": "b"}],
        ),
        (
            {"columns": ["title", "body"], "index": [0], "data": [["x", "a"]]},
            "columns and data",
            [{"title": "x", "body": "a"}],
        ),
        (
            {"title": "x", "text": "A long text.", "comments": [{"by": "me"}, {"by": "you"}]},
            "one object after the other",
            [{"title": "x", "text": "A long text.", "comments": [{"by": "me"}, {"by": "you"}]}],
        ),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_layouts_are_inferred(
    path: Path, document: Any, layout: str, rows: list[dict[str, Any]], indent: int | None
) -> None:
    chunk, error, facts = read_all(path, json.dumps(document, indent=indent).encode())
    assert (chunk.records, chunk.rejects, error) == (rows, [], "")
    ignored = {"ignored": "tags, members after the list"} if "tags" in document else {}
    assert facts == {"layout": layout, "encoding": "utf-8"} | ignored


def test_concatenated_objects_are_rows(path: Path) -> None:
    content = b'{"a": 1}\n{"a": 2} {"a": 3},\n\n{\n  "a": 4\n}\x1e{"a": [{"b": 1}]}\n'
    chunk, error, _ = read_all(path, content)
    assert [each["a"] for each in chunk.records] == [1, 2, 3, 4, [{"b": 1}]]
    assert (chunk.rejects, error) == ([], "")


@pytest.mark.parametrize("size", [60, 400_000])
@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ('{"a": NaN, "refs": [{"a": 1}, {"a": 2}]}', "NaN is not a JSON value"),
        ('{"a": -Infinity}', "-Infinity is not a JSON value"),
        ("{'a': 1}", "expected a string key"),
        ('{"a": "not closed}', "not JSON"),
        ('{"a": "he said "no"", "b": 1}', "not JSON"),
        ('{"a": 1', "not JSON"),
        ('{"a": [1, 2}', "not JSON"),
        ('{"a": {"b": 1}', "not JSON"),
        ('{"a": 1}}', "not JSON"),
        ('{"a": 1} x', "text after the element"),
        ("[1, 2]", "an array, not an object"),
        ("17", "a number, not an object"),
        ('"a, b"', "a string, not an object"),
        ("null", "null, not an object"),
    ],
)
def test_a_broken_element_is_rejected_alone(
    path: Path, broken: str, reason: str, size: int
) -> None:
    good = [json.dumps({"a": number, "body": "x}, {" * (size // 6)}) for number in range(4)]
    for separator in (",", ", ", ",\n  "):
        content = f"[{separator.join([good[0], good[1], broken, good[2], good[3]])}]"
        chunk, error, _ = read_all(path, content.encode())
        if broken == '{"a": 1}}':
            # The list itself seems to end here, so the rest is not read.
            assert [each["a"] for each in chunk.records][:2] == [0, 1]
            assert chunk.rejects or error
            continue
        assert [each["a"] for each in chunk.records] == [0, 1, 2, 3]
        assert chunk.rows == [1, 2, 4, 5]
        (reject,) = chunk.rejects
        assert reason in reject.reason
        assert reject.raw.startswith(broken[:6])
        assert error == ""


def test_a_file_truncated_anywhere_yields_its_complete_elements(path: Path) -> None:
    rows = [{"id": number, "body": 'b"\\]},{é' * number} for number in range(5)]
    content = json.dumps({"data": rows}, ensure_ascii=False).encode()
    ends = [content.index(f'{{"id": {number}'.encode()) - 2 for number in range(1, 5)]
    ends.append(len(content) - 2)
    for cut in range(len(b'{"data": [{"id": '), len(content) - 2):
        chunk, error, _ = read_all(path, content[:cut])
        whole = sum(end <= cut for end in ends)
        assert chunk.records == rows[:whole]
        assert (CUT in error and "after element" in error) or chunk.rejects
        for each in chunk.rejects:
            assert "the file ends within this element" in each.reason


@pytest.mark.parametrize(
    "content", [b'[{"a": 1}] x', b'[{"a": 1}][{"a": 2}]', b'{"d": [{"a": 1}]}}']
)
def test_text_after_the_document_is_rejected(path: Path, content: bytes) -> None:
    chunk, error, _ = read_all(path, content)
    assert chunk.records == [{"a": 1}]
    assert "after the end of the document" in chunk.rejects[0].reason
    assert error == ""


def test_a_list_larger_than_the_head_is_read_and_members_after_it_are_reported(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "HEAD_BYTES", 1000)
    monkeypatch.setattr(text_encoding, "_BLOCK_BYTES", 100)
    rows = [{"id": number, "refs": [{"x": "y"}], "body": "text " * 9} for number in range(500)]
    document = {"tags": [{"t": n} for n in range(30)], "data": rows, "more": [{"z": {}}] * 600}
    chunk, error, _ = read_all(path, json.dumps(document).encode())
    assert (chunk.records, chunk.rejects, error) == (rows, [], "")


def test_an_element_that_is_too_large_is_skipped(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elements, "MAX_ELEMENT", 3 << 20)
    for large in ('{"a": "' + "x" * 9_000_000 + '"}', '"' + "x" * 9_000_000 + '"'):
        chunk, error, _ = read_all(path, f'[{{"a": 1}}, {large}, {{"a": 3}}]'.encode())
        assert chunk.records == [{"a": 1}, {"a": 3}]
        (reject,) = chunk.rejects
        assert len(reject.raw) <= 2000
        assert error == ""
    assert read_all(path, f'[{{"a": "{"x" * 9_000_000}'.encode())[0].rejects[0].row == 1


@pytest.mark.parametrize("content", [b"", b" \n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_error(path: Path, content: bytes) -> None:
    assert read_all(path, content)[1] == "articles.json is empty: it contains no articles"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32-be", "gb18030"])
def test_encodings_are_detected(path: Path, encoding: str) -> None:
    rows = [{"id": n, "body": "疫情期间，以信息技术为支撑的公共卫生信息系统。"} for n in range(9)]
    content = json.dumps(rows, ensure_ascii=False).encode(encoding)
    chunk, error, facts = read_all(path, content)
    assert (chunk.records, chunk.rejects, error) == (rows, [], "")
    assert facts["encoding"].startswith(encoding.removesuffix("-sig"))


def test_memory_does_not_grow_with_a_single_line(path: Path) -> None:
    row = json.dumps({"id": 1, "body": "An article. " * 400}).encode()
    with path.open("wb") as file:
        file.write(b"[" + row)
        for _ in range(40):
            file.write((b"," + row) * 1000)
        file.write(b"]")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    chunks = read_json(Source(LocalFile(path), "articles.json", "json"))
    assert sum(chunk.num_rows for chunk in chunks) == 40_001
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100 << 10  # KiB; the file has 190 MiB


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(string.printable + '"\\é你'),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
ROWS = st.lists(st.dictionaries(st.text(min_size=1, max_size=5), VALUES, min_size=1), min_size=1)


# No deadline: the machine may be busy.
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    rows=ROWS, indent=st.sampled_from([None, 1]), escaped=st.booleans(), block=st.integers(1, 99)
)
def test_any_rows_are_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, Any]],
    indent: int | None,
    escaped: bool,
    block: int,
) -> None:
    text = json.dumps(rows, indent=indent, ensure_ascii=escaped)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_encoding, "_BLOCK_BYTES", block)
        path = tmp_path_factory.mktemp("json") / "articles.json"
        content = text.encode("utf-8", "surrogatepass" if escaped else "strict")
        chunk, error, _ = read_all(path, content)
    assert (chunk.records, chunk.rejects, error) == (rows, [], "")


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(content=st.lists(st.sampled_from([*'[]{}",:\\1a \n', '"a"', '{"a":1}']), max_size=40))
def test_no_content_crashes_the_reader(
    tmp_path_factory: pytest.TempPathFactory, content: list[str]
) -> None:
    read_all(tmp_path_factory.mktemp("json") / "articles.json", "".join(content).encode())


@pytest.mark.parametrize("large", ['"' + "x" * 9_000 + '"', "[" + "[]," * 3_000 + "[]]"])
def test_a_list_after_a_large_member_is_found(
    path: Path, monkeypatch: pytest.MonkeyPatch, large: str
) -> None:
    make_small(monkeypatch)
    document = (
        f'{{"n": 1, "s": "a", "meta": {large}, "m": -1.5e3, "data": [{{"a": 1}}, {{"a": 2}}]}}'
    )
    chunk, error, facts = read_all(path, document.encode())
    assert (chunk.records, chunk.rejects, error) == ([{"a": 1}, {"a": 2}], [], "")
    assert facts["layout"] == "a list of objects in data"
    assert facts["ignored"] == "0 MiB of members before the list"


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_encoding, "_BLOCK_BYTES", 300)
    monkeypatch.setattr(reader, "HEAD_BYTES", 1_000)
    monkeypatch.setattr(values, "MAX_ELEMENT", 4_000)


@pytest.mark.parametrize("piece", [b"1,", b'"\\\\\\"",', b"[],", b"[{}],"])
def test_memory_does_not_grow_with_skipped_members(
    path: Path, monkeypatch: pytest.MonkeyPatch, piece: bytes
) -> None:
    make_small(monkeypatch)
    largest = 0
    drop = scanner.Window.drop

    def watched(window: scanner.Window, count: int) -> None:
        nonlocal largest
        largest = max(largest, len(window.data))
        drop(window, count)

    monkeypatch.setattr(scanner.Window, "drop", watched)
    content = b'{"meta": [' + piece * 20_000 + b'0], "data": [{"a": 1}]}'
    assert read_all(path, content)[0].records == [{"a": 1}]
    assert largest < 10_000


def test_a_large_object_without_a_list_is_rejected(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch)
    large = '{"body": "' + "x" * 9_000 + '", "id": 1}'
    chunk, error, _ = read_all(path, f'{large}\n{{"a": 2}}\n'.encode())
    assert (chunk.records, [each.row for each in chunk.rejects], error) == ([{"a": 2}], [1], "")
    chunk, _, _ = read_all(path, large[:-5].encode())
    assert "the file ends within this element" in chunk.rejects[0].reason
    _, error, _ = read_all(path, large[:-10].encode() + b'!!! "data": [{"a": 1}]}')
    assert "is not JSON after them" in error


def test_an_element_over_the_limit_is_rejected_even_if_its_end_is_known(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elements, "MAX_ELEMENT", 2_000)
    chunk, _, _ = read_all(path, b'[{"a": 1}, {"a": "%s"}, {"a": 3}]' % (b"x" * 3_000))
    assert chunk.records == [{"a": 1}, {"a": 3}]
    assert [each.row for each in chunk.rejects] == [2]
    assert chunk.rejects[0].reason.startswith("the element is larger than")


def test_an_element_of_millions_of_values_is_rejected(path: Path) -> None:
    values = "[" + "[]," * 1_500_000 + "0]"
    chunk, _, _ = read_all(path, f'[{{"a": 1}}, {{"a": {values}}}, {{"a": 3}}]'.encode())
    assert chunk.records == [{"a": 1}, {"a": 3}]
    assert [each.reason for each in chunk.rejects] == ["it has more than 2,000,000 values"]


def test_commas_in_text_do_not_count_as_values(path: Path) -> None:
    rows = [{"a": "," * 5_000_000}, {"a": 2}]
    assert read_all(path, json.dumps(rows).encode())[0].records == rows


def test_columns_of_millions_of_values_are_an_error(path: Path) -> None:
    rows = "[1]," * 1_100_000 + "[1]"
    error = read_all(path, f'{{"columns": ["a"], "data": [{rows}]}}'.encode())[1]
    assert "holds columns, not rows" in error
    assert "more than 2,000,000 values" in error


def test_a_list_of_many_broken_elements_is_not_rescanned_for_each(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end, passed = BracketScan.end, [0]

    def counted(scan: BracketScan, *arguments: int) -> int | None:
        before = scan.position
        found = end(scan, *arguments)
        passed[0] += scan.position - before
        return found

    monkeypatch.setattr(BracketScan, "end", counted)
    text = "words of an article " * 15
    pairs = [f'{{"title": ["T{n}", "body": "{text}"}}, {{"title": "U{n}"}}' for n in range(1_000)]
    content = f"[{', '.join(pairs)}]".encode()
    chunk, _, _ = read_all(path, content)

    assert [record["title"] for record in chunk.records] == [f"U{n}" for n in range(1_000)]
    assert len(chunk.rejects) == 1_000
    assert passed[0] < 60 * len(content)
