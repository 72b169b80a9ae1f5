"""The order of what does not touch power: along the history of the power levels."""

from collections.abc import Iterable
from math import inf

from homeserver.identifiers import EventID
from homeserver.state.auth_graph import Events, power_levels_before, require


def mainline_order(
    event_ids: Iterable[EventID], power_levels: EventID | None, events: Events
) -> list[EventID]:
    """Those based on older power levels first, then by time, then by event ID.

    power_levels: the power levels event that the mainline ends in, None for an empty mainline.
    Raises MissingEvents. Source: room v2 state resolution, "Mainline ordering".
    """
    positions = Positions(power_levels, events)

    def rank(event_id: EventID) -> tuple[float, int, EventID]:
        return -positions.of(event_id), events[event_id].origin_server_ts, event_id

    return sorted(event_ids, key=rank)


class Positions:
    """Mainline positions: 0 is the newest power levels event, infinity is off the mainline."""

    def __init__(self, power_levels: EventID | None, events: Events) -> None:
        self._events = events
        self._known: dict[EventID, float] = {}
        while power_levels is not None and power_levels not in self._known:
            self._known[power_levels] = len(self._known)
            power_levels = self._before(power_levels)

    def of(self, event_id: EventID) -> float:
        """The position of the first power levels event behind it that is on the mainline."""
        walked: list[EventID] = []
        at = self._before(event_id)
        while at is not None and at not in self._known:
            self._known[at] = inf
            walked.append(at)
            at = self._before(at)
        position = inf if at is None else self._known[at]
        # Remembered, so that every power levels event is passed once, whatever leads to it.
        self._known.update(dict.fromkeys(walked, position))
        return position

    def _before(self, event_id: EventID) -> EventID | None:
        require((event_id,), self._events)
        event = self._events[event_id]
        require(event.auth_events, self._events)
        return power_levels_before(event, self._events)
