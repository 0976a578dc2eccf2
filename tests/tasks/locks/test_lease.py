"""Leases exclude each other, however their operations interleave and whenever a run pauses."""

import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.locks.lease import LOCKS, Lease, LeaseCandidate, LockState
from article_flows.tasks.storage.object_store import UPLOADS
from article_flows.tasks.storage.retries import WriteConflict
from tests.tasks.locks.lease_support import EXPIRY_S, InMemoryObjects, holders, stepped

if TYPE_CHECKING:
    from obstore import UpdateVersion


@pytest.fixture(autouse=True)
def no_conflict_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("article_flows.tasks.locks.lease._MAX_CONFLICT_PAUSE_S", 0.0)


class Record:
    """Tracks the leases that runs rely on, and checks after each step that none conflict."""

    def __init__(self) -> None:
        self.held: dict[Lease, bool] = {}
        self.total = 0
        self.overtaken: set[Lease] = set()

    def add(self, lease: Lease, shared: bool) -> None:
        self.held[lease] = shared
        self.total += 1

    def drop(self, lease: Lease) -> None:
        del self.held[lease]

    def check(self) -> None:
        sure = {lease: shared for lease, shared in self.held.items() if lease.is_valid}
        assert len(sure) <= 1 or all(sure.values())
        # A lease that was taken over is never relied on again: its plans are stale.
        assert not self.overtaken & set(sure)
        for lease, shared in self.held.items():
            others = {other: theirs for other, theirs in sure.items() if other is not lease}
            if others and not (shared and all(others.values())):
                self.overtaken.add(lease)


def attempts(
    store: InMemoryObjects, record: Record, count: int, beats: int = 0, shared: bool = False
) -> Callable[[], None]:
    """Return a script that tries ``count`` times to hold the lock for ``beats`` heartbeats."""

    def script() -> None:
        candidate = LeaseCandidate(store.request(shared=shared), store)
        for _ in range(count):
            lease = candidate.attempt()
            if isinstance(lease, Lease):
                record.add(lease, shared)
                try:
                    if not beats:
                        store.turn()
                    for _ in range(beats):
                        lease.renew()
                        lease.ensure_held()
                except UserError:
                    pass
                finally:
                    record.drop(lease)
                lease.release()

    return script


def orders(lengths: list[int]) -> Iterator[tuple[int, ...]]:
    """Yield all interleavings of processes with the given numbers of steps."""
    if not any(lengths):
        yield ()
    for process, length in enumerate(lengths):
        if length:
            rest = [*lengths[:process], length - 1, *lengths[process + 1 :]]
            yield from ((process, *order) for order in orders(rest))


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_two_runs_never_both_hold_the_lock_in_any_interleaving(first: bool, second: bool) -> None:
    # Read, acquire, work, release: four steps. The first run sends a heartbeat instead of working.
    # After a write conflict, a run reads again, which may take it a few more steps.
    most_at_once, held = 0, set()
    for order in orders([6, 5]):
        store, record = InMemoryObjects(), Record()
        scripts = [
            attempts(store, record, 1, beats=1, shared=first),
            attempts(store, record, 1, shared=second),
        ]
        with stepped(store, scripts) as processes:
            for number in order:
                processes[number].step()
                record.check()
                most_at_once = max(most_at_once, sum(lease.is_valid for lease in record.held))
            for process in processes:
                while not process.ended:
                    process.step()
                    record.check()
            held.add(record.total)
    assert most_at_once == (2 if first and second else 1)
    # Both held it, one after the other, or only one did; never neither.
    assert held == ({2} if first and second else {1, 2})


def test_no_pause_at_any_point_leads_to_two_holders() -> None:
    taken_over = 0
    for seed in range(60):
        chance = random.Random(seed)
        store, record = InMemoryObjects(), Record()
        store.clock_takes_turns = True  # runs may be paused before they read the clock, too
        kinds = [chance.random() < 0.3 for _ in range(chance.randint(2, 3))]
        scripts = [attempts(store, record, 500, 30, shared) for shared in kinds]
        with stepped(store, scripts) as processes:
            for _ in range(chance.randint(3, 8)):
                # One run pauses wherever it is; the others and the time continue.
                paused = chance.choice(processes)
                awake = [process for process in processes if process is not paused]
                for _ in range(chance.randint(1, 150)):
                    chance.choice(awake).step()
                    store.now += chance.choice([0.0, 0.0, 1.0, 3.0])
                    record.check()
        taken_over += len(record.overtaken)
    assert taken_over > 20  # otherwise the test has tested nothing


