"""Verifications between clients that others wrote, and ours.

mautrix has none; how its users trust each other is in `test_recovery.py`. matrix-nio 0.26 verifies
itself and us; with clients that know the specification only, it would have to be mended as
`mended_nio` does.
"""

import asyncio
import hashlib
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import nio
import pytest
import pytest_asyncio
from nio.crypto import sas as nio_sas

from e2e.client import identity_setup
from e2e.client.key_sharing import Audience
from e2e.client.notices import SecretArrived
from e2e.client.trust import Trust
from e2e.client.verification.dialects import MAC
from e2e.client.verification.flow import Flow, State
from homeserver.events import base64
from tests.e2e.js_user import JsUser
from tests.e2e.nio_user import NioFlow, NioUser, done
from tests.e2e.our_user import OurUser
from tests.support.live_server import LiveServer
from tests.support.olm_session import PASSWORD, logged_in, olm_session, unique

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def ours(server: LiveServer, directory: Path) -> AsyncIterator[OurUser]:
    """With an identity, and nobody verified."""
    entering = OurUser.enters(server.url, unique("ours"), directory, Audience.CROSS_SIGNED)
    async with entering as user:
        await identity_setup.set_up(user.client.session, password=PASSWORD)
        yield user


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bot(server: LiveServer, directory: Path) -> AsyncIterator[NioUser]:
    async with NioUser.enters(server.url, unique("nio"), directory) as user:
        yield user


async def meet(ours: OurUser, *others: Any) -> str:
    room_id = await ours.client.creates("office", *(one.user_id for one in others))
    for one in others:
        await one.joins(room_id)
        await ours.sees_member(room_id, one.user_id)
        await one.sees_member(room_id, ours.user_id)
    return room_id


async def has_verified(ours: OurUser, user_id: str) -> bool:
    return await ours.client.session.step(lambda m: m.trust.is_verified(user_id))


async def trust_in(ours: OurUser, other: Any) -> Trust:
    return await ours.client.session.step(
        lambda m: m.trust.of_device(m.tracking.device(other.user_id, other.device_id))
    )


async def confirm(ours: OurUser, flow: Flow) -> None:
    session = ours.client.session
    await session.step(lambda m: m.verification.confirm(flow, now_ms=session.now_ms()))


