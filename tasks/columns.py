"""Which column of a source is the body, the title and so on: given, or guessed by usual names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tasks.errors import UsageError, UserError

# Usual names, best first; compared without case and separators ("Full_Text" is "fulltext").
_ALIASES: dict[str, tuple[str, ...]] = {
    "body": tuple(
        "body text content articlebody article articletext articlecontent fulltext maintext "
        "maincontent bodytext textbody contenttext plaintext rawtext cleantext cleanedtext "
        "maintext story storytext document documenttext doctext paragraphs sentences passage "
        "正文 内容 文章 全文 source abstract description 摘要".split()
    ),
    "title": tuple(
        "title headline heading articletitle pagetitle titletext subject caption name 标题".split()
    ),
    "url": tuple(
        "url link permalink uri href articleurl sourceurl pageurl weburl canonicalurl "
        "originalurl 链接 网址".split()
    ),
    "author": tuple(
        "author authors byline creator creators authorname authornames writer writtenby "
        "journalist 作者".split()
    ),
    "published_at": tuple(
        "publishedat published datepublished publishedon publisheddate publishdate "
        "publicationdate publishtime publicationtime pubdate pubdatetime pubtime date datetime "
        "postedat posteddate postdate createdat created creationdate issued timestamp time "
        "日期 发布时间 时间".split()
    ),
    "language": ("language", "lang", "languagecode", "langcode", "locale", "语言"),
    "category": tuple(
        "category section topic label categories sections topics subjectarea newsdesk genre "
        "类别 分类 栏目".split()
    ),
    "article_id": tuple(
        "articleid id uid guid paperid docid documentid storyid newsid pageid recordid itemid "
        "uuid doi key 编号".split()
    ),
}
TARGETS = tuple(_ALIASES)
"""The canonical columns that a source's column can be."""

# These names mean something else as often: they need sentences or paragraphs in the column.
_NEED_LONG_TEXT = {"source", "abstract", "description", "摘要", "article", "document", "passage"}
LONG_TEXT = 200
"""Characters (the median of a column) from which text is taken for a body."""


@dataclass(frozen=True)
class ColumnMap:
    """Which source column each canonical column comes from; those without one are absent."""

    columns: Mapping[str, str]

    def get(self, target: str) -> str | None:
        """Return the source column of a canonical column, or None."""
        return self.columns.get(target)


def parse_column_options(options: Sequence[str]) -> dict[str, str]:
    """Parse `--column body=text` options to canonical name: source column."""
    given: dict[str, str] = {}
    for option in options:
        target, equals, column = (part.strip() for part in option.partition("="))
        if not (target and equals and column):
            raise UsageError(f"--column {option}: write it as TARGET=NAME, such as body=text")
        if target not in _ALIASES:
            raise UsageError(f"--column {option}: {target} is none of {', '.join(TARGETS)}")
        if given.get(target, column) != column:
            raise UsageError(f"--column {option}: {target} is given already as {given[target]}")
        given[target] = column
    return given


def guess_columns(
    names: Sequence[str],
    sample: Sequence[Mapping[str, Any]],
    given: Mapping[str, str],
    file: str = "the source",
) -> ColumnMap:
    """Map canonical columns to a source's: what is given first, then by usual names.

    `names` are the source's columns in order, `sample` some of its records, `file` its name for
    messages. A column is used once. Raises UserError if a given column is not there, or if no
    column can be the body.
    """
    chosen = {target: _existing(names, target, column, file) for target, column in given.items()}
    if len(set(chosen.values())) < len(chosen):
        raise UserError(f"{file}: --column gives one column two meanings; name each once")
    for target, aliases in _ALIASES.items():
        if target in chosen:
            continue
        for name in _candidates(names, aliases):
            if name not in chosen.values() and _fits(target, name, sample):
                chosen[target] = name
                break
    if "body" not in chosen:
        raise UserError(
            f"{file}: no column looks like the article's text (columns: {_listed(names)}); "
            "say which one is with --column body=NAME"
        )
    return ColumnMap({target: chosen[target] for target in TARGETS if target in chosen})


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _listed(names: Sequence[str], most: int = 20) -> str:
    shown = ", ".join(name[:40] for name in names[:most]) or "none"
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _existing(names: Sequence[str], target: str, column: str, file: str) -> str:
    if column in names:
        return column
    alike = [name for name in names if _plain(name) == _plain(column)]
    if len(alike) == 1 and _plain(column):
        return alike[0]
    raise UserError(
        f"{file} has no column {column} (--column {target}={column}); it has: {_listed(names)}"
    )


def _candidates(names: Sequence[str], aliases: tuple[str, ...]) -> list[str]:
    plain = [_plain(name) for name in names]
    return [
        name for alias in aliases for name, each in zip(names, plain, strict=True) if each == alias
    ]


def _fits(target: str, name: str, sample: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether a column's values can be what its name says."""
    values = [value for row in sample if (value := row.get(name)) not in (None, "", [])]
    if target != "body" or not values:
        return True
    texts = [value for value in values if _is_text(value)]
    if len(texts) * 2 < len(values):
        return False
    if _plain(name) not in _NEED_LONG_TEXT:
        return True
    lists = sum(isinstance(value, list) for value in texts)
    lengths = [len(value) for value in texts if isinstance(value, (str, bytes))]
    return lists * 2 > len(texts) or median(lengths) >= LONG_TEXT


def _is_text(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_text(item) for item in value if item is not None)
    return isinstance(value, (str, bytes))
