"""With the real engine: what was missed is the same from memory, from the database, and live."""

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from clientapi.native.publications import Kind, kind_of, membership_step
from clientapi.native.replay import heard_by
from homeserver.requester import Requester
from homeserver.streams.tail import Committed
from tests.support.server import Server, server

__all__ = ["server"]


class Diary:
    """What a user would hear, event by event, with his rooms followed as the hub does."""

    def __init__(self, of: Requester) -> None:
        self.of = of
        self.rooms: dict[int, int] = {}
        self.heard: list[int] = []

    def take(self, batch: Sequence[Committed]) -> None:
        for committed in batch:
            own = committed.stored.event.state_key == self.of.user_id
            hears = own or committed.room.room_nid in self.rooms
            if hears and kind_of(committed) is not Kind.NOTHING:
                self.heard.append(committed.position)
            if own:
                membership_step(committed).take(self.rooms, committed)


async def live_for_a_while(server: Server, people: list[Requester], seed: int) -> None:
    """Talk, joins, departures, removals, deletions, as chance has it."""
    chance = random.Random(seed)
    alice, *others = people
    rooms = [await server.channel(alice, name=f"Room {number}") for number in range(3)]
    actions = server.actions
    for number in range(80):
        room, person = chance.choice(rooms), chance.choice(others)
        members = await server.views.rooms.members(alice, room.uuid, 100, None)
        inside = any(member.person.uuid == person.user_uuid for member in members)
        match chance.randrange(6):
            case 0 if not inside:
                await actions.membership.join(person, room.uuid)
            case 1 if not inside:
                await actions.membership.invite(alice, room.uuid, person.user_uuid)
            case 2 if inside:
                await actions.membership.leave(person, room.uuid)
            case 3 if inside:
                await actions.membership.remove(alice, room.uuid, person.user_uuid)
            case 4:
                sent = await server.says(alice, room, f"oops {number}")
                await actions.send.delete(alice, sent.message_uuid)
            case _:
                await server.says(alice, room, f"hello {number}")


@pytest.mark.parametrize("seed", range(3))
async def test_memory_database_and_live_agree(server: Server, seed: int):
    people = await server.people("alice", "bob", "carol", "dora")
    diaries = [Diary(person) for person in people]
    tail, begin = server.core.streams.events, server.position
    for diary in diaries:
        tail.subscribe(diary.take)
    await live_for_a_while(server, people, seed)
    everything = tail.since(begin)
    assert everything is not None
    for diary in diaries:
        user = diary.of
        subscriptions = await server.views.live.subscriptions(user.user_nid)
        assert subscriptions.room_nids == set(diary.rooms)
        for since in (begin, begin + len(everything) // 2, server.position - 3):
            expected = [position for position in diary.heard if position > since]
            rooms = dict.fromkeys(subscriptions.room_nids, 0)
            recent = [each for each in everything if each.position > since]
            assert told(heard_by(user.user_id, rooms, recent)) == expected
            replayed = await server.views.live.replay(user.user_nid, since, server.position, 1000)
            assert told(replayed) == expected


async def test_the_database_replays_page_by_page(server: Server):
    people = await server.people("alice", "bob", "carol", "dora")
    begin = server.position
    await live_for_a_while(server, people, seed=7)
    nid, end = people[1].user_nid, server.position
    whole = [each.position for each in await server.views.live.replay(nid, begin, end, 1000)]
    pages, after = [], begin
    while page := await server.views.live.replay(nid, after, end, 7):
        pages += [each.position for each in page]
        after = pages[-1]
    assert pages == whole
    assert all(before < after for before, after in pairwise(pages))


def told(events: Sequence[Committed]) -> list[int]:
    return [each.position for each in events if kind_of(each) is not Kind.NOTHING]
