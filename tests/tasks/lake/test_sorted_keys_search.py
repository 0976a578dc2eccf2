"""`KeySet` behaves like a set, in little memory and between threads."""

import threading
import tracemalloc
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.lake.sorted_keys import KeySet

# Few distinct halves, so that keys share their first eight bytes and end in zero bytes.
HALVES = st.sampled_from([bytes(8), b"\1" + bytes(7), bytes(7) + b"\1", b"\xff" * 8, b"abcdefg\0"])
KEYS = st.one_of(st.tuples(HALVES, HALVES).map(b"".join), st.binary(min_size=16, max_size=16))


@given(steps=st.lists(st.lists(KEYS, max_size=12), max_size=12), probes=st.lists(KEYS))
def test_a_key_set_behaves_like_a_set(steps: list[list[bytes]], probes: list[bytes]) -> None:
    keys, model = KeySet(), set[bytes]()
    for step in steps:
        new = []
        for key in step:
            new.append(key not in model)
            model.add(key)
        assert keys.add_many(step).tolist() == new
        assert len(keys) == len(model)
    assert [key in keys for key in probes] == [key in model for key in probes]
    assert all(key in keys for key in model)


@given(st.lists(KEYS))
def test_add_many_returns_which_keys_are_new(given_keys: list[bytes]) -> None:
    one, all_at_once, model = KeySet(), KeySet(), set[bytes]()
    for key in given_keys:
        assert one.add_many([key]).tolist() == [key not in model]
        model.add(key)
    all_at_once.update(iter(given_keys))
    assert len(one) == len(all_at_once) == len(model)


def test_a_key_set_takes_16_bytes_per_key_and_little_more_while_it_grows() -> None:
    count, at_once = 200_000, 5_000
    tracemalloc.start()
    try:
        keys = KeySet()
        for start in range(0, count, at_once):
            few = [
                blake2b(b"%d" % n, digest_size=16).digest() for n in range(start, start + at_once)
            ]
            keys.add_many(few)
        few.clear()
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(keys) == count
    assert held < 17 * count
    # The keys being added are Python objects, and one of eight shards is merged at a time.
    assert peak < 20 * count + 150 * at_once


def test_a_key_added_by_several_threads_is_new_only_once() -> None:
    keys = KeySet()
    expected = [blake2b(b"%d" % n, digest_size=16).digest() for n in range(200)]
    new: list[int] = []

    def add() -> None:
        new.append(sum(int(keys.add_many([key])[0]) for key in expected))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(new) == len(keys) == len(expected)


@pytest.mark.parametrize("keys", [[b"short"], [b"a" * 15, b"b" * 17]])
def test_keys_of_another_size_are_rejected(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        KeySet(keys)
