"""Simplified sliding sync (MSC4186), as it was accepted and as clients knew it before."""

import asyncio
from typing import Any

import pytest

from tests.support.matrix_server import MatrixUser, matrix_server, q

EARLIER = "unstable/org.matrix.simplified_msc3575/sync"
EVERYTHING: dict[str, Any] = {"include": [{}]}


def wish(timeline_limit: int = 10, **more: Any) -> dict[str, Any]:
    return {"timeline_limit": timeline_limit, "required_state": {}} | more


async def sync(user: MatrixUser, pos: str | None = None, **body: Any) -> Any:
    """lists: one of all rooms, unless told otherwise."""
    body.setdefault("lists", {"all": wish(range=[0, 99])})
    status, answer = await user.request("POST", "v4/sync", body | ({"pos": pos} if pos else {}))
    assert status == 200, answer
    return answer


def texts(room: dict[str, Any]) -> list[str]:
    return [
        event["content"]["body"]
        for event in room.get("timeline_events", ())
        if event["type"] == "m.room.message"
    ]


class TestLists:
    """MSC4186 "Lists"."""

    async def test_the_rooms_of_a_window_are_told_and_counted(self, alice):
        rooms = [await alice.creates_room(name=f"room {number}") for number in range(3)]
        answer = await sync(alice, lists={"some": wish(range=[0, 1])})
        assert answer["lists"] == {"some": {"count": 3}}
        assert set(answer["rooms"]) == {rooms[1], rooms[2]}

    async def test_a_room_is_told_whole_the_first_time(self, alice):
        room_id = await alice.creates_room(name="Garden")
        await alice.says(room_id, "hello")
        room = (await sync(alice))["rooms"][room_id]
        assert room["initial"] is True
        assert room["name"] == "Garden"
        assert room["membership"] == "join"
        assert room["joined_count"] == 1
        assert room["lists"] == ["all"]
        assert texts(room) == ["hello"]

    async def test_what_was_told_is_not_told_again(self, alice):
        await alice.creates_room()
        first = await sync(alice)
        assert (await sync(alice, first["pos"]))["rooms"] == {}

    async def test_only_what_changed_is_told_after_that(self, alice, bob):
        quiet = await alice.creates_room()
        room_id = await alice.creates_room(invite=[bob.user_id])
        await bob.joins(room_id)
        first = await sync(alice)
        await bob.says(room_id, "news")
        second = await sync(alice, first["pos"])
        assert set(second["rooms"]) == {room_id}
        assert quiet in first["rooms"]
        room = second["rooms"][room_id]
        assert texts(room) == ["news"]
        assert "initial" not in room
        assert room["num_live"] == 1
        assert "name" not in room

    async def test_a_window_that_grows_tells_the_further_rooms_only(self, alice):
        rooms = [await alice.creates_room() for _ in range(4)]
        first = await sync(alice, lists={"all": wish(range=[0, 1])})
        second = await sync(alice, first["pos"], lists={"all": wish(range=[0, 3])})
        assert set(second["rooms"]) == {rooms[0], rooms[1]}

    async def test_a_room_that_comes_back_into_the_window_is_told_what_it_missed(self, alice, bob):
        one = await alice.creates_room(invite=[bob.user_id])
        await bob.joins(one)
        two = await alice.creates_room()
        narrow = {"all": wish(range=[0, 0])}
        first = await sync(alice)
        second = await sync(alice, first["pos"], lists=narrow)
        await bob.says(one, "missed")
        await alice.says(two, "on top")
        third = await sync(alice, second["pos"], lists=narrow)
        assert set(third["rooms"]) == {two}
        fourth = await sync(alice, third["pos"])
        assert texts(fourth["rooms"][one]) == ["missed"]
        assert "initial" not in fourth["rooms"][one]

    async def test_filters_choose_rooms(self, alice):
        space = await alice.creates_room(creation_content={"type": "m.space"})
        child = await alice.creates_room()
        await alice.creates_room()
        await alice.sets(space, "m.space.child", {"via": ["example.org"]}, child)
        filters = {"room_types": ["m.space"]}
        answer = await sync(alice, lists={"spaces": wish(filters=filters)})
        assert set(answer["rooms"]) == {space}
        answer = await sync(alice, lists={"in": wish(filters={"spaces": [space]})})
        assert set(answer["rooms"]) == {child}

    async def test_direct_rooms_are_those_of_the_account_data(self, alice, bob):
        direct = await alice.creates_room(is_direct=True)
        await alice.creates_room()
        path = f"v3/user/{q(alice.user_id)}/account_data/m.direct"
        await alice.put(path, {bob.user_id: [direct]})
        answer = await sync(alice, lists={"dms": wish(filters={"is_dm": True})})
        assert set(answer["rooms"]) == {direct}
        assert answer["rooms"][direct]["is_dm"] is True

    async def test_a_room_that_becomes_direct_is_told_so(self, alice, bob):
        room_id = await alice.creates_room()
        first = await sync(alice)
        path = f"v3/user/{q(alice.user_id)}/account_data/m.direct"
        await alice.put(path, {bob.user_id: [room_id]})
        second = await sync(alice, first["pos"])
        assert second["rooms"][room_id]["is_dm"] is True


