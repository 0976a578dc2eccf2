"""`SortedKeys` behaves like a dict, however key halves collide and blocks merge."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.lake.sorted_keys import Keys, SortedKeys, key_order, keys_of_bytes

# Few distinct halves, so that keys share their first eight bytes; all shards are in use.
HALVES = st.sampled_from([bytes(8), b"\1" + bytes(7), bytes(7) + b"\1", b"\xff" * 8, b"abcdefg\0"])
KEYS = st.one_of(st.tuples(HALVES, HALVES).map(b"".join), st.binary(min_size=16, max_size=16))


@given(
    steps=st.lists(st.dictionaries(KEYS, st.integers(0, 2**64 - 1), max_size=12), max_size=8),
    probes=st.lists(KEYS),
)
def test_values_are_found_by_their_keys(steps: list[dict[bytes, int]], probes: list[bytes]) -> None:
    store, model = SortedKeys(valued=True), dict[bytes, int]()
    for step in steps:
        new = {key: value for key, value in step.items() if key not in model}
        store.insert(keys_of_bytes(list(new)), np.array(list(new.values()), np.uint64))
        model |= new
        assert len(store) == len(model)
        blocks = [block for shard in store._shards for block in shard]
        assert sum(column.nbytes for block in blocks for column in block) == 24 * len(model)
    queries = [*probes, *model]
    keys = keys_of_bytes(queries)
    found, values = store.find(keys, key_order(keys))
    assert found.tolist() == [key in model for key in queries]
    assert values.tolist() == [model.get(key, 0) for key in queries]


@given(st.lists(KEYS))
def test_the_order_includes_the_first_of_equal_keys(given_keys: list[bytes]) -> None:
    order = key_order(keys_of_bytes(given_keys))
    assert order.first.tolist() == [given_keys.index(key) for key in given_keys]
    in_order = [given_keys[row][:8] for row in order.rows]
    assert in_order == sorted(in_order)
    assert sorted(order.rows.tolist()) == list(range(len(given_keys)))


def test_either_all_keys_have_values_or_none() -> None:
    key = Keys(np.ones(1, np.uint64), np.ones(1, np.uint64))
    with pytest.raises(ValueError, match="value"):
        SortedKeys(valued=True).insert(key)
    with pytest.raises(ValueError, match="value"):
        SortedKeys().insert(key, np.ones(1, np.uint64))
