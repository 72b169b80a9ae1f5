"""Encrypted rooms with mautrix, whose cryptography is python-olm's. It has no verification."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mautrix.crypto import attachments as mautrix_attachments

from e2e.client import attachments
from e2e.client.trust import Trust
from tests.e2e.mautrix_user import MautrixUser
from tests.support.live_server import LiveServer
from tests.support.olm_session import OlmClient, olm_session, registered, unique


@pytest.fixture
async def ours(server: LiveServer, tmp_path: Path) -> AsyncIterator[OlmClient]:
    account = await registered(server.url, unique("alice"))
    async with olm_session(tmp_path, account) as client:
        yield client


@pytest.fixture
async def theirs(server: LiveServer) -> AsyncIterator[MautrixUser]:
    async with MautrixUser(await registered(server.url, unique("mautrix"))) as user:
        yield user


async def meet(ours: OlmClient, theirs: MautrixUser) -> str:
    room_id = await ours.creates("office", theirs.user_id)
    await theirs.joins(room_id)
    await ours.sees_member(room_id, theirs.user_id)
    return room_id


class TestWithMautrix:
    async def test_messages_both_ways(self, ours, theirs):
        room_id = await meet(ours, theirs)
        await ours.says(room_id, "hello mautrix")
        heard = await theirs.hears("hello mautrix")
        assert heard["mautrix"]["was_encrypted"]
        await theirs.says(room_id, {"msgtype": "m.text", "body": "hello yourself"})
        said = await ours.hears("hello yourself")
        assert said.decrypted.origin.device_id == theirs.device_id
        assert said.decrypted.origin.trust is Trust.UNSIGNED

    async def test_files_both_ways(self, ours, theirs):
        room_id = await meet(ours, theirs)
        cipher, encryption = attachments.encrypt(b"from us", secrets.token_bytes)
        file = encryption.file("mxc://foyer.example/1")
        content = {"msgtype": "m.file", "body": "a.txt", "filename": "a.txt", "file": file}
        await ours.session.send(room_id, "m.room.message", content)
        heard = (await theirs.hears("a.txt")).content.file
        plain = mautrix_attachments.decrypt_attachment(
            cipher, heard.key.key, heard.hashes["sha256"], heard.iv
        )
        assert plain == b"from us"
        cipher, description = mautrix_attachments.encrypt_attachment(b"from mautrix")
        description.url = "mxc://foyer.example/2"
        their_content = {"msgtype": "m.file", "body": "b.txt", "file": description.serialize()}
        await theirs.says(room_id, their_content)
        said = await ours.hears("b.txt")
        assert attachments.decrypt(cipher, said.event["content"]["file"]) == b"from mautrix"

    async def test_a_device_that_logged_out_ends_the_session(self, server, tmp_path, ours, theirs):
        room_id = await meet(ours, theirs)
        await theirs.says(room_id, {"msgtype": "m.text", "body": "before"})
        before = await ours.hears("before")
        other = await registered(server.url, unique("charlie"))
        async with olm_session(tmp_path, other) as charlie:
            await ours.invites(room_id, charlie.user_id)
            await charlie.joins(room_id)
            await ours.sees_member(room_id, charlie.user_id)
            await ours.says(room_id, "for three")
            first = await charlie.hears("for three")
            await charlie.session.server.call("POST", "/_matrix/client/v3/logout", {})
        await ours.session.sync()
        await ours.says(room_id, "for two")
        second = await theirs.hears("for two")
        assert second.content.body == "for two"
        mine = await ours.hears("for two")
        assert mine.decrypted.session_id != first.decrypted.session_id
        assert before.decrypted.session_id != mine.decrypted.session_id
