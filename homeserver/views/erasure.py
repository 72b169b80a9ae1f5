"""What those who came later see of somebody whose account was erased: redacted copies.

Source: C-S API v1.19 deactivateAccount, `erase`: "any users (or servers) which join the room after
the erasure request are served redacted copies of the events sent by this account", and who saw them
before still sees them. Of the state, which rooms need, only his own memberships are redacted.
"""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from homeserver.events.event import Event
from homeserver.events.redaction import redact_event
from homeserver.events.stored import StoredEvent
from homeserver.identifiers import UserID
from homeserver.views.history import ReadableRoom
from homeserver.visibility import MEMBER_TYPE

BY_ERASURE = 0
"""In the place of the redaction's number: there is no such event."""

Erased = AbstractSet[UserID]


def is_about_erased(event: Event, erased: Erased) -> bool:
    """Whether there are readers who get a redacted copy."""
    return event.sender in erased and is_redactable(event.type, event.state_key, event.sender)


def is_redactable(event_type: str, state_key: str | None, sender: str) -> bool:
    """Messages, and what its sender says of himself."""
    return state_key is None or (event_type == MEMBER_TYPE and state_key == sender)


def is_hidden(stored: StoredEvent, room: ReadableRoom, erased: Erased) -> bool:
    """Whether the reader of the room gets a redacted copy: he was not in the room then."""
    return is_about_erased(stored.event, erased) and not _was_there(stored, room)


def shown(stored: StoredEvent, room: ReadableRoom, erased: Erased) -> StoredEvent:
    """The event as the reader of the room gets it."""
    if stored.facts.redacted_by is not None or not is_hidden(stored, room, erased):
        return stored
    return redacted_copy(stored)


def all_shown(
    found: Sequence[StoredEvent], rooms: Mapping[int, ReadableRoom], erased: Erased
) -> Sequence[StoredEvent]:
    """The events as the reader of the rooms gets them."""
    if not erased:
        return found
    return [shown(each, rooms[each.facts.room_nid], erased) for each in found]


def redacted_copy(stored: StoredEvent) -> StoredEvent:
    facts = replace(stored.facts, redacted_by=BY_ERASURE)
    return replace(stored, event=redact_event(stored.event), facts=facts)


def rooms_of_erased(found: Collection[StoredEvent], erased: Erased) -> set[int]:
    """The rooms of which more must be known to show the events."""
    if not erased:
        return set()
    return {each.facts.room_nid for each in found if is_about_erased(each.event, erased)}


def _was_there(stored: StoredEvent, room: ReadableRoom) -> bool:
    """On a fork, by the state that it differs from."""
    version = stored.facts.state_version
    return version is not None and room.membership_before(version) == "join"
