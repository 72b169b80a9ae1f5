"""The newest rows of a stream by room or by user, in memory: what changed since, without a query.

A tail knows its rows in order; who syncs asks for those of a few rooms. What is kept goes as far
back as the tail does.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from typing import Generic, TypeVar

from homeserver.streams.ring import Positioned

Row = TypeVar("Row", bound=Positioned)
_NOTHING: Sequence[int] = ()


class _Of(Generic[Row]):
    """The rows of one key, in order. floor: those up to here are not known (any more)."""

    __slots__ = ("floor", "positions", "rows")

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.positions: list[int] = []
        self.rows: list[Row] = []

    def after(self, position: int) -> list[Row]:
        positions = self.positions
        if positions and positions[0] > position:
            return self.rows
        return self.rows[bisect_right(positions, position) :]

    def forget(self, upto: int) -> None:
        count = bisect_right(self.positions, upto)
        del self.positions[:count]
        del self.rows[:count]
        self.floor = max(self.floor, upto)


class Recent(Generic[Row]):
    """Rows by key. capacity: so many at least are kept, a fourth more at most."""

    def __init__(self, *, key: Callable[[Row], int], capacity: int) -> None:
        self._key = key
        self._capacity = capacity
        self._positions: list[int] = []
        self._keys: list[int] = []
        self._of: dict[int, _Of[Row]] = {}
        self._floor = 0

    def start(self, position: int) -> None:
        """Nothing is known of what was up to here."""
        self._floor = position

    def add(self, rows: Sequence[Row]) -> None:
        """In the order of their positions."""
        for row in rows:
            key, position = self._key(row), row.position
            self._positions.append(position)
            self._keys.append(key)
            of = self._of.get(key)
            if of is None:
                of = self._of[key] = _Of(self._floor)
            of.positions.append(position)
            of.rows.append(row)
        if len(self._positions) > self._capacity + self._capacity // 4:
            self._trim()

    def covers(self, position: int) -> bool:
        """Whether everything after a position is known, but for what was forgotten of some keys."""
        return position >= self._floor

    def knows(self, key: int, position: int) -> bool:
        """Whether everything of a key after a position is known."""
        of = self._of.get(key)
        return position >= (self._floor if of is None else of.floor)

    def changed(self, after: int) -> Collection[int]:
        """The keys of all rows after a position; some may be there more than once."""
        positions = self._positions
        if not positions or positions[-1] <= after:
            return _NOTHING
        if len(positions) > 1 and positions[-2] <= after:
            return self._keys[-1:]
        return self._keys[bisect_right(positions, after) :]

    def of(self, key: int, after: int) -> Sequence[Row]:
        """The rows of a key after a position. Not to be changed or kept."""
        of = self._of.get(key)
        return () if of is None else of.after(after)

    def forget(self, key: int, upto: int) -> None:
        """What is known of a key up to a position is true no more."""
        of = self._of.get(key)
        if of is None:
            of = self._of[key] = _Of(self._floor)
        of.forget(upto)

    def _trim(self) -> None:
        surplus = len(self._positions) - self._capacity
        self._floor = self._positions[surplus - 1]
        gone = set(self._keys[:surplus])
        del self._positions[:surplus]
        del self._keys[:surplus]
        for key in gone:
            self._of[key].forget(self._floor)
            if not self._of[key].rows and self._of[key].floor == self._floor:
                del self._of[key]
