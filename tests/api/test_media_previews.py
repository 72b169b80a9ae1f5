"""URL previews. Source: authed-content-repo.yaml `getUrlPreviewAuthed`, v1.19."""

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest

from homeserver.config import RateLimitsConfig
from homeserver.config.models import PreviewsConfig
from homeserver.storage.database import Database
from tests.support import pictures
from tests.support.api_server import OPEN
from tests.support.media import Got, MediaServer, MediaUser, media_server
from tests.support.site import Site

PATH = "/_matrix/client/v1/media/preview_url"
LOOPBACK = (ip_network("127.0.0.1/32"),)
NO_PAGES = [
    "",
    "example.org",
    "ftp://example.org/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "http://",
    "http:///path",
    "http://user:secret@example.org/",
    "http://user@example.org/",
    "http://example.org:22/",
    "http://example.org:99999/",
    "http://[::1/",
    "http://example.org/" + "a" * 3000,
    "http://exa mple.org/\0",
]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site() as running:
        yield running


def settings(*sites: Site, **more: Any) -> PreviewsConfig:
    ports = tuple(each.port for each in sites)
    base: dict[str, Any] = {"enabled": True, "allowed_networks": LOOPBACK, "ports": ports}
    return PreviewsConfig(**(base | more))


@pytest.fixture
async def server(database: Database, tmp_path, site) -> AsyncIterator[MediaServer]:
    async with media_server(database, tmp_path, previews=settings(site)) as running:
        yield running


@pytest.fixture
async def alice(server) -> MediaUser:
    return await server.registers("alice")


@asynccontextmanager
async def someone(database: Database, folder, **more: Any) -> AsyncIterator[MediaUser]:
    """Somebody on a server of other settings."""
    async with media_server(database, folder, **more) as server:
        yield await server.registers("alice")


async def ask(by: MediaUser, url: str, **query: Any) -> Got:
    return await by.asks("GET", PATH, url=url, **query)


async def preview(by: MediaUser, url: str) -> dict[str, Any]:
    got = await ask(by, url)
    assert got.status == 200, got
    return dict(json.loads(got.body))


async def is_refused(by: MediaUser, url: str) -> bool:
    """As everything that fails at the other end."""
    got = await ask(by, url)
    return (got.status, got.errcode) == (502, "M_UNKNOWN")


class TestPreview:
    async def test_a_page_with_a_picture(self, alice, site):
        site.page(
            "/a",
            '<meta property="og:title" content="T"><meta name=description content=D>'
            '<meta property="og:image" content="/p.jpg">',
        )
        site.page("/p.jpg", pictures.jpeg(pictures.noise(1600, 800)), "image/jpeg")
        shown = await preview(alice, site.url("/a"))
        uri = shown.pop("og:image")
        picture = await alice.downloads(uri)
        assert shown == {
            "og:title": "T",
            "og:description": "D",
            "og:image:type": "image/jpeg",
            "og:image:width": 800,
            "og:image:height": 400,
            "matrix:image:size": len(picture.body),
        }
        assert pictures.decoded(picture.body).width == 800

    async def test_a_picture_itself(self, alice, site):
        site.page("/p", pictures.png(pictures.plain(40, 30)), "image/png")
        shown = await preview(alice, site.url("/p"))
        assert shown["og:image"].startswith("mxc://example.org/")
        assert (shown["og:image:width"], shown["og:image:height"]) == (40, 30)

    async def test_a_page_that_is_told_about_elsewhere(self, alice, site):
        site.page("/v", '<link rel=alternate type="application/json+oembed" href="/o?x=1">')
        site.page("/o", '{"type": "video", "title": "V", "provider_name": "P"}', "application/json")
        assert await preview(alice, site.url("/v")) == {"og:title": "V", "og:site_name": "P"}

    async def test_redirects_are_followed_and_links_are_relative_to_where_they_lead(
        self, alice, site
    ):
        site.redirect("/a", "/b/c")
        site.redirect("/b/c", "d", status=308)
        site.page("/b/d", '<title>T</title><meta property="og:image" content="p.png">')
        site.page("/b/p.png", pictures.png(pictures.plain(5, 5)), "image/png")
        assert (await preview(alice, site.url("/a")))["og:image:width"] == 5

    async def test_the_charset_of_a_page(self, alice, site):
        site.page("/l", "<title>Grüße</title>".encode("latin-1"), "text/html; charset=ISO-8859-1")
        site.page("/w", "<title>Grüße</title>".encode("latin-1"), "text/html; charset=utf-8")
        assert await preview(alice, site.url("/l")) == {"og:title": "Grüße"}
        assert await preview(alice, site.url("/w")) == {"og:title": "Gr\ufffd\ufffde"}

    async def test_a_packed_page(self, alice, site):
        site.page("/z", gzip.compress(b"<title>Z</title>"), Content_Encoding="gzip")
        assert await preview(alice, site.url("/z")) == {"og:title": "Z"}

    async def test_a_file_of_another_kind_is_not_read(self, alice, site):
        site.page("/f", b"%PDF-1.7 <title>no</title>", "application/pdf")
        assert await preview(alice, site.url("/f")) == {}

    async def test_what_a_server_says_about_itself_when_it_asks(self, alice, site):
        site.page("/a", "<title>A</title>", Set_Cookie="x=1")
        site.page("/b", "<title>B</title>")
        await preview(alice, site.url("/a"))
        await preview(alice, site.url("/b#part"))
        headers = site.asked[1].headers
        assert headers["User-Agent"].startswith("Foyer")
        assert headers["Accept-Language"] == "en"
        assert "Cookie" not in headers
        assert "Authorization" not in headers


