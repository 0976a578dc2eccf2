"""The enriched tables that a lake has, found by what lies there: no recipe file is needed."""

from __future__ import annotations

from typing import NamedTuple

import orjson
from pydantic import ValidationError

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.enriched.recipes import Recipe
from article_flows.tasks.enriched.table import DESCRIPTION, EnrichedTable, table_folders, table_name
from article_flows.tasks.lake.lake import Lake


class FoundTable(NamedTuple):
    """The place of an enriched table, and the table, if it can be told what it is.

    Attributes:
        recipe: the recipe's name.
        table_id: the slug of the model, and the recipe hash.
        table: None where ``problem`` says, in one line, why not.
    """

    recipe: str
    table_id: str
    table: EnrichedTable | None
    problem: str = ""

    @property
    def name(self) -> str:
        """The name of its lock and of its folder of journals."""
        return table_name(self.recipe, self.table_id)

    @property
    def folders(self) -> tuple[str, str, str, str]:
        """Answers, failures, and what is superseded of both; relative to the lake."""
        return table_folders(self.recipe, self.table_id)


def find_tables(lake: Lake) -> list[FoundTable]:
    """The tables that have a folder of answers or of failures, by recipe and id.

    Raises:
        UserError: the lake cannot be read.
    """
    kinds = (lake.summaries, lake.failures)
    paths = [file.name.split("/") for kind in kinds for file in lake.storage.list(kind)]
    places = {(path[1], path[2]) for path in paths if len(path) > 3}
    found = []
    for recipe, table_id in sorted(places):
        try:
            found.append(FoundTable(recipe, table_id, _described(lake, recipe, table_id)))
        except UserError as error:
            found.append(FoundTable(recipe, table_id, None, str(error)))
    return found


def _described(lake: Lake, recipe: str, table_id: str) -> EnrichedTable:
    """The table that the description in a folder is of; raises UserError if it is of none."""
    name = f"{lake.summaries}/{recipe}/{table_id}/{DESCRIPTION}"
    where = lake.location(name)
    remedy = "put it back from a backup, or remove it and run that recipe again: it is written anew"
    try:
        document = orjson.loads(lake.storage.read(name))
        asked = Recipe.model_validate(document["recipe"])
        table = EnrichedTable(lake, asked, str(document["model"]))
        told = document["recipe_hash"]
    except FileNotFoundError:
        raise UserError(
            f"{where}: is missing, so nobody can tell what the table should be; put it back from a "
            "backup, or run that recipe again: it is written anew"
        ) from None
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise UserError(f"{where}: is damaged ({type(error).__name__}); {remedy}") from error
    if (told, asked.name, table.table_id) != (table.recipe_hash, recipe, table_id):
        raise UserError(
            f"{where}: does not fit its folder (it is of {asked.name}/{table.table_id}, by this "
            f"version of article-flows); {remedy}"
        )
    return table
