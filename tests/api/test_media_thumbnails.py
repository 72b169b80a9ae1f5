"""Thumbnails. Source: authed-content-repo.yaml, content-repo.yaml, v1.19; "Thumbnails"."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest

from homeserver.config.models import ThumbnailsConfig
from homeserver.storage.database import Database
from mediarepo import thumbnails
from mediarepo.imaging.sizes import Target
from mediarepo.small_files import SmallFiles
from mediarepo.thumbnails import AT_UPLOAD
from tests.support import pictures
from tests.support.media import Got, MediaServer, MediaUser, media_server, place
from tests.support.pictures import colour_at, decoded
from tests.support.queries import counted

AUTHED = "/_matrix/client/v1/media/thumbnail/"
OLD = "/_matrix/media/v3/thumbnail/"
NO_PICTURES = [
    b"words",
    b"%PDF-1.7",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"",
    bytes(500),
    b"\x89PNG\r\n\x1a\nrubbish",
]
SENSELESS: list[tuple[Any, Any, dict[str, str]]] = [
    (0, 96, {}),
    (-1, 96, {}),
    ("x", 96, {}),
    (96, "1.5", {}),
    (96, 10**9, {}),
    (96, 96, {"method": "stretch"}),
    (96, 96, {"animated": "perhaps"}),
]
SMALL = ThumbnailsConfig(max_megapixels=2, max_file_mb=1)


@pytest.fixture
async def server(database: Database, tmp_path) -> AsyncIterator[MediaServer]:
    async with media_server(database, tmp_path, thumbnails=SMALL) as running:
        yield running


@pytest.fixture
async def alice(server) -> MediaUser:
    return await server.registers("alice")


async def thumbnail(
    by: MediaUser, uri: str, width: Any = 96, height: Any = 96, *, at: str = AUTHED, **query: Any
) -> Got:
    headers = query.pop("headers", None)
    given = urlencode({"width": width, "height": height, **query})
    return await by.asks("GET", f"{at}{place(uri)}?{given}", headers=headers)


class TestGetContentThumbnailAuthed:
    async def test_a_picture_is_made_smaller(self, alice):
        uri = await alice.uploads(pictures.jpeg(pictures.halves(1000, 500)), "image/jpeg")
        got = await thumbnail(alice, uri, 300, 200)
        shown = decoded(got.body)
        assert (got.status, shown.width, shown.height) == (200, 320, 160)
        assert (colour_at(shown, 5, 80), colour_at(shown, 315, 80)) == ("red", "blue")
        assert got.headers["Content-Type"] == "image/jpeg"
        assert got.headers["Content-Disposition"] == "inline; filename=thumbnail.jpeg"
        assert got.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in got.headers["Content-Security-Policy"]

    async def test_it_is_cut_where_that_is_asked_for(self, alice):
        uri = await alice.uploads(pictures.png(pictures.halves(1000, 500)))
        got = await thumbnail(alice, uri, 96, 96, method="crop")
        shown = decoded(got.body)
        assert (shown.width, shown.height) == (96, 96)

    async def test_what_the_file_was_called_when_it_came_does_not_count(self, alice):
        uri = await alice.uploads(pictures.png(pictures.plain(500, 500)), "text/html")
        got = await thumbnail(alice, uri)
        assert (got.status, got.headers["Content-Type"]) == (200, "image/jpeg")

    async def test_a_small_picture_is_answered_as_it_is(self, alice, server):
        original = pictures.png(pictures.plain(50, 50))
        uri = await alice.uploads(original, "application/octet-stream")
        for _ in range(2):
            got = await thumbnail(alice, uri)
            assert (got.body, got.headers["Content-Type"]) == (original, "image/png")
        assert len(server.files()) == 1

    async def test_it_moves_only_when_that_is_asked_for(self, alice):
        uri = await alice.uploads(pictures.animated_gif(300, 300), "image/gif")
        still = await thumbnail(alice, uri, animated="false")
        moving = await thumbnail(alice, uri, animated="true")
        assert decoded(still.body).get_typeof("n-pages") == 0
        assert (moving.headers["Content-Type"], decoded(moving.body, n=-1).get("n-pages")) == (
            "image/webp",
            3,
        )
        assert (await thumbnail(alice, uri)).body == still.body

    async def test_it_comes_with_a_tag_and_in_parts(self, alice):
        uri = await alice.uploads(pictures.png(pictures.plain(500, 500)))
        got = await thumbnail(alice, uri)
        again = await thumbnail(alice, uri, headers={"If-None-Match": got.headers["ETag"]})
        part = await thumbnail(alice, uri, headers={"Range": "bytes=0-9"})
        assert (again.status, again.body) == (304, b"")
        assert (part.status, part.body) == (206, got.body[:10])

    async def test_it_is_made_once_however_many_want_it(self, alice, server, monkeypatch):
        made = []
        imaging = server.media.pictures.imaging
        make = imaging.thumbnail

        async def counted(*args, **kwargs):
            made.append(args)
            return await make(*args, **kwargs)

        monkeypatch.setattr(imaging, "thumbnail", counted)
        uri = await alice.uploads(pictures.jpeg(pictures.noise(800, 800)))
        got = await asyncio.gather(*(thumbnail(alice, uri) for _ in range(20)))
        assert len({each.body for each in got}) == 1
        assert (len(made), got[0].status) == (1, 200)

    async def test_the_same_picture_by_somebody_else_needs_no_work(self, alice, server):
        picture = pictures.jpeg(pictures.noise(800, 800))
        first = await thumbnail(alice, await alice.uploads(picture))
        kept = server.files()
        bob = await server.registers("bob")
        assert (await thumbnail(bob, await bob.uploads(picture))).body == first.body
        assert server.files() == kept

    async def test_one_that_was_made_costs_one_query_and_then_none(self, alice, server, database):
        uri = await alice.uploads(pictures.png(pictures.plain(500, 500)))
        await thumbnail(alice, uri)
        server.media.pictures.thumbnails._known.clear()
        async with counted(database) as first:
            await thumbnail(alice, uri)
        async with counted(database) as second:
            await thumbnail(alice, uri)
        assert (len(first), len(second)) == (1, 0)

    async def test_an_upload_that_is_to_come_is_waited_for(self, alice):
        uri = (await alice.creates())["content_uri"]
        got = await thumbnail(alice, uri, timeout_ms=0)
        assert (got.status, got.errcode) == (504, "M_NOT_YET_UPLOADED")
        waiting = asyncio.create_task(thumbnail(alice, uri))
        await alice.fills(uri, pictures.png(pictures.plain(500, 500)))
        assert (await waiting).status == 200

    async def test_guests_and_others_may_see_it_and_strangers_not(self, alice, server):
        uri = await alice.uploads(pictures.png(pictures.plain(500, 500)))
        assert (await thumbnail(await server.registers("bob"), uri)).status == 200
        assert (await thumbnail(server.nobody, uri)).status == 401


class TestWhatHasNoThumbnail:
    async def test_what_is_no_picture_or_a_broken_one(self, alice):
        for data in NO_PICTURES:
            got = await thumbnail(alice, await alice.uploads(data, "image/png"))
            assert (data, got.status, got.errcode) == (data, 400, "M_UNKNOWN")

    async def test_a_bomb_and_a_file_that_is_too_large(self, alice):
        for data in (pictures.bomb_png(20_000, 20_000), pictures.png(pictures.noise(1200, 900))):
            got = await thumbnail(alice, await alice.uploads(data, "image/png"))
            assert (got.status, got.errcode) == (413, "M_TOO_LARGE")

    async def test_what_failed_is_not_tried_again_at_once(self, alice, server, monkeypatch):
        uri = await alice.uploads(b"no picture", "image/png")
        await thumbnail(alice, uri)
        monkeypatch.setattr(server.media.pictures.imaging, "thumbnail", None)
        assert (await thumbnail(alice, uri)).status == 400

    async def test_requests_that_make_no_sense(self, alice):
        uri = await alice.uploads(pictures.png(pictures.plain(500, 500)))
        for width, height, more in SENSELESS:
            got = await thumbnail(alice, uri, width, height, **more)
            assert (width, height, got.errcode) == (width, height, "M_INVALID_PARAM")

    async def test_a_size_has_two_sides(self, alice):
        uri = await alice.uploads(b"x")
        got = await alice.asks("GET", AUTHED + place(uri), width=5)
        assert (got.status, got.errcode) == (400, "M_MISSING_PARAM")

    async def test_what_is_not_there(self, alice):
        got = await thumbnail(alice, "mxc://example.org/nothing")
        assert (got.status, got.errcode) == (404, "M_NOT_FOUND")


class TestGetContentThumbnail:
    """The old endpoint, without a token."""

    async def test_it_is_closed_by_default(self, alice, server):
        uri = await alice.uploads(pictures.png(pictures.plain(500, 500)))
        got = await thumbnail(server.nobody, uri, at=OLD)
        assert (got.status, got.errcode) == (404, "M_NOT_FOUND")

    async def test_it_can_be_opened(self, database, tmp_path):
        async with media_server(database, tmp_path, unauthenticated=True) as server:
            alice = await server.registers("alice")
            uri = await alice.uploads(pictures.png(pictures.plain(500, 500)))
            got = await thumbnail(server.nobody, uri, at=OLD, allow_redirect="true")
            assert (got.status, got.headers["Content-Type"]) == (200, "image/jpeg")


class TestAtUpload:
    """What everybody will ask for is made before somebody does."""

    @pytest.fixture
    async def server(self, database: Database, tmp_path) -> AsyncIterator[MediaServer]:
        made_early = SMALL.model_copy(update={"at_upload": True})
        async with media_server(database, tmp_path, thumbnails=made_early) as running:
            yield running

    @pytest.fixture
    def makings(self, server, monkeypatch) -> list[Target]:
        """Which thumbnails were drawn."""
        drawn: list[Target] = []
        imaging = server.media.pictures.imaging
        make = imaging.thumbnail

        async def noted(file, target, **kwargs):
            drawn.append(target)
            return await make(file, target, **kwargs)

        monkeypatch.setattr(imaging, "thumbnail", noted)
        return drawn

    async def test_who_asks_first_costs_no_query(self, server, alice, database):
        uri = await alice.uploads(pictures.png(pictures.halves(500, 500)), "image/png")
        await made(server)
        async with counted(database) as statements:
            assert (await thumbnail(alice, uri, method="crop")).status == 200
        assert statements == []

    @pytest.mark.parametrize("how", ["uploaded", "to an address"])
    async def test_they_are_there_before_anybody_asks(self, server, alice, makings, how):
        picture = pictures.jpeg(pictures.halves(1000, 750))
        if how == "uploaded":
            uri = await alice.uploads(picture, "image/jpeg")
        else:
            uri = (await alice.creates())["content_uri"]
            assert (await alice.fills(uri, picture, "image/jpeg")).status == 200
        await made(server)
        assert makings == list(AT_UPLOAD)
        for width, height, method in ((96, 96, "crop"), (800, 600, "scale")):
            got = await thumbnail(alice, uri, width, height, method=method)
            assert (got.status, decoded(got.body).height) == (200, height)
        assert len(makings) == 2
        assert (await thumbnail(alice, uri, 320, 240)).status == 200
        assert len(makings) == 3

    async def test_none_of_what_does_not_say_that_it_is_a_picture(self, server, alice, makings):
        """Encrypted files do not, whatever they are."""
        for content_type in (None, "application/octet-stream", "image/svg+xml", "video/mp4"):
            await alice.uploads(pictures.jpeg(pictures.noise(200, 200)), content_type)
        assert makings == []

    async def test_what_turns_out_to_be_none_is_uploaded_all_the_same(self, server, alice):
        uri = await alice.uploads(b"words", "image/png")
        await made(server)
        assert (await alice.downloads(uri)).body == b"words"
        assert (await thumbnail(alice, uri)).errcode == "M_UNKNOWN"

    async def test_many_uploads_leave_most_for_later_and_nobody_is_refused(
        self, server, alice, makings, monkeypatch
    ):
        """The queue is short, and apart from that of people who ask."""
        monkeypatch.setattr(thumbnails, "_AT_UPLOAD_AT_ONCE", 2)
        monkeypatch.setattr(thumbnails, "_UPLOAD_WAITS_S", 0)
        each = [pictures.jpeg(pictures.noise(200 + n, 200)) for n in range(12)]
        uris = await asyncio.gather(*(alice.uploads(one, "image/jpeg") for one in each[:4]))
        uris += [await alice.uploads(one, "image/jpeg") for one in each[4:]]
        got = await asyncio.gather(*(thumbnail(alice, uri, method="crop") for uri in uris))
        assert {one.status for one in got} == {200}
        await made(server)
        assert len(makings) <= 2 * len(each)


async def made(server: MediaServer) -> None:
    """Returns when all that was begun at uploads is done."""
    await asyncio.gather(*server.media.pictures.thumbnails._uploaded)


class TestUpkeep:
    async def test_old_ones_go_and_are_made_again(self, alice, server, monkeypatch):
        uri = await alice.uploads(pictures.png(pictures.plain(500, 500)))
        before = await thumbnail(alice, uri)
        made = server.media.pictures.thumbnails
        monkeypatch.setattr(made, "_keep_ms", -1000)
        await made.sweep()
        await discard_unused(server)
        assert len(server.files()) == 1
        server.media.services.sending._small_files = SmallFiles(max_bytes=0)
        assert (await thumbnail(alice, uri)).body == before.body
        assert len(server.files()) == 2

    async def test_they_go_with_their_picture(self, alice, server, database):
        uri = await alice.uploads(pictures.png(pictures.plain(500, 500)))
        small = await alice.uploads(pictures.png(pictures.plain(40, 40)))
        for each in (uri, small):
            await thumbnail(alice, each)
        async with database.transaction() as db:
            await db.execute("DELETE FROM media")
            await db.execute("UPDATE media_files SET unused_since = 1")
        await discard_unused(server)
        await discard_unused(server)
        assert server.files() == []
        async with database.connection() as db:
            assert await db.fetchval("SELECT count(*) FROM thumbnails") == 0


async def discard_unused(server: MediaServer) -> None:
    files = server.media.stores.files
    async with files._database.connection() as db:
        unused = await db.fetch("SELECT sha256 FROM media_files WHERE unused_since IS NOT NULL")
    for row in unused:
        await files.discard(row["sha256"])