def test_a_lease_that_was_taken_over_is_never_regained() -> None:
    store = InMemoryObjects()
    paused = LeaseCandidate(store.request(), store).attempt()
    assert isinstance(paused, Lease)
    waiting = LeaseCandidate(store.request(), store)
    while not isinstance(successor := waiting.attempt(), Lease):
        store.now += EXPIRY_S / 8
    successor.release()
    assert holders(store) == 0
    with pytest.raises(UserError, match="another run has taken over articles"):
        paused.ensure_held()
    assert holders(store) == 0
    with pytest.raises(UserError, match="this run stops: run again"):
        paused.ensure_held()


def test_a_lease_is_lost_if_its_object_is_deleted() -> None:
    store = InMemoryObjects()
    lease = LeaseCandidate(store.request(), store).attempt()
    assert isinstance(lease, Lease)
    store.objects.clear()
    with pytest.raises(UserError, match="another run has taken over articles"):
        lease.confirm()


def test_a_late_holder_keeps_its_lease_if_no_other_run_took_it_over() -> None:
    store = InMemoryObjects()
    lease = LeaseCandidate(store.request(), store).attempt()
    assert isinstance(lease, Lease)
    (before,) = store.objects.values()
    lease.ensure_held()
    assert list(store.objects.values()) == [before]
    store.now += 100 * EXPIRY_S
    lease.ensure_held()
    (after,) = store.objects.values()
    assert after != before
    lease.release()
    assert holders(store) == 0


def test_a_run_whose_clock_stood_still_notices_the_takeover_before_it_commits() -> None:
    store = InMemoryObjects()
    frozen = LeaseCandidate(store.request(), store).attempt()
    assert isinstance(frozen, Lease)
    waiting = LeaseCandidate(store.request(), store)
    before = store.now
    while not isinstance(waiting.attempt(), Lease):
        store.now += EXPIRY_S / 8
    store.now = before
    assert frozen.is_valid
    with pytest.raises(UserError, match="another run has taken over articles"):
        frozen.confirm()


def test_one_heartbeat_confirms_the_lease_for_all_waiting_threads() -> None:
    store = InMemoryObjects()
    lease = LeaseCandidate(store.request(), store).attempt()
    assert isinstance(lease, Lease)
    store.now += 1
    before = LockState.read(store, "articles")
    lease.confirm()
    store.now -= 0.5  # a thread that called half a second earlier and had to wait
    lease.confirm()
    (previous,), (current,) = (
        state.holders.values() for state in (before, LockState.read(store, "articles"))
    )
    assert current.beat == previous.beat + 1


def test_a_write_that_was_applied_but_not_acknowledged_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = InMemoryObjects()
    applied = store.write_version

    def unacknowledged(
        name: str, content: bytes, expected: "UpdateVersion | None"
    ) -> "UpdateVersion":
        applied(name, content, expected)
        raise WriteConflict(name)

    monkeypatch.setattr(store, "write_version", unacknowledged)
    lease = LeaseCandidate(store.request(), store).attempt()
    assert isinstance(lease, Lease)
    lease.confirm()
    assert holders(store) == 1
    lease.release()
    assert holders(store) == 0


def test_lost_uploads_are_deleted_even_if_the_first_successor_dies_before_it_does() -> None:
    store = InMemoryObjects()
    for session in ("a-session", "another-session"):
        store.objects[f"{UPLOADS}/{session}/part"] = b"not committed"
    assert isinstance(LeaseCandidate(store.request(), store).attempt(), Lease)
    waiting = LeaseCandidate(store.request(), store)
    successor, taken = LeaseCandidate(store.request(), store), list[Lease]()
    store.session = "second-session"
    with stepped(store, [lambda: taken.append(take(successor, store))]) as (dying,):
        while LockState.read(store, "articles").lost != {"a-session"}:
            dying.step()
    assert f"{UPLOADS}/a-session/part" in store.objects
    take(waiting, store)
    assert [name for name in store.objects if name.startswith(UPLOADS)] == [
        f"{UPLOADS}/another-session/part"
    ]


def take(candidate: LeaseCandidate, store: InMemoryObjects) -> Lease:
    while not isinstance(lease := candidate.attempt(), Lease):
        store.now += EXPIRY_S / 8
    return lease


def test_a_waiting_run_restarts_its_count_after_a_gap_in_its_observations() -> None:
    store = InMemoryObjects()
    held = LeaseCandidate(store.request(), store).attempt()
    waiting = LeaseCandidate(store.request(), store)
    waiting.attempt()
    store.now += 2 * EXPIRY_S  # neither could reach the store, or the machine of both slept
    assert not isinstance(waiting.attempt(), Lease)
    assert isinstance(held, Lease)
    held.ensure_held()


def test_unreadable_lock_objects_have_no_holder() -> None:
    store = InMemoryObjects()
    # Locks of earlier versions, and of a future one.
    for name in ("articles/notes.txt", "articles/write-00ff-1.json", "articles.json"):
        store.objects[f"{LOCKS}/{name}"] = b"{}"
    assert isinstance(LeaseCandidate(store.request(), store).attempt(), Lease)
