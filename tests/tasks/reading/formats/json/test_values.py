from pathlib import Path

import pytest

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import RecordChunk, Source
from article_flows.tasks.reading.formats.json.values import NotJsonError, parse_json
from article_flows.tasks.reading.formats.registry import format_of, read
from tests.support import ROOT

SUITE = ROOT.parent / "shared" / "data" / "dev" / "nasty" / "json_testsuite" / "test_parsing"
needs_suite = pytest.mark.skipif(not SUITE.exists(), reason="needs the development data")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not JSON"),
        (b'{"a": NaN}', "NaN is not a JSON value at character 7"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON value"),
        (b'{"a": "\\ud800", "b": Infinity}', "Infinity is not a JSON value"),
        (b'{"a": 1,}', "trailing comma"),
        (b'["caf\xe9"]', "not UTF-8 at byte 6"),
        (b"[" * 100_000, "nested too deeply"),
        (b'["\\ud800",' + b"[" * 100_000, "nested too deeply|not JSON"),
        (b'{"a": 1} 2', "unexpected content after document at character 10"),
    ],
)
def test_invalid_json_is_rejected_with_a_reason(text: bytes, reason: str) -> None:
    with pytest.raises(NotJsonError, match=reason):
        parse_json(text)


def test_valid_json_is_parsed_exactly() -> None:
    assert parse_json(b'{"a": 1, "a": 2}') == {"a": 2}
    assert parse_json(b'{"id": 12345678901234567890123}') == {"id": 12345678901234567890123}
    assert parse_json(b'["\\ud800x"]') == ["\ud800x"]
    assert parse_json(b'{"id": 1' + b"0" * 300 + b"}") == {"id": 10**300}


@needs_suite
def test_the_json_test_suite_is_accepted_and_rejected_correctly() -> None:
    good = {case.name for case in SUITE.iterdir() if _rejection(case.read_bytes()) is None}
    every = {case.name for case in SUITE.iterdir()}
    assert sum(name.startswith("y_") for name in good) > 90
    assert [name for name in every - good if name.startswith("y_")] == []
    assert [name for name in good if name.startswith("n_")] == []


def _rejection(text: bytes) -> str | None:
    """Return why a text is not JSON, or None if it is."""
    try:
        parse_json(text)
    except NotJsonError as error:
        return str(error) or "no reason"
    return None


@needs_suite
@pytest.mark.parametrize("format_name", ["", "json", "jsonl"])
def test_the_json_test_suite_is_handled_by_the_readers(format_name: str) -> None:
    for case in sorted(SUITE.iterdir()):
        chunk, error = _read(case, format_name)
        reasons = [each.reason for each in chunk.rejects] + [error] * bool(error)
        if case.name.startswith("n_"):
            assert reasons, case.name
            # A list truncated after its first element: the element is kept, the rest rejected.
            assert not chunk.records or case.name == "n_array_unclosed_with_object_inside.json"
        elif case.name.startswith("y_") and format_name != "jsonl":
            assert not any("not JSON" in each or "cut" in each for each in reasons), case.name


def _read(path: Path, format_name: str) -> tuple[RecordChunk, str]:
    everything, file = RecordChunk(), LocalFile(path)
    try:
        for chunk in read(Source(file, path.name, format_name or format_of(file, path.name))):
            assert isinstance(chunk, RecordChunk)
            everything.records += chunk.records
            everything.rejects += chunk.rejects
    except UserError as error:
        return everything, str(error)
    return everything, ""
