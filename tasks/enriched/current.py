"""The current table of a recipe, for dashboards, which do not know recipe hashes."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

import orjson

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.enriched.recipes import load_recipe
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.lake.lake import Lake

POINTER = "_current.json"
"""The file in a recipe's folder that names its current table."""
LINKS = "current"
"""The folder of a lake on a local disk that has a symbolic link to each recipe's current table.

It is not below ``summaries/``: readers of that whole folder would see the rows twice.
"""


def make_current(table: EnrichedTable, *, complete: bool) -> None:
    """Make a table the current one of its recipe.

    Args:
        table: The table that a run has filled.
        complete: Whether nothing is left to do in it. A table that is not complete becomes the
            current one only if there is none: dashboards keep the last complete table while a
            new version of a recipe is tried out.
    """
    lake, folder = table.lake, table.folder.rpartition("/")[0]
    current = _read(lake, table.recipe.name)
    if current != table.table_id and (complete or not _exists(lake, folder, current)):
        current = table.table_id
        lake.storage.write(f"{folder}/{POINTER}", orjson.dumps({"table": current}))
    if lake.storage.folder is not None and current is not None:
        # Some file systems have no links; the pointer is enough for `current_table`.
        with suppress(OSError, NotImplementedError):
            link = lake.storage.folder / LINKS / table.recipe.name
            _link(link, Path("..", folder, current))


def current_table(lake: str | os.PathLike[str] | Lake, recipe: str = "summary") -> str:
    """Return the folder, or the URI, of a recipe's current table.

    The current table is the one that the latest run of the recipe filled completely. It changes
    when the recipe or the model does. In a lake on a local disk,
    ``<lake>/current/<recipe>`` is a link to the same folder.

    Args:
        lake: A folder, or a URI such as ``s3://bucket/prefix``.
        recipe: The name of the recipe, or its file.

    Raises:
        UserError: The lake has no table of the recipe, or cannot be read.

    Example:
        >>> current_table("/tmp/no-such-lake", "digest")
        Traceback (most recent call last):
        ...
        article_flows.tasks.common.errors.UserError: lake /tmp/no-such-lake: has no table of the \
recipe digest; run it first
    """
    lake = lake if isinstance(lake, Lake) else Lake(lake)
    if recipe.endswith((".yaml", ".yml")):
        recipe = load_recipe(recipe).name
    table = _read(lake, recipe)
    folder = f"{lake.summaries}/{recipe}"
    if not _exists(lake, folder, table):
        raise UserError(f"lake {lake}: has no table of the recipe {recipe}; run it first")
    return lake.location(f"{folder}/{table}")


def _exists(lake: Lake, folder: str, table: str | None) -> bool:
    return table is not None and bool(lake.storage.list(f"{folder}/{table}"))


def _read(lake: Lake, recipe: str) -> str | None:
    """Return the id of the current table; None if the pointer is missing or damaged."""
    try:
        table = orjson.loads(lake.storage.read(f"{lake.summaries}/{recipe}/{POINTER}"))["table"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    is_name = isinstance(table, str) and table.strip(".") and "/" not in table
    return table if is_name else None


def _link(link: Path, target: Path) -> None:
    """Point a symbolic link at a folder, atomically; keep a file that is not a link."""
    if link.is_symlink():
        if link.readlink() == target:
            return
    elif link.exists():
        return
    link.parent.mkdir(exist_ok=True)
    temporary = link.with_name(f".{link.name}-{secrets.token_hex(4)}")
    temporary.symlink_to(target, target_is_directory=True)
    try:
        temporary.replace(link)
    except OSError:
        temporary.unlink()
        raise
