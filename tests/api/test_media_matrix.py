"""Uploads and downloads. Source: content-repo.yaml, authed-content-repo.yaml, v1.19."""

import asyncio
import hashlib
import resource
from collections.abc import AsyncIterator

import aiohttp
import pytest

from homeserver.storage.database import Database
from tests.support.media import DOWNLOAD, UPLOAD, MediaServer, media_server, place
from tests.support.queries import counted

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

    async def test_an_upload_costs_one_statement_and_its_first_download_none(self, alice, database):
        await alice.uploads(b"who she is, is known from now on")
        async with counted(database) as upload:
            uri = await alice.uploads(PNG)
        async with counted(database) as download:
            assert (await alice.downloads(uri)).body == PNG
        assert (len(upload), len(download)) == (1, 0)

    async def test_nobody_uploads_without_a_token(self, server):
        got = await server.nobody.tries_to_upload(b"x")
        assert (got.status, got.errcode) == (401, "M_MISSING_TOKEN")

    async def test_an_empty_file_is_a_file(self, alice):
        uri = await alice.uploads(b"", "text/plain")
        got = await alice.downloads(uri)
        assert (got.status, got.body, got.headers["Content-Length"]) == (200, b"", "0")

    async def test_the_name_may_be_given_with_the_download(self, alice):
        uri = await alice.uploads(PNG, "image/png", filename="cat.png")
        got = await alice.downloads(uri, "dog.png")
        assert got.headers["Content-Disposition"] == "inline; filename=dog.png"

    async def test_what_scripts_could_be_in_is_never_shown(self, alice):
        svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
        for kind in ("image/svg+xml", "text/html", "application/xhtml+xml"):
            got = await alice.downloads(await alice.uploads(svg, kind, filename="a.svg"))
            assert got.headers["Content-Disposition"].startswith("attachment")
            assert got.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
            assert got.headers["X-Content-Type-Options"] == "nosniff"
            assert got.headers["Cross-Origin-Resource-Policy"] == "cross-origin"

    async def test_a_body_in_pieces_needs_no_length(self, alice):
        async def pieces():
            for number in range(40):
                yield bytes([number]) * 70_000

        uri = await alice.uploads(pieces(), "application/x-thing")
        body = (await alice.downloads(uri)).body
        assert body == b"".join([each async for each in pieces()])

    async def test_bad_names_and_types_store_nothing_wrong(self, server, alice):
        got = await alice.tries_to_upload(b"x", filename="n" * 501)
        assert (got.status, got.errcode) == (400, "M_INVALID_PARAM")
        assert server.files() == []
        got = await alice.downloads(await alice.uploads(b"x", "no type"))
        assert got.headers["Content-Type"] == "application/octet-stream"

    @pytest.mark.parametrize(
        "where",
        [
            "example.org/nothing",
            "other.example/abc",
            "example.org/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
            "..%2f..%2f/etc",
            "example.org/%00",
            "example.org/a%2Fb",
            "not a server/abc",
            "example.org/" + "a" * 300,
        ],
    )
    async def test_what_is_not_there_is_not_found(self, alice, where):
        got = await alice.asks("GET", f"{DOWNLOAD}/{where}")
        assert (got.status, got.errcode) == (404, "M_NOT_FOUND")

    async def test_the_configuration_tells_the_limit(self, alice):
        for path in ("/_matrix/client/v1/media/config", "/_matrix/media/v3/config"):
            got = await alice.asks("GET", path)
            assert got.body == b'{"m.upload.size":52428800}'

    async def test_paths_that_are_none_are_unrecognized(self, alice):
        for path in ("/_matrix/media/v3/nothing", "/_matrix/client/v1/media/nothing"):
            got = await alice.asks("GET", path)
            assert (got.status, got.errcode) == (404, "M_UNRECOGNIZED")
        got = await alice.asks("GET", UPLOAD)
        assert (got.status, got.errcode) == (405, "M_UNRECOGNIZED")


