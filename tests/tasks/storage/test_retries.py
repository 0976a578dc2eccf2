"""What fails now and then is tried again; what fails for good, or for long, says what to do."""

import threading
from collections.abc import Callable, Iterator

import pytest
from obstore.exceptions import (
    AlreadyExistsError,
    GenericError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from article_flows.tasks.common.errors import StorageUnavailable, UserError
from article_flows.tasks.storage.retries import Retries, WriteConflict

BUSY = GenericError("Error performing PUT http://host/bucket/a in 1ms, after 3 retries")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("article_flows.tasks.storage.retries._FIRST_PAUSE_S", 0.0)


class Flaky:
    """An operation that fails some times and then gives a result."""

    def __init__(self, failures: int, error: Exception = BUSY) -> None:
        self.failures = failures
        self.tries = 0
        self._error = error

    def __call__(self) -> str:
        self.tries += 1
        if self.tries <= self.failures:
            raise self._error
        return "result"


class Listener:
    """Notes what it is told."""

    def __init__(self, retries: Retries) -> None:
        self.told: list[bool] = []
        retries.watch(self.told.append)


@pytest.mark.parametrize("failures", [0, 1, 2, 3, 40])
def test_it_is_tried_until_it_works_and_trouble_is_told_once(failures: int) -> None:
    retries = Retries("place")
    listener, operation = Listener(retries), Flaky(failures)
    assert retries.call("write a", operation) == "result"
    assert operation.tries == failures + 1
    assert listener.told == ([True, False] if failures else [])


def test_after_its_patience_it_gives_up_and_says_so_in_one_line() -> None:
    retries = Retries("s3://bucket/lake", patience_s=0.0)
    with pytest.raises(StorageUnavailable) as caught:
        retries.call("write a", Flaky(1, OSError("curlCode: 7,\n  Could not connect")))
    assert str(caught.value) == (
        "lake s3://bucket/lake: cannot write a, for 0 s: curlCode: 7, Could not connect; when the "
        "storage is back, run again: what was answered is kept"
    )


def test_no_key_in_a_url_is_told() -> None:
    url = "https://account.blob.core.windows.net/container/a?sv=2025&sig=hidden%3D"
    error = GenericError(f"Error performing GET {url} in 1ms - HTTP error\n\nDebug source: {url}")
    with pytest.raises(StorageUnavailable) as caught:
        Retries("place", patience_s=0.0).call("read a", Flaky(1, error))
    assert "account.blob.core.windows.net/container/a in 1ms - HTTP error;" in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_trouble_lasts_beyond_what_was_given_up_until_the_storage_answers() -> None:
    clock = iter(range(0, 10_000, 30))
    retries = Retries("place", patience_s=60.0)
    listener = Listener(retries)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "article_flows.tasks.storage.retries.time.monotonic", lambda: float(next(clock))
        )
        with pytest.raises(StorageUnavailable):
            retries.call("write a", Flaky(1000))
    assert listener.told == [True]
    assert retries.call("read b", Flaky(0)) == "result"
    assert listener.told == [True, False]


def test_who_stops_waiting_in_trouble_does_not_end_it() -> None:
    retries = Retries("place")
    listener, tries = Listener(retries), 0

    def interrupted() -> None:
        nonlocal tries
        tries += 1
        raise BUSY if tries == 1 else KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retries.call("write a", interrupted)
    assert listener.told == [True]
    retries.call("read b", Flaky(0))
    assert listener.told == [True, False]


def test_trouble_of_one_operation_is_not_ended_by_another() -> None:
    retries = Retries("place")
    listener = Listener(retries)
    failing, go_on = threading.Event(), threading.Event()

    def operations() -> Iterator[Callable[[], str]]:
        yield from [Flaky(1)] * 3

    attempts = 0

    def blocked() -> str:
        nonlocal attempts
        attempts += 1
        if attempts == 5:
            failing.set()
            go_on.wait()
            return "result"
        raise BUSY

    thread = threading.Thread(target=retries.call, args=("write a", blocked))
    thread.start()
    failing.wait()
    for operation in operations():
        retries.call("read b", operation)
    assert listener.told == [True]
    go_on.set()
    thread.join()
    assert listener.told == [True, False]


