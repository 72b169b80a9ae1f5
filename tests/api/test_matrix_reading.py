"""Reading rooms: one event, state, members, pages, what stands around an event, and times."""

import pytest

from homeserver.storage import room_state_at
from tests.support.matrix_server import MatrixUser, q

NOBODYS_ROOM = "!nowhere:example.org"
MESSAGE = "m.room.message"


async def room_of(
    alice: MatrixUser, visibility: str = "shared", *, preset: str = "public_chat"
) -> str:
    state = {"type": "m.room.history_visibility", "content": {"history_visibility": visibility}}
    return await alice.creates_room(preset=preset, initial_state=[state])


async def leaves(user: MatrixUser, room: str) -> None:
    await user.post(f"v3/rooms/{q(room)}/leave")


async def invites(alice: MatrixUser, room: str, user: MatrixUser) -> None:
    await alice.post(f"v3/rooms/{q(room)}/invite", {"user_id": user.user_id})


async def bodies(user: MatrixUser, room: str, **query: object) -> list[str]:
    """What the reader sees in the room, the oldest first."""
    page = await user.get(f"v3/rooms/{q(room)}/messages", **{"dir": "f", "limit": 100} | query)
    return [event["content"].get("body") for event in page["chunk"] if event["type"] == MESSAGE]


def event_path(room: str, event_id: str) -> str:
    return f"v3/rooms/{q(room)}/event/{q(event_id)}"


class TestGetOneRoomEvent:
    async def test_a_member_reads_an_event(self, alice) -> None:
        room = await room_of(alice)
        event_id = await alice.says(room, "hello")
        event = await alice.get(event_path(room, event_id))
        assert (event["event_id"], event["room_id"]) == (event_id, room)
        assert (event["sender"], event["type"]) == (alice.user_id, MESSAGE)
        assert event["content"]["body"] == "hello"
        assert event["unsigned"]["age"] >= 0
        assert event["unsigned"]["membership"] == "join"

    async def test_only_the_session_that_sent_it_gets_its_transaction_id(self, alice, bob) -> None:
        room = await room_of(alice)
        await bob.joins(room)
        sent = await alice.put(f"v3/rooms/{q(room)}/send/{MESSAGE}/a:b", {"body": "x"})
        path = event_path(room, sent["event_id"])
        assert (await alice.get(path))["unsigned"]["transaction_id"] == "a:b"
        assert "transaction_id" not in (await bob.get(path))["unsigned"]

    async def test_state_tells_what_it_replaced(self, alice) -> None:
        room = await room_of(alice)
        first = await alice.sets(room, "m.room.topic", {"topic": "one"})
        second = await alice.sets(room, "m.room.topic", {"topic": "two"})
        unsigned = (await alice.get(event_path(room, second)))["unsigned"]
        assert unsigned["replaces_state"] == first
        assert unsigned["prev_content"] == {"topic": "one"}
        assert unsigned["prev_sender"] == alice.user_id
        assert "replaces_state" not in (await alice.get(event_path(room, first)))["unsigned"]

    async def test_state_before_the_reader_could_see_it_is_named_only(self, alice, bob) -> None:
        room = await room_of(alice, "joined")
        first = await alice.sets(room, "m.room.topic", {"topic": "secret"})
        await bob.joins(room)
        second = await alice.sets(room, "m.room.topic", {"topic": "open"})
        unsigned = (await bob.get(event_path(room, second)))["unsigned"]
        assert unsigned["replaces_state"] == first
        assert not {"prev_content", "prev_sender"} & unsigned.keys()

    @pytest.mark.parametrize("version", ["10", "11"])
    async def test_a_redacted_event_comes_with_its_redaction(self, alice, version) -> None:
        room = await alice.creates_room(preset="public_chat", room_version=version)
        event_id = await alice.says(room, "oops")
        redaction = await alice.put(
            f"v3/rooms/{q(room)}/redact/{q(event_id)}/t1", {"reason": "typo"}
        )
        event = await alice.get(event_path(room, event_id))
        assert event["content"] == {}
        because = event["unsigned"]["redacted_because"]
        assert because["event_id"] == redaction["event_id"]
        assert because["redacts"] == because["content"]["redacts"] == event_id
        assert because["content"]["reason"] == "typo"

    @pytest.mark.parametrize("event_id", ["$nothing", "$nothing:example.org"])
    async def test_an_unknown_event_is_not_found(self, alice, event_id) -> None:
        room = await room_of(alice)
        assert await alice.is_refused("GET", event_path(room, event_id), status=404)

    async def test_an_event_of_another_room_is_not_found(self, alice) -> None:
        room, other = await room_of(alice), await room_of(alice)
        event_id = await alice.says(other, "hello")
        assert await alice.is_refused("GET", event_path(room, event_id), status=404)

    async def test_who_may_not_see_it_does_not_find_it(self, alice, bob) -> None:
        room = await room_of(alice)
        event_id = await alice.says(room, "hello")
        path = event_path(room, event_id)
        assert await bob.is_refused("GET", path, status=404) == "M_NOT_FOUND"
        await invites(alice, room, bob)
        assert await bob.is_refused("GET", path, status=404) == "M_NOT_FOUND"
        missing = event_path(NOBODYS_ROOM, event_id)
        assert await bob.is_refused("GET", missing, status=404) == "M_NOT_FOUND"

    async def test_strangers_see_what_was_said_while_all_the_world_could_read(
        self, alice, bob
    ) -> None:
        room = await room_of(alice, "world_readable")
        public = await alice.says(room, "hello, world")
        await alice.sets(room, "m.room.history_visibility", {"history_visibility": "shared"})
        private = await alice.says(room, "hello, friends")
        assert (await bob.get(event_path(room, public)))["unsigned"]["membership"] == "leave"
        await bob.is_refused("GET", event_path(room, private), status=404)

    async def test_it_takes_a_token(self, server, alice) -> None:
        room = await room_of(alice)
        code = await server.nobody.is_refused("GET", event_path(room, "$x"), status=401)
        assert code == "M_MISSING_TOKEN"

    @pytest.mark.parametrize(("room", "event_id"), [("nowhere", "$x"), ("!r:a", "x")])
    async def test_what_is_no_identifier_is_refused(self, alice, room, event_id) -> None:
        code = await alice.is_refused("GET", event_path(room, event_id), status=400)
        assert code == "M_INVALID_PARAM"