class TestParts:
    """RFC 9110: ranges and conditions."""

    async def test_a_part_is_sent(self, alice):
        uri = await alice.uploads(PNG, "image/png")
        got = await alice.downloads(uri, headers={"Range": "bytes=3-7"})
        assert (got.status, got.body) == (206, PNG[3:8])
        assert got.headers["Content-Range"] == f"bytes 3-7/{len(PNG)}"
        assert got.headers["Content-Length"] == "5"

    async def test_a_part_behind_the_end_is_refused(self, alice):
        uri = await alice.uploads(PNG, "image/png")
        got = await alice.downloads(uri, headers={"Range": "bytes=99999-"})
        assert (got.status, got.headers["Content-Range"]) == (416, f"bytes */{len(PNG)}")

    async def test_what_the_client_has_is_not_sent_again(self, alice):
        uri = await alice.uploads(PNG, "image/png")
        first = await alice.downloads(uri)
        assert "immutable" in first.headers["Cache-Control"]
        for headers in (
            {"If-None-Match": first.headers["ETag"]},
            {"If-Modified-Since": first.headers["Last-Modified"]},
        ):
            got = await alice.downloads(uri, headers=headers)
            assert (got.status, got.body) == (304, b"")

    async def test_a_head_request_tells_the_size(self, alice):
        uri = await alice.uploads(PNG, "image/png")
        got = await alice.asks("HEAD", f"{DOWNLOAD}/{place(uri)}")
        assert (got.status, got.headers["Content-Length"], got.body) == (200, str(len(PNG)), b"")


class TestCreateContent:
    """createContent, uploadContentToMXC."""

    async def test_a_file_comes_to_an_address_that_was_made_before(self, alice):
        made = await alice.creates()
        assert made["unused_expires_at"] > 0
        assert (await alice.fills(made["content_uri"], b"hello")).status == 200
        got = await alice.downloads(made["content_uri"])
        assert (got.body, got.headers["Content-Type"]) == (b"hello", "text/plain")

    async def test_a_second_file_is_refused(self, alice):
        made = await alice.creates()
        await alice.fills(made["content_uri"], b"one")
        got = await alice.fills(made["content_uri"], b"two")
        assert (got.status, got.errcode) == (409, "M_CANNOT_OVERWRITE_MEDIA")
        assert (await alice.downloads(made["content_uri"])).body == b"one"

    async def test_of_two_files_at_once_one_wins(self, server, alice):
        uri = (await alice.creates())["content_uri"]
        both = await asyncio.gather(alice.fills(uri, b"one"), alice.fills(uri, b"two"))
        assert sorted(each.status for each in both) == [200, 409]
        assert len(server.files()) == 1

    async def test_only_who_made_the_address_fills_it(self, server, alice):
        bob = await server.registers("bob")
        got = await bob.fills((await alice.creates())["content_uri"], b"x")
        assert (got.status, got.errcode) == (403, "M_FORBIDDEN")

    async def test_an_address_that_nobody_made_is_not_found(self, alice):
        got = await alice.fills("mxc://example.org/nothing", b"x")
        assert (got.status, got.errcode) == (404, "M_NOT_FOUND")

    async def test_who_asks_too_early_is_told_so(self, alice):
        uri = (await alice.creates())["content_uri"]
        got = await alice.downloads(uri, timeout_ms=0)
        assert (got.status, got.errcode) == (504, "M_NOT_YET_UPLOADED")

    async def test_who_waits_gets_it_when_it_comes(self, alice):
        uri = (await alice.creates())["content_uri"]
        waiting = asyncio.ensure_future(alice.downloads(uri, timeout_ms=60_000))
        await asyncio.sleep(0)
        await alice.fills(uri, b"at last")
        assert (await waiting).body == b"at last"

    async def test_one_may_have_only_so_many(self, database, tmp_path):
        async with media_server(database, tmp_path, pending_uploads=2) as server:
            alice = await server.registers("alice")
            first = await alice.creates()
            await alice.creates()
            got = await alice.asks("POST", "/_matrix/media/v1/create", data=b"{}")
            assert (got.status, got.errcode) == (429, "M_LIMIT_EXCEEDED")
            await alice.fills(first["content_uri"], b"x")
            await alice.creates()


