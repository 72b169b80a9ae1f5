"""Files and pictures, as the clients upload, send and download them: from the server itself, and
from a media repository at an address of its own, to which the server points.
"""

import base64
import io
from collections.abc import Iterator

import nio
import pytest

from tests.clients.conftest import PATIENT
from tests.clients.stage import Stage
from tests.support.live_server import GENEROUS, LiveServer, running
from tests.support.media_process import apart
from tests.support.pictures import decoded, halves, png

ROOM = "Pictures"
NAME = "Grüße 世界.txt"
DATA = bytes(range(256)) * 5_000
PICTURE = png(halves(800, 600))
THUMBNAIL = (96, 96)


@pytest.fixture(scope="module", params=["within", "apart"])
def server(request, tmp_path_factory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "within":
        with running(folder, GENEROUS, PATIENT) as started:
            yield started
    else:
        with apart(folder) as (started, _, _):
            yield started


def size_of(data: bytes) -> tuple[int, int]:
    picture = decoded(data)
    return picture.width, picture.height


class TestNio:
    async def test_it_downloads_what_it_uploads(self, on: Stage):
        alice, bob = await on.cast("nio", "nio")
        await on.room(ROOM, (alice, bob))
        uploaded, _ = await alice.nio.upload(
            io.BytesIO(DATA), content_type="text/plain", filename=NAME, filesize=len(DATA)
        )
        assert isinstance(uploaded, nio.UploadResponse), uploaded
        content = {"msgtype": "m.file", "body": NAME, "url": uploaded.content_uri}
        await alice.nio.room_send(alice.room(ROOM), "m.room.message", content)
        downloaded = await bob.nio.download(uploaded.content_uri)
        assert isinstance(downloaded, nio.MemoryDownloadResponse), downloaded
        assert downloaded.body == DATA
        assert downloaded.content_type == "text/plain"
        assert downloaded.filename == NAME

    async def test_it_encrypts_and_decrypts_files(self, on: Stage):
        alice, bob = await on.cast("nio", "nio")
        await on.room(ROOM, (alice, bob))
        uploaded, keys = await alice.nio.upload(
            io.BytesIO(DATA), filename=NAME, encrypt=True, filesize=len(DATA)
        )
        downloaded = await bob.nio.download(uploaded.content_uri)
        assert downloaded.body != DATA
        plain = nio.crypto.attachments.decrypt_attachment(
            downloaded.body, keys["key"]["k"], keys["hashes"]["sha256"], keys["iv"]
        )
        assert plain == DATA

    async def test_it_shows_thumbnails(self, on: Stage):
        (alice,) = await on.cast("nio")
        uploaded, _ = await alice.nio.upload(
            io.BytesIO(PICTURE), content_type="image/png", filesize=len(PICTURE)
        )
        server_name, _, media_id = uploaded.content_uri.removeprefix("mxc://").partition("/")
        shown = await alice.nio.thumbnail(
            server_name, media_id, *THUMBNAIL, nio.ResizingMethod.crop
        )
        assert isinstance(shown, nio.ThumbnailResponse), shown
        assert (shown.content_type, size_of(shown.body)) == ("image/jpeg", THUMBNAIL)


class TestJsSdk:
    async def test_it_downloads_what_it_uploads(self, on: Stage):
        alice, bob = await on.cast("js", "js")
        config = await alice.asks("calls", "getMediaConfig", True)
        assert config["m.upload.size"] > len(DATA)
        options = {"type": "text/plain", "name": NAME}
        uri = await alice.asks("uploads", base64.b64encode(DATA).decode(), options)
        got = await bob.asks("downloads", uri)
        assert (got["status"], got["type"]) == (200, "text/plain")
        assert base64.b64decode(got["base64"]) == DATA
        assert "utf-8''Gr%C3%BC%C3%9Fe%20%E4%B8%96%E7%95%8C.txt" in got["disposition"]

    async def test_it_shows_thumbnails(self, on: Stage):
        (alice,) = await on.cast("js")
        options = {"type": "image/png", "name": "cat.png"}
        uri = await alice.asks("uploads", base64.b64encode(PICTURE).decode(), options)
        got = await alice.asks("downloads", uri, *THUMBNAIL, "crop")
        assert (got["status"], got["type"]) == (200, "image/jpeg")
        assert size_of(base64.b64decode(got["base64"])) == THUMBNAIL


class TestMautrix:
    async def test_it_downloads_and_shows_what_it_uploads(self, on: Stage):
        (alice,) = await on.cast("mautrix")
        uri = await alice.mautrix.upload_media(PICTURE, mime_type="image/png", filename=NAME)
        assert await alice.mautrix.download_media(uri) == PICTURE
        shown = await alice.mautrix.download_thumbnail(uri, *THUMBNAIL, "crop")
        assert size_of(shown) == THUMBNAIL


class TestNative:
    async def test_a_picture_that_a_native_client_sends_is_seen_by_all(self, on: Stage):
        alice, bob = await on.cast("native", "nio")
        await on.room(ROOM, (alice, bob))
        file = await alice.attaches(ROOM, PICTURE, "image/png", "cat.png", "look")
        assert (file["width"], file["height"]) == (800, 600)
        assert await alice.downloads(file["url"]) == PICTURE
        await alice.shows(["look"], "texts", ROOM)
        page = await bob.nio.room_messages(bob.room(ROOM), start="", limit=1)
        (message,) = page.chunk
        assert isinstance(message, nio.RoomMessageImage)
        assert (await bob.nio.download(message.url)).body == PICTURE
