"""Registration, and the codes that allow it."""

import asyncio

import pytest

from homeserver.actions.accounts_admin import Operator
from homeserver.actions.registration import Registrant
from homeserver.actions.tokens import Grant
from homeserver.errors import Conflict, InvalidInput, NotAllowed
from homeserver.identifiers import UserID, native_uuid
from homeserver.storage import users
from tests.support.office import CHEAP, PASSWORD, PHONE, Office, everything_in


@pytest.fixture
def office(database) -> Office:
    return Office(database, CHEAP)


@pytest.fixture
def closed_office(database) -> Office:
    return Office(database, CHEAP.model_copy(update={"registration": "closed"}))


@pytest.fixture
def invite_office(database) -> Office:
    return Office(database, CHEAP.model_copy(update={"registration": "token"}))


class TestRegistration:
    async def test_whoever_registers_is_logged_in(self, office):
        alice = await office.registers("Alice")
        requester = await office.authenticator.authenticate(alice.access_token)
        assert requester == alice.requester
        assert requester.user_id == "@alice:example.org"
        assert requester.user_uuid == native_uuid("@alice:example.org")
        assert not requester.is_admin

    async def test_a_username_can_be_chosen(self, office):
        alice = await office.registers("Alice", username="Wonder.Land")
        assert alice.requester.user_id == "@wonder.land:example.org"

    @pytest.mark.parametrize(
        ("email", "user_id"),
        [
            ("Alice.Smith@example.org", "@alice.smith:example.org"),
            ("alice+chat@example.org", "@alice-chat:example.org"),
            ("Jürgen@example.org", "@jurgen:example.org"),
            ("李雷@example.org", "@user:example.org"),
            (".dot.@example.org", "@dot:example.org"),
        ],
    )
    async def test_a_username_is_made_from_the_address(self, office, email, user_id):
        assert (await office.registers("A", email=email)).requester.user_id == user_id

    async def test_a_username_that_is_made_is_unique(self, office):
        made = [
            (await office.registers("Info", email=f"info@{n}.example")).requester.user_id
            for n in range(25)
        ]
        assert made[:3] == ["@info:example.org", "@info2:example.org", "@info3:example.org"]
        assert len(set(made)) == 25

    async def test_many_who_register_at_once_get_different_usernames(self, office):
        grants = await asyncio.gather(
            *(office.registers("Info", email=f"info@{n}.example") for n in range(10))
        )
        assert len({grant.requester.user_id for grant in grants}) == 10

    async def test_a_user_whom_rooms_know_already_is_not_taken_over(self, office):
        async with office.database.transaction() as db:
            await users.ensure(db, [UserID("@alice:example.org")])
        assert (await office.registers("Alice")).requester.user_id == "@alice2:example.org"
        with pytest.raises(Conflict):
            await office.registers("Alice", email="a@example.org", username="alice")

    @pytest.mark.parametrize(
        "email", ["ALICE@example.org", " alice@EXAMPLE.org", "ａlice@example.org"]
    )
    async def test_an_address_has_one_account_in_every_spelling(self, office, email):
        await office.registers("Alice")
        with pytest.raises(Conflict, match="e-mail"):
            await office.registers("Other", email=email)

    async def test_a_username_is_taken_once(self, office):
        await office.registers("Alice", username="alice")
        with pytest.raises(Conflict, match="username"):
            await office.registers("Other", username="ALICE")

    async def test_what_failed_leaves_nothing_behind(self, office):
        await office.registers("Alice")
        with pytest.raises(Conflict):
            await office.registers("Bob", email="alice@example.org", username="bob")
        assert (
            await office.registers("Bob", username="bob")
        ).requester.user_id == "@bob:example.org"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("email", "alice"),
            ("email", "alice@"),
            ("email", "@example.org"),
            ("email", "a b@example.org"),
            ("email", "a@b@example.org"),
            ("email", "alice@exa mple.org"),
            ("email", "alice@-example.org"),
            ("email", "alice@example..org"),
            ("email", "alice\n@example.org"),
            ("email", "a" * 65 + "@example.org"),
            ("email", "a@" + "b" * 254),
            ("name", " "),
            ("name", "A" * 256),
            ("name", "Al\x00ice"),
            ("name", "Al\nice"),
            ("name", "Al\ud800ice"),
            ("name", "\u202eecilA"),
            ("username", "alice smith"),
            ("username", "alice:example"),
            ("username", ""),
            ("username", "ä"),
            ("username", "a" * 250),
            ("password", "short"),
            ("password", "x" * 1025),
            ("password", "é" * 600),
        ],
    )
    async def test_what_cannot_be_is_refused_by_field(self, office, field, value):
        fields = {"email": "alice@example.org", "name": "Alice", "password": PASSWORD}
        registrant = Registrant(**(fields | {field: value}))
        with pytest.raises(InvalidInput) as refused:
            await office.accounts.registration.register(registrant, None, PHONE)
        assert refused.value.field == field

    async def test_names_are_trimmed_and_may_be_anything_else(self, office):
        alice = await office.registers(" Алиса 👩‍💻 [bold] ", email="alice@example.org")
        me = await office.accounts.users.me(alice.requester)
        assert me.name == "Алиса 👩‍💻 [bold]"


