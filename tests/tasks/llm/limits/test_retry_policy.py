from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.llm.limits.retry_policy import RetryPolicy


@given(st.integers(1, 10**6), st.floats(0, 100), st.floats(0, 100))
def test_a_pause_is_within_its_bounds_however_many_failures(
    failures: int, base_s: float, cap_s: float
) -> None:
    pause = RetryPolicy(base_s=base_s, cap_s=cap_s).pause(failures)
    assert 0 <= pause <= min(cap_s, base_s * 2.0 ** min(failures - 1, 64))


@given(st.integers(1, 5000), st.floats(0, 10_000))
def test_a_pause_is_never_shorter_than_the_endpoint_asks(failures: int, asked: float) -> None:
    pause = RetryPolicy().pause(failures, asked)
    assert asked <= pause <= max(asked, RetryPolicy().cap_s)


def test_pauses_are_spread_over_the_whole_range() -> None:
    policy = RetryPolicy(base_s=1.0, cap_s=8.0)
    pauses = [policy.pause(4) for _ in range(2000)]
    assert min(pauses) < 1.0
    assert max(pauses) > 7.0
