"""Admitting events of other servers, which come in any order, twice, or not at all.

Source: server-server API v1.19 "Checks performed on receipt of a PDU", "Rejection", "Soft failure".
"""

import asyncio
from dataclasses import replace

import pytest

from homeserver.auth.verdict import ACCEPTED, Need, Rejected, Rule, SoftFailed
from homeserver.errors import InvalidInput
from homeserver.events.event import Event
from homeserver.events.room_version import V1, V2, V5, V11, V12
from homeserver.events.stored import Status
from homeserver.state.resolve import resolve
from tests.support.engine import (
    admits,
    another_process,
    ends,
    fetch,
    history_of,
    memberships,
    new_server,
    receives,
    state_before,
    state_now,
    stored,
)
from tests.support.room_factory import ALICE, BOB, CHARLIE, DORA, RoomFactory
from tests.support.versions import versions

TOPIC, POWER = ("m.room.topic", ""), ("m.room.power_levels", "")

resolutions = pytest.mark.parametrize(
    "version", [V1, V2, V11, V12], ids=lambda version: f"v{version.name}"
)


def member(user):
    return ("m.room.member", user)


def chat(version, *, members=(BOB, CHARLIE), join_rule="public", **create_content):
    """Alice's room; Bob and Charlie are moderators."""
    creator = {} if version.privileged_creators else {ALICE: 100}
    users = {**creator, BOB: 50, CHARLIE: 50}
    return RoomFactory.public_chat(
        version,
        members=members,
        join_rule=join_rule,
        power_levels={"users": users},
        create_content=create_content,
    )


def says(text: str, branch: RoomFactory, sender=BOB) -> Event:
    return branch.message(sender, text)


async def admit(engine, room, event, **told):
    return await engine.core.engine.admitter.admit(room, event, **told)


async def status_of(engine, event: Event) -> Status:
    return (await stored(engine, event.event_id)).facts.status


@versions()
class TestAStraightHistory:
    async def test_it_is_the_rooms_history_here(self, engine, version):
        history = chat(version)
        history.message(BOB, "hello")
        history.topic(ALICE, "cats")
        room = await receives(engine, history)
        assert [each.event for each in await history_of(engine, room)] == [*history.events.values()]
        assert await ends(engine, room) == set(history.extremities)
        assert await state_now(engine, room) == history.state_ids
        assert await memberships(engine, room) == dict.fromkeys((ALICE, BOB, CHARLIE), "join")
        for event in history.events.values():
            expected = {key: each.event_id for key, each in history.state_before(event).items()}
            assert await state_before(engine, event.event_id) == expected

    async def test_people_of_both_servers_talk(self, engine, version):
        history = chat(version)
        room = await receives(engine, history)
        (alice,) = await engine.people("alice")
        await engine.actions.membership.join(alice, room.uuid)
        sent = await engine.says(alice, room, "hello from here")
        for each in (await history_of(engine, room))[-2:]:
            history.append(each.event)
        answer = says("hello from there", history)
        assert await admit(engine, room, answer) == ACCEPTED
        last = await engine.says(alice, room, "how are you?")
        assert answer.prev_events == (sent.event_id,)
        assert (await stored(engine, last.event_id)).event.prev_events == (answer.event_id,)
        assert await ends(engine, room) == {last.event_id}


class TestDuplicates:
    async def test_an_event_that_is_here_keeps_its_verdict(self, engine):
        history = chat(V11)
        room = await receives(engine, history)
        stranger = says("let me in", history, DORA)
        verdicts = await admits(engine, room, [stranger, stranger, history.create])
        assert verdicts == [
            Rejected(Rule.SENDER_NOT_JOINED),
            Rejected(Rule.SENDER_NOT_JOINED),
            ACCEPTED,
        ]

    async def test_many_at_once_also_in_another_process(self, engine, database_dsn):
        history = chat(V11)
        room = await receives(engine, history)
        event = says("hello", history)
        async with another_process(database_dsn) as other:
            verdicts = await asyncio.gather(
                *(admit(server, room, event) for server in (engine, other) * 3)
            )
        assert verdicts == [ACCEPTED] * 6
        assert len(await history_of(engine, room)) == len(history.events)

    async def test_a_room_that_is_opened_twice_is_one_room(self, engine):
        create = RoomFactory.created(V11).create
        opened = await asyncio.gather(
            *(engine.core.engine.admitter.open_room(create, kind="group") for _ in range(3))
        )
        assert len(set(opened)) == 1