class TestIgnoredUsers:
    """C-S API v1.19 "Ignoring users"."""

    async def test_their_messages_are_gone_and_their_state_stays(self, alice, bob) -> None:
        room = await room_of(alice)
        await bob.joins(room)
        said = await bob.says(room, "spam")
        kept = await alice.says(room, "hello")
        await alice.put(
            f"v3/user/{q(alice.user_id)}/account_data/m.ignored_user_list",
            {"ignored_users": {bob.user_id: {}}},
        )
        assert await bodies(alice, room) == ["hello"]
        await alice.is_refused("GET", event_path(room, said), status=404)
        page = await alice.get(f"v3/rooms/{q(room)}/messages", dir="b", limit=100)
        members = [each for each in page["chunk"] if each["type"] == "m.room.member"]
        assert bob.user_id in {each["sender"] for each in members}
        context = await alice.get(f"v3/rooms/{q(room)}/context/{q(kept)}")
        around = [*context["events_before"], *context["events_after"]]
        assert said not in {each["event_id"] for each in around}


class TestGetRoomState:
    async def test_a_member_reads_all_of_it(self, alice) -> None:
        room = await room_of(alice)
        state = await alice.get(f"v3/rooms/{q(room)}/state")
        types = {(each["type"], each["state_key"]) for each in state}
        assert {("m.room.create", ""), ("m.room.member", alice.user_id)} <= types
        assert all(each["room_id"] == room for each in state)

    async def test_who_left_reads_it_as_it_was_then(self, alice, bob) -> None:
        room = await room_of(alice)
        await alice.sets(room, "m.room.topic", {"topic": "before"})
        await bob.joins(room)
        await leaves(bob, room)
        await alice.sets(room, "m.room.topic", {"topic": "after"})
        state = await bob.get(f"v3/rooms/{q(room)}/state")
        entries = {(each["type"], each["state_key"]): each["content"] for each in state}
        assert entries["m.room.topic", ""] == {"topic": "before"}
        assert entries["m.room.member", bob.user_id]["membership"] == "leave"

    async def test_who_was_banned_reads_it_as_it_was_then(self, alice, bob) -> None:
        room = await room_of(alice)
        await bob.joins(room)
        await alice.post(f"v3/rooms/{q(room)}/ban", {"user_id": bob.user_id})
        await alice.sets(room, "m.room.topic", {"topic": "after"})
        path = f"v3/rooms/{q(room)}/state/m.room.topic"
        assert await bob.is_refused("GET", path, status=404) == "M_NOT_FOUND"

    async def test_everybody_reads_a_world_readable_room(self, alice, bob) -> None:
        room = await room_of(alice, "world_readable")
        assert await bob.get(f"v3/rooms/{q(room)}/state")

    async def test_strangers_and_the_invited_are_refused(self, alice, bob) -> None:
        room = await room_of(alice)
        path = f"v3/rooms/{q(room)}/state"
        assert await bob.is_refused("GET", path, status=403) == "M_FORBIDDEN"
        await invites(alice, room, bob)
        assert await bob.is_refused("GET", path, status=403) == "M_FORBIDDEN"
        await leaves(bob, room)
        assert await bob.is_refused("GET", path, status=403) == "M_FORBIDDEN"

    async def test_a_room_that_is_not_here_looks_like_one_that_one_is_not_in(self, alice) -> None:
        path = f"v3/rooms/{q(NOBODYS_ROOM)}/state"
        assert await alice.is_refused("GET", path, status=403) == "M_FORBIDDEN"

    async def test_who_forgot_the_room_is_a_stranger(self, alice, bob) -> None:
        room = await room_of(alice)
        await bob.joins(room)
        await leaves(bob, room)
        await bob.post(f"v3/rooms/{q(room)}/forget")
        assert await bob.is_refused("GET", f"v3/rooms/{q(room)}/state", status=403)


