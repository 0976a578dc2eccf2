"""Leases exclude each other however their operations interleave and whoever pauses when."""

import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.locks.lease import LOCKS, Lease, LeaseCandidate, LockState
from article_flows.tasks.storage.object_store import UPLOADS
from article_flows.tasks.storage.retries import WriteConflict
from tests.tasks.locks.lease_support import EXPIRY_S, Objects, holders, stepped

if TYPE_CHECKING:
    from obstore import UpdateVersion


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("article_flows.tasks.locks.lease._CONFLICT_S", 0.0)


class Record:
    """Who is sure of which lease, after each step; and that it never is one too many."""

    def __init__(self) -> None:
        self.held: dict[Lease, bool] = {}
        self.ever = 0
        self.overtaken: set[Lease] = set()

    def add(self, lease: Lease, shared: bool) -> None:
        self.held[lease] = shared
        self.ever += 1

    def drop(self, lease: Lease) -> None:
        del self.held[lease]

    def check(self) -> None:
        sure = {lease: shared for lease, shared in self.held.items() if lease.is_sure}
        assert len(sure) <= 1 or all(sure.values())
        # One that somebody else has had in between is not had again: what was planned is stale.
        assert not self.overtaken & set(sure)
        for lease, shared in self.held.items():
            others = {other: theirs for other, theirs in sure.items() if other is not lease}
            if others and not (shared and all(others.values())):
                self.overtaken.add(lease)


def attempts(
    store: Objects, record: Record, count: int, beats: int = 0, shared: bool = False
) -> Callable[[], None]:
    """A run that tries so many times for the lock; has it for so many beats; gives it up."""

    def script() -> None:
        contender = LeaseCandidate(store.wanted(shared=shared), store)
        for _ in range(count):
            lease = contender.attempt()
            if isinstance(lease, Lease):
                record.add(lease, shared)
                try:
                    if not beats:
                        store.turn()
                    for _ in range(beats):
                        lease.renew()
                        lease.still_held()
                except UserError:
                    pass
                finally:
                    record.drop(lease)
                lease.release()

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
    # A look, a lease, work, the end of the lease: four steps. Instead of work the first gives a
    # heartbeat. Who finds that another was first looks again, and may do so some times.
    most_at_once, held = 0, set()
    for order in orders([6, 5]):
        store, record = Objects(), Record()
        scripts = [
            attempts(store, record, 1, beats=1, shared=first),
            attempts(store, record, 1, shared=second),
        ]
        with stepped(store, scripts) as processes:
            for number in order:
                processes[number].step()
                record.check()
                most_at_once = max(most_at_once, sum(lease.is_sure for lease in record.held))
            for process in processes:
                while not process.ended:
                    process.step()
                    record.check()
            held.add(record.ever)
    assert most_at_once == (2 if first and second else 1)
    # Both had it, one after the other, or one had it; never neither.
    assert held == ({2} if first and second else {1, 2})


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
    paused = LeaseCandidate(store.wanted(), store).attempt()
    assert isinstance(paused, Lease)
    waiting = LeaseCandidate(store.wanted(), store)
    while not isinstance(successor := waiting.attempt(), Lease):
        store.now += EXPIRY_S / 8
    successor.release()
    assert holders(store) == 0
    with pytest.raises(UserError, match="another run has taken articles over"):
        paused.still_held()
    assert holders(store) == 0
    with pytest.raises(UserError, match="this one stops: run again"):
        paused.still_held()


def test_a_lease_whose_object_was_removed_is_no_lock() -> None:
    store = Objects()
    lease = LeaseCandidate(store.wanted(), store).attempt()
    assert isinstance(lease, Lease)
    store.objects.clear()
    with pytest.raises(UserError, match="another run has taken articles over"):
        lease.prove()


