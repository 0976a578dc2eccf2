"""A run sends no requests while the object store of its lake could not store the answers."""

import time
from collections.abc import Callable
from typing import Any, cast

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.summarize.storage_guard import MAX_UNSYNCED, StorageGuard


class FakeDependencies:
    """A storage, journals, a lock and a gateway in one object."""

    def __init__(self) -> None:
        self.listener: Callable[[bool], object] = bool
        self.unwritten = 0
        self.is_valid = True
        self.lost = False
        self.lock_checks = 0
        self.stopped: str | None = None

    def watch(self, listener: Callable[[bool], object]) -> None:
        self.listener = listener

    def ensure_held(self) -> None:
        self.lock_checks += 1
        if self.lost:
            raise UserError("another run has taken it over")
        self.is_valid = True

    def stop(self, reason: str) -> None:
        self.stopped = reason


def new_guard(fakes: FakeDependencies) -> StorageGuard:
    untyped = cast("Any", fakes)
    return StorageGuard(untyped, untyped, untyped, [untyped])


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_requests_are_held_back_during_a_storage_outage() -> None:
    fakes = FakeDependencies()
    guard = new_guard(fakes)
    assert guard() == ""
    fakes.listener(True)
    assert guard() == "the lake's storage does not respond"
    fakes.listener(False)
    assert guard() == ""


def test_the_number_of_unsynced_answers_is_bounded() -> None:
    fakes = FakeDependencies()
    guard = new_guard(fakes)
    fakes.unwritten = MAX_UNSYNCED
    assert guard() == ""
    fakes.unwritten += 1
    assert guard() == "the lake's storage is slow"


def test_a_suspended_run_checks_its_lock_before_it_sends_requests() -> None:
    fakes = FakeDependencies()
    guard = new_guard(fakes)
    fakes.is_valid = False
    assert guard() == "checking the locks of the lake"
    until(lambda: guard() == "")
    assert fakes.lock_checks == 1
    assert fakes.stopped is None


def test_a_run_that_lost_its_lock_stops() -> None:
    fakes = FakeDependencies()
    fakes.is_valid, fakes.lost = False, True
    guard = new_guard(fakes)
    assert guard()
    until(lambda: fakes.stopped)
    assert fakes.stopped == "another run has taken it over"
    assert guard()