class TestWhatDoesNotBelongHere:
    async def test_a_room_begins_with_its_create_event(self, engine):
        with pytest.raises(InvalidInput):
            await engine.core.engine.admitter.open_room(chat(V11).last, kind="group")

    async def test_an_event_of_another_room(self, engine):
        room = await receives(engine, chat(V11))
        with pytest.raises(InvalidInput):
            await admit(engine, room, chat(V12).last)

    async def test_previous_events_of_another_room_are_missing(self, engine):
        """Or its state would decide about this one."""
        here, elsewhere = chat(V12), chat(V12, members=(BOB, CHARLIE, DORA), type="m.space")
        room = await receives(engine, here)
        await receives(engine, elsewhere)
        event = here.send(
            DORA, "m.room.message", {}, prev_events=[elsewhere.last.event_id], depth=9
        )
        verdict = await admit(engine, room, event)
        assert verdict == Need(frozenset({elsewhere.last.event_id}))

    async def test_a_room_without_its_create_event(self, engine):
        """Nothing else is allowed before it."""
        history = chat(V11)
        room = await engine.core.engine.admitter.open_room(history.create, kind="group")
        orphan = history.send(ALICE, "m.room.message", {}, prev_events=[], auth_events=[])
        assert isinstance(await admit(engine, room, orphan), Rejected)
        assert await admit(engine, room, history.create) == ACCEPTED


class TestWhatIsMissing:
    async def test_previous_events(self, engine):
        history = chat(V11)
        room = await receives(engine, history)
        one, two = says("one", history), says("two", history)
        assert await admit(engine, room, two) == Need(frozenset({one.event_id}))
        assert await admits(engine, room, [one, two]) == [ACCEPTED, ACCEPTED]
        assert await ends(engine, room) == {two.event_id}

    async def test_auth_events(self, engine):
        history = chat(V11)
        room = await receives(engine, history)
        before, branch = history.last, history.fork()
        joined = branch.join(DORA)
        message = branch.send(
            DORA, "m.room.message", {"body": "hello"}, prev_events=[before.event_id]
        )
        assert await admit(engine, room, message) == Need(frozenset({joined.event_id}))

    async def test_the_create_event_that_a_room_id_names(self, engine):
        """Room v12: it is no auth event, but nothing can be judged without it."""
        history = chat(V12)
        room = await engine.core.engine.admitter.open_room(history.create, kind="group")
        join = history.state[member(ALICE)]
        verdicts = await engine.core.engine.admitter.admit_outliers(room, [join])
        assert verdicts == {join.event_id: Need(frozenset({history.create.event_id}))}

    async def test_nothing_is_stored(self, engine):
        history = chat(V11)
        room = await receives(engine, history)
        says("one", history)
        await admit(engine, room, says("two", history))
        assert len(await fetch(engine, "SELECT FROM events")) == len(history.events) - 2


