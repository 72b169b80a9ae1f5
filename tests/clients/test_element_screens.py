"""What the screens of Element ask of a server, played with the library it is made of."""

from typing import Any

import pytest

from tests.clients.client import PASSWORD
from tests.clients.js_client import JsClient
from tests.clients.stage import Stage

ROOM = "Lunch"


@pytest.fixture
async def pair(on: Stage) -> tuple[JsClient, JsClient]:
    alice, bob = await on.cast("js", "js")
    await on.room(ROOM, (alice, bob))
    return alice, bob


async def sets(person: JsClient, room: str, event_type: str, content: dict[str, Any]) -> None:
    """State of a room, which everybody then shows."""
    room_id = await person.asks("roomId", room)
    await person.asks("calls", "sendStateEvent", room_id, event_type, content, "")
    await person.shows(content, "state", room, event_type, "")


class TestWhenItStarts:
    async def test_what_it_looks_up_is_there_or_known_not_to_be(self, pair):
        alice, _ = pair
        assert {"type": "m.login.password"} in (await alice.asks("calls", "loginFlows"))["flows"]
        assert (await alice.asks("calls", "whoami"))["user_id"] == alice.user_id
        assert await alice.asks("calls", "getThirdpartyProtocols") == {}
        assert (await alice.asks("calls", "getThreePids"))["threepids"] == []
        assert await alice.asks("calls", "getPushers") == {"pushers": []}
        assert (await alice.asks("calls", "getMediaConfig"))["m.upload.size"] > 0
        assert (await alice.asks("calls", "turnServer"))["uris"]
        assert await alice.asks("isRefused", "getAuthMetadata") == "M_UNRECOGNIZED"


class TestRoomSettings:
    async def test_what_a_room_is_like(self, pair):
        alice, bob = pair
        for event_type, content in (
            ("m.room.topic", {"topic": "Soup"}),
            ("m.room.avatar", {"url": "mxc://example.org/soup"}),
            ("m.room.join_rules", {"join_rule": "public"}),
            ("m.room.history_visibility", {"history_visibility": "world_readable"}),
            ("m.room.guest_access", {"guest_access": "can_join"}),
        ):
            await sets(alice, ROOM, event_type, content)
        await alice.asks("calls", "setRoomName", await alice.asks("roomId", ROOM), "Dinner")
        await bob.has("Dinner")
        await bob.shows({"topic": "Soup"}, "state", "Dinner", "m.room.topic", "")

    async def test_powers(self, pair):
        alice, bob = pair
        room_id = await alice.asks("roomId", ROOM)
        await alice.asks("calls", "setPowerLevel", room_id, bob.user_id, 50)
        await sets(bob, ROOM, "m.room.topic", {"topic": "Bob's"})

    async def test_addresses_and_the_directory(self, on, pair):
        alice, bob = pair
        room_id = await alice.asks("roomId", ROOM)
        alias = f"#lunch-{on.tag}:{alice.user_id.partition(':')[2]}"
        await alice.asks("calls", "createAlias", alias, room_id)
        assert (await alice.asks("calls", "getLocalAliases", room_id))["aliases"] == [alias]
        await sets(alice, ROOM, "m.room.canonical_alias", {"alias": alias})
        assert (await bob.asks("calls", "getRoomIdForAlias", alias))["room_id"] == room_id
        await alice.asks("calls", "setRoomDirectoryVisibility", room_id, "public")
        shown = await bob.asks("calls", "getRoomDirectoryVisibility", room_id)
        assert shown["visibility"] == "public"
        await alice.asks("calls", "deleteAlias", alias)
        assert await bob.asks("isRefused", "getRoomIdForAlias", alias) == "M_NOT_FOUND"

    async def test_an_upgrade(self, pair):
        alice, bob = pair
        room_id = await alice.asks("roomId", ROOM)
        answer = await alice.asks("calls", "upgradeRoom", room_id, "11")
        tombstone = await bob.asks("calls", "getStateEvent", room_id, "m.room.tombstone", "")
        assert tombstone["replacement_room"] == answer["replacement_room"]

    async def test_what_is_pinned(self, pair):
        alice, bob = pair
        await alice.says(ROOM, "keep this")
        await bob.shows(["keep this"], "texts", ROOM)
        event_id = await bob.asks("eventId", ROOM, "keep this")
        await sets(alice, ROOM, "m.room.pinned_events", {"pinned": [event_id]})
        await bob.shows({"pinned": [event_id]}, "state", ROOM, "m.room.pinned_events", "")
        room_id = await bob.asks("roomId", ROOM)
        found = await bob.asks("calls", "fetchRoomEvent", room_id, event_id)
        assert found["content"]["body"] == "keep this"


