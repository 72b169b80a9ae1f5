"""Changes of what lives in memory, numbered: which things changed after a number."""

from collections import deque
from collections.abc import Iterable


class Serials:
    """The newest changes of numbered things. Numbers begin anew with each process."""

    def __init__(self, *, kept: int) -> None:
        self._changes: deque[tuple[int, int]] = deque(maxlen=kept)
        self._floor = 0
        self.position = 0
        """The number of the newest change."""

    def changed(self, things: Iterable[int]) -> None:
        """Several that change together have one number."""
        self.position += 1
        for thing in things:
            if len(self._changes) == self._changes.maxlen:
                self._floor = self._changes[0][0]
            self._changes.append((self.position, thing))

    def known(self) -> set[int]:
        """What is known to have changed at any time."""
        return {thing for _, thing in self._changes}

    def since(self, position: int) -> set[int] | None:
        """What changed after a number; None: that is not known (any more)."""
        if position < self._floor or position > self.position:
            return None
        found = set()
        for number, thing in reversed(self._changes):
            if number <= position:
                break
            found.add(thing)
        return found
