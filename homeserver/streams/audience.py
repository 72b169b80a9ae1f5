"""Who hears a room of this server, as far as push rules make a difference between them.

An audience is loaded once and then follows what happens in its room, so that in a room of thousands
a join costs what it changes.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import orjson

from homeserver.events.content import PowerLevels
from homeserver.events.stored import StoredEvent
from homeserver.identifiers import RoomID, UserID
from homeserver.push_rules.conditions import Circumstances
from homeserver.push_rules.evaluation import DEFAULT_PROGRAM, Program, program_of
from homeserver.push_rules.ruleset import PUSH_RULES, Ruleset
from homeserver.storage import notifications, state_history, streams
from homeserver.storage.database import Connection
from homeserver.storage.notifications import Setting
from homeserver.streams.account_settings import IGNORED_USER_LIST, ignored_in
from homeserver.streams.tail import EVENTS, Committed
from homeserver.values import value

LEVELS = ("m.room.power_levels", "m.room.create")


@value
class Member:
    """Somebody whose rules must be tried. ignored: of their events he wants to hear nothing."""

    user_nid: int
    user_id: UserID
    program: Program
    ignored: frozenset[UserID]
    muted: bool
    display_name: str | None = None

    @property
    def is_special(self) -> bool:
        return not self.program.is_default or bool(self.ignored)


class Audience:
    """The members of a room who are told something else than everybody, and what rules ask of it.

    position: up to which its room is known. special: by user number. named: by user ID; None: he is
    not in the room, or has no account here. unknown: who has come in since, and was not looked up.
    """

    __slots__ = (
        "_counted_to",
        "_member_count",
        "levels",
        "named",
        "position",
        "special",
        "unknown",
    )

    def __init__(
        self,
        *,
        position: int,
        special: dict[int, Member],
        member_count: int,
        counted_to: int,
        levels: PowerLevels,
    ) -> None:
        """counted_to: a member_count of so many means that there are so many or more."""
        self.position = position
        self.special = special
        self.levels = levels
        self.named: dict[str, Member | None] = {}
        self.unknown: set[int] = set()
        self._member_count = member_count
        self._counted_to = counted_to

    def circumstances(self, sender: UserID) -> Circumstances:
        levels = self.levels
        return Circumstances(
            member_count=self._member_count,
            may_notify=lambda key: levels.user(sender) >= levels.notification(key),
        )

    def names(self, user_id: str) -> bool:
        return any(each.user_id == user_id for each in self.special.values())

    def follow(self, committed: Committed, membership: object) -> bool:
        """Takes in that somebody's membership changed. False: it must be loaded anew."""
        event, facts = committed.stored.event, committed.stored.facts
        if committed.position <= self.position or event.state_key is None:
            return True
        self.named.pop(event.state_key, None)
        if membership == "join":
            self.unknown.add(facts.sender_nid)  # nobody else can say that he joins
            self._member_count = min(self._member_count + 1, self._counted_to)
        elif committed.prev_membership == "join":
            return self._left(event.state_key)
        return True

    def _left(self, user_id: str) -> bool:
        if self.unknown or self._member_count == self._counted_to:
            return False
        self._member_count -= 1
        self.special = {
            nid: member for nid, member in self.special.items() if member.user_id != user_id
        }
        return True

    async def complete(self, db: Connection, room_nid: int, room_id: RoomID) -> bool:
        """Looks up who came in. False: it must be loaded anew, for one of them counts further."""
        if not self.unknown:
            return True
        came = set(self.unknown)
        members = members_of(await notifications.settings_of(db, came), room_id)
        await _name(db, room_nid, members)
        self.special |= _special(members)
        self.unknown -= came
        return _counted_to(self.special) <= self._counted_to


async def load(db: Connection, room_nid: int, room_id: RoomID) -> Audience:
    """Reads settings of the members who have any, and of the others nothing. db: a snapshot."""
    members = members_of(await notifications.settings_of_members(db, room_nid), room_id)
    await _name(db, room_nid, members)
    special = _special(members)
    counted_to = _counted_to(special)
    return Audience(
        position=await streams.current(db, EVENTS),
        special=special,
        member_count=await notifications.member_count(db, room_nid, upto=counted_to),
        counted_to=counted_to,
        levels=_levels(await state_history.current(db, [room_nid], LEVELS)),
    )


async def named(
    db: Connection,
    room_nid: int,
    room_id: RoomID,
    audience: Audience,
    user_ids: Collection[str],
) -> dict[str, Member | None]:
    """People by user ID, None for those who are not told. Only the invited are not known yet."""
    found = await notifications.named(db, room_nid, user_ids)
    invited = [each.user_nid for each in found if each.membership == "invite"]
    settings = await notifications.settings_of(db, invited) if invited else []
    known = {**audience.special, **members_of(settings, room_id)}
    members: dict[str, Member | None] = dict.fromkeys(user_ids)
    for each in found:
        members[each.user_id] = known.get(each.user_nid) or Member(
            each.user_nid, each.user_id, DEFAULT_PROGRAM, frozenset(), muted=False
        )
    return members


def members_of(settings: Iterable[Setting], room_id: RoomID) -> dict[int, Member]:
    """Members as their settings have them."""
    contents: dict[int, dict[str, Any]] = {}
    user_ids: dict[int, UserID] = {}
    for setting in settings:
        contents.setdefault(setting.user_nid, {})[setting.type] = orjson.loads(setting.content)
        user_ids[setting.user_nid] = setting.user_id
    return {
        user_nid: _member(user_nid, user_ids[user_nid], found, room_id)
        for user_nid, found in contents.items()
    }


def _member(user_nid: int, user_id: UserID, found: dict[str, Any], room_id: RoomID) -> Member:
    program = DEFAULT_PROGRAM
    if PUSH_RULES in found:
        program = program_of(Ruleset.of(found[PUSH_RULES]))
    return Member(
        user_nid=user_nid,
        user_id=user_id,
        program=program,
        ignored=ignored_in(found.get(IGNORED_USER_LIST)),
        muted=program.mutes(room_id),
    )


def _special(members: Mapping[int, Member]) -> dict[int, Member]:
    return {nid: member for nid, member in members.items() if member.is_special}


def _counted_to(special: Mapping[int, Member]) -> int:
    programs = [DEFAULT_PROGRAM, *(member.program for member in special.values())]
    return max(program.counts_to for program in programs)


async def _name(db: Connection, room_nid: int, members: dict[int, Member]) -> None:
    """Says what those are called whose rules ask for it."""
    asking = [nid for nid, member in members.items() if member.program.asks_for_name]
    if not asking:
        return
    names = await notifications.display_names(db, room_nid, asking)
    for user_nid, name in names.items():
        member = members[user_nid]
        members[user_nid] = Member(
            user_nid, member.user_id, member.program, member.ignored, member.muted, name
        )


def _levels(state: Mapping[tuple[int, str], StoredEvent]) -> PowerLevels:
    found = {event_type: stored.event for (_, event_type), stored in state.items()}
    return PowerLevels.of(found.get("m.room.power_levels"), found["m.room.create"])
