"""A new device gets what the account has: identity, backup and room keys that another library made.

matrix-nio has neither cross-signing nor backups; its room keys move in files. mautrix has
cross-signing and secret storage, but no backups.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from mautrix.types import TrustState
from nio.crypto import OlmDevice

from e2e.client import identity_setup, key_export
from e2e.client.key_sharing import Audience
from e2e.client.records import LocalTrust, Source
from e2e.client.trust import Trust
from tests.e2e.js_user import JsUser
from tests.e2e.mautrix_user import MautrixUser
from tests.e2e.nio_user import NioUser, done
from tests.e2e.our_user import OurUser
from tests.e2e.people import enters
from tests.support.live_server import LiveServer
from tests.support.olm_session import (
    PASSWORD,
    PATIENCE_S,
    logged_in,
    olm_session,
    registered,
    unique,
)

_ROUNDS = 10_000
"""nio derives keys in Python: as many as we take would last a minute."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def ours(server: LiveServer, directory: Path) -> AsyncIterator[OurUser]:
    entering = OurUser.enters(server.url, unique("ours"), directory, Audience.CROSS_SIGNED)
    async with entering as user:
        yield user


@asynccontextmanager
async def our_new_device(
    server: LiveServer, directory: Path, user_id: str
) -> AsyncIterator[OurUser]:
    account = await logged_in(server.url, user_id)
    async with olm_session(directory, account, Audience.CROSS_SIGNED) as client:
        yield OurUser(client)


async def own_trust(ours: OurUser, device_id: str) -> Trust:
    """How far another device of the same user is trusted."""
    return await ours.client.session.step(
        lambda m: m.trust.of_device(m.tracking.device(ours.user_id, device_id))
    )


async def test_ours_restores_what_js_sdk_backed_up(server, directory, theirs):
    recovery_key = await theirs.asks("setsUpRecovery")
    room_id = await theirs.creates("diary")
    await theirs.says(room_id, "before")
    await theirs.asks("backedUp", 1)
    async with our_new_device(server, directory, theirs.user_id) as ours:
        session = ours.client.session
        restored, damaged = await identity_setup.recover(session, recovery_key)
        assert (restored >= 1, damaged) == (True, 0)
        (said,) = [
            one
            for one in await session.history(room_id, 10)
            if one.event["content"].get("body") == "before"
        ]
        assert said.decrypted.origin.source is Source.BACKUP
        assert await own_trust(ours, theirs.device_id) is Trust.VERIFIED
        await theirs.asks("trustsDevice", ours.user_id, ours.device_id)
        await ours.says(room_id, "after")
        await theirs.hears(room_id, "after")


async def test_js_sdk_restores_what_ours_backed_up(server, ours):
    session = ours.client.session
    recovery_key = await identity_setup.set_up(session, password=PASSWORD)
    room_id = await ours.client.creates("diary")
    await ours.says(room_id, "before")
    await session.flush()
    async with JsUser.enters(server.url, ours.user_id, registers=False) as laptop:
        assert await laptop.asks("recovers", recovery_key) == 1
        await laptop.hears(room_id, "before")
        await laptop.asks("isSigned")
        await ours.sees_devices(ours.user_id, 2)
        await ours.says(room_id, "after")
        await laptop.hears(room_id, "after")
        assert await own_trust(ours, laptop.device_id) is Trust.VERIFIED


async def test_mautrix_takes_the_identity_that_ours_made(server, ours):
    session = ours.client.session
    recovery_key = await identity_setup.set_up(session, password=PASSWORD)
    room_id = await ours.client.creates("diary")
    async with MautrixUser.on(await logged_in(server.url, ours.user_id)) as bridge:
        await bridge.crypto.verify_with_recovery_key(recovery_key)
        await bridge.until(lambda: room_id in bridge.store.encryption)

        async def is_signed() -> bool:
            device = await session.step(lambda m: m.tracking.device(ours.user_id, bridge.device_id))
            return device is not None and device.cross_signed

        await ours.client.until(is_signed)
        await ours.says(room_id, "after")
        await bridge.hears(room_id, "after")
        device = await bridge.crypto.get_or_fetch_device(ours.user_id, ours.device_id)
        assert await bridge.crypto.resolve_trust(device) >= TrustState.CROSS_SIGNED_TOFU


