from collections import Counter
from statistics import median

import pytest

from article_flows.tasks.mock_endpoint.faults import CALL_FAULTS, Faults


def test_options_round_trip() -> None:
    options = ["http_500=0.05", "reset=0.1", "rpm=60", "poison=XYZ", "latency=lognormal:0.5,0.3"]
    faults = Faults.parse(options, seed=3)
    assert (faults.http_500, faults.rpm, faults.poison, faults.seed) == (0.05, 60, "XYZ", 3)
    assert Faults.parse(faults.options(), seed=3) == faults
    assert Faults().options() == []


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("http_501=0.1", "unknown fault 'http_501=0.1'"),
        ("seed=3", "unknown fault"),
        ("reset", "NAME=VALUE"),
        ("reset=often", "'often' is not a number"),
        ("reset=nan", "a probability from 0 to 1"),
        ("reset=1.5", "a probability from 0 to 1"),
        ("rpm=0", "a whole number of at least 1"),
        ("burst=5", "set together with rpm"),
        ("rpm=1.5", "'1.5' is not a whole number"),
        ("stall_seconds=inf", "seconds, 0 or more"),
        ("poison=", "a word"),
        ("latency=slow", "lognormal:MEDIAN"),
        ("latency=fixed:-1", "lognormal:MEDIAN"),
    ],
)
def test_unknown_and_out_of_range_options_are_named(option: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("[", r"\[")) as caught:
        Faults.parse([option])
    assert "\n" not in str(caught.value)


def test_probabilities_that_add_up_to_more_than_one_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"add up to 1\.2"):
        Faults.parse(["reset=0.6", "stall=0.6"])


def test_the_nth_decision_depends_only_on_seed_and_n() -> None:
    options = ["http_500=0.3", "reset=0.3", "latency=lognormal:0.5"]
    one, two, other = (Faults.parse(options, seed) for seed in (1, 1, 2))
    assert [one.decide(n) for n in range(99)] == [two.decide(n) for n in reversed(range(99))][::-1]
    assert [one.decide(n) for n in range(99)] != [other.decide(n) for n in range(99)]


def test_faults_occur_with_the_configured_probability() -> None:
    faults = Faults.parse(f"{name}=0.05" for name in CALL_FAULTS)
    drawn = Counter(faults.decide(n).fault for n in range(20_000))
    assert set(drawn) == {None, *CALL_FAULTS}
    for name in CALL_FAULTS:
        assert 0.04 < drawn[name] / 20_000 < 0.06


def test_latencies_follow_the_configured_distribution() -> None:
    def latencies(text: str) -> list[float]:
        faults = Faults.parse([f"latency={text}"])
        return sorted(faults.decide(n).latency for n in range(10_000))

    assert set(latencies("none")) == {0}
    assert set(latencies("fixed:0.2")) == {0.2}
    lognormal = latencies("lognormal:0.5,0.5")
    assert 0.48 < median(lognormal) < 0.52
    # The 95th percentile of a lognormal is median * exp(1.645 * sigma).
    assert 1.08 < lognormal[9500] < 1.20
    heavy = Counter(latencies("heavy:0.5"))
    assert set(heavy) == {0.5, 5.0}
    assert 50 < heavy[5.0] < 150


def test_latency_grows_in_proportion_above_slow_above() -> None:
    faults = Faults(slow_above=4)
    assert [faults.slowed(0.2, active) for active in (1, 4, 6, 8)] == pytest.approx(
        [0.2, 0.2, 0.3, 0.4]
    )
    assert faults.slowed(0.0, 8) == pytest.approx(0.1)
    assert Faults().slowed(0.2, 1000) == 0.2