class TestOutliers:
    """Events for auth chains, which have no place in the graph."""

    @versions()
    async def test_they_get_their_place_later(self, engine, version):
        history = chat(version)
        room = await engine.core.engine.admitter.open_room(history.create, kind="group")
        state = [each for each in history.events.values() if each.is_state]
        verdicts = await engine.core.engine.admitter.admit_outliers(room, state)
        assert set(verdicts.values()) == {ACCEPTED}
        assert await history_of(engine, room) == []
        numbers = await fetch(engine, "SELECT event_nid FROM events ORDER BY 1")
        assert await admits(engine, room, history.events.values()) == [ACCEPTED] * len(state)
        assert await state_now(engine, room) == history.state_ids
        assert await fetch(engine, "SELECT event_nid FROM events ORDER BY 1") == numbers

    async def test_as_previous_events_they_are_missing(self, engine):
        history = chat(V11)
        room = await receives(engine, history)
        joined = history.join(DORA)
        assert await _outlier(engine, room, joined) == ACCEPTED
        message = says("hello", history, DORA)
        assert await admit(engine, room, message) == Need(frozenset({joined.event_id}))

    async def test_their_auth_events_come_first(self, engine):
        history = chat(V11)
        room = await engine.core.engine.admitter.open_room(history.create, kind="group")
        join = history.state[member(ALICE)]
        assert await _outlier(engine, room, join) == Need(frozenset({history.create.event_id}))

    async def test_one_that_its_auth_events_forbid(self, engine):
        history = chat(V11, join_rule="invite")
        room = await receives(engine, history)
        joined = history.join(DORA)
        assert await _outlier(engine, room, joined) == Rejected(Rule.JOIN_NOT_INVITED)
        assert await status_of(engine, joined) is Status.REJECTED_OUTLIER
        message = says("hello", history, DORA)
        verdicts = await engine.core.engine.admitter.admit_outliers(room, [joined, message])
        assert verdicts[message.event_id] == Rejected(Rule.AUTH_EVENTS_REJECTED)

    async def test_one_that_is_rejected_for_one_auth_event_needs_no_others(self, engine):
        history = chat(V11, join_rule="invite")
        room = await receives(engine, history)
        joined, levels = history.join(DORA), history.power_levels(ALICE, {"users": {ALICE: 100}})
        assert await _outlier(engine, room, joined) == Rejected(Rule.JOIN_NOT_INVITED)
        topic = history.topic(DORA, "mine")
        assert {joined.event_id, levels.event_id} < set(topic.auth_events)
        assert await _outlier(engine, room, topic) == Rejected(Rule.AUTH_EVENTS_REJECTED)

    async def test_many_at_once(self, engine, database_dsn):
        history = chat(V11)
        room = await receives(engine, history)
        joined = history.join(DORA)
        async with another_process(database_dsn) as other:
            verdicts = await asyncio.gather(
                *(_outlier(server, room, joined) for server in (engine, other) * 3),
                *(admit(server, room, joined) for server in (engine, other) * 3),
            )
        assert verdicts == [ACCEPTED] * 12
        assert await state_now(engine, room) == history.state_ids


async def _outlier(engine, room, event: Event):
    return (await engine.core.engine.admitter.admit_outliers(room, [event]))[event.event_id]


class TestRejected:
    """Server-server API "Rejection": stored with the rule, without any effect."""

    async def test_it_changes_nothing(self, engine):
        history = chat(V11)
        room = await receives(engine, history)
        before, state = await ends(engine, room), await state_now(engine, room)
        heard = []
        engine.core.streams.events.subscribe(heard.extend)
        topic = history.topic(DORA, "mine")
        assert await admit(engine, room, topic) == Rejected(Rule.SENDER_NOT_JOINED)
        facts = (await stored(engine, topic.event_id)).facts
        assert (facts.status, facts.rule) == (Status.REJECTED, "sender-not-joined")
        assert facts.position is None
        assert await ends(engine, room) == before
        assert await state_now(engine, room) == state
        assert heard == []

    async def test_what_follows_it_follows_what_was_before_it(self, engine):
        history = chat(V11)
        room = await receives(engine, history)
        state = history.state_ids
        topic = history.topic(DORA, "mine")
        message = says("nice topic", history)
        assert await admits(engine, room, [topic, message]) == [
            Rejected(Rule.SENDER_NOT_JOINED),
            ACCEPTED,
        ]
        assert await state_before(engine, message.event_id) == state
        assert await state_now(engine, room) == state
        assert await ends(engine, room) == {message.event_id}

    async def test_what_names_it_as_auth_event(self, engine):
        history = chat(V11, join_rule="invite")
        room = await receives(engine, history)
        joined, message = history.join(DORA), says("hello", history, DORA)
        assert await admits(engine, room, [joined, message]) == [
            Rejected(Rule.JOIN_NOT_INVITED),
            Rejected(Rule.AUTH_EVENTS_REJECTED),
        ]

    async def test_by_the_state_before_it(self, engine):
        """Its auth events, which it chose itself, do not tell that Charlie was banned."""
        history = chat(V11)
        room = await receives(engine, history)
        joined = history.state[member(CHARLIE)]
        banned = history.ban(ALICE, CHARLIE)
        message = history.send(
            CHARLIE,
            "m.room.message",
            {"body": "still here"},
            auth_events=[history.create.event_id, history.state_ids[POWER], joined.event_id],
        )
        assert await admits(engine, room, [banned, message]) == [
            ACCEPTED,
            Rejected(Rule.SENDER_NOT_JOINED),
        ]


