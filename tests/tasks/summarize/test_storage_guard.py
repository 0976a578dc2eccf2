"""A run with its lake in an object store pays for nothing while that could be in vain."""

import time
from collections.abc import Callable
from typing import Any, cast

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.summarize.storage_guard import MAX_UNSYNCED, StorageGuard


class Place:
    """What Pauses asks: a storage, journals, a lock and a gateway in one."""

    def __init__(self) -> None:
        self.listener: Callable[[bool], object] = bool
        self.unsynced = 0
        self.is_sure = True
        self.lost = False
        self.looked = 0
        self.stopped: str | None = None

    def watch(self, listener: Callable[[bool], object]) -> None:
        self.listener = listener

    def still_held(self) -> None:
        self.looked += 1
        if self.lost:
            raise UserError("another run has taken it over")
        self.is_sure = True

    def stop(self, reason: str) -> None:
        self.stopped = reason


def pauses(place: Place) -> StorageGuard:
    one = cast("Any", place)
    return StorageGuard(one, one, one, [one])


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_outage_of_the_storage_pauses_for_as_long_as_it_lasts() -> None:
    place = Place()
    paused = pauses(place)
    assert paused() == ""
    place.listener(True)
    assert paused() == "the lake's storage does not respond"
    place.listener(False)
    assert paused() == ""


def test_answers_that_wait_to_be_safe_are_bounded() -> None:
    place = Place()
    paused = pauses(place)
    place.unsynced = MAX_UNSYNCED
    assert paused() == ""
    place.unsynced += 1
    assert paused() == "the lake's storage is slow"


def test_a_run_that_was_paused_looks_whether_its_lock_is_still_its_own_before_it_asks_on() -> None:
    place = Place()
    paused = pauses(place)
    place.is_sure = False
    assert paused() == "checking the locks of the lake"
    until(lambda: paused() == "")
    assert place.looked == 1
    assert place.stopped is None


def test_a_run_that_was_overtaken_stops() -> None:
    place = Place()
    place.is_sure, place.lost = False, True
    paused = pauses(place)
    assert paused()
    until(lambda: place.stopped)
    assert place.stopped == "another run has taken it over"
    assert paused()