class TestKept:
    async def test_a_page_is_asked_once(self, alice, site, server):
        site.page("/a", "<title>A</title>")
        bob = await server.registers("bob")
        for by in (alice, bob, alice):
            assert await preview(by, site.url("/a") + "#x") == {"og:title": "A"}
        assert (await ask(alice, site.url("/a"), ts=1)).status == 200
        assert site.paths == ["/a"]

    async def test_also_when_many_ask_at_the_same_time(self, alice, site):
        site.page("/a", "<title>A</title>")
        got = await asyncio.gather(*(preview(alice, site.url("/a")) for _ in range(20)))
        assert (got[0], site.paths) == ({"og:title": "A"}, ["/a"])

    async def test_that_there_is_nothing_is_kept_too(self, alice, site):
        assert await is_refused(alice, site.url("/none"))
        assert await is_refused(alice, site.url("/none"))
        assert site.paths == ["/none"]

    async def test_old_ones_go_with_their_pictures(self, alice, site, server, database):
        site.page("/p", pictures.png(pictures.plain(40, 30)), "image/png")
        site.page("/a", "<title>A</title>")
        uri = (await preview(alice, site.url("/p")))["og:image"]
        await preview(alice, site.url("/a"))
        async with database.transaction() as db:
            await db.execute("UPDATE url_previews SET expires_at = 0 WHERE media_uuid IS NOT NULL")
        await server.media.pictures.previews.sweep()
        async with database.connection() as db:
            assert await db.fetchval("SELECT count(*) FROM url_previews") == 1
            assert await db.fetchval("SELECT count(*) FROM media") == 0
            assert await db.fetchval("SELECT unused_since IS NOT NULL FROM media_files")
        assert (await preview(alice, site.url("/p")))["og:image"] != uri

    async def test_there_are_never_more_than_may_be(self, database, tmp_path, site):
        more = {"previews": settings(site, max_kept=2)}
        async with media_server(database, tmp_path, **more) as server:
            alice = await server.registers("alice")
            for number in range(4):
                site.page(f"/{number}", "<title>A</title>")
                await preview(alice, site.url(f"/{number}"))
            await server.media.pictures.previews.sweep()
        async with database.connection() as db:
            assert await db.fetchval("SELECT count(*) FROM url_previews") == 2

    async def test_a_new_one_takes_the_place_of_an_old_one(self, alice, site, database):
        site.page("/p", pictures.png(pictures.plain(40, 30)), "image/png")
        await preview(alice, site.url("/p"))
        async with database.transaction() as db:
            await db.execute("UPDATE url_previews SET expires_at = 0")
        site.page("/p", pictures.png(pictures.plain(20, 30)), "image/png")
        assert (await preview(alice, site.url("/p")))["og:image:width"] == 20
        async with database.connection() as db:
            assert await db.fetchval("SELECT count(*) FROM url_previews") == 1
            assert await db.fetchval("SELECT count(*) FROM media") == 1


class TestRobots:
    async def test_who_wants_to_be_nowhere_is_nowhere(self, alice, site):
        site.page("/m", '<title>T</title><meta name="robots" content="noindex">')
        site.page("/h", "<title>T</title>", X_Robots_Tag="none")
        assert await preview(alice, site.url("/m")) == {}
        assert await preview(alice, site.url("/h")) == {}

    async def test_pictures_that_are_not_to_be_shown_are_not_fetched(self, alice, site):
        site.page(
            "/a",
            '<title>T</title><meta property="og:image" content="/p">',
            X_Robots_Tag="noimageindex",
        )
        assert await preview(alice, site.url("/a")) == {"og:title": "T"}
        assert site.paths == ["/a"]

    async def test_a_picture_may_say_so_itself(self, alice, site):
        site.page("/a", '<title>T</title><meta property="og:image" content="/p">')
        site.page("/p", pictures.png(pictures.plain(5, 5)), "image/png", X_Robots_Tag="noindex")
        assert await preview(alice, site.url("/a")) == {"og:title": "T"}