async def test_mautrix_takes_the_identity_that_js_sdk_made(server, theirs):
    recovery_key = await theirs.asks("setsUpRecovery")
    async with MautrixUser.on(await logged_in(server.url, theirs.user_id)) as bridge:
        await bridge.crypto.verify_with_recovery_key(recovery_key)
        await theirs.asks("trustsDevice", bridge.user_id, bridge.device_id)


async def test_all_others_take_the_identity_that_mautrix_made(server, directory):
    async with MautrixUser.on(await registered(server.url, unique("mautrix"))) as bridge:
        recovery_key = await bridge.crypto.generate_recovery_key()
        async with our_new_device(server, directory, bridge.user_id) as ours:
            assert await identity_setup.recover(ours.client.session, recovery_key) == (0, 0)
            assert await own_trust(ours, bridge.device_id) is Trust.VERIFIED
            entering = JsUser.enters(server.url, bridge.user_id, registers=False)
            async with entering as laptop:
                assert await laptop.asks("recovers", recovery_key) == 0
                await laptop.asks("trustsDevice", bridge.user_id, ours.device_id)
                await ours.sees_devices(bridge.user_id, 3)
                assert await own_trust(ours, laptop.device_id) is Trust.VERIFIED
            again = await logged_in(server.url, bridge.user_id)
            async with MautrixUser.on(again) as other:
                await other.crypto.verify_with_recovery_key(recovery_key)
                await ours.sees_devices(bridge.user_id, 4)
                assert await own_trust(ours, other.device_id) is Trust.VERIFIED


async def test_ours_forwards_a_room_key_to_mautrix(server, ours):
    session = ours.client.session
    recovery_key = await identity_setup.set_up(session, password=PASSWORD)
    room_id = await ours.client.creates("diary")
    await ours.says(room_id, "before")
    heard = await ours.hears(room_id, "before")
    async with MautrixUser.on(await logged_in(server.url, ours.user_id)) as bridge:
        await bridge.crypto.verify_with_recovery_key(recovery_key)
        await ours.sees_devices(ours.user_id, 2)
        sender_key = await session.step(lambda m: m.device.curve25519)
        asking = asyncio.create_task(
            bridge.crypto.request_room_key(
                room_id,
                sender_key,
                heard.session,
                {ours.user_id: {ours.device_id: None}},
                timeout=PATIENCE_S,
            )
        )
        await ours.client.knows(asking.done)
        assert await asking
        assert await bridge.crypto_store.has_group_session(room_id, heard.session)


async def test_mautrix_forwards_a_room_key_to_ours(server, directory):
    """It looks at our signature once it has heard of it; until then it refuses, and is asked again
    by who reads.
    """
    async with MautrixUser.on(await registered(server.url, unique("mautrix"))) as bridge:
        recovery_key = await bridge.crypto.generate_recovery_key()
        room_id = str(
            await bridge.mautrix.create_room(
                initial_state=[
                    {
                        "type": "m.room.encryption",
                        "state_key": "",
                        "content": {"algorithm": "m.megolm.v1.aes-sha2"},
                    }
                ]
            )
        )
        await bridge.until(lambda: bridge.store.encryption.get(room_id))
        await bridge.says(room_id, "before")
        async with our_new_device(server, directory, bridge.user_id) as ours:
            await identity_setup.recover(ours.client.session, recovery_key)

            async def is_read() -> bool:
                return "before" in await texts(ours, room_id)

            await ours.client.until(is_read)


@asynccontextmanager
async def with_nio_on_one_account(
    server: LiveServer, directory: Path, ours: OurUser
) -> AsyncIterator[NioUser]:
    """A device of the same user, whose keys the user has compared by hand. nio looks at the other
    devices of its user when there is an encrypted room.
    """
    entering = NioUser.enters(server.url, ours.user_id, directory, registers=False)
    async with entering as bot:
        await ours.sees_devices(ours.user_id, 2)
        step = ours.client.session.step
        await step(lambda m: m.trust.mark_device(bot.user_id, bot.device_id, LocalTrust.VERIFIED))
        await bot.until(lambda: ours.device_id in devices_of(bot))
        bot.nio.verify_device(devices_of(bot)[ours.device_id])
        yield bot


