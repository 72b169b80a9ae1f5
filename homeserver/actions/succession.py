"""Who comes into a room that replaces another one finds his settings there.

Source: C-S API v1.19 "Room Upgrades", server behaviour: "When a user joins the new room, the server
should automatically transfer/replicate some of the user's personalized settings".
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from homeserver.errors import InvalidIdentifier
from homeserver.events.event import Event
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import RoomID, native_uuid, parse_room_id
from homeserver.push_rules.rules import Condition, PushRule
from homeserver.push_rules.ruleset import PUSH_RULES, Ruleset
from homeserver.storage import state_history, succession
from homeserver.storage.account_data import GLOBAL
from homeserver.storage.database import Database
from homeserver.storage.succession import TAG
from homeserver.streams.account_data import AccountDataWriter
from homeserver.streams.people import Person
from homeserver.streams.room_records import RoomRecords

DIRECT = "m.direct"
_TOMBSTONE = "m.room.tombstone"


class Succession:
    """Takes tags, push rules and the mark of a conversation from a room into its successor."""

    def __init__(
        self, *, database: Database, rooms: RoomRecords, account_data: AccountDataWriter
    ) -> None:
        self._database = database
        self._rooms = rooms
        self._account_data = account_data

    async def come_after(self, person: Person, create: Event, room: RoomRecord) -> None:
        """Somebody has come into the room. create: its first event. Raises Unavailable."""
        predecessor_id = predecessor_of(create)
        if predecessor_id is None:
            return
        old = await self._rooms.by_uuid(native_uuid(predecessor_id))
        if old is not None and await self._is_replaced(old, room):
            await self.follow([person], old, room)

    async def follow(self, people: Collection[Person], old: RoomRecord, room: RoomRecord) -> None:
        """People have come from the old room into the one that replaces it. Raises Unavailable."""
        async with self._database.connection() as db:
            found = await succession.settings_about(
                db,
                [person.user_nid for person in people],
                old.room_nid,
                old.room_id,
                (DIRECT, PUSH_RULES),
            )
        for person in people:
            for kind, content in found.get(person.user_nid, {}).items():
                await self._take_along(person, kind, content, old, room)

    async def _is_replaced(self, old: RoomRecord, room: RoomRecord) -> bool:
        """Whether the old room names this one: any room may say that it replaces another."""
        async with self._database.connection() as db:
            state = await state_history.current(db, [old.room_nid], (_TOMBSTONE,))
        tombstone = state.get((old.room_nid, _TOMBSTONE))
        return (
            tombstone is not None
            and tombstone.event.content.get("replacement_room") == room.room_id
        )

    async def _take_along(
        self, person: Person, kind: str, content: bytes, old: RoomRecord, room: RoomRecord
    ) -> None:
        if kind == TAG:

            def edit_tags(current: bytes | None) -> bytes | None:
                return content if current is None else None

            await self._account_data.change(person.user_nid, room.room_nid, TAG, edit_tags)
            return
        edit = with_direct_room if kind == DIRECT else with_push_rules

        def edit_global(current: bytes | None) -> bytes | None:
            before = None if current is None else orjson.loads(current)
            after = edit(before, old.room_id, room.room_id, person)
            return None if after is None else orjson.dumps(after)

        await self._account_data.change(person.user_nid, GLOBAL, kind, edit_global)


def predecessor_of(create: Event) -> RoomID | None:
    """The room that this one replaces. Content comes from anybody."""
    predecessor = create.content.get("predecessor")
    room_id = predecessor.get("room_id") if isinstance(predecessor, Mapping) else None
    try:
        return parse_room_id(room_id) if isinstance(room_id, str) else None
    except InvalidIdentifier:
        return None


def with_direct_room(
    content: Any, old: RoomID, new: RoomID, _person: Person
) -> dict[str, Any] | None:
    """`m.direct` with the new room wherever the old one stands; None: nothing changes."""
    if not isinstance(content, dict):
        return None
    lacking = {
        user: [*rooms, new]
        for user, rooms in content.items()
        if isinstance(rooms, list) and old in rooms and new not in rooms
    }
    return {**content, **lacking} if lacking else None


def with_push_rules(
    content: Any, old: RoomID, new: RoomID, person: Person
) -> dict[str, Any] | None:
    """Push rules with those about the old room also about the new one; None: nothing changes."""
    before = after = Ruleset.of(content)
    for kind in before.kinds:
        own = after.own(kind)
        known = {rule.rule_id for rule in own}
        copies = [copy for rule in own if (copy := _about(rule, old, new)) is not None]
        if fresh := [copy for copy in copies if copy.rule_id not in known]:
            predefined = [rule for rule in after.kinds[kind] if rule.is_predefined]
            after = after.with_rules(kind, [*fresh, *own, *predefined])
    return None if after == before else after.as_json(person.user_id)


def _about(rule: PushRule, old: RoomID, new: RoomID) -> PushRule | None:
    """The rule about another room; None: it is not about the old one."""
    if old not in (rule.rule_id, *_rooms_of(rule.conditions or ())):
        return None
    conditions = rule.conditions and tuple(_moved(each, old, new) for each in rule.conditions)
    rule_id = rule.rule_id.replace(old, new)
    # A rule whose name does not say which room it is about needs another name.
    return replace(
        rule,
        rule_id=new if rule_id == rule.rule_id else rule_id,
        conditions=conditions,
    )


def _rooms_of(conditions: Sequence[Condition]) -> list[Any]:
    return [each.get("pattern") for each in conditions if each.get("key") == "room_id"]


def _moved(condition: Condition, old: RoomID, new: RoomID) -> Condition:
    if condition.get("key") == "room_id" and condition.get("pattern") == old:
        return {**condition, "pattern": new}
    return condition
