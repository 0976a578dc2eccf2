from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.llm.limits.retry_policy import RetryPolicy


@given(st.integers(1, 10**6), st.floats(0, 100), st.floats(0, 100))
def test_a_delay_is_within_its_bounds_after_any_number_of_failures(
    failures: int, base_s: float, cap_s: float
) -> None:
    delay = RetryPolicy(base_s=base_s, cap_s=cap_s).backoff(failures)
    assert 0 <= delay <= min(cap_s, base_s * 2.0 ** min(failures - 1, 64))


@given(st.integers(1, 5000), st.floats(0, 10_000))
def test_a_delay_is_never_shorter_than_retry_after(failures: int, retry_after: float) -> None:
    delay = RetryPolicy().backoff(failures, retry_after)
    assert retry_after <= delay <= max(retry_after, RetryPolicy().cap_s)


def test_delays_are_spread_over_the_whole_range() -> None:
    policy = RetryPolicy(base_s=1.0, cap_s=8.0)
    delays = [policy.backoff(4) for _ in range(2000)]
    assert min(delays) < 1.0
    assert max(delays) > 7.0