def devices_of(bot: NioUser) -> dict[str, OlmDevice]:
    """The other devices of nio's user."""
    return {one.id: one for one in bot.nio.device_store.active_user_devices(bot.user_id)}


async def test_ours_forwards_a_room_key_to_nio(server, directory, ours):
    room_id = await ours.client.creates("diary")
    said = await ours.says(room_id, "before")
    async with with_nio_on_one_account(server, directory, ours) as bot:
        event = await bot.unread(room_id, said)
        done(await bot.nio.request_room_key(event))
        asked = bot.nio.olm.outgoing_key_requests
        forwarding = asyncio.create_task(bot.until(lambda: not asked))
        await ours.client.knows(forwarding.done)
        await forwarding
        assert bot.nio.decrypt_event(event).body == "before"


async def test_nio_forwards_a_room_key_to_ours(server, directory, ours):
    """Which has asked before nio's user trusted it."""
    room_id = await ours.client.creates("diary")
    async with with_nio_on_one_account(server, directory, ours) as bot:
        await ours.client.logs_out()
        said = await bot.says(room_id, "before")
        async with our_new_device(server, directory, ours.user_id) as laptop:
            await laptop.cannot_read(room_id, said)
            await laptop.client.session.step(
                lambda m: m.trust.mark_device(bot.user_id, bot.device_id, LocalTrust.VERIFIED)
            )
            await bot.until(lambda: laptop.device_id in devices_of(bot))
            bot.nio.verify_device(devices_of(bot)[laptop.device_id])
            await laptop.client.session.step(lambda m: m.ask_again_for_keys())
            hearing = asyncio.create_task(laptop.hears(room_id, "before"))
            await bot.until(hearing.done)
            heard = await hearing
            assert heard.sender == bot.user_id


async def test_room_keys_move_in_files_from_and_to_nio(server, directory, ours, tmp_path):
    async with enters("nio", server.url, unique("nio"), directory) as bot:
        room_id = await ours.client.creates("office", bot.user_id)
        await bot.joins(room_id)
        await bot.sees_member(room_id, ours.user_id)
        said = await bot.says(room_id, "from nio")
        path = tmp_path / "keys.txt"
        await bot.nio.export_keys(str(path), PASSWORD)
        async with our_new_device(server, directory, ours.user_id) as laptop:
            await laptop.cannot_read(room_id, said)
            session = laptop.client.session
            sessions = key_export.decrypt(path.read_text(), PASSWORD)
            assert await session.step(lambda m: m.import_room_keys(sessions)) == 1
            assert "from nio" in await texts(laptop, room_id)
            exported = await session.step(lambda m: m.export_room_keys([room_id]))
            path.write_text(key_export.encrypt(exported, PASSWORD, secrets.token_bytes, _ROUNDS))
            await bot.nio.import_keys(str(path), PASSWORD)


async def test_room_keys_move_in_files_to_and_from_js_sdk(ours, theirs):
    await identity_setup.set_up(ours.client.session, password=PASSWORD)
    room_id = await ours.client.creates("office", theirs.user_id)
    await ours.says(room_id, "from us")
    await theirs.joins(room_id)
    session = ours.client.session
    ours_exported = await session.step(lambda m: m.export_room_keys([room_id]))
    await theirs.asks("importsKeys", json.dumps(ours_exported))
    await theirs.hears(room_id, "from us")
    exported = json.loads(await theirs.asks("exportsKeys"))
    assert {one["session_id"] for one in ours_exported} <= {one["session_id"] for one in exported}


async def texts(ours: OurUser, room_id: str) -> list[str | None]:
    found = await ours.client.session.history(room_id, 20)
    return [one.event["content"].get("body") for one in found]
