"""Judging an event that another server made. Pure.

Source: server-server API v1.19 "Checks performed on receipt of a PDU", checks 4 to 6; format,
signatures and hashes (1 to 3) come before.
"""

from collections.abc import Mapping, Set

from homeserver.auth.rules import authorise, authorise_by_auth_events
from homeserver.auth.verdict import Accepted, Rejected, SoftFailed, Verdict
from homeserver.events.event import Event
from homeserver.identifiers import EventID, StateKey


def judge(
    event: Event,
    *,
    auth_events: Mapping[EventID, Event],
    rejected: Set[EventID],
    state_before: Mapping[StateKey, Event],
    current_state: Mapping[StateKey, Event],
) -> Verdict:
    """Whether the room takes the event.

    auth_events: those it names and the room's create event; rejected: which of them were rejected.
    state_before and current_state: at least the entries that the auth rules look at.
    """
    by_auth_events = authorise_by_auth_events(event, auth_events, rejected)
    if not isinstance(by_auth_events, Accepted):
        return by_auth_events
    before = authorise(event, state_before)
    if isinstance(before, Rejected):
        return before
    now = authorise(event, current_state)
    return SoftFailed(now.rule) if isinstance(now, Rejected) else now