class TestGetRoomStateWithKey:
    async def test_the_content_of_an_entry(self, alice) -> None:
        room = await room_of(alice)
        await alice.sets(room, "org.example.x", {"a": 1}, "key")
        path = f"v3/rooms/{q(room)}/state/org.example.x"
        assert await alice.get(f"{path}/key") == {"a": 1}

    @pytest.mark.parametrize("slash", ["", "/"])
    async def test_a_slash_at_the_end_of_an_empty_key_is_optional(self, alice, slash) -> None:
        room = await room_of(alice)
        await alice.sets(room, "m.room.topic", {"topic": "one"})
        path = f"v3/rooms/{q(room)}/state/m.room.topic{slash}"
        assert await alice.get(path) == {"topic": "one"}

    async def test_the_whole_event(self, alice) -> None:
        room = await room_of(alice)
        event_id = await alice.sets(room, "org.example.x", {"a": 1}, "a/b c")
        path = f"v3/rooms/{q(room)}/state/org.example.x/{q('a/b c')}"
        event = await alice.get(path, format="event")
        assert (event["event_id"], event["state_key"]) == (event_id, "a/b c")

    @pytest.mark.parametrize("key", ["m.room.topic", "m.room.topic/x", "x%00", "x/%00", "%FF"])
    async def test_an_entry_that_is_not_there_is_not_found(self, alice, key) -> None:
        room = await room_of(alice)
        path = f"v3/rooms/{q(room)}/state/{key}"
        assert await alice.is_refused("GET", path, status=404) == "M_NOT_FOUND"

    async def test_strangers_are_refused(self, alice, bob) -> None:
        room = await room_of(alice)
        path = f"v3/rooms/{q(room)}/state/m.room.create"
        assert await bob.is_refused("GET", path, status=403) == "M_FORBIDDEN"

    async def test_an_unknown_format_is_refused(self, alice) -> None:
        room = await room_of(alice)
        path = f"v3/rooms/{q(room)}/state/m.room.create"
        assert await alice.is_refused("GET", path, status=400, format="x") == "M_INVALID_PARAM"


