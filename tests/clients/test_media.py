"""Files, as matrix-nio and matrix-js-sdk upload, send and download them."""

import io

import aiohttp
import nio

from tests.clients.stage import Stage

ROOM = "Pictures"
NAME = "Grüße 世界.txt"
DATA = bytes(range(256)) * 5_000


class TestFiles:
    async def test_nio_downloads_what_nio_uploads(self, on: Stage):
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

    async def test_nio_encrypts_and_decrypts_files(self, on: Stage):
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

    async def test_the_js_sdk_uploads_and_its_address_leads_to_the_file(self, on: Stage):
        (alice,) = await on.cast("js")
        options = {"type": "text/plain", "name": NAME}
        uploaded = await alice.asks("calls", "uploadContent", "hello", options)
        config = await alice.asks("calls", "getMediaConfig", True)
        assert config["m.upload.size"] > 0
        url = await alice.asks(
            "calls", "mxcUrlToHttp", uploaded["content_uri"], None, None, None, False, True, True
        )
        token = await alice.asks("calls", "getAccessToken")
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
            assert (response.status, await response.read()) == (200, b"hello")
            assert response.content_disposition is not None
            assert response.content_disposition.filename == NAME