class TestWhoIsAsked:
    """Nobody but public sites, whatever names, redirects and pages say."""

    @pytest.mark.parametrize("allowed", [(), (ip_network("127.0.0.2/32"),)])
    async def test_not_this_machine(self, database, tmp_path, site, allowed):
        previews = settings(site, allowed_networks=allowed)
        async with someone(database, tmp_path, previews=previews) as alice:
            for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "0"):
                assert await is_refused(alice, site.url("/a", host=host))
        assert site.asked == []

    async def test_not_what_is_denied(self, database, tmp_path, site):
        previews = settings(site, denied_networks=LOOPBACK)
        async with someone(database, tmp_path, previews=previews) as alice:
            assert await is_refused(alice, site.url("/a"))
        assert site.asked == []

    async def test_not_where_a_redirect_leads(self, alice, site, monkeypatch, server):
        fetcher = server.media.pictures.fetcher
        monkeypatch.setattr(fetcher, "_ports", (*fetcher._ports, 80))
        tried = []
        connect = fetcher._socket

        def noted(info: Any) -> socket.socket:
            tried.append(info[4][0])
            return connect(info)

        monkeypatch.setattr(fetcher, "_socket", noted)
        for host in ("10.0.0.1", "169.254.169.254", "127.0.0.2", "[::1]"):
            tried.clear()
            site.redirect(f"/{host}", f"http://{host}/latest/")
            assert await is_refused(alice, site.url(f"/{host}"))
            assert tried == ["127.0.0.1", host.strip("[]")]
        assert len(site.asked) == 4

    async def test_not_where_the_picture_of_a_page_is(self, alice, site):
        async with Site() as inner:
            for url in (inner.url("/p"), inner.url("/p", host="[::1]"), "http://10.0.0.1/p"):
                page = f'<title>T</title><meta property="og:image" content="{url}">'
                site.page(f"/{len(url)}", page)
                assert await preview(alice, site.url(f"/{len(url)}")) == {"og:title": "T"}
            assert inner.asked == []

    async def test_a_name_that_changes_its_mind_is_held_to_what_was_checked(
        self, server, alice, site, monkeypatch
    ):
        """DNS rebinding: the name is allowed when it is looked up first, and private afterwards."""
        answers = [["127.0.0.1"], ["10.0.0.1"], ["10.0.0.1", "127.0.0.1"]]

        async def resolve(host: str, port: int) -> list[tuple[int, str]]:
            return [(socket.AF_INET, each) for each in answers.pop(0)]

        monkeypatch.setattr(server.media.pictures.fetcher, "_resolve", resolve)
        site.page("/a", "<title>A</title>")
        site.page("/b", "<title>B</title>")
        assert await preview(alice, site.url("/a", host="site.test")) == {"og:title": "A"}
        assert await is_refused(alice, site.url("/b", host="site.test"))
        assert await preview(alice, site.url("/b?2", host="site.test")) == {"og:title": "B"}
        assert answers == []

    async def test_the_socket_is_the_last_gate(self, server, alice, site, monkeypatch):
        """Even an address that came past the resolver is checked before it is connected to."""
        fetcher = server.media.pictures.fetcher
        verdicts = [True, False]

        class ChangesItsMind:
            def permits_text(self, text: str) -> bool:
                return verdicts.pop(0)

        async def resolve(host: str, port: int) -> list[tuple[int, str]]:
            return [(socket.AF_INET, "127.0.0.1")]

        monkeypatch.setattr(fetcher, "_policy", ChangesItsMind())
        monkeypatch.setattr(fetcher, "_resolve", resolve)
        assert await is_refused(alice, site.url("/a", host="site.test"))
        assert (verdicts, site.asked) == ([], [])

    async def test_what_is_no_address_of_a_page_is_told_so(self, alice):
        for url in NO_PAGES:
            got = await ask(alice, url)
            assert (url, got.status, got.errcode) == (url, 400, "M_INVALID_PARAM")