class TestSoftFailed:
    """Server-server API "Soft failure": allowed where it was sent, but not by the state now."""

    @resolutions
    async def test_it_is_no_extremity_and_reaches_nobody(self, engine, version):
        history = chat(version)
        room = await receives(engine, history)
        late = history.fork()
        message = says("before the ban", late, CHARLIE)
        banned = history.ban(ALICE, CHARLIE)
        assert await admits(engine, room, [banned, message]) == [
            ACCEPTED,
            SoftFailed(Rule.SENDER_NOT_JOINED),
        ]
        facts = (await stored(engine, message.event_id)).facts
        assert (facts.status, facts.position) == (Status.SOFT_FAILED, None)
        assert await ends(engine, room) == {banned.event_id}
        assert await state_now(engine, room) == history.state_ids

    @resolutions
    async def test_what_builds_on_it(self, engine, version):
        history = chat(version)
        room = await receives(engine, history)
        late = history.fork()
        topic = late.topic(CHARLIE, "mine")
        answer = says("nice topic", late)
        banned = history.ban(ALICE, CHARLIE)
        assert await admits(engine, room, [banned, topic, answer]) == [
            ACCEPTED,
            SoftFailed(Rule.SENDER_NOT_JOINED),
            ACCEPTED,
        ]
        assert (await state_before(engine, answer.event_id))[TOPIC] == topic.event_id
        assert await ends(engine, room) == {banned.event_id, answer.event_id}
        resolved = resolve(
            version, [history.state_ids, late.state_ids], {**history.events}, frozenset()
        )
        assert await state_now(engine, room) == resolved

    async def test_what_builds_on_both_ends_the_fork(self, engine):
        history = chat(V11)
        room = await receives(engine, history)
        late = history.fork()
        message = says("before the ban", late, CHARLIE)
        banned = history.ban(ALICE, CHARLIE)
        history.merge(late, state=history.state_ids)
        after = says("that was close", history)
        await admits(engine, room, [banned, message, after])
        assert await ends(engine, room) == {after.event_id}

    async def test_extremities_before_it_end_with_what_builds_on_it(self, engine):
        history = chat(V11)
        room = await receives(engine, history)
        late = history.fork()
        banned = history.ban(ALICE, CHARLIE)
        other = says("on another branch", late)
        message = says("before the ban", late, CHARLIE)
        after = says("after it", late)
        await admits(engine, room, [banned, other])
        assert await ends(engine, room) == {banned.event_id, other.event_id}
        await admits(engine, room, [message, after])
        assert await ends(engine, room) == {banned.event_id, after.event_id}


