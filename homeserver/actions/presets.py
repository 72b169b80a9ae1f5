"""What a new room begins with, as Matrix clients ask for it. Pure.

Source: C-S API v1.19 `createRoom`: order of the events, presets, power levels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from homeserver.actions.create_room import KIND_FIELD, default_levels, state_draft
from homeserver.actions.lookups import CREATE, POWER_LEVELS, member_content
from homeserver.events.build import Draft
from homeserver.events.room_version import RoomVersion
from homeserver.identifiers import RoomAlias, RoomID, StateKey, UserID
from homeserver.streams.people import Person

PRIVATE, PUBLIC, TRUSTED = "private_chat", "public_chat", "trusted_private_chat"
TOMBSTONE = "m.room.tombstone"

_NAME: StateKey = ("m.room.name", "")
_TOPIC: StateKey = ("m.room.topic", "")


@dataclass(frozen=True, slots=True)
class StateEvent:
    """An entry of `initial_state`."""

    type: str
    state_key: str
    content: Mapping[str, Any]

    @property
    def key(self) -> StateKey:
        return self.type, self.state_key


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomPlan:
    """A room to be. listed: in the directory of rooms. alias_name: what stands before the colon.

    levels: what replaces parts of the default power levels.
    """

    preset: str
    listed: bool = False
    alias_name: str | None = None
    name: str | None = None
    topic: str | None = None
    invited: Sequence[UserID] = ()
    version: str | None = None
    creation_content: Mapping[str, Any] = field(default_factory=dict)
    initial_state: Sequence[StateEvent] = ()
    is_direct: bool = False
    levels: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """How native clients see it: a channel is what everybody may find or join."""
        if self.listed or self.preset == PUBLIC:
            return "channel"
        return "direct" if self.is_direct and len(self.invited) == 1 else "group"


def create_draft(
    plan: RoomPlan, creator: Person, invited: Sequence[Person], version: RoomVersion
) -> Draft:
    """Event 1. The server's keys replace what the client says."""
    content = {key: value for key, value in plan.creation_content.items() if key != "creator"}
    content |= {"room_version": version.name, KIND_FIELD: plan.kind}
    if not version.implicit_creator:
        content["creator"] = creator.user_id
    if version.privileged_creators and plan.preset == TRUSTED:
        content["additional_creators"] = _more_creators(
            content.get("additional_creators", []), creator, invited
        )
    event_type, state_key = CREATE
    return Draft(
        room_id=None,
        sender=creator.user_id,
        type=event_type,
        state_key=state_key,
        content=content,
    )


def _more_creators(given: Any, creator: Person, invited: Sequence[Person]) -> Any:
    """What is no list stays as it is: the auth rules say what is wrong with it."""
    if not isinstance(given, list):
        return given
    together = [*given, *(person.user_id for person in invited)]
    return [
        user
        for index, user in enumerate(together)
        if user != creator.user_id and user not in together[:index]
    ]


def first_drafts(
    plan: RoomPlan,
    room_id: RoomID,
    creator: Person,
    invited: Sequence[Person],
    version: RoomVersion,
    alias: RoomAlias | None,
) -> Iterator[Draft]:
    """Events 2 to 8, in the order of the specification."""
    me = creator.user_id
    yield state_draft(room_id, me, "m.room.member", member_content(creator, "join"), me)
    for event in _state(plan, creator, invited, version, alias):
        yield state_draft(room_id, me, event.type, event.content, event.state_key)
    for person in invited:
        yield invitation(room_id, me, person, is_direct=plan.is_direct)


def invitation(room_id: RoomID, sender: UserID, person: Person, *, is_direct: bool) -> Draft:
    content: dict[str, Any] = dict(member_content(person, "invite"))
    if is_direct:
        content["is_direct"] = True
    return state_draft(room_id, sender, "m.room.member", content, person.user_id)


def _state(
    plan: RoomPlan,
    creator: Person,
    invited: Sequence[Person],
    version: RoomVersion,
    alias: RoomAlias | None,
) -> Iterator[StateEvent]:
    """Events 3 to 7. What a later one would replace is left out."""
    yield StateEvent(*POWER_LEVELS, levels(plan, creator, invited, version))
    if alias is not None:
        yield StateEvent("m.room.canonical_alias", "", {"alias": alias})
    named = [*_names(plan)]
    replaced = {event.key for event in named}
    given = [event for event in plan.initial_state if event.key not in replaced]
    replaced |= {event.key for event in given}
    yield from (event for event in _of_preset(plan.preset) if event.key not in replaced)
    yield from given
    yield from named


def _of_preset(preset: str) -> Iterator[StateEvent]:
    public = preset == PUBLIC
    yield StateEvent("m.room.join_rules", "", {"join_rule": "public" if public else "invite"})
    yield StateEvent("m.room.history_visibility", "", {"history_visibility": "shared"})
    access = "forbidden" if public else "can_join"
    yield StateEvent("m.room.guest_access", "", {"guest_access": access})


def _names(plan: RoomPlan) -> Iterator[StateEvent]:
    if plan.name is not None:
        yield StateEvent(*_NAME, {"name": plan.name})
    if plan.topic is not None:
        yield StateEvent(*_TOPIC, topic_content(plan.topic))


def topic_content(topic: str) -> dict[str, Any]:
    """Plain text, also in the form that knows others (since v1.15)."""
    return {"topic": topic, "m.topic": {"m.text": [{"body": topic}]}}


def levels(
    plan: RoomPlan, creator: Person, invited: Sequence[Person], version: RoomVersion
) -> dict[str, Any]:
    """`power_level_content_override` lies over the defaults."""
    equals = invited if plan.preset == TRUSTED else ()
    content = {
        **default_levels(version, [creator.user_id, *(person.user_id for person in equals)]),
        **plan.levels,
    }
    events = content["events"]
    if version.privileged_creators and isinstance(events, Mapping) and TOMBSTONE not in events:
        # `createRoom`, 3: from room version 12 on, explicitly above `state_default`.
        content["events"] = {**events, TOMBSTONE: 150}
    return content
