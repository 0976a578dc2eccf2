from typing import Any

import jsonschema  # type: ignore[import-untyped]  # It has no stubs in this environment.
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from article_flows.tasks.mock_endpoint.extractive import Document
from article_flows.tasks.mock_endpoint.protocol import ApiError
from article_flows.tasks.mock_endpoint.schema_filler import fill

ARTICLE = Document(
    "The league match ended on 2019-05-04. The team won the football match and the "
    "championship after its striker scored two goals. Fans of the team filled the stadium.",
    title="Team wins championship",
)
CHINESE = Document("患者在医院接受治疗。医院称疫苗对病毒有效。疾病得到控制。")
EMPTY = Document("")


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


NAMES = st.sampled_from(["summary", "headline", "language", "keywords", "category", "n", "x y"])
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
BOUNDS = st.tuples(st.integers(-50, 50), st.integers(0, 100)).map(lambda b: (b[0], sum(b)))
SIZES = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(lambda b: (b[0], sum(b)))
LEAVES = st.one_of(
    st.sampled_from([{"type": kind} for kind in ("string", "integer", "number", "boolean")]),
    st.sampled_from([{"type": "null"}, {"type": ["string", "null"]}, {"type": ["null", "number"]}]),
    st.lists(TEXTS | st.integers() | st.none(), min_size=1).map(lambda values: {"enum": values}),
    (TEXTS | st.booleans()).map(lambda value: {"const": value}),
    SIZES.map(lambda s: {"type": "string", "minLength": s[0], "maxLength": s[1]}),
    BOUNDS.map(lambda b: {"type": "integer", "minimum": b[0], "maximum": b[1]}),
    BOUNDS.map(lambda b: {"type": "number", "exclusiveMinimum": b[0], "maximum": b[1] + 1}),
    BOUNDS.map(lambda b: {"type": "number", "minimum": b[0], "exclusiveMaximum": b[1] + 0.5}),
    BOUNDS.map(lambda b: {"type": "integer", "multipleOf": 7, "minimum": b[0]}),
    st.sampled_from(["date", "date-time", "email", "uuid"]).map(
        lambda name: {"type": "string", "format": name}
    ),
)


def _larger(children: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        st.dictionaries(NAMES, children, max_size=4).map(_closed),
        st.tuples(children, SIZES).map(
            lambda pair: {
                "type": "array",
                "items": pair[0],
                "minItems": pair[1][0],
                "maxItems": pair[1][1],
            }
        ),
        st.lists(children, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
    )


SCHEMAS = st.dictionaries(NAMES, st.recursive(LEAVES, _larger, max_leaves=6), max_size=5)


@settings(max_examples=300)
@given(SCHEMAS.map(_closed), st.sampled_from([ARTICLE, CHINESE, EMPTY]))
def test_filled_in_answers_are_valid(schema: dict[str, Any], document: Document) -> None:
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    validator.validate(fill(schema, document))


def _field(name: str, schema: dict[str, Any], document: Document = ARTICLE) -> Any:
    return fill(_closed({name: schema}), document)[name]


def test_fields_are_filled_according_to_their_names() -> None:
    text = {"type": "string"}
    assert _field("summary", text) == ARTICLE.summary()
    assert _field("headline", text) == "Team wins championship"
    assert _field("language", text, CHINESE) == "zh"
    assert _field("keywords", {"type": "array", "items": text}) == ARTICLE.keywords()
    assert _field("main_event", text) == ARTICLE.summary(1)
    assert _field("date", {"type": "string", "format": "date"}) == "2019-05-04"


def test_the_number_of_sentences_is_read_from_the_instruction() -> None:
    schema = _closed({"summary": {"type": "string"}})
    assert fill(schema, ARTICLE, "Summarise in one sentence.")["summary"] == ARTICLE.summary(1)
    assert fill(schema, CHINESE, "用一句话概括。")["summary"] == CHINESE.summary(1)
    described = {"type": "string", "description": "Two short sentences."}
    assert _field("summary", described) == ARTICLE.summary(2)


@pytest.mark.parametrize(
    ("document", "labels", "best"),
    [
        (ARTICLE, ["politics", "science", "sport", "business", "other"], "sport"),
        (ARTICLE, ["Politics", "Sports", "Tech"], "Sports"),
        (CHINESE, ["politics", "health", "sport"], "health"),
        (CHINESE, ["政治", "体育", "健康"], "健康"),
        (EMPTY, ["politics", "other", "sport"], "other"),
        (EMPTY, ["politics", "sport"], "politics"),
    ],
)
def test_an_enum_gets_the_best_matching_label(
    document: Document, labels: list[str], best: str
) -> None:
    assert _field("category", {"type": "string", "enum": labels}, document) == best


def test_references_are_followed_and_recursion_ends() -> None:
    schema = _closed({"tree": {"$ref": "#/$defs/node"}})
    schema["$defs"] = {
        "node": _closed(
            {
                "name": {"type": "string"},
                "left": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                "rest": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            }
        )
    }
    jsonschema.validate(fill(schema, ARTICLE), schema)


def test_a_pattern_is_matched_or_rejected() -> None:
    assert _field("code", {"type": "string", "pattern": "^[a-z]{2}$"}) == "en"
    with pytest.raises(ApiError, match="cannot satisfy the pattern"):
        _field("code", {"type": "string", "pattern": "^[A-Z]{9}-[0-9]{4}$"})


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/none"},
        {"$ref": "#/properties/x"},
        {"enum": []},
        {"type": "integer", "minimum": 5, "maximum": 4},
    ],
)
def test_unsatisfiable_schemas_are_rejected(schema: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        _field("x", schema)
    assert caught.value.status == 400
