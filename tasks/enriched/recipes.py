"""Recipes: what to ask about each article, read from YAML and checked before any call."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from article_flows.tasks.common.errors import UsageError
from article_flows.tasks.common.package_data import DATA

SHIPPED_RECIPES = DATA / "recipes"
RESERVED_FIELDS = frozenset(
    "article_id title body content_hash extra model recipe recipe_hash finish_reason "
    "prompt_tokens cached_tokens completion_tokens cost_usd attempts latency_s answered_at "
    "flow_run_id".split()
)
"""Columns of the enriched table that a recipe cannot overwrite."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_NAME_IN_WORDS = "at most 64 letters, digits and _, beginning with a letter"
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_PROMPT_FORMAT = 1
"""Part of every recipe hash: raise it when the prompt for the same recipe changes."""


class OutputField(BaseModel):
    """One column that the model fills in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["string", "integer", "number", "boolean", "enum", "list"]
    description: str = ""
    values: tuple[str, ...] | None = Field(
        default=None, description="The values that an enum may have."
    )

    @field_validator("values", mode="before")
    @classmethod
    def _values_are_strings(cls, values: Any) -> Any:
        given = values if isinstance(values, list) else []
        if odd := [value for value in given if not isinstance(value, str)]:
            raise ValueError(_not_a_string(odd[0]))
        if any(not value.strip() for value in given):
            raise ValueError("one of them is empty")
        return values

    @model_validator(mode="after")
    def _values_belong_to_enum(self) -> OutputField:
        if self.type == "enum" and not self.values:
            raise ValueError("an enum needs 'values', a list of at least one string")
        if self.type != "enum" and self.values is not None:
            raise ValueError("'values' belongs to type enum")
        if self.values and len(set(self.values)) < len(self.values):
            raise ValueError("'values' has the same value twice")
        return self

    def json_schema(self) -> dict[str, Any]:
        """The field's part of the JSON schema that the endpoint is given."""
        kind: dict[str, Any]
        match self.type:
            case "enum":
                kind = {"type": "string", "enum": list(self.values or ())}
            case "list":
                kind = {"type": "array", "items": {"type": "string"}}
            case _:
                kind = {"type": self.type}
        return {**kind, "description": self.description} if self.description else kind


class Recipe(BaseModel):
    """What to ask about each article, and the typed columns that come back.

    ``article`` shows the article to the model. It may use ``{title}`` and ``{body}`` and no
    other column, because an answer is filed under the hash of just these two.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str = ""
    instructions: str
    article: str = "Title: {title}\n\n{body}"
    max_output_tokens: Annotated[int, Field(ge=1, le=100_000)] = 300
    temperature: Annotated[float, Field(ge=0, le=2)] | None = 0.0
    fields: Annotated[dict[str, OutputField], Field(min_length=1)]

    @field_validator("name")
    @classmethod
    def _name_is_a_word(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"must be {_NAME_IN_WORDS}")
        return name

    @field_validator("instructions")
    @classmethod
    def _instructions_say_something(cls, instructions: str) -> str:
        if not instructions.strip():
            raise ValueError("must say what to do with an article")
        return instructions

    @field_validator("article")
    @classmethod
    def _article_shows_the_body(cls, article: str) -> str:
        used = set(_PLACEHOLDER.findall(article))
        if "body" not in used or used - {"title", "body"}:
            raise ValueError("must hold {body}, may hold {title}, and no other placeholder")
        return article

    @field_validator("fields", mode="before")
    @classmethod
    def _names_are_strings(cls, fields: Any) -> Any:
        names = fields if isinstance(fields, dict) else {}
        if odd := [name for name in names if not isinstance(name, str)]:
            raise ValueError(_not_a_string(odd[0]))
        return fields

    @field_validator("fields")
    @classmethod
    def _fields_are_columns(cls, fields: dict[str, OutputField]) -> dict[str, OutputField]:
        for name in fields:
            if not _NAME.fullmatch(name):
                raise ValueError(f"'{name}' must be {_NAME_IN_WORDS}")
            if name in RESERVED_FIELDS or name.startswith("article_"):
                raise ValueError(f"'{name}' is a column that the table already has")
        return fields

    @property
    def plain_field(self) -> str | None:
        """The only field, if it is a string: the answer is then plain text, not JSON."""
        names = list(self.fields)
        return names[0] if len(names) == 1 and self.fields[names[0]].type == "string" else None

    def hash(self, model: str) -> str:
        """16 hex digits that change whenever the answers could: prompt, fields, cap, model."""
        asked = self.model_dump(mode="json", exclude={"name", "description"})
        parts = orjson.dumps([_PROMPT_FORMAT, model, asked], option=orjson.OPT_SORT_KEYS)
        # The order of the fields is part of the prompt, and sorted keys would hide it.
        return hashlib.blake2b(parts + orjson.dumps(list(self.fields)), digest_size=8).hexdigest()


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, but a key that is there twice is an error, and no column goes missing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for name in names:
            if names.count(name) > 1 and name != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{name}' is there twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def load_recipe(name: str) -> Recipe:
    """A recipe by the path of its file, or by the name of a shipped one.

    Raises:
        UsageError: no such recipe, or it is broken; the message names the key.
    """
    path = _find(name)
    try:
        document = yaml.load(path.read_text(encoding="utf-8-sig"), _Loader)
    except (yaml.YAMLError, ValueError, OSError, RecursionError) as error:
        raise UsageError(f"recipe {path}: not readable as YAML: {_one_line(error)}") from error
    if not isinstance(document, dict):
        raise UsageError(f"recipe {path}: must be a mapping with name, instructions and fields")
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise UsageError(f"recipe {path}: {_broken_keys(error)}") from error


def list_recipes() -> list[Recipe]:
    """The shipped recipes, in order of name."""
    return [load_recipe(str(path)) for path in sorted(SHIPPED_RECIPES.glob("*.yaml"))]


def recipe_text(name: str) -> str:
    """The YAML of a recipe that load_recipe accepts; raises UsageError."""
    load_recipe(name)
    return _find(name).read_text(encoding="utf-8")


def _find(name: str) -> Path:
    given = Path(name).expanduser()
    shipped = SHIPPED_RECIPES / f"{name}.yaml"
    if given.suffix in (".yaml", ".yml") or given.name != name:
        if given.is_file():
            return given
        raise UsageError(f"recipe {name}: no such file")
    if shipped.is_file():
        return shipped
    there = ", ".join(path.stem for path in sorted(SHIPPED_RECIPES.glob("*.yaml")))
    raise UsageError(f"recipe {name}: unknown; there are {there}, or give the path of a .yaml file")


def _not_a_string(value: object) -> str:
    """What is wrong with a bare yes, no, null, number or date where a string has to be."""
    shown = "null" if value is None else str(value).lower()
    return f"YAML reads one of them as {shown}, not as a string; put quotes around it, as in 'no'"


def _broken_keys(error: ValidationError) -> str:
    found = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "recipe"
        found.append(f"{key}: {problem['msg'].removeprefix('Value error, ')}")
    return " ".join("; ".join(found).split())


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
