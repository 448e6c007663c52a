"""Each caller's share."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from fileroom.api import rates
from fileroom.api.rates import AT_A_TIME_MAX, FAILURES_AT_ONCE, Rate, Shares
from fileroom.errors import ResourceExhausted


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_is_saved_up_is_spent_at_once_and_then_by_the_second() -> None:
    clock = Clock()
    rate = Rate(2.0, 5.0, clock)

    assert [rate.take("a") for _ in range(6)] == [0, 0, 0, 0, 0, 0.5]
    clock.now += 0.5
    assert [rate.take("a"), rate.take("a")] == [0, 0.5]
    clock.now += 1000
    assert [rate.take("a") for _ in range(6)][-1] == 0.5


def test_one_caller_spends_nothing_of_another() -> None:
    rate = Rate(1.0, 1.0, Clock())

    assert rate.take("a") == rate.take("b") == 0
    assert rate.take("a") > 0


def test_callers_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "CALLERS_MAX", 3)
    rate = Rate(1.0, 1.0, Clock())
    for caller in "abcd":
        rate.take(caller)

    assert len(rate._callers) == 3
    assert rate.take("d") > 0


def test_requests_at_a_time_are_counted_until_they_end() -> None:
    shares = Shares(0)
    for _ in range(AT_A_TIME_MAX):
        shares.begin("user:ada", "192.0.2.1")
    with pytest.raises(ResourceExhausted, match="at a time"):
        shares.begin("user:ada", "192.0.2.2")
    shares.begin("user:bob", "192.0.2.1")

    shares.end("user:ada")
    shares.begin("user:ada", "192.0.2.1")


def test_the_end_of_what_never_began_counts_for_nothing() -> None:
    shares = Shares(0)
    for _ in range(3):
        shares.end("")

    assert not shares._at_a_time


def test_requests_in_a_second_are_of_a_principal_at_an_address() -> None:
    clock = Clock()
    shares = Shares(1, clock)
    for _ in range(10):
        shares.begin("user:ada", "192.0.2.1")
        shares.end("user:ada")
    with pytest.raises(ResourceExhausted, match="requests_per_second"):
        shares.begin("user:ada", "192.0.2.1")
    assert not shares._at_a_time, "what was refused is not under way"
    shares.begin("user:ada", "192.0.2.2")
    clock.now += 1
    shares.begin("user:ada", "192.0.2.1")


def test_guesses_are_slowed_down_by_address() -> None:
    clock = Clock()
    shares = Shares(0, clock)
    for _ in range(FAILURES_AT_ONCE):
        shares.fail("192.0.2.1")
    with pytest.raises(ResourceExhausted, match="without a valid token"):
        shares.fail("192.0.2.1")
    shares.fail("192.0.2.2")
    clock.now += 1
    shares.fail("192.0.2.1")


def test_who_has_many_addresses_of_a_network_guesses_as_one() -> None:
    shares = Shares(0, Clock())
    for number in range(FAILURES_AT_ONCE):
        shares.fail(f"2001:db8::{number:x}")
    with pytest.raises(ResourceExhausted, match="without a valid token"):
        shares.fail("2001:db8::ffff:1")
    shares.fail("2001:db8:0:1::1")
    shares.fail("192.0.2.1")
    shares.fail("")
