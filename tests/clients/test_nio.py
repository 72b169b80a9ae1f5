"""What matrix-nio has of its own: requests whose answers it reads by schemas."""

import nio
import pytest
from nio.responses import RoomUpgradeResponse

from tests.clients.nio_client import NioClient
from tests.clients.stage import Stage

ROOM = "Lunch"


@pytest.fixture
async def pair(on: Stage) -> tuple[NioClient, NioClient]:
    alice, bob = await on.cast("nio", "nio")
    await on.room(ROOM, (alice, bob))
    return alice, bob


class TestAccount:
    async def test_who_is_logged_in_is_told(self, pair):
        alice, _ = pair
        answer = await alice.nio.whoami()
        assert (answer.user_id, answer.device_id) == (alice.user_id, alice.nio.device_id)

    async def test_a_profile_has_a_name(self, pair):
        alice, bob = pair
        assert (await alice.nio.get_profile(bob.user_id)).displayname == bob.name
        assert (await alice.nio.get_displayname(bob.user_id)).displayname == bob.name

    async def test_devices_are_listed_renamed_and_deleted(self, pair):
        alice, _ = pair
        device = alice.nio.device_id
        await alice.nio.update_device(device, {"display_name": "Phone"})
        (listed,) = (await alice.nio.devices()).devices
        assert (listed.id, listed.display_name) == (device, "Phone")

    async def test_who_logs_out_is_out(self, pair):
        alice, _ = pair
        await alice.stops()
        assert isinstance(await alice.nio.logout(), nio.LogoutResponse)

    async def test_an_openid_token_is_given(self, pair):
        alice, _ = pair
        answer = await alice.nio.get_openid_token(alice.user_id)
        assert isinstance(answer, nio.GetOpenIDTokenResponse)


class TestRooms:
    async def test_state_is_read_and_written(self, pair):
        alice, bob = pair
        await alice.sets_topic(ROOM, "food")
        await bob.shows("food", "topic", ROOM)
        room_id = bob.room(ROOM)
        one = await bob.nio.room_get_state_event(room_id, "m.room.topic")
        assert one.content["topic"] == "food"
        everything = await bob.nio.room_get_state(room_id)
        types = {event["type"] for event in everything.events}
        assert {"m.room.create", "m.room.member", "m.room.power_levels"} <= types

    async def test_members_and_rooms_are_listed(self, pair):
        alice, bob = pair
        room_id = alice.room(ROOM)
        members = (await alice.nio.joined_members(room_id)).members
        assert {each.user_id for each in members} == {alice.user_id, bob.user_id}
        assert room_id in (await alice.nio.joined_rooms()).rooms

    async def test_an_alias_leads_to_the_room(self, pair, on):
        alice, _ = pair
        alias = f"#lunch-{on.tag}:{alice.user_id.partition(':')[2]}"
        await alice.nio.room_put_alias(alias, alice.room(ROOM))
        assert (await alice.nio.room_resolve_alias(alias)).room_id == alice.room(ROOM)
        deleted = await alice.nio.room_delete_alias(alias)
        assert isinstance(deleted, nio.RoomDeleteAliasResponse)

    async def test_who_is_banned_can_be_let_in_again(self, pair):
        alice, bob = pair
        room_id = alice.room(ROOM)
        await alice.nio.room_ban(room_id, bob.user_id)
        await bob.shows([], "rooms")
        await alice.nio.room_unban(room_id, bob.user_id)
        await alice.nio.room_invite(room_id, bob.user_id)
        await bob.shows([ROOM], "invitations")

    async def test_a_room_is_upgraded(self, on):
        """By the library's own steps, which know room versions without privileged creators."""
        (alice,) = await on.cast("nio")
        old = (await alice.nio.room_create(name=ROOM, room_version="10")).room_id
        await alice.has(ROOM)
        answer = await alice.nio.room_upgrade(old, "11")
        assert isinstance(answer, RoomUpgradeResponse), answer
        await alice.shows(answer.room_id, "replacement", old)

    async def test_a_space_shows_its_rooms(self, pair):
        alice, _ = pair
        space = (await alice.nio.room_create(name="Office", space=True)).room_id
        content = {"via": [alice.user_id.partition(":")[2]]}
        await alice.nio.room_put_state(space, "m.space.child", content, alice.room(ROOM))
        hierarchy = await alice.nio.space_get_hierarchy(space)
        assert {each["room_id"] for each in hierarchy.rooms} == {space, alice.room(ROOM)}


class TestMessages:
    async def test_history_context_and_single_events_are_read(self, pair):
        alice, bob = pair
        for text in ("one", "two", "three"):
            await alice.says(ROOM, text)
        await bob.shows(["one", "two", "three"], "texts", ROOM)
        room_id, two = bob.room(ROOM), bob.screen(ROOM).find("two").event_id
        page = await bob.nio.room_messages(room_id, bob.nio.next_batch, limit=3)
        assert [event.body for event in page.chunk] == ["three", "two", "one"]
        context = await bob.nio.room_context(room_id, two, limit=2)
        assert context.event.body == "two"
        assert [event.body for event in context.events_after] == ["three"]
        assert (await bob.nio.room_get_event(room_id, two)).event.body == "two"

    async def test_relations_and_threads_are_listed(self, pair):
        alice, bob = pair
        await alice.says(ROOM, "root")
        await bob.shows(["root"], "texts", ROOM)
        await bob.says_in_thread(ROOM, "root", "aside")
        await alice.shows(["aside"], "thread", ROOM, "root")
        room_id, root = alice.room(ROOM), alice.screen(ROOM).find("root").event_id
        related = [event async for event in alice.nio.room_get_event_relations(room_id, root)]
        assert [event.body for event in related] == ["aside"]
        threads = [event async for event in alice.nio.room_get_threads(room_id)]
        assert [event.body for event in threads] == ["root"]

    async def test_a_filter_is_kept(self, pair):
        alice, _ = pair
        answer = await alice.nio.upload_filter(room={"timeline": {"limit": 1}})
        assert isinstance(answer, nio.UploadFilterResponse)

    async def test_push_rules_are_set(self, pair):
        alice, _ = pair
        kind = nio.PushRuleKind.content
        answer = await alice.nio.set_pushrule(
            "global", kind, "cake", actions=[nio.PushNotify()], pattern="cake"
        )
        assert isinstance(answer, nio.SetPushRuleResponse)
        disabled = await alice.nio.enable_pushrule("global", kind, "cake", enable=False)
        assert isinstance(disabled, nio.EnablePushRuleResponse)
