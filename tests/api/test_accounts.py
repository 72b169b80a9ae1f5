"""Accounts: log-in, passwords, administration."""

import pytest

from homeserver.actions.accounts_admin import Operator
from homeserver.actions.registration import Registrant
from homeserver.actions.tokens import Client
from homeserver.errors import Conflict, InvalidInput, NotAllowed, NotAuthenticated
from homeserver.identifiers import native_uuid
from homeserver.storage.database import Database
from tests.support.office import CHEAP, DAY_MS, PASSWORD, PHONE, Office, everything_in


@pytest.fixture
def office(database) -> Office:
    return Office(database, CHEAP)


class TestLogin:
    @pytest.mark.parametrize(
        "identifier",
        ["alice@example.org", "ALICE@Example.Org", "alice", " Alice ", "@alice:example.org"],
    )
    async def test_every_way_to_say_who_one_is(self, office, identifier):
        alice = await office.registers("Alice")
        again = await office.logs_in(identifier)
        assert again.requester.user_nid == alice.requester.user_nid
        assert again.requester.session_nid != alice.requester.session_nid

    async def test_all_refusals_are_alike(self, office):
        await office.registers("Alice")
        bob = await office.registers("Bob")
        await office.accounts.admin.deactivate(Operator(), bob.requester.user_uuid)
        sentences = set()
        for identifier, password in [
            ("alice@example.org", "wrong password"),
            ("alice@example.org", ""),
            ("alice@example.org", "x" * 5000),
            ("bob@example.org", PASSWORD),
            ("nobody@example.org", PASSWORD),
            ("nobody", PASSWORD),
            ("@alice:elsewhere.org", PASSWORD),
            ("", PASSWORD),
            ("nobody\x00", PASSWORD),
            ("no\ud800body@example.org", PASSWORD),
        ]:
            with pytest.raises(NotAuthenticated) as refused:
                await office.logs_in(identifier, password)
            sentences.add(str(refused.value))
        assert len(sentences) == 1

    async def test_an_unknown_account_costs_the_same_work(self, office, monkeypatch):
        await office.registers("Alice")
        bob = await office.registers("Bob")
        await office.accounts.admin.deactivate(Operator(), bob.requester.user_uuid)
        passwords = office.accounts.passwords
        verify, verified = passwords._verify, []
        monkeypatch.setattr(
            passwords, "_verify", lambda *given: verified.append(given) or verify(*given)
        )
        for identifier in ("alice", "bob", "nobody"):
            with pytest.raises(NotAuthenticated):
                await office.logs_in(identifier, "wrong password")
        assert len(verified) == 3

    async def test_a_password_can_be_spelt_decomposed(self, office):
        await office.registers("Alice", password="caf\u00e9 au lait")
        assert await office.logs_in("alice", "cafe\u0301 au lait")

    async def test_subject_is_one_for_all_spellings_of_a_user(self, office):
        subject = office.accounts.login.subject
        assert subject("alice") == subject("@Alice:example.org ") == "@alice:example.org"
        assert subject("ALICE@example.org") == "alice@example.org"

    async def test_a_hash_with_other_parameters_is_renewed(self, office):
        await office.registers("Alice")
        stronger = office.build(CHEAP.model_copy(update={"argon2_time_cost": 2}))
        old = await password_hash_of(office.database, "alice@example.org")
        await stronger.login.login("alice", PASSWORD, PHONE)
        new = await password_hash_of(office.database, "alice@example.org")
        assert "t=1" in old
        assert "t=2" in new
        assert await office.logs_in("alice")

    async def test_what_a_client_says_of_itself_is_made_printable(self, office):
        await office.registers("Alice")
        client = Client(name="Pho\x00ne\n", address="fe80::1%eth0", user_agent="x" * 5000)
        alice = await office.accounts.login.login("alice", PASSWORD, client)
        session = (await office.accounts.sessions.list(alice.requester))[0]
        assert session.name == "Pho ne"
        assert session.last_seen_ip == "fe80::1"
        assert len(session.user_agent) == 255

    async def test_secrets_are_not_in_the_database(self, office):
        alice = await office.registers("Alice")
        contents = await everything_in(office.database)
        assert PASSWORD not in contents
        assert alice.refresh_token not in contents
        assert alice.access_token not in contents


