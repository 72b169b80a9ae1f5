"""What may count in one thread of a room: positions in order, once for all readers."""

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in a room that may count: a message, or what notifies everybody."""

    position: int
    sender_nid: int
    thread: str
    is_message: bool = True
    notify: bool = True
    highlight: bool = False


@dataclass(slots=True)
class Track:
    """One thread of a room, or what stands in none: positions, each list in order.

    said: messages by sender. calls: what notifies and is no message, with its sender.
    """

    messages: "array[int]" = field(default_factory=lambda: array("q"))
    notifying: "array[int]" = field(default_factory=lambda: array("q"))
    highlighting: "array[int]" = field(default_factory=lambda: array("q"))
    said: "dict[int, array[int]]" = field(default_factory=dict)
    calls: dict[int, int] = field(default_factory=dict)

    def add(self, entry: Entry, *, first: bool) -> None:
        """first: before all others, otherwise after them."""
        if entry.is_message:
            _put(self.messages, entry.position, first=first)
            _put(self.said.setdefault(entry.sender_nid, array("q")), entry.position, first=first)
        elif entry.notify:
            self.calls[entry.position] = entry.sender_nid
        if entry.notify:
            _put(self.notifying, entry.position, first=first)
        if entry.highlight:
            _put(self.highlighting, entry.position, first=first)

    def remove(self, position: int) -> None:
        for positions in (self.messages, self.notifying, self.highlighting, *self.said.values()):
            _remove(positions, position)
        self.calls.pop(position, None)

    def cut(self, position: int) -> None:
        """Everything up to a position goes."""
        for positions in (self.messages, self.notifying, self.highlighting, *self.said.values()):
            del positions[: bisect_right(positions, position)]
        self.said = {sender: said for sender, said in self.said.items() if said}
        self.calls = {at: sender for at, sender in self.calls.items() if at > position}

    def has(self, position: int) -> bool:
        return has(self.messages, position) or has(self.notifying, position)

    def is_empty(self) -> bool:
        return not self.messages and not self.notifying

    def last_said(self, sender_nid: int) -> int | None:
        said = self.said.get(sender_nid)
        return said[-1] if said else None


def _put(positions: "array[int]", position: int, *, first: bool) -> None:
    if first:
        positions.insert(0, position)
    else:
        positions.append(position)


def _remove(positions: "array[int]", position: int) -> None:
    index = bisect_left(positions, position)
    if index < len(positions) and positions[index] == position:
        del positions[index]


def count_after(positions: "array[int]", mark: int) -> int:
    """How many positions are after a mark."""
    return len(positions) - bisect_right(positions, mark)


def has(positions: "array[int]", position: int) -> bool:
    """Whether a position is among those, which are in order."""
    index = bisect_left(positions, position)
    return index < len(positions) and positions[index] == position
