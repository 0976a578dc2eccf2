from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as examples
from hypothesis import strategies as st

from article_flows.tasks.cleaning.columns.guesses import ColumnMap, guess_columns
from article_flows.tasks.common.column_names import is_known
from article_flows.tasks.common.errors import UserError

LONG = "A sentence of an article that says something. " * 20
CHINESE = "飞机的姿态控制系统的数学模型和动力学方程。" * 10


def guess(record: dict[str, Any], **given: str) -> dict[str, str]:
    return dict(guess_columns(list(record), [record], given, "a.csv").columns)


def mapped(rows: list[dict[str, Any]], **given: str) -> ColumnMap:
    return guess_columns(list(dict.fromkeys(name for row in rows for name in row)), rows, given)


def table(count: int = 30, **columns: Any) -> list[dict[str, Any]]:
    """Return rows whose values are functions of the row number, or constant."""
    return [
        {name: each(number) if callable(each) else each for name, each in columns.items()}
        for number in range(count)
    ]


def body(number: int) -> str:
    return f"Number {number}. {LONG}"


def test_usual_names_are_mapped_in_any_spelling() -> None:
    record = {
        "GUID": "1",
        "Headline": "H",
        "Full Text": LONG,
        "permalink": "https://example.org/1",
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


@pytest.mark.parametrize(
    ("names", "day"),
    [
        ("Titel Text Veröffentlicht_am Autor Rubrik Zusammenfassung", "4. Januar 2019"),
        ("Titre Contenu Date_publication Auteur Rubrique Résumé", "4 janvier 2019"),
        ("Título Texto Fecha Autor Sección Resumen", "4 de enero de 2019"),
        ("Заголовок Текст Дата Автор Рубрика Аннотация", "4 января 2019"),
        ("标题 正文 发布时间 作者 栏目 摘要", "2019年1月4日"),
        ("タイトル 本文 公開日 著者 カテゴリ 要約", "2019年1月4日"),
    ],
)
def test_names_in_other_languages_are_mapped(names: str, day: str) -> None:
    title, text, when, author, category, summary = names.split()
    record = {
        title: "Ein Titel",
        text: LONG,
        when: day,
        author: "A B",
        category: "c",
        summary: "Ein kurzer Satz.",
    }
    assert guess(record) == {
        "body": text,
        "title": title,
        "author": author,
        "published_at": when,
        "category": category,
        "reference_summary": summary,
    }


def test_columns_of_real_tables_are_mapped() -> None:
    scitldr = {"source": [LONG, LONG], "source_labels": [0], "paper_id": "x", "target": ["It is."]}
    assert guess(scitldr | {"title": "T"}) == {
        "body": "source",
        "title": "title",
        "article_id": "paper_id",
        "reference_summary": "target",
    }
    sotu = {"year": 1790, "name": "George Washington", "party": "none", "text": LONG}
    assert guess(sotu) == {"body": "text", "author": "name"}
    csl = table(
        column_1="to title",
        column_2=lambda n: f"{n}{CHINESE}",
        column_3=lambda n: f"飞机的模型和方程{n}",
    )
    found = mapped(csl)
    assert found.columns == {"body": "column_2", "title": "column_3"}
    assert found.reasons["body"] == "the longest text: median 212 characters"


def test_the_best_name_wins_in_any_column_order() -> None:
    assert guess({"text": "x", "body": "y", "content": "z"})["body"] == "body"
    assert guess({"id": "1", "article_id": "2", "body": "y"})["article_id"] == "article_id"
    assert guess({"Body": "x", "body": "y"})["body"] == "Body"


def test_a_teaser_is_not_the_body_if_there_is_a_full_text() -> None:
    found = mapped([{"body": "Short.", "content": LONG}])
    assert found.get("body") == "content"
    assert found.reasons["body"] == "named content, and far longer than body"
    assert found.notes["body"] == "far shorter than content"


def test_a_publisher_is_not_the_body() -> None:
    assert guess({"source": "BBC", "description": LONG})["body"] == "description"
    with pytest.raises(UserError):
        guess({"source": "BBC", "id": 1})
    with pytest.raises(UserError):
        guess({"text": 17, "id": 1})


def test_names_are_checked_against_values() -> None:
    rows = table(
        text=lambda n: str(n),
        content=body,
        title=lambda n: body(n) * 2,
        id=lambda n: f"event-{n % 5}",
        url=lambda n: f"section {n}",
        date=lambda n: 1990 + n,
        author=lambda n: n,
        language=LONG,
        category=body,
    )
    found = mapped(rows)
    assert found.columns == {"body": "content"}
    assert found.notes == {
        "text": "holds numbers, not text",
        "title": "longer than the body: median 1,862 characters",
        "id": "repeated: 5 values in 30 rows",
        "url": "its values are not URLs",
        "date": "a year alone is not a date",
        "author": "holds numbers, not names",
        "language": "its values are not languages",
        "category": "too long: median 931 characters",
    }


def test_duplicate_rows_do_not_rule_out_an_id() -> None:
    rows = table(id=lambda n: f"a{n // 2}", text=lambda n: body(n // 2))
    assert mapped(rows).get("article_id") == "id"


@pytest.mark.parametrize(("versions", "column"), [(2, "id"), (3, None)])
def test_an_id_may_repeat_if_half_of_the_values_are_distinct(
    versions: int, column: str | None
) -> None:
    rows = table(id=lambda n: f"a{n // versions}", text=body)
    found = mapped(rows)
    assert found.get("article_id") == column
    assert ("id" in found.notes) is (column is None)


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        (lambda n: 45_292 + n, "spreadsheet day numbers such as 45292; write the dates as "),
        (lambda n: f"{45_292 + n}.75", "spreadsheet day numbers such as 45292.75; "),
        (lambda n: 202_401 + n % 12, "a year and a month alone are not a date"),
        (lambda n: f"{1990 + n}.0", "a year alone is not a date"),
        (lambda n: n, "its numbers are not dates"),
    ],
)
def test_numbers_that_are_not_dates_are_recognized(day: Any, reason: str) -> None:
    assert mapped(table(text=body, date=day)).notes["date"].startswith(reason)


def test_abbreviated_names_are_mapped() -> None:
    found = mapped(table(nr=lambda n: n, ts=lambda n: 1_700_000_000 + n, text=body))
    assert found.columns == {"body": "text", "published_at": "ts", "article_id": "nr"}


def test_fields_of_a_publisher_are_not_used_for_articles() -> None:
    def outlet(number: int) -> dict[str, str]:
        return {
            "id": f"bbc-{number}",
            "name": f"The paper number {number}",
            "url": f"http://{number}.org",
        }

    def person(number: int) -> dict[str, Any]:
        return {"id": number, "name": "Ann Lee"}

    found = mapped(table(source=outlet, author=person, publisher=outlet, content=body))
    assert found.columns == {"body": "content", "author": "author"}
    flat = [
        {f"source.{key}": value for key, value in outlet(n).items()} | {"content": body(n)}
        for n in range(30)
    ]
    assert mapped(flat).columns == {"body": "content"}


@pytest.mark.parametrize("wrapper", ["article", "_source", "doc", "source"])
def test_fields_in_a_wrapper_are_used_for_the_article(wrapper: str) -> None:
    inner = table(id=lambda n: f"x{n}", name=lambda n: f"On the bridge {n}", text=body)
    found = mapped([{wrapper: each} for each in inner])
    assert found.columns == {
        "body": f"{wrapper}.text",
        "title": f"{wrapper}.name",
        "article_id": f"{wrapper}.id",
    }
    beside = [{wrapper: {"id": each["id"]}, "text": each["text"]} for each in inner]
    assert (mapped(beside).get("article_id") is None) is (wrapper == "source")


def test_the_error_for_a_table_of_urls_says_how_to_fetch_them() -> None:
    rows = [{"n": n, "link": f"https://a.org/{n}"} for n in range(9)]
    with pytest.raises(UserError, match=r"body=NAME; or, to fetch the pages of link, load a"):
        mapped(rows)
    with pytest.raises(UserError, match=r"body=NAME$"):
        mapped([{"n": n} for n in range(9)])


def test_the_next_best_name_is_used_if_the_best_does_not_fit() -> None:
    rows = [{"date": "soon", "published": "2019-01-04", "url": "n/a", "link": "http://a.org/1"}]
    found = mapped([row | {"text": LONG} for row in rows])
    assert (found.get("published_at"), found.get("url")) == ("published", "link")


def test_a_summary_is_a_reference_with_a_text_and_the_body_without() -> None:
    short = "The council voted for the bridge on Monday evening."
    for name in ("summary", "abstract", "highlights", "tldr", "target", "摘要"):
        assert guess({"text": LONG, name: short})["reference_summary"] == name
    for name in ("summary", "abstract", "description", "摘要"):
        assert guess({"title": "T", name: short}) == {"body": name, "title": "title"}
    assert guess({"text": LONG, "highlights": [short, short]})["reference_summary"] == "highlights"
    assert "reference_summary" not in guess({"text": LONG, "target": 1})
    assert "reference_summary" not in guess({"text": LONG, "summary": LONG * 2})


def test_name_is_a_title_or_a_person() -> None:
    assert guess({"text": LONG, "name": "How the bridge was built"})["title"] == "name"
    assert guess({"text": LONG, "name": "Martin Van Buren"})["author"] == "name"
    assert "author" not in guess({"text": LONG, "title": "T", "name": "Rules of chess in 1850"})


def test_values_decide_if_names_do_not() -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    rows = table(
        f1=lambda n: f"{n * 7919:08x}",
        f2=lambda n: f"How bridge number {n} was built",
        f3=body,
        f4=lambda n: (start + timedelta(days=n)).isoformat(),
        f5=lambda n: f"https://example.org/{n}",
        f6=lambda n: ["en", "de", "fr"][n % 3],
        f7=lambda n: ["Sports", "Politics"][n % 2],
        f8="always the same",
        updated=lambda n: (start + timedelta(days=n)).isoformat(),
    )
    found = mapped(rows)
    assert found.columns == {
        "body": "f3",
        "title": "f2",
        "url": "f5",
        "published_at": "f4",
        "language": "f6",
        "category": "f7",
        "article_id": "f1",
    }
    assert found.reasons == {
        "body": "the longest text: median 931 characters",
        "title": "short and different in each row: median 30 characters",
        "url": "its values are URLs",
        "published_at": "its values are dates",
        "language": "its values are language codes",
        "category": "few different short values: 2 in 30 rows",
        "article_id": "short and different in each row, without spaces",
    }


def test_a_row_counter_is_not_an_id() -> None:
    assert mapped(table(c1=lambda n: n, text=body)).get("article_id") is None
    assert mapped(table(c1=lambda n: str(n + 1), text=body)).get("article_id") is None
    assert mapped(table(c1=lambda n: 10**6 + n * 99, text=body)).get("article_id") == "c1"
    assert mapped(table(views=lambda n: 10**6 + n * 99, text=body)).get("article_id") is None


def test_few_values_in_a_column_with_another_name_are_not_a_category() -> None:
    rows = table(text=body, licence=lambda n: ["MIT", "BSD"][n % 2])
    assert mapped(rows).get("category") is None


def test_encoded_bytes_are_not_text() -> None:
    with pytest.raises(UserError):
        mapped(table(blob=lambda n: f"{n}" + "QUJDREVGRw" * 100))


def test_short_comments_are_not_loaded_as_articles() -> None:
    nation = table(
        count=25,
        n_nationkey=lambda n: n,
        n_name=lambda n: f"NATION {n}".encode(),
        n_comment=lambda n: f"carefully final deposits {n} detect slyly again".encode(),
    )
    with pytest.raises(UserError) as error:
        guess_columns(list(nation[0]), nation, {}, "nation.csv")
    assert str(error.value) == (
        "nation.csv: no column looks like the article's text (columns: n_nationkey, n_name, "
        "n_comment; the longest, n_comment, has 46 characters); "
        "name it with --column body=NAME"
    )


def test_nested_columns_have_dotted_names() -> None:
    record = {
        "id": "1",
        "content": {"body": LONG, "meta": {"headline": "T", "date": "2019-01-04"}},
        "author": {"name": "A B"},
    }
    assert guess(record) == {
        "body": "content.body",
        "title": "content.meta.headline",
        "author": "author",
        "published_at": "content.meta.date",
        "article_id": "id",
    }
    assert guess(record, body="content.meta.headline")["body"] == "content.meta.headline"
    assert guess(record | {"text": LONG})["body"] == "text"
    assert guess({"content.body": LONG})["body"] == "content.body"


def test_given_columns_take_precedence_and_are_used_once() -> None:
    record = {"id": "1", "body": "x", "text": LONG, "title": "t"}
    assert guess(record, body="text", title="body") == {
        "body": "text",
        "title": "body",
        "article_id": "id",
    }
    assert guess({"My Text": "x"}, body="my_text") == {"body": "My Text"}
    assert guess(record, body="text", title="", article_id="") == {"body": "text"}
    with pytest.raises(UserError, match="maps text twice"):
        guess(record, body="text", title="text")


def test_templates_use_several_columns() -> None:
    rows = table(Lead="Lead.", text=body, title=lambda n: f"Title number {n}", summary="It was so.")
    found = mapped(rows, body=r"{title}\n\n{lead} {text}")
    assert found.columns == {"title": "title", "reference_summary": "summary"}
    assert found.templates["body"].columns == ("title", "Lead", "text")
    assert found.used == {"title", "Lead", "text", "summary"}
    assert found.reasons["body"] == "given with --column"
    with pytest.raises(UserError, match="has no column led"):
        mapped(rows, body="{led} {text}")


def test_the_order_of_day_and_month_is_inferred_from_the_column() -> None:
    rows = [{"text": LONG, "date": each} for each in ("01/02/2020", "25/12/2020")]
    assert mapped(rows).day_first is True
    rows = [{"text": LONG, "date": each} for each in ("01/02/2020", "03/04/2020")]
    assert (mapped(rows).get("published_at"), mapped(rows).day_first) == ("date", None)


def test_errors_name_the_file_its_columns_and_the_remedy() -> None:
    with pytest.raises(UserError) as error:
        guess({"a": 1, "b": 2})
    assert str(error.value) == (
        "a.csv: no column looks like the article's text (columns: a, b); "
        "name it with --column body=NAME"
    )
    with pytest.raises(UserError) as error:
        guess({"a": 1, "b": 2}, body="c")
    assert str(error.value) == (
        "a.csv has no column c (--column body=c); its columns are: a, b; "
        "to apply the option to certain files only, write --column 'PATTERN:body=c'"
    )
    with pytest.raises(UserError, match="and 80 more"):
        guess({f"c{n}": 1 for n in range(100)})


def test_usual_names_are_known() -> None:
    assert [is_known(each) for each in ("Full Text", "pub_date", "标题", "to title", "17")] == [
        True,
        True,
        True,
        False,
        False,
    ]


PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=5),
    st.sampled_from([LONG, date(2020, 1, 1), datetime(2020, 1, 1), "https://a.org/1", b"\xff"]),
)
VALUES = st.one_of(
    PLAIN,
    st.lists(PLAIN, max_size=2),
    st.dictionaries(st.sampled_from(["text", "id", "x", ""]), PLAIN, max_size=2),
)


