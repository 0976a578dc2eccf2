from typing import Any

import pytest

from tasks.columns import guess_columns, parse_column_options
from tasks.errors import UserError

LONG = "A sentence of an article. " * 20


def guess(record: dict[str, Any], **given: str) -> dict[str, str]:
    return dict(guess_columns(list(record), [record], given, "a.csv").columns)


def test_the_usual_names_in_any_spelling() -> None:
    record = {
        "GUID": "1",
        "Headline": "H",
        "Full Text": LONG,
        "permalink": "u",
        "by-line": "B",
        "publishedAt": "2019-01-04",
        "Lang": "en",
        "section": "s",
        "other": 1,
    }
    assert guess(record) == {
        "body": "Full Text",
        "title": "Headline",
        "url": "permalink",
        "author": "by-line",
        "published_at": "publishedAt",
        "language": "Lang",
        "category": "section",
        "article_id": "GUID",
    }


def test_real_tables() -> None:
    scitldr = {"source": [LONG, LONG], "source_labels": [0], "paper_id": "x", "target": [LONG]}
    assert guess(scitldr | {"title": "T"}) == {
        "body": "source",
        "title": "title",
        "article_id": "paper_id",
    }
    wikinews = {"url": "u", "date": "2019-01-04", "title": "T", "text": LONG}
    assert guess(wikinews) == {
        "body": "text",
        "title": "title",
        "url": "url",
        "published_at": "date",
    }
    assert guess({"编号": "1", "标题": "T", "正文": "B"}) == {
        "body": "正文",
        "title": "标题",
        "article_id": "编号",
    }


def test_the_best_name_wins_whatever_the_order_of_columns() -> None:
    assert guess({"text": "x", "body": "y", "content": "z"})["body"] == "body"
    assert guess({"id": "1", "article_id": "2", "body": "y"})["article_id"] == "article_id"
    assert guess({"Body": "x", "body": "y"})["body"] == "Body"


def test_a_publisher_is_no_body() -> None:
    assert guess({"source": "BBC", "description": LONG})["body"] == "description"
    with pytest.raises(UserError):
        guess({"source": "BBC", "id": 1})
    with pytest.raises(UserError):
        guess({"text": 17, "id": 1})


def test_what_is_given_goes_first_and_is_used_once() -> None:
    record = {"id": "1", "body": "x", "text": LONG, "title": "t"}
    assert guess(record, body="text", title="body") == {
        "body": "text",
        "title": "body",
        "article_id": "id",
    }
    assert guess({"My Text": "x"}, body="my_text") == {"body": "My Text"}
    with pytest.raises(UserError, match="gives one column two meanings"):
        guess(record, body="text", title="text")


def test_errors_name_the_file_its_columns_and_the_remedy() -> None:
    with pytest.raises(UserError) as error:
        guess({"a": 1, "b": 2})
    assert str(error.value) == (
        "a.csv: no column looks like the article's text (columns: a, b); "
        "say which one is with --column body=NAME"
    )
    with pytest.raises(UserError) as error:
        guess({"a": 1, "b": 2}, body="c")
    assert str(error.value) == "a.csv has no column c (--column body=c); it has: a, b"
    with pytest.raises(UserError, match="and 80 more"):
        guess({f"c{n}": 1 for n in range(100)})


def test_options() -> None:
    assert parse_column_options([]) == {}
    assert parse_column_options(["body=text", " title = My=Title "]) == {
        "body": "text",
        "title": "My=Title",
    }
    for wrong in ("body", "body=", "=text", ""):
        with pytest.raises(UserError, match="write it as TARGET=NAME, such as body=text"):
            parse_column_options([wrong])
    with pytest.raises(UserError, match="bdy is none of body, title, url"):
        parse_column_options(["bdy=text"])
    with pytest.raises(UserError, match="body is given already as a"):
        parse_column_options(["body=a", "body=b"])