ANSWERED = (
    "Error performing GET http://host/bucket/a in 1ms - Server returned non-2xx status code: "
)


@pytest.mark.parametrize(
    "said",
    [
        "403 Forbidden: <Error><Code>InvalidAccessKeyId</Code></Error>",
        "401 Unauthorized: ",
        "301 Moved Permanently: <Error><Code>PermanentRedirect</Code></Error>",
        "400 Bad Request: <Error><Code>ExpiredToken</Code></Error>",
        "400 Bad Request: ",
        "501 Not Implemented: <Error><Code>NotImplemented</Code></Error>",
        "404 Not Found: <Error><Code>NoSuchBucket</Code></Error>",
        "404 Not Found: <Error><Code>ContainerNotFound</Code></Error>",
        "404 Not Found: The specified bucket does not exist.",
    ],
)
@pytest.mark.parametrize("kind", [GenericError, PermissionDeniedError, None])
def test_what_does_not_pass_is_told_at_once(said: str, kind: type[Exception] | None) -> None:
    kind = kind or (FileNotFoundError if said.startswith("404") else UnauthenticatedError)
    retries = Retries("s3://bucket/lake")
    error = kind(f"{ANSWERED}{said}\n\nDebug source:\nGeneric {{\n    retries: 0,\n}}")
    listener, operation = Listener(retries), Flaky(1000, error)
    with pytest.raises(UserError, match=r"s3://bucket/lake: .*mend the address") as caught:
        retries.call("write a", operation)
    assert "\n" not in str(caught.value)
    assert "Debug" not in str(caught.value)
    assert (operation.tries, listener.told) == (1, [])


@pytest.mark.parametrize(
    "said",
    [
        "503 Service Unavailable: <Error><Code>SlowDown</Code></Error>",
        "500 Internal Server Error: <Error><Code>InternalError</Code></Error>",
        "400 Bad Request: <Error><Code>RequestTimeout</Code></Error>",
        "400 Bad Request: <Error><Code>IncompleteBody</Code></Error>",
        "404 Not Found: <Error><Code>NoSuchUpload</Code></Error>",
    ],
)
def test_what_may_pass_is_tried_again(said: str) -> None:
    operation = Flaky(4, GenericError(ANSWERED + said))
    assert Retries("place").call("write a", operation) == "result"


@pytest.mark.parametrize("kind", [AlreadyExistsError, PreconditionError])
def test_a_write_whose_condition_is_not_met_has_an_answer(kind: type[Exception]) -> None:
    retries = Retries("place")
    listener, operation = Listener(retries), Flaky(1, kind(f"{ANSWERED}409 WriteConflict: "))
    with pytest.raises(WriteConflict):
        retries.call("write a", operation)
    assert (operation.tries, listener.told) == (1, [])


@pytest.mark.parametrize("error", [FileNotFoundError("none"), UserError("mend it"), KeyError("x")])
def test_what_is_no_failure_of_the_storage_comes_as_it_is(error: Exception) -> None:
    tries = 0

    def operation() -> None:
        nonlocal tries
        tries += 1
        raise error

    with pytest.raises(type(error)) as caught:
        Retries("place").call("read a", operation)
    assert caught.value is error
    assert tries == 1


def test_a_storage_that_has_never_answered_is_not_waited_for_as_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("article_flows.tasks.storage.retries.FIRST_PATIENCE_S", 0.0)
    with pytest.raises(StorageUnavailable):
        Retries("place").call("list it", Flaky(1))
    known = Retries("place")
    known.call("list it", Flaky(0))
    assert known.call("list it", Flaky(1)) == "result"