class TestHostileSites:
    async def test_a_body_without_end_is_read_as_far_as_may_be(self, alice, site):
        async def endless() -> AsyncIterator[bytes]:
            yield b"<title>T</title>"
            while True:
                yield b"x" * 65_536

        site.stream("/endless", endless)
        assert (await preview(alice, site.url("/endless")))["og:title"] == "T"

    async def test_a_picture_without_end_is_left_out(self, database, tmp_path, site):
        async def endless() -> AsyncIterator[bytes]:
            yield pictures.png(pictures.plain(50, 50))
            while True:
                yield b"x" * 65_536

        site.stream("/p", endless, Content_Type="image/png")
        site.page("/a", '<title>T</title><meta property="og:image" content="/p">')
        previews = settings(site, max_image_mb=1)
        async with someone(database, tmp_path, previews=previews) as alice:
            assert await preview(alice, site.url("/a")) == {"og:title": "T"}

    async def test_a_bomb_is_unpacked_no_further_than_may_be(self, alice, site):
        bomb = gzip.compress(b"<title>T</title>" + bytes(200_000_000), compresslevel=9)
        site.page("/bomb", bomb, Content_Encoding="gzip")
        assert (await preview(alice, site.url("/bomb")))["og:title"] == "T"

    async def test_a_body_of_nothing_that_goes_on_is_given_up(self, alice, site):
        async def nothing() -> AsyncIterator[bytes]:
            yield gzip.compress(b"")[:-10]
            while True:
                yield b"\0\0\0\xff\xff" * 10_000

        site.stream("/nothing", nothing, Content_Encoding="gzip")
        assert await is_refused(alice, site.url("/nothing"))

    async def test_what_cannot_be_unpacked_or_is_not_packed_as_it_says(self, alice, site):
        for number, encoding in enumerate(["br", "zstd", "gzip, gzip", "gzip"]):
            site.page(f"/{number}", b"<title>T</title>", Content_Encoding=encoding)
            assert await is_refused(alice, site.url(f"/{number}"))

    async def test_who_does_not_answer_is_not_waited_for(self, database, tmp_path, site):
        previews = settings(site, timeout_seconds=0.2)
        waits = site.silence("/slow")
        async with someone(database, tmp_path, previews=previews) as alice:
            assert await is_refused(alice, site.url("/slow"))
        assert waits.is_set()

    async def test_who_answers_bit_by_bit_is_not_either(self, database, tmp_path, site):
        async def drops() -> AsyncIterator[bytes]:
            while True:
                yield b" "
                await asyncio.sleep(0.05)

        site.stream("/drops", drops)
        previews = settings(site, timeout_seconds=0.3)
        async with someone(database, tmp_path, previews=previews) as alice:
            assert await is_refused(alice, site.url("/drops"))

    async def test_circles_and_long_ways_are_not_followed(self, alice, site):
        site.redirect("/circle", "/circle")
        for number in range(7):
            site.redirect(f"/{number}", f"/{number + 1}")
        site.page("/7", "<title>T</title>")
        site.redirect("/nowhere", "")
        for path in ("/circle", "/0", "/nowhere"):
            assert await is_refused(alice, site.url(path))
        assert await preview(alice, site.url("/2")) == {"og:title": "T"}

    async def test_a_picture_that_is_none(self, alice, site):
        svg = "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
        site.page("/p", svg, "image/svg+xml")
        site.page("/a", '<title>T</title><meta property="og:image" content="/p">')
        assert await preview(alice, site.url("/a")) == {"og:title": "T"}
        assert await preview(alice, site.url("/p")) == {}


class TestLimits:
    async def test_they_are_off_by_default(self, database, tmp_path, site):
        async with someone(database, tmp_path) as alice:
            for path in (PATH, "/_matrix/media/v3/preview_url"):
                got = await alice.asks("GET", path, url=site.url())
                assert (got.status, got.errcode) == (404, "M_UNRECOGNIZED")
        assert site.asked == []

    async def test_the_old_path_serves_the_same(self, alice, site):
        site.page("/a", "<title>A</title>")
        got = await alice.asks("GET", "/_matrix/media/v3/preview_url", url=site.url("/a"))
        assert json.loads(got.body) == {"og:title": "A"}

    async def test_who_asks_too_much_is_told_when_to_ask_again(self, database, tmp_path, site):
        previews = settings(site, per_minute=1, burst=2)
        base = OPEN.model_copy(update={"rate_limits": RateLimitsConfig()})
        async with someone(database, tmp_path, base=base, previews=previews) as alice:
            for number in range(3):
                site.page(f"/{number}", "<title>A</title>")
            got = [await ask(alice, site.url(f"/{number}")) for number in range(3)]
            assert [each.status for each in got] == [200, 200, 429]
            assert json.loads(got[2].body)["retry_after_ms"] > 0
            assert (await ask(alice, site.url("/0"))).status == 200

    async def test_only_so_many_are_made_at_the_same_time(self, database, tmp_path, site):
        previews = settings(site, max_concurrent=1)
        waits = site.silence("/slow")
        site.page("/a", "<title>A</title>")
        async with someone(database, tmp_path, previews=previews) as alice:
            slow = asyncio.create_task(ask(alice, site.url("/slow")))
            await waits.wait()
            assert (await ask(alice, site.url("/a"))).status == 503
            slow.cancel()

    async def test_strangers_and_questions_without_an_address(self, server, alice):
        assert (await server.nobody.asks("GET", PATH, url="http://example.org/")).status == 401
        got = await alice.asks("GET", PATH)
        assert (got.status, got.errcode) == (400, "M_MISSING_PARAM")