class TestWithJsSdk:
    """In a room, as Element does it with other users."""

    @pytest.mark.parametrize("we_start", [True, False])
    async def test_short_strings(self, ours, theirs, we_start):
        room_id = await meet(ours, theirs)
        ready = await self.ready(ours, theirs, room_id, we_ask=we_start)
        if we_start:
            await ours.client.session.step(lambda m: m.verification.start_sas(ready))
        else:
            await theirs.asks("startsSas")
        await self.compare(ours, theirs)
        assert await has_verified(ours, theirs.user_id)
        await theirs.asks("trusts", ours.user_id)

    async def test_they_scan_our_code(self, ours, theirs):
        room_id = await meet(ours, theirs)
        ready = await self.ready(ours, theirs, room_id, we_ask=True)
        code = await ours.client.session.step(lambda m: m.verification.show_qr(ready))
        scanning = asyncio.create_task(theirs.asks("scansQr", b64encode(code).decode()))
        await confirm(ours, await ours.client.flow_with(theirs.user_id, State.STARTED))
        await scanning
        assert await has_verified(ours, theirs.user_id)
        await theirs.asks("trusts", ours.user_id)

    async def test_we_scan_their_code(self, ours, theirs):
        room_id = await meet(ours, theirs)
        ready = await self.ready(ours, theirs, room_id, we_ask=False)
        code = b64decode(await theirs.asks("showsQr"))
        session = ours.client.session
        await session.step(lambda m: m.verification.scan_qr(ready, code))
        confirming = asyncio.create_task(theirs.asks("confirmsScan"))
        await ours.client.flow_with(theirs.user_id, State.DONE)
        await confirming
        assert await has_verified(ours, theirs.user_id)
        await theirs.asks("trusts", ours.user_id)

    async def test_their_device_verifies_our_new_one_of_the_same_account(
        self, server, directory, theirs
    ):
        """Which gets the secrets from it, and is signed."""
        account = await logged_in(server.url, theirs.user_id)
        async with olm_session(directory, account) as client:
            ours = OurUser(client)
            await client.session.step(lambda m: m.track([theirs.user_id]))
            await theirs.asks("setsUpRecovery")
            await theirs.asks("asksDevice", ours.user_id, ours.device_id)
            asked = await client.flow_with(theirs.user_id, State.REQUESTED)
            await client.session.step(lambda m: m.verification.accept(asked))
            await theirs.asks("startsSas")
            await self.compare(ours, theirs)
            await theirs.asks("trustsDevice", ours.user_id, ours.device_id)
            await client.knows(lambda: self.has_secrets(client.heard))
            assert await has_verified(ours, theirs.user_id)
            assert await trust_in(ours, theirs) is Trust.VERIFIED

    async def test_our_device_verifies_their_new_one_of_the_same_account(self, server, ours):
        """Which gets the secrets from it, and is signed."""
        session = ours.client.session
        async with JsUser.enters(server.url, ours.user_id, registers=False) as laptop:
            await laptop.asks("asksOwnDevices")
            asked = await ours.client.flow_with(ours.user_id, State.REQUESTED)
            ready = await session.step(lambda m: m.verification.accept(asked))
            await session.step(lambda m: m.verification.start_sas(ready))
            await self.compare(ours, laptop)
            waiting = asyncio.create_task(laptop.asks("hasSecrets"))
            await ours.client.knows(waiting.done)
            await waiting
            await laptop.asks("isSigned")
            assert await trust_in(ours, laptop) is Trust.VERIFIED

    def has_secrets(self, heard: list[Any]) -> bool:
        arrived = {one.name for one in heard if isinstance(one, SecretArrived)}
        return arrived >= {
            "m.cross_signing.master",
            "m.cross_signing.self_signing",
            "m.cross_signing.user_signing",
            "m.megolm_backup.v1",
        }

    async def ready(self, ours: OurUser, theirs: JsUser, room_id: str, *, we_ask: bool) -> Flow:
        session = ours.client.session
        await session.step(lambda m: m.track([theirs.user_id]))
        if we_ask:
            await session.step(lambda m: m.verification.request_in_room(room_id, theirs.user_id))
            await theirs.asks("accepts")
            return await ours.client.flow_with(theirs.user_id, State.READY)
        await theirs.asks("asks", room_id, ours.user_id)
        asked = await ours.client.flow_with(theirs.user_id, State.REQUESTED)
        return await session.step(lambda m: m.verification.accept(asked))

    async def compare(self, ours: OurUser, theirs: JsUser) -> None:
        session = ours.client.session
        shown = asyncio.create_task(theirs.asks("shortStrings"))
        comparing = await ours.client.flow_with(theirs.user_id, State.COMPARING)
        strings = await session.step(lambda m: m.verification.short_strings(comparing))
        their_strings = await shown
        assert tuple(their_strings["decimal"]) == strings.decimals
        assert [symbol for symbol, _ in their_strings["emoji"]] == [s for s, _ in strings.emoji]
        confirmed = asyncio.create_task(theirs.asks("confirms"))
        await confirm(ours, comparing)
        await ours.client.flow_with(theirs.user_id, State.DONE)
        await confirmed


class TestWithNio:
    """nio 0.26 as it is: it starts between devices, without a request."""

    @pytest.mark.parametrize("we_start", [True, False])
    async def test_numbers(self, ours, bot, we_start):
        await meet(ours, bot)
        await bot.sees_devices(ours.user_id, 1)
        session, theirs = ours.client.session, NioFlow(bot)
        await session.step(lambda m: m.track([bot.user_id]))
        if we_start:
            flow = await session.step(
                lambda m: m.verification.start_at_once(
                    bot.user_id, bot.device_id, now_ms=session.now_ms()
                )
            )
            await theirs.accepts(flow.flow_id)
        else:
            await theirs.starts(ours.user_id, ours.device_id)
        shown = asyncio.create_task(theirs.decimals())
        comparing = await ours.client.flow_with(bot.user_id, State.COMPARING)
        strings = await session.step(lambda m: m.verification.short_strings(comparing))
        assert strings.decimals == await shown
        await confirm(ours, comparing)
        await theirs.confirms()
        await ours.client.flow_with(bot.user_id, State.DONE)
        assert await trust_in(ours, bot) is Trust.VERIFIED
        assert bot.nio.device_store[ours.user_id][ours.device_id].verified

    async def test_it_verifies_itself(self, server, directory, ours, bot):
        async with NioUser.enters(server.url, unique("nio"), directory) as other:
            await meet(ours, bot, other)
            await bot.sees_devices(other.user_id, 1)
            await other.sees_devices(bot.user_id, 1)
            one, two = NioFlow(bot), NioFlow(other)
            await one.starts(other.user_id, other.device_id)
            await other.until(lambda: other.nio.key_verifications)
            await two.accepts([*other.nio.key_verifications][-1])
            # Neither syncs by itself, and each waits for the other.
            shown, their_shown = await asyncio.gather(one.decimals(), two.decimals())
            assert shown == their_shown
            await asyncio.gather(one.confirms(), two.confirms())
            assert bot.nio.device_store[other.user_id][other.device_id].verified
            assert other.nio.device_store[bot.user_id][bot.device_id].verified


