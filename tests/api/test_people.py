"""People: profiles, what others see of them, search, and the cache."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from homeserver.actions.accounts_admin import Operator
from homeserver.errors import InvalidInput, NotFound
from homeserver.identifiers import UserID, native_uuid
from homeserver.requester import Requester
from homeserver.storage import users
from homeserver.storage.database import Database
from homeserver.streams.people import People
from tests.support.office import CHEAP, Office


@pytest.fixture
def office(database) -> Office:
    return Office(database, CHEAP)


class TestProfile:
    async def test_name_and_picture_change_alone_or_together(self, office):
        alice = (await office.registers("Alice")).requester
        profile, me = office.accounts.profile, office.accounts.users.me
        await profile.update(alice, name=" Alice B. ")
        await profile.update(alice, avatar_url="https://example.org/alice.png")
        view = await me(alice)
        assert (view.name, view.avatar_url) == ("Alice B.", "https://example.org/alice.png")
        await profile.update(alice, name="Alice", avatar_url="")
        view = await me(alice)
        assert (view.name, view.avatar_url) == ("Alice", None)

    async def test_changes_alone_are_announced(self, office):
        alice = (await office.registers("Alice")).requester
        await office.accounts.profile.update(alice, name="Alice")
        assert office.bus.announced == []
        await office.accounts.profile.update(alice, name="Alicia")
        assert office.bus.announced == [("profile-changed", str(alice.user_uuid))]

    @pytest.mark.parametrize(
        "url",
        [
            "javascript:alert(1)",
            "data:image/png;base64,AAAA",
            "alice.png",
            "https://",
            "https://example.org/" + "a" * 490,
            "https://example.org/a b",
            "http://[",
            "https://example.org/\x00",
        ],
    )
    async def test_a_picture_is_an_address_that_can_be_loaded(self, office, url):
        alice = (await office.registers("Alice")).requester
        with pytest.raises(InvalidInput) as refused:
            await office.accounts.profile.update(alice, avatar_url=url)
        assert refused.value.field == "avatar_url"

    async def test_a_matrix_picture_is_fine(self, office):
        alice = (await office.registers("Alice")).requester
        await office.accounts.profile.update(alice, avatar_url="mxc://example.org/abc")


class TestSeeingOthers:
    async def test_an_address_is_for_those_who_share_a_room(self, office):
        alice, bob, carol = [
            (await office.registers(name)).requester for name in ("Alice", "Bob", "Carol")
        ]
        root = await office.makes_admin()
        await office.put_in_room(alice, bob)
        get = office.accounts.users.get
        assert (await get(bob, alice.user_uuid)).email == "alice@example.org"
        assert (await get(carol, alice.user_uuid)).email is None
        assert (await get(alice, alice.user_uuid)).email == "alice@example.org"
        assert (await get(root, alice.user_uuid)).email == "alice@example.org"

    async def test_a_room_that_one_left_is_shared_no_more(self, office):
        alice, bob = [(await office.registers(name)).requester for name in ("Alice", "Bob")]
        await office.put_in_room(alice, bob, membership="leave")
        assert (await office.accounts.users.get(bob, alice.user_uuid)).email is None

    async def test_what_a_view_of_somebody_says(self, office):
        alice, bob = [(await office.registers(name)).requester for name in ("Alice", "Bob")]
        await office.put_in_room(alice, bob)
        view = await office.accounts.users.get(bob, alice.user_uuid)
        assert (view.uuid, view.name, view.avatar_url, view.status) == (
            alice.user_uuid,
            "Alice",
            None,
            "away",
        )

    async def test_a_stranger_does_not_see_who_is_there(self, office):
        alice, bob = [(await office.registers(name)).requester for name in ("Alice", "Bob")]
        get = office.accounts.users.get
        assert (await get(bob, alice.user_uuid)).status == "offline"
        assert (await get(alice, alice.user_uuid)).status == "away"

    async def test_who_does_not_exist_is_not_found(self, office):
        alice = (await office.registers("Alice")).requester
        with pytest.raises(NotFound) as refused:
            await office.accounts.users.get(alice, uuid4())
        assert refused.value.kind == "user"

    async def test_users_of_other_servers_are_for_those_who_met_them(self, office):
        alice, bob = [(await office.registers(name)).requester for name in ("Alice", "Bob")]
        zoe = await knows(office.database, "@zoe:elsewhere.org", like=alice)
        await office.put_in_room(alice, zoe)
        view = await office.accounts.users.get(alice, zoe.user_uuid)
        assert (view.name, view.email) == ("zoe", None)
        with pytest.raises(NotFound):
            await office.accounts.users.get(bob, zoe.user_uuid)


class TestSearchingPeople:
    @pytest.fixture
    async def reader(self, office) -> Requester:
        await office.registers("Alice Liddell")
        await office.registers("Alicia Keys", email="keys@example.org", username="akeys")
        await office.registers("Álvaro Soler", email="soler@example.org")
        return (await office.registers("Bob")).requester

    @pytest.mark.parametrize(
        ("q", "names"),
        [
            ("ali", ["Alice Liddell", "Alicia Keys"]),
            ("ALICE", ["Alice Liddell"]),
            ("lidd", ["Alice Liddell"]),
            ("al lid", ["Alice Liddell"]),
            ("lid al", ["Alice Liddell"]),
            ("akeys", ["Alicia Keys"]),
            ("álv", ["Álvaro Soler"]),
            ("A\u0301LV", ["Álvaro Soler"]),
            ("keys@example.org", ["Alicia Keys"]),
            ("KEYS@example.org ", ["Alicia Keys"]),
            ("keys@example", []),
            ("ice", []),
            ("ali bob", []),
            ("", []),
            ("!!!", []),
            ("%", []),
            ("a%", ["Alice Liddell", "Alicia Keys"]),
            ("\x00", []),
        ],
    )
    async def test_words_are_found_by_their_beginnings(self, office, reader, q, names):
        found = await office.accounts.users.search(reader, q)
        assert [view.name for view in found] == names

    async def test_a_name_is_found_as_it_is_now(self, office, reader):
        carol = (await office.registers("Carol")).requester
        await office.accounts.profile.update(carol, name="Caroline Herschel")
        assert await office.accounts.users.search(reader, "herschel")
        await office.accounts.profile.update(carol, name="Lina")
        assert not await office.accounts.users.search(reader, "herschel")

    async def test_an_address_is_shown_to_who_knew_it_or_may_know_it(self, office, reader):
        by_name = (await office.accounts.users.search(reader, "akeys"))[0]
        by_address = (await office.accounts.users.search(reader, "keys@example.org"))[0]
        assert (by_name.email, by_address.email) == (None, "keys@example.org")

    async def test_deactivated_accounts_are_not_found(self, office, reader):
        carol = await office.registers("Carol")
        await office.accounts.admin.deactivate(Operator(), carol.requester.user_uuid)
        assert not await office.accounts.users.search(reader, "carol")
        assert not await office.accounts.users.search(reader, "carol@example.org")

    async def test_users_of_other_servers_only_if_one_shares_a_room(self, office, reader):
        zoe = await knows(office.database, "@zoe:elsewhere.org", like=reader)
        assert not await office.accounts.users.search(reader, "zoe")
        await office.put_in_room(reader, zoe)
        assert [v.name for v in await office.accounts.users.search(reader, "zoe")] == ["zoe"]

    async def test_there_are_as_many_as_one_wants(self, office, reader):
        assert len(await office.accounts.users.search(reader, "al", limit=2)) == 2


class TestPeople:
    @pytest.fixture
    async def alice(self, office) -> Requester:
        return (await office.registers("Alice")).requester

    @pytest.fixture
    def people(self, office) -> People:
        people = People(database=office.database, capacity=3)
        people.listen(office.bus)
        return people

    async def test_somebody_is_found_by_every_key(self, people, alice):
        person = await people.get(alice.user_nid)
        assert (person.name, person.user_id) == ("Alice", alice.user_id)
        assert await people.by_uuid(alice.user_uuid) == person
        assert await people.by_user_id(alice.user_id) == person
        assert people.peek(alice.user_nid) == person
        assert people.peek_user_id(alice.user_id) == person

    async def test_nobody_is_in_memory_at_first(self, people, alice):
        assert people.peek(alice.user_nid) is None
        assert people.peek_user_id(alice.user_id) is None

    async def test_who_is_known_needs_no_database(self, office, people, alice):
        person = await people.get(alice.user_nid)
        await office.database.close()
        assert await people.get(alice.user_nid) == person
        assert await people.by_uuids({alice.user_uuid}) == {alice.user_uuid: person}
        assert await people.ensure([alice.user_id]) == {alice.user_id: person}

    async def test_a_new_name_is_seen(self, office, people, alice):
        await people.get(alice.user_nid)
        await office.accounts.profile.update(alice, name="Alicia")
        assert people.peek(alice.user_nid) is None
        assert (await people.get(alice.user_nid)).name == "Alicia"

    async def test_whoever_is_unknown_becomes_known(self, people):
        zoe = (await people.ensure([UserID("@zoe:elsewhere.org")]))[UserID("@zoe:elsewhere.org")]
        assert zoe.name == "zoe"
        assert zoe.uuid == native_uuid("@zoe:elsewhere.org")
        assert people.peek(zoe.user_nid) == zoe

    async def test_many_who_become_known_at_once_are_known_once(self, people):
        everybody = [UserID(f"@user{n}:elsewhere.org") for n in range(50)]
        found = await asyncio.gather(
            people.ensure(everybody), people.ensure(everybody[::-1]), people.ensure(everybody)
        )
        assert found[0] == found[1] == found[2]
        assert len({person.user_nid for person in found[0].values()}) == 50

    async def test_memory_is_bounded(self, people):
        everybody = [UserID(f"@user{n}:elsewhere.org") for n in range(20)]
        found = await people.ensure(everybody)
        assert len(found) == 20
        assert len(people._by_nid) == len(people._nid_of_uuid) == len(people._nid_of_user_id) == 3

    async def test_who_does_not_exist_is_missing(self, people):
        assert await people.get(999) is None
        assert await people.by_uuid(uuid4()) is None
        assert await people.get_many([998, 999]) == {}


async def knows(database: Database, user_id: str, *, like: Requester) -> Requester:
    """A user of another server, as somebody who can be put in rooms."""
    async with database.transaction() as db:
        record = (await users.ensure(db, [UserID(user_id)]))[UserID(user_id)]
    return replace(like, user_nid=record.user_nid, user_id=record.user_id, user_uuid=record.uuid)