class TestForks:
    """Every server's view of the room is the same in the end."""

    @resolutions
    async def test_two_topics(self, engine, version):
        """Since version 2 the later one wins, before it the deeper one."""
        history = chat(version)
        room = await receives(engine, history)
        other = history.fork()
        says("deeper", history)
        deeper = history.topic(ALICE, "deeper")
        later = other.topic(BOB, "later")
        new = [*history.events.values()][-3:]
        assert await admits(engine, room, new) == [ACCEPTED] * 3
        winner = deeper if version is V1 else later
        assert (await state_now(engine, room))[TOPIC] == winner.event_id
        assert await ends(engine, room) == {deeper.event_id, later.event_id}
        for branch, event in ((history, deeper), (other, later)):
            expected = {key: each.event_id for key, each in branch.state_before(event).items()}
            assert await state_before(engine, event.event_id) == expected

    @resolutions
    async def test_an_event_of_ours_joins_the_branches(self, engine, version):
        history = chat(version)
        (alice,) = await engine.people("alice")
        room = await receives(engine, history)
        await engine.actions.membership.join(alice, room.uuid)
        history.append((await history_of(engine, room))[-1].event)
        other = history.fork()
        one, two = history.topic(ALICE, "one"), other.topic(BOB, "two")
        await admits(engine, room, [one, two])
        before = await state_now(engine, room)
        sent = await engine.says(alice, room, "which is it?")
        event = (await stored(engine, sent.event_id)).event
        assert set(event.prev_events) == {one.event_id, two.event_id}
        assert await ends(engine, room) == {event.event_id}
        assert await state_before(engine, sent.event_id) == before

    @pytest.mark.parametrize("version", [V2, V11, V12], ids=lambda version: f"v{version.name}")
    async def test_entries_vanish(self, engine, version):
        """Dora came in while Alice closed the door: the door counts."""
        history = chat(version)
        room = await receives(engine, history)
        other = history.fork()
        joined, closed = other.join(DORA), history.join_rule(ALICE, "invite")
        assert await admit(engine, room, joined) == ACCEPTED
        assert (await memberships(engine, room))[DORA] == "join"
        assert await admit(engine, room, closed) == ACCEPTED
        assert await state_now(engine, room) == history.state_ids
        assert await memberships(engine, room) == dict.fromkeys((ALICE, BOB, CHARLIE), "join")
        message = says("am I still here?", other, DORA)
        assert await admit(engine, room, message) == SoftFailed(Rule.SENDER_NOT_JOINED)

    async def test_entries_come_back(self, engine):
        history = chat(V11)
        room = await receives(engine, history)
        other = history.fork()
        await admits(engine, room, [other.join(DORA), history.join_rule(ALICE, "invite")])
        again, and_in = history.invite(ALICE, DORA), history.join(DORA)
        assert await admits(engine, room, [again, and_in]) == [ACCEPTED] * 2
        assert (await memberships(engine, room))[DORA] == "join"
        assert (await state_now(engine, room))[member(DORA)] == and_in.event_id
        rows = await fetch(
            engine,
            "SELECT since_version, until_version FROM room_state WHERE state_key = $1"
            " ORDER BY since_version",
            DORA,
        )
        assert [row["until_version"] is None for row in rows] == [False] * (len(rows) - 1) + [True]
        assert rows[-2]["until_version"] <= rows[-1]["since_version"]

    @resolutions
    async def test_the_order_of_arrival_does_not_matter(self, postgres, version):
        history = chat(version)
        before, other = [*history.events.values()], history.fork()
        arriving = [
            history.power_levels(ALICE, _demoting(version, CHARLIE)),
            history.topic(BOB, "a"),
            other.topic(CHARLIE, "b"),
            other.join(DORA),
            other.topic(CHARLIE, "c"),
        ]
        states = []
        for order in ((0, 1, 2, 3, 4), (2, 3, 4, 0, 1), (0, 2, 3, 4, 1)):
            async with new_server(postgres) as server:
                room = await server.core.engine.admitter.open_room(history.create, kind="group")
                await admits(server, room, [*before, *(arriving[index] for index in order)])
                states.append(await state_now(server, room))
        assert states[0] == states[1] == states[2]

    async def test_more_branches_than_an_event_may_name(self, engine):
        """Server-server API "PDU": at most 20 previous events."""
        history = chat(V11)
        (alice,) = await engine.people("alice")
        room = await receives(engine, history)
        await engine.actions.membership.join(alice, room.uuid)
        history.append((await history_of(engine, room))[-1].event)
        branches = [says(f"{n}", history.fork()) for n in range(25)]
        await admits(engine, room, branches)
        assert len(await ends(engine, room)) == 25
        for left in (6, 1, 1):
            sent = await engine.says(alice, room, "together")
            event = (await stored(engine, sent.event_id)).event
            assert len(event.prev_events) <= 20
            assert len(await ends(engine, room)) == left


def _demoting(version, user):
    creator = {} if version.privileged_creators else {ALICE: 100}
    return {"users": {**creator, BOB: 50, user: 0}}


