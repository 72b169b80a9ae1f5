"""The state that an event is judged by, read in the words of the rules."""

from collections.abc import Mapping

from homeserver.auth.selection import JOIN_RULES, MEMBER, POWER_LEVELS, THIRD_PARTY_INVITE
from homeserver.events.content import PowerLevels, join_rule_of, membership_of
from homeserver.events.event import Event
from homeserver.identifiers import StateKey
from homeserver.values import value


@value
class AuthState:
    """Room state around its create event; entries that the rules do not name are ignored."""

    state: Mapping[StateKey, Event]
    create: Event

    @property
    def power_levels_event(self) -> Event | None:
        return self.state.get(POWER_LEVELS)

    @property
    def levels(self) -> PowerLevels:
        """The current power levels; the defaults where the room has no such event."""
        return PowerLevels.of(self.state.get(POWER_LEVELS), self.create)

    @property
    def join_rule(self) -> str:
        return join_rule_of(self.state.get(JOIN_RULES))

    def membership(self, user_id: str) -> str:
        """The current membership; "leave" of somebody who never was in the room."""
        return membership_of(self.state.get((MEMBER, user_id)))

    def is_joined(self, user_id: str) -> bool:
        return self.membership(user_id) == "join"

    def third_party_invite(self, token: str) -> Event | None:
        return self.state.get((THIRD_PARTY_INVITE, token))