class TestGetMembersByRoom:
    async def memberships(self, user, room, **query) -> dict[str, str]:
        answer = await user.get(f"v3/rooms/{q(room)}/members", **query)
        return {each["state_key"]: each["content"]["membership"] for each in answer["chunk"]}

    async def test_everybody_whom_the_room_knows(self, server, alice, bob) -> None:
        room = await room_of(alice)
        carol = await server.registers("carol")
        await bob.joins(room)
        await leaves(bob, room)
        await invites(alice, room, carol)
        everybody = {alice.user_id: "join", bob.user_id: "leave", carol.user_id: "invite"}
        assert await self.memberships(alice, room) == everybody

    @pytest.mark.parametrize("part", [1, 2, 3, 100])
    async def test_many_are_read_in_parts(self, server, alice, bob, monkeypatch, part) -> None:
        room = await room_of(alice)
        await bob.joins(room)
        before = (await alice.get("v3/sync"))["next_batch"]
        carol = await server.registers("carol")
        await carol.joins(room)
        monkeypatch.setattr(room_state_at, "PART", part)
        everybody = {alice.user_id, bob.user_id, carol.user_id}
        assert set(await self.memberships(alice, room)) == everybody
        then = await self.memberships(alice, room, at=before, membership="join")
        assert set(then) == everybody - {carol.user_id}
        assert await self.memberships(alice, room, membership="ban") == {}
        joined = await alice.get(f"v3/rooms/{q(room)}/joined_members")
        assert joined["joined"].keys() == everybody
        state = await alice.get(f"v3/rooms/{q(room)}/state")
        members = [each["state_key"] for each in state if each["type"] == "m.room.member"]
        assert members == [alice.user_id, bob.user_id, carol.user_id]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"membership": "join"}, {"alice"}),
            ({"membership": "leave"}, {"bob"}),
            ({"membership": "knock"}, set()),
            ({"not_membership": "leave"}, {"alice", "carol"}),
            ({"membership": "leave", "not_membership": "join"}, {"bob", "carol"}),
        ],
    )
    async def test_those_with_a_membership(self, server, alice, bob, query, expected) -> None:
        room = await room_of(alice)
        carol = await server.registers("carol")
        await bob.joins(room)
        await leaves(bob, room)
        await invites(alice, room, carol)
        found = await self.memberships(alice, room, **query)
        assert {user_id[1:].partition(":")[0] for user_id in found} == expected

    async def test_as_they_were_at_a_token(self, alice, bob) -> None:
        room = await room_of(alice)
        page = await alice.get(f"v3/rooms/{q(room)}/messages", dir="b", limit=1)
        await bob.joins(room)
        assert set(await self.memberships(alice, room, at=page["start"])) == {alice.user_id}
        page = await alice.get(f"v3/rooms/{q(room)}/messages", dir="b", limit=1)
        await leaves(bob, room)
        then = await self.memberships(alice, room, at=page["start"], membership="join")
        assert set(then) == {alice.user_id, bob.user_id}

    async def test_who_left_sees_who_was_there(self, server, alice, bob) -> None:
        room = await room_of(alice)
        carol = await server.registers("carol")
        await bob.joins(room)
        await leaves(bob, room)
        await carol.joins(room)
        assert carol.user_id not in await self.memberships(bob, room)

    @pytest.mark.parametrize(
        "query", [{"at": "x"}, {"at": "t"}, {"at": "t1.5"}, {"membership": "x"}]
    )
    async def test_wrong_parameters_are_refused(self, alice, query) -> None:
        room = await room_of(alice)
        path = f"v3/rooms/{q(room)}/members"
        assert await alice.is_refused("GET", path, status=400, **query) == "M_INVALID_PARAM"

    async def test_strangers_are_refused(self, alice, bob) -> None:
        room = await room_of(alice)
        path = f"v3/rooms/{q(room)}/members"
        assert await bob.is_refused("GET", path, status=403) == "M_FORBIDDEN"


class TestGetJoinedMembersByRoom:
    async def test_names_and_pictures_of_those_who_are_there(self, alice, bob) -> None:
        room = await room_of(alice)
        await bob.joins(room)
        path = f"v3/rooms/{q(room)}/joined_members"
        answer = await alice.get(path)
        assert set(answer["joined"]) == {alice.user_id, bob.user_id}
        assert answer["joined"][bob.user_id]["display_name"] == "bob"
        await leaves(bob, room)
        assert set((await alice.get(path))["joined"]) == {alice.user_id}

    @pytest.mark.parametrize("visibility", ["shared", "world_readable"])
    async def test_only_members_may_ask(self, alice, bob, visibility) -> None:
        room = await room_of(alice, visibility)
        path = f"v3/rooms/{q(room)}/joined_members"
        assert await bob.is_refused("GET", path, status=403) == "M_FORBIDDEN"
        await bob.joins(room)
        await leaves(bob, room)
        assert await bob.is_refused("GET", path, status=403) == "M_FORBIDDEN"