class TestPasswords:
    async def test_changing_it_ends_the_other_sessions(self, office):
        alice = await office.registers("Alice")
        laptop = await office.logs_in("alice")
        await office.accounts.login.change_password(laptop.requester, PASSWORD, "another one")
        assert await office.is_welcome(laptop)
        assert not await office.is_welcome(alice)
        assert await office.logs_in("alice", "another one")
        with pytest.raises(NotAuthenticated):
            await office.logs_in("alice")

    async def test_changing_it_needs_the_current_one(self, office):
        alice = await office.registers("Alice")
        with pytest.raises(NotAllowed):
            await office.accounts.login.change_password(alice.requester, "wrong one", "another one")
        assert await office.logs_in("alice")

    async def test_a_new_one_that_is_too_short_changes_nothing(self, office):
        alice = await office.registers("Alice")
        with pytest.raises(InvalidInput) as refused:
            await office.accounts.login.change_password(alice.requester, PASSWORD, "short")
        assert refused.value.field == "new_password"
        assert await office.logs_in("alice")

    async def test_a_login_that_began_before_the_change_does_not_count(self, office, monkeypatch):
        alice = await office.registers("Alice")
        tokens = office.accounts.tokens
        opened = tokens.open

        async def slow(account, client, **wishes):
            office.clock.ms += 1
            await office.accounts.login.change_password(alice.requester, PASSWORD, "another one")
            return await opened(account, client, **wishes)

        monkeypatch.setattr(tokens, "open", slow)
        with pytest.raises(NotAuthenticated):
            await office.logs_in("alice")


class TestAdministration:
    async def test_a_deactivated_account_is_out_at_once_and_for_good(self, office):
        root = await office.makes_admin()
        alice = await office.registers("Alice")
        assert await office.is_welcome(alice)
        await office.accounts.admin.deactivate(root, alice.requester.user_uuid)
        assert not await office.is_welcome(alice)
        with pytest.raises(NotAuthenticated):
            await office.logs_in("alice")
        with pytest.raises(Conflict):
            await office.registers("Alice")
        with pytest.raises(NotAllowed):
            await office.accounts.admin.set_password(root, alice.requester.user_uuid, PASSWORD)

    async def test_others_may_not(self, office):
        alice = await office.registers("Alice")
        bob = await office.registers("Bob")
        admin, by = office.accounts.admin, alice.requester
        for attempt in (
            admin.deactivate(by, bob.requester.user_uuid),
            admin.set_password(by, bob.requester.user_uuid, PASSWORD),
            admin.create_token(by, bob.requester.user_uuid, name="mine"),
            admin.find(by, "bob"),
            admin.page(by),
            admin.add(by, Registrant(email="c@example.org", name="C", password=PASSWORD)),
        ):
            with pytest.raises(NotAllowed):
                await attempt

    async def test_a_password_that_is_set_ends_all_sessions(self, office):
        alice = await office.registers("Alice")
        await office.accounts.admin.set_password(
            Operator(), alice.requester.user_uuid, "another one"
        )
        assert not await office.is_welcome(alice)
        assert await office.logs_in("alice", "another one")

    async def test_a_token_for_a_program_lives_as_long_as_it_is_told(self, office):
        alice = await office.registers("Alice")
        grant = await office.accounts.admin.create_token(
            Operator(), alice.requester.user_uuid, name="bot", lifetime_s=365 * 24 * 3600
        )
        office.clock.ms += 364 * DAY_MS
        await office.accounts.upkeep.once()
        assert await office.is_welcome(grant)

    async def test_an_account_without_password_cannot_be_logged_in_to(self, office):
        registrant = Registrant(email="bot@example.org", name="Bot", password=None)
        await office.accounts.admin.add(Operator(), registrant)
        for password in ("", "password"):
            with pytest.raises(NotAuthenticated):
                await office.logs_in("bot", password)

    async def test_accounts_are_listed_page_by_page(self, office):
        for name in ("Alice", "Bob", "Carol"):
            await office.registers(name)
        first = await office.accounts.admin.page(Operator(), limit=2)
        rest = await office.accounts.admin.page(Operator(), after=first[-1].user_nid)
        assert [account.name for account in (*first, *rest)] == ["Alice", "Bob", "Carol"]

    @pytest.mark.parametrize(
        "identifier",
        [
            "alice",
            "alice@example.org",
            "@alice:example.org",
            str(native_uuid("@alice:example.org")),
        ],
    )
    async def test_an_account_is_found_by_every_name(self, office, identifier):
        alice = await office.registers("Alice")
        found = await office.accounts.admin.find(Operator(), identifier)
        assert found.uuid == alice.requester.user_uuid


async def password_hash_of(database: Database, email: str) -> str:
    async with database.connection() as db:
        return await db.fetchval("SELECT password_hash FROM accounts WHERE email = $1", email)