class TestToldState:
    """Previous events cannot be had, but another server told the state before the event."""

    async def test_a_gap_that_is_filled_later(self, engine):
        history = chat(V11)
        room = await receives(engine, history)
        before = history.last
        lost, after = says("lost", history), says("after the gap", history)
        told = [*history.state_ids.values()]
        assert await admit(engine, room, after) == Need(frozenset({lost.event_id}))
        assert await admit(engine, room, after, state_before=told) == ACCEPTED
        assert await ends(engine, room) == {before.event_id, after.event_id}
        assert await state_before(engine, after.event_id) == history.state_ids
        assert await _missing(engine) == {lost.event_id}
        assert await admit(engine, room, lost) == ACCEPTED
        assert await _missing(engine) == set()
        facts = (await stored(engine, lost.event_id)).facts
        assert facts.position == -1
        assert await ends(engine, room) == {before.event_id, after.event_id}

    async def test_state_that_changed_in_the_gap(self, engine):
        history = chat(V11)
        room = await receives(engine, history)
        topic, after = history.topic(ALICE, "in the gap"), says("after the gap", history)
        told = [*history.state_ids.values()]
        verdict = await admit(engine, room, after, state_before=told)
        assert verdict == Need(frozenset({topic.event_id}))
        assert await _outlier(engine, room, topic) == ACCEPTED
        assert await admit(engine, room, after, state_before=told) == ACCEPTED
        assert (await state_now(engine, room))[TOPIC] == topic.event_id
        assert await admit(engine, room, topic) == ACCEPTED
        assert (await stored(engine, topic.event_id)).facts.position == -1
        assert (await state_now(engine, room))[TOPIC] == topic.event_id

    async def test_a_gap_in_the_gap(self, engine):
        history = chat(V11)
        room = await receives(engine, history)
        first, second, third = (says(f"{n}", history) for n in range(3))
        told = [*history.state_ids.values()]
        assert await admit(engine, room, third, state_before=told) == ACCEPTED
        assert await admit(engine, room, second, state_before=told) == ACCEPTED
        assert await _missing(engine) == {first.event_id}
        assert await admit(engine, room, first) == ACCEPTED
        assert await _missing(engine) == set()

    async def test_what_fills_a_gap_is_not_judged_by_the_state_now(self, engine):
        """Charlie said it long before he was banned."""
        history = chat(V11)
        room = await receives(engine, history)
        lost, banned = says("long ago", history, CHARLIE), history.ban(ALICE, CHARLIE)
        told = [event.event_id for event in history.state_before(banned).values()]
        assert await admit(engine, room, banned, state_before=told) == ACCEPTED
        assert (await memberships(engine, room))[CHARLIE] == "ban"
        assert await admit(engine, room, lost) == ACCEPTED

    async def test_a_room_that_is_known_from_now_on_only(self, engine):
        """As after a join through another server: state and auth chain, and the newest event."""
        history = chat(V12)
        for n in range(3):
            says(f"{n}", history)
        newest = says("newest", history)
        room = await engine.core.engine.admitter.open_room(history.create, kind="group")
        state = [event for event in history.events.values() if event.is_state]
        verdicts = await engine.core.engine.admitter.admit_outliers(room, state)
        assert set(verdicts.values()) == {ACCEPTED}
        told = [*history.state_ids.values()]
        assert await admit(engine, room, newest, state_before=told) == ACCEPTED
        assert await state_now(engine, room) == history.state_ids
        assert await memberships(engine, room) == dict.fromkeys((ALICE, BOB, CHARLIE), "join")
        (alice,) = await engine.people("alice")
        await engine.actions.membership.join(alice, room.uuid)
        sent = await engine.says(alice, room, "hello")
        assert await ends(engine, room) == {sent.event_id}

    async def test_told_state_of_another_room_does_not_count(self, engine):
        here, elsewhere = chat(V12), chat(V12, members=(BOB, CHARLIE, DORA), type="m.space")
        room = await receives(engine, here)
        await receives(engine, elsewhere)
        here.join(DORA)
        message = here.send(
            DORA,
            "m.room.message",
            {},
            auth_events=[here.state_ids[POWER]],
            prev_events=["$lost"],
            depth=9,
        )
        told = [*elsewhere.state_ids.values()]
        verdict = await admit(engine, room, message, state_before=told)
        assert verdict == Rejected(Rule.SENDER_NOT_JOINED)


