"""Groups, conversations of two and channels: who is in, who comes and goes, who hears what."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.support.play import Person, Play
from tests.support.promises import Answer, Json


def ids(*people: Person) -> list[str]:
    return sorted(person.id for person in people)


async def members(reader: Person, room: str) -> list[str]:
    return sorted((await reader.gets(f"/api/rooms/{room}"))["members"])


async def succeeds(answer: Answer) -> Json:
    assert answer.status < 300, answer
    return answer.json


async def hears_nothing_of(person: Person, witness: Person, room: str) -> None:
    """Whatever is said in the room does not reach the person."""
    before = len(person.device.frames)
    await witness.says(room, "a word in private")
    await witness.hears("message.new", content="a word in private")
    await person.device.is_up_to_date()
    later = person.device.frames[before:]
    assert [frame for frame in later if frame["type"] != "pong"] == []


class TestGroups:
    async def test_who_is_added_is_in_at_once(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = (await alice.creates("group", bob, name="Team"))["id"]
        joined = await bob.hears("room.joined")
        assert (joined["room"]["id"], joined["room"]["name"]) == (room, "Team")
        assert sorted(joined["room"]["members"]) == ids(alice, bob)
        await bob.says(room, "Here I am")
        await alice.hears("message.new", content="Here I am")

    async def test_everybody_of_a_new_room_knows_everybody(self, play: Play) -> None:
        people = await play.cast("alice", "bob", "carol", "dave")
        room = await people[0].creates_group(*people[1:])
        for person in people:
            assert await members(person, room) == ids(*people)

    async def test_naming_somebody_twice_or_oneself_changes_nothing(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates("group", bob, alice, bob, name="Team")
        assert sorted(room["members"]) == ids(alice, bob)

    async def test_somebody_who_does_not_exist(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        for user in (str(uuid4()), "nobody"):
            body = {"type": "group", "members": [bob.id, user]}
            assert (await alice.post("/api/rooms", body)).error == (404, "INVALID_USER")
        assert await alice.gets("/api/rooms") == []
        assert await bob.gets("/api/rooms") == []

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"type": "party"},
            {"type": "group", "members": "all"},
            {"type": "group", "name": ""},
            {"type": "group", "name": "x" * 256},
            {"type": "group", "nmae": "Team"},
            {"type": "group", "public": True},
            {"type": "group", "version": "0"},
            {"type": "group", "history_visibility": "nobody"},
            {"type": "direct"},
            {"type": "channel"},
            [],
            None,
        ],
    )
    async def test_what_cannot_be_made(self, play: Play, body: Json) -> None:
        alice = await play.enters("alice")
        assert (await alice.post("/api/rooms", body)).error == (400, "INVALID_INPUT")
        assert await alice.gets("/api/rooms") == []

    async def test_changes_are_told_to_everybody(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        avatar = "https://example.org/team.png"
        changes = {"name": "New", "topic": "News", "avatar_url": avatar}
        changed = await succeeds(await alice.patch(f"/api/rooms/{room}", changes))
        assert changed | changes == changed
        frame = await bob.hears("room.updated", avatar_url=avatar)
        assert frame["room"] | changes == frame["room"]
        assert await bob.gets(f"/api/rooms/{room}") | changes == await bob.gets(
            f"/api/rooms/{room}"
        )
        listed = await bob.sees_in_list(room)
        assert (listed["name"], listed["topic"]) == ("New", "News")

    async def test_a_name_can_be_taken_away(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob, name="Team", topic="News")
        changed = await succeeds(await alice.patch(f"/api/rooms/{room}", {"name": "", "topic": ""}))
        assert changed["name"] is None
        assert not changed.get("topic")
        assert (await bob.sees_in_list(room))["name"] is None

    async def test_members_cannot_change_it_but_admins_can(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob, name="Team")
        refused = await bob.patch(f"/api/rooms/{room}", {"name": "Bob's"})
        assert refused.error == (403, "FORBIDDEN")
        assert (await bob.delete(f"/api/rooms/{room}")).error == (403, "FORBIDDEN")
        assert (await bob.gets(f"/api/rooms/{room}"))["name"] == "Team"
        role = await succeeds(
            await alice.put(f"/api/rooms/{room}/members/{bob.id}", {"role": "admin"})
        )
        assert role == {"user_id": bob.id, "role": "admin"}
        await succeeds(await bob.patch(f"/api/rooms/{room}", {"name": "Bob's"}))
        await alice.hears("room.updated", name="Bob's")


class TestDirectRooms:
    async def test_there_is_one_for_two_people(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates("direct", bob)
        for person, other in ((alice, bob), (bob, alice)):
            body = {"type": "direct", "members": [other.id]}
            again = await person.post("/api/rooms", body)
            assert (again.status, again.json["id"]) == (200, room["id"])

    async def test_both_begin_at_once(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        answers = await asyncio.gather(
            *(
                person.post("/api/rooms", {"type": "direct", "members": [other.id]})
                for person, other in ((alice, bob), (bob, alice)) * 4
            )
        )
        assert len({answer.json["id"] for answer in answers}) == 1
        assert sorted(answer.status for answer in answers) == [200] * 7 + [201]

    async def test_it_has_the_name_of_the_other_person(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates("direct", bob)
        assert room["name"] == bob.name
        assert (await bob.gets(f"/api/rooms/{room['id']}"))["name"] == alice.name
        assert (await bob.hears("room.joined"))["room"]["name"] == alice.name
        assert (await alice.hears("room.joined"))["room"]["name"] in (bob.name, None)
        assert (await bob.sees_in_list(room["id"]))["name"] == alice.name

    async def test_both_have_the_same_say(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = (await alice.creates("direct", bob))["id"]
        assert {(await one.gets(f"/api/rooms/{room}"))["role"] for one in (alice, bob)} == {"admin"}
        await succeeds(await bob.patch(f"/api/rooms/{room}", {"topic": "Us"}))

    async def test_nobody_else_comes_in(self, play: Play) -> None:
        alice, bob, carol = await play.cast("alice", "bob", "carol")
        room = (await alice.creates("direct", bob))["id"]
        refused = await alice.patch(f"/api/rooms/{room}", {"members": [alice.id, carol.id]})
        assert refused.error == (400, "INVALID_INPUT")
        refused = await alice.post(f"/api/rooms/{room}/members", {"user_ids": [carol.id]})
        assert refused.error == (400, "INVALID_INPUT")
        refused = await alice.post(f"/api/rooms/{room}/invites", {"user_id": carol.id})
        assert refused.error == (400, "INVALID_INPUT")
        for path, body in (
            ("members", {"user_ids": [carol.id]}),
            ("invites", {"user_id": carol.id}),
        ):
            stranger = await carol.post(f"/api/rooms/{room}/{path}", body)
            assert stranger.error == (404, "INVALID_ROOM")
        assert await members(bob, room) == ids(alice, bob)

    async def test_with_more_or_fewer_than_two(self, play: Play) -> None:
        alice, bob, carol = await play.cast("alice", "bob", "carol")
        for others in ([], [bob.id, carol.id], [alice.id]):
            answer = await alice.post("/api/rooms", {"type": "direct", "members": others})
            assert answer.error == (400, "INVALID_INPUT"), others

    async def test_after_one_left_there_may_be_a_new_one(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = (await alice.creates("direct", bob))["id"]
        await succeeds(await bob.post(f"/api/rooms/{room}/leave"))
        answer = await bob.post("/api/rooms", {"type": "direct", "members": [alice.id]})
        again = answer.json["id"]
        assert await members(bob, again) == ids(alice, bob)
        await bob.says(again, "Hello again")
        await alice.hears("message.new", content="Hello again")


class TestChannels:
    async def test_a_public_one_is_found_and_joined(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        name = f"News {play.tag}"
        channel = await alice.creates("channel", name=name, topic="What is new", public=True)
        (found,) = await bob.gets("/api/channels", q=name)
        assert found == {
            "id": channel["id"],
            "name": name,
            "topic": "What is new",
            "avatar_url": None,
            "member_count": 1,
            "joined": False,
        }
        joined = await succeeds(await bob.post(f"/api/rooms/{channel['id']}/join"))
        assert sorted(joined["members"]) == ids(alice, bob)
        await bob.hears("room.joined", id=channel["id"])
        frame = await alice.hears("member.joined", user_id=bob.id)
        assert (frame["room_id"], frame["user_name"]) == (channel["id"], bob.name)
        (found,) = await bob.gets("/api/channels", q=name)
        assert (found["member_count"], found["joined"]) == (2, True)

    async def test_joining_twice_changes_nothing(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        channel = (await alice.creates("channel", name=f"News {play.tag}", public=True))["id"]
        for _ in range(2):
            await succeeds(await bob.post(f"/api/rooms/{channel}/join"))
        await alice.hears("member.joined", user_id=bob.id)
        await alice.device.is_up_to_date()
        assert len(alice.heard("member.joined", user_id=bob.id)) == 1

    async def test_a_private_one_is_neither_found_nor_joined(self, play: Play) -> None:
        alice, eve = await play.cast("alice", "eve")
        name = f"Board {play.tag}"
        channel = (await alice.creates("channel", name=name))["id"]
        assert await eve.gets("/api/channels", q=name) == []
        refused = await eve.post(f"/api/rooms/{channel}/join")
        assert refused.json == {"code": "INVALID_ROOM", "message": "Room not found"}
        assert (await eve.post(f"/api/rooms/{uuid4()}/join")).json == refused.json

    async def test_an_outsider_does_not_read_along(self, play: Play) -> None:
        alice, eve = await play.cast("alice", "eve")
        channel = (await alice.creates("channel", name=f"News {play.tag}", public=True))["id"]
        message = await alice.says(channel, "For members")
        assert (await eve.get(f"/api/rooms/{channel}/messages")).status in (403, 404)
        assert (await eve.get(f"/api/messages/{message}")).status in (403, 404)
        assert (await eve.get(f"/api/rooms/{channel}/members")).status in (403, 404)
        await hears_nothing_of(eve, alice, channel)

    async def test_it_becomes_private_and_public_again(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        name = f"News {play.tag}"
        channel = (await alice.creates("channel", name=name, public=True))["id"]
        await succeeds(await alice.patch(f"/api/rooms/{channel}", {"public": False}))
        assert await bob.gets("/api/channels", q=name) == []
        assert (await bob.post(f"/api/rooms/{channel}/join")).error == (404, "INVALID_ROOM")
        await succeeds(await alice.patch(f"/api/rooms/{channel}", {"public": True}))
        assert len(await bob.gets("/api/channels", q=name)) == 1
        await succeeds(await bob.post(f"/api/rooms/{channel}/join"))

    async def test_the_directory_has_pages(self, play: Play) -> None:
        alice = await play.enters("alice")
        made = [
            (await alice.creates("channel", name=f"{play.tag} {number}", public=True))["id"]
            for number in range(5)
        ]
        found: list[str] = []
        after: dict[str, str] = {}
        while page := await alice.gets("/api/channels", q=play.tag, limit=2, **after):
            assert len(page) <= 2
            found += [channel["id"] for channel in page]
            after = {"after": found[-1]}
        assert sorted(found) == sorted(made)

    async def test_an_alias_is_taken_once(self, play: Play) -> None:
        alice, bob = await play.enters("alice"), await play.enters("bob")
        await alice.creates("channel", name="News", alias=f"news-{play.tag}")
        body = {"type": "channel", "name": "Other news", "alias": f"news-{play.tag}"}
        assert (await bob.post("/api/rooms", body)).error == (409, "CONFLICT")
        assert await bob.gets("/api/rooms") == []


class TestComingAndGoing:
    async def test_a_member_adds_somebody(self, play: Play) -> None:
        alice, bob, carol = await play.cast("alice", "bob", "carol")
        room = await alice.creates_group(bob)
        answer = await bob.post(f"/api/rooms/{room}/members", {"user_ids": [carol.id]})
        assert answer.status == 201
        assert sorted(answer.json["members"]) == ids(alice, bob, carol)
        await carol.hears("room.joined", id=room)
        frame = await alice.hears("member.joined", user_id=carol.id)
        assert frame["user_name"] == carol.name
        updated = await alice.hears(
            lambda frame: frame["type"] == "room.updated" and carol.id in frame["room"]["members"]
        )
        assert sorted(updated["room"]["members"]) == ids(alice, bob, carol)

    async def test_who_leaves_hears_nothing_more(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        await succeeds(await bob.post(f"/api/rooms/{room}/leave"))
        frame = await bob.hears("room.left")
        assert (frame["room_id"], frame["reason"]) == (room, "left")
        left = await alice.hears("member.left", user_id=bob.id)
        assert (left["room_id"], left["reason"]) == (room, "left")
        await hears_nothing_of(bob, alice, room)
        assert await bob.gets("/api/rooms") == []
        assert await members(alice, room) == ids(alice)
        refused = await bob.asks("message.send", room_id=room, content="And another thing")
        assert refused["code"] in ("FORBIDDEN", "INVALID_ROOM")
        assert (await bob.get(f"/api/rooms/{room}/messages")).error == (404, "INVALID_ROOM")

    async def test_who_is_removed_hears_nothing_more(self, play: Play) -> None:
        alice, bob, carol = await play.cast("alice", "bob", "carol")
        room = await alice.creates_group(bob, carol)
        path = f"/api/rooms/{room}/members/{bob.id}"
        assert (await carol.delete(path)).error == (403, "FORBIDDEN")
        assert (await alice.delete(path, reason="spam")).status == 204
        assert (await bob.hears("room.left"))["reason"] == "removed"
        assert (await carol.hears("member.left", user_id=bob.id))["reason"] == "removed"
        await hears_nothing_of(bob, alice, room)
        for frame_type, fields in (
            ("message.send", {"content": "Still here?"}),
            ("typing.start", {}),
        ):
            refused = await bob.asks(frame_type, room_id=room, **fields)
            assert refused["code"] in ("FORBIDDEN", "INVALID_ROOM")
        await carol.device.is_up_to_date()
        assert carol.heard("typing") == []

    async def test_on_all_devices_and_on_those_that_come_later(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        second = await bob.connects()
        room = await alice.creates_group(bob)
        await alice.delete(f"/api/rooms/{room}/members/{bob.id}")
        for device in (bob.devices[0], second):
            await device.hears("room.left", room_id=room)
        third = await bob.connects()
        await alice.says(room, "Without him")
        await alice.hears("message.new")
        for device in (*bob.devices[:2], third):
            await device.is_up_to_date()
            assert device.heard("message.new") == []

    async def test_back_again(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        await alice.delete(f"/api/rooms/{room}/members/{bob.id}")
        await bob.hears("room.left")
        await succeeds(await alice.post(f"/api/rooms/{room}/members", {"user_ids": [bob.id]}))
        await bob.hears("room.joined", id=room)
        await alice.says(room, "Welcome back")
        await bob.hears("message.new", content="Welcome back")

    async def test_the_last_one_may_leave(self, play: Play) -> None:
        alice = (await play.cast("alice"))[0]
        room = await alice.creates_group()
        await succeeds(await alice.post(f"/api/rooms/{room}/leave"))
        assert await alice.gets("/api/rooms") == []

    async def test_patch_sets_exactly_these_members(self, play: Play) -> None:
        alice, bob, carol, dave = await play.cast("alice", "bob", "carol", "dave")
        room = await alice.creates_group(bob, carol)
        changed = await succeeds(
            await alice.patch(f"/api/rooms/{room}", {"members": [bob.id, dave.id]})
        )
        assert sorted(changed["members"]) == ids(alice, bob, dave)
        assert (await carol.hears("room.left"))["reason"] == "removed"
        await dave.hears("room.joined", id=room)
        await hears_nothing_of(carol, bob, room)

    async def test_strangers_cannot_add_remove_or_invite(self, play: Play) -> None:
        alice, bob, eve = await play.cast("alice", "bob", "eve")
        room = await alice.creates_group(bob)
        path = f"/api/rooms/{room}"
        for answer in (
            await eve.post(f"{path}/members", {"user_ids": [eve.id]}),
            await eve.delete(f"{path}/members/{bob.id}"),
            await eve.put(f"{path}/members/{eve.id}", {"role": "admin"}),
            await eve.post(f"{path}/invites", {"user_id": eve.id}),
            await eve.put(f"{path}/bans/{bob.id}"),
            await eve.delete(f"{path}/bans/{bob.id}"),
            await eve.post(f"{path}/join"),
            await eve.post(f"{path}/leave"),
            await eve.post(f"{path}/upgrade", {"version": "11"}),
            await eve.get(f"{path}/members"),
        ):
            assert answer.error == (404, "INVALID_ROOM")
        assert await members(alice, room) == ids(alice, bob)

    async def test_the_list_of_members_has_pages_and_roles(self, play: Play) -> None:
        alice = await play.enters("alice")
        others = [await play.enters("member") for _ in range(6)]
        room = await alice.creates_group(*others)
        found: list[Json] = []
        after: dict[str, str] = {}
        while page := await alice.gets(f"/api/rooms/{room}/members", limit=3, **after):
            found += page
            after = {"after": found[-1]["id"]}
        assert sorted(member["id"] for member in found) == ids(alice, *others)
        assert {member["id"]: member["role"] for member in found} == {
            alice.id: "admin",
            **{other.id: "member" for other in others},
        }


class TestInvitations:
    async def test_accepted(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(name="Secret team")
        answer = await alice.post(f"/api/rooms/{room}/invites", {"user_id": bob.id})
        assert (answer.status, answer.json) == (201, {"room_id": room, "user_id": bob.id})
        frame = await bob.hears("room.invited", id=room)
        assert (frame["by"]["id"], frame["by"]["name"]) == (alice.id, alice.name)
        assert frame["by"]["user_id"].startswith("@")
        assert (frame["room"]["name"], frame["room"]["members"]) == ("Secret team", [])
        (invite,) = await bob.gets("/api/invites")
        assert (invite["room"]["id"], invite["by"]["id"]) == (room, alice.id)
        assert await bob.gets("/api/rooms") == []
        await hears_nothing_of(bob, alice, room)
        await succeeds(await bob.post(f"/api/rooms/{room}/join"))
        assert await bob.gets("/api/invites") == []
        await alice.hears("member.joined", user_id=bob.id)
        await alice.says(room, "Welcome")
        await bob.hears("message.new", content="Welcome")

    async def test_declined(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group()
        await alice.post(f"/api/rooms/{room}/invites", {"user_id": bob.id})
        await succeeds(await bob.post(f"/api/rooms/{room}/leave"))
        assert await bob.gets("/api/invites") == []
        assert (await bob.post(f"/api/rooms/{room}/join")).error == (404, "INVALID_ROOM")
        assert (await bob.hears("room.left", room_id=room))["reason"] == "left"

    async def test_taken_back(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group()
        await alice.post(f"/api/rooms/{room}/invites", {"user_id": bob.id})
        assert (await alice.delete(f"/api/rooms/{room}/members/{bob.id}")).status == 204
        assert (await bob.hears("room.left", room_id=room))["reason"] == "removed"
        assert await bob.gets("/api/invites") == []
        assert (await bob.post(f"/api/rooms/{room}/join")).error == (404, "INVALID_ROOM")

    async def test_a_member_needs_none(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        answer = await alice.post(f"/api/rooms/{room}/invites", {"user_id": bob.id})
        assert answer.error == (409, "CONFLICT")

    async def test_an_invitation_is_no_reading_permit(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group()
        message = await alice.says(room, "Not yet for Bob")
        await alice.post(f"/api/rooms/{room}/invites", {"user_id": bob.id})
        for path in (f"/api/rooms/{room}/messages", f"/api/rooms/{room}/members"):
            assert (await bob.get(path)).status in (403, 404)
        assert (await bob.get(f"/api/messages/{message}")).status in (403, 404)


class TestBans:
    async def test_who_is_banned_stays_out(self, play: Play) -> None:
        alice, eve = await play.cast("alice", "eve")
        channel = (await alice.creates("channel", eve, name=f"N {play.tag}", public=True))["id"]
        path = f"/api/rooms/{channel}/bans/{eve.id}"
        answer = await alice.put(path, {"reason": "spam"})
        assert (answer.status, answer.json) == (200, {"room_id": channel, "user_id": eve.id})
        assert (await eve.hears("room.left"))["reason"] == "banned"
        assert (await alice.hears("member.left", user_id=eve.id))["reason"] == "banned"
        await hears_nothing_of(eve, alice, channel)
        assert (await eve.post(f"/api/rooms/{channel}/join")).error == (403, "FORBIDDEN")
        add = await alice.post(f"/api/rooms/{channel}/members", {"user_ids": [eve.id]})
        assert add.error == (403, "FORBIDDEN")
        assert (await alice.delete(path)).status == 204
        await succeeds(await eve.post(f"/api/rooms/{channel}/join"))

    async def test_before_they_come(self, play: Play) -> None:
        alice, eve = await play.cast("alice", "eve")
        channel = (await alice.creates("channel", name=f"N {play.tag}", public=True))["id"]
        assert (await alice.put(f"/api/rooms/{channel}/bans/{eve.id}")).status == 200
        assert (await eve.post(f"/api/rooms/{channel}/join")).error == (403, "FORBIDDEN")

    async def test_only_admins_ban(self, play: Play) -> None:
        alice, bob, carol = await play.cast("alice", "bob", "carol")
        room = await alice.creates_group(bob, carol)
        for target in (carol, alice):
            answer = await bob.put(f"/api/rooms/{room}/bans/{target.id}")
            assert answer.error == (403, "FORBIDDEN")
        assert (await alice.delete(f"/api/rooms/{room}/bans/{bob.id}")).error == (
            404,
            "INVALID_USER",
        )


class TestRoles:
    async def test_an_admin_does_what_members_cannot(self, play: Play) -> None:
        alice, bob, carol = await play.cast("alice", "bob", "carol")
        room = await alice.creates_group(bob, carol)
        path = f"/api/rooms/{room}/members"
        refused = await bob.put(f"{path}/{bob.id}", {"role": "admin"})
        assert refused.error == (403, "FORBIDDEN")
        await succeeds(await alice.put(f"{path}/{bob.id}", {"role": "admin"}))
        assert (await bob.gets(f"/api/rooms/{room}"))["role"] == "admin"
        assert (await bob.delete(f"{path}/{carol.id}")).status == 204
        await carol.hears("room.left")

    async def test_an_admin_becomes_a_member_again(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        path = f"/api/rooms/{room}/members/{bob.id}"
        await succeeds(await alice.put(path, {"role": "admin"}))
        await succeeds(await alice.put(path, {"role": "member"}))
        assert (await bob.gets(f"/api/rooms/{room}"))["role"] == "member"
        assert (await bob.patch(f"/api/rooms/{room}", {"name": "x"})).error == (403, "FORBIDDEN")

    async def test_an_admin_steps_down(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        path = f"/api/rooms/{room}/members/{bob.id}"
        await succeeds(await alice.put(path, {"role": "admin"}))
        await succeeds(await bob.put(path, {"role": "member"}))
        assert (await bob.gets(f"/api/rooms/{room}"))["role"] == "member"

    async def test_somebody_who_is_not_in_the_room(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group()
        path = f"/api/rooms/{room}/members/{bob.id}"
        assert (await alice.put(path, {"role": "admin"})).error == (404, "INVALID_USER")
        assert (await alice.delete(path)).error == (404, "INVALID_USER")


class TestDeletedRooms:
    async def test_everybody_is_told_and_it_is_gone(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        message = await alice.says(room, "Last words")
        assert (await alice.delete(f"/api/rooms/{room}")).status == 204
        for person in (alice, bob):
            await person.hears("room.deleted", room_id=room)
            assert await person.gets("/api/rooms") == []
            assert (await person.get(f"/api/messages/{message}")).error == (404, "INVALID_MESSAGE")
            refused = await person.asks("message.send", room_id=room, content="Hello?")
            assert refused["code"] == "INVALID_ROOM"
            refused = await person.asks("message.edit", message_id=message, content="Hello?")
            assert refused["code"] == "INVALID_MESSAGE"

    async def test_those_who_were_invited_need_not_wait(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group()
        await alice.post(f"/api/rooms/{room}/invites", {"user_id": bob.id})
        await bob.hears("room.invited")
        await alice.delete(f"/api/rooms/{room}")
        assert await bob.gets("/api/invites") == []
        assert (await bob.post(f"/api/rooms/{room}/join")).error == (404, "INVALID_ROOM")

    async def test_a_direct_room_may_be_begun_again(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        first = (await alice.creates("direct", bob))["id"]
        await alice.delete(f"/api/rooms/{first}")
        second = (await alice.creates("direct", bob))["id"]
        assert second != first


class TestUpgrades:
    async def test_the_new_room_has_the_old_ones_settings_and_members(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob, name="Team", topic="News", version="10")
        refused = await bob.post(f"/api/rooms/{room}/upgrade", {"version": "12"})
        assert refused.error == (403, "FORBIDDEN")
        answer = await alice.post(f"/api/rooms/{room}/upgrade", {"version": "12"})
        assert answer.status == 201
        new = answer.json
        assert new["id"] != room
        assert (new["name"], new["topic"], new["type"]) == ("Team", "News", "group")
        assert await members(bob, new["id"]) == ids(alice, bob)
        await bob.hears("room.joined", id=new["id"])
        await bob.says(new["id"], "Nice here")
        await alice.hears("message.new", content="Nice here")

    async def test_every_version_works(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob, version="1")
        for version in range(1, 13):
            if version > 1:
                answer = await alice.post(f"/api/rooms/{room}/upgrade", {"version": str(version)})
                assert answer.status == 201, answer
                room = answer.json["id"]
            text = f"In version {version}"
            message = await bob.says(room, text)
            await alice.hears("message.new", content=text)
            await bob.asks("message.edit", message_id=message, content=f"{text}!")
            await alice.hears("message.updated", content=f"{text}!")
            await alice.asks("message.delete", message_id=message)
            await bob.hears("message.deleted", message_id=message)

    async def test_to_a_version_that_does_not_exist(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        answer = await alice.post(f"/api/rooms/{room}/upgrade", {"version": "99"})
        assert answer.error == (400, "INVALID_INPUT")
        await alice.says(room, "Still here")


class TestHistory:
    """Who may read what was written before they came."""

    async def joins_later(self, play: Play, visibility: str) -> tuple[Person, str]:
        """Somebody who joins after "before" was written, was invited before "invited"."""
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(history_visibility=visibility)
        await alice.says(room, "before")
        await alice.post(f"/api/rooms/{room}/invites", {"user_id": bob.id})
        await alice.says(room, "invited")
        await succeeds(await bob.post(f"/api/rooms/{room}/join"))
        await alice.says(room, "joined")
        return bob, room

    @pytest.mark.parametrize(
        ("visibility", "seen"),
        [
            ("shared", ["before", "invited", "joined"]),
            ("invited", ["invited", "joined"]),
            ("joined", ["joined"]),
            ("world_readable", ["before", "invited", "joined"]),
        ],
    )
    async def test_a_new_member_sees(self, play: Play, visibility: str, seen: list[str]) -> None:
        bob, room = await self.joins_later(play, visibility)
        await bob.hears("message.new", content="joined")
        assert await bob.texts(room) == seen
        assert await bob.texts(room, limit=1) == ["joined"]
        assert (await bob.sees_in_list(room))["last_message"]["content"] == "joined"
        assert await bob.texts(room, limit=200) == seen

    async def test_what_one_cannot_see_one_cannot_use(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(history_visibility="joined")
        hidden = await alice.says(room, "before")
        await succeeds(await alice.post(f"/api/rooms/{room}/members", {"user_ids": [bob.id]}))
        assert (await bob.get(f"/api/messages/{hidden}")).error == (404, "INVALID_MESSAGE")
        for path in ("thread", "receipts"):
            answer = await bob.get(f"/api/messages/{hidden}/{path}")
            assert answer.error == (404, "INVALID_MESSAGE")
        assert await bob.unread(room) == 0

    async def test_the_setting_can_change(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(history_visibility="joined")
        await alice.says(room, "hidden")
        changed = await alice.patch(f"/api/rooms/{room}", {"history_visibility": "shared"})
        assert changed.json["history_visibility"] == "shared"
        await alice.says(room, "open")
        await succeeds(await alice.post(f"/api/rooms/{room}/members", {"user_ids": [bob.id]}))
        assert await bob.texts(room) == ["open"]

    async def test_who_was_away_does_not_see_what_was_said_meanwhile(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob, history_visibility="joined")
        await alice.says(room, "with him")
        await succeeds(await bob.post(f"/api/rooms/{room}/leave"))
        await alice.says(room, "without him")
        await succeeds(await alice.post(f"/api/rooms/{room}/members", {"user_ids": [bob.id]}))
        await alice.says(room, "with him again")
        assert await bob.texts(room) == ["with him", "with him again"]


class TestRoomList:
    async def test_the_room_with_the_newest_message_comes_first(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        rooms = [await alice.creates_group(bob, name=str(number)) for number in range(3)]
        for room in (rooms[1], rooms[0], rooms[2]):
            await bob.says(room, "Hello")
        assert [room["name"] for room in await alice.gets("/api/rooms")] == ["2", "0", "1"]
        await alice.says(rooms[1], "Hello")
        assert [room["name"] for room in await bob.gets("/api/rooms")] == ["1", "2", "0"]

    async def test_all_that_is_sent_at_once(self, play: Play) -> None:
        """Rooms of many hands: added, removed and changed by several people at the same time."""
        alice, bob = await play.cast("alice", "bob")
        others = [await play.enters("member") for _ in range(10)]
        room = await alice.creates_group(bob)
        await succeeds(await alice.put(f"/api/rooms/{room}/members/{bob.id}", {"role": "admin"}))
        requests: list[Any] = []
        for index, other in enumerate(others):
            by = (alice, bob)[index % 2]
            requests.append(by.post(f"/api/rooms/{room}/members", {"user_ids": [other.id]}))
            requests.append(by.patch(f"/api/rooms/{room}", {"topic": f"Topic {index}"}))
            requests.append(by.post(f"/api/rooms/{room}/messages", {"content": str(index)}))
        answers = await asyncio.gather(*requests)
        assert {answer.status for answer in answers} == {200, 201}
        assert await members(alice, room) == ids(alice, bob, *others)
        assert sorted(await bob.texts(room)) == sorted(str(index) for index in range(10))


class TestLargeRooms:
    """Above 250 members not all are listed, and who comes and goes is told by their own frames."""

    async def test_with_more_than_250_members(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        crowd: list[Person] = []
        for _ in range(10):
            crowd += await asyncio.gather(*(play.enters("member") for _ in range(25)))
        room = (await alice.creates("group", *crowd, name="Everybody"))["id"]
        seen = await alice.gets(f"/api/rooms/{room}")
        assert (len(seen["members"]), seen["member_count"]) == (250, 251)
        assert seen["members_truncated"] is True
        answer = await alice.post(f"/api/rooms/{room}/members", {"user_ids": [bob.id]})
        assert answer.json["member_count"] == 252
        joined = await bob.hears("room.joined", id=room)
        assert len(joined["room"]["members"]) == 250
        before = len(alice.device.frames)
        await bob.says(room, "Hello everybody")
        await alice.hears("message.new", content="Hello everybody")
        await alice.hears("member.joined", user_id=bob.id)
        await bob.post(f"/api/rooms/{room}/leave")
        await alice.hears("member.left", user_id=bob.id)
        await alice.device.is_up_to_date()
        assert "room.updated" not in [frame["type"] for frame in alice.device.frames[before:]]
        await alice.patch(f"/api/rooms/{room}", {"name": "All"})
        updated = await alice.hears("room.updated", name="All")
        assert updated["room"]["members_truncated"] is True
        found: set[str] = set()
        after: dict[str, str] = {}
        while page := await alice.gets(f"/api/rooms/{room}/members", limit=200, **after):
            found |= {member["id"] for member in page}
            after = {"after": page[-1]["id"]}
        assert found == {alice.id, *(person.id for person in crowd)}
