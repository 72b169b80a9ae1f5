"""filter.yaml, and what filters leave out of syncs."""

import json
from typing import Any

import pytest

from tests.support.matrix_server import MatrixUser, q

Json = dict[str, Any]


async def defines(user: MatrixUser, definition: Json) -> str:
    """The ID of the filter."""
    answer = await user.post(f"v3/user/{q(user.user_id)}/filter", definition)
    return str(answer["filter_id"])


async def room_of(creator: MatrixUser, *others: MatrixUser, **body: Any) -> str:
    room = await creator.creates_room(preset="public_chat", **body)
    for other in others:
        await other.joins(room)
    return room


async def first(user: MatrixUser, wanted: Json, room: str | None = None) -> Json:
    """The answer to a first sync, or what it says of a room."""
    answer: Json = await user.get("v3/sync", filter=json.dumps(wanted))
    if room is None:
        return answer
    part: Json = answer.get("rooms", {}).get("join", {}).get(room, {})
    return part


def bodies(part: Json) -> list[str]:
    events = part["timeline"]["events"]
    return [each["content"].get("body", "") for each in events if each["type"] == "m.room.message"]


def types(events: list[Json]) -> set[str]:
    return {each["type"] for each in events}


class TestDefineFilter:
    """defineFilter."""

    async def test_a_filter_can_be_read_again(self, server):
        alice = await server.registers("alice")
        definition = {"room": {"timeline": {"limit": 3}}, "event_fields": ["content.body"]}
        filter_id = await defines(alice, definition)
        assert not filter_id.startswith("{")
        assert await alice.get(f"v3/user/{q(alice.user_id)}/filter/{filter_id}") == definition

    async def test_the_same_filter_has_the_same_id(self, server):
        alice = await server.registers("alice")
        one = await defines(alice, {"room": {"timeline": {"limit": 3}}, "event_format": "client"})
        two = await defines(alice, {"event_format": "client", "room": {"timeline": {"limit": 3}}})
        assert one == two

    async def test_unknown_fields_are_kept(self, server):
        alice = await server.registers("alice")
        filter_id = await defines(alice, {"org.example.new": {"a": 1}})
        assert await alice.get(f"v3/user/{q(alice.user_id)}/filter/{filter_id}") == {
            "org.example.new": {"a": 1}
        }

    @pytest.mark.parametrize(
        "definition",
        [
            {"room": []},
            {"room": {"timeline": {"limit": "ten"}}},
            {"room": {"timeline": {"limit": -1}}},
            {"room": {"timeline": {"limit": True}}},
            {"room": {"timeline": {"types": "m.room.message"}}},
            {"room": {"timeline": {"types": [1]}}},
            {"room": {"timeline": {"senders": ["bob"]}}},
            {"room": {"rooms": ["#alias:example.org"]}},
            {"room": {"state": {"lazy_load_members": "yes"}}},
            {"room": {"include_leave": 1}},
            {"presence": {"not_senders": {}}},
            {"event_fields": "content"},
            {"event_format": "xml"},
            {"room": {"timeline": {"types": ["a" * 5_000]}}},
            {"room": {"timeline": {"types": ["a"] * 5_000}}},
        ],
    )
    async def test_what_is_no_filter_is_refused(self, server, definition):
        alice = await server.registers("alice")
        path = f"v3/user/{q(alice.user_id)}/filter"
        assert await alice.is_refused("POST", path, definition, status=400) == "M_BAD_JSON"
        if len(json.dumps(definition)) < 4_000:  # as much as fits into a URL
            status, answer = await alice.request("GET", "v3/sync", query={"filter": definition})
            assert (status, answer["errcode"]) == (400, "M_INVALID_PARAM")

    async def test_what_is_no_json_is_refused(self, server):
        alice = await server.registers("alice")
        path = f"v3/user/{q(alice.user_id)}/filter"
        assert await alice.is_refused("POST", path, b"{", status=400) == "M_NOT_JSON"
        assert await alice.is_refused("POST", path, [], status=400) == "M_BAD_JSON"

    async def test_an_absurd_size_is_refused(self, server):
        alice = await server.registers("alice")
        path = f"v3/user/{q(alice.user_id)}/filter"
        huge = {"unknown": "x" * 70_000}
        assert await alice.is_refused("POST", path, huge, status=413) == "M_TOO_LARGE"

    async def test_others_have_filters_of_their_own(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        path = f"v3/user/{q(bob.user_id)}/filter"
        assert await alice.is_refused("POST", path, {}, status=403) == "M_FORBIDDEN"
        filter_id = await defines(bob, {})
        assert await alice.is_refused("GET", f"{path}/{filter_id}", status=403) == "M_FORBIDDEN"
        own = f"v3/user/{q(alice.user_id)}/filter/{filter_id}"
        assert await alice.is_refused("GET", own, status=404) == "M_NOT_FOUND"


class TestGetFilter:
    """getFilter."""

    @pytest.mark.parametrize("filter_id", ["0", "999999", "nonsense", "-1", "9" * 40])
    async def test_an_unknown_filter_is_not_found(self, server, filter_id):
        alice = await server.registers("alice")
        path = f"v3/user/{q(alice.user_id)}/filter/{filter_id}"
        assert await alice.is_refused("GET", path, status=404) == "M_NOT_FOUND"

    async def test_a_sync_with_an_unknown_filter_is_refused(self, server):
        alice = await server.registers("alice")
        code = await alice.is_refused("GET", "v3/sync?filter=999", status=400)
        assert code == "M_INVALID_PARAM"

    async def test_a_sync_with_a_broken_filter_is_refused(self, server):
        alice = await server.registers("alice")
        code = await alice.is_refused("GET", "v3/sync?filter=%7Bno", status=400)
        assert code == "M_INVALID_PARAM"

    async def test_a_kept_filter_is_used(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        await alice.says(room, "one")
        await alice.says(room, "two")
        filter_id = await defines(alice, {"room": {"timeline": {"limit": 1}}})
        part = (await alice.get("v3/sync", filter=filter_id))["rooms"]["join"][room]
        assert bodies(part) == ["two"]


class TestRooms:
    """RoomFilter."""

    async def test_only_the_rooms_that_are_named(self, server):
        alice = await server.registers("alice")
        one, two = await room_of(alice), await room_of(alice)
        answer = await first(alice, {"room": {"rooms": [one]}})
        assert answer["rooms"]["join"].keys() == {one}
        answer = await first(alice, {"room": {"not_rooms": [one]}})
        assert answer["rooms"]["join"].keys() == {two}

    async def test_not_rooms_wins(self, server):
        alice = await server.registers("alice")
        one = await room_of(alice)
        answer = await first(alice, {"room": {"rooms": [one], "not_rooms": [one]}})
        assert "rooms" not in answer

    async def test_a_part_may_have_rooms_of_its_own(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        await alice.says(room, "hello")
        part = await first(alice, {"room": {"timeline": {"not_rooms": [room]}}}, room)
        assert part["timeline"]["events"] == []
        assert part["state"]["events"] != []


class TestTimeline:
    """`room.timeline`."""

    async def spoken(self, server) -> tuple[MatrixUser, MatrixUser, str]:
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        await alice.says(room, "by alice")
        await bob.says(room, "by bob")
        await alice.sends(room, "org.example.event", {"url": "mxc://example.org/a"})
        return alice, bob, room

    async def timeline(self, user: MatrixUser, room: str, **timeline: Any) -> Json:
        return await first(user, {"room": {"timeline": timeline}}, room)

    async def test_types(self, server):
        alice, _, room = await self.spoken(server)
        part = await self.timeline(alice, room, types=["m.room.message"])
        assert bodies(part) == ["by alice", "by bob"]
        assert types(part["timeline"]["events"]) == {"m.room.message"}

    async def test_types_with_wildcards(self, server):
        alice, _, room = await self.spoken(server)
        part = await self.timeline(alice, room, types=["org.*.ev*t"])
        assert types(part["timeline"]["events"]) == {"org.example.event"}

    async def test_signs_of_sql_are_no_wildcards(self, server):
        alice, _, room = await self.spoken(server)
        part = await self.timeline(alice, room, types=["m.room_message", "%", "m\\.room.message"])
        assert part["timeline"]["events"] == []

    async def test_not_types_wins(self, server):
        alice, _, room = await self.spoken(server)
        part = await self.timeline(
            alice, room, types=["m.room.message", "org.*"], not_types=["m.room.*"]
        )
        assert types(part["timeline"]["events"]) == {"org.example.event"}

    async def test_senders(self, server):
        alice, bob, room = await self.spoken(server)
        part = await self.timeline(alice, room, senders=[bob.user_id], types=["m.room.message"])
        assert bodies(part) == ["by bob"]
        part = await self.timeline(alice, room, not_senders=[bob.user_id])
        assert bodies(part) == ["by alice"]
        part = await self.timeline(alice, room, senders=["@nobody:example.org"])
        assert part["timeline"]["events"] == []

    async def test_events_with_a_url(self, server):
        alice, _, room = await self.spoken(server)
        part = await self.timeline(alice, room, contains_url=True)
        assert types(part["timeline"]["events"]) == {"org.example.event"}
        part = await self.timeline(alice, room, contains_url=False)
        assert "org.example.event" not in types(part["timeline"]["events"])

    async def test_limits(self, server):
        alice, _, room = await self.spoken(server)
        part = await self.timeline(alice, room, limit=1, types=["m.room.message"])
        assert bodies(part) == ["by bob"]
        assert part["timeline"]["limited"] is True
        await self.timeline(alice, room, limit=2**40)

    async def test_the_same_holds_for_what_comes_later(self, server):
        alice, bob, room = await self.spoken(server)
        wanted = {"room": {"timeline": {"types": ["m.room.message"], "not_senders": [bob.user_id]}}}
        since = (await first(alice, wanted))["next_batch"]
        await bob.says(room, "later by bob")
        await alice.says(room, "later by alice")
        await alice.sends(room, "org.example.event", {})
        answer = await alice.get("v3/sync", filter=json.dumps(wanted), since=since)
        events = answer["rooms"]["join"][room]["timeline"]["events"]
        assert [each["content"]["body"] for each in events] == ["later by alice"]


class TestState:
    """`room.state`."""

    async def test_types(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice, name="Tea")
        wanted = {"room": {"state": {"types": ["m.room.name"]}, "timeline": {"types": []}}}
        part = await first(alice, wanted, room)
        assert types(part["state"]["events"]) == {"m.room.name"}
        wanted = {"room": {"state": {"not_types": ["m.room.m*"]}, "timeline": {"types": []}}}
        part = await first(alice, wanted, room)
        assert "m.room.member" not in types(part["state"]["events"])

    async def test_senders(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        wanted = {"room": {"state": {"senders": [bob.user_id]}, "timeline": {"types": []}}}
        part = await first(alice, wanted, room)
        assert {each["sender"] for each in part["state"]["events"]} == {bob.user_id}

    async def test_none_at_all(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        part = await first(alice, {"room": {"state": {"types": []}}}, room)
        assert part["state"]["events"] == []


class TestOtherParts:
    async def test_account_data(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        await alice.put(f"v3/user/{q(alice.user_id)}/account_data/a.note", {})
        await alice.put(f"v3/user/{q(alice.user_id)}/account_data/b.note", {})
        await alice.put(f"v3/user/{q(alice.user_id)}/rooms/{q(room)}/account_data/a.note", {})
        wanted = {"account_data": {"types": ["a.*"]}, "room": {"account_data": {"types": []}}}
        answer = await first(alice, wanted)
        assert types(answer["account_data"]["events"]) == {"a.note"}
        assert "account_data" not in answer["rooms"]["join"][room]

    async def test_ephemeral(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_of(alice, bob)
        said = await alice.says(room, "hello")
        await bob.post(f"v3/rooms/{q(room)}/receipt/m.read/{q(said)}")
        path = f"v3/rooms/{q(room)}/typing/{q(bob.user_id)}"
        await bob.put(path, {"typing": True, "timeout": 30_000})
        part = await first(alice, {"room": {"ephemeral": {"types": ["m.typing"]}}}, room)
        assert types(part["ephemeral"]["events"]) == {"m.typing"}
        part = await first(alice, {"room": {"ephemeral": {"types": []}}}, room)
        assert "ephemeral" not in part


class TestEventFields:
    """`event_fields`: dot-separated paths."""

    async def shown(self, server, fields: list[str]) -> Json:
        alice = await server.registers("alice")
        room = await room_of(alice)
        content = {"body": "hello", "msgtype": "m.text", "a.b": {"c": 1, "d": 2}}
        await alice.sends(room, "m.room.message", content)
        part = await first(alice, {"event_fields": fields}, room)
        event: Json = part["timeline"]["events"][-1]
        return event

    async def test_only_these_fields_of_the_content(self, server):
        event = await self.shown(server, ["content.body"])
        assert event["content"] == {"body": "hello"}
        assert "unsigned" not in event

    async def test_dots_in_names_are_escaped(self, server):
        event = await self.shown(server, [r"content.a\.b.c", "content.nothing.here"])
        assert event["content"] == {"a.b": {"c": 1}}


class TestEventFormat:
    """`event_format`."""

    async def test_federation_is_the_event_as_it_was_signed(self, server):
        alice = await server.registers("alice")
        room = await room_of(alice)
        await alice.says(room, "hello")
        part = await first(alice, {"event_format": "federation"}, room)
        event = part["timeline"]["events"][-1]
        assert {"hashes", "signatures", "auth_events", "prev_events", "depth"} <= event.keys()
        since = (await alice.get("v3/sync"))["next_batch"]
        await alice.says(room, "again")
        wanted = json.dumps({"event_format": "federation"})
        answer = await alice.get("v3/sync", filter=wanted, since=since)
        (event,) = answer["rooms"]["join"][room]["timeline"]["events"]
        assert "signatures" in event
