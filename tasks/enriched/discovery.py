"""Find the enriched tables of a lake from its files, without their recipe files.

Called by the checks, which look at every table of a lake.
"""

from __future__ import annotations

from typing import NamedTuple

import orjson
from pydantic import ValidationError

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.enriched.recipes import Recipe
from article_flows.tasks.enriched.table import (
    DESCRIPTION_FILE,
    EnrichedTable,
    table_folders,
    table_name,
)
from article_flows.tasks.lake.lake import Lake


class FoundTable(NamedTuple):
    """The folder of an enriched table, and the table if its description is valid.

    Attributes:
        recipe: The recipe's name.
        table_id: The slug of the model and the recipe hash.
        table: The table, or None if ``problem`` is set.
        problem: Why the table cannot be opened, in one line.
    """

    recipe: str
    table_id: str
    table: EnrichedTable | None
    problem: str = ""

    @property
    def name(self) -> str:
        """The name of the table's lock and of its journal folder."""
        return table_name(self.recipe, self.table_id)

    @property
    def folders(self) -> tuple[str, str, str, str]:
        """Folders of answers, failures, superseded answers and superseded failures in the lake."""
        return table_folders(self.recipe, self.table_id)


def find_tables(lake: Lake) -> list[FoundTable]:
    """Return the tables that have a folder of answers or failures, sorted by recipe and id.

    Raises:
        UserError: The lake cannot be read.
    """
    kinds = (lake.summaries, lake.failures)
    paths = [file.name.split("/") for kind in kinds for file in lake.storage.list(kind)]
    # A copy that followed links (cp -L, aws s3 sync) has a folder in place of the link.
    ids = {(path[1], path[2]) for path in paths if len(path) > 3}
    found = []
    for recipe, table_id in sorted(ids):
        try:
            found.append(FoundTable(recipe, table_id, _open_table(lake, recipe, table_id)))
        except UserError as error:
            found.append(FoundTable(recipe, table_id, None, str(error)))
    return found


def _open_table(lake: Lake, recipe: str, table_id: str) -> EnrichedTable:
    """Open the table that a folder's description names; raise UserError if it is not valid."""
    name = f"{lake.summaries}/{recipe}/{table_id}/{DESCRIPTION_FILE}"
    location = lake.location(name)
    remedy = (
        "put it back from a backup, or remove it and run that recipe again, which rewrites the file"
    )
    try:
        document = orjson.loads(lake.storage.read(name))
        described = Recipe.model_validate(document["recipe"])
        table = EnrichedTable(lake, described, str(document["model"]))
        recipe_hash = document["recipe_hash"]
    except FileNotFoundError:
        raise UserError(
            f"{location}: is missing, so the table's recipe and model are unknown; put it back "
            "from a backup, or run that recipe again, which rewrites the file"
        ) from None
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise UserError(f"{location}: is damaged ({type(error).__name__}); {remedy}") from error
    if (recipe_hash, described.name, table.table_id) != (table.recipe_hash, recipe, table_id):
        raise UserError(
            f"{location}: does not match its folder (this version of article-flows expects it in "
            f"{described.name}/{table.table_id}); {remedy}"
        )
    return table
