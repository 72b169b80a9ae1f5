"""Receipts and read markers.

Source: C-S API v1.19 "Receipts", "Fully read markers"; receipts.yaml, read_markers.yaml.
"""

import pytest

from homeserver.storage.database import Database
from tests.support.matrix_server import MatrixUser, q


@pytest.fixture
async def people(server) -> tuple[MatrixUser, MatrixUser, str]:
    """Alice, Bob, and a room in which both are."""
    alice, bob = await server.registers("alice"), await server.registers("bob")
    room = await alice.creates_room(preset="public_chat")
    await bob.joins(room)
    return alice, bob, room


def receipt(room: str, event: str, kind: str = "m.read") -> str:
    return f"v3/rooms/{q(room)}/receipt/{q(kind)}/{q(event)}"


async def stored(database: Database) -> dict[tuple[str, str], str]:
    """The event of each marker, by kind and thread; of the only reader."""
    async with database.connection() as db:
        rows = await db.fetch(
            "SELECT kind, thread, event_id FROM receipts JOIN events USING (event_nid)"
            " WHERE kind <> 'delivered'"
        )
    return {(row["kind"], row["thread"]): row["event_id"] for row in rows}


async def fully_read(user: MatrixUser, room: str) -> str:
    path = f"v3/user/{q(user.user_id)}/rooms/{q(room)}/account_data/m.fully_read"
    return str((await user.get(path))["event_id"])


async def unread(user: MatrixUser) -> int:
    (room,) = await user.native.get("/api/rooms")
    return int(room["unread_count"])


async def in_thread(user: MatrixUser, room: str, root: str) -> str:
    relates = {"rel_type": "m.thread", "event_id": root}
    content = {"msgtype": "m.text", "body": "aside", "m.relates_to": relates}
    return await user.sends(room, "m.room.message", content)


class TestPostReceipt:
    """postReceipt."""

    async def test_a_receipt_moves_the_marker_of_both_protocols(self, people, database):
        alice, bob, room = people
        first, second = [await alice.says(room, text) for text in ("one", "two")]
        assert await unread(bob) == 2
        await bob.post(receipt(room, first))
        assert await unread(bob) == 1
        await bob.post(receipt(room, second))
        assert await unread(bob) == 0
        assert await stored(database) == {("read", ""): second}

    async def test_it_never_moves_back(self, people, database):
        alice, bob, room = people
        first, second = [await alice.says(room, text) for text in ("one", "two")]
        await bob.post(receipt(room, second))
        await bob.post(receipt(room, first))
        assert await stored(database) == {("read", ""): second}

    async def test_a_private_one_counts_for_its_reader_too(self, people, database):
        alice, bob, room = people
        said = await alice.says(room, "one")
        await bob.post(receipt(room, said, "m.read.private"))
        assert await unread(bob) == 0
        assert await stored(database) == {("private", ""): said}

    async def test_a_private_one_is_shown_to_nobody(self, people):
        alice, bob, room = people
        said = await alice.says(room, "one")
        ((_, message),) = [
            (each["content"], each["id"])
            for each in await alice.native.get(
                f"/api/rooms/{(await alice.native.get('/api/rooms'))[0]['id']}/messages"
            )
        ]
        await bob.post(receipt(room, said, "m.read.private"))
        assert await alice.native.get(f"/api/messages/{message}/receipts") == []
        await bob.post(receipt(room, said))
        (seen,) = await alice.native.get(f"/api/messages/{message}/receipts")
        assert seen["read_at"]

    async def test_state_and_what_was_redacted_can_be_read(self, people, database):
        alice, bob, room = people
        said = await alice.says(room, "one")
        await alice.put(f"v3/rooms/{q(room)}/redact/{q(said)}/r1", {})
        await bob.post(receipt(room, said))
        assert await stored(database) == {("read", ""): said}
        named = await alice.sets(room, "m.room.name", {"name": "News"})
        await bob.post(receipt(room, named))
        assert await stored(database) == {("read", ""): named}

    async def test_an_empty_body_will_do(self, people, database):
        alice, bob, room = people
        said = await alice.says(room, "one")
        await bob.post(receipt(room, said), b"")
        assert await stored(database) == {("read", ""): said}

    async def test_fully_read_is_account_data(self, people, database):
        alice, bob, room = people
        first, second = [await alice.says(room, text) for text in ("one", "two")]
        await bob.post(receipt(room, second, "m.fully_read"))
        assert await fully_read(bob, room) == second
        await bob.post(receipt(room, first, "m.fully_read"))
        assert await fully_read(bob, room) == second
        assert await stored(database) == {}
        assert await unread(bob) == 2


class TestWhatCannotBeRead:
    async def test_an_unknown_type_is_refused(self, people):
        alice, bob, room = people
        said = await alice.says(room, "one")
        path = receipt(room, said, "m.heard")
        assert await bob.is_refused("POST", path, {}, status=400) == "M_INVALID_PARAM"

    async def test_an_event_that_is_not_in_the_room_is_not_found(self, people):
        alice, bob, room = people
        other = await alice.creates_room()
        said = await alice.says(other, "elsewhere")
        for event in (said, "$unknown"):
            assert await bob.is_refused("POST", receipt(room, event), {}, status=404)

    async def test_what_is_no_event_id_is_refused(self, people):
        _, bob, room = people
        refused = await bob.is_refused("POST", receipt(room, "what"), {}, status=400)
        assert refused == "M_INVALID_PARAM"

    async def test_only_members_may(self, people, server):
        alice, bob, room = people
        said = await alice.says(room, "one")
        carol = await server.registers("carol")
        await bob.post(f"v3/rooms/{q(room)}/leave")
        for user in (bob, carol):
            status, _ = await user.request("POST", receipt(room, said), {})
            assert status in (403, 404)

    async def test_a_body_that_is_no_object_is_refused(self, people):
        alice, bob, room = people
        path = receipt(room, await alice.says(room, "one"))
        assert await bob.is_refused("POST", path, b"[]", status=400) == "M_BAD_JSON"
        assert await bob.is_refused("POST", path, b"{", status=400) == "M_NOT_JSON"


