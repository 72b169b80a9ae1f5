"""The graph that auth events form, walked without recursion: a chain may be 10,000 events long."""

from collections.abc import Collection, Iterable, Mapping, Set

from homeserver.auth.selection import CREATE, POWER_LEVELS
from homeserver.events.event import Event
from homeserver.identifiers import EventID, StateKey
from homeserver.state.errors import MissingEvents

Events = Mapping[EventID, Event]


def auth_events_first(
    roots: Iterable[EventID], events: Events, *, settled: Set[EventID] = frozenset()
) -> list[EventID]:
    """The roots and their auth chains, every event after all of its auth events.

    settled: events not to visit, nor what is known only through them.
    Raises MissingEvents with everything that a walk through the known events lacks.
    """
    ordered: list[EventID] = []
    opened: set[EventID] = set(settled)
    closed: set[EventID] = set(settled)
    missing: set[EventID] = set()
    stack = list(roots)
    while stack:
        event_id = stack.pop()
        if event_id in closed:
            continue
        event = events.get(event_id)
        if event is None:
            closed.add(event_id)
            missing.add(event_id)
        elif event_id in opened:
            closed.add(event_id)
            ordered.append(event_id)
        else:
            opened.add(event_id)
            stack.append(event_id)
            stack.extend(auth for auth in event.auth_events if auth not in opened)
    if missing:
        raise MissingEvents(frozenset(missing))
    return ordered


def require(event_ids: Collection[EventID], events: Events) -> None:
    """Raises MissingEvents for those that are not loaded."""
    if missing := frozenset(event_id for event_id in event_ids if event_id not in events):
        raise MissingEvents(missing)


def auth_state(event: Event, events: Events) -> dict[StateKey, Event]:
    """The state that the event's own auth events describe, and the room's create event."""
    require(event.auth_events, events)
    cited = (events[event_id] for event_id in event.auth_events)
    state = {auth.key: auth for auth in cited if auth.is_state}
    if event.version.room_id_is_create_hash and event.type != CREATE[0]:
        # Room v12: the room ID implies the create event, so no event cites it.
        create_id = EventID("$" + event.room_id[1:])
        require((create_id,), events)
        state[CREATE] = events[create_id]
    return state


def power_levels_before(event: Event, events: Events) -> EventID | None:
    """The `m.room.power_levels` event among its auth events."""
    for event_id in event.auth_events:
        if events[event_id].type == POWER_LEVELS[0] and events[event_id].state_key == "":
            return event_id
    return None