class TestLimits:
    """C-S API v1.19 "Security considerations" of the content repository."""

    async def test_a_file_that_is_too_large_is_refused(self, database, tmp_path):
        async def pieces():
            for _ in range(40):
                yield b"x" * 65_536

        async with media_server(database, tmp_path, max_attachment_size_mb=1) as server:
            alice = await server.registers("alice")
            for data in (b"x" * (2**20 + 1), pieces()):
                got = await alice.tries_to_upload(data)
                assert (got.status, got.errcode) == (413, "M_TOO_LARGE")
            assert server.files() == []
            await alice.uploads(b"x" * 2**20)

    @pytest.mark.parametrize("quota", ["quota_user_mb", "quota_day_mb"])
    async def test_a_quota_that_is_reached_is_forbidden(self, database, tmp_path, quota):
        async with media_server(database, tmp_path, **{quota: 1}) as server:
            alice, bob = await server.registers("alice"), await server.registers("bob")
            await alice.uploads(b"x" * 700_000)
            got = await alice.tries_to_upload(b"y" * 700_000)
            assert (got.status, got.errcode) == (403, "M_FORBIDDEN")
            await alice.uploads(b"y" * 300_000)
            await bob.uploads(b"z" * 700_000)
            assert len(server.files()) == 3


class TestUnauthenticated:
    """getContent: deprecated, and off unless it is switched on; the freeze of v1.12."""

    @pytest.mark.parametrize(
        ("settings", "status"),
        [
            ({}, 404),
            ({"unauthenticated": True}, 200),
            ({"unauthenticated": True, "unauthenticated_before": "2020-01-01"}, 404),
            ({"unauthenticated": True, "unauthenticated_before": "2999-01-01"}, 200),
        ],
    )
    async def test_the_old_endpoints(self, database, tmp_path, settings, status):
        async with media_server(database, tmp_path, **settings) as server:
            alice = await server.registers("alice")
            uri = await alice.uploads(PNG, "image/png", filename="a")
            for version in ("v3", "r0", "v1"):
                path = f"/_matrix/media/{version}/download/{place(uri)}"
                got = await server.nobody.asks("GET", path)
                assert got.status == status
                if status == 404:
                    assert got.errcode == "M_NOT_FOUND"


class TestFailures:
    """A clear error, and nothing is left."""

    async def test_an_upload_that_is_cut_off_leaves_nothing(self, server, alice):
        async def broken():
            yield b"x" * 2_000_000
            raise ConnectionAbortedError

        with pytest.raises(aiohttp.ClientError):
            await alice.tries_to_upload(broken())
        await alice.uploads(b"another")
        while len(server.files()) > 1:  # noqa: ASYNC110 - the server hears of it a moment later
            await asyncio.sleep(0.01)

    async def test_a_full_disk_is_told_and_leaves_nothing(self, server, alice):
        """The system refuses to make a file longer, in the middle of it."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_300_000, hard))
        try:
            got = await alice.tries_to_upload(b"x" * 3_000_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (got.status, got.errcode) == (503, "M_UNKNOWN")
        assert b"no space left" in got.body
        assert server.files() == []

    async def test_what_the_database_refuses_leaves_no_file(self, server, alice, database):
        async with database.connection() as db:
            await db.execute("ALTER TABLE media ADD CONSTRAINT no CHECK (size <> 5)")
        got = await alice.tries_to_upload(b"12345")
        assert got.status == 500
        assert server.files() == []
        await alice.uploads(b"123456")

    async def test_a_file_that_is_lost_is_not_found(self, server, alice):
        uri = await alice.uploads(PNG, "image/png")
        server.files()[0].unlink()
        got = await alice.downloads(uri)
        assert (got.status, got.errcode) == (404, "M_NOT_FOUND")
        again = await alice.uploads(PNG, "image/png")
        assert (await alice.downloads(again)).body == PNG
