"""notifications.yaml, and the counts of /sync."""

from typing import Any

import pytest

from homeserver.storage.database import Database
from tests.support.matrix_server import MatrixUser, q
from tests.support.queries import counted

PATH = "v3/notifications"
TEXT = "m.room.message"


@pytest.fixture
async def room(alice: MatrixUser, bob: MatrixUser) -> str:
    """Alice's, where Bob is too."""
    room_id = await alice.creates_room(preset="public_chat")
    await bob.joins(room_id)
    return room_id


async def mentions(by: MatrixUser, room: str, *who: MatrixUser, **more: Any) -> str:
    user_ids = [each.user_id for each in who]
    content = {"msgtype": "m.text", "body": "you", "m.mentions": {"user_ids": user_ids}} | more
    return await by.sends(room, TEXT, content)


async def reads(by: MatrixUser, room: str, event: str, **body: Any) -> None:
    await by.post(f"v3/rooms/{q(room)}/receipt/m.read/{q(event)}", body)


async def listed(by: MatrixUser, **query: Any) -> list[str]:
    """IDs of the events, when all that was said is judged and written."""
    return [each["event"]["event_id"] for each in (await all_listed(by, **query))]


async def all_listed(by: MatrixUser, **query: Any) -> list[dict[str, Any]]:
    return list((await by.get(PATH, **query))["notifications"])


async def written(database: Database, count: int) -> None:
    """Returns when so many exceptions are in the database."""
    while True:
        async with database.connection() as db:
            if await db.fetchval("SELECT count(*) FROM notification_exceptions") >= count:
                return


async def unread(by: MatrixUser, room: str, since: str | None = None) -> tuple[dict, str]:
    query = {} if since is None else {"since": since}
    answer = await by.get("v3/sync", **query)
    return answer["rooms"]["join"][room], answer["next_batch"]