class TestMemberships:
    """MSC4186 "Lists", "Invite/knock/rejections"."""

    async def test_an_invitation_is_told_stripped(self, alice, bob):
        room_id = await alice.creates_room(name="Garden", invite=[bob.user_id])
        room = (await sync(bob))["rooms"][room_id]
        assert room["membership"] == "invite"
        assert "timeline_events" not in room
        names = [
            event["content"]["name"]
            for event in room["stripped_state"]
            if event["type"] == "m.room.name"
        ]
        assert names == ["Garden"]

    async def test_who_accepts_is_told_of_the_room(self, alice, bob):
        room_id = await alice.creates_room(invite=[bob.user_id])
        first = await sync(bob)
        await bob.joins(room_id)
        room = (await sync(bob, first["pos"]))["rooms"][room_id]
        assert room["membership"] == "join"
        assert room["initial"] is True

    async def test_who_is_removed_is_told_so_and_no_more(self, alice, bob):
        room_id = await alice.creates_room(invite=[bob.user_id])
        await bob.joins(room_id)
        first = await sync(bob)
        await alice.post(f"v3/rooms/{q(room_id)}/kick", {"user_id": bob.user_id})
        await alice.says(room_id, "he is gone")
        second = await sync(bob, first["pos"])
        assert second["rooms"][room_id]["membership"] == "leave"
        assert texts(second["rooms"][room_id]) == []
        assert (await sync(bob, second["pos"]))["rooms"] == {}

    async def test_rooms_that_one_left_are_not_shown_to_a_new_connection(self, alice, bob):
        room_id = await alice.creates_room(invite=[bob.user_id])
        await bob.joins(room_id)
        await bob.post(f"v3/rooms/{q(room_id)}/leave")
        assert (await sync(bob))["rooms"] == {}

    async def test_who_was_banned_without_having_been_there_is_told_nothing(self, alice, bob):
        room_id = await alice.creates_room()
        await alice.post(f"v3/rooms/{q(room_id)}/ban", {"user_id": bob.user_id})
        assert (await sync(bob))["rooms"] == {}


class TestRoomConfigs:
    """MSC4186 "Changing room configs", "RequiredStateRequest"."""

    async def test_the_state_that_is_asked_for_is_told(self, alice):
        room_id = await alice.creates_room(name="Garden", topic="Plants")
        required = {"include": [{"type": "m.room.topic", "state_key": ""}]}
        answer = await sync(alice, lists={"all": wish(required_state=required)})
        state = answer["rooms"][room_id]["required_state"]
        assert [event["type"] for event in state] == ["m.room.topic"]

    async def test_all_state_but_what_is_excluded(self, alice):
        room_id = await alice.creates_room(name="Garden")
        required = EVERYTHING | {"exclude": [{"type": "m.room.create"}]}
        answer = await sync(alice, lists={"all": wish(required_state=required)})
        types = {event["type"] for event in answer["rooms"][room_id]["required_state"]}
        assert "m.room.name" in types
        assert "m.room.member" in types
        assert "m.room.create" not in types

    async def test_changed_state_is_told(self, alice):
        room_id = await alice.creates_room(name="Garden")
        lists = {"all": wish(required_state=EVERYTHING)}
        first = await sync(alice, lists=lists)
        await alice.sets(room_id, "m.room.name", {"name": "Orchard"})
        room = (await sync(alice, first["pos"], lists=lists))["rooms"][room_id]
        assert [event["content"] for event in room["required_state"]] == [{"name": "Orchard"}]
        assert room["name"] == "Orchard"

    async def test_senders_are_told_where_members_are_lazy(self, alice, bob):
        room_id = await alice.creates_room(invite=[bob.user_id])
        await bob.joins(room_id)
        await bob.says(room_id, "hello")
        lists = {"all": wish(1, required_state={"lazy_members": True})}
        answer = await sync(alice, lists=lists)
        members = [event["state_key"] for event in answer["rooms"][room_id]["required_state"]]
        assert members == [bob.user_id]

    async def test_a_larger_timeline_is_told_at_once(self, alice):
        room_id = await alice.creates_room()
        for text in ("one", "two", "three"):
            await alice.says(room_id, text)
        first = await sync(alice, lists={"all": wish(1)})
        assert texts(first["rooms"][room_id]) == ["three"]
        assert first["rooms"][room_id]["limited"] is True
        second = await sync(alice, first["pos"], lists={"all": wish(3)})
        assert texts(second["rooms"][room_id]) == ["one", "two", "three"]
        assert second["rooms"][room_id]["expanded_timeline"] is True
        assert second["rooms"][room_id]["num_live"] == 0

    async def test_more_state_is_told_at_once(self, alice):
        room_id = await alice.creates_room(topic="Plants")
        first = await sync(alice)
        required = {"include": [{"type": "m.room.topic"}]}
        second = await sync(alice, first["pos"], lists={"all": wish(required_state=required)})
        state = second["rooms"][room_id]["required_state"]
        assert [event["content"]["topic"] for event in state] == ["Plants"]

    async def test_wishes_of_lists_and_subscriptions_are_combined(self, alice):
        room_id = await alice.creates_room(topic="Plants")
        for text in ("one", "two"):
            await alice.says(room_id, text)
        required = {"include": [{"type": "m.room.topic"}]}
        answer = await sync(
            alice,
            lists={"all": wish(1)},
            room_subscriptions={room_id: wish(2, required_state=required)},
        )
        room = answer["rooms"][room_id]
        assert texts(room) == ["one", "two"]
        assert len(room["required_state"]) == 1


