"""Outcomes survive a journal unchanged, and only valid ones are read back."""

import dataclasses
import time
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from article_flows.tasks.enriched.outcomes import Outcome, read_outcomes
from article_flows.tasks.journal.file_journal import FileJournal
from article_flows.tasks.journal.leftovers import LeftoverJournal
from article_flows.tasks.llm.protocol.chat import Usage
from article_flows.tasks.llm.protocol.errors import PERMANENT_ERROR_CLASSES, RejectedInput
from article_flows.tasks.llm.protocol.results import Answer, RequestFailed
from tests.tasks.journal.journal_support import leftover_of
from tests.tasks.summarize.job_support import answer, failure

VALUES = (
    st.text()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.lists(st.text())
)


def journal(path: Path, *payloads: bytes) -> LeftoverJournal:
    file = FileJournal(path)
    for payload in payloads:
        file.append(payload)
    file.close()
    return leftover_of(path)


@given(st.dictionaries(st.text(min_size=1), VALUES))
def test_an_answer_survives_encoding(fields: dict[str, object]) -> None:
    outcome = answer("ab" * 16, **{f"f{name}": value for name, value in fields.items()})
    assert Outcome.decode(outcome.encode()) == outcome
    assert outcome.answered
    assert not outcome.permanent


@pytest.mark.parametrize("error_class", [*sorted(PERMANENT_ERROR_CLASSES), "server_error", "empty"])
def test_a_failure_survives_encoding(error_class: str) -> None:
    outcome = failure("ab" * 16, error_class)
    assert Outcome.decode(outcome.encode()) == outcome
    assert not outcome.answered
    assert outcome.permanent is (error_class in PERMANENT_ERROR_CLASSES)


def test_gateway_results_become_outcomes_with_their_cost() -> None:
    result = Answer({"a": 1}, "stop", "m-2", Usage(7, 2, 3), 0.5, 2, 0.25)
    outcome = Outcome.from_answer("ab", result)
    assert (outcome.fields, outcome.model, outcome.attempts) == ({"a": 1}, "m-2", 2)
    assert (outcome.prompt_tokens, outcome.cached_tokens, outcome.completion_tokens) == (7, 2, 3)
    failed = RequestFailed(RejectedInput("too_long", "is too long"), 1, Usage(5, 0, 0), 0.25)
    outcome = Outcome.from_failure("ab", failed)
    assert (outcome.error_class, outcome.message) == ("too_long", "is too long")
    assert (outcome.fields, outcome.prompt_tokens, outcome.cost_usd) == (None, 5, 0.25)


def test_a_copy_costs_nothing_and_an_unknown_price_stays_unknown() -> None:
    copy = answer("ab", a=1).as_copy()
    assert (copy.fields, copy.cost_usd, copy.attempts) == ({"a": 1}, 0.0, 0)
    assert copy.prompt_tokens == copy.cached_tokens == copy.completion_tokens == 0
    assert failure("ab", "too_long").as_copy().cost_usd is None


def test_answers_and_permanent_failures_are_read_and_transient_ones_are_not(
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
    assert list(read_outcomes([earlier, later], retry_failed=True)) == ["aa", "ee"]
    assert [record.args for record in caplog.records] == [(earlier.name, 2)] * 2


def test_missing_fields_of_an_older_record_get_their_defaults() -> None:
    before = time.time()
    old = Outcome.decode(orjson.dumps({"content_hash": "ab", "fields": {"a": 1}}))
    assert (old.fields, old.answered, old.error_class) == ({"a": 1}, True, None)
    assert (old.prompt_tokens, old.cached_tokens, old.completion_tokens, old.attempts) == (0,) * 4
    assert (old.cost_usd, old.latency_s, old.model, old.finish_reason) == (None,) * 4
    assert old.answered_at >= before
    failed = Outcome.decode(orjson.dumps({"content_hash": "ab", "error_class": "too_long"}))
    assert (failed.answered, failed.permanent, failed.message) == (False, True, None)


def test_unknown_and_invalid_fields_of_a_newer_record_are_ignored() -> None:
    known = answer("ab" * 16, a=1)
    newer = {**orjson.loads(known.encode()), "region": "eu", "schema": {"of": [1]}}
    assert Outcome.decode(orjson.dumps(newer)) == known
    odd = {**newer, "model": 3, "prompt_tokens": "many", "attempts": True, "cost_usd": {"usd": 1}}
    read = Outcome.decode(orjson.dumps(odd))
    assert (read.model, read.prompt_tokens, read.attempts, read.cost_usd) == (None, 0, 0, None)
    assert read.fields == {"a": 1}


RECORDS = st.dictionaries(
    st.sampled_from([*(field.name for field in dataclasses.fields(Outcome)), "unknown"]),
    st.none() | VALUES | st.just("ab" * 16) | st.dictionaries(st.text(), VALUES),
)


@settings(max_examples=300, deadline=None)
@given(RECORDS | VALUES)
def test_any_record_decodes_to_a_complete_outcome_or_raises_value_error(record: object) -> None:
    """A record that decodes can be written to the tables and to a journal."""
    try:
        outcome = Outcome.decode(orjson.dumps(record))
    except ValueError:
        if isinstance(record, dict) and record.get("content_hash") == "ab" * 16:
            assert not isinstance(record.get("fields"), dict)
            assert not isinstance(record.get("error_class"), str)
        return
    assert outcome.answered or isinstance(outcome.error_class, str)
    assert bytes.fromhex(outcome.content_hash)
    assert Outcome.decode(outcome.encode()) == outcome
    assert isinstance(outcome.as_copy(), Outcome)


def test_an_answer_takes_precedence_over_a_failure_of_the_same_text(tmp_path: Path) -> None:
    failed = failure("aa", "content_filter").encode()
    first = journal(tmp_path / "1.journal", answer("aa", a=1).encode(), failed)
    second = journal(tmp_path / "2.journal", failed, answer("aa", a=2).encode(), failed)
    assert read_outcomes([first])["aa"].fields == {"a": 1}
    assert read_outcomes([first, second])["aa"].fields == {"a": 2}