class TestGetRoomEvents:
    async def test_backwards_from_the_end(self, alice) -> None:
        room = await room_of(alice)
        for number in range(5):
            await alice.says(room, str(number))
        path = f"v3/rooms/{q(room)}/messages"
        first = await alice.get(path, dir="b", limit=2)
        assert [each["content"]["body"] for each in first["chunk"]] == ["4", "3"]
        second = await alice.get(path, dir="b", limit=2, **{"from": first["end"]})
        assert second["start"] == first["end"]
        assert [each["content"]["body"] for each in second["chunk"]] == ["2", "1"]

    async def test_the_last_page_has_no_end(self, alice) -> None:
        room = await room_of(alice)
        path = f"v3/rooms/{q(room)}/messages"
        page = await alice.get(path, dir="b", limit=100)
        assert "end" not in page
        assert page["chunk"][-1]["type"] == "m.room.create"
        exact = await alice.get(path, dir="b", limit=len(page["chunk"]))
        assert "end" not in exact

    async def test_forwards_and_backwards_give_the_same(self, alice) -> None:
        room = await room_of(alice)
        for number in range(12):
            await alice.says(room, str(number))
        whole = await alice.get(f"v3/rooms/{q(room)}/messages", dir="f", limit=100)
        for direction in "fb":
            found, query = [], {"dir": direction, "limit": 3}
            while True:
                page = await alice.get(f"v3/rooms/{q(room)}/messages", **query)
                found += [each["event_id"] for each in page["chunk"]]
                if "end" not in page:
                    break
                query["from"] = page["end"]
            expected = [each["event_id"] for each in whole["chunk"]]
            assert found == (expected if direction == "f" else expected[::-1])

    async def test_a_page_ends_at_to(self, alice) -> None:
        room = await room_of(alice)
        await alice.says(room, "one")
        path = f"v3/rooms/{q(room)}/messages"
        between = (await alice.get(path, dir="b", limit=1))["start"]
        await alice.says(room, "two")
        assert await bodies(alice, room, dir="b", to=between) == ["two"]
        assert await bodies(alice, room, dir="f", to=between) == ["one"]

    async def test_ten_events_are_the_default(self, alice) -> None:
        room = await room_of(alice)
        for number in range(12):
            await alice.says(room, str(number))
        page = await alice.get(f"v3/rooms/{q(room)}/messages", dir="b")
        assert len(page["chunk"]) == 10

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({"types": ["m.room.message"]}, ["a", "b"]),
            ({"types": ["m.room.*"], "not_types": ["m.room.[!m]*", "m.room.member"]}, ["a", "b"]),
            ({"types": []}, []),
            ({"not_types": ["*"]}, []),
            ({"senders": ["@bob:example.org"]}, ["b"]),
            ({"not_senders": ["@bob:example.org"]}, ["a"]),
            ({"contains_url": True}, ["b"]),
            ({"contains_url": False}, ["a"]),
            ({"rooms": ["!other:example.org"]}, []),
            ({"not_rooms": ["!other:example.org"]}, ["a", "b"]),
            ({"types": ["m_room_message"]}, []),
        ],
    )
    async def test_a_filter_chooses(self, alice, bob, given, expected) -> None:
        room = await room_of(alice)
        await bob.joins(room)
        await alice.sends(room, MESSAGE, {"body": "a", "nested": {"url": "x"}})
        await bob.sends(room, MESSAGE, {"body": "b", "url": "mxc://a/b"})
        assert await bodies(alice, room, filter=given) == expected

    async def test_a_filter_chooses_by_what_relates_to_events(self, alice, bob) -> None:
        room = await room_of(alice)
        await bob.joins(room)
        root = await alice.says(room, "root")
        await alice.says(room, "other")
        relates = {"rel_type": "m.thread", "event_id": root}
        await bob.sends(room, MESSAGE, {"body": "reply", "m.relates_to": relates})
        by_type = {"related_by_rel_types": ["m.thread"]}
        assert await bodies(alice, room, filter=by_type) == ["root"]
        by_sender = {"related_by_senders": [bob.user_id]}
        assert await bodies(alice, room, filter=by_sender) == ["root"]
        neither = by_type | {"related_by_senders": [alice.user_id]}
        assert await bodies(alice, room, filter=neither) == []

    async def test_members_who_spoke_come_along_when_loaded_lazily(self, alice, bob) -> None:
        room = await room_of(alice)
        await bob.joins(room)
        await bob.says(room, "hello")
        path = f"v3/rooms/{q(room)}/messages"
        page = await alice.get(path, dir="b", limit=1, filter={"lazy_load_members": True})
        assert [each["state_key"] for each in page["state"]] == [bob.user_id]
        assert "state" not in await alice.get(path, dir="b", limit=1)

    async def test_the_newest_edit_hangs_on_its_message(self, alice, bob) -> None:
        room = await room_of(alice)
        await bob.joins(room)
        event_id = await alice.says(room, "helo")

        def edit(text: str) -> dict:
            relates = {"rel_type": "m.replace", "event_id": event_id}
            new = {"msgtype": "m.text", "body": text}
            return {"body": f"* {text}", "m.new_content": new, "m.relates_to": relates}

        await alice.sends(room, MESSAGE, edit("hell"))
        newest = await alice.sends(room, MESSAGE, edit("hello"))
        await bob.sends(room, MESSAGE, edit("mine"))
        event = await bob.get(event_path(room, event_id))
        assert event["content"]["body"] == "helo"
        assert event["unsigned"]["m.relations"]["m.replace"]["event_id"] == newest
        page = await bob.get(f"v3/rooms/{q(room)}/messages", dir="b", limit=4)
        assert page["chunk"][-1] | {"unsigned": {}} == event | {"unsigned": {}}
        assert "m.replace" in page["chunk"][-1]["unsigned"]["m.relations"]

    @pytest.mark.parametrize(
        "query",
        [
            {},
            {"dir": "x"},
            {"dir": "b", "limit": "many"},
            {"dir": "b", "limit": -1},
            {"dir": "b", "from": "x"},
            {"dir": "b", "to": "s"},
            {"dir": "b", "filter": "{"},
            {"dir": "b", "filter": "[]"},
            {"dir": "b", "filter": '{"types":"x"}'},
            {"dir": "b", "filter": '{"senders":["x"]}'},
            {"dir": "b", "filter": '{"types":["\\u0000"]}'},
            {"dir": "b", "filter": '{"limit":"x"}'},
            {"dir": "b", "from": "t99999999999999999999"},
        ],
    )
    async def test_wrong_parameters_are_refused(self, alice, query) -> None:
        room = await room_of(alice)
        path = f"v3/rooms/{q(room)}/messages"
        code = await alice.is_refused("GET", path, status=400, **query)
        assert code == ("M_INVALID_PARAM" if query else "M_MISSING_PARAM")

    async def test_a_room_that_is_not_here_is_refused(self, alice) -> None:
        path = f"v3/rooms/{q(NOBODYS_ROOM)}/messages"
        assert await alice.is_refused("GET", path, status=403, dir="b") == "M_FORBIDDEN"