def test_a_late_holder_that_nobody_has_followed_keeps_its_lock() -> None:
    store = Objects()
    lease = LeaseCandidate(store.wanted(), store).attempt()
    assert isinstance(lease, Lease)
    (before,) = store.objects.values()
    lease.still_held()
    assert list(store.objects.values()) == [before]
    store.now += 100 * EXPIRY_S
    lease.still_held()
    (after,) = store.objects.values()
    assert after != before
    lease.release()
    assert holders(store) == 0


def test_a_frozen_machine_notices_before_it_commits_whatever_its_clocks_say() -> None:
    store = Objects()
    frozen = LeaseCandidate(store.wanted(), store).attempt()
    assert isinstance(frozen, Lease)
    waiting = LeaseCandidate(store.wanted(), store)
    before = store.now
    while not isinstance(waiting.attempt(), Lease):
        store.now += EXPIRY_S / 8
    store.now = before
    assert frozen.is_sure
    with pytest.raises(UserError, match="another run has taken articles over"):
        frozen.prove()


def test_one_heartbeat_proves_the_lock_for_all_who_ask_meanwhile() -> None:
    store = Objects()
    lease = LeaseCandidate(store.wanted(), store).attempt()
    assert isinstance(lease, Lease)
    store.now += 1
    before = LockState.read(store, "articles")
    lease.prove()
    store.now -= 0.5  # who asked half a second earlier, and had to wait
    lease.prove()
    (was,), (now_is,) = (
        state.holders.values() for state in (before, LockState.read(store, "articles"))
    )
    assert now_is.beat == was.beat + 1


def test_a_write_that_was_applied_and_not_acknowledged_is_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Objects()
    applied = store.write_version

    def unacknowledged(
        name: str, content: bytes, before: "UpdateVersion | None"
    ) -> "UpdateVersion":
        applied(name, content, before)
        raise WriteConflict(name)

    monkeypatch.setattr(store, "write_version", unacknowledged)
    lease = LeaseCandidate(store.wanted(), store).attempt()
    assert isinstance(lease, Lease)
    lease.prove()
    assert holders(store) == 1
    lease.release()
    assert holders(store) == 0


def test_who_takes_a_lock_over_deletes_what_was_not_committed_also_if_the_first_to_died() -> None:
    store = Objects()
    for session in ("a-session", "another-session"):
        store.objects[f"{UPLOADS}/{session}/part"] = b"not committed"
    assert isinstance(LeaseCandidate(store.wanted(), store).attempt(), Lease)
    waiting = LeaseCandidate(store.wanted(), store)
    overtaker, taken = LeaseCandidate(store.wanted(), store), list[Lease]()
    store.session = "second-session"
    with stepped(store, [lambda: taken.append(take(overtaker, store))]) as (dies_before_it_sweeps,):
        while LockState.read(store, "articles").lost != {"a-session"}:
            dies_before_it_sweeps.step()
    assert f"{UPLOADS}/a-session/part" in store.objects
    take(waiting, store)
    assert [name for name in store.objects if name.startswith(UPLOADS)] == [
        f"{UPLOADS}/another-session/part"
    ]


def take(candidate: LeaseCandidate, store: Objects) -> Lease:
    while not isinstance(lease := candidate.attempt(), Lease):
        store.now += EXPIRY_S / 8
    return lease


def test_who_waits_counts_anew_after_a_gap_in_what_it_saw() -> None:
    store = Objects()
    held = LeaseCandidate(store.wanted(), store).attempt()
    waiting = LeaseCandidate(store.wanted(), store)
    waiting.attempt()
    store.now += 2 * EXPIRY_S  # neither could reach the store, or the machine of both slept
    assert not isinstance(waiting.attempt(), Lease)
    assert isinstance(held, Lease)
    held.still_held()


def test_what_is_no_lease_is_nobodys() -> None:
    store = Objects()
    # Claims of earlier versions, and a lock of one that is yet to come.
    for name in ("articles/notes.txt", "articles/write-00ff-1.json", "articles.json"):
        store.objects[f"{LOCKS}/{name}"] = b"{}"
    assert isinstance(LeaseCandidate(store.wanted(), store).attempt(), Lease)
