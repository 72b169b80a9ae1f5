"""Events judged one after the other, each by what the ones before it left standing."""

from collections.abc import Iterable, Set

from homeserver.auth.rules import authorise
from homeserver.auth.selection import needed_types
from homeserver.auth.verdict import Accepted
from homeserver.events.event import Event
from homeserver.identifiers import EventID, StateKey
from homeserver.state.auth_graph import Events, auth_state, require
from homeserver.state.state_map import StateMap


def iterative_auth_checks(
    ordered: Iterable[EventID], start: StateMap, events: Events, rejected: Set[EventID]
) -> dict[StateKey, EventID]:
    """`start` with every event of `ordered` that the rules allow when its turn comes.

    Raises MissingEvents. Source: room v2 state resolution, "Iterative auth checks".
    """
    state = dict(start)
    for event_id in ordered:
        event = events[event_id]
        # The spec would let an event that was rejected for the state before it win here
        # ("Rejected events"). A rejected event reached nobody and moved no head, so it stays out.
        if event_id in rejected or not event.is_state:
            continue
        if is_allowed(event, _state_for(event, state, events, rejected)):
            state[event.key] = event_id
    return state


def is_allowed(event: Event, state: dict[StateKey, Event]) -> bool:
    return isinstance(authorise(event, state), Accepted)


def needed_keys(event: Event) -> list[StateKey]:
    """The entries of the state that decide about the event."""
    return needed_types(event.type, event.sender, event.state_key, event.content, event.version)


def require_deciding_state(event_ids: Iterable[EventID], start: StateMap, events: Events) -> None:
    """Raises MissingEvents for entries of `start` that decide about one of the events."""
    keys = {key for event_id in event_ids for key in needed_keys(events[event_id])}
    require({start[key] for key in keys if key in start}, events)


def _state_for(
    event: Event, state: StateMap, events: Events, rejected: Set[EventID]
) -> dict[StateKey, Event]:
    """The resolved state so far; where that has no entry, the event's own auth event."""
    own = auth_state(event, events).items()
    found = {key: auth for key, auth in own if auth.event_id not in rejected}
    for key in needed_keys(event):
        event_id = state.get(key)
        if event_id is not None and event_id not in rejected:
            found[key] = events[event_id]
    return found