@pytest.mark.parametrize("answers", [("No", "Yes"), ("no", "yes"), ("No", "no"), ("si", "no")])
def test_a_column_of_answers_is_not_a_language(answers: tuple[str, str]) -> None:
    rows = table(60, text=body, ExcludeFromWebsite=lambda row: answers[row % 12 == 0])
    assert "language" not in mapped(rows).columns


def test_a_language_column_without_languages_stays_in_extra() -> None:
    rows = table(text=body, language=lambda row: ("Level 1", "euc-KR", "No")[row % 3])
    found = mapped(rows)
    assert "language" not in found.columns
    assert found.notes["language"] == "its values are not languages"


NAMES = st.sampled_from("text body title url date id name language category summary a.b x".split())


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@examples(st.lists(st.dictionaries(NAMES, VALUES), max_size=5))
def test_any_values_are_mapped_or_rejected_and_no_column_is_used_twice(
    rows: list[dict[str, Any]],
) -> None:
    try:
        found = mapped(rows)
    except UserError:
        return
    assert len(set(found.columns.values())) == len(found.columns)
    assert set(found.reasons) == set(found.columns)


@pytest.mark.parametrize("depth", [200, 600, 980])
@pytest.mark.parametrize("name", ["x", "id", "title", "summary", "published_at", "author", "body"])
@pytest.mark.parametrize("shape", ["list", "record"])
def test_a_deeply_nested_value_does_not_stop_the_mapping(depth: int, name: str, shape: str) -> None:
    deep: Any = "text"
    for _ in range(depth):
        deep = [deep] if shape == "list" else {"a": deep}
    rows = table(12, id=str, title=lambda number: f"About {number}", body=body)
    rows[3] = rows[3] | {name: deep}
    found = mapped(rows)
    assert found.columns["body"] == "body"
    assert found.columns["title"] == "title"


@pytest.mark.parametrize("name", ["doc_uid", "code", "stamp"])
def test_a_deeply_nested_value_among_numeric_texts_does_not_stop_the_mapping(name: str) -> None:
    deep: Any = "text"
    for _ in range(1020):
        deep = [deep]
    rows = table(40, **{name: lambda number: str(100_000 + number * 9_990)}, body=body)
    rows[3] = rows[3] | {name: deep}
    assert mapped(rows).columns["body"] == "body"


def test_nested_lists_of_sentences_are_text() -> None:
    rows = table(12, n=str, passage=lambda number: [[[body(number), LONG], [LONG]], [[LONG]]])
    assert mapped(rows).columns["body"] == "passage"
