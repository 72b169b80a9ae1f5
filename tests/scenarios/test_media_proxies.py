"""The examples of docs/MEDIA.md: a real nginx and a real Caddy in front of both processes."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import aiohttp
import pytest

from tests.support.live_server import GENEROUS, HANGING_S, LiveServer, running
from tests.support.media_process import (
    DOWNLOAD,
    UPLOAD,
    Someone,
    half_an_upload,
    media_process,
    registers,
    until,
)
from tests.support.proxies import Proxy, Start, caddy, nginx, program

CLIENT = "127.0.0.2"
"""Where people are, so that it shows who believes whom."""
MADE_UP = {"X-Forwarded-For": "203.0.113.9"}
LARGE = bytes(range(256)) * 20_000
PROXIES: dict[str, Start] = {"nginx": nginx, "caddy": caddy}


@dataclass(frozen=True)
class Site:
    """What stands behind the proxy's address."""

    server: LiveServer
    proxy: Proxy
    start: Start


@pytest.fixture(scope="module", params=PROXIES)
def site(request, tmp_path_factory) -> Iterator[Site]:
    name = request.param
    if program(name) is None:
        pytest.skip(f"This machine has no {name}.")
    folder = tmp_path_factory.mktemp(name)
    apart = {"media": {"in_process": False}}
    with (
        running(folder / "server", GENEROUS, apart) as server,
        media_process(server) as (media_url, _),
        PROXIES[name](folder / "proxy", homeserver=server.url, media=media_url) as proxy,
    ):
        yield Site(server, proxy, PROXIES[name])


@pytest.fixture
async def http(site: Site) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=site.proxy.tls, local_addr=(CLIENT, 0))
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


@pytest.fixture
async def alice(site, http) -> Someone:
    return await registers(http, site.proxy.url, f"alice{token_hex(3)}")


async def says(alice: Someone, proxy: Proxy, text: str) -> None:
    """In a room of her own."""
    base = proxy.url + "/_matrix/client/v3"
    how = {"headers": alice.headers, "ssl": proxy.tls}
    async with alice.http.post(base + "/createRoom", json={}, **how) as made:
        room = (await made.json())["room_id"]
    path = f"{base}/rooms/{room}/send/m.room.message/{token_hex(3)}"
    content = {"msgtype": "m.text", "body": text}
    async with alice.http.put(path, json=content, **how) as sent:
        assert sent.status == 200


class TestFiles:
    async def test_files_go_up_and_come_down_whole_and_in_parts(self, site, alice):
        url = site.proxy.url
        place = await alice.uploads(url, LARGE)
        assert await alice.downloads(url, place) == (200, LARGE)
        headers = {**alice.headers, "Range": "bytes=5000000-5000009"}
        async with alice.http.get(url + DOWNLOAD + place, headers=headers) as got:
            assert (got.status, await got.read()) == (206, LARGE[5_000_000:5_000_010])
            assert got.headers["Content-Range"] == f"bytes 5000000-5000009/{len(LARGE)}"
            etag = got.headers["ETag"]
        headers = {**alice.headers, "If-None-Match": etag}
        async with alice.http.get(url + DOWNLOAD + place, headers=headers) as got:
            assert got.status == 304

    async def test_native_clients_upload_and_download(self, site, alice):
        url = site.proxy.url
        form = aiohttp.FormData()
        form.add_field("file", LARGE, filename="a.bin", content_type="application/x-thing")
        async with alice.http.post(
            url + "/api/attachments", data=form, headers=alice.headers
        ) as answered:
            assert answered.status == 201
            path = (await answered.json())["url"]
        async with alice.http.get(url + path, headers=alice.headers) as got:
            assert (got.status, await got.read()) == (200, LARGE)

    async def test_an_upload_passes_through_while_it_comes(self, site, alice):
        """No proxy keeps a whole file first."""
        spool = site.server.data_dir / "media" / "spool"

        def is_large(path: Path) -> bool:
            return path.stat().st_size > 2_000_000

        with half_an_upload(site.proxy.url, alice, 8_000_000, tls=site.proxy.tls):
            await until(lambda: any(is_large(path) for path in spool.glob("*/in-*")))

    @pytest.mark.parametrize("site", ["nginx"], indirect=True)
    async def test_what_is_too_large_is_told_so_before_it_comes(self, site, alice):
        """By nginx; Caddy leaves that to the media repository."""
        async with alice.http.post(
            site.proxy.url + UPLOAD,
            data=_none(),
            headers={**alice.headers, "Content-Length": str(51 * 2**20), "Expect": "100-continue"},
        ) as got:
            assert got.status == 413


async def _none() -> AsyncIterator[bytes]:
    """A body of which nothing is sent before the answer."""
    raise AssertionError("It was not refused.")
    yield b""


class TestEverythingElse:
    async def test_a_sync_waits_for_a_message(self, site, alice):
        url = site.proxy.url + "/_matrix/client/v3/sync"
        async with alice.http.get(url, headers=alice.headers) as first:
            since = (await first.json())["next_batch"]

        async def waits() -> str:
            query = {"since": since, "timeout": "600000"}
            async with alice.http.get(url, headers=alice.headers, params=query) as told:
                return await told.text()

        waiting = asyncio.ensure_future(waits())
        await asyncio.sleep(0)
        await says(alice, site.proxy, "through the proxy")
        assert "!" in await waiting

    async def test_a_websocket_passes_both_ways(self, site, alice):
        url = site.proxy.url.replace("https://", "wss://") + "/ws?cursor=now"
        async with alice.http.ws_connect(url, headers=alice.headers) as socket:
            assert (await socket.receive_json())["type"] == "resumed"
            await socket.send_json({"type": "ping", "ref": "there"})
            answer = await socket.receive_json()
            assert (answer["type"], answer["ref"]) == ("pong", "there")

    async def test_clients_addresses_are_known_and_cannot_be_made_up(self, site, alice):
        name = token_hex(8)
        headers = {**alice.headers, **MADE_UP, "X-Request-ID": name}
        for path in ("/_matrix/client/v3/account/whoami", "/_matrix/client/v1/media/config"):
            async with alice.http.get(site.proxy.url + path, headers=headers) as got:
                assert got.status == 200

        def noted() -> list[str]:
            lines = (each for each in site.server.log_lines if each.get("request_id") == name)
            return [each["address"] for each in lines if each["event"] == "request"]

        await until(lambda: len(noted()) == 2)
        assert noted() == [CLIENT, CLIENT]


class TestStopped:
    """Stopping the media process never disturbs chat."""

    async def test_chat_goes_on_and_media_are_a_bad_gateway(self, site, alice, tmp_path):
        with (
            media_process(site.server) as (media_url, process),
            site.start(tmp_path, homeserver=site.server.url, media=media_url) as proxy,
        ):
            place = await alice.uploads(proxy.url, b"x", tls=proxy.tls)
            process.send_signal(signal.SIGTERM)
            assert process.wait(HANGING_S) == 0
            assert (await alice.downloads(proxy.url, place, tls=proxy.tls))[0] == 502
            await says(alice, proxy, "still here")
        assert site.server.problems() == []
