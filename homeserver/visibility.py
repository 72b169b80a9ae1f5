"""Who may see which event. Pure.

Source: C-S API v1.19, "Room History Visibility", "Server behaviour".
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import product
from operator import itemgetter

from homeserver.events.event import Event
from homeserver.identifiers import UserID

WORLD_READABLE = "world_readable"
SHARED = "shared"
INVITED = "invited"
JOINED = "joined"

VISIBILITY_TYPE = "m.room.history_visibility"
MEMBER_TYPE = "m.room.member"

_RESTRICTED = frozenset((INVITED, JOINED))

Intervals = Sequence[tuple[int, str | None]]
"""The values that one entry of the room's state had: each with the state version from which on
it held, ascending; None where there was no such entry."""


def may_see(
    *,
    visibility_before: str | None,
    visibility_after: str | None,
    membership_before: str | None,
    membership_after: str | None,
    member_later: bool,
) -> bool:
    """Whether a reader may see an event, by the state before it and after it.

    visibility: `history_visibility` as the content has it; None without such an event. Unknown
    values count as `shared`. membership: the reader's; None if there is none. Before and after
    are the same unless the event itself is the change; then the more permissive counts.
    member_later: the reader joined the room at any point after the event.
    """
    return any(
        _allows(visibility, membership, member_later=member_later)
        for visibility, membership in product(
            {visibility_before, visibility_after}, {membership_before, membership_after}
        )
    )


def visibility_set_by(event: Event) -> str | None:
    """The visibility that the event sets; None if it is no such event, "" if unreadable."""
    if event.type != VISIBILITY_TYPE or event.state_key != "":
        return None
    value = event.content.get("history_visibility")
    return value if isinstance(value, str) else ""


def membership_set_by(event: Event, reader: UserID) -> str | None:
    """The membership that the event gives the reader; None if it is no such event."""
    if event.type != MEMBER_TYPE or event.state_key != reader:
        return None
    value = event.content.get("membership")
    return value if isinstance(value, str) else ""


class ReaderHistory:
    """What decides about one reader in one room, for any number of its events.

    visibility: the intervals of the room's `m.room.history_visibility`; membership: those of the
    reader's `m.room.member`. An answer costs two binary searches.
    """

    def __init__(self, *, visibility: Intervals, membership: Intervals) -> None:
        self._visibility = visibility
        self._membership = membership
        self._last_joined_at = max(
            (since for since, value in membership if value == "join"), default=None
        )

    def may_see(
        self,
        state_version: int,
        *,
        visibility_set: str | None = None,
        membership_set: str | None = None,
    ) -> bool:
        """Whether the reader may see an event.

        state_version: that of the state before it. The two others are what the event itself sets,
        None for an event that sets neither (`visibility_set_by`, `membership_set_by`).
        """
        visibility = _value_at(self._visibility, state_version)
        membership = _value_at(self._membership, state_version)
        return may_see(
            visibility_before=visibility,
            visibility_after=visibility if visibility_set is None else visibility_set,
            membership_before=membership,
            membership_after=membership if membership_set is None else membership_set,
            member_later=self.joins_after(state_version),
        )

    def joins_after(self, state_version: int) -> bool:
        """Whether the reader joined at any point after that state, whatever followed.

        For events on a fork, whose state is no version of the room's: with the fork's own values,
        this is what `may_see` lacks.
        """
        return self._last_joined_at is not None and self._last_joined_at > state_version


def _allows(visibility: str | None, membership: str | None, *, member_later: bool) -> bool:
    """Rules 1 to 5 of "Server behaviour"."""
    if visibility == WORLD_READABLE or membership == "join":
        return True
    # "if the value is not understood, the visibility is assumed to be `shared`"
    if visibility not in _RESTRICTED:
        return member_later
    return visibility == INVITED and membership == "invite"


def _value_at(intervals: Intervals, state_version: int) -> str | None:
    index = bisect_right(intervals, state_version, key=itemgetter(0))
    return intervals[index - 1][1] if index else None
