"""sync.yaml: what a client is told, and when."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeserver.storage.database import Database
from tests.support.api_server import api_server
from tests.support.matrix_server import MatrixServer, MatrixUser, matrix_server, q
from tests.support.sync_client import NOTHING_NEW, ClientView

Json = dict[str, Any]
WAIT_MS = 20_000


@pytest.fixture
async def server(database: Database) -> AsyncIterator[MatrixServer]:
    async with matrix_server(database) as running:
        yield running


class Client:
    """A device that syncs, each time from where it was. query: of every request."""

    def __init__(self, user: MatrixUser, **query: Any) -> None:
        self.user = user
        self.query = query
        self.since: str | None = None
        self.view = ClientView(user.user_id)

    async def syncs(self, **query: Any) -> Json:
        """The answer."""
        asked = self.query | query
        if self.since is not None:
            asked["since"] = self.since
        answer: Json = await self.user.get("v3/sync", **asked)
        self.since = answer["next_batch"]
        self.view.take(answer)
        return answer

    async def room(self, room_id: str, section: str = "join", **query: Any) -> Json:
        """What the next answer says of a room; nothing, if it does not name it."""
        answer = await self.syncs(**query)
        part: Json = answer.get("rooms", {}).get(section, {}).get(room_id, {})
        return part


async def client_of(user: MatrixUser, **query: Any) -> Client:
    """A client that has synced once."""
    client = Client(user, **query)
    await client.syncs()
    return client


async def waits(client: Client, **query: Any) -> "asyncio.Task[Json]":
    """A sync that has begun to wait."""
    task = asyncio.create_task(client.syncs(timeout=WAIT_MS, **query))
    await asyncio.sleep(0.1)
    assert not task.done()
    return task


def bodies(part: Json) -> list[str]:
    events = part.get("timeline", {}).get("events", [])
    return [each["content"].get("body", "") for each in events if each["type"] == "m.room.message"]


def entries(part: Json, where: str = "state") -> dict[tuple[str, str], Json]:
    return {(each["type"], each["state_key"]): each for each in part[where]["events"]}


def types(events: list[Json]) -> list[str]:
    return [each["type"] for each in events]


def ephemeral(part: Json, event_type: str) -> Json | None:
    for event in part.get("ephemeral", {}).get("events", ()):
        if event["type"] == event_type:
            return event["content"]
    return None


async def room_of(creator: MatrixUser, *others: MatrixUser, **body: Any) -> str:
    """A public room that the others have joined."""
    room = await creator.creates_room(preset="public_chat", **body)
    for other in others:
        await other.joins(room)
    return room


async def renames(user: MatrixUser, room: str, name: str) -> None:
    content = {"membership": "join", "displayname": name}
    await user.sets(room, "m.room.member", content, state_key=user.user_id)


class TestTokens:
    """C-S API v1.19 "Syncing": `next_batch` and `since`."""

    async def test_a_new_user_gets_a_token(self, server):
        alice = await server.registers("alice")
        answer = await alice.get("v3/sync")
        assert answer["next_batch"].startswith("s")

    async def test_nothing_new_is_nothing_but_a_token(self, server):
        client = await client_of(await server.registers("alice"))
        await client.syncs()
        assert (await client.syncs()).keys() == NOTHING_NEW

    @pytest.mark.parametrize("since", ["nonsense", "s", "s1_2", "s-1", "s1_1_1_1_1_!_1_1", "t5"])
    async def test_a_token_that_is_none_is_refused(self, server, since):
        alice = await server.registers("alice")
        assert (
            await alice.is_refused("GET", f"v3/sync?since={since}", status=400) == "M_INVALID_PARAM"
        )

    async def test_a_token_of_another_process_goes_on(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        since = (await alice.get("v3/sync"))["next_batch"].split("_")
        await alice.says(room, "hello")
        since[5] = "0ther"
        answer = await alice.get("v3/sync", since="_".join(since))
        assert bodies(answer["rooms"]["join"][room]) == ["hello"]

    async def test_a_token_from_the_future_waits_for_nothing(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        parts = (await alice.get("v3/sync"))["next_batch"].split("_")
        far = "_".join(["s99999999", *parts[1:]])
        client = Client(alice)
        client.since = far
        await client.syncs()
        await alice.says(room, "hello")
        assert bodies(await client.room(room)) == ["hello"]

    async def test_somebody_must_say_who_he_is(self, server):
        assert await server.nobody.is_refused("GET", "v3/sync", status=401) == "M_MISSING_TOKEN"

    @pytest.mark.parametrize(
        "query",
        ["timeout=soon", "full_state=perhaps", "set_presence=dancing", "use_state_after=7up"],
    )
    async def test_a_parameter_of_the_wrong_kind_is_refused(self, server, query):
        alice = await server.registers("alice")
        assert await alice.is_refused("GET", f"v3/sync?{query}", status=400) == "M_INVALID_PARAM"

    async def test_a_negative_or_huge_timeout_is_understood(self, server):
        alice = await server.registers("alice")
        await alice.get("v3/sync", timeout=-5)
        await alice.get("v3/sync", timeout=10**30)


class TestFirstSync:
    """ "an initial snapshot": the newest events of each room, and its state before them."""

    async def test_state_is_that_before_the_timeline(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice, name="Tea")
        for number in range(12):
            await alice.says(room, str(number))
        part = await Client(alice).room(room)
        assert bodies(part) == [str(number) for number in range(2, 12)]
        assert part["timeline"]["limited"] is True
        assert entries(part)["m.room.name", ""]["content"] == {"name": "Tea"}
        assert entries(part)["m.room.member", alice.user_id]["content"]["membership"] == "join"

    async def test_state_in_the_timeline_is_not_in_the_state(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        wanted = json.dumps({"room": {"timeline": {"limit": 100}}})
        part = await Client(alice, filter=wanted).room(room)
        assert part["state"]["events"] == []
        assert part["timeline"]["limited"] is False
        assert part["timeline"]["events"][0]["type"] == "m.room.create"

    async def test_prev_batch_leads_to_what_was_before(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        for number in range(15):
            await alice.says(room, str(number))
        part = await Client(alice).room(room)
        page = await alice.get(
            f"v3/rooms/{q(room)}/messages",
            dir="b",
            limit=3,
            **{"from": part["timeline"]["prev_batch"]},
        )
        assert [each["content"]["body"] for each in page["chunk"]] == ["4", "3", "2"]

    async def test_events_carry_no_room_id_and_say_their_age(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        await alice.says(room, "hello")
        (event,) = (await Client(alice).room(room))["timeline"]["events"][-1:]
        assert "room_id" not in event
        assert event["unsigned"]["age"] >= 0
        assert event["unsigned"]["membership"] == "join"

    async def test_its_state_says_what_it_replaced(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice, name="Tea")
        await alice.sets(room, "m.room.name", {"name": "Coffee"})
        (event,) = (await Client(alice).room(room))["timeline"]["events"][-1:]
        assert event["unsigned"]["prev_content"] == {"name": "Tea"}
        assert event["unsigned"]["prev_sender"] == alice.user_id

    async def test_it_never_waits(self, server):
        alice = await server.registers("alice")
        async with asyncio.timeout(10):
            await alice.get("v3/sync", timeout=WAIT_MS)


class TestLongPoll:
    """ "The server will then hold open the HTTP connection", until an event occurs."""

    async def test_a_message_ends_the_wait(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        client = await client_of(bob)
        waiting = await waits(client)
        await alice.says(room, "hello")
        assert bodies((await waiting)["rooms"]["join"][room]) == ["hello"]

    async def test_a_message_over_the_native_protocol_does_so_too(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        client = await client_of(alice)
        waiting = await waits(client)
        rooms = await alice.native.get("/api/rooms")
        await alice.native.post(f"/api/rooms/{rooms[0]['id']}/messages", {"content": "hello"})
        assert bodies((await waiting)["rooms"]["join"][room]) == ["hello"]

    async def test_the_time_ends_it_with_a_token(self, server):
        client = await client_of(await server.registers("alice"))
        assert (await client.syncs(timeout=50)).keys() == NOTHING_NEW

    async def test_what_the_filter_leaves_out_does_not_end_it(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        wanted = {"room": {"timeline": {"types": ["m.room.message"]}, "state": {"types": []}}}
        client = await client_of(alice, filter=json.dumps(wanted), set_presence="offline")
        waiting = await waits(client)
        await alice.sets(room, "m.room.topic", {"topic": "tea"})
        await alice.says(room, "hello")
        part = (await waiting)["rooms"]["join"][room]
        assert types(part["timeline"]["events"]) == ["m.room.message"]

    async def test_other_rooms_do_not_end_it(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice)
        elsewhere = await room_of(bob)
        client = await client_of(alice)
        waiting = await waits(client)
        await bob.says(elsewhere, "not for alice")
        await alice.says(room, "hello")
        assert (await waiting)["rooms"]["join"].keys() == {room}

    async def test_an_invitation_ends_it(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        client = await client_of(bob)
        waiting = await waits(client)
        room = await alice.creates_room(invite=[bob.user_id])
        assert room in (await waiting)["rooms"]["invite"]

    async def test_logging_out_ends_it_with_an_error(self, server):
        alice = await server.registers("alice")
        client = await client_of(alice)
        task = asyncio.create_task(
            alice.request("GET", f"v3/sync?since={client.since}&timeout={WAIT_MS}")
        )
        await asyncio.sleep(0.1)
        await alice.post("v3/logout")
        status, answer = await task
        assert (status, answer["errcode"]) == (401, "M_UNKNOWN_TOKEN")

    async def test_full_state_never_waits(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice, name="Tea")
        client = await client_of(alice)
        part = await client.room(room, full_state=True, timeout=WAIT_MS)
        assert entries(part)["m.room.name", ""]["content"] == {"name": "Tea"}
        assert part["timeline"]["events"] == []


class TestIncrementalSync:
    """What happened since the token."""

    async def test_events_come_once_and_in_order(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        client = await client_of(bob)
        for text in "one", "two", "three":
            await alice.says(room, text)
        assert bodies(await client.room(room)) == ["one", "two", "three"]
        assert await client.room(room) == {}

    async def test_the_same_token_gives_the_same_again(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        client = await client_of(alice)
        since = client.since
        await alice.says(room, "hello")
        await client.syncs()
        client.since = since
        assert bodies(await client.room(room)) == ["hello"]

    async def test_only_the_sending_device_has_the_transaction_id(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        clients = [await client_of(alice), await client_of(bob)]
        path = f"v3/rooms/{q(room)}/send/m.room.message/my-txn"
        await alice.put(path, {"msgtype": "m.text", "body": "hello"})
        unsigned = [
            (await client.room(room))["timeline"]["events"][0]["unsigned"] for client in clients
        ]
        assert unsigned[0]["transaction_id"] == "my-txn"
        assert "transaction_id" not in unsigned[1]

    async def test_a_gap_is_limited_and_brings_the_state_of_the_gap(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        client = await client_of(bob)
        await alice.sets(room, "m.room.topic", {"topic": "in the gap"})
        for number in range(11):
            await alice.says(room, str(number))
        await alice.sets(room, "m.room.name", {"name": "in the timeline"})
        part = await client.room(room)
        assert part["timeline"]["limited"] is True
        assert bodies(part) == [str(number) for number in range(2, 11)]
        assert entries(part).keys() == {("m.room.topic", "")}

    async def test_without_a_gap_there_is_no_state(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        client = await client_of(alice)
        await alice.sets(room, "m.room.topic", {"topic": "tea"})
        part = await client.room(room)
        assert part["state"]["events"] == []
        assert part["timeline"]["limited"] is False

    async def test_state_that_the_timeline_leaves_out_is_in_the_state(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        wanted = json.dumps({"room": {"timeline": {"types": ["m.room.message"]}}})
        client = await client_of(alice, filter=wanted)
        await alice.says(room, "hello")
        await alice.sets(room, "m.room.topic", {"topic": "tea"})
        part = await client.room(room)
        assert bodies(part) == ["hello"]
        assert entries(part)["m.room.topic", ""]["content"] == {"topic": "tea"}

    async def test_a_redacted_event_comes_without_content(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        client = await client_of(bob)
        said = await alice.says(room, "oops")
        await alice.put(f"v3/rooms/{q(room)}/redact/{q(said)}/r1", {})
        events = (await client.room(room))["timeline"]["events"]
        assert types(events) == ["m.room.message", "m.room.redaction"]
        assert events[0]["content"] == {}
        assert events[0]["unsigned"]["redacted_because"]["event_id"] == events[1]["event_id"]

    async def test_a_redaction_of_what_is_known_comes_alone(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        said = await alice.says(room, "oops")
        client = await client_of(alice)
        await alice.put(f"v3/rooms/{q(room)}/redact/{q(said)}/r1", {})
        (event,) = (await client.room(room))["timeline"]["events"]
        assert (event["type"], event["redacts"]) == ("m.room.redaction", said)

    async def test_edits_are_bundled_where_the_timeline_is_limited(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        client = await client_of(bob)
        for number in range(12):
            said = await alice.says(room, str(number))
        edit = {
            "msgtype": "m.text",
            "body": "* twelve",
            "m.new_content": {"msgtype": "m.text", "body": "twelve"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": said},
        }
        edited = await alice.sends(room, "m.room.message", edit)
        found = {each["event_id"]: each for each in (await client.room(room))["timeline"]["events"]}
        bundle = found[said]["unsigned"]["m.relations"]["m.replace"]
        assert bundle["event_id"] == edited


class TestJoining:
    async def test_a_room_that_is_new_comes_with_its_whole_state(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, name="Tea")
        for number in range(15):
            await alice.says(room, str(number))
        client = await client_of(bob)
        await bob.joins(room)
        part = await client.room(room)
        assert part["timeline"]["limited"] is True
        assert part["timeline"]["events"][-1]["state_key"] == bob.user_id
        assert {("m.room.create", ""), ("m.room.name", "")} <= entries(part).keys()

    async def test_a_room_that_one_makes_is_told_whole(self, server):
        alice = await server.registers("alice")
        client = await client_of(alice)
        room = await alice.creates_room()
        part = await client.room(room)
        told = [*part["state"]["events"], *part["timeline"]["events"]]
        assert {"m.room.create", "m.room.member", "m.room.power_levels"} <= set(types(told))

    async def test_coming_back_after_leaving_brings_everything_again(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob, name="Tea")
        client = await client_of(bob)
        await bob.post(f"v3/rooms/{q(room)}/leave")
        await client.syncs()
        await alice.sets(room, "m.room.name", {"name": "Coffee"})
        await bob.joins(room)
        await client.syncs()
        assert client.view.joined[room].state == (await client_of(bob)).view.joined[room].state

    async def test_leaving_and_coming_back_between_two_syncs_is_a_delta(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob, name="Tea")
        client = await client_of(bob)
        await bob.post(f"v3/rooms/{q(room)}/leave")
        await alice.sets(room, "m.room.name", {"name": "Coffee"})
        await bob.joins(room)
        await client.syncs()
        assert client.view.joined[room].state == (await client_of(bob)).view.joined[room].state

    async def test_what_was_said_before_is_seen_as_the_room_allows(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        hidden = {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}
        room = await room_of(alice, initial_state=[hidden])
        await alice.says(room, "before")
        client = await client_of(bob)
        await bob.joins(room)
        await alice.says(room, "after")
        part = await client.room(room)
        assert bodies(part) == ["after"]

    async def test_others_who_come_change_the_summary(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice)
        client = await client_of(alice)
        await bob.joins(room)
        part = await client.room(room)
        assert part["summary"]["m.joined_member_count"] == 2
        assert part["summary"]["m.heroes"] == [bob.user_id]


class TestLeaving:
    async def test_a_room_that_was_left_comes_up_to_the_leave(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        client = await client_of(bob)
        await alice.says(room, "before")
        await bob.post(f"v3/rooms/{q(room)}/leave")
        await alice.says(room, "after")
        part = await client.room(room, "leave")
        assert bodies(part) == ["before"]
        assert part["timeline"]["events"][-1]["content"]["membership"] == "leave"

    async def test_it_comes_once(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        client = await client_of(bob)
        await bob.post(f"v3/rooms/{q(room)}/leave")
        await client.syncs()
        await alice.says(room, "after")
        assert (await client.syncs()).get("rooms") is None

    async def test_who_is_banned_hears_of_it(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        client = await client_of(bob)
        await alice.post(f"v3/rooms/{q(room)}/ban", {"user_id": bob.user_id, "reason": "rude"})
        part = await client.room(room, "leave")
        assert part["timeline"]["events"][-1]["content"]["membership"] == "ban"

    async def test_a_ban_after_leaving_tells_nothing_else(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        await bob.post(f"v3/rooms/{q(room)}/leave")
        client = await client_of(bob)
        await alice.sets(room, "m.room.topic", {"topic": "secret"})
        await alice.post(f"v3/rooms/{q(room)}/ban", {"user_id": bob.user_id})
        part = await client.room(room, "leave")
        assert [each["content"]["membership"] for each in part["timeline"]["events"]] == ["ban"]
        assert part["state"]["events"] == []

    async def test_a_first_sync_leaves_them_out(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        await bob.post(f"v3/rooms/{q(room)}/leave")
        assert await Client(bob).room(room, "leave") == {}

    async def test_a_first_sync_has_them_if_it_asks_so(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        await alice.says(room, "before")
        await bob.post(f"v3/rooms/{q(room)}/leave")
        await alice.says(room, "after")
        wanted = json.dumps({"room": {"include_leave": True}})
        part = await Client(bob, filter=wanted).room(room, "leave")
        assert bodies(part) == ["before"]

    async def test_forgotten_rooms_are_never_told(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        await bob.post(f"v3/rooms/{q(room)}/leave")
        await bob.post(f"v3/rooms/{q(room)}/forget")
        wanted = json.dumps({"room": {"include_leave": True}})
        assert await Client(bob, filter=wanted).room(room, "leave") == {}

    async def test_coming_and_going_between_two_syncs_is_told(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, name="Tea")
        client = await client_of(bob)
        await bob.joins(room)
        await bob.post(f"v3/rooms/{q(room)}/leave")
        part = await client.room(room, "leave")
        assert part["timeline"]["events"][-1]["content"]["membership"] == "leave"


class TestDeletedRooms:
    """Native clients can delete rooms."""

    async def test_a_room_that_is_deleted_is_a_room_that_was_left(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        client = await client_of(bob)
        (listed,) = await alice.native.get("/api/rooms")
        await alice.native.delete(f"/api/rooms/{listed['id']}")
        async with asyncio.timeout(20):
            while room not in client.view.left:
                await client.syncs(timeout=1_000)
        assert room not in client.view.joined
        assert await Client(bob).room(room) == {}


class TestShutdown:
    async def test_waiting_requests_are_answered_when_the_server_stops(self, database):
        async with api_server(database) as api:
            server = MatrixServer(api.client)
            client = await client_of(await server.registers("alice"))
            waiting = await waits(client)
            assert api.facades is not None
            await api.facades.drain()
            assert (await waiting).keys() == NOTHING_NEW
            assert (await client.syncs(timeout=WAIT_MS)).keys() == NOTHING_NEW


class TestInvitations:
    """`invite_state`: C-S API v1.19 "Stripped state"."""

    async def test_an_invitation_comes_with_what_one_may_know(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        client = await client_of(bob)
        room = await alice.creates_room(name="Tea", topic="leaves", invite=[bob.user_id])
        events = (await client.room(room, "invite"))["invite_state"]["events"]
        found = {(each["type"], each["state_key"]): each for each in events}
        assert found["m.room.name", ""]["content"] == {"name": "Tea"}
        assert found["m.room.member", bob.user_id]["content"]["membership"] == "invite"
        assert found["m.room.member", alice.user_id]["content"]["membership"] == "join"
        assert {"m.room.create", "m.room.join_rules", "m.room.topic"} <= {each[0] for each in found}
        assert all(each.keys() == {"type", "state_key", "sender", "content"} for each in events)

    async def test_a_first_sync_has_it_too(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(invite=[bob.user_id])
        assert (await Client(bob).room(room, "invite")) != {}

    async def test_what_is_said_in_the_room_is_not_told(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(invite=[bob.user_id])
        client = await client_of(bob)
        await alice.says(room, "secret")
        assert (await client.syncs()).get("rooms") is None

    async def test_accepting_it_makes_it_a_room(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(invite=[bob.user_id], name="Tea")
        client = await client_of(bob)
        await bob.joins(room)
        part = await client.room(room)
        assert part["timeline"]["events"][-1]["content"]["membership"] == "join"

    async def test_rejecting_it_tells_nothing_of_the_room(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(invite=[bob.user_id], name="Tea")
        client = await client_of(bob)
        await alice.says(room, "secret")
        await bob.post(f"v3/rooms/{q(room)}/leave")
        part = await client.room(room, "leave")
        assert types(part["timeline"]["events"]) == ["m.room.member"]
        assert part["state"]["events"] == []

    async def test_who_is_ignored_cannot_invite(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        path = f"v3/user/{q(bob.user_id)}/account_data/m.ignored_user_list"
        await bob.put(path, {"ignored_users": {alice.user_id: {}}})
        client = await client_of(bob)
        room = await alice.creates_room(invite=[bob.user_id])
        assert await client.room(room, "invite") == {}
        assert await Client(bob).room(room, "invite") == {}


class TestKnocking:
    async def test_a_room_that_one_knocks_at_comes_with_its_knock_state(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        rules = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
        room = await alice.creates_room(name="Tea", initial_state=[rules])
        client = await client_of(bob)
        await bob.post(f"v3/knock/{q(room)}")
        events = (await client.room(room, "knock"))["knock_state"]["events"]
        found = {(each["type"], each["state_key"]): each for each in events}
        assert found["m.room.member", bob.user_id]["content"]["membership"] == "knock"
        assert found["m.room.name", ""]["content"] == {"name": "Tea"}


class TestIgnoredUsers:
    """C-S API v1.19 "Ignoring Users": no events of theirs but state."""

    async def ignoring(self, server) -> tuple[MatrixUser, MatrixUser, str]:
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        return alice, bob, room

    async def ignores(self, user: MatrixUser, *others: MatrixUser) -> None:
        path = f"v3/user/{q(user.user_id)}/account_data/m.ignored_user_list"
        await user.put(path, {"ignored_users": {other.user_id: {} for other in others}})

    async def test_their_messages_do_not_come(self, server):
        alice, bob, room = await self.ignoring(server)
        client = await client_of(alice)
        await self.ignores(alice, bob)
        await client.syncs()
        await bob.says(room, "hidden")
        await alice.says(room, "shown")
        assert bodies(await client.room(room)) == ["shown"]
        assert "hidden" not in bodies(await Client(alice).room(room))

    async def test_state_that_they_set_comes(self, server):
        alice, bob, room = await self.ignoring(server)
        client = await client_of(alice)
        await self.ignores(alice, bob)
        await client.syncs()
        await renames(bob, room, "Bobby")
        part = await client.room(room)
        assert part["timeline"]["events"][-1]["content"]["displayname"] == "Bobby"

    async def test_who_is_not_ignored_any_more_is_heard_again(self, server):
        alice, bob, room = await self.ignoring(server)
        await self.ignores(alice, bob)
        client = await client_of(alice)
        await self.ignores(alice)
        await bob.says(room, "back")
        assert bodies(await client.room(room)) == ["back"]


class TestAccountData:
    async def test_global_data_comes_when_it_changes(self, server):
        alice = await server.registers("alice")
        client = await client_of(alice)
        await alice.put(f"v3/user/{q(alice.user_id)}/account_data/a.note", {"n": 1})
        answer = await client.syncs()
        assert answer["account_data"]["events"] == [{"type": "a.note", "content": {"n": 1}}]
        assert "account_data" not in await client.syncs()

    async def test_a_first_sync_has_all_of_it(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        await alice.put(f"v3/user/{q(alice.user_id)}/account_data/a.note", {"n": 1})
        await alice.put(f"v3/user/{q(alice.user_id)}/rooms/{q(room)}/tags/u.work", {"order": 0.5})
        client = await client_of(alice)
        assert client.view.account_data["a.note"] == {"n": 1}
        tags = client.view.joined[room].account_data["m.tag"]
        assert tags == {"tags": {"u.work": {"order": 0.5}}}

    async def test_data_of_a_room_comes_with_the_room(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        client = await client_of(alice)
        await alice.put(f"v3/user/{q(alice.user_id)}/rooms/{q(room)}/account_data/a.note", {"n": 2})
        part = await client.room(room)
        assert part["account_data"]["events"] == [{"type": "a.note", "content": {"n": 2}}]
        assert part["timeline"]["events"] == []

    async def test_it_ends_a_wait(self, server):
        alice = await server.registers("alice")
        client = await client_of(alice)
        waiting = await waits(client)
        await alice.put(f"v3/user/{q(alice.user_id)}/account_data/a.note", {"n": 1})
        assert types((await waiting)["account_data"]["events"]) == ["a.note"]

    async def test_others_do_not_see_it(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        client = await client_of(bob)
        await alice.put(f"v3/user/{q(alice.user_id)}/account_data/a.note", {"n": 1})
        assert "account_data" not in await client.syncs()

    async def test_push_rules_are_account_data(self, server):
        alice = await server.registers("alice")
        client = await client_of(alice)
        assert "global" in client.view.account_data["m.push_rules"]


class TestTyping:
    async def test_who_writes_is_told_and_who_stops(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        client = await client_of(bob)
        path = f"v3/rooms/{q(room)}/typing/{q(alice.user_id)}"
        await alice.put(path, {"typing": True, "timeout": 30_000})
        assert ephemeral(await client.room(room), "m.typing") == {"user_ids": [alice.user_id]}
        await alice.put(path, {"typing": False})
        assert ephemeral(await client.room(room), "m.typing") == {"user_ids": []}

    async def test_it_ends_a_wait(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        waiting = await waits(await client_of(bob))
        path = f"v3/rooms/{q(room)}/typing/{q(alice.user_id)}"
        await alice.put(path, {"typing": True, "timeout": 30_000})
        assert ephemeral((await waiting)["rooms"]["join"][room], "m.typing") is not None

    async def test_a_message_that_ends_it_is_not_lost(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        path = f"v3/rooms/{q(room)}/typing/{q(alice.user_id)}"
        await alice.put(path, {"typing": True, "timeout": 30_000})
        client = await client_of(bob)
        waiting = await waits(client)
        await alice.says(room, "hello")
        assert bodies((await waiting)["rooms"]["join"][room]) == ["hello"]

    async def test_a_first_sync_tells_who_writes(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        path = f"v3/rooms/{q(room)}/typing/{q(alice.user_id)}"
        await alice.put(path, {"typing": True, "timeout": 30_000})
        assert ephemeral(await Client(bob).room(room), "m.typing") == {"user_ids": [alice.user_id]}


class TestReceipts:
    async def test_others_see_a_receipt(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        said = await alice.says(room, "hello")
        client = await client_of(alice)
        await bob.post(f"v3/rooms/{q(room)}/receipt/m.read/{q(said)}")
        content = ephemeral(await client.room(room), "m.receipt")
        assert content is not None
        assert content[said]["m.read"].keys() == {bob.user_id}

    async def test_a_private_receipt_is_seen_by_its_owner_only(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        said = await alice.says(room, "hello")
        others, own = await client_of(alice), await client_of(bob)
        await bob.post(f"v3/rooms/{q(room)}/receipt/m.read.private/{q(said)}")
        assert await others.room(room) == {}
        content = ephemeral(await own.room(room), "m.receipt")
        assert content is not None
        assert content[said]["m.read.private"].keys() == {bob.user_id}
        assert ephemeral(await Client(alice).room(room), "m.receipt") is None

    async def test_a_receipt_of_a_thread_says_so(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        said = await alice.says(room, "hello")
        client = await client_of(alice)
        await bob.post(f"v3/rooms/{q(room)}/receipt/m.read/{q(said)}", {"thread_id": "main"})
        content = ephemeral(await client.room(room), "m.receipt")
        assert content is not None
        assert content[said]["m.read"][bob.user_id]["thread_id"] == "main"

    async def test_a_first_sync_has_all(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        said = await alice.says(room, "hello")
        await bob.post(f"v3/rooms/{q(room)}/receipt/m.read/{q(said)}")
        content = ephemeral(await Client(alice).room(room), "m.receipt")
        assert content is not None
        assert content[said]["m.read"].keys() == {bob.user_id}


class TestSummary:
    """RoomSummary."""

    async def test_counts_and_heroes_of_a_nameless_room(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        summary = (await Client(alice).room(room))["summary"]
        assert summary == {
            "m.joined_member_count": 2,
            "m.invited_member_count": 0,
            "m.heroes": [bob.user_id],
        }

    async def test_heroes_are_those_who_are_invited_too(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(invite=[bob.user_id])
        summary = (await Client(alice).room(room))["summary"]
        assert summary["m.invited_member_count"] == 1
        assert summary["m.heroes"] == [bob.user_id]

    async def test_when_everybody_has_left_they_are_the_heroes(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        client = await client_of(alice)
        await bob.post(f"v3/rooms/{q(room)}/leave")
        part = await client.room(room)
        assert part["summary"]["m.heroes"] == [bob.user_id]
        assert part["summary"]["m.joined_member_count"] == 1

    async def test_a_room_with_a_name_needs_no_heroes(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice, name="Tea")
        assert "m.heroes" not in (await Client(alice).room(room))["summary"]

    async def test_a_message_does_not_repeat_it(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        client = await client_of(alice)
        await alice.says(room, "hello")
        assert "summary" not in await client.room(room)


class TestStateAfter:
    """`use_state_after`, since v1.16."""

    async def test_it_takes_the_place_of_the_state(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice, name="Tea")
        client = Client(alice, use_state_after=True)
        part = await client.room(room)
        assert "state" not in part
        assert ("m.room.name", "") in entries(part, "state_after")

    async def test_it_has_what_the_timeline_changed(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        client = await client_of(alice, use_state_after=True)
        await alice.sets(room, "m.room.topic", {"topic": "tea"})
        part = await client.room(room)
        assert entries(part, "state_after").keys() == {("m.room.topic", "")}

    async def test_it_is_there_even_if_it_is_empty(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        client = await client_of(alice, use_state_after=True)
        await alice.says(room, "hello")
        assert (await client.room(room))["state_after"] == {"events": []}


class TestLazyMembers:
    """C-S API v1.19 "Lazy-loading room members"."""

    WANTED = json.dumps({"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 2}}})

    async def crowd(self, server) -> tuple[MatrixUser, MatrixUser, MatrixUser, str]:
        alice, bob, charlie = [await server.registers(each) for each in ("alice", "bob", "charlie")]
        room = await room_of(alice, bob, charlie, name="Tea")
        for text in "one", "two", "three":
            await alice.says(room, text)
        return alice, bob, charlie, room

    def members(self, part: Json) -> set[str]:
        return {key for event_type, key in entries(part) if event_type == "m.room.member"}

    async def test_a_first_sync_has_the_senders_and_oneself(self, server):
        alice, bob, _, room = await self.crowd(server)
        part = await Client(bob, filter=self.WANTED).room(room)
        assert self.members(part) == {alice.user_id, bob.user_id}

    async def test_a_sender_who_is_not_known_yet_is_introduced(self, server):
        _, bob, charlie, room = await self.crowd(server)
        client = await client_of(bob, filter=self.WANTED)
        await charlie.says(room, "hello")
        assert self.members(await client.room(room)) == {charlie.user_id}

    async def test_once(self, server):
        _, bob, charlie, room = await self.crowd(server)
        client = await client_of(bob, filter=self.WANTED)
        await charlie.says(room, "hello")
        await client.syncs()
        await charlie.says(room, "again")
        assert self.members(await client.room(room)) == set()

    async def test_again_where_the_answer_got_lost(self, server):
        _, bob, charlie, room = await self.crowd(server)
        client = await client_of(bob, filter=self.WANTED)
        since = client.since
        await charlie.says(room, "hello")
        await client.syncs()
        client.since = since
        assert self.members(await client.room(room)) == {charlie.user_id}

    async def test_each_time_if_the_client_wants_it_so(self, server):
        _, bob, charlie, room = await self.crowd(server)
        lazy = {"lazy_load_members": True, "include_redundant_members": True}
        client = await client_of(bob, filter=json.dumps({"room": {"state": lazy}}))
        await charlie.says(room, "hello")
        await client.syncs()
        await charlie.says(room, "again")
        assert self.members(await client.room(room)) == {charlie.user_id}

    async def test_another_device_is_introduced_for_itself(self, server):
        _, bob, charlie, room = await self.crowd(server)
        client = await client_of(bob, filter=self.WANTED)
        await charlie.says(room, "hello")
        await client.syncs()
        login = await bob.post(
            "v3/login",
            {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": "bob"},
                "password": "correct horse",
            },
        )
        phone = MatrixUser(server.client, login["access_token"], bob.user_id)
        other = await client_of(phone, filter=self.WANTED)
        assert charlie.user_id in {
            key
            for event_type, key in other.view.joined[room].state
            if event_type == "m.room.member"
        }

    async def test_a_gap_brings_all_members_who_changed(self, server):
        alice, bob, charlie, room = await self.crowd(server)
        client = await client_of(bob, filter=self.WANTED)
        await renames(charlie, room, "Charles")
        for text in "one", "two", "three":
            await alice.says(room, text)
        part = await client.room(room)
        assert part["timeline"]["limited"] is True
        assert charlie.user_id in self.members(part)

    async def test_heroes_are_introduced(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        for text in "one", "two", "three":
            await alice.says(room, text)
        part = await Client(alice, filter=self.WANTED).room(room)
        assert bob.user_id in self.members(part)


class TestPresence:
    async def test_those_who_share_a_room_hear_who_comes(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        await room_of(alice, bob)
        client = await client_of(alice, set_presence="offline")
        waiting = asyncio.create_task(client.syncs(timeout=WAIT_MS))
        await client_of(bob)
        await waiting
        assert client.view.presence[bob.user_id]["presence"] == "online"

    async def test_strangers_hear_nothing(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        client = await client_of(alice, set_presence="offline")
        await client_of(bob)
        await asyncio.sleep(1.5)
        assert "presence" not in await client.syncs()

    async def test_a_first_sync_tells_who_is_here(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        await room_of(alice, bob)
        await client_of(bob)
        client = await client_of(alice)
        assert client.view.presence[bob.user_id]["presence"] == "online"

    async def test_syncing_as_offline_shows_nobody(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        await room_of(alice, bob)
        await client_of(bob, set_presence="offline")
        client = await client_of(alice)
        assert bob.user_id not in client.view.presence

    async def test_syncing_as_unavailable_shows_somebody_idle(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        await room_of(alice, bob)
        await client_of(bob, set_presence="unavailable")
        client = await client_of(alice)
        assert client.view.presence[bob.user_id]["presence"] == "unavailable"

    async def test_a_filter_may_leave_it_out(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        await room_of(alice, bob)
        await client_of(bob)
        client = await client_of(alice, filter=json.dumps({"presence": {"types": []}}))
        assert client.view.presence == {}


class TestUnread:
    """`unread_notifications`: C-S API v1.19 "Receiving notifications"."""

    async def test_messages_of_others_are_counted_until_they_are_read(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        client = await client_of(bob)
        await alice.says(room, "one")
        said = await alice.says(room, "two")
        part = await client.room(room)
        assert part["unread_notifications"]["notification_count"] == 2
        await bob.post(f"v3/rooms/{q(room)}/receipt/m.read/{q(said)}")
        part = await client.room(room)
        assert part["unread_notifications"]["notification_count"] == 0

    async def test_a_private_receipt_counts_as_well(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        client = await client_of(bob)
        said = await alice.says(room, "one")
        await client.syncs()
        await bob.post(f"v3/rooms/{q(room)}/receipt/m.read.private/{q(said)}")
        part = await client.room(room)
        assert part["unread_notifications"]["notification_count"] == 0

    async def test_a_mention_is_highlighted(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        client = await client_of(bob)
        mention = {"msgtype": "m.text", "body": "bob", "m.mentions": {"user_ids": [bob.user_id]}}
        await alice.sends(room, "m.room.message", mention)
        part = await client.room(room)
        assert part["unread_notifications"]["highlight_count"] == 1
        fresh = await Client(bob).room(room)
        assert fresh["unread_notifications"]["highlight_count"] == 1

    async def test_threads_are_counted_apart_if_asked_for(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        root = await alice.says(room, "root")
        wanted = json.dumps({"room": {"timeline": {"unread_thread_notifications": True}}})
        apart, together = await client_of(bob, filter=wanted), await client_of(bob)
        relation = {"rel_type": "m.thread", "event_id": root}
        await alice.sends(
            room,
            "m.room.message",
            {"msgtype": "m.text", "body": "in the thread", "m.relates_to": relation},
        )
        part = await apart.room(room)
        assert part["unread_notifications"]["notification_count"] == 1
        assert part["unread_thread_notifications"][root]["notification_count"] == 1
        part = await together.room(room)
        assert part["unread_notifications"]["notification_count"] == 2
        assert "unread_thread_notifications" not in part
