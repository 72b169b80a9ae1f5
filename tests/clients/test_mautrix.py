"""What mautrix has of its own: typed state, pages, directories and the log-in of its clients."""

import pytest
from mautrix.errors import MForbidden, MNotFound, MUnknownToken
from mautrix.types import (
    EventType,
    Membership,
    PaginationDirection,
    PowerLevelStateEventContent,
    RoomNameStateEventContent,
)

from tests.clients.mautrix_client import MautrixClient
from tests.clients.stage import Stage

ROOM = "Lunch"


@pytest.fixture
async def pair(on: Stage) -> tuple[MautrixClient, MautrixClient]:
    alice, bob = await on.cast("mautrix", "mautrix")
    await on.room(ROOM, (alice, bob))
    return alice, bob


class TestAccount:
    async def test_it_finds_a_flow_to_log_in_by(self, pair):
        alice, _ = pair
        flows = await alice.mautrix.get_login_flows()
        assert "m.login.password" in [str(each.type.value) for each in flows.flows]

    async def test_a_session_ends_when_it_is_logged_out(self, pair):
        alice, _ = pair
        alice.mautrix.stop()
        await alice.mautrix.logout(clear_access_token=False)
        with pytest.raises(MUnknownToken):
            await alice.mautrix.whoami()

    async def test_a_profile_is_read(self, pair):
        alice, bob = pair
        assert (await alice.mautrix.get_profile(bob.user_id)).displayname == bob.name

    async def test_people_are_found(self, pair):
        alice, bob = pair
        found = await alice.mautrix.search_users(bob.name)
        assert bob.user_id in [each.user_id for each in found.results]

    async def test_account_data_is_kept(self, pair):
        alice, _ = pair
        await alice.mautrix.set_account_data("org.example.colour", {"colour": "blue"})
        assert await alice.mautrix.get_account_data("org.example.colour") == {"colour": "blue"}
        with pytest.raises(MNotFound):
            await alice.mautrix.get_account_data("org.example.nothing")


class TestRooms:
    async def test_state_has_types(self, pair):
        alice, bob = pair
        room_id = alice.room(ROOM)
        levels = await bob.mautrix.get_state_event(room_id, EventType.ROOM_POWER_LEVELS)
        assert isinstance(levels, PowerLevelStateEventContent)
        name = RoomNameStateEventContent(name="Dinner")
        await alice.mautrix.send_state_event(room_id, EventType.ROOM_NAME, name)
        await bob.has("Dinner")

    async def test_who_may_not_is_told(self, pair):
        alice, bob = pair
        name = RoomNameStateEventContent(name="Mine")
        with pytest.raises(MForbidden):
            await bob.mautrix.send_state_event(alice.room(ROOM), EventType.ROOM_NAME, name)

    async def test_members_are_listed(self, pair):
        alice, bob = pair
        room_id = alice.room(ROOM)
        members = await alice.mautrix.get_members(room_id, membership=Membership.JOIN)
        assert {each.state_key for each in members} == {alice.user_id, bob.user_id}
        assert bob.user_id in await alice.mautrix.get_joined_members(room_id)

    async def test_an_alias_leads_to_the_room(self, pair, on):
        alice, bob = pair
        await alice.mautrix.add_room_alias(alice.room(ROOM), f"lunch-{on.tag}")
        alias = f"#lunch-{on.tag}:{alice.user_id.partition(':')[2]}"
        assert (await bob.mautrix.resolve_room_alias(alias)).room_id == alice.room(ROOM)
        await alice.mautrix.remove_room_alias(f"lunch-{on.tag}")

    async def test_tags_are_kept(self, pair):
        alice, _ = pair
        await alice.mautrix.set_room_tag(alice.room(ROOM), "m.favourite", {"order": 0.5})
        tags = await alice.mautrix.get_room_tags(alice.room(ROOM))
        assert tags.tags["m.favourite"].order == 0.5


class TestMessages:
    async def test_history_is_read_in_pages(self, pair):
        alice, bob = pair
        said = [f"message {number}" for number in range(30)]
        for text in said:
            await alice.says(ROOM, text)
        await bob.shows(said, "texts", ROOM)
        page = await bob.mautrix.get_messages(
            bob.room(ROOM), PaginationDirection.BACKWARD, limit=20
        )
        texts = [event.content.body for event in page.events]
        assert texts == list(reversed(said))[:20]

    async def test_a_message_is_read_with_its_context(self, pair):
        alice, bob = pair
        for text in ("one", "two", "three"):
            await alice.says(ROOM, text)
        await bob.shows(["one", "two", "three"], "texts", ROOM)
        two = bob.screen(ROOM).find("two").event_id
        assert (await bob.mautrix.get_event(bob.room(ROOM), two)).content.body == "two"
        context = await bob.mautrix.get_event_context(bob.room(ROOM), two, limit=2)
        assert [event.content.body for event in context.events_after] == ["three"]

    async def test_the_same_transaction_is_the_same_message(self, pair):
        alice, bob = pair
        content = {"msgtype": "m.text", "body": "once"}
        room_id, kind = alice.room(ROOM), EventType.ROOM_MESSAGE
        sent = [
            await alice.mautrix.send_message_event(room_id, kind, content, txn_id="the-same")
            for _ in range(2)
        ]
        assert len(set(sent)) == 1
        await alice.says(ROOM, "twice")
        await bob.shows(["once", "twice"], "texts", ROOM)