class _InBase64:
    """SHA-256 whose hexadecimal form is unpadded Base64."""

    def __init__(self, data: bytes) -> None:
        self._digest = hashlib.sha256(data).digest()

    def hexdigest(self) -> str:
        return base64.encode(self._digest)


@pytest.fixture
def mended_nio(monkeypatch) -> None:
    """nio 0.26 with the commitment of the specification, and the name of the MACs that it
    computes.
    """
    monkeypatch.setattr(nio_sas, "sha256", _InBase64)
    monkeypatch.setattr(nio_sas.Sas, "_mac_normal", MAC)
    monkeypatch.setattr(nio_sas.Sas, "_mac_v1", [MAC])


class TestJsSdkWithNio:
    @pytest.mark.usefixtures("mended_nio")
    async def test_numbers_with_a_mended_nio(self, ours, theirs, bot):
        """The test says for it that it is ready and done, which nio does not know."""
        await meet(ours, theirs, bot)
        devices = bot.nio.device_store.active_user_devices
        await bot.until(lambda: theirs.device_id in [one.id for one in devices(theirs.user_id)])
        await theirs.asks("asksDevice", bot.user_id, bot.device_id)
        flow_id = await self.becomes_ready(bot, theirs)
        await theirs.asks("startsSas")
        side = NioFlow(bot)
        await side.accepts(flow_id)
        shown = asyncio.create_task(theirs.asks("shortStrings"))
        numbers = await side.decimals()
        assert tuple((await shown)["decimal"]) == numbers
        confirmed = asyncio.create_task(theirs.asks("confirms"))
        await side.confirms()
        await self.sends(bot, theirs, "done", {"transaction_id": flow_id})
        await confirmed
        await theirs.asks("trustsDevice", bot.user_id, bot.device_id)
        assert bot.nio.device_store[theirs.user_id][theirs.device_id].verified

    async def becomes_ready(self, bot: NioUser, theirs: JsUser) -> str:
        def requests() -> list[Any]:
            unknown = [one for one in bot.told if isinstance(one, nio.UnknownToDeviceEvent)]
            return [one for one in unknown if one.type == "m.key.verification.request"]

        await bot.until(requests)
        flow_id = str(requests()[-1].source["content"]["transaction_id"])
        content = {
            "from_device": bot.device_id,
            "methods": ["m.sas.v1"],
            "transaction_id": flow_id,
        }
        await self.sends(bot, theirs, "ready", content)
        return flow_id

    async def sends(self, bot: NioUser, to: JsUser, step: str, content: dict[str, Any]) -> None:
        event_type = f"m.key.verification.{step}"
        message = nio.ToDeviceMessage(event_type, to.user_id, to.device_id, content)
        done(await bot.nio.to_device(message))


class TestJsSdkWithItself:
    async def test_short_strings(self, server, ours, theirs):
        async with AsyncExitStack() as stack:
            other = await stack.enter_async_context(JsUser.enters(server.url, unique("js")))
            await other.asks("identity")
            room_id = await meet(ours, theirs, other)
            await theirs.sees_member(room_id, other.user_id)
            await theirs.asks("asks", room_id, other.user_id)
            await other.asks("accepts")
            await theirs.asks("startsSas")
            sides = (theirs, other)
            shown = await asyncio.gather(*(side.asks("shortStrings") for side in sides))
            assert shown[0] == shown[1]
            await asyncio.gather(*(side.asks("confirms") for side in sides))
            await theirs.asks("trusts", other.user_id)
            await other.asks("trusts", theirs.user_id)
