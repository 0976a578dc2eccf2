import pytest

from article_flows.tasks.cleaning.columns.options import (
    ColumnOption,
    columns_for_source,
    parse_column_options,
    unmatched_patterns,
)
from article_flows.tasks.common.errors import UsageError


def test_options_have_three_forms() -> None:
    options = ["body=text", " title = My=Title ", r"*.csv:body={lead}\n\n{text}", "category="]
    assert parse_column_options(options) == (
        ColumnOption("body", "text"),
        ColumnOption("title", "My=Title"),
        ColumnOption("body", r"{lead}\n\n{text}", "*.csv"),
        ColumnOption("category", ""),
    )
    assert parse_column_options([]) == ()
    assert parse_column_options(["body=text", "body=text"]) == (ColumnOption("body", "text"),)


def test_a_pattern_may_contain_an_equals_sign() -> None:
    assert parse_column_options(["s3://b/lang=en/*.csv:title=head:line"]) == (
        ColumnOption("title", "head:line", "s3://b/lang=en/*.csv"),
    )
    assert parse_column_options(["body=x:title=y"]) == (ColumnOption("body", "x:title=y"),)


def test_invalid_options_are_rejected() -> None:
    for wrong in ("body", "body=", "*.csv:body=", "=text", ""):
        with pytest.raises(UsageError, match="write it as TARGET=NAME, such as body=text"):
            parse_column_options([wrong])
    with pytest.raises(UsageError, match="bdy is not one of body, title, url"):
        parse_column_options(["bdy=text"])
    with pytest.raises(UsageError, match="body is already given as a"):
        parse_column_options(["body=a", "body=b"])
    with pytest.raises(UsageError, match="a brace without a column"):
        parse_column_options(["body={a}{"])


def test_options_apply_to_matching_sources() -> None:
    given = parse_column_options(
        ["news/*.csv:body=story", "body=text", "title=head", "*.tsv:title=", "b.csv:body=last"]
    )
    assert columns_for_source(given, "data/x.jsonl") == {"body": "text", "title": "head"}
    assert columns_for_source(given, "news/a.csv") == {"body": "story", "title": "head"}
    assert columns_for_source(given, "data/news/a.csv") == {"body": "story", "title": "head"}
    assert columns_for_source(given, "news/b.csv") == {"body": "last", "title": "head"}
    assert columns_for_source(given, "far/away/c.tsv") == {"body": "text", "title": ""}


def test_unmatched_patterns_are_found() -> None:
    given = parse_column_options(["*.csv:body=a", "*.cvs:body=b", "title=t"])
    assert unmatched_patterns(given, ["x/a.csv", "b.json"]) == ["*.cvs"]