class TestHistoryVisibility:
    """C-S API v1.19 "Room History Visibility", by pages."""

    async def story(self, alice: MatrixUser, bob: MatrixUser, visibility: str) -> str:
        room = await room_of(alice, visibility, preset="private_chat")
        await alice.says(room, "before")
        await invites(alice, room, bob)
        await alice.says(room, "invited")
        await bob.joins(room)
        await alice.says(room, "joined")
        await leaves(bob, room)
        await alice.says(room, "left")
        return room

    @pytest.mark.parametrize(
        ("visibility", "expected"),
        [
            ("world_readable", ["before", "invited", "joined", "left"]),
            ("shared", ["before", "invited", "joined"]),
            ("invited", ["invited", "joined"]),
            ("joined", ["joined"]),
        ],
    )
    async def test_who_left_sees_what_he_could(self, alice, bob, visibility, expected) -> None:
        room = await self.story(alice, bob, visibility)
        assert await bodies(bob, room) == expected
        backwards = await bodies(bob, room, dir="b")
        assert backwards == expected[::-1]

    @pytest.mark.parametrize("visibility", ["shared", "invited", "joined"])
    async def test_one_sees_oneself_come_and_go(self, alice, bob, visibility) -> None:
        room = await self.story(alice, bob, visibility)
        page = await bob.get(f"v3/rooms/{q(room)}/messages", dir="f", limit=100)
        own = [
            each["content"]["membership"]
            for each in page["chunk"]
            if each["type"] == "m.room.member" and each["state_key"] == bob.user_id
        ]
        assert own[-2:] == ["join", "leave"]
        ids = [each["event_id"] for each in page["chunk"]]
        assert len(set(ids)) == len(ids)
        found: list[str] = []
        query = {"dir": "b", "limit": 2}
        while True:
            part = await bob.get(f"v3/rooms/{q(room)}/messages", **query)
            found += [each["event_id"] for each in part["chunk"]]
            if "end" not in part:
                break
            query["from"] = part["end"]
        assert found == ids[::-1]

    async def test_the_banned_see_what_they_could(self, alice, bob) -> None:
        room = await room_of(alice)
        await alice.says(room, "before")
        await bob.joins(room)
        await alice.post(f"v3/rooms/{q(room)}/ban", {"user_id": bob.user_id})
        await alice.says(room, "after")
        assert await bodies(bob, room) == ["before"]

    @pytest.mark.parametrize("visibility", ["shared", "invited", "joined"])
    async def test_strangers_and_the_invited_see_nothing(self, alice, bob, visibility) -> None:
        room = await room_of(alice, visibility)
        path = f"v3/rooms/{q(room)}/messages"
        assert await bob.is_refused("GET", path, status=403, dir="b") == "M_FORBIDDEN"
        await invites(alice, room, bob)
        assert await bob.is_refused("GET", path, status=403, dir="b") == "M_FORBIDDEN"

    async def test_strangers_see_of_a_world_readable_room_what_was_said_in_it_as_such(
        self, alice, bob
    ) -> None:
        room = await room_of(alice, "joined")
        await alice.says(room, "among us")
        await alice.sets(
            room, "m.room.history_visibility", {"history_visibility": "world_readable"}
        )
        await alice.says(room, "hello, world")
        assert await bodies(bob, room) == ["hello, world"]


