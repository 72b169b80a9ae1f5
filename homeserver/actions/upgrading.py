"""What an upgrade takes from the old room into the new one, and leaves in the old one. Pure.

Source: C-S API v1.19 "Room upgrades", "Server behaviour"; room v12 for creators.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.actions.create_room import KIND_FIELD, state_draft
from homeserver.actions.lookups import CREATE, JOIN_RULES, POWER_LEVELS, levels_of
from homeserver.actions.membership import ADMIN_LEVEL
from homeserver.events.build import Draft
from homeserver.events.content import creators_of
from homeserver.events.room_version import RoomVersion
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import EventID, RoomID, StateKey, UserID
from homeserver.rooms.head import RoomHead

# Behaviour 3: "the recommended state events to transfer", and the name that the aliases moved for.
_TRANSFERRED: tuple[StateKey, ...] = (
    JOIN_RULES,
    ("m.room.history_visibility", ""),
    ("m.room.guest_access", ""),
    ("m.room.server_acl", ""),
    ("m.room.encryption", ""),
    ("m.room.name", ""),
    ("m.room.topic", ""),
    ("m.room.avatar", ""),
    ("m.room.canonical_alias", ""),
)
NEEDED = (CREATE, POWER_LEVELS, *_TRANSFERRED)
"""State entries of the old room to look at."""

_CLOSED_LEVEL = 50


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What the new room has from the old one. creators: those whose power has no level; by: who
    upgrades. chosen: who shall be creators besides him; None: those who were.
    """

    by: UserID
    kind: str
    old_id: RoomID
    newest: EventID
    room_type: str | None
    creators: frozenset[UserID]
    levels: Mapping[str, Any]
    states: Sequence[tuple[StateKey, Mapping[str, Any]]]
    chosen: frozenset[UserID] | None = None

    @classmethod
    def of(
        cls,
        room: RoomRecord,
        head: RoomHead,
        by: UserID,
        chosen: frozenset[UserID] | None = None,
    ) -> "Inheritance":
        create, levels = head.event(CREATE), head.event(POWER_LEVELS)
        assert create is not None
        room_type = create.content.get("type")
        return cls(
            by=by,
            kind=room.kind,
            old_id=room.room_id,
            newest=head.extremities[-1].event_id,
            room_type=room_type if isinstance(room_type, str) else None,
            creators=creators_of(create) if room.version.privileged_creators else frozenset(),
            levels={} if levels is None else levels.content,
            states=[
                (key, event.content)
                for key in _TRANSFERRED
                if (event := head.event(key)) is not None
            ],
            chosen=chosen,
        )

    def create(self, version: RoomVersion) -> Draft:
        """The new room's create event (behaviour 2)."""
        predecessor: dict[str, Any] = {"room_id": self.old_id}
        if not version.room_id_is_create_hash:
            predecessor["event_id"] = self.newest
        content: dict[str, Any] = {
            "room_version": version.name,
            KIND_FIELD: self.kind,
            "predecessor": predecessor,
        }
        if self.room_type is not None:
            content["type"] = self.room_type
        if not version.implicit_creator:
            content["creator"] = self.by
        if others := self._other_creators(version):
            content["additional_creators"] = sorted(others)
        return Draft(
            room_id=None, sender=self.by, type="m.room.create", state_key="", content=content
        )

    def drafts(self, room_id: RoomID, version: RoomVersion) -> Iterator[Draft]:
        """The state that is transferred. Power levels come last: until then the creator may do
        everything, whatever his level is."""
        for (event_type, state_key), content in self.states:
            yield state_draft(room_id, self.by, event_type, content, state_key)
        levels = {**self.levels, "users": self._users(version), "events": self._events(version)}
        yield state_draft(room_id, self.by, POWER_LEVELS[0], levels)

    def _other_creators(self, version: RoomVersion) -> frozenset[UserID]:
        """Who else has every power: other creators, and the other one of a conversation."""
        if not version.privileged_creators:
            return frozenset()
        if self.chosen is not None:
            return self.chosen - {self.by}
        admins = {user for user, level in self._old_users().items() if level == ADMIN_LEVEL}
        equals = admins if self.kind == "direct" else set()
        return frozenset((self.creators | equals) - {self.by})

    def _users(self, version: RoomVersion) -> dict[UserID, Any]:
        """Room v12 auth rule 10.4: creators are not listed. Before, they are the admins."""
        users = self._old_users()
        if version.privileged_creators:
            creators = {self.by, *self._other_creators(version)}
            return {user: level for user, level in users.items() if user not in creators}
        return users | dict.fromkeys(self.creators | ({self.by} - users.keys()), ADMIN_LEVEL)

    def _events(self, version: RoomVersion) -> dict[str, Any]:
        """What only creators might do is for admins where creators have no power of their own."""
        events = _object(self.levels.get("events"))
        if version.privileged_creators:
            return events
        return {
            event_type: min(level, ADMIN_LEVEL) if type(level) is int else level
            for event_type, level in events.items()
        }

    def _old_users(self) -> dict[UserID, Any]:
        return _object(self.levels.get("users"))


def _object(value: object) -> dict[Any, Any]:
    """What is none counts as empty: until room version 5, levels may be anything."""
    return dict(value) if isinstance(value, Mapping) else {}


def closing(head: RoomHead, room: RoomRecord, by: UserID, successor: RoomID) -> Iterator[Draft]:
    """Behaviours 5 and 6: the tombstone, and levels that keep people from going on here."""
    body = {"body": "This room has been replaced", "replacement_room": successor}
    yield state_draft(room.room_id, by, "m.room.tombstone", body)
    levels, event = levels_of(head), head.event(POWER_LEVELS)
    users_default = 0 if event is None else event.content.get("users_default", 0)
    if event is None or type(users_default) is not int:
        return
    closed = max(_CLOSED_LEVEL, users_default + 1)
    needed = max(closed, levels.required_for(POWER_LEVELS[0], is_state=True))
    if levels.user(by) >= needed:
        content = {**event.content, "events_default": closed, "invite": closed}
        yield state_draft(room.room_id, by, POWER_LEVELS[0], content)
