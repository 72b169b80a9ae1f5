"""What an event means to each member of this server, by push rules.

Most events mean the same to everybody, which follows from what they are; nothing is said of those.
Rules are tried only for members who changed theirs or ignore somebody, and for who is named.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import orjson

from homeserver.events.content import PowerLevels
from homeserver.events.event import Event
from homeserver.events.stored import StoredEvent
from homeserver.identifiers import RoomID, UserID, native_uuid
from homeserver.messages import MESSAGE_TYPE, REDACTION_TYPE, THREAD, relation_of, thread_of
from homeserver.push_rules.conditions import Circumstances, Reader
from homeserver.push_rules.evaluation import DEFAULT_PROGRAM, NOBODY, Program, program_of
from homeserver.push_rules.properties import EventView
from homeserver.push_rules.rules import Outcome
from homeserver.push_rules.ruleset import PUSH_RULES, Ruleset
from homeserver.storage import notifications, room_lists, state_history
from homeserver.storage.database import Connection
from homeserver.storage.notifications import EVERYBODY, MAIN, Setting
from homeserver.streams.account_settings import IGNORED_USER_LIST, ignored_in
from homeserver.streams.tail import Committed
from homeserver.values import value

DEFAULT_CAPACITY = 5_000
MAX_NAMED = 1_000
"""Of more people that an event names, nobody is told."""

SETTINGS = (PUSH_RULES, IGNORED_USER_LIST)
_LEVELS = ("m.room.power_levels", "m.room.create")
_MENTIONS = "m.mentions"
_ORDINARY = frozenset((MESSAGE_TYPE, "m.room.encrypted"))


@value
class Meaning:
    """What an event means to one user, or to everybody (user_nid EVERYBODY)."""

    user_nid: int
    notify: bool
    highlight: bool


@value
class Judgement:
    """What is to be known of an event beyond that it is a message, or is none.

    removed: the position of the event that it redacted.
    """

    position: int
    room_nid: int
    sender_nid: int
    thread: str
    meanings: tuple[Meaning, ...]
    removed: int | None = None


@value
class Member:
    """Somebody whose rules must be tried. ignored: of their events he wants to hear nothing."""

    user_nid: int
    user_id: UserID
    program: Program
    ignored: frozenset[UserID]
    muted: bool
    display_name: str | None = None


class Audience:
    """Who hears a room of this server, as far as it matters. named: by user ID; None: he is not in
    the room, or has no account here.
    """

    __slots__ = ("levels", "member_count", "named", "special")

    def __init__(
        self, *, special: dict[int, Member], member_count: int, levels: PowerLevels
    ) -> None:
        self.special = special
        self.member_count = member_count
        self.levels = levels
        self.named: dict[str, Member | None] = {}

    def circumstances(self, sender: UserID) -> Circumstances:
        levels = self.levels
        return Circumstances(
            member_count=self.member_count,
            may_notify=lambda key: levels.user(sender) >= levels.notification(key),
        )


class Judge:
    """Keeps audiences in memory; those of rooms that were silent for the longest leave first."""

    def __init__(self, *, capacity: int = DEFAULT_CAPACITY) -> None:
        self._capacity = capacity
        self._audiences: OrderedDict[int, Audience] = OrderedDict()
        self._special: set[int] = set()  # stands in the audience of each of his rooms that has one
        self._changes = 0

    def at_once(self, stored: StoredEvent) -> Judgement | None:
        """None: nothing is to be known. Raises NotLoaded where it must be looked up."""
        if stored.facts.redacted_by is not None:
            return None
        audience = self._audiences.get(stored.facts.room_nid)
        if audience is None or stored.event.type == REDACTION_TYPE:
            raise NotLoaded
        self._audiences.move_to_end(stored.facts.room_nid)
        return _judged(stored, audience, thread=None)

    async def judge(self, db: Connection, stored: StoredEvent) -> Judgement | None:
        """With what must be looked up."""
        event, facts = stored.event, stored.facts
        if facts.redacted_by is not None:
            return None
        removed = await _removed(db, stored)
        if removed is not None:
            return Judgement(_position(stored), facts.room_nid, facts.sender_nid, MAIN, (), removed)
        audience = self._audiences.get(facts.room_nid)
        if audience is None:
            audience = await self._load(db, facts.room_nid, event.room_id)
        if missing := named_in(event) - audience.named.keys():
            audience.named |= await _named(db, facts.room_nid, event.room_id, audience, missing)
        thread = await notifications.thread_of(db, facts.event_nid) if _hangs(event) else None
        return _judged(stored, audience, thread=thread)

    def judged(self, committed: Committed) -> None:
        """The event stands, so what it changed about its room is forgotten."""
        event = committed.stored.event
        if event.state_key is None:
            return
        if event.type == "m.room.member":
            if self._changes_members(committed):
                self._drop(committed.room.room_nid)
        elif event.type in _LEVELS:
            self._drop(committed.room.room_nid)

    def settings_changed(self, user_nid: int) -> None:
        """A user's rules, or whom he ignores: he is looked up again in the rooms that he is in.

        Which those are is only known of somebody whose rules are tried there now.
        """
        self._changes += 1
        if user_nid not in self._special:
            self._audiences.clear()
            return
        self._special.discard(user_nid)
        for room_nid, audience in list(self._audiences.items()):
            if user_nid in audience.special:
                del self._audiences[room_nid]

    def _changes_members(self, committed: Committed) -> bool:
        event = committed.stored.event
        if event.content.get("membership") != committed.prev_membership:
            return True
        audience = self._audiences.get(committed.room.room_nid)
        if audience is None:
            return False
        return any(each.user_id == event.state_key for each in audience.special.values())

    def _drop(self, room_nid: int) -> None:
        self._changes += 1
        self._audiences.pop(room_nid, None)

    async def _load(self, db: Connection, room_nid: int, room_id: RoomID) -> Audience:
        """What changed while it was loaded may be old already, so it is not kept."""
        changes = self._changes
        settings = await notifications.settings_of_members(db, room_nid, SETTINGS)
        members = members_of(settings, room_id)
        await _name(db, room_nid, members)
        audience = Audience(
            special={nid: member for nid, member in members.items() if _is_special(member)},
            member_count=await room_lists.member_count(db, room_nid),
            levels=_levels(await state_history.current(db, [room_nid], _LEVELS)),
        )
        if changes == self._changes:
            self._special |= audience.special.keys()
            self._audiences[room_nid] = audience
            if len(self._audiences) > self._capacity:
                self._audiences.popitem(last=False)
        return audience


class NotLoaded(Exception):
    """What an event means cannot be said without looking something up."""


def _judged(stored: StoredEvent, audience: Audience, *, thread: str | None) -> Judgement | None:
    """thread: of an event that hangs on another. Raises NotLoaded."""
    event, is_message = stored.event, stored.facts.is_message
    members = _concerned(event, audience)
    meanings: list[Meaning] = []
    if members or not is_message or not _is_ordinary(event):
        meanings = _meanings(stored, audience, members)
    hangs = _hangs(event)
    if not meanings and not (is_message and hangs):
        return None
    if hangs and thread is None:
        raise NotLoaded
    root = thread or thread_of(event) or MAIN
    facts = stored.facts
    return Judgement(_position(stored), facts.room_nid, facts.sender_nid, root, tuple(meanings))


def _meanings(stored: StoredEvent, audience: Audience, members: Iterable[Member]) -> list[Meaning]:
    event = stored.event
    view, circumstances = EventView.of(event), audience.circumstances(event.sender)
    everybody = DEFAULT_PROGRAM.outcome(view, NOBODY, circumstances)
    meanings = []
    if (everybody.notify, everybody.highlight) != (stored.facts.is_message, False):
        meanings.append(Meaning(EVERYBODY, everybody.notify, everybody.highlight))
    for member in members:
        if member.user_nid != stored.facts.sender_nid:
            meanings += _own_meaning(member, view, circumstances, everybody)
    return meanings


def _concerned(event: Event, audience: Audience) -> Collection[Member]:
    """Those whose rules must be tried. Raises NotLoaded."""
    names = named_in(event)
    if not names:
        return audience.special.values()
    members = dict(audience.special)
    for user_id in names:
        if user_id not in audience.named:
            raise NotLoaded
        member = audience.named[user_id]
        if member is not None:
            members.setdefault(member.user_nid, member)
    return members.values()


def _is_ordinary(event: Event) -> bool:
    """Whether it is surely what it looks like: a message that is for everybody alike."""
    content = event.content
    return (
        event.type in _ORDINARY
        and content.get("msgtype") != "m.notice"
        and _MENTIONS not in content
    )


def _hangs(event: Event) -> bool:
    """Whether it stands where what it relates to stands."""
    relation = relation_of(event)
    return relation is not None and relation.rel_type != THREAD


async def _removed(db: Connection, redaction: StoredEvent) -> int | None:
    """The position of the event that was redacted, if this is a redaction that redacted one."""
    target = redaction.event.redacts
    if redaction.event.type != REDACTION_TYPE or target is None:
        return None
    return await notifications.redacted_position(db, native_uuid(target), redaction.facts.event_nid)


def _position(stored: StoredEvent) -> int:
    assert stored.facts.position is not None
    return stored.facts.position


def named_in(event: Event) -> frozenset[str]:
    """Whom an event is for more than for others: who is mentioned, who is invited."""
    if event.state_key is not None:
        is_invitation = (
            event.type == "m.room.member" and event.content.get("membership") == "invite"
        )
        return frozenset((event.state_key,)) if is_invitation else frozenset()
    mentions = event.content.get(_MENTIONS)
    user_ids = mentions.get("user_ids") if isinstance(mentions, dict) else None
    if not isinstance(user_ids, list) or not user_ids:
        return frozenset()
    return frozenset([each for each in user_ids if isinstance(each, str)][:MAX_NAMED])


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


def _is_special(member: Member) -> bool:
    return not member.program.is_default or bool(member.ignored)


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


async def _named(
    db: Connection,
    room_nid: int,
    room_id: RoomID,
    audience: Audience,
    user_ids: Collection[str],
) -> dict[str, Member | None]:
    """People by user ID, None for those who are not told. Only the invited are not known yet."""
    found = await notifications.named(db, room_nid, user_ids)
    invited = [each.user_nid for each in found if each.membership == "invite"]
    settings = await notifications.settings_of(db, invited, SETTINGS) if invited else []
    known = {**audience.special, **members_of(settings, room_id)}
    members: dict[str, Member | None] = dict.fromkeys(user_ids)
    for each in found:
        members[each.user_id] = known.get(each.user_nid) or Member(
            each.user_nid, each.user_id, DEFAULT_PROGRAM, frozenset(), muted=False
        )
    return members


def _own_meaning(
    member: Member, view: EventView, circumstances: Circumstances, everybody: Outcome
) -> Sequence[Meaning]:
    """What it means to one member, if it is not what he would be told anyway."""
    if view.sender in member.ignored:
        own = False, False
    else:
        reader = Reader(member.user_id, member.display_name)
        outcome = member.program.outcome(view, reader, circumstances)
        own = outcome.notify, outcome.highlight
    expected = (False, False) if member.muted else (everybody.notify, everybody.highlight)
    return () if own == expected else (Meaning(member.user_nid, *own),)


def _levels(state: Mapping[tuple[int, str], StoredEvent]) -> PowerLevels:
    found = {event_type: stored.event for (_, event_type), stored in state.items()}
    return PowerLevels.of(found.get("m.room.power_levels"), found["m.room.create"])