class TestSubscriptions:
    """MSC4186 "Subscriptions"."""

    async def test_a_room_outside_of_all_lists_is_told(self, alice):
        room_id = await alice.creates_room()
        answer = await sync(alice, lists={}, room_subscriptions={room_id: wish()})
        assert set(answer["rooms"]) == {room_id}
        assert "lists" not in answer["rooms"][room_id]

    async def test_a_room_of_others_is_not(self, alice, bob):
        room_id = await alice.creates_room()
        answer = await sync(bob, lists={}, room_subscriptions={room_id: wish()})
        assert answer["rooms"] == {}


class TestConnections:
    """MSC4186 "Connections"."""

    async def test_the_same_position_can_be_used_again(self, alice):
        room_id = await alice.creates_room()
        first = await sync(alice)
        await alice.says(room_id, "news")
        for _ in range(2):
            answer = await sync(alice, first["pos"])
            assert texts(answer["rooms"][room_id]) == ["news"]

    async def test_a_position_of_nothing_is_one_too(self, alice):
        first = await sync(alice)
        room_id = await alice.creates_room()
        assert room_id in (await sync(alice, first["pos"]))["rooms"]

    async def test_who_starts_afresh_is_not_told_from_where_he_stood_before(self, alice):
        room_id = await alice.creates_room()
        narrow = {"none": wish(filters={"is_dm": True})}
        await sync(alice)
        first = await sync(alice, lists=narrow)
        assert (await sync(alice, first["pos"]))["rooms"][room_id]["initial"] is True

    async def test_connections_of_other_names_know_nothing_of_each_other(self, alice):
        room_id = await alice.creates_room()
        await sync(alice, conn_id="one")
        assert room_id in (await sync(alice, conn_id="two"))["rooms"]

    @pytest.mark.parametrize("pos", ["nonsense", "s1_0_0_0_0_0_0_0.99", "s1"])
    async def test_an_unknown_position_is_refused(self, alice, pos):
        errcode = await alice.is_refused("POST", "v4/sync", {"pos": pos}, status=400)
        assert errcode == "M_UNKNOWN_POS"

    async def test_a_position_is_good_after_a_restart(self, database):
        async with matrix_server(database) as server:
            alice = await server.registers("alice")
            room_id = await alice.creates_room()
            first = await sync(alice)
        async with matrix_server(database) as server:
            again = MatrixUser(server.client, alice.token, alice.user_id)
            await again.says(room_id, "still here")
            room = (await sync(again, first["pos"]))["rooms"][room_id]
            assert texts(room) == ["still here"]
            assert "initial" not in room

    async def test_a_position_can_be_used_for_pages(self, alice):
        room_id = await alice.creates_room()
        await alice.says(room_id, "hello")
        pos = (await sync(alice))["pos"]
        page = await alice.get(f"v3/rooms/{q(room_id)}/messages", dir="b", **{"from": pos})
        assert page["chunk"][0]["content"]["body"] == "hello"


class TestWaiting:
    """timeout."""

    async def test_a_request_waits_for_news(self, alice, bob):
        room_id = await alice.creates_room(invite=[bob.user_id])
        await bob.joins(room_id)
        first = await sync(alice)
        waiting = asyncio.create_task(sync(alice, first["pos"], timeout=30_000))
        await asyncio.sleep(0)
        await bob.says(room_id, "news")
        answer = await waiting
        assert texts(answer["rooms"][room_id]) == ["news"]

    async def test_without_news_it_ends_with_its_time(self, alice):
        await alice.creates_room()
        first = await sync(alice)
        assert (await sync(alice, first["pos"], timeout=10))["rooms"] == {}


