"""How somebody is, as Matrix clients are told of it. Pure.

Source: C-S API v1.19 "Presence", `m.presence`; design section 9.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

BUSY_MESSAGE = "Busy"
"""Matrix has no such presence: a message tells who is busy from who is away."""

PRESENCE: Mapping[str, str] = MappingProxyType(
    {"online": "online", "away": "unavailable", "busy": "unavailable", "offline": "offline"}
)
"""The presence by our status."""

STATUS: Mapping[str, str] = MappingProxyType(
    {
        "online": "online",
        "unavailable": "away",
        "offline": "offline",
        "busy": "busy",
        "org.matrix.msc3026.busy": "busy",
    }
)
"""Our status by what clients may say. Busy: MSC3026."""


class State(Protocol):
    """How somebody is. `status`: online, away, busy, offline."""

    @property
    def status(self) -> str: ...
    @property
    def status_msg(self) -> str | None: ...
    @property
    def last_active_ms(self) -> int | None: ...
    @property
    def currently_active(self) -> bool: ...


def presence_content(state: State, *, now_ms: int) -> dict[str, Any]:
    """Content of `m.presence`, and what `getPresence` answers."""
    content: dict[str, Any] = {"presence": PRESENCE[state.status]}
    if state.last_active_ms is not None:
        content["last_active_ago"] = max(0, now_ms - state.last_active_ms)
    if state.status != "offline":
        content["currently_active"] = state.currently_active
    message = state.status_msg or (BUSY_MESSAGE if state.status == "busy" else None)
    if message is not None:
        content["status_msg"] = message
    return content
