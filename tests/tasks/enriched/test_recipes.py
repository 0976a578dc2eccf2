"""An invalid recipe is rejected in one line that names the key; a valid one has a stable hash."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from article_flows.tasks.common.errors import UsageError, UserError
from article_flows.tasks.enriched.recipes import (
    RESERVED_FIELDS,
    Recipe,
    list_recipes,
    load_recipe,
    recipe_text,
)

VALID: dict[str, Any] = {
    "name": "card",
    "description": "for people",
    "instructions": "Fill in the card.",
    "max_output_tokens": 200,
    "temperature": 0.5,
    "fields": {
        "shelf": {"type": "enum", "values": ["a", "b"], "description": "Which."},
        "words": {"type": "list"},
    },
}
FIELD = {"type": "string"}


def recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate({**VALID, **changes})


def error_message(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "card.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        load_recipe(str(path))
    message = str(caught.value)
    assert message.startswith(f"recipe {path}: ")
    assert "\n" not in message
    return message.removeprefix(f"recipe {path}: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": None}, "name: Input should be a valid string"),
        ({"name": "two words"}, "name: must be at most 64 letters"),
        ({"name": "../escape"}, "name: must be at most 64 letters"),
        ({"name": "line\n"}, "name: must be at most 64 letters"),
        ({"name": "x" * 65}, "name: must be at most 64 letters"),
        ({"instructions": ""}, "instructions: must say what to do"),
        ({"instructions": " \n"}, "instructions: must say what to do"),
        ({"instructions": ["a"]}, "instructions: Input should be a valid string"),
        ({"article": "Title: {title}"}, "article: must have {body}"),
        ({"article": "{body} by {author}"}, "article: must have {body}"),
        ({"article": "{body} {}"}, "article: must have {body}"),
        ({"max_output_tokens": 0}, "max_output_tokens: Input should be greater"),
        ({"max_output_tokens": "many"}, "max_output_tokens: Input should be a valid integer"),
        ({"temperature": 2.1}, "temperature: Input should be less than or equal to 2"),
        ({"temperature": -0.1}, "temperature: Input should be greater than or equal to 0"),
        ({"temperature": float("nan")}, "temperature: Input should be"),
        ({"fields": {}}, "fields: Dictionary should have at least 1 item"),
        ({"fields": ["summary"]}, "fields: Input should be a valid dictionary"),
        ({"fields": {"a b": FIELD}}, "fields: 'a b' must be at most 64 letters"),
        ({"fields": {"_a": FIELD}}, "fields: '_a' must be at most 64 letters"),
        ({"fields": {"a\n": FIELD}}, "fields: 'a\n' must be at most 64 letters"),
        ({"fields": {"article_id": FIELD}}, "fields: 'article_id' is already a column"),
        ({"fields": {"article_language": FIELD}}, "fields: 'article_language' is already a column"),
        ({"fields": {"a": {"type": "text"}}}, "fields.a.type: Input should be 'string', "),
        ({"fields": {"a": {}}}, "fields.a.type: Field required"),
        ({"fields": {"a": "string"}}, "fields.a: Input should be"),
        ({"fields": {"a": {**FIELD, "min": 1}}}, "fields.a.min: unknown key"),
        ({"fields": {"a": {**FIELD, "values": ["x"]}}}, "fields.a: 'values' belongs to type enum"),
        ({"fields": {"a": {"type": "enum"}}}, "fields.a: an enum needs 'values'"),
        ({"fields": {"a": {"type": "enum", "values": []}}}, "fields.a: an enum needs 'values'"),
        ({"fields": {"a": {"type": "enum", "values": "x"}}}, "fields.a.values: Input should be"),
        (
            {"fields": {"a": {"type": "enum", "values": ["x", "y", "x"]}}},
            "fields.a: 'values' has the same value twice",
        ),
        (
            {"fields": {"a": {"type": "enum", "values": ["x", " "]}}},
            "fields.a.values: one of them is empty",
        ),
        ({"model": "gpt-4o"}, "model: unknown key"),
        ({"temprature": 1}, "temprature: unknown key; did you mean temperature?"),
    ],
)
def test_each_invalid_key_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    shown = error_message(tmp_path, yaml.safe_dump({**VALID, **changes}).encode())
    assert shown.startswith(" ".join(message.split()))


@pytest.mark.parametrize("name", sorted(RESERVED_FIELDS))
def test_no_field_can_overwrite_a_column_of_the_table(tmp_path: Path, name: str) -> None:
    text = yaml.safe_dump({**VALID, "fields": {name: FIELD}})
    assert error_message(tmp_path, text) == f"fields: '{name}' is already a column of the table"


@pytest.mark.parametrize("missing", ["name", "instructions", "fields"])
def test_a_missing_key_is_named(tmp_path: Path, missing: str) -> None:
    rest = {key: value for key, value in VALID.items() if key != missing}
    assert error_message(tmp_path, yaml.safe_dump(rest)) == f"{missing}: Field required"


def test_all_invalid_keys_are_named_at_once(tmp_path: Path) -> None:
    text = yaml.safe_dump({**VALID, "temperature": 9, "name": "1st"})
    shown = error_message(tmp_path, text)
    assert "name: must be" in shown
    assert "; temperature: Input should be" in shown


@pytest.mark.parametrize(
    ("values", "parsed"),
    [
        ("[yes, no]", "true"),
        ("[on, off]", "true"),
        ("[high, no]", "false"),
        ("[1, 2]", "1"),
        ("[small, 1.5]", "1.5"),
        ("[known, null]", "null"),
        ("[2024-01-31]", "2024-01-31"),
    ],
)
def test_bare_enum_values_that_yaml_does_not_read_as_strings_are_explained(
    tmp_path: Path, values: str, parsed: str
) -> None:
    fields = f"fields:\n  a:\n    type: enum\n    values: {values}\n"
    assert error_message(tmp_path, f"name: card\ninstructions: Do.\n{fields}") == (
        f"fields.a.values: YAML reads one of them as {parsed}, not as a string; "
        "put quotes around it, as in 'no'"
    )


def test_a_bare_field_name_that_yaml_does_not_read_as_a_string_is_explained(tmp_path: Path) -> None:
    text = "name: card\ninstructions: Do.\nfields:\n  no: {type: string}\n"
    assert error_message(tmp_path, text).startswith("fields: YAML reads one of them as false")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a mapping with name, instructions and fields"),
        ("- a\n- b\n", "must be a mapping"),
        ("just words", "must be a mapping"),
        ("name: card\n\tinstructions: x\n", "not readable as YAML: .*found character '\\\\t'"),
        ("name: [", "not readable as YAML: "),
        ("name: a\x00b", "not readable as YAML: "),
        ("description: 2024-13-45", "not readable as YAML: month must be in 1..12"),
        (b"name: caf\xe9", "not readable as YAML: 'utf-8' codec"),
        ("name: a\nname: b\n", "not readable as YAML: duplicate key 'name'"),
        ("fields:\n  a: 1\n  a: 2\n", "not readable as YAML: duplicate key 'a'"),
        ("[" * 5000, "not readable as YAML: "),
        ("!!python/object/apply:os.system [id]", "not readable as YAML: "),
    ],
)
def test_anything_but_a_yaml_mapping_is_rejected_in_one_line(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    shown = error_message(tmp_path, text)
    assert re.match(message, shown)


def test_a_recipe_is_found_by_name_or_by_path(tmp_path: Path) -> None:
    path = tmp_path / "own.yml"
    path.write_text("\ufeff" + yaml.safe_dump(VALID), encoding="utf-8")
    assert load_recipe(str(path)) == recipe()
    assert load_recipe("digest").name == "digest"
    assert yaml.safe_load(recipe_text("digest"))["name"] == "digest"
    with pytest.raises(UserError, match="no such file"):
        load_recipe(str(tmp_path / "none.yaml"))
    with pytest.raises(UserError, match="no such file"):
        load_recipe(str(tmp_path))
    with pytest.raises(UsageError, match="unknown; use digest, headline_zh, summary"):
        load_recipe("sumary")


def test_shipped_recipes_are_valid_and_named_after_their_files() -> None:
    assert [each.name for each in list_recipes()] == ["digest", "headline_zh", "summary"]
    assert all(each.description for each in list_recipes())
    assert all(load_recipe(each.name) == each for each in list_recipes())


@pytest.mark.parametrize(
    "changes",
    [
        {"instructions": "Fill in the card!"},
        {"article": "{body}"},
        {"max_output_tokens": 201},
        {"temperature": 0.6},
        {"temperature": None},
        {"fields": {**VALID["fields"], "more": FIELD}},
        {"fields": dict(reversed(VALID["fields"].items()))},
        {"fields": {**VALID["fields"], "words": {"type": "string"}}},
        {"fields": {**VALID["fields"], "words": {"type": "list", "description": "Which."}}},
        {"fields": {**VALID["fields"], "shelf": {"type": "enum", "values": ["b", "a"]}}},
    ],
)
def test_the_hash_changes_with_everything_that_affects_answers(changes: dict[str, Any]) -> None:
    assert recipe(**changes).hash("m") != recipe().hash("m")


def test_the_hash_depends_on_the_model_and_not_on_name_or_description() -> None:
    assert recipe().hash("m") != recipe().hash("n")
    assert recipe(name="other", description="new").hash("m") == recipe().hash("m")
    assert recipe(temperature=0).hash("m") == recipe(temperature=0.0).hash("m")
    assert len(recipe().hash("m")) == 16


def test_a_single_string_field_is_answered_in_plain_text() -> None:
    assert recipe(fields={"summary": FIELD}).plain_field == "summary"
    assert recipe(fields={"words": {"type": "list"}}).plain_field is None
    assert recipe(fields={"a": FIELD, "b": FIELD}).plain_field is None
