"""What is left of somebody who had his account erased, to those who come later."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from homeserver.identifiers import RoomID, native_uuid
from homeserver.storage.database import Database
from tests.api.test_matrix_search import found, indexed
from tests.support.matrix_server import MatrixServer, MatrixUser, matrix_server, q

FILTERED = {"types": ["m.room.message", "m.room.member"]}
SECRET = "pterodactyl"
OWN = {
    "type": "m.login.password",
    "identifier": {"type": "m.id.user", "user": "alice"},
    "password": "correct horse",
}


@dataclass
class World:
    """A public room that bob made, where alice said something; carol comes when all is over."""

    server: MatrixServer
    alice: MatrixUser
    bob: MatrixUser
    carol: MatrixUser
    room: str
    said: str

    @property
    def path(self) -> str:
        return f"v3/rooms/{q(self.room)}"

    async def ends(self, *, erase: bool) -> None:
        """Alice goes, and then carol comes."""
        await self.alice.post("v3/account/deactivate", {"auth": OWN, "erase": erase})
        await self.carol.joins(self.room)


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with matrix_server(database) as server:
        alice, bob, carol = [await server.registers(name) for name in ("alice", "bob", "carol")]
        room = await bob.creates_room(preset="public_chat")
        await alice.joins(room)
        said = await alice.says(room, SECRET)
        yield World(server, alice, bob, carol, room, said)


def of(events: list[dict[str, Any]], event_id: str) -> dict[str, Any]:
    return next(event for event in events if event["event_id"] == event_id)


async def synced(world: World, user: MatrixUser) -> list[dict[str, Any]]:
    answer = await user.get("v3/sync")
    return list(answer["rooms"]["join"][world.room]["timeline"]["events"])


async def synced_sliding(world: World, user: MatrixUser) -> list[dict[str, Any]]:
    wish = {"timeline_limit": 20, "required_state": {}, "range": [0, 9]}
    status, answer = await user.request("POST", "v4/sync", {"lists": {"all": wish}})
    assert status == 200, answer
    return list(answer["rooms"][world.room]["timeline_events"])


async def copies(world: World, user: MatrixUser) -> list[dict[str, Any]]:
    """What alice said, by every way on which clients get it."""
    query = {"dir": "b", "limit": 50}
    page = await user.get(f"{world.path}/messages", **query)
    filtered = await user.get(f"{world.path}/messages", **query, filter=FILTERED)
    context = await user.get(f"{world.path}/context/{q(world.said)}")
    return [
        of(page["chunk"], world.said),
        of(filtered["chunk"], world.said),
        context["event"],
        await user.get(f"{world.path}/event/{q(world.said)}"),
        of(await synced(world, user), world.said),
        of(await synced_sliding(world, user), world.said),
    ]


async def native_texts(world: World, user: MatrixUser) -> list[str]:
    room = native_uuid(RoomID(world.room))
    page = await user.native.get(f"/api/rooms/{room}/messages")
    return [message["content"] for message in page]


class TestErasing:
    """deactivateAccount, `erase`."""

    async def test_who_comes_later_gets_redacted_copies(self, world) -> None:
        await world.ends(erase=True)
        for copy in await copies(world, world.carol):
            assert copy["content"] == {}
            assert copy["sender"] == world.alice.user_id
            assert copy["unsigned"]["membership"] == "leave"
            assert "redacted_because" not in copy["unsigned"]

    async def test_who_was_there_still_sees_what_was_said(self, world) -> None:
        await world.ends(erase=True)
        for reader in (world.carol, world.bob):  # what was told to one must not stick
            contents = [copy["content"] for copy in await copies(world, reader)]
            whole = {"msgtype": "m.text", "body": SECRET}
            assert contents == [{} if reader is world.carol else whole] * len(contents)

    async def test_without_it_all_stays(self, world) -> None:
        await world.ends(erase=False)
        for copy in await copies(world, world.carol):
            assert copy["content"]["body"] == SECRET

    async def test_what_others_said_stays(self, world) -> None:
        other = await world.bob.says(world.room, "here")
        await world.ends(erase=True)
        page = await world.carol.get(f"{world.path}/messages", dir="b", limit=50)
        assert of(page["chunk"], other)["content"]["body"] == "here"

    async def test_an_edit_does_not_bring_it_back(self, world) -> None:
        relation = {"rel_type": "m.replace", "event_id": world.said}
        content = {"msgtype": "m.text", "body": "x", "m.new_content": {"body": SECRET}}
        await world.alice.sends(world.room, "m.room.message", content | {"m.relates_to": relation})
        await world.ends(erase=True)
        for copy in await copies(world, world.carol):
            assert copy["content"] == {}
            assert SECRET not in str(copy)
        relations = await world.carol.get(f"v1/rooms/{q(world.room)}/relations/{q(world.said)}")
        assert [event["content"] for event in relations["chunk"]] == [{}]

    async def test_a_thread_shows_no_more_of_its_newest_message(self, world) -> None:
        root = await world.bob.says(world.room, "a thread")
        relation = {"rel_type": "m.thread", "event_id": root}
        content = {"msgtype": "m.text", "body": SECRET, "m.relates_to": relation}
        await world.alice.sends(world.room, "m.room.message", content)
        await world.ends(erase=True)
        page = await world.carol.get(f"{world.path}/messages", dir="b", limit=50)
        assert of(page["chunk"], root)["unsigned"]["m.relations"]["m.thread"]["count"] == 1
        assert SECRET not in str(page)
        assert SECRET not in str(await synced(world, world.carol))
        assert SECRET not in str(await synced_sliding(world, world.carol))

    async def test_the_name_in_memberships_goes_and_the_state_stays(self, world) -> None:
        renamed = {"membership": "join", "displayname": SECRET}
        member = await world.alice.sets(world.room, "m.room.member", renamed, world.alice.user_id)
        await world.ends(erase=True)
        for events in (
            (await world.carol.get(f"{world.path}/messages", dir="b", limit=50))["chunk"],
            await synced(world, world.carol),
            await synced_sliding(world, world.carol),
        ):
            assert of(events, member)["content"] == {"membership": "join"}
            assert SECRET not in str(events)

    async def test_searching_finds_it_only_for_those_who_were_there(self, world) -> None:
        await indexed(world.bob, world.room)
        await world.ends(erase=True)
        assert await found(world.carol, SECRET) == []
        assert await found(world.carol, SECRET, order_by="recent") == []
        assert await found(world.bob, SECRET) == [world.said]
        for user, texts in ((world.carol, []), (world.bob, [SECRET])):
            hits = await user.native.get("/api/search", q=SECRET)
            assert [message["content"] for message in hits] == texts

    async def test_native_clients_see_a_deleted_message(self, world) -> None:
        await world.ends(erase=True)
        assert await native_texts(world, world.carol) == [""]
        assert await native_texts(world, world.bob) == [SECRET]
        message = native_uuid(world.said)
        one = await world.carol.native.get(f"/api/messages/{message}")
        assert (one["content"], "deleted_at" in one) == ("", True)
        for user, text in ((world.carol, ""), (world.bob, SECRET)):
            (room,) = await user.native.get("/api/rooms")
            assert room["last_message"]["content"] == text

    async def test_native_clients_do_not_count_its_reactions(self, world) -> None:
        other = await world.bob.says(world.room, "here")
        relation = {"rel_type": "m.annotation", "event_id": other, "key": SECRET}
        for user in (world.alice, world.bob):
            await user.sends(world.room, "m.reaction", {"m.relates_to": relation})
        await world.ends(erase=True)
        path = f"/api/messages/{native_uuid(other)}"
        for user, count in ((world.carol, 1), (world.bob, 2)):
            (reaction,) = (await user.native.get(path))["reactions"]
            assert reaction["count"] == len(reaction["users"]) == count

    async def test_nor_an_edit_from_a_time_when_one_was_away(self, world) -> None:
        carol, edited = world.carol, "an edit"
        await carol.joins(world.room)
        said = await world.alice.says(world.room, "as it was")
        await carol.post(f"{world.path}/leave")
        content = {"msgtype": "m.text", "body": edited}
        relation = {"rel_type": "m.replace", "event_id": said}
        edit = content | {"m.new_content": content, "m.relates_to": relation}
        await world.alice.sends(world.room, "m.room.message", edit)
        await world.ends(erase=True)
        path = f"/api/messages/{native_uuid(said)}"
        assert (await carol.native.get(path))["content"] == "as it was"
        assert (await world.bob.native.get(path))["content"] == edited

    async def test_why_it_redacted_something_goes_too(self, world) -> None:
        said = await world.alice.says(world.room, "never mind")
        topic = await world.bob.sets(world.room, "m.room.topic", {"topic": "never mind"})
        levels = await world.bob.get(f"{world.path}/state/m.room.power_levels/")
        users = {**levels.get("users", {}), world.alice.user_id: 50}
        await world.bob.sets(world.room, "m.room.power_levels", {**levels, "users": users})
        for target in (said, topic):
            path = f"{world.path}/redact/{q(target)}/{target}"
            await world.alice.put(path, {"reason": SECRET})
        for name in range(12):  # the topic is no longer in the timeline of a first sync
            await world.bob.says(world.room, str(name))
        await world.ends(erase=True)
        for user, is_told in ((world.carol, False), (world.bob, True)):
            page = await user.get(f"{world.path}/messages", dir="b", limit=50)
            because = of(page["chunk"], said)["unsigned"]["redacted_because"]
            assert because["sender"] == world.alice.user_id
            for answer in (
                page,
                await user.get("v3/sync"),
                await user.get("v3/sync", filter={"room": {"timeline": {"limit": 50}}}),
                await synced_sliding(world, user),
            ):
                assert "redacted_because" in str(answer)
                assert (SECRET in str(answer)) == is_told

    async def test_every_process_knows_it(self, world, database) -> None:
        async with matrix_server(database) as before:
            await world.ends(erase=True)
            assert before.core is not None
            await before.core.streams.erased_users.refresh()
            async with matrix_server(database) as after:
                for server in (before, after):
                    carol = MatrixUser(server.client, world.carol.token)
                    copy = await carol.get(f"{world.path}/event/{q(world.said)}")
                    assert copy["content"] == {}

    async def test_what_is_no_event_is_deleted(self, world, database) -> None:
        alice = world.alice
        await alice.put(f"v3/user/{q(alice.user_id)}/account_data/org.example", {"a": 1})
        await alice.post(f"v3/user/{q(alice.user_id)}/filter", {"room": {}})
        await alice.put(f"v3/profile/{q(alice.user_id)}/displayname", {"displayname": "Al"})
        await alice.put(f"v3/profile/{q(alice.user_id)}/org.example", {"org.example": 1})
        pusher = {
            "app_id": "org.example",
            "pushkey": "key",
            "kind": "http",
            "app_display_name": "App",
            "device_display_name": "Phone",
            "lang": "en",
            "data": {"url": "https://push.example.org/_matrix/push/v1/notify"},
        }
        await alice.post("v3/pushers/set", pusher)
        await world.ends(erase=True)
        async with database.connection() as db:
            for table in ("account_data", "filters", "profile_fields", "pushers", "sessions"):
                count = (
                    f"SELECT count(*) FROM {table} JOIN users USING (user_nid) WHERE user_id = $1"
                )
                assert await db.fetchval(count, alice.user_id) == 0, table
