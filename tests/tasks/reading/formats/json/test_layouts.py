import json
from typing import Any

import pytest

from article_flows.tasks.reading.formats.json.layouts import Shape, layout_of

ARTICLE = {"title": "x", "body": "A long text."}
COMMENTS = (("a", 5), ("b", 0), ("c", 1))
PAGE = [{"body": f"Text {number}."} for number in range(5)]


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"meta": {"v": 1}, "response": {"status": "ok", "docs": PAGE}}, "response.docs"),
        ({"meta": {"v": 1}, "response": {"v": 1, "docs": PAGE}}, "response.docs"),
        (
            {"meta": {"v": 1}, "took": 3, "hits": {"total": 2, "hits": [{"_source": ARTICLE}]}},
            "hits.hits",
        ),
        (
            {"meta": {"v": 1}, "hits": {"total": {"value": 1}, "hits": [{"_source": ARTICLE}]}},
            "hits.hits",
        ),
        (
            {"meta": {"v": 1}, "to": {"n": 2}, "data": {"p": {"n": 1}, "list": {"items": PAGE}}},
            "data.list.items",
        ),
    ],
)
def test_a_list_beside_objects_contains_the_articles(document: dict[str, Any], place: str) -> None:
    text = json.dumps(document).encode()
    assert str(layout_of(text, whole=True)) == f"{Shape.LIST} in {place}"
    cut = text[: text.rindex(b'": "') + 6]
    assert str(layout_of(cut, whole=False)) == f"{Shape.LIST} in {place}"


def test_long_lists_in_objects_contain_the_articles() -> None:
    layout = layout_of(json.dumps({each: {"docs": PAGE} for each in "abc"}).encode(), whole=True)
    assert str(layout) == f"{Shape.LIST} in a.docs"
    assert layout.ignored == ("b.docs", "c.docs")


@pytest.mark.parametrize(
    "document",
    [
        {"a": ARTICLE, "b": ARTICLE},
        {"a": ARTICLE, "b": {**ARTICLE, "by": "me"}, "c": {**ARTICLE, "n": 1, "m": 2, "o": 3}},
        {key: {**ARTICLE, "comments": [{"t": "x"}] * count} for key, count in COMMENTS},
        {"articles": dict.fromkeys("abc", ARTICLE), "meta": {"n": 3}},
    ],
)
def test_objects_by_key_must_be_alike(document: dict[str, Any]) -> None:
    assert layout_of(json.dumps(document).encode(), whole=True).shape is Shape.MEMBERS


def test_objects_by_key_may_be_truncated() -> None:
    text = json.dumps({str(key): ARTICLE for key in range(40)}).encode()
    assert {layout_of(text[:end], whole=False).shape for end in range(200, len(text))} == {
        Shape.MEMBERS
    }


@pytest.mark.parametrize(
    "document", [{"meta": {"v": 1}, "article": ARTICLE}, {"meta": {"v": 1}, "links": {"v": 2}}]
)
def test_two_unrelated_objects_are_not_rows(document: dict[str, Any]) -> None:
    assert layout_of(json.dumps(document).encode(), whole=True).shape is Shape.VALUES
