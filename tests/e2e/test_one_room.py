"""Everybody with everybody in one encrypted room: `e2e.client`, matrix-js-sdk with its Rust crypto,
matrix-nio and mautrix, each as its users have it.
"""

import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from e2e.client.records import LocalTrust
from e2e.client.trust import Trust
from tests.e2e.nio_user import NioUser
from tests.e2e.our_user import OurUser
from tests.e2e.people import LIBRARIES, Person, enters, of_each_library
from tests.support.live_server import LiveServer
from tests.support.olm_session import logged_in, olm_session, unique

pytestmark = pytest.mark.asyncio(loop_scope="module")

People = dict[str, Person]

each_library = pytest.mark.parametrize("library", LIBRARIES)


async def meet(people: People, *more: Person, rotation: int | None = None) -> str:
    """An encrypted room with all of them, who know of each other."""
    founder = people["ours"]
    assert isinstance(founder, OurUser)
    everybody = [*people.values(), *more]
    others = [person for person in everybody if person is not founder]
    room_id = await founder.client.creates(
        "office", *(one.user_id for one in others), rotation_period_msgs=rotation
    )
    for one in others:
        await one.joins(room_id)
    await all_see(everybody, room_id, [one.user_id for one in everybody])
    return room_id


async def all_see(people: Iterable[Person], room_id: str, user_ids: list[str]) -> None:
    for one in people:
        for user_id in user_ids:
            await one.sees_member(room_id, user_id)


def others(people: People, library: str) -> list[Person]:
    return [person for name, person in people.items() if name != library]


async def says_to_all(people: People, library: str, room_id: str, *more: Person) -> str:
    """Says something that all others read. Returns the session that it was encrypted with."""
    text = f"{unique(library)} says"
    await people[library].says(room_id, text)
    sessions = set()
    for reader in (*others(people, library), *more):
        heard = await reader.hears(room_id, text)
        assert heard.sender == people[library].user_id
        sessions.add(heard.session)
    (session,) = sessions
    return session


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(people: People) -> str:
    return await meet(people)


class TestMessagesAndFiles:
    @each_library
    async def test_all_read_what_one_says(self, people, office, library):
        await says_to_all(people, library, office)

    @each_library
    async def test_all_read_the_file_that_one_sends(self, people, office, library):
        """Through the server's media repository; a block of AES more than fits."""
        name, data = f"{unique(library)}.bin", secrets.token_bytes(100_001)
        await people[library].sends_file(office, name, data)
        for reader in others(people, library):
            assert await reader.reads_file(office, name) == data

    @pytest.mark.parametrize("library", ["js", "nio", "mautrix"])
    async def test_a_device_that_nobody_signed_is_named_so(self, people, office, library):
        text = f"{unique(library)} says"
        await people[library].says(office, text)
        said = await people["ours"].client.hears(text)
        assert said.decrypted.origin.device_id == people[library].device_id
        assert said.decrypted.origin.trust is Trust.UNSIGNED


class TestWithheld:
    """ "Reporting that decryption keys are withheld": of the others only js knows of it."""

    async def test_js_hears_that_we_blocked_it(self, people):
        ours, js = people["ours"], people["js"]
        room_id = await meet({"ours": ours, "js": js})
        step = ours.client.session.step
        await says_to_all({"ours": ours, "js": js}, "ours", room_id)
        await step(lambda m: m.trust.mark_device(js.user_id, js.device_id, LocalTrust.BLOCKED))
        event_id = await ours.says(room_id, "not for js")
        await step(lambda m: m.trust.mark_device(js.user_id, js.device_id, LocalTrust.UNSET))
        why = await js.asks("cannotRead", room_id, event_id)
        assert why == "MEGOLM_KEY_WITHHELD"

    async def test_we_hear_that_js_trusts_verified_devices_only(self, people):
        ours, js = people["ours"], people["js"]
        room_id = await meet({"ours": ours, "js": js})
        await js.asks("sharesWithVerifiedOnly", True)
        event_id = await js.says(room_id, "not for ours")
        await js.asks("sharesWithVerifiedOnly", False)
        assert "m.unverified" in await ours.client.cannot_read(event_id)