class TestThreads:
    """Threaded read receipts."""

    @pytest.fixture
    async def thread(self, people):
        """A message beside the thread, its root, and a message in it."""
        alice, _, room = people
        beside, root = [await alice.says(room, text) for text in ("beside", "root")]
        return beside, root, await in_thread(alice, room, root)

    async def test_each_thread_has_a_marker(self, people, thread, database):
        _, bob, room = people
        beside, root, inside = thread
        await bob.post(receipt(room, inside), {"thread_id": root})
        await bob.post(receipt(room, root), {"thread_id": "main"})
        await bob.post(receipt(room, beside))
        assert await stored(database) == {
            ("read", root): inside,
            ("read", "main"): root,
            ("read", ""): beside,
        }

    async def test_what_hangs_on_an_event_stands_where_it_stands(self, people, thread, database):
        alice, bob, room = people
        _, root, inside = thread
        relates = {"rel_type": "m.annotation", "event_id": inside, "key": "👍"}
        reaction = await alice.sends(room, "m.reaction", {"m.relates_to": relates})
        path = receipt(room, reaction)
        refused = await bob.is_refused("POST", path, {"thread_id": "main"}, status=400)
        assert refused == "M_INVALID_PARAM"
        await bob.post(path, {"thread_id": root})
        assert await stored(database) == {("read", root): reaction}

    async def test_the_root_may_be_read_in_its_thread_too(self, people, thread, database):
        alice, bob, room = people
        _, root, _ = thread
        await bob.post(receipt(room, root), {"thread_id": root})
        relates = {"rel_type": "m.annotation", "event_id": root, "key": "👍"}
        reaction = await alice.sends(room, "m.reaction", {"m.relates_to": relates})
        await bob.post(receipt(room, reaction, "m.read.private"), {"thread_id": root})
        await bob.post(receipt(room, reaction), {"thread_id": "main"})
        assert await stored(database) == {
            ("read", root): root,
            ("private", root): reaction,
            ("read", "main"): reaction,
        }

    @pytest.mark.parametrize("thread_id", ["", None, 7, ["main"], "what", "$unknown"])
    async def test_a_thread_that_is_none_is_refused(self, people, thread, thread_id):
        _, bob, room = people
        path, body = receipt(room, thread[2]), {"thread_id": thread_id}
        assert await bob.is_refused("POST", path, body, status=400) == "M_INVALID_PARAM"

    async def test_an_event_of_another_thread_is_refused(self, people, thread):
        _, bob, room = people
        beside, root, inside = thread
        for event, thread_id in ((inside, "main"), (beside, root), (inside, beside)):
            path, body = receipt(room, event), {"thread_id": thread_id}
            assert await bob.is_refused("POST", path, body, status=400) == "M_INVALID_PARAM"

    async def test_fully_read_is_about_no_thread(self, people, thread):
        _, bob, room = people
        path = receipt(room, thread[1], "m.fully_read")
        refused = await bob.is_refused("POST", path, {"thread_id": "main"}, status=400)
        assert refused == "M_INVALID_PARAM"

    async def test_what_was_redacted_may_still_be_read_where_it_stood(self, people, thread):
        alice, bob, room = people
        _, root, inside = thread
        await alice.put(f"v3/rooms/{q(room)}/redact/{q(inside)}/r1", {})
        await bob.post(receipt(room, inside), {"thread_id": root})
        await bob.post(receipt(room, inside), {"thread_id": "main"})


class TestSetReadMarker:
    """setReadMarker."""

    async def test_all_three_move_at_once(self, people, database):
        alice, bob, room = people
        one, two, three = [await alice.says(room, text) for text in ("one", "two", "three")]
        body = {"m.fully_read": one, "m.read": two, "m.read.private": three}
        await bob.post(f"v3/rooms/{q(room)}/read_markers", body)
        assert await fully_read(bob, room) == one
        assert await stored(database) == {("read", ""): two, ("private", ""): three}
        assert await unread(bob) == 0

    async def test_each_may_be_left_out(self, people, database):
        alice, bob, room = people
        said = await alice.says(room, "one")
        await bob.post(f"v3/rooms/{q(room)}/read_markers", {})
        await bob.post(f"v3/rooms/{q(room)}/read_markers", {"m.read": said})
        assert await stored(database) == {("read", ""): said}

    async def test_an_event_of_another_room_moves_nothing(self, people, database):
        alice, bob, room = people
        said = await alice.says(room, "one")
        body = {"m.read": said, "m.fully_read": "$unknown"}
        path = f"v3/rooms/{q(room)}/read_markers"
        assert await bob.is_refused("POST", path, body, status=404) == "M_NOT_FOUND"
        assert await stored(database) == {}

    @pytest.mark.parametrize(("value", "errcode"), [(7, "M_BAD_JSON"), ("what", "M_INVALID_PARAM")])
    async def test_what_is_no_event_id_is_refused(self, people, value, errcode):
        _, bob, room = people
        path = f"v3/rooms/{q(room)}/read_markers"
        assert await bob.is_refused("POST", path, {"m.read": value}, status=400) == errcode
