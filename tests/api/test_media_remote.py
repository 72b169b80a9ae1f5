"""Media of other servers, with a stand-in for the network between them.

Source: content-repo.yaml, authed-content-repo.yaml, v1.19; docs/MEDIA.md.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from homeserver.errors import NotYetUploaded, Unavailable
from homeserver.identifiers import ServerName
from homeserver.storage.database import Database
from homeserver.storage.media_expiry import Selection
from mediarepo.addresses import MediaAddress, no_such_media
from mediarepo.arrivals import Arrivals
from mediarepo.downloads import Downloads
from mediarepo.known import KnownMedia
from mediarepo.maintenance import Maintenance
from mediarepo.remote import RemoteFile
from mediarepo.upkeep import Upkeep
from tests.support.media import MediaServer, media_server
from tests.support.office import LocalBus, ManualClock
from tests.support.pictures import decoded, halves, png

CAT = "mxc://far.example/cat"
PICTURE = png(halves(400, 300))
THUMBNAIL = "/_matrix/client/v1/media/thumbnail/far.example/cat"
OPEN = "/_matrix/media/v3/download/far.example/cat"
DAY_MS = 86_400_000


class FarAway:
    """Other servers. `files`: what they have, by URI. `asked`: what they were asked for, and how
    long they might take, in milliseconds. before_answer: what happens in between.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {CAT: PICTURE}
        self.asked: list[tuple[str, int]] = []
        self.tells_length = True
        self.error: Exception | None = None
        self.cut_off_after: int | None = None
        self.before_answer: Callable[[], Awaitable[object]] | None = None

    @asynccontextmanager
    async def fetch(self, address: MediaAddress, *, timeout_ms: int) -> AsyncIterator[RemoteFile]:
        self.asked.append((address.uri, timeout_ms))
        if self.before_answer is not None:
            await self.before_answer()
        if self.error is not None:
            raise self.error
        if address.uri not in self.files:
            raise no_such_media()
        data = self.files[address.uri]
        yield RemoteFile(
            stream=self._stream(data),
            length=len(data) if self.tells_length else None,
            content_type="image/png",
            filename="Katze 猫.png",
        )

    async def _stream(self, data: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(data), 1_000):
            if self.cut_off_after is not None and start >= self.cut_off_after:
                raise Unavailable("The other server is gone.")
            yield data[start : start + 1_000]


@pytest.fixture
def far() -> FarAway:
    return FarAway()


@pytest.fixture
async def server(database: Database, tmp_path, far) -> AsyncIterator[MediaServer]:
    async with media_server(
        database, tmp_path, remote=far, unauthenticated=True, max_attachment_size_mb=1
    ) as running:
        yield running


@pytest.fixture
async def alice(server):
    return await server.registers("alice")


class TestDownload:
    async def test_it_comes_from_the_other_server_once(self, alice, far):
        for _ in range(2):
            got = await alice.downloads(CAT)
            assert (got.status, got.body) == (200, PICTURE)
            assert got.headers["Content-Type"] == "image/png"
            assert got.headers["Content-Disposition"].endswith("utf-8''Katze%20%E7%8C%AB.png")
        assert [uri for uri, _ in far.asked] == [CAT]

    async def test_of_many_who_ask_at_once_one_fetches(self, alice, far):
        got = await asyncio.gather(*[alice.downloads(CAT) for _ in range(8)])
        assert {each.body for each in got} == {PICTURE}
        assert len(far.asked) == 1

    async def test_of_two_processes_that_fetch_at_once_one_keeps_it(
        self, server, alice, far, database
    ):
        """What the other one has fetched meanwhile is the answer."""
        other = FarAway()
        known = KnownMedia(clock=server.media.services.clock)
        downloads = Downloads(
            database=database,
            files=server.media.stores.files,
            remote=other,
            known=known,
            arrivals=Arrivals(bus=LocalBus(), changed=known.forget),
            server_name=ServerName("example.org"),
            max_bytes=2**20,
            max_wait_ms=0,
            clock=server.media.services.clock,
        )
        address = MediaAddress(ServerName("far.example"), "cat")
        far.before_answer = lambda: downloads.find(address, timeout_ms=0)
        far.files[CAT] = b"something else"
        assert (await alice.downloads(CAT)).body == PICTURE
        assert len(server.files()) == 1

    async def test_parts_conditions_and_native_clients_are_served_as_ever(self, server, alice):
        got = await alice.downloads(CAT, headers={"Range": "bytes=1-3"})
        assert (got.status, got.body) == (206, b"PNG")
        got = await alice.downloads(CAT, headers={"If-None-Match": got.headers["ETag"]})
        assert got.status == 304
        got = await alice.asks("GET", "/api/attachments/far.example/cat/a.png")
        assert (got.status, got.body) == (200, PICTURE)

    async def test_content_that_is_here_already_is_kept_once(self, server, alice):
        await alice.uploads(PICTURE, "image/png")
        await alice.downloads(CAT)
        assert len(server.files()) == 1

    async def test_what_is_not_there_is_not_found(self, alice):
        got = await alice.downloads("mxc://far.example/dog")
        assert (got.status, got.errcode) == (404, "M_NOT_FOUND")

    async def test_the_old_endpoints_fetch_unless_told_otherwise(self, server, far):
        got = await server.nobody.asks("GET", OPEN, allow_remote="false")
        assert (got.status, got.errcode) == (404, "M_NOT_FOUND")
        assert far.asked == []
        assert (await server.nobody.asks("GET", OPEN)).body == PICTURE
        assert (await server.nobody.asks("GET", OPEN, allow_remote="false")).body == PICTURE

    async def test_the_other_server_may_take_as_long_as_the_client_waits(self, alice, far):
        """But no longer than `media.max_wait_seconds`."""
        far.files.clear()
        for timeout_ms in (0, 5_000, 10**9):
            await alice.downloads(CAT, timeout_ms=timeout_ms)
        await alice.downloads(CAT)
        assert [waits for _, waits in far.asked] == [0, 5_000, 60_000, 20_000]