async def _missing(engine) -> set[str]:
    return {row["event_id"] for row in await fetch(engine, "SELECT event_id FROM missing_events")}


class TestRedactions:
    """Room v3 "Handling redactions"."""

    @versions()
    async def test_of_an_event_that_is_here(self, engine, version):
        history = chat(version)
        message = says("secret", history)
        redaction = history.redaction(ALICE, message)
        await receives(engine, history)
        redacted = await stored(engine, message.event_id)
        assert redacted.event.content == {}
        by = (await stored(engine, redaction.event_id)).facts.event_nid
        assert redacted.facts.redacted_by == by

    @versions()
    async def test_that_comes_before_its_target(self, engine, version):
        history = chat(version)
        room = await receives(engine, history)
        other = history.fork()
        message = says("secret", other)
        redaction = history.redaction(ALICE, message)
        assert await admits(engine, room, [redaction, message]) == [ACCEPTED] * 2
        redacted = await stored(engine, message.event_id)
        assert redacted.event.content == {}
        assert b"secret" not in redacted.event.raw

    @versions(first=3)
    async def test_by_somebody_who_may_not(self, engine, version):
        """Dora is of another server and has no level."""
        history = chat(version, members=(BOB, CHARLIE, DORA))
        room = await receives(engine, history)
        other = history.fork()
        one, two = says("one", other), says("two", other)
        mine = history.redaction(DORA, one), history.redaction(DORA, two)
        assert await admits(engine, room, [one, *mine, two]) == [ACCEPTED] * 4
        for message, text in ((one, "one"), (two, "two")):
            assert (await stored(engine, message.event_id)).event.content["body"] == text

    async def test_by_somebody_of_the_same_server(self, engine):
        history = chat(V11, members=(CHARLIE, DORA))
        message = says("secret", history, CHARLIE)
        history.redaction(DORA, message)
        await receives(engine, history)
        assert (await stored(engine, message.event_id)).event.content == {}

    async def test_of_an_event_of_another_room(self, engine):
        elsewhere = chat(V12, type="m.space")
        message = says("secret", elsewhere)
        await receives(engine, elsewhere)
        here = chat(V12)
        here.redaction(ALICE, message)
        await receives(engine, here)
        assert (await stored(engine, message.event_id)).event.content["body"] == "secret"

    async def test_of_a_state_event_counts_for_our_next_event(self, engine):
        history = chat(V11)
        (alice,) = await engine.people("alice")
        room = await receives(engine, history)
        await engine.actions.membership.join(alice, room.uuid)
        history.append((await history_of(engine, room))[-1].event)
        redaction = history.redaction(ALICE, history.state[member(alice.user_id)])
        assert await admit(engine, room, redaction) == ACCEPTED
        assert (await memberships(engine, room))[alice.user_id] == "join"
        await engine.says(alice, room, "still here")


class TestEventsThatNobodyExpects:
    async def test_relations_that_no_index_can_hold(self, engine):
        history = chat(V11)
        message = says("hello", history)
        for key in ("x" * 40_000, "nul \0 character", "😀" * 100):
            relates = {"rel_type": "m.annotation", "event_id": message.event_id, "key": key}
            history.send(BOB, "m.reaction", {"m.relates_to": relates})
        relates = {"rel_type": "y" * 40_000, "event_id": "$" + "z" * 20_000}
        history.send(BOB, "m.room.message", {"m.relates_to": relates})
        await receives(engine, history)
        assert len(await fetch(engine, "SELECT FROM relations")) == 0

    async def test_the_same_reaction_twice(self, engine):
        history = chat(V11)
        message = says("hello", history)
        relates = {"rel_type": "m.annotation", "event_id": message.event_id, "key": "+"}
        history.send(BOB, "m.reaction", {"m.relates_to": relates})
        history.send(BOB, "m.reaction", {"m.relates_to": relates})
        await receives(engine, history)
        assert len(await fetch(engine, "SELECT FROM relations")) == 1

    @pytest.mark.parametrize("version", [V5, V11], ids=lambda version: f"v{version.name}")
    async def test_the_greatest_depth(self, engine, version):
        """Room v1 "Event format": depth stops growing where integers end."""
        history = chat(version)
        history.send(BOB, "m.room.message", {}, depth=version.max_depth)
        room = await receives(engine, history)
        (alice,) = await engine.people("alice")
        await engine.actions.membership.join(alice, room.uuid)
        sent = await engine.says(alice, room, "hello")
        assert (await stored(engine, sent.event_id)).event.depth == version.max_depth

    async def test_memberships_of_what_is_no_user(self, engine):
        history = chat(V11)
        history.send(ALICE, "m.room.member", {"membership": "invite"}, "nobody at all")
        room = await receives(engine, history)
        assert (await memberships(engine, room))["nobody at all"] == "invite"


