"""The properties of an event that conditions look at, by their dotted paths.

Source: Matrix v1.19 appendices, "Dot-separated property paths".
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from homeserver.events.event import Event
from homeserver.push_rules.rules import Outcome

MISSING: Final = object()
"""What stands for a property that an event does not have; JSON has no such value."""

Path = tuple[str, ...]

BODY: Path = ("content", "body")
MAX_SEARCHED = 8_192
"""Characters of a body that words are looked for in. Whoever makes rules and messages that fit each
other badly can so take no more than a moment of the server's time.
"""

_PART = re.compile(r"(?:\\[.\\]|[^.])*")
_ESCAPED = re.compile(r"\\([.\\])")


@lru_cache(maxsize=4_096)
def parse_path(key: str) -> Path:
    r"""The names on a path: `content.m\.relates_to` has two. Only `\.` and `\\` are escapes."""
    names, start = [], 0
    while True:
        part = _PART.match(key, start)
        assert part is not None
        names.append(_ESCAPED.sub(r"\1", part.group()))
        start = part.end() + 1
        if start > len(key):
            return tuple(names)


class EventView:
    """An event as conditions see it. Text is folded once, however many rules look at it.

    matched: what rules that mean the same to everybody make of it, as far as they were tried; under
    the same circumstances.
    """

    __slots__ = ("_folded", "content", "matched", "room_id", "sender", "state_key", "type")

    def __init__(
        self,
        *,
        event_type: str,
        sender: str,
        room_id: str,
        state_key: str | None,
        content: Mapping[str, Any],
    ) -> None:
        self.type = event_type
        self.sender = sender
        self.room_id = room_id
        self.state_key = state_key
        self.content = content
        self._folded: dict[Path, str | None] = {}
        self.matched: dict[str, Outcome | None] = {}

    @classmethod
    def of(cls, event: Event) -> "EventView":
        return cls(
            event_type=event.type,
            sender=event.sender,
            room_id=event.room_id,
            state_key=event.state_key,
            content=event.content,
        )

    def value(self, path: Path) -> Any:
        """The property's value, or MISSING."""
        name, *names = path
        if name != "content":
            return MISSING if names else self._at_the_top(name)
        value: Any = self.content
        for each in names:
            if not isinstance(value, Mapping) or each not in value:
                return MISSING
            value = value[each]
        return value

    def folded(self, path: Path) -> str | None:
        """The property's text without regard to case; None: it is absent, or is no text."""
        if path in self._folded:
            return self._folded[path]
        value = self.value(path)
        folded = None
        if isinstance(value, str):
            folded = (value[:MAX_SEARCHED] if path == BODY else value).lower()
        self._folded[path] = folded
        return folded

    def _at_the_top(self, name: str) -> Any:
        match name:
            case "type":
                return self.type
            case "sender":
                return self.sender
            case "room_id":
                return self.room_id
            case "state_key" if self.state_key is not None:
                return self.state_key
            case _:
                return MISSING