class TestThumbnail:
    async def test_it_is_made_here_of_what_was_fetched(self, alice, far):
        for size in (32, 96):
            query = f"?width={size}&height={size}&method=crop"
            got = await alice.asks("GET", THUMBNAIL + query)
            assert got.status == 200
            picture = decoded(got.body)
            assert (picture.width, picture.height) == (size, size)
        assert len(far.asked) == 1


class TestFailures:
    """Nothing is left, and the next one who asks may have more luck."""

    @pytest.mark.parametrize(
        ("error", "status", "errcode"),
        [
            (NotYetUploaded("Not yet."), 504, "M_NOT_YET_UPLOADED"),
            (Unavailable("Nobody is there."), 503, "M_UNKNOWN"),
        ],
    )
    async def test_what_the_other_server_says_is_told(self, alice, far, error, status, errcode):
        far.error = error
        got = await alice.downloads(CAT)
        assert (got.status, got.errcode) == (status, errcode)
        far.error = None
        assert (await alice.downloads(CAT)).body == PICTURE

    @pytest.mark.parametrize("tells_length", [True, False])
    async def test_what_is_too_large_is_not_kept(self, server, alice, far, tells_length):
        far.files[CAT] = bytes(2**20 + 1)
        far.tells_length = tells_length
        got = await alice.downloads(CAT)
        assert (got.status, got.errcode) == (502, "M_TOO_LARGE")
        assert server.files() == []

    async def test_what_is_cut_off_is_not_kept(self, server, alice, far):
        far.files[CAT], far.cut_off_after = bytes(900_000), 600_000
        assert (await alice.downloads(CAT)).status == 503
        assert server.files() == []
        far.cut_off_after = None
        assert (await alice.downloads(CAT)).body == bytes(900_000)


class TestRetention:
    """`media.keep_remote_days`, and purges."""

    async def test_copies_go_by_a_rule_of_their_own_and_come_again(
        self, server, alice, far, database
    ):
        mine = await alice.uploads(b"of this server")
        await alice.downloads(CAT)
        services, clock = server.media.services, ManualClock()
        clock.ms = services.clock.now_ms() + 91 * DAY_MS
        upkeep = Upkeep(
            database=database,
            files=server.media.stores.files,
            downloads=services.downloads,
            settings=services.settings,
            clock=clock,
            pause_s=0,
        )
        await upkeep.sweep()
        assert len(server.files()) == 1
        assert (await alice.downloads(mine)).status == 200
        assert (await alice.downloads(CAT)).body == PICTURE
        assert len(far.asked) == 2

    async def test_operators_purge_copies_alone(self, server, alice, database):
        mine = await alice.uploads(b"of this server")
        await alice.downloads(CAT)
        stores = server.media.stores
        operator = Maintenance(
            database=database,
            files=stores.files,
            stores=stores.by_name,
            announce=server.media.services.downloads.arrivals.announce,
            clock=server.media.services.clock,
        )
        assert await operator.purge(Selection(not_origin="example.org"), lambda *_: None) == 1
        assert (await alice.downloads(mine)).status == 200
        assert len(server.files()) == 1
