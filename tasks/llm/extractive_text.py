"""Text as the extractive answers see it: its language, its sentences, the terms in each."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from sentencex import segment

from tasks.llm.extractive_lexicon import HAN_FUNCTION_CHARACTERS, STOP_WORDS

HAN_RANGES: Final = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
LONGEST_SENTENCE: Final = 600
"""Characters; what is longer is a list or a text without punctuation, and is taken in pieces."""

_HAN = re.compile(f"[{HAN_RANGES}，。、；：！？（）“”《》]")
_HAN_RUN = re.compile(f"[{HAN_RANGES}]+")
_WORD = re.compile(rf"[^\W\d_{HAN_RANGES}]+(?:['’-][^\W\d_{HAN_RANGES}]+)*")
_WORD_OR_MARK = re.compile(rf"{_WORD.pattern}|[^\w\s]|[\n\d{HAN_RANGES}]")
_STEM_LENGTH = 6
_HAN_SHARE = 5
_LONGEST_CHUNK = 4000
_SAMPLE = 4000
_SCRIPTS: Final = (
    ("ko", re.compile(r"[\uac00-\ud7a3]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
)
_KANA = re.compile(r"[\u3040-\u30ff]")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_UKRAINIAN = re.compile("[іїєґІЇЄҐ]")
_HAN_SENTENCE_END = re.compile(
    r"(?<=[。！？])(?=[^。！？!?”’」』）)\"\s])"
    r"|(?<=[。！？][”’」』）)\"])(?=[^。！？”’」』）)，、；\s])"
    rf"|(?<=[{HAN_RANGES})）][.!?])(?=\s*\S)"
)
_CHUNK = re.compile(r".{1000,4000}[.!?]\s|.{1,4000}(?:\s|$)|.{1,4000}")
_CLAUSE_END = re.compile(r"(?<=[;；,，、:：])")
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_LONGEST_HAN = 240
_WRAPPED_LINE = 50
_LINE_ENDS = frozenset(".!?:;。！？：；…”’\"')）」』】]")
_LETTER = re.compile(r"[^\W\d_]")


def detect_language(text: str) -> str:
    """Name the text's language by its script and stop words: an ISO 639-1 code.

    Looks at the first 4,000 characters. Tells apart zh, ja, ko, ru, uk, ar, he, el, hi, th by
    script, and en, de, fr, es, it, pt, nl by stop words; `und` when nothing speaks for any.
    """
    sample = text[:_SAMPLE]
    if not sample.isascii():
        by_script = _language_by_script(sample)
        if by_script is not None:
            return by_script
    words = Counter(_WORD.findall(sample.lower().replace("’", "'")))
    hits = {
        language: sum(words[word] for word in words.keys() & stop_words)
        for language, stop_words in STOP_WORDS.items()
    }
    best = max(hits, key=lambda language: hits[language])
    return best if hits[best] else "und"


def _language_by_script(sample: str) -> str | None:
    letters = len(_LETTER.findall(sample))
    han = sum(map(len, _HAN_RUN.findall(sample)))
    kana = len(_KANA.findall(sample))
    # A Han character says what about two Latin letters and a half do.
    if 2.5 * (han + kana) > letters - han - kana:
        return "ja" if 10 * kana > han else "zh"
    if 2 * len(_CYRILLIC.findall(sample)) > letters:
        return "uk" if _UKRAINIAN.search(sample) else "ru"
    for language, script in _SCRIPTS:
        if 2 * len(script.findall(sample)) > letters:
            return language
    return None


def split_sentences(text: str, language: str | None = None) -> list[str]:
    """Split a text into sentences, in order, each on one line and without outer blanks.

    A line that ends is a sentence that ends, unless the next goes on in lower case: headings
    and bylines have no full stop, and hard-wrapped prose has breaks in mid-sentence.
    """
    language = language or detect_language(text)
    return [
        piece
        for line in _paragraphs(text)
        for sentence in _sentences_of(line, language)
        for piece in _pieces(sentence.strip())
        if piece
    ]


def _sentences_of(line: str, language: str) -> Iterator[str]:
    # sentencex takes quadratic time on long lines of Chinese, and of unbalanced quotation marks.
    if not line.isascii() and _HAN_SHARE * sum(map(len, _HAN_RUN.findall(line))) > len(line):
        yield from _HAN_SENTENCE_END.split(line)
        return
    for chunk in (line,) if len(line) <= _LONGEST_CHUNK else _CHUNK.findall(line):
        yield from segment(language, chunk)


def _paragraphs(text: str) -> Iterator[str]:
    for block in _BLANK_LINE.split(text):
        lines = [stripped for line in block.split("\n") if (stripped := line.strip())]
        hard_wrapped = any(line[0].islower() for line in lines[1:])
        start = 0
        for end, (line, following) in enumerate(pairwise(lines), start=1):
            if not _goes_on(line, following, hard_wrapped):
                yield _join(lines[start:end])
                start = end
        yield _join(lines[start:])


def _goes_on(line: str, following: str, hard_wrapped: bool) -> bool:
    unfinished = hard_wrapped and len(line) >= _WRAPPED_LINE and line[-1] not in _LINE_ENDS
    return unfinished or following[0].islower() or line[-1] in ",，、-"


def _join(parts: list[str]) -> str:
    """Join with a blank, but not between two characters of Chinese."""
    joined = ""
    for part in parts:
        glue = " " if joined and not (_HAN.match(joined[-1]) and _HAN.match(part[:1])) else ""
        joined += glue + part
    return joined


def _pieces(sentence: str) -> Iterator[str]:
    longest = LONGEST_SENTENCE if sentence.isascii() or not _HAN.search(sentence) else _LONGEST_HAN
    if len(sentence) <= longest:
        yield sentence
        return
    piece = ""
    for clause in _CLAUSE_END.split(sentence):
        if piece and len(piece) + len(clause) > longest:
            yield piece.strip()
            piece = ""
        piece += clause
    for start in range(0, len(piece), longest):
        yield piece[start : start + longest].strip()


def terms(sentence: str, stop_words: frozenset[str]) -> list[str]:
    """List what a sentence is about: word stems without stop words, and bigrams of Han text."""
    found = [
        word[:_STEM_LENGTH]
        for word in _WORD.findall(sentence.lower().replace("’", "'"))
        if len(word) > 1 and word not in stop_words
    ]
    if not sentence.isascii():
        for run in _HAN_RUN.findall(sentence):
            found.extend(
                first + second
                for first, second in pairwise(run)
                if first not in HAN_FUNCTION_CHARACTERS and second not in HAN_FUNCTION_CHARACTERS
            )
    return found


def words_and_marks(text: str) -> list[str]:
    """List words as written, and as single characters the marks and line ends between them."""
    return _WORD_OR_MARK.findall(text)


def han_runs(text: str) -> list[str]:
    """List the unbroken runs of Han characters in a text."""
    return _HAN_RUN.findall(text)
