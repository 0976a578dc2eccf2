"""Claims exclude each other however their operations interleave and whoever pauses when."""

import random
import time
from collections.abc import Callable, Iterator

import pytest

from tasks.claims import Claim
from tasks.contenders import Contender
from tasks.errors import UserError
from tests.tasks.claim_support import EXPIRY_S, Objects, stepped


class Record:
    """Who is sure of which claim, after each step; and that it never is one too many."""

    def __init__(self) -> None:
        self.held: dict[Claim, bool] = {}
        self.ever = 0
        self.overtaken: set[Claim] = set()

    def add(self, claim: Claim, shared: bool) -> None:
        self.held[claim] = shared
        self.ever += 1

    def drop(self, claim: Claim) -> None:
        del self.held[claim]

    def check(self) -> None:
        sure = {claim: shared for claim, shared in self.held.items() if claim.is_sure}
        assert len(sure) <= 1 or all(sure.values())
        # One that somebody else has had in between is not had again: what was planned is stale.
        assert not self.overtaken & set(sure)
        for claim, shared in self.held.items():
            others = {other: theirs for other, theirs in sure.items() if other is not claim}
            if others and not (shared and all(others.values())):
                self.overtaken.add(claim)


def attempts(
    store: Objects, record: Record, count: int, beats: int = 0, shared: bool = False
) -> Callable[[], None]:
    """A run that tries so many times for the lock; has it for so many beats; gives it up."""

    def script() -> None:
        contender = Contender(store.wanted(shared=shared), store)
        for _ in range(count):
            claim = contender.attempt()
            if isinstance(claim, Claim):
                record.add(claim, shared)
                try:
                    if not beats:
                        store.turn()
                    for _ in range(beats):
                        claim.renew()
                        claim.still_held()
                except UserError:
                    pass
                finally:
                    record.drop(claim)
                claim.release()

    return script


def orders(lengths: list[int]) -> Iterator[tuple[int, ...]]:
    """All ways in which processes of so many steps can take turns."""
    if not any(lengths):
        yield ()
    for process, length in enumerate(lengths):
        if length:
            rest = [*lengths[:process], length - 1, *lengths[process + 1 :]]
            yield from ((process, *order) for order in orders(rest))


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_two_never_both_hold_in_any_order_of_their_operations(first: bool, second: bool) -> None:
    # A look, a claim, a list, work, the end of the claim: five steps. Instead of work the first
    # gives a sign of life: a new claim, a list, the end of the one before.
    most_at_once, held = 0, set()
    for order in orders([7, 5]):
        store, record = Objects(), Record()
        scripts = [
            attempts(store, record, 1, beats=1, shared=first),
            attempts(store, record, 1, shared=second),
        ]
        with stepped(store, scripts) as processes:
            for number in order:
                processes[number].step()
                record.check()
                most_at_once = max(most_at_once, sum(claim.is_sure for claim in record.held))
            held.add(record.ever)
    assert most_at_once == (2 if first and second else 1)
    # Both had it, one after the other; one had it; and neither, when each saw the other's claim.
    assert held == ({2} if first and second else {0, 1, 2})


def test_no_pause_at_whatever_point_makes_two_holders() -> None:
    taken_over = 0
    for seed in range(60):
        chance = random.Random(seed)
        store, record = Objects(), Record()
        store.by_clock = True  # they may be paused before they look at the clock, too
        kinds = [chance.random() < 0.3 for _ in range(chance.randint(2, 3))]
        scripts = [attempts(store, record, 500, 30, shared) for shared in kinds]
        with stepped(store, scripts) as processes:
            for _ in range(chance.randint(3, 8)):
                # One is paused where it happens to be, while the others and the time go on.
                paused = chance.choice(processes)
                awake = [process for process in processes if process is not paused]
                for _ in range(chance.randint(1, 150)):
                    chance.choice(awake).step()
                    store.now += chance.choice([0.0, 0.0, 1.0, 3.0])
                    record.check()
        taken_over += len(record.overtaken)
    assert taken_over > 20  # else this has tested nothing


def test_a_lock_that_another_run_has_had_does_not_come_back() -> None:
    store = Objects()
    paused = Contender(store.wanted(), store).attempt()
    assert isinstance(paused, Claim)
    waiting = Contender(store.wanted(), store)
    while not isinstance(successor := waiting.attempt(), Claim):
        store.now += EXPIRY_S / 8
    successor.release()
    assert store.objects == {}
    with pytest.raises(UserError, match="another run has taken articles over"):
        paused.still_held()
    assert store.objects == {}
    with pytest.raises(UserError, match="this one stops: run again"):
        paused.still_held()


def test_a_claim_that_was_removed_before_it_was_listed_is_no_lock() -> None:
    store, got = Objects(), []
    contender = Contender(store.wanted(), store)
    with stepped(store, [lambda: got.append(contender.attempt())]) as (process,):
        process.step()
        process.step()
        assert len(store.objects) == 1
        store.objects.clear()  # it paused, was taken for dead, and its successor has ended
        while not process.ended:
            process.step()
    assert len(got) == 1
    assert not isinstance(got[0], Claim)


def test_a_late_holder_that_nobody_has_followed_keeps_its_lock() -> None:
    store = Objects()
    claim = Contender(store.wanted(), store).attempt()
    assert isinstance(claim, Claim)
    (before,) = store.objects
    claim.still_held()
    assert list(store.objects) == [before]
    store.now += 100 * EXPIRY_S
    claim.still_held()
    (after,) = store.objects
    assert after != before
    claim.release()
    assert store.objects == {}


def test_a_frozen_machine_may_notice_only_by_the_wall_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Objects()
    claim = Contender(store.wanted(), store).attempt()
    assert isinstance(claim, Claim)
    store.objects.clear()
    claim.still_held()
    later = time.time() + EXPIRY_S
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(UserError, match="another run has taken articles over"):
        claim.still_held()


def test_who_waits_counts_anew_after_a_gap_in_what_it_saw() -> None:
    store = Objects()
    held = Contender(store.wanted(), store).attempt()
    waiting = Contender(store.wanted(), store)
    waiting.attempt()
    store.now += 2 * EXPIRY_S  # neither could reach the store, or the machine of both slept
    assert not isinstance(waiting.attempt(), Claim)
    assert isinstance(held, Claim)
    held.still_held()


def test_what_is_no_claim_is_nobodys() -> None:
    store = Objects()
    for name in ("articles/notes.txt", "articles/write-xyz-1.json", "articles-2/write-00ff-1.json"):
        store.objects[f"_staging/locks/{name}"] = b"{}"
    assert isinstance(Contender(store.wanted(), store).attempt(), Claim)