class TestGetEventContext:
    async def test_what_stands_around_an_event(self, alice) -> None:
        room = await room_of(alice)
        sent = [await alice.says(room, str(number)) for number in range(7)]
        path = f"v3/rooms/{q(room)}/context/{q(sent[3])}"
        context = await alice.get(path, limit=4)
        assert context["event"]["event_id"] == sent[3]
        assert [each["event_id"] for each in context["events_before"]] == [sent[2], sent[1]]
        assert [each["event_id"] for each in context["events_after"]] == [sent[4], sent[5]]
        assert {each["type"] for each in context["state"]} >= {"m.room.create", "m.room.member"}

    async def test_its_tokens_lead_on(self, alice) -> None:
        room = await room_of(alice)
        for number in range(7):
            sent = await alice.says(room, str(number))
            if number == 3:
                middle = sent
        context = await alice.get(f"v3/rooms/{q(room)}/context/{q(middle)}", limit=2)
        later = await bodies(alice, room, **{"from": context["end"]})
        assert later == ["5", "6"]
        earlier = await bodies(alice, room, dir="b", **{"from": context["start"]})
        assert earlier == ["1", "0"]

    async def test_with_a_limit_of_0_the_event_comes_alone(self, alice) -> None:
        room = await room_of(alice)
        event_id = await alice.says(room, "hello")
        context = await alice.get(f"v3/rooms/{q(room)}/context/{q(event_id)}", limit=0)
        assert context["event"]["event_id"] == event_id
        assert context["events_before"] == context["events_after"] == []

    async def test_the_state_is_that_at_the_last_event(self, alice) -> None:
        room = await room_of(alice)
        event_id = await alice.says(room, "hello")
        await alice.sets(room, "m.room.topic", {"topic": "one"})
        await alice.sets(room, "m.room.topic", {"topic": "two"})
        context = await alice.get(f"v3/rooms/{q(room)}/context/{q(event_id)}", limit=1)
        topics = [each["content"] for each in context["state"] if each["type"] == "m.room.topic"]
        assert topics == [{"topic": "one"}]

    async def test_a_filter_is_for_what_is_around_it(self, alice, bob) -> None:
        room = await room_of(alice)
        await bob.joins(room)
        event_id = await alice.says(room, "hello")
        path = f"v3/rooms/{q(room)}/context/{q(event_id)}"
        context = await alice.get(path, filter={"types": ["m.room.member"]})
        assert context["event"]["event_id"] == event_id
        parts = [*context["events_before"], *context["events_after"], *context["state"]]
        assert {each["type"] for each in parts} == {"m.room.member"}
        lazy = await alice.get(path, limit=0, filter={"lazy_load_members": True})
        members = {each["state_key"] for each in lazy["state"] if each["type"] == "m.room.member"}
        assert members == {alice.user_id}

    async def test_who_may_not_see_it_does_not_find_it(self, alice, bob) -> None:
        room = await room_of(alice, "joined")
        event_id = await alice.says(room, "hello")
        path = f"v3/rooms/{q(room)}/context/{q(event_id)}"
        assert await bob.is_refused("GET", path, status=403) == "M_FORBIDDEN"
        await bob.joins(room)
        assert await bob.is_refused("GET", path, status=404) == "M_NOT_FOUND"
        missing = f"v3/rooms/{q(room)}/context/{q('$nothing')}"
        assert await alice.is_refused("GET", missing, status=404) == "M_NOT_FOUND"


