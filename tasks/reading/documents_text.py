"""Articles of plain text and of Markdown: which line is the title, what the front matter says."""

import re
import tomllib
from pathlib import PurePath
from typing import Any
from urllib.parse import unquote

import yaml

from tasks.reading.readers_base import Record

MAX_FRONT_MATTER = 64 << 10
"""Characters of front matter; longer, it is text."""
_LONGEST_TITLE = 150
_YAML = re.compile(r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_TOML = re.compile(r"\+\+\+[ \t]*\n(.*?)^\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#[ \t]+(\S.*?)[ \t#]*$|^(\S.*?)[ \t]*\n=+[ \t]*$", re.MULTILINE)
_DATED = re.compile(r"(\d{4}-\d\d-\d\d)-(.+)")
_NOTHING = ("", "~", "null", "Null", "NULL")
_OWN_COLUMNS = ("text", "body", "file_name", "reference_summary")


def text_article(text: str) -> Record:
    """Take a text for an article; its title is its first line, if that clearly is one.

    That is: short, alone before an empty line or underlined, and no sentence or list of its own.
    """
    first, _, rest = text.strip("\ufeff\r\n\t ").partition("\n")
    first, rest = first.strip(), rest.replace("\r", "\n")
    second = rest.split("\n", 1)[0].strip()
    alone = not second or (set(second) <= set("=-") and len(second) > 2)
    is_title = (
        alone
        and 0 < len(first) <= _LONGEST_TITLE
        and len(rest.strip(" \n=-")) > len(first)
        and not first.endswith((".", ",", ";", ":", "。", ",", "、"))
    )
    return {"title": first, "text": text} if is_title else {"text": text}


def markdown_article(text: str, facts: dict[str, str]) -> Record:
    """Take Markdown for an article: front matter becomes columns, the text stays Markdown.

    The title is what the front matter says or else the first heading of the first level. Front
    matter that cannot be read stays in the text, and `facts` says so.
    """
    text = text.replace("\r\n", "\n")
    front, body = _front_matter(text, facts)
    record: Record = {}
    for key, value in front.items():
        name = f"{key}_in_front" if key.casefold() in _OWN_COLUMNS else key
        if value not in _NOTHING:
            record[name] = value
    record["text"] = body
    heading = _HEADING.search(_FENCE.sub("", body))
    if not any(key.casefold() == "title" for key in record) and heading:
        record["title"] = heading[1] or heading[2]
    return record


class _Loader(yaml.BaseLoader):
    """Loads YAML as texts, lists and dicts: a language `no` is no boolean, a date none yet.

    Aliases are refused, by which a few lines can stand for gigabytes.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)


def _front_matter(text: str, facts: dict[str, str]) -> tuple[dict[str, Any], str]:
    """Split a text into its front matter (YAML, or Hugo's TOML) and the rest."""
    for kind, pattern in (("YAML", _YAML), ("TOML", _TOML)):
        found = pattern.match(text, 0, MAX_FRONT_MATTER)
        if not found:
            continue
        try:
            # The loader makes nothing but text.
            front = yaml.load(found[1], _Loader) if kind == "YAML" else tomllib.loads(found[1])
        except (yaml.YAMLError, ValueError, RecursionError):
            front = None
        if isinstance(front, dict):
            facts["front_matter"] = kind
            return {str(key): value for key, value in front.items()}, text[found.end() :]
        facts["front_matter"] = f"no valid {kind}, left in the text"
    return {}, text


def title_of_name(file_name: str) -> str:
    """Make a title of a file's name: ``Al_Capone.txt`` to ``Al Capone``."""
    stem = unquote(PurePath(file_name).stem)
    if dated := _DATED.fullmatch(stem):
        stem = dated[2]
    # Hyphens part the words of a slug, but belong to a name such as Ku-Klux-Klan.
    is_slug = stem.count("-") > 1 and " " not in stem and stem == stem.lower()
    separator = "_" if "_" in stem else "-" if is_slug else None
    title = stem.replace(separator, " ") if separator else stem
    return " ".join(title.split()) or file_name
