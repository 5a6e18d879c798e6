"""Token buckets: how many calls they admit, of whom, and that no thread gets one too many."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from ec2.service import reads
from gateway.limits import Limiter
from gateway.settings import LimitSettings


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def limiter(clock: Clock, **settings: float) -> Limiter:
    return Limiter(LimitSettings.model_validate(settings), monotonic=clock)


def test_none_without_settings() -> None:
    admit = limiter(Clock())
    assert all(admit("1", kind) for kind in ("reading", "changing") for _ in range(10_000))


def test_a_burst_and_then_the_rate() -> None:
    clock = Clock()
    admit = limiter(clock, reading=2, reading_burst=5)
    assert [admit("1", "reading") for _ in range(6)] == [True] * 5 + [False]
    clock.now = 0.5
    assert [admit("1", "reading") for _ in range(2)] == [True, False]
    clock.now = 1000
    assert [admit("1", "reading") for _ in range(6)] == [True] * 5 + [False]


def test_accounts_and_classes_do_not_share() -> None:
    admit = limiter(Clock(), reading=1, reading_burst=1, changing=1, changing_burst=2)
    assert admit("1", "reading")
    assert not admit("1", "reading")
    assert admit("2", "reading")
    assert [admit("1", "changing") for _ in range(3)] == [True, True, False]


@given(
    st.floats(0.1, 100),
    st.integers(1, 50),
    st.lists(st.floats(0, 5), min_size=1, max_size=60),
)
def test_never_more_than_burst_and_rate(rate: float, burst: int, pauses: list[float]) -> None:
    clock = Clock()
    admit = limiter(clock, reading=rate, reading_burst=burst)
    admitted = 0
    for pause in pauses:
        clock.now += pause
        admitted += admit("1", "reading")
    assert admitted <= burst + rate * clock.now + 1e-6


def test_threads() -> None:
    admit = limiter(Clock(), changing=1, changing_burst=100)
    answers: list[bool] = []

    def call() -> None:
        answers.extend([admit("1", "changing") for _ in range(50)])

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(answers) == 100


def test_classes() -> None:
    assert reads("DescribeInstances")
    assert reads("GetConsoleOutput")
    assert reads("GetCallerIdentity")
    for action in ("RunInstances", "GetSessionToken", "AssumeRole", "", None):
        assert not reads(action)
