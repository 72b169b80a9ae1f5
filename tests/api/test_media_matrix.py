"""Uploads and downloads. Source: content-repo.yaml, authed-content-repo.yaml, v1.19."""

import hashlib
from collections.abc import AsyncIterator

import pytest

from homeserver.storage.database import Database
from tests.support.media import MediaServer, media_server

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 5


@pytest.fixture
async def server(database: Database, tmp_path) -> AsyncIterator[MediaServer]:
    async with media_server(database, tmp_path) as running:
        yield running


@pytest.fixture
async def alice(server):
    return await server.registers("alice")


class TestUploadContent:
    """uploadContent, getContentAuthed."""

    async def test_what_was_uploaded_can_be_downloaded(self, server, alice):
        uri = await alice.uploads(PNG, "image/png", filename="cat.png")
        assert uri.startswith("mxc://example.org/")
        got = await alice.downloads(uri)
        assert (got.status, got.body) == (200, PNG)
        assert got.headers["Content-Type"] == "image/png"
        assert got.headers["Content-Length"] == str(len(PNG))
        assert got.headers["Content-Disposition"] == "inline; filename=cat.png"

    async def test_a_file_is_kept_once_whoever_uploads_it(self, server, alice):
        bob = await server.registers("bob")
        uris = {await each.uploads(PNG, "image/png") for each in (alice, bob, alice)}
        assert len(uris) == 3
        digest = hashlib.sha256(PNG).hexdigest()
        where = server.folder / "files" / digest[:2] / digest
        assert server.files() == [where]
        for uri in uris:
            assert (await bob.downloads(uri)).body == PNG

    async def test_nobody_uploads_without_a_token(self, server):
        got = await server.nobody.tries_to_upload(b"x")
        assert (got.status, got.errcode) == (401, "M_MISSING_TOKEN")

    async def test_an_empty_file_is_a_file(self, alice):
        uri = await alice.uploads(b"", "text/plain")
        got = await alice.downloads(uri)
        assert (got.status, got.body, got.headers["Content-Length"]) == (200, b"", "0")