class TestGetEventByTimestamp:
    async def test_the_nearest_event_in_each_direction(self, alice) -> None:
        room = await room_of(alice)
        event_id = await alice.says(room, "hello")
        ts = (await alice.get(event_path(room, event_id)))["origin_server_ts"]
        path = f"v1/rooms/{q(room)}/timestamp_to_event"
        at = await alice.get(path, ts=ts, dir="f")
        assert at["origin_server_ts"] == ts
        last = await alice.get(path, ts=ts + 10_000_000, dir="b")
        assert last == {"event_id": event_id, "origin_server_ts": ts}
        first = await alice.get(path, ts=0, dir="f")
        create = await alice.get(f"v3/rooms/{q(room)}/messages", dir="f", limit=1)
        assert first["event_id"] == create["chunk"][0]["event_id"]

    @pytest.mark.parametrize("query", [{"ts": 0, "dir": "b"}, {"ts": 2**62, "dir": "f"}])
    async def test_where_there_is_none_it_is_not_found(self, alice, query) -> None:
        room = await room_of(alice)
        path = f"v1/rooms/{q(room)}/timestamp_to_event"
        assert await alice.is_refused("GET", path, status=404, **query) == "M_NOT_FOUND"

    async def test_only_what_the_reader_may_see_is_found(self, alice, bob) -> None:
        room = await room_of(alice, "joined")
        hidden = await alice.says(room, "hello")
        await bob.joins(room)
        path = f"v1/rooms/{q(room)}/timestamp_to_event"
        ts = (await alice.get(event_path(room, hidden)))["origin_server_ts"]
        found = await bob.get(path, ts=ts, dir="f")
        assert (await bob.get(event_path(room, found["event_id"])))["type"] == "m.room.member"

    @pytest.mark.parametrize(
        "query", [{"dir": "f"}, {"ts": 1}, {"ts": "x", "dir": "f"}, {"ts": 1, "dir": "x"}]
    )
    async def test_wrong_parameters_are_refused(self, alice, query) -> None:
        room = await room_of(alice)
        path = f"v1/rooms/{q(room)}/timestamp_to_event"
        code = await alice.is_refused("GET", path, status=400, **query)
        assert code == ("M_MISSING_PARAM" if len(query) == 1 else "M_INVALID_PARAM")

    async def test_strangers_are_refused(self, alice, bob) -> None:
        room = await room_of(alice)
        path = f"v1/rooms/{q(room)}/timestamp_to_event"
        assert await bob.is_refused("GET", path, status=403, ts=1, dir="f") == "M_FORBIDDEN"


class TestPagesOfOldRooms:
    """Rooms whose events may hold numbers that canonical JSON does not have are read event by
    event: what comes out is the same.
    """

    @pytest.mark.parametrize("version", ["5", "11"])
    async def test_a_page(self, alice, version) -> None:
        room = await alice.creates_room(preset="public_chat", room_version=version)
        sent = await alice.put(f"v3/rooms/{q(room)}/send/{MESSAGE}/t1", {"body": "hello"})
        page = await alice.get(f"v3/rooms/{q(room)}/messages", dir="b", limit=1)
        (event,) = page["chunk"]
        age = event["unsigned"].pop("age")
        assert age >= 0
        assert event == {
            "content": {"body": "hello"},
            "event_id": sent["event_id"],
            "origin_server_ts": event["origin_server_ts"],
            "room_id": room,
            "sender": alice.user_id,
            "type": MESSAGE,
            "unsigned": {"membership": "join", "transaction_id": "t1"},
        }