class TestTogetherWithOurs:
    """Events of both sides at the same moment."""

    async def test_messages(self, engine, database_dsn):
        history = chat(V11)
        (alice,) = await engine.people("alice")
        room = await receives(engine, history)
        await engine.actions.membership.join(alice, room.uuid)
        history.append((await history_of(engine, room))[-1].event)
        theirs = [says(f"{n}", history) for n in range(20)]
        async with another_process(database_dsn) as other:
            *_, verdicts = await asyncio.gather(
                *(engine.says(alice, room, f"{n}") for n in range(20)),
                *(other.says(alice, room, f"{n}") for n in range(5)),
                admits(engine, room, theirs),
            )
        assert verdicts == [ACCEPTED] * 20
        messages = [each for each in await history_of(engine, room) if each.facts.is_message]
        assert len(messages) == 45
        last = await engine.says(alice, room, "together again")
        assert await ends(engine, room) == {last.event_id}

    async def test_a_ban_of_ours_and_a_message_of_theirs(self, engine):
        """Whichever is first, the message never stands in the room after the ban."""
        history = chat(V11)
        room = await receives(engine, history)
        (alice,) = await engine.people("alice")
        await engine.actions.membership.join(alice, room.uuid)
        history.append((await history_of(engine, room))[-1].event)
        creator = {ALICE: 100, alice.user_id: 100}
        assert (
            await admit(engine, room, history.power_levels(ALICE, {"users": creator})) == ACCEPTED
        )
        charlie = (await engine.core.streams.people.by_user_id(CHARLIE)).uuid
        branches = [says(f"{n}", history.fork(), CHARLIE) for n in range(10)]
        banning = engine.actions.membership.ban(alice, room.uuid, charlie)
        *verdicts, _ = await asyncio.gather(
            *(admit(engine, room, event) for event in branches), banning
        )
        kinds = [type(verdict) for verdict in verdicts]
        assert set(kinds) <= {type(ACCEPTED), SoftFailed}
        told = await history_of(engine, room)
        banned_at = next(
            index
            for index, each in enumerate(told)
            if each.event.content.get("membership") == "ban"
        )
        assert not [each for each in told[banned_at:] if each.event.sender == CHARLIE]

    async def test_ours_wait_while_theirs_are_judged(self, engine):
        """Many of theirs in a row do not keep ours out for good."""
        history = chat(V11)
        (alice,) = await engine.people("alice")
        room = await receives(engine, history)
        await engine.actions.membership.join(alice, room.uuid)
        history.append((await history_of(engine, room))[-1].event)
        theirs = asyncio.gather(
            *(admit(engine, room, says(f"{n}", history.fork())) for n in range(15))
        )
        await engine.says(alice, room, "may I?")
        await theirs
        positions = [each.facts.position for each in await history_of(engine, room)]
        assert positions == sorted(positions)


class TestBytes:
    async def test_events_are_kept_as_they_were_signed(self, engine):
        history = chat(V11)
        message = says("hello", history)
        await receives(engine, history)
        assert (await stored(engine, message.event_id)).event.raw == message.raw

    async def test_what_another_server_says_in_a_copy_does_not_count(self, engine):
        """Room v1: servers choose event IDs, so the same ID may come with another content."""
        history = chat(V1)
        message = says("hello", history)
        room = await receives(engine, history)
        forged = replace(message, content={"body": "forged"}, raw=message.raw)
        assert await admit(engine, room, forged) == ACCEPTED
        assert (await stored(engine, message.event_id)).event.content["body"] == "hello"