class TestWaysIn:
    async def test_a_room_of_a_space(self, on):
        alice, bob = await on.cast("js", "js")
        await alice.creates("Office", creation_content={"type": "m.space"})
        await alice.creates("Tea")
        await alice.asks("addsToSpace", "Office", "Tea")
        space, room = [await alice.asks("roomId", name) for name in ("Office", "Tea")]
        allow = [{"type": "m.room_membership", "room_id": space}]
        await sets(alice, "Tea", "m.room.join_rules", {"join_rule": "restricted", "allow": allow})
        assert await bob.asks("isRefused", "joinRoom", room) == "M_FORBIDDEN"
        await alice.invites("Office", bob)
        await bob.shows(["Office"], "invitations")
        await bob.accepts("Office")
        assert await bob.asks("hierarchy", "Office") == ["Office", "Tea"]
        summary = await bob.asks("calls", "getRoomSummary", room)
        assert (summary["name"], summary["join_rule"]) == ("Tea", "restricted")
        await bob.asks("joins", room)
        await bob.has("Tea")

    async def test_a_preview(self, on):
        alice, bob = await on.cast("js", "js")
        await alice.creates("Hall", preset="public_chat")
        visibility = {"history_visibility": "world_readable"}
        await sets(alice, "Hall", "m.room.history_visibility", visibility)
        await alice.says("Hall", "Welcome")
        assert await bob.asks("looksInto", await alice.asks("roomId", "Hall")) == "Hall"
        await bob.shows(["Welcome"], "texts", "Hall")
        await alice.says("Hall", "Come in")
        await bob.shows(["Welcome", "Come in"], "texts", "Hall")
        await bob.asks("looksAway")

    async def test_a_room_that_shows_nothing_before_one_joins(self, on):
        alice, bob = await on.cast("js", "js")
        await alice.creates("Hall", preset="public_chat")
        room_id = await alice.asks("roomId", "Hall")
        assert await bob.asks("isRefused", "peekInRoom", room_id) == "M_FORBIDDEN"

    async def test_a_knock(self, on):
        alice, bob = await on.cast("js", "js")
        await alice.creates("Club")
        await sets(alice, "Club", "m.room.join_rules", {"join_rule": "knock"})
        room_id = await alice.asks("roomId", "Club")
        await bob.asks("calls", "knockRoom", room_id, {"reason": "Please"})
        await bob.shows(["Club"], "knocks")
        await alice.invites("Club", bob)
        await bob.shows(["Club"], "invitations")
        await bob.accepts("Club")

    async def test_a_conversation_of_two(self, on):
        alice, bob = await on.cast("js", "js")
        preset = "trusted_private_chat"
        options = {"preset": preset, "is_direct": True, "invite": [bob.user_id]}
        room_id = (await alice.asks("calls", "createRoom", options))["room_id"]
        direct = {bob.user_id: [room_id]}
        await alice.asks("calls", "setAccountData", "m.direct", direct)
        assert await alice.asks("accountData", "m.direct") == direct
        await bob.shows([alice.name], "invitations")
        await bob.asks("joins", room_id)
        await bob.has(alice.name)
        await bob.shows(alice.user_id, "inviter_of", alice.name)
        await alice.has(bob.name)


class TestMessages:
    async def test_a_permanent_link(self, pair):
        alice, bob = pair
        for text in ("before", "this", "after"):
            await alice.says(ROOM, text)
        await bob.shows(["before", "this", "after"], "texts", ROOM)
        assert await bob.asks("around", ROOM, "this") == ["before", "this", "after"]

    async def test_a_report(self, pair):
        alice, bob = pair
        await alice.says(ROOM, "nonsense")
        await bob.shows(["nonsense"], "texts", ROOM)
        room_id, event_id = (
            await bob.asks("roomId", ROOM),
            await bob.asks("eventId", ROOM, "nonsense"),
        )
        assert await bob.asks("calls", "reportEvent", room_id, event_id, -100, "it is") == {}
        assert await bob.asks("calls", "reportRoom", room_id, "too") == {}


class TestUserSettings:
    async def test_sessions(self, on):
        (alice,) = await on.cast("js")
        login = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": alice.localpart},
            "password": PASSWORD,
        }
        others = [await alice.asks("calls", "loginRequest", login) for _ in range(3)]
        first, *rest = [each["device_id"] for each in others]
        await alice.asks("calls", "setDeviceDetails", first, {"display_name": "Kitchen"})
        assert (await alice.asks("calls", "getDevice", first))["display_name"] == "Kitchen"
        await alice.asks("proves", PASSWORD, "deleteDevice", first, "AUTH")
        await alice.asks("proves", PASSWORD, "deleteMultipleDevices", rest, "AUTH")
        (left,) = (await alice.asks("calls", "getDevices"))["devices"]
        assert left["device_id"] == (await alice.asks("calls", "whoami"))["device_id"]

    async def test_whom_one_ignores(self, pair):
        alice, bob = pair
        await alice.asks("calls", "setIgnoredUsers", [bob.user_id])
        await bob.says(ROOM, "unheard")
        await alice.says(ROOM, "heard")
        await bob.shows(["unheard", "heard"], "texts", ROOM)
        await alice.shows(["heard"], "texts", ROOM)

    async def test_notifications(self, pair):
        alice, bob = pair
        room_id = await alice.asks("roomId", ROOM)
        await alice.asks(
            "calls", "setPushRuleEnabled", "global", "override", ".m.rule.master", False
        )
        await alice.asks("calls", "addPushRule", "global", "room", room_id, {"actions": []})
        await bob.says(ROOM, "silent")
        await alice.shows(["silent"], "texts", ROOM)
        await alice.shows(0, "unread", ROOM)
        await alice.asks("calls", "deletePushRule", "global", "room", room_id)
        await bob.says(ROOM, "loud")
        await alice.shows(["silent", "loud"], "texts", ROOM)
        await alice.shows(2, "unread", ROOM)

    async def test_the_password_and_the_end_of_an_account(self, on):
        (alice,) = await on.cast("js")
        await alice.asks("proves", PASSWORD, "setPassword", "AUTH", "a new password", False)
        await alice.asks("stops")
        await alice.asks("proves", "a new password", "deactivateAccount", "AUTH", True)
        refusal = await alice.asks(
            "isRefused",
            "login",
            "m.login.password",
            {
                "identifier": {"type": "m.id.user", "user": alice.localpart},
                "password": "a new password",
            },
        )
        assert refusal in ("M_FORBIDDEN", "M_USER_DEACTIVATED")
