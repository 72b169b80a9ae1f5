"""What an event means to each member of this server, by push rules.

Most events mean the same to everybody, which follows from what they are; nothing is said of those.
Rules are tried only for members who changed theirs or ignore somebody, and for who is named.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence

from homeserver.events.event import Event
from homeserver.events.stored import StoredEvent
from homeserver.identifiers import RoomID, native_uuid
from homeserver.messages import MESSAGE_TYPE, REDACTION_TYPE, THREAD, relation_of, thread_of
from homeserver.push_rules.conditions import Circumstances, Reader
from homeserver.push_rules.evaluation import DEFAULT_PROGRAM, NOBODY
from homeserver.push_rules.properties import EventView
from homeserver.push_rules.rules import Outcome
from homeserver.storage import notifications
from homeserver.storage.database import Connection
from homeserver.storage.notifications import EVERYBODY, MAIN
from homeserver.streams.audience import LEVELS, Audience, Member, load, named
from homeserver.streams.tail import Committed
from homeserver.values import value

DEFAULT_CAPACITY = 5_000
MAX_NAMED = 1_000
"""Of more people that an event names, nobody is told."""

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
        if audience is None or audience.unknown or stored.event.type == REDACTION_TYPE:
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
        audience = await self._audience(db, facts.room_nid, event.room_id)
        if missing := named_in(event) - audience.named.keys():
            audience.named |= await named(db, facts.room_nid, event.room_id, audience, missing)
        thread = await notifications.thread_of(db, facts.event_nid) if _hangs(event) else None
        return _judged(stored, audience, thread=thread)

    def judged(self, committed: Committed) -> None:
        """The event stands, so what it changed about its room counts from now on."""
        event, room_nid = committed.stored.event, committed.room.room_nid
        audience = self._audiences.get(room_nid)
        if audience is None:
            return
        if len(event.prev_events) > 1 or committed.stored.facts.fork_nid is not None:
            # Where a graph parts or comes together, state changes that no event of its own tells.
            del self._audiences[room_nid]
        elif event.state_key is not None and not _follows(audience, committed):
            del self._audiences[room_nid]

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

    async def _audience(self, db: Connection, room_nid: int, room_id: RoomID) -> Audience:
        """What settings changed while they were read may be old already, so that is not kept."""
        changes = self._changes
        audience = self._audiences.get(room_nid)
        if audience is None or not await audience.complete(db, room_nid, room_id):
            audience = await load(db, room_nid, room_id)
        if changes != self._changes:
            self._audiences.pop(room_nid, None)
            return audience
        self._special |= audience.special.keys()
        self._audiences[room_nid] = audience
        if len(self._audiences) > self._capacity:
            self._audiences.popitem(last=False)
        return audience


class NotLoaded(Exception):
    """What an event means cannot be said without looking something up."""


def _follows(audience: Audience, committed: Committed) -> bool:
    """Takes in what a state event changed. False: the audience must be loaded anew."""
    event = committed.stored.event
    if event.type in LEVELS:
        return False
    if event.type != "m.room.member":
        return True
    membership = event.content.get("membership")
    if membership == committed.prev_membership:
        # What somebody is called now may be what his rules look for.
        return event.state_key is None or not audience.names(event.state_key)
    return audience.follow(committed, membership)


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