class TestGetNotifications:
    async def test_at_first_there_are_none(self, alice):
        assert await alice.get(PATH) == {"notifications": []}

    async def test_it_needs_a_token(self, server):
        assert await server.nobody.is_refused("GET", PATH, status=401) == "M_MISSING_TOKEN"

    async def test_messages_of_others_are_listed_the_newest_first(self, alice, bob, room):
        first = await alice.says(room, "one")
        await bob.says(room, "mine")
        second = await alice.says(room, "two")
        assert await listed(bob) == [second, first]

    async def test_each_says_what_it_does(self, alice, bob, room):
        said = await alice.says(room, "one")
        (found,) = await all_listed(bob)
        assert found["actions"] == ["notify", {"set_tweak": "sound", "value": "default"}]
        assert (found["room_id"], found["read"]) == (room, False)
        assert found["ts"] == found["event"]["origin_server_ts"]
        assert found["event"]["event_id"] == said
        assert found["event"]["content"]["body"] == "one"
        assert "room_id" not in found["event"]

    async def test_what_was_read_is_marked(self, alice, bob, room):
        said = [await alice.says(room, str(number)) for number in range(3)]
        await reads(bob, room, said[1])
        assert [each["read"] for each in await all_listed(bob)] == [False, True, True]

    async def test_in_a_thread_its_own_receipt_counts(self, alice, bob, room):
        root = await alice.says(room, "root")
        relation = {"m.relates_to": {"rel_type": "m.thread", "event_id": root}}
        content = {"msgtype": "m.text", "body": "x"} | relation
        answer = await alice.sends(room, TEXT, content)
        await reads(bob, room, answer, thread_id=root)
        assert [each["read"] for each in await all_listed(bob)] == [True, False]

    async def test_only_highlights_can_be_asked_for(self, database, alice, bob, room):
        await alice.says(room, "one")
        mention = await mentions(alice, room, bob)
        await alice.says(room, "two")
        await written(database, 1)
        (found,) = await all_listed(bob, only="highlight")
        assert found["event"]["event_id"] == mention
        assert {"set_tweak": "highlight"} in found["actions"]
        assert len(await listed(bob)) == 3
        assert len(await listed(bob, only="everything")) == 3

    async def test_what_is_silent_is_not_listed(self, database, alice, bob, room):
        await alice.sends(room, TEXT, {"msgtype": "m.notice", "body": "x"})
        await written(database, 1)
        said = await alice.says(room, "loud")
        gone = await alice.says(room, "gone")
        await alice.put(f"v3/rooms/{q(room)}/redact/{q(gone)}/1", {})
        assert await listed(bob) == [said]

    async def test_calls_are_listed(self, database, alice, bob, room):
        call = await alice.sends(room, "m.call.invite", {"call_id": "1", "version": "1"})
        await written(database, 1)
        (found,) = await all_listed(bob)
        assert found["event"]["event_id"] == call
        assert found["actions"] == ["notify", {"set_tweak": "sound", "value": "ring"}]

    async def test_of_a_muted_room_only_what_is_more_is_listed(self, database, alice, bob, room):
        await bob.put(f"v3/pushrules/global/room/{q(room)}", {"actions": []})
        await alice.says(room, "quiet")
        mention = await mentions(alice, room, bob)
        await written(database, 1)
        assert await listed(bob) == [mention]

    async def test_an_invitation_is_listed(self, database, alice, bob):
        room = await alice.creates_room()
        await alice.post(f"v3/rooms/{q(room)}/invite", {"user_id": bob.user_id})
        await written(database, 1)
        (found,) = await all_listed(bob)
        assert (found["room_id"], found["event"]["state_key"]) == (room, bob.user_id)

    async def test_what_was_said_before_one_came_is_not_listed(self, alice, bob):
        room = await alice.creates_room(preset="public_chat")
        await alice.says(room, "before")
        await bob.joins(room)
        assert await listed(bob) == []

    async def test_rooms_that_one_left_are_not_listed(self, alice, bob, room):
        await alice.says(room, "one")
        await bob.post(f"v3/rooms/{q(room)}/leave")
        assert await listed(bob) == []

    async def test_pages_follow_each_other(self, alice, bob, room):
        said = [await alice.says(room, str(number)) for number in range(5)]
        seen: list[str] = []
        answer = await bob.get(PATH, limit=2)
        while True:
            seen += [each["event"]["event_id"] for each in answer["notifications"]]
            if "next_token" not in answer:
                break
            answer = await bob.get(PATH, **{"limit": 2, "from": answer["next_token"]})
        assert seen == said[::-1]

    @pytest.mark.parametrize(
        "query",
        [{"limit": 0}, {"limit": -1}, {"limit": "x"}, {"from": "x"}, {"from": "9" * 40}],
    )
    async def test_nonsense_is_refused(self, alice, query):
        assert await alice.is_refused("GET", PATH, status=400, **query) == "M_INVALID_PARAM"

    async def test_the_queries_do_not_depend_on_the_rooms(self, database, alice, bob):
        async def queries() -> int:
            async with counted(database) as statements:
                await bob.get(PATH)
            return len([each for each in statements if each.lstrip().startswith("SELECT")])

        for number in range(6):
            room = await alice.creates_room(preset="public_chat")
            await bob.joins(room)
            await alice.says(room, "one")
            await mentions(alice, room, bob)
            if number == 0:
                await written(database, 1)
                few = await queries()
        await written(database, 6)
        assert await queries() <= few + 2


class TestCountsInSync:
    """C-S API v1.19 "Receiving notifications"."""

    async def test_the_answer_that_shows_a_message_counts_it(self, alice, bob, room):
        part, since = await unread(bob, room)
        assert part["unread_notifications"]["notification_count"] == 0
        for number in range(1, 4):
            await mentions(alice, room, bob)
            part, since = await unread(bob, room, since)
            assert len(part["timeline"]["events"]) == 1
            assert part["unread_notifications"] == {
                "notification_count": number,
                "highlight_count": number,
            }

    async def test_reading_clears_them(self, alice, bob, room):
        said = await alice.says(room, "one")
        _, since = await unread(bob, room)
        await reads(bob, room, said)
        part, _ = await unread(bob, room, since)
        assert part["unread_notifications"]["notification_count"] == 0

    async def test_native_clients_count_the_same(self, alice, bob, room):
        await alice.says(room, "one")
        await alice.says(room, "two")
        part, _ = await unread(bob, room)
        (native,) = await bob.native.get("/api/rooms")
        assert native["unread_count"] == part["unread_notifications"]["notification_count"] == 2
