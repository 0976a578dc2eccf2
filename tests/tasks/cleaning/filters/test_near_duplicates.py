import json
import random
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from article_flows.tasks.cleaning.filters.near_duplicates import NearDuplicates
from article_flows.tasks.common.errors import UsageError
from tests.support import DEMO

BODIES = [json.loads(line)["body"][:4_000] for line in DEMO.read_text().splitlines()]
IDS = [f"a{number}" for number in range(len(BODIES))]


def changed(text: str, share: float, seed: int = 1) -> str:
    """Replace this share of a text's words (characters if it has no spaces)."""
    chance = random.Random(seed)
    spaced = len(text.split()) > len(text) / 20
    parts = text.split() if spaced else list(text)
    parts = [("word" if spaced else "字") if chance.random() < share else part for part in parts]
    return (" " if spaced else "").join(parts)


def test_different_articles_are_not_near_duplicates() -> None:
    finder = NearDuplicates()
    assert finder.find(IDS, pa.array(BODIES)) == []
    assert len(finder) == len(BODIES)


def test_slightly_changed_articles_are_found_in_later_calls() -> None:
    finder = NearDuplicates()
    finder.find(IDS, pa.array(BODIES))
    found = dict(finder.find(IDS, pa.array([changed(body, 0.005) for body in BODIES])))
    right = [row for row, reason in found.items() if f" of a{row} (" in reason]
    assert len(right) == len(found) > 0.9 * len(BODIES)
    assert len(finder) == 2 * len(BODIES) - len(found)


def test_heavily_changed_articles_are_not_near_duplicates() -> None:
    finder = NearDuplicates()
    finder.find(IDS, pa.array(BODIES))
    assert finder.find(IDS, pa.array([changed(body, 0.15) for body in BODIES])) == []


def test_near_duplicates_in_one_call_are_found_with_a_reason() -> None:
    body = BODIES[0].encode("ascii", "ignore").decode()
    bodies = pa.array([body, BODIES[1], body.upper() + " !!", f"  {body}\n"])
    assert NearDuplicates().find(pa.array(["x", "y", "z", "w"]), bodies) == [
        (2, "near duplicate of x (similarity 1.00)"),
        (3, "near duplicate of x (similarity 1.00)"),
    ]


def test_the_result_does_not_depend_on_chunks() -> None:
    bodies = [changed(body, share) for body in BODIES[:30] for share in (0, 0.01, 0.03, 0.05)]
    ids = [str(number) for number in range(len(bodies))]
    at_once = NearDuplicates().find(ids, pa.array(bodies))
    finder, one_by_one = NearDuplicates(), []
    for row, body in enumerate(bodies):
        one_by_one += [(row, reason) for _, reason in finder.find([ids[row]], pa.array([body]))]
    assert one_by_one == at_once != []


def test_short_texts_must_have_the_same_words() -> None:
    texts = [
        "The council met.",
        "The council met!",
        "The council sat.",
        "met the council",
        "",
        "...",
        None,
    ]
    found = NearDuplicates().find([str(row) for row in range(7)], pa.array(texts))
    assert found == [(1, "near duplicate of 0 (similarity 1.00)")]


def test_chinese_punctuation_does_not_matter() -> None:
    text = "市议会星期一开会，决定修建一座桥梁。居民们多年来一直要求修建这座桥。"
    bodies = pa.array([text, text.replace("，", " ").replace("。", "\u3000"), text[::-1]])
    assert [row for row, _ in NearDuplicates().find(["0", "1", "2"], bodies)] == [1]


def test_the_threshold_limits_similarity_and_is_validated() -> None:
    bodies = pa.array([BODIES[0], changed(BODIES[0], 0.05)])
    assert NearDuplicates(0.95).find(["0", "1"], bodies) == []
    assert [row for row, _ in NearDuplicates(0.5).find(["0", "1"], bodies)] == [1]
    with pytest.raises(UsageError, match=r"the similarity 1\.5 is not"):
        NearDuplicates(1.5)


def test_concurrent_calls_lose_no_article() -> None:
    finder = NearDuplicates()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: finder.find(IDS, pa.array(BODIES)), range(4)))
    assert sum(map(len, found)) == 3 * len(BODIES)
    assert len(finder) == len(BODIES)
