"""Encrypted rooms with matrix-nio.

Not its verification: nio 0.26 writes the commitment in hexadecimal where the specification has
Base64, so it verifies nobody but itself.
"""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import nio
import pytest

from e2e.client import attachments
from e2e.client.trust import Trust
from tests.e2e.nio_user import NioUser
from tests.support.live_server import LiveServer
from tests.support.olm_session import OlmClient, olm_session, registered, unique


@pytest.fixture
async def ours(server: LiveServer, tmp_path: Path) -> AsyncIterator[OlmClient]:
    account = await registered(server.url, unique("alice"))
    async with olm_session(tmp_path, account) as client:
        yield client


@pytest.fixture
async def theirs(server: LiveServer, tmp_path: Path) -> AsyncIterator[NioUser]:
    async with NioUser(server.url, unique("nio"), tmp_path / "nio") as user:
        yield user


async def meet(ours: OlmClient, theirs: NioUser) -> str:
    room_id = await ours.creates("office", theirs.user_id)
    await theirs.joins(room_id)
    await ours.sees_member(room_id, theirs.user_id)
    return room_id


class TestWithNio:
    async def test_messages_both_ways(self, ours, theirs):
        room_id = await meet(ours, theirs)
        await ours.says(room_id, "hello nio")
        heard = await theirs.hears("hello nio")
        assert heard.decrypted
        await theirs.says(room_id, {"msgtype": "m.text", "body": "hello yourself"})
        said = await ours.hears("hello yourself")
        assert said.decrypted.origin.device_id == theirs.device_id
        assert said.decrypted.origin.trust is Trust.UNSIGNED

    async def test_a_new_session_after_somebody_left(self, server, tmp_path, ours, theirs):
        room_id = await meet(ours, theirs)
        await ours.says(room_id, "before")
        before = await theirs.hears("before")
        other = await registered(server.url, unique("charlie"))
        async with olm_session(tmp_path, other) as charlie:
            await ours.invites(room_id, charlie.user_id)
            await charlie.joins(room_id)
            path = f"/_matrix/client/v3/rooms/{room_id}/leave"
            await charlie.session.server.call("POST", path, {})
        await ours.sees_member(room_id, charlie.user_id, "leave")
        await ours.says(room_id, "after")
        after = await theirs.hears("after")
        assert after.session_id != before.session_id

    async def test_files_both_ways(self, ours, theirs):
        room_id = await meet(ours, theirs)
        cipher, encryption = attachments.encrypt(b"from us", secrets.token_bytes)
        file = encryption.file("mxc://foyer.example/1")
        content = {"msgtype": "m.file", "body": "a.txt", "filename": "a.txt", "file": file}
        await ours.session.send(room_id, "m.room.message", content)
        heard = await theirs.hears("a.txt")
        assert isinstance(heard, nio.RoomEncryptedFile)
        plain = nio.crypto.decrypt_attachment(
            cipher, heard.key["k"], heard.hashes["sha256"], heard.iv
        )
        assert plain == b"from us"
        cipher, keys = nio.crypto.encrypt_attachment(b"from nio")
        theirs_file = {**keys, "url": "mxc://foyer.example/2"}
        await theirs.says(room_id, {"msgtype": "m.file", "body": "b.txt", "file": theirs_file})
        said = await ours.hears("b.txt")
        assert attachments.decrypt(cipher, said.event["content"]["file"]) == b"from nio"
