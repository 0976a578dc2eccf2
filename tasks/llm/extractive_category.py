"""Which of some given labels suits a text best, by the words that go with the label."""

from typing import Any, Final

from tasks.llm.extractive import Document
from tasks.llm.extractive_lexicon import CATEGORY_ALIASES, CATEGORY_STEMS
from tasks.llm.extractive_text import terms

_NAME_WEIGHT: Final = 2
_FALLBACKS: Final = (
    "other", "others", "none", "unknown", "neutral", "general", "misc", "miscellaneous", "mixed",
    "n/a", "其他", "其它", "中性", "未知",
)  # fmt: skip


def ranked_categories(values: list[Any], document: Document) -> list[Any]:
    """Order labels by how much of the text speaks for each; equals keep their order.

    A label's words are its own and, for the usual categories of news, those of a small built-in
    lexicon. When nothing speaks for any, a label such as "other" or "neutral" comes first.
    """
    scores = [_score(value, document) for value in values]
    if not any(scores):
        return sorted(values, key=lambda value: str(value).lower() not in _FALLBACKS)
    order = sorted(range(len(values)), key=lambda index: -scores[index])
    return [values[index] for index in order]


def _score(label: Any, document: Document) -> float:
    if not isinstance(label, str):
        return 0.0
    frequencies = document.frequencies
    name = label.strip().lower()
    own = terms(name.replace("_", " "), frozenset())
    stems = set(CATEGORY_STEMS.get(CATEGORY_ALIASES.get(name, name), ()))
    for word in name.replace("_", " ").replace("/", " ").split():
        stems.update(CATEGORY_STEMS.get(CATEGORY_ALIASES.get(word, word), ()))
    return _NAME_WEIGHT * sum(frequencies[term] for term in own) + sum(
        frequencies[stem] for stem in stems
    )