class TestExtensions:
    """MSC3959, MSC3960, MSC3961."""

    async def test_account_data_is_told_once(self, alice):
        room_id = await alice.creates_room()
        user = q(alice.user_id)
        await alice.put(f"v3/user/{user}/account_data/org.example", {"a": 1})
        await alice.put(f"v3/user/{user}/rooms/{q(room_id)}/tags/u.x", {"order": 0.5})
        extensions = {"account_data": {"enabled": True}}
        first = await sync(alice, extensions=extensions)
        told = first["extensions"]["account_data"]
        assert {"type": "org.example", "content": {"a": 1}} in told["global"]
        assert told["rooms"][room_id][0]["type"] == "m.tag"
        second = await sync(alice, first["pos"], extensions=extensions)
        assert "account_data" not in second["extensions"]

    async def test_receipts_are_told(self, alice, bob):
        room_id = await alice.creates_room(invite=[bob.user_id])
        await bob.joins(room_id)
        event_id = await alice.says(room_id, "read me")
        extensions = {"receipts": {"enabled": True}}
        first = await sync(alice, extensions=extensions)
        await bob.post(f"v3/rooms/{q(room_id)}/receipt/m.read/{q(event_id)}")
        second = await sync(alice, first["pos"], extensions=extensions)
        content = second["extensions"]["receipts"]["rooms"][room_id]["content"]
        assert set(content[event_id]["m.read"]) == {bob.user_id}

    async def test_who_writes_is_told_until_he_stops(self, alice, bob):
        room_id = await alice.creates_room(invite=[bob.user_id])
        await bob.joins(room_id)
        extensions = {"typing": {"enabled": True}}
        first = await sync(alice, extensions=extensions)
        path = f"v3/rooms/{q(room_id)}/typing/{q(bob.user_id)}"
        await bob.put(path, {"typing": True, "timeout": 30_000})
        second = await sync(alice, first["pos"], extensions=extensions)
        typing = second["extensions"]["typing"]["rooms"][room_id]["content"]
        assert typing == {"user_ids": [bob.user_id]}
        await bob.put(path, {"typing": False})
        third = await sync(alice, second["pos"], extensions=extensions)
        typing = third["extensions"]["typing"]["rooms"][room_id]["content"]
        assert typing == {"user_ids": []}

    async def test_what_is_not_enabled_is_not_told(self, alice):
        await alice.put(f"v3/user/{q(alice.user_id)}/account_data/org.example", {})
        assert (await sync(alice, extensions={"account_data": {}}))["extensions"] == {}


class TestBadInput:
    """A clear error for what cannot be used."""

    @pytest.mark.parametrize(
        "body",
        [
            {"lists": {"all": {}}},
            {"lists": {"all": wish(range=[0])}},
            {"lists": {"all": wish(range=[-1, 5])}},
            {"lists": {str(number): wish() for number in range(101)}},
            {"timeout": "long"},
            {"set_presence": "dancing"},
            {"extensions": {"typing": {"enabled": "yes"}}},
        ],
    )
    async def test_it_is_refused(self, alice, body):
        assert await alice.is_refused("POST", "v4/sync", body, status=400) == "M_BAD_JSON"

    async def test_a_subscription_to_what_is_no_room_is_refused(self, alice):
        body = {"room_subscriptions": {"nonsense": wish()}}
        assert await alice.is_refused("POST", "v4/sync", body, status=400) == "M_INVALID_PARAM"


class TestEarlierForm:
    """As clients knew it before the proposal was accepted."""

    async def test_it_is_advertised(self, server):
        features = (await server.nobody.get("/_matrix/client/versions"))["unstable_features"]
        assert features["org.matrix.simplified_msc3575"] is True

    async def test_rooms_are_told_with_the_names_of_then(self, alice, bob):
        room_id = await alice.creates_room(name="Garden")
        await alice.says(room_id, "hello")
        invitation = await bob.creates_room(invite=[alice.user_id])
        state = [["m.room.name", ""], ["m.room.member", "$ME"]]
        all_rooms = {"ranges": [[0, 9]], "timeline_limit": 1, "required_state": state}
        answer = await alice.post(EARLIER, {"lists": {"all": all_rooms}})
        (operation,) = answer["lists"]["all"]["ops"]
        assert operation == {
            "op": "SYNC",
            "range": [0, 9],
            "room_ids": [invitation, room_id],
        }
        room = answer["rooms"][room_id]
        assert room["timeline"][0]["content"]["body"] == "hello"
        assert {event["type"] for event in room["required_state"]} == {
            "m.room.name",
            "m.room.member",
        }
        assert "invite_state" in answer["rooms"][invitation]
        again = await alice.post(EARLIER, {"lists": {"all": all_rooms}}, pos=answer["pos"])
        assert again["rooms"] == {}
