"""Media at an address of their own, to which the homeserver points. Source: decision 0007."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from secrets import token_hex

import aiohttp
import pytest

from tests.support.live_server import HANGING_S, ORIGIN, LiveServer
from tests.support.media_process import (
    DOWNLOAD,
    UPLOAD,
    Someone,
    apart,
    half_an_upload,
    media_process,
    registers,
    until,
)
from tests.support.pictures import halves, png

OPEN = "/_matrix/media/v3/download/"
LARGE = bytes(range(256)) * 20_000
PICTURE = png(halves(400, 300))


@dataclass(frozen=True)
class Site:
    """A homeserver, and where its media are."""

    server: LiveServer
    media_url: str

    @property
    def url(self) -> str:
        return self.server.url


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    with apart(tmp_path_factory.mktemp("apart")) as (server, media_url, _):
        yield Site(server, media_url)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def alice(site, http) -> Someone:
    return await registers(http, site.url, f"alice{token_hex(3)}")


async def sent_to(alice: Someone, url: str, **more: str) -> str:
    """Where a request is sent on to."""
    headers = {**alice.headers, **more}
    async with alice.http.get(url, headers=headers, allow_redirects=False) as got:
        assert got.status == 307
        return got.headers["Location"]


async def asks(http: aiohttp.ClientSession, url: str, **headers: str) -> tuple[int, bytes]:
    async with http.get(url, headers=headers) as got:
        return got.status, await got.read()


class TestDownloads:
    async def test_they_are_sent_to_the_other_address_and_arrive(self, site, alice):
        place = await alice.uploads(site.url, LARGE)
        where = await sent_to(alice, site.url + DOWNLOAD + place)
        assert where.startswith(site.media_url + DOWNLOAD + place + "?link=")
        assert await alice.downloads(site.url, place) == (200, LARGE)

    async def test_the_link_is_enough_and_no_token_travels(self, site, alice):
        place = await alice.uploads(site.url, LARGE)
        token = alice.headers["Authorization"].removeprefix("Bearer ")
        where = await sent_to(alice, f"{site.url}{DOWNLOAD}{place}?access_token={token}")
        assert token not in where
        async with aiohttp.ClientSession() as nobody:
            assert await asks(nobody, where, Range="bytes=0-2") == (206, LARGE[:3])
            async with nobody.head(where) as got:
                assert got.headers["Content-Length"] == str(len(LARGE))
            assert (await asks(nobody, where.partition("?")[0]))[0] == 401

    async def test_a_link_opens_one_file(self, site, alice):
        one, other = [await alice.uploads(site.url, data) for data in (b"one", b"other")]
        where = await sent_to(alice, site.url + DOWNLOAD + one)
        status, body = await asks(alice.http, where.replace(one, other))
        assert (status, b"M_FORBIDDEN" in body) == (403, True)

    async def test_names_and_waiting_times_are_passed_on(self, site, alice):
        place = await alice.uploads(site.url, b"x")
        where = await sent_to(alice, f"{site.url}{DOWNLOAD}{place}/a%2Fb.txt?timeout_ms=5")
        assert f"{place}/a%2Fb.txt?timeout_ms=5&link=" in where
        async with alice.http.get(yarl_as_is(where)) as got:
            assert got.headers["Content-Disposition"].endswith("utf-8''a%2Fb.txt")

    async def test_thumbnails_too(self, site, alice):
        place = await alice.uploads(site.url, PICTURE)
        path = DOWNLOAD.replace("download", "thumbnail") + place
        query = "?width=32&height=32&method=crop"
        where = await sent_to(alice, site.url + path + query)
        async with aiohttp.ClientSession() as nobody:
            status, body = await asks(nobody, where)
        assert (status, body[:3]) == (200, b"\xff\xd8\xff")

    async def test_nobody_is_sent_on_without_a_token(self, site, alice):
        place = await alice.uploads(site.url, b"x")
        status, body = await asks(alice.http, site.url + DOWNLOAD + place)
        assert (status, b"M_MISSING_TOKEN" in body) == (401, True)

    async def test_who_knows_the_other_address_may_use_his_token_there(self, site, alice):
        place = await alice.uploads(site.media_url, b"straight")
        assert await alice.downloads(site.media_url, place) == (200, b"straight")
        async with alice.http.get(site.url + "/.well-known/matrix/client") as got:
            found = await got.json()
        assert found["chat.foyer.media"] == {"base_url": site.media_url}

    async def test_the_old_endpoints_redirect_only_who_allows_it(self, site, alice):
        place = await alice.uploads(site.url, b"x")
        where = await sent_to(alice, f"{site.url}{OPEN}{place}?allow_redirect=true")
        assert where == site.media_url + OPEN + place
        status, body = await asks(alice.http, site.url + OPEN + place)
        assert (status, b"M_NOT_FOUND" in body) == (404, True)

    async def test_pages_of_every_origin_may_follow(self, site, alice):
        """A redirect across origins comes from the origin `null` (Fetch, "HTTP-redirect fetch")."""
        answer = await native_upload(alice, site.url)
        place = await alice.uploads(site.url, b"x")
        for path in (DOWNLOAD + place, answer["url"]):
            where = await sent_to(alice, site.url + path, Origin=ORIGIN)
            async with alice.http.get(where, headers={"Origin": "null"}) as got:
                assert got.status == 200
                assert got.headers["Access-Control-Allow-Origin"] == "*"
            asked = {"Origin": "null", "Access-Control-Request-Method": "GET"}
            async with alice.http.options(where, headers=asked) as got:
                assert got.status == 204
                assert got.headers["Access-Control-Allow-Origin"] == "*"


def yarl_as_is(url: str):
    return aiohttp.client.URL(url, encoded=True)


async def native_upload(alice: Someone, url: str) -> dict:
    form = aiohttp.FormData()
    form.add_field("file", LARGE, filename="ä b.bin", content_type="application/x-thing")
    async with alice.http.post(url + "/api/attachments", data=form, headers=alice.headers) as got:
        assert got.status == 201, await got.text()
        return await got.json()


class TestNative:
    async def test_files_go_up_and_come_down(self, site, alice):
        answer = await native_upload(alice, site.url)
        assert await asks(alice.http, site.url + answer["url"], **alice.headers) == (200, LARGE)
        where = await sent_to(alice, site.url + answer["url"])
        async with aiohttp.ClientSession() as nobody:
            assert await asks(nobody, where) == (200, LARGE)
            status, body = await asks(nobody, where.partition("?")[0])
        assert (status, b'"FORBIDDEN"' in body) == (403, True)

    async def test_errors_are_those_of_the_protocol(self, site, alice):
        path = site.url + "/api/attachments/example.org/nothing/x"
        status, body = await asks(alice.http, path, **alice.headers)
        assert (status, b'"NOT_FOUND"' in body) == (404, True)
        assert (await asks(alice.http, path))[0] == 401


class TestPassedOn:
    """What cannot be sent elsewhere goes through the homeserver, bit by bit."""

    async def test_asynchronous_uploads(self, site, alice):
        async with alice.http.post(
            site.url + "/_matrix/media/v1/create", headers=alice.headers
        ) as got:
            uri = (await got.json())["content_uri"]
        place = uri.removeprefix("mxc://")

        async def pieces():
            for _ in range(10):
                yield LARGE[:100_000]

        waiting = asyncio.ensure_future(alice.downloads(site.url, place))
        async with alice.http.put(
            f"{site.url}{UPLOAD}/{place}", data=pieces(), headers=alice.headers
        ) as got:
            assert (got.status, await got.json()) == (200, {})
        assert await waiting == (200, LARGE[:100_000] * 10)

    async def test_an_upload_passes_through_while_it_comes_and_may_be_cut_off(self, site, alice):
        spool = site.server.data_dir / "media" / "spool"

        def coming() -> bool:
            return any(path.stat().st_size > 2_000_000 for path in spool.glob("*/in-*"))

        with half_an_upload(site.url, alice, 8_000_000):
            await until(coming)
        await until(lambda: not any(spool.glob("*/in-*")))

    async def test_refusals_come_back_as_they_are(self, site, alice):
        too_long = {**alice.headers, "Content-Type": "text/plain"}
        url = f"{site.url}{UPLOAD}?filename={'n' * 501}"
        async with alice.http.post(url, data=b"x", headers=too_long) as got:
            assert (got.status, (await got.json())["errcode"]) == (400, "M_INVALID_PARAM")
        async with alice.http.post(site.url + UPLOAD, data=b"x") as got:
            assert (got.status, (await got.json())["errcode"]) == (401, "M_MISSING_TOKEN")
        status, body = await asks(alice.http, site.url + "/_matrix/media/v3/nothing")
        assert (status, b"M_UNRECOGNIZED" in body) == (404, True)

    async def test_what_is_too_large_is_told_so(self, site, alice):
        async with alice.http.post(
            site.url + UPLOAD, data=b"x" * (50 * 2**20 + 1), headers=alice.headers
        ) as got:
            assert (got.status, (await got.json())["errcode"]) == (413, "M_TOO_LARGE")

    async def test_the_media_repository_knows_who_asks(self, site, alice):
        """The homeserver is its proxy, and says where requests come from."""
        name = token_hex(8)
        headers = {"X-Request-ID": name, "X-Forwarded-For": "192.0.2.7"}
        url = site.url + "/_matrix/client/v1/media/config"
        assert (await asks(alice.http, url, **alice.headers, **headers))[0] == 200

        def noted() -> list[str]:
            lines = (each for each in site.server.log_lines if each.get("request_id") == name)
            return [each["address"] for each in lines if each["event"] == "request"]

        await until(lambda: len(noted()) == 2)
        assert noted() == ["192.0.2.7"] * 2


class TestStopped:
    async def test_chat_goes_on_without_media_and_media_come_back(self, tmp_path, http):
        with apart(tmp_path) as (server, media_url, process):
            alice = await registers(http, server.url, "alice")
            place = await alice.uploads(server.url, b"x")
            process.send_signal(signal.SIGTERM)
            assert process.wait(HANGING_S) == 0
            async with http.post(server.url + UPLOAD, data=b"x", headers=alice.headers) as got:
                assert (got.status, (await got.json())["errcode"]) == (503, "M_UNKNOWN")
            url = server.url + "/_matrix/client/v3/createRoom"
            async with http.post(url, json={}, headers=alice.headers) as got:
                assert got.status == 200
            with media_process(server, listen=media_url.removeprefix("http://")):
                assert await alice.downloads(server.url, place) == (200, b"x")
            assert server.problems() == []
