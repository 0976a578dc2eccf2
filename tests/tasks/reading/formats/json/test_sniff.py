import pytest

from article_flows.tasks.reading.formats.json.sniff import looks_like_json, looks_like_jsonl

LONG = b'{"id": 1, "body": "' + b"x" * 70_000


@pytest.mark.parametrize(
    ("head", "json", "jsonl"),
    [
        (b'[{"a": 1}, {"a": 2}]', True, False),
        (b'[\n{"a": 1},\n{"a": 2}\n]\n', True, False),
        (b"[]", True, False),
        (b'[1, "x"]', True, False),
        (b'{\n  "data": [\n    {"a": 1},\n    {"a": 2}\n  ]\n}', True, False),
        (b'{"a": 1}\n{"a": 2}\n', False, True),
        (b'{"a": 1\n{"a": 2}\n', False, True),
        (b'{"a": 1}\n\n{"a": 2', False, True),
        (b'oops\n{"a": 2}\n', False, True),
        (b'\x1e{"a": 1}\n\x1e{"a": 2}\n', False, True),
        (b'{"a": 1}\n', True, True),
        (LONG, True, True),
        ('\ufeff[{"a": 1}]'.encode("utf-16-be"), True, False),
        ('{"a": 1}\n{"a": 2}\n'.encode("utf-16-le"), False, True),
        (b"[link](to a page), and more", False, False),
        (b"[1] A footnote.\nText.", False, False),
        (b"a,b\n1,2\n", False, False),
        (b"{curly} text", False, False),
        (b"plain text", False, False),
    ],
)
def test_documents_and_lines_are_distinguished(head: bytes, json: bool, jsonl: bool) -> None:
    assert (looks_like_json(head), looks_like_jsonl(head)) == (json, jsonl)
