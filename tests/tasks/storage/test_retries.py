"""`Retries`: transient errors are retried; permanent or lasting ones say what to do."""

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
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("article_flows.tasks.storage.retries._INITIAL_BACKOFF_S", 0.0)


class Flaky:
    """An operation that fails a number of times, then succeeds."""

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
    """Records the notifications of a `Retries`."""

    def __init__(self, retries: Retries) -> None:
        self.notified: list[bool] = []
        retries.watch(self.notified.append)


@pytest.mark.parametrize("failures", [0, 1, 2, 3, 40])
def test_an_operation_is_retried_until_it_succeeds_and_the_listener_is_notified_once(
    failures: int,
) -> None:
    retries = Retries("place")
    listener, operation = Listener(retries), Flaky(failures)
    assert retries.call("write a", operation) == "result"
    assert operation.tries == failures + 1
    assert listener.notified == ([True, False] if failures else [])


def test_a_lasting_failure_is_given_up_with_a_one_line_message() -> None:
    retries = Retries("s3://bucket/lake", retry_timeout_s=0.0)
    with pytest.raises(StorageUnavailable) as caught:
        retries.call("write a", Flaky(1, OSError("curlCode: 7,\n  Could not connect")))
    assert str(caught.value) == (
        "lake s3://bucket/lake: cannot write a after 0 s of retries: curlCode: 7, Could not "
        "connect; when the storage is back, run again: answers received so far are kept"
    )


def test_error_messages_contain_no_key_of_a_url() -> None:
    url = "https://account.blob.core.windows.net/container/a?sv=2025&sig=hidden%3D"
    error = GenericError(f"Error performing GET {url} in 1ms - HTTP error\n\nDebug source: {url}")
    with pytest.raises(StorageUnavailable) as caught:
        Retries("place", retry_timeout_s=0.0).call("read a", Flaky(1, error))
    assert "account.blob.core.windows.net/container/a in 1ms - HTTP error;" in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_an_outage_lasts_after_an_operation_is_given_up_until_the_storage_responds() -> None:
    clock = iter(range(0, 10_000, 30))
    retries = Retries("place", retry_timeout_s=60.0)
    listener = Listener(retries)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "article_flows.tasks.storage.retries.time.monotonic", lambda: float(next(clock))
        )
        with pytest.raises(StorageUnavailable):
            retries.call("write a", Flaky(1000))
    assert listener.notified == [True]
    assert retries.call("read b", Flaky(0)) == "result"
    assert listener.notified == [True, False]


def test_interrupting_an_operation_does_not_end_the_outage() -> None:
    retries = Retries("place")
    listener, tries = Listener(retries), 0

    def interrupted() -> None:
        nonlocal tries
        tries += 1
        raise BUSY if tries == 1 else KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retries.call("write a", interrupted)
    assert listener.notified == [True]
    retries.call("read b", Flaky(0))
    assert listener.notified == [True, False]


def test_the_success_of_one_operation_does_not_end_the_failure_of_another() -> None:
    retries = Retries("place")
    listener = Listener(retries)
    failing, may_succeed = threading.Event(), threading.Event()

    def operations() -> Iterator[Callable[[], str]]:
        yield from [Flaky(1)] * 3

    attempts = 0

    def blocked() -> str:
        nonlocal attempts
        attempts += 1
        if attempts == 5:
            failing.set()
            may_succeed.wait()
            return "result"
        raise BUSY

    thread = threading.Thread(target=retries.call, args=("write a", blocked))
    thread.start()
    failing.wait()
    for operation in operations():
        retries.call("read b", operation)
    assert listener.notified == [True]
    may_succeed.set()
    thread.join()
    assert listener.notified == [True, False]


RESPONSE = (
    "Error performing GET http://host/bucket/a in 1ms - Server returned non-2xx status code: "
)


@pytest.mark.parametrize(
    "reason",
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
def test_a_permanent_error_is_raised_immediately(reason: str, kind: type[Exception] | None) -> None:
    kind = kind or (FileNotFoundError if reason.startswith("404") else UnauthenticatedError)
    retries = Retries("s3://bucket/lake")
    error = kind(f"{RESPONSE}{reason}\n\nDebug source:\nGeneric {{\n    retries: 0,\n}}")
    listener, operation = Listener(retries), Flaky(1000, error)
    with pytest.raises(UserError, match=r"s3://bucket/lake: .*fix the address") as caught:
        retries.call("write a", operation)
    assert "\n" not in str(caught.value)
    assert "Debug" not in str(caught.value)
    assert (operation.tries, listener.notified) == (1, [])


@pytest.mark.parametrize(
    "reason",
    [
        "503 Service Unavailable: <Error><Code>SlowDown</Code></Error>",
        "500 Internal Server Error: <Error><Code>InternalError</Code></Error>",
        "400 Bad Request: <Error><Code>RequestTimeout</Code></Error>",
        "400 Bad Request: <Error><Code>IncompleteBody</Code></Error>",
        "404 Not Found: <Error><Code>NoSuchUpload</Code></Error>",
    ],
)
def test_a_transient_error_is_retried(reason: str) -> None:
    operation = Flaky(4, GenericError(RESPONSE + reason))
    assert Retries("place").call("write a", operation) == "result"


@pytest.mark.parametrize("kind", [AlreadyExistsError, PreconditionError])
def test_a_conflicting_write_is_not_an_outage(kind: type[Exception]) -> None:
    retries = Retries("place")
    listener, operation = Listener(retries), Flaky(1, kind(f"{RESPONSE}409 WriteConflict: "))
    with pytest.raises(WriteConflict):
        retries.call("write a", operation)
    assert (operation.tries, listener.notified) == (1, [])


@pytest.mark.parametrize("error", [FileNotFoundError("none"), UserError("fix it"), KeyError("x")])
def test_other_errors_propagate_unchanged(error: Exception) -> None:
    tries = 0

    def operation() -> None:
        nonlocal tries
        tries += 1
        raise error

    with pytest.raises(type(error)) as caught:
        Retries("place").call("read a", operation)
    assert caught.value is error
    assert tries == 1


def test_a_storage_that_never_responded_is_given_up_earlier(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("article_flows.tasks.storage.retries.FIRST_CONTACT_TIMEOUT_S", 0.0)
    with pytest.raises(StorageUnavailable):
        Retries("place").call("list it", Flaky(1))
    reached = Retries("place")
    reached.call("list it", Flaky(0))
    assert reached.call("list it", Flaky(1)) == "result"
