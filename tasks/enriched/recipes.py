"""Recipes: the instructions for a model and the fields that it fills in, validated from YAML."""

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
from article_flows.tasks.common.validation_messages import suggestion

SHIPPED_RECIPES = DATA / "recipes"
RESERVED_FIELDS = frozenset(
    "article_id title body content_hash extra model recipe recipe_hash finish_reason "
    "prompt_tokens cached_tokens completion_tokens cost_usd attempts latency_s answered_at "
    "flow_run_id".split()
)
"""Columns of the enriched table that a recipe must not use as names of its fields."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_NAME_RULE = "at most 64 letters, digits and _, starting with a letter"
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_PROMPT_FORMAT = 1
"""Part of every recipe hash. Increment it when the prompt for an unchanged recipe changes."""


class OutputField(BaseModel):
    """One column that the model fills in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["string", "integer", "number", "boolean", "enum", "list"]
    description: str = ""
    values: tuple[str, ...] | None = Field(
        default=None, description="The values that an enum can have."
    )

    @field_validator("values", mode="before")
    @classmethod
    def _check_values(cls, values: Any) -> Any:
        items = values if isinstance(values, list) else []
        if invalid := [value for value in items if not isinstance(value, str)]:
            raise ValueError(_not_a_string(invalid[0]))
        if any(not value.strip() for value in items):
            raise ValueError("one of them is empty")
        return values

    @model_validator(mode="after")
    def _check_values_match_type(self) -> OutputField:
        if self.type == "enum" and not self.values:
            raise ValueError("an enum needs 'values', a list of at least one string")
        if self.type != "enum" and self.values is not None:
            raise ValueError("'values' belongs to type enum")
        if self.values and len(set(self.values)) < len(self.values):
            raise ValueError("'values' has the same value twice")
        return self

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the field for the endpoint's ``response_format``."""
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
    """Instructions for a model, and the typed fields that it fills in for each article.

    Attributes:
        article: How the article is shown to the model. Its only placeholders are ``{title}`` and
            ``{body}``, because answers are stored under the hash of these two.
        max_output_tokens: The token limit of an answer.

    Example:
        >>> recipe = load_recipe("summary")
        >>> list(recipe.fields), recipe.plain_field
        (['summary'], 'summary')
        >>> len(recipe.hash("gpt-4o-mini"))
        16
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
    def _check_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"must be {_NAME_RULE}")
        return name

    @field_validator("instructions")
    @classmethod
    def _check_instructions(cls, instructions: str) -> str:
        if not instructions.strip():
            raise ValueError("must say what to do with an article")
        return instructions

    @field_validator("article")
    @classmethod
    def _check_placeholders(cls, article: str) -> str:
        used = set(_PLACEHOLDER.findall(article))
        if "body" not in used or used - {"title", "body"}:
            raise ValueError("must have {body}, may have {title}, and no other placeholder")
        return article

    @field_validator("fields", mode="before")
    @classmethod
    def _check_names_are_strings(cls, fields: Any) -> Any:
        names = fields if isinstance(fields, dict) else {}
        if invalid := [name for name in names if not isinstance(name, str)]:
            raise ValueError(_not_a_string(invalid[0]))
        return fields

    @field_validator("fields")
    @classmethod
    def _check_field_names(cls, fields: dict[str, OutputField]) -> dict[str, OutputField]:
        for name in fields:
            if not _NAME.fullmatch(name):
                raise ValueError(f"'{name}' must be {_NAME_RULE}")
            if name in RESERVED_FIELDS or name.startswith("article_"):
                raise ValueError(f"'{name}' is already a column of the table")
        return fields

    @property
    def plain_field(self) -> str | None:
        """The only field if it is a string, else None. Its answer is plain text, not JSON."""
        names = list(self.fields)
        return names[0] if len(names) == 1 and self.fields[names[0]].type == "string" else None

    def hash(self, model: str) -> str:
        """Return a BLAKE2b hash (16 hex digits) of the model and all that affects answers."""
        request = self.model_dump(mode="json", exclude={"name", "description"})
        parts = orjson.dumps([_PROMPT_FORMAT, model, request], option=orjson.OPT_SORT_KEYS)
        # The order of the fields is part of the prompt, and OPT_SORT_KEYS drops it.
        return hashlib.blake2b(parts + orjson.dumps(list(self.fields)), digest_size=8).hexdigest()


class _Loader(yaml.SafeLoader):
    """A safe YAML loader that rejects duplicate keys instead of dropping the first one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for name in names:
            if names.count(name) > 1 and name != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key '{name}'", node.start_mark
                )
        return super().construct_mapping(node, deep)


def load_recipe(name: str) -> Recipe:
    """Load a recipe by the path of its file or by the name of a shipped recipe.

    Raises:
        UsageError: The recipe does not exist or is invalid; the message names the key.
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
        raise UsageError(f"recipe {path}: {_invalid_keys(error)}") from error


def list_recipes() -> list[Recipe]:
    """Return the shipped recipes, sorted by name."""
    return [load_recipe(str(path)) for path in sorted(SHIPPED_RECIPES.glob("*.yaml"))]


def recipe_text(name: str) -> str:
    """Return the YAML of a valid recipe, by path or name; see `load_recipe`."""
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
    shipped_names = ", ".join(path.stem for path in sorted(SHIPPED_RECIPES.glob("*.yaml")))
    raise UsageError(f"recipe {name}: unknown; use {shipped_names} or the path of a .yaml file")


def _not_a_string(value: object) -> str:
    """Explain a bare yes, no, null, number or date where a string is required."""
    parsed = "null" if value is None else str(value).lower()
    return f"YAML reads one of them as {parsed}, not as a string; put quotes around it, as in 'no'"


def _invalid_keys(error: ValidationError) -> str:
    problems = []
    for each in error.errors():
        key = ".".join(str(part) for part in each["loc"]) or "recipe"
        if each["type"] == "extra_forbidden":
            model = Recipe if len(each["loc"]) == 1 else OutputField
            hint = suggestion(str(each["loc"][-1]), model.model_fields)
            problems.append(f"{key}: unknown key{hint}")
            continue
        problems.append(f"{key}: {each['msg'].removeprefix('Value error, ')}")
    return " ".join("; ".join(problems).split())


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
