import pytest
from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.cleaning.columns.templates import Template, is_template
from article_flows.tasks.common.errors import UsageError


@pytest.mark.parametrize(
    ("text", "values", "filled"),
    [
        (r"{title}\n\n{abstract}", {"title": "T", "abstract": "A"}, "T\n\nA"),
        ("{title}\n\n{abstract}", {"abstract": "A"}, "A"),
        ("{title}\n\n{abstract}", {"title": "T", "abstract": " \n"}, "T"),
        ("{title}\n\n{abstract}", {"title": "", "other": "x"}, None),
        ("{a} - {b}", {"b": "B"}, "B"),
        ("{a}, {b}\n\n{c}", {"a": "A", "c": "C"}, "A\n\nC"),
        ("{a}\n\n{b}, {c}", {"a": "A", "c": "C"}, "A\n\nC"),
        ("{title} ({year})", {"title": "T"}, "T"),
        ("{title} ({year})", {"title": "T", "year": "2020"}, "T (2020)"),
        (r"Title: {title}\nText: {text}", {"text": "x"}, "Text: x"),
        (r"Title: {title}\nText: {text}", {"title": "T"}, "Title: T"),
        ("标题：{title}正文：{text}", {"text": "文"}, "正文：文"),
        ("{lead}{text}", {"lead": "L", "text": "x"}, "Lx"),
        (r"{{{a}}} \\n \t{b}", {"a": "1", "b": "2"}, "{1} \\n \t2"),
        ("{a} and again {a}", {"a": "1"}, "1 and again 1"),
    ],
)
def test_missing_values_leave_no_dangling_separator(
    text: str, values: dict[str, str], filled: str | None
) -> None:
    assert Template(text).fill(values) == filled


def test_the_columns_of_a_template_are_distinct_and_in_order() -> None:
    assert Template("{b}{ a }{b}").columns == ("b", "a")


@pytest.mark.parametrize("text", ["", "text", "{a", "a}", "{}{a}", "{{a}}", "{a}{", "{ }"])
def test_an_invalid_template_is_rejected_in_one_line(text: str) -> None:
    with pytest.raises(UsageError) as error:
        Template(text)
    assert "\n" not in str(error.value)
    assert "column" in str(error.value)


def test_a_column_name_is_not_a_template() -> None:
    assert [is_template(each) for each in ("text", "{{x}}", "{x}", "a {x}")] == [
        False,
        False,
        True,
        True,
    ]


def test_renaming_columns_keeps_the_literals() -> None:
    renamed = Template(r"{{{a}}}\\n{b}").renamed({"a": "A a"})
    assert renamed.columns == ("A a", "b")
    assert renamed.fill({"A a": "1", "b": "2"}) == "{1}\\n2"
    same = Template("{a}")
    assert same.renamed({"a": "a"}) is same


@given(st.lists(st.text(st.characters(exclude_characters="{}\\"), max_size=5), min_size=2))
def test_a_complete_template_has_all_values_and_literals(literals: list[str]) -> None:
    names = [f"c{number}" for number in range(len(literals) - 1)]
    columns = [f"{{{name}}}" for name in names]
    text = literals[0] + "".join(
        column + literal for column, literal in zip(columns, literals[1:], strict=True)
    )
    expected = literals[0] + "".join(
        name + literal for name, literal in zip(names, literals[1:], strict=True)
    )
    assert Template(text).fill({name: name for name in names}) == expected


@given(st.dictionaries(st.sampled_from("abc"), st.text(max_size=4)))
def test_a_template_is_none_only_if_all_values_are_blank(values: dict[str, str]) -> None:
    filled = Template("{a}; {b}\n{c}").fill(values)
    assert (filled is None) == (not any(value.strip() for value in values.values()))
