"""Encrypted rooms with matrix-js-sdk and its Rust crypto, as Element has it."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from e2e.client import attachments, identity_setup
from e2e.client.key_sharing import Audience
from e2e.client.trust import Trust
from e2e.client.verification.flow import State
from tests.e2e.js_user import JsUser
from tests.support.live_server import LiveServer
from tests.support.olm_session import (
    PASSWORD,
    OlmClient,
    olm_session,
    registered,
    unique,
)


@pytest.fixture
async def ours(server: LiveServer, tmp_path: Path) -> AsyncIterator[OlmClient]:
    account = await registered(server.url, unique("alice"))
    async with olm_session(tmp_path, account, Audience.CROSS_SIGNED) as client:
        yield client


@pytest.fixture
async def theirs(server: LiveServer) -> AsyncIterator[JsUser]:
    user = await JsUser.enters(server.url, unique("js"))
    yield user
    await user.closes()


async def test_messages_files_and_verification(ours: OlmClient, theirs: JsUser) -> None:
    """One play, as starting Node and its cryptography is most of what it takes."""
    await identity_setup.set_up(ours.session, password=PASSWORD)
    await theirs.asks("identity")
    room_id = await ours.creates("office", theirs.user_id)
    await theirs.asks("joins", room_id)
    await ours.sees_member(room_id, theirs.user_id)

    await ours.says(room_id, "hello js")
    assert (await theirs.asks("hears", room_id, "hello js"))["encrypted"]
    await theirs.asks("says", room_id, "hello yourself")
    said = await ours.hears("hello yourself")
    assert said.decrypted is not None
    assert said.decrypted.origin.trust is Trust.CROSS_SIGNED

    cipher, encryption = attachments.encrypt(b"from us", secrets.token_bytes)
    content = {"msgtype": "m.file", "body": "a.txt", "file": encryption.file("mxc://x/1")}
    await ours.session.send(room_id, "m.room.message", content)
    heard = await theirs.asks("hears", room_id, "a.txt")
    assert attachments.decrypt(cipher, heard["content"]["file"]) == b"from us"

    await verify(ours, theirs, room_id)
    assert await ours.session.step(lambda m: m.trust.is_verified(theirs.user_id))
    await theirs.asks("trusts", ours.user_id)


async def verify(ours: OlmClient, theirs: JsUser, room_id: str) -> None:
    """By short strings, with messages in the room."""
    await ours.session.step(lambda m: m.verification.request_in_room(room_id, theirs.user_id))
    await theirs.asks("accepts")
    ready = await ours.flow_with(theirs.user_id, State.READY)
    await ours.session.step(lambda m: m.verification.start_sas(ready))
    shown = asyncio.create_task(theirs.asks("shortStrings"))
    comparing = await ours.flow_with(theirs.user_id, State.COMPARING)
    strings = await ours.session.step(lambda m: m.verification.short_strings(comparing))
    their_strings = await shown
    assert tuple(their_strings["decimal"]) == strings.decimals
    assert [symbol for symbol, _ in their_strings["emoji"]] == [s for s, _ in strings.emoji]
    confirmed = asyncio.create_task(theirs.asks("confirms"))
    await ours.session.step(
        lambda m: m.verification.confirm(comparing, now_ms=ours.session.now_ms())
    )
    await ours.flow_with(theirs.user_id, State.DONE)
    await confirmed
