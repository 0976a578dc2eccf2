"""What fails now and then is tried again; what fails for good, or for long, says what to do."""

import threading
from collections.abc import Callable, Iterator

import pytest

from tasks.errors import StorageDown, UserError
from tasks.storage_retry import Retries

BUSY = OSError("When uploading object with key 'a': AWS Error SLOW_DOWN during PutObject operation")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.storage_retry._FIRST_PAUSE_S", 0.0)


class Flaky:
    """An operation that fails some times and then gives a result."""

    def __init__(self, failures: int, error: OSError = BUSY) -> None:
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
    assert listener.told == ([True, False] if failures > 2 else [])


def test_after_its_patience_it_gives_up_and_says_so_in_one_line() -> None:
    retries = Retries("s3://bucket/lake", patience_s=0.0)
    with pytest.raises(StorageDown) as caught:
        retries.call("write a", Flaky(1, OSError("curlCode: 7,\n  Could not connect")))
    assert str(caught.value) == (
        "lake s3://bucket/lake: cannot write a, for 0 s: curlCode: 7, Could not connect; when the "
        "storage is back, run again: what was answered is kept"
    )


def test_trouble_lasts_beyond_what_was_given_up_until_the_storage_answers() -> None:
    clock = iter(range(0, 10_000, 30))
    retries = Retries("place", patience_s=60.0)
    listener = Listener(retries)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.storage_retry.time.monotonic", lambda: float(next(clock)))
        with pytest.raises(StorageDown):
            retries.call("write a", Flaky(1000))
    assert listener.told == [True]
    assert retries.call("read b", Flaky(0)) == "result"
    assert listener.told == [True, False]


def test_a_single_failure_that_took_long_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that takes connections and does not answer fails seldom, but for long."""
    clock = iter([0.0, 8.0, 9.0])
    monkeypatch.setattr("tasks.storage_retry.time.monotonic", lambda: next(clock))
    retries = Retries("place")
    listener = Listener(retries)
    assert retries.call("write a", Flaky(1)) == "result"
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


@pytest.mark.parametrize(
    "said",
    [
        "AWS Error NO_SUCH_BUCKET during PutObject operation: The specified bucket does not exist",
        "AWS Error ACCESS_DENIED during HeadObject operation: No response body.",
        "AWS Error INVALID_ACCESS_KEY_ID during ListObjectsV2 operation: The AWS Access Key Id",
        "AWS Error SIGNATURE_DOES_NOT_MATCH during PutObject operation: The request signature",
        "AWS Error UNKNOWN (HTTP status 403) during HeadObject operation: No response body.",
        "AWS Error UNKNOWN (HTTP status 301) during HeadObject operation: No response body.",
        "google::cloud::Status(PERMISSION_DENIED: Permanent error in Insert: caller lacks rights)",
        "Bucket 'nobody' not found",
    ],
)
def test_what_does_not_pass_is_told_at_once(said: str) -> None:
    retries = Retries("s3://bucket/lake")
    listener, operation = Listener(retries), Flaky(1000, OSError(said))
    with pytest.raises(UserError, match=r"s3://bucket/lake: cannot write a: .*; mend the address"):
        retries.call("write a", operation)
    assert (operation.tries, listener.told) == (1, [])


@pytest.mark.parametrize(
    "said",
    [
        "AWS Error SLOW_DOWN during PutObject operation: Please reduce your request rate.",
        "AWS Error INTERNAL_FAILURE during UploadPart operation: We encountered an internal error.",
        "AWS Error UNKNOWN (HTTP status 503) during HeadObject operation: No response body.",
        "AWS Error UNKNOWN (HTTP status 500) during HeadObject operation: No response body.",
        "AWS Error SERVICE_UNAVAILABLE during ListObjectsV2 operation: Service is unable",
        "AWS Error NETWORK_CONNECTION during PutObject operation: curlCode: 28, Timeout was",
        "AWS Error NETWORK_CONNECTION during PutObject operation: curlCode: 7, Could not connect",
        "AWS Error NETWORK_CONNECTION during GetObject operation: curlCode: 6, Couldn't resolve",
        "When completing upload for key 'k' in bucket 'b': AWS Error NO_SUCH_UPLOAD during "
        "CompleteMultipartUpload operation: The specified upload does not exist.",
        "When reading in bucket 'b': AWS Error NO_SUCH_KEY: The specified key does not exist.",
        "AWS Error REQUEST_TIMEOUT during PutObject operation: Your socket connection was idle",
    ],
)
def test_what_may_pass_is_tried_again(said: str) -> None:
    operation = Flaky(4, OSError(said))
    assert Retries("place").call("write a", operation) == "result"


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
    monkeypatch.setattr("tasks.storage_retry.FIRST_PATIENCE_S", 0.0)
    with pytest.raises(StorageDown):
        Retries("place").call("list it", Flaky(1))
    known = Retries("place")
    known.call("list it", Flaky(0))
    assert known.call("list it", Flaky(1)) == "result"
