"""Limits: token buckets, and what they mean for people who log in."""

import pytest

from clientapi.rate_limits import RateLimits, TokenBuckets
from homeserver.config import RateLimitsConfig
from homeserver.errors import LimitExceeded, NotAuthenticated, Unavailable


class ManualClock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def now_ms(self) -> int:
        return int(self.seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


class TestTokenBuckets:
    def test_a_burst_passes_and_the_next_waits_for_one_token(self, clock):
        buckets = TokenBuckets(per_second=2, burst=5, clock=clock)
        assert [buckets.take("alice") for _ in range(5)] == [0.0] * 5
        assert buckets.take("alice") == pytest.approx(0.5)

    def test_waiting_as_long_as_was_said_is_enough(self, clock):
        buckets = TokenBuckets(per_second=3, burst=4, clock=clock)
        for _ in range(200):
            wait_s = buckets.take("alice")
            clock.seconds += wait_s
            if wait_s:
                assert buckets.take("alice") == 0.0

    def test_being_refused_costs_nothing(self, clock):
        buckets = TokenBuckets(per_second=1, burst=1, clock=clock)
        buckets.take("alice")
        for _ in range(10):
            assert buckets.take("alice") == pytest.approx(1.0)

    def test_one_key_does_not_touch_another(self, clock):
        buckets = TokenBuckets(per_second=1, burst=1, clock=clock)
        buckets.take("alice")
        assert buckets.take("bob") == 0.0

    def test_the_rate_holds_in_the_long_run(self, clock):
        buckets = TokenBuckets(per_second=10, burst=20, clock=clock)
        passed = 0
        for _ in range(10_000):
            clock.seconds += 0.01
            passed += buckets.take("alice") == 0.0
        assert passed == pytest.approx(10 * 100 + 20, abs=2)

    def test_what_is_given_back_can_be_taken_again(self, clock):
        buckets = TokenBuckets(per_second=1, burst=1, clock=clock)
        buckets.take("alice")
        buckets.give_back("alice")
        assert buckets.take("alice") == 0.0
        assert buckets.take("alice") > 0

    def test_more_tokens_than_a_burst_has_are_possible_with_a_full_bucket(self, clock):
        buckets = TokenBuckets(per_second=1, burst=5, clock=clock)
        assert buckets.take("alice", 50) == 0.0
        assert buckets.take("alice", 50) == pytest.approx(5.0)


class TestMemory:
    def test_there_are_never_more_buckets_than_the_capacity(self, clock):
        buckets = TokenBuckets(per_second=1, burst=1, clock=clock, capacity=100)
        for number in range(1000):
            buckets.take(number)
        assert len(buckets) == 100

    def test_the_bucket_that_is_in_use_is_not_the_one_to_go(self, clock):
        buckets = TokenBuckets(per_second=1, burst=2, clock=clock, capacity=100)
        buckets.take("guesser")
        buckets.take("guesser")
        for number in range(50):
            buckets.take(number)
        assert buckets.take("guesser") > 0

    def test_full_buckets_are_dropped(self, clock):
        buckets = TokenBuckets(per_second=1, burst=1, clock=clock)
        for number in range(1000):
            buckets.take(number)
        clock.seconds += 10
        for _ in range(1000):
            buckets.take("alice")
            clock.seconds += 1
        assert len(buckets) == 1


def check_password(*, right: bool) -> None:
    if not right:
        raise NotAuthenticated("The e-mail address or the password is not right.")


def attempt(limits: RateLimits, account: str, address: str, *, right: bool) -> str:
    """ "in", "wrong" or "wait"."""
    try:
        with limits.password_attempt(account, address):
            check_password(right=right)
    except NotAuthenticated:
        return "wrong"
    except LimitExceeded:
        return "wait"
    return "in"


class TestGuessingPasswords:
    """Failures alone count, for an account from an address and for an address."""

    @pytest.fixture
    def limits(self, clock) -> RateLimits:
        settings = RateLimitsConfig(login_failures_per_minute=6, login_failures_burst=3)
        return RateLimits(settings=settings, clock=clock)

    def test_the_guesser_has_to_wait(self, limits):
        outcomes = [attempt(limits, "alice", "192.0.2.1", right=False) for _ in range(5)]
        assert outcomes == ["wrong"] * 3 + ["wait"] * 2

    def test_the_guesser_is_told_how_long(self, limits):
        for _ in range(3):
            attempt(limits, "alice", "192.0.2.1", right=False)
        with (
            pytest.raises(LimitExceeded, match="10 seconds") as refused,
            limits.password_attempt("alice", "192.0.2.1"),
        ):
            pytest.fail("not reached")
        assert refused.value.retry_after_ms == 10_000

    def test_the_owner_gets_in_from_elsewhere_meanwhile(self, limits):
        for number in range(100):
            for _ in range(4):
                attempt(limits, "alice", f"192.0.2.{number}", right=False)
        assert attempt(limits, "alice", "198.51.100.7", right=True) == "in"

    def test_others_get_in_from_the_same_address(self, limits):
        for _ in range(10):
            attempt(limits, "alice", "192.0.2.1", right=False)
        assert attempt(limits, "bob", "192.0.2.1", right=True) == "in"

    def test_success_costs_nothing(self, limits):
        assert {attempt(limits, "alice", "192.0.2.1", right=True) for _ in range(500)} == {"in"}

    def test_the_server_being_down_is_nobodys_guess(self, limits):
        for _ in range(50):
            with pytest.raises(Unavailable), limits.password_attempt("alice", "192.0.2.1"):
                raise Unavailable("The database cannot be reached.")
        assert attempt(limits, "alice", "192.0.2.1", right=True) == "in"

    def test_an_address_that_tries_many_accounts_has_to_wait(self, limits):
        outcomes = [attempt(limits, f"user{n}", "192.0.2.1", right=False) for n in range(100)]
        assert outcomes.count("wrong") == 30

    def test_an_ipv6_subscriber_is_one_address(self, limits):
        addresses = [f"2001:db8:0:1::{n:x}" for n in range(1, 6)]
        outcomes = [attempt(limits, "alice", address, right=False) for address in addresses]
        assert outcomes == ["wrong"] * 3 + ["wait"] * 2
        assert attempt(limits, "alice", "2001:db8:0:2::1", right=True) == "in"

    def test_many_attempts_at_once_do_not_get_round_the_limit(self, limits):
        begun = 0
        attempts = [limits.password_attempt("alice", "192.0.2.1") for _ in range(10)]
        for waiting in attempts:
            try:
                waiting.__enter__()
                begun += 1
            except LimitExceeded:
                continue
        assert begun == 3

    def test_without_limits_nobody_waits(self, clock):
        limits = RateLimits(settings=RateLimitsConfig(enabled=False), clock=clock)
        outcomes = {attempt(limits, "alice", "192.0.2.1", right=False) for _ in range(100)}
        assert outcomes == {"wrong"}
        for _ in range(10_000):
            limits.message(1)


class TestOtherLimits:
    def test_each_user_has_a_limit_of_messages(self, clock):
        settings = RateLimitsConfig(messages_per_second=1, messages_burst=2)
        limits = RateLimits(settings=settings, clock=clock)
        limits.message(1)
        limits.message(1)
        with pytest.raises(LimitExceeded) as refused:
            limits.message(1)
        assert refused.value.retry_after_ms == 1000
        limits.message(2)

    def test_each_address_has_a_limit_of_registrations(self, clock):
        settings = RateLimitsConfig(registrations_per_hour=1, registrations_burst=1)
        limits = RateLimits(settings=settings, clock=clock)
        limits.registration("192.0.2.1")
        with pytest.raises(LimitExceeded, match="60 minutes"):
            limits.registration("192.0.2.1")
        limits.registration("192.0.2.2")