class TestRotation:
    """ "m.megolm.v1.aes-sha2": when a session ends. Everybody reads the one before and the one
    after.
    """

    @each_library
    async def test_after_so_many_messages(self, people, library):
        room_id = await meet(people, rotation=2)
        first = await says_to_all(people, library, room_id)
        if isinstance(people[library], NioUser):
            # It does not look at the room's setting, but has one of its own.
            sessions = people[library].nio.olm.outbound_group_sessions
            sessions[room_id].max_messages = 2
        assert await says_to_all(people, library, room_id) == first
        assert await says_to_all(people, library, room_id) != first

    async def test_after_a_member_left(self, server, directory, people):
        async with enters("ours", server.url, unique("leaver"), directory) as leaver:
            room_id = await meet(people, leaver)
            before = {one: await says_to_all(people, one, room_id, leaver) for one in LIBRARIES}
            await leaver.client.leaves(room_id)
            for one in people.values():
                await one.sees_member(room_id, leaver.user_id, "leave")
            for library in LIBRARIES:
                assert await says_to_all(people, library, room_id) != before[library]

    async def test_after_a_device_logged_out(self, server, directory, people):
        async with AsyncExitStack() as stack:
            phone = await stack.enter_async_context(
                enters("ours", server.url, unique("guest"), directory)
            )
            again = await logged_in(server.url, phone.user_id)
            laptop = OurUser(await stack.enter_async_context(olm_session(directory, again)))
            room_id = await meet(people, phone)
            await laptop.client.enters(room_id)
            for one in people.values():
                await one.sees_devices(phone.user_id, 2)
            guests = (phone, laptop)
            before = {one: await says_to_all(people, one, room_id, *guests) for one in LIBRARIES}
            await laptop.client.logs_out()
            for one in people.values():
                await one.sees_devices(phone.user_id, 1)
            for library in LIBRARIES:
                assert await says_to_all(people, library, room_id, phone) != before[library]


class TestLateJoiner:
    """ "m.megolm.v1.aes-sha2": keys are shared from the message on that comes next."""

    @pytest_asyncio.fixture(scope="class", loop_scope="module")
    async def late(self, server: LiveServer, directory, people) -> AsyncIterator[People]:
        """One more with each library, who joins a room in which all have said something."""
        self.__class__.room_id = room_id = await meet(people)
        self.__class__.before = before = {}
        async with of_each_library(server.url, directory) as late:
            for library, newcomer in late.items():
                before[library] = [
                    await person.says(room_id, f"{name}, before {library}")
                    for name, person in people.items()
                ]
                await people["ours"].client.invites(room_id, newcomer.user_id)
                await newcomer.joins(room_id)
            await all_see(people.values(), room_id, [one.user_id for one in late.values()])
            yield late

    @each_library
    async def test_reads_what_comes(self, people, late, library):
        """From each: so also two with the same library read each other."""
        for name in LIBRARIES:
            await says_to_all(people, name, self.room_id, late[library])

    @each_library
    async def test_does_not_read_what_was(self, late, library):
        for event_id in self.before[library]:
            await late[library].cannot_read(self.room_id, event_id)

    @each_library
    async def test_is_read(self, people, late, library):
        """And their file."""
        newcomer = late[library]
        for user_id in [one.user_id for one in people.values()]:
            await newcomer.sees_member(self.room_id, user_id)
        text, data = f"{unique(library)} is new", secrets.token_bytes(1_000)
        await newcomer.says(self.room_id, text)
        await newcomer.sends_file(self.room_id, f"{text}.bin", data)
        for reader in people.values():
            await reader.hears(self.room_id, text)
            assert await reader.reads_file(self.room_id, f"{text}.bin") == data
