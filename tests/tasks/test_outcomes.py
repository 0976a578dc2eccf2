"""An outcome comes back from a journal as it went in, and only what stands is taken in."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.journal import Journal
from tasks.llm.answers import Answer, Unanswered
from tasks.llm.chat import Usage
from tasks.llm.errors import PERMANENT_CLASSES, UnusableArticle
from tasks.outcomes import Outcome, read_outcomes
from tests.tasks.job_support import answer, failure

VALUES = (
    st.text()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.lists(st.text())
)


def journal(path: Path, *payloads: bytes) -> Path:
    written = Journal(path)
    for payload in payloads:
        written.append(payload)
    written.close()
    return path


@given(st.dictionaries(st.text(min_size=1), VALUES))
def test_an_answer_comes_back_as_it_went_in(fields: dict[str, object]) -> None:
    outcome = answer("ab" * 16, **{f"f{name}": value for name, value in fields.items()})
    assert Outcome.decode(outcome.encode()) == outcome
    assert outcome.answered
    assert not outcome.permanent


@pytest.mark.parametrize("error_class", [*sorted(PERMANENT_CLASSES), "server_error", "empty"])
def test_a_failure_comes_back_as_it_went_in(error_class: str) -> None:
    outcome = failure("ab" * 16, error_class)
    assert Outcome.decode(outcome.encode()) == outcome
    assert not outcome.answered
    assert outcome.permanent is (error_class in PERMANENT_CLASSES)


def test_the_gateways_words_become_outcomes_with_all_that_they_cost() -> None:
    given = Answer({"a": 1}, "stop", "m-2", Usage(7, 2, 3), 0.5, 2, 0.25)
    outcome = Outcome.of_answer("ab", given)
    assert (outcome.fields, outcome.model, outcome.attempts) == ({"a": 1}, "m-2", 2)
    assert (outcome.prompt_tokens, outcome.cached_tokens, outcome.completion_tokens) == (7, 2, 3)
    unanswered = Unanswered(UnusableArticle("too_long", "is too long"), 1, Usage(5, 0, 0), 0.25)
    outcome = Outcome.of_failure("ab", unanswered)
    assert (outcome.error_class, outcome.message) == ("too_long", "is too long")
    assert (outcome.fields, outcome.prompt_tokens, outcome.cost_usd) == (None, 5, 0.25)


def test_a_copy_costs_nothing_but_an_unknown_price_stays_unknown() -> None:
    copy = answer("ab", a=1).copied()
    assert (copy.fields, copy.cost_usd, copy.attempts) == ({"a": 1}, 0.0, 0)
    assert copy.prompt_tokens == copy.cached_tokens == copy.completion_tokens == 0
    assert failure("ab", "too_long").copied().cost_usd is None


def test_what_stands_is_read_and_what_may_pass_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    earlier = journal(
        tmp_path / "1.journal",
        answer("aa", a=1).encode(),
        failure("bb", "content_filter").encode(),
        failure("cc", "server_error").encode(),
        orjson.dumps({"content_hash": "dd", "of": "another version"}),
        b"no JSON",
    )
    later = journal(tmp_path / "2.journal", answer("ee", a=2).encode())
    assert list(read_outcomes([earlier, later])) == ["aa", "bb", "ee"]
    assert list(read_outcomes([earlier, later], retry_refused=True)) == ["aa", "ee"]
    assert caplog.text.count("of another version is left out") == 4
