"""Times as they stand in JSON: RFC 3339, UTC, milliseconds, `Z`."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z: the last moment that RFC 3339 can write."""


def timestamp(ms: int) -> str:
    """`2024-11-18T10:30:00.000Z` for milliseconds since the epoch.

    Times of federated events are claims of other servers; what RFC 3339 cannot write becomes the
    nearest moment that it can.
    """
    second, milliseconds = divmod(min(max(ms, 0), _MAX_MS), 1000)
    return f"{_second(second)}.{milliseconds:03d}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    """Most times that are told are of this very second."""
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:-6]