class TestInvitationCodes:
    async def test_a_closed_server_says_whom_to_ask(self, closed_office):
        with pytest.raises(NotAllowed, match="administrator"):
            await closed_office.registers("Alice")

    async def test_the_first_code_makes_an_administrator_once(self, closed_office):
        code = await closed_office.accounts.registration.first_admin_code()
        root = await closed_office.registers("Root", code=code)
        assert root.requester.is_admin
        with pytest.raises(NotAllowed, match="code"):
            await closed_office.registers("Alice", code=code)

    async def test_the_code_of_the_start_before_is_void(self, closed_office):
        old = await closed_office.accounts.registration.first_admin_code()
        await closed_office.accounts.registration.first_admin_code()
        with pytest.raises(NotAllowed):
            await closed_office.registers("Root", code=old)

    async def test_there_is_no_first_code_once_there_is_an_administrator(self, closed_office):
        unused = await closed_office.accounts.registration.first_admin_code()
        registrant = Registrant(email="root@example.org", name="Root", password=PASSWORD)
        await closed_office.accounts.admin.add(Operator(), registrant, is_admin=True)
        assert await closed_office.accounts.registration.first_admin_code() is None
        with pytest.raises(NotAllowed):
            await closed_office.registers("Alice", code=unused)

    async def test_an_invitation_works_as_often_as_it_says(self, invite_office):
        root = await invite_office.makes_admin()
        invitation = await invite_office.accounts.registration.create_invitation(root, uses=2)
        await invite_office.registers("Alice", code=invitation.code)
        bob = await invite_office.registers("Bob", code=invitation.code)
        assert not bob.requester.is_admin
        with pytest.raises(NotAllowed, match="code"):
            await invite_office.registers("Carol", code=invitation.code)

    async def test_of_many_at_once_only_so_many_get_in(self, invite_office):
        root = await invite_office.makes_admin()
        invitation = await invite_office.accounts.registration.create_invitation(root, uses=3)
        names = [f"Person{n}" for n in range(8)]
        outcomes = await asyncio.gather(
            *(invite_office.registers(name, code=invitation.code) for name in names),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, Grant) for outcome in outcomes) == 3
        assert sum(isinstance(outcome, NotAllowed) for outcome in outcomes) == 5

    async def test_a_code_is_typed_as_people_type(self, invite_office):
        root = await invite_office.makes_admin()
        invitation = await invite_office.accounts.registration.create_invitation(root)
        typed = f" {invitation.code.upper().replace('-', ' ')} "
        assert await invite_office.registers("Alice", code=typed)

    async def test_a_failed_registration_does_not_use_the_code_up(self, invite_office):
        root = await invite_office.makes_admin()
        invitation = await invite_office.accounts.registration.create_invitation(root)
        with pytest.raises(Conflict):
            await invite_office.registers("Root", code=invitation.code)
        assert await invite_office.registers("Alice", code=invitation.code)

    async def test_a_code_expires(self, invite_office):
        root = await invite_office.makes_admin()
        registration = invite_office.accounts.registration
        invitation = await registration.create_invitation(root, ttl_s=60)
        invite_office.clock.ms += 60_000
        with pytest.raises(NotAllowed):
            await invite_office.registers("Alice", code=invitation.code)

    async def test_without_a_code_one_is_asked_for(self, invite_office):
        with pytest.raises(NotAllowed, match="invitation code"):
            await invite_office.registers("Alice")

    async def test_where_everybody_may_register_a_wrong_code_is_refused_still(self, office):
        with pytest.raises(NotAllowed):
            await office.registers("Alice", code="wrong")

    async def test_only_administrators_invite(self, office):
        alice = await office.registers("Alice")
        with pytest.raises(NotAllowed):
            await office.accounts.registration.create_invitation(alice.requester)

    async def test_codes_are_not_in_the_database(self, invite_office):
        root = await invite_office.makes_admin()
        code = (await invite_office.accounts.registration.create_invitation(root)).code
        assert code not in await everything_in(invite_office.database)

    async def test_unusable_codes_are_forgotten(self, invite_office):
        root = await invite_office.makes_admin()
        registration = invite_office.accounts.registration
        used = await registration.create_invitation(root)
        await invite_office.registers("Alice", code=used.code)
        await registration.create_invitation(root, ttl_s=60)
        await registration.create_invitation(root)
        invite_office.clock.ms += 60_000
        await registration.delete_unusable_codes()
        async with invite_office.database.connection() as db:
            assert await db.fetchval("SELECT count(*) FROM invitation_codes") == 1
