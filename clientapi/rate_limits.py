"""How much a user or an address may ask for: token buckets, in memory, bounded.

A bucket is one number, the time at which it is full again (the generic cell rate algorithm), so a
bucket that is full needs no memory at all.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from math import ceil

from homeserver.addresses import address_key
from homeserver.clock import Clock
from homeserver.config import RateLimitsConfig
from homeserver.errors import LimitExceeded, NotAllowed, NotAuthenticated

MAX_BUCKETS = 100_000

# An address may be a whole office: so many accounts of it may be at their limit at the same time.
_ACCOUNTS_OF_AN_ADDRESS = 10
_SECONDS_OF_A_MINUTE = 60
_SECONDS_OF_AN_HOUR = 3600


class TokenBuckets:
    """Buckets of one size, by key. Beyond the capacity those not used for the longest are full."""

    def __init__(
        self, *, per_second: float, burst: int, clock: Clock, capacity: int = MAX_BUCKETS
    ) -> None:
        self._interval_s = 1 / per_second
        self._depth_s = burst / per_second
        self._clock = clock
        self._capacity = capacity
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        """How many buckets are in memory."""
        return len(self._full_at)

    def take(self, key: Hashable, tokens: int = 1) -> float:
        """Takes tokens, or none at all: 0.0, or the seconds after which there will be enough.

        tokens: more than a burst costs as much as a burst, so that it is possible at all.
        """
        now = self._clock.monotonic()
        cost_s = min(tokens * self._interval_s, self._depth_s)
        full_at = max(self._full_at.get(key, now), now) + cost_s
        wait_s = full_at - now - self._depth_s
        if wait_s > self._interval_s * 1e-6:  # rounding is no reason to wait
            return wait_s
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        self._make_room(now)
        return 0.0

    def give_back(self, key: Hashable) -> None:
        """One token that was taken and not used up."""
        if key in self._full_at:
            self._full_at[key] -= self._interval_s

    def _make_room(self, now: float) -> None:
        """Drop full buckets, a few at a time, and the oldest ones when there are too many."""
        for _ in range(2):
            key, full_at = next(iter(self._full_at.items()))
            if full_at > now and len(self._full_at) <= self._capacity:
                return
            del self._full_at[key]
            if not self._full_at:
                return


class RateLimits:
    """The limits of a server. Every method raises LimitExceeded, with when to try again."""

    def __init__(self, *, settings: RateLimitsConfig, clock: Clock) -> None:
        self._enabled = settings.enabled
        self._exempt: set[int] = set()
        self._messages = TokenBuckets(
            per_second=settings.messages_per_second, burst=settings.messages_burst, clock=clock
        )
        self._requests = TokenBuckets(
            per_second=settings.requests_per_second, burst=settings.requests_burst, clock=clock
        )
        self._address_requests = TokenBuckets(
            per_second=settings.address_requests_per_second,
            burst=settings.address_requests_burst,
            clock=clock,
        )
        self._registrations = TokenBuckets(
            per_second=settings.registrations_per_hour / _SECONDS_OF_AN_HOUR,
            burst=settings.registrations_burst,
            clock=clock,
        )
        failures_per_second = settings.login_failures_per_minute / _SECONDS_OF_A_MINUTE
        self._login_failures = TokenBuckets(
            per_second=failures_per_second, burst=settings.login_failures_burst, clock=clock
        )
        self._address_login_failures = TokenBuckets(
            per_second=failures_per_second * _ACCOUNTS_OF_AN_ADDRESS,
            burst=settings.login_failures_burst * _ACCOUNTS_OF_AN_ADDRESS,
            clock=clock,
        )

    def message(self, user_nid: int) -> None:
        """A user writes a message, edits, reacts."""
        if user_nid in self._exempt:
            return
        self._take(self._messages, user_nid, "You are sending messages too fast.")

    def request(self, user_nid: int) -> None:
        """A user asks for anything."""
        if user_nid in self._exempt:
            return
        self._take(self._requests, user_nid, "You are making requests too fast.")

    def exempt(self, user_nid: int) -> None:
        """From now on the user's messages and requests are not counted: an application service
        with leave to do so acts as him.
        """
        self._exempt.add(user_nid)

    def address_request(self, address: str | None) -> None:
        """Anybody asks for anything, before it is known who."""
        self._take(
            self._address_requests,
            address_key(address),
            "Your network is making requests too fast.",
        )

    def registration(self, address: str | None) -> None:
        """Somebody asks for a new account."""
        self._take(
            self._registrations,
            address_key(address),
            "Too many accounts are being made from your network.",
        )

    @contextmanager
    def password_attempt(self, subject: str, address: str | None) -> Iterator[None]:
        """Around a check of a password. An attempt counts unless it succeeds.

        Only failures for the same account from the same address, and failures from one address,
        hold anybody up: who knows his password gets in from everywhere else, whatever others try.
        The attempt is taken beforehand, so that many at once do not get round the limit.

        subject: what `Login.subject` makes of who logs in, or a user ID.
        """
        if not self._enabled:
            yield
            return
        network = address_key(address)
        self._take_attempt((subject, network), network)
        try:
            yield
        except (NotAuthenticated, NotAllowed):
            raise
        except Exception:
            self._give_attempt_back((subject, network), network)
            raise
        self._give_attempt_back((subject, network), network)

    def _take_attempt(self, account_and_network: tuple[str, str], network: str) -> None:
        sentence = "Too many attempts with a wrong password."
        self._take(self._login_failures, account_and_network, sentence)
        try:
            self._take(self._address_login_failures, network, sentence)
        except LimitExceeded:
            self._login_failures.give_back(account_and_network)
            raise

    def _give_attempt_back(self, account_and_network: tuple[str, str], network: str) -> None:
        self._login_failures.give_back(account_and_network)
        self._address_login_failures.give_back(network)

    def _take(self, buckets: TokenBuckets, key: Hashable, sentence: str) -> None:
        if not self._enabled:
            return
        wait_s = buckets.take(key)
        if wait_s > 0:
            raise LimitExceeded(
                f"{sentence} Try again in {_spoken(wait_s)}.", retry_after_ms=ceil(wait_s * 1000)
            )


def _spoken(seconds: float) -> str:
    if seconds > _SECONDS_OF_A_MINUTE:
        return f"{ceil(seconds / _SECONDS_OF_A_MINUTE)} minutes"
    return "a second" if seconds <= 1 else f"{ceil(seconds)} seconds"
