"""Files in a bucket of a real S3 service."""

import hashlib
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from pydantic import SecretStr

from homeserver.clock import SystemClock
from homeserver.config import S3Config
from homeserver.storage.database import Database
from homeserver.storage.media_expiry import Selection
from mediarepo.maintenance import Maintenance, are_whole
from mediarepo.store import Missing
from mediarepo.store.s3 import S3Store
from tests.support.bucket import Bucket, running_bucket
from tests.support.cutter import Cutter, cutter
from tests.support.media import MediaServer, media_config, media_server, place
from tests.support.pictures import halves, png

LARGE = b"0123456789abcdef" * 600_000


@pytest.fixture(scope="module")
def bucket(tmp_path_factory) -> Iterator[Bucket]:
    with running_bucket(tmp_path_factory.mktemp("bucket")) as running:
        yield running


@pytest.fixture
def settings(bucket: Bucket, request) -> S3Config:
    """A folder of the test's own."""
    prefix = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]
    return bucket.settings.model_copy(update={"prefix": prefix})


@pytest.fixture
async def server(database: Database, tmp_path, settings) -> AsyncIterator[MediaServer]:
    async with media_server(database, tmp_path, store="s3", s3=settings) as running:
        yield running


@pytest.fixture
async def alice(server):
    return await server.registers("alice")


async def held(settings: S3Config) -> dict[bytes, int]:
    return {each.sha256: each.size async for each in S3Store(settings=settings).list()}


def maintenance(server: MediaServer, database: Database) -> Maintenance:
    stores = server.media.stores
    return Maintenance(
        database=database,
        files=stores.files,
        stores=stores.by_name,
        announce=lambda _: None,
        clock=SystemClock(),
    )


def unseen(_files: int, _bytes: int) -> None:
    """Nobody looks."""


class TestBucket:
    async def test_files_go_there_and_come_back_whole_and_in_parts(self, server, alice, settings):
        for data in (b"", b"small", LARGE):
            uri = await alice.uploads(data, "text/plain")
            assert (await alice.downloads(uri)).body == data
        got = await alice.downloads(uri, headers={"Range": "bytes=9000000-9000009"})
        assert (got.status, got.body) == (206, LARGE[9_000_000:9_000_010])
        assert sorted((await held(settings)).values()) == [0, 5, len(LARGE)]
        assert server.files() == []

    async def test_a_file_that_is_lost_is_not_found(self, server, alice, settings):
        uri = await alice.uploads(b"lost")
        store = S3Store(settings=settings)
        await store.delete(hashlib.sha256(b"lost").digest())
        got = await alice.downloads(uri)
        assert (got.status, got.errcode) == (404, "M_NOT_FOUND")
        with pytest.raises(Missing):
            await anext(store.open(hashlib.sha256(b"lost").digest()))

    async def test_a_bucket_that_fails_is_told_and_leaves_nothing(
        self, database, tmp_path, settings
    ):
        wrong = settings.model_copy(update={"secret_access_key": SecretStr("wrong")})
        async with media_server(database, tmp_path, store="s3", s3=wrong) as server:
            alice = await server.registers("alice")
            got = await alice.tries_to_upload(LARGE)
            assert (got.status, got.errcode) == (503, "M_UNKNOWN")
            assert server.files() == []
        async with database.connection() as db:
            assert await db.fetchval("SELECT count(*) FROM media_files") == 0

    async def test_what_cannot_be_recorded_is_taken_out_again(
        self, server, alice, settings, database
    ):
        async with database.connection() as db:
            await db.execute("ALTER TABLE media ADD CONSTRAINT no CHECK (size <> 5)")
        assert (await alice.tries_to_upload(b"12345")).status == 500
        assert await held(settings) == {}


class TestCutOff:
    """The service goes away in the middle."""

    @pytest.fixture
    async def wire(self, settings) -> AsyncIterator[Cutter]:
        async with cutter(settings.endpoint) as running:
            yield running

    @pytest.fixture
    async def server(self, database, tmp_path, settings, wire) -> AsyncIterator[MediaServer]:
        through = settings.model_copy(update={"endpoint": wire.url})
        async with media_server(database, tmp_path, store="s3", s3=through) as running:
            yield running

    async def test_an_upload_is_refused_and_leaves_nothing(self, server, alice, wire, settings):
        data = LARGE * 3
        wire.max_up = len(data) // 2
        got = await alice.tries_to_upload(data)
        assert (got.status, got.errcode) == (503, "M_UNKNOWN")
        assert server.files() == []
        wire.mends()
        await server.media.stores.files.recover()
        assert await held(settings) == {}
        assert (await alice.downloads(await alice.uploads(data))).body == data

    async def test_what_was_kept_without_an_answer_goes_again(self, server, alice, wire, settings):
        wire.unanswered = b"PUT "
        assert (await alice.tries_to_upload(b"kept, but who knows")).status == 503
        assert await held(settings) == {}

    async def test_a_download_ends_before_its_end(self, server, alice, wire):
        uri = await alice.uploads(LARGE)
        wire.max_down = 2_000_000
        with pytest.raises(aiohttp.ClientPayloadError):
            await alice.downloads(uri)
        got = await alice.downloads(uri)
        assert (got.status, got.errcode) == (503, "M_UNKNOWN")
        wire.mends()
        assert (await alice.downloads(uri)).body == LARGE


class TestUpkeep:
    async def test_thumbnails_are_kept_there_too_and_go_with_their_picture(
        self, server, alice, settings, database
    ):
        uri = await alice.uploads(png(halves(400, 300)), "image/png")
        path = f"/_matrix/client/v1/media/thumbnail/{place(uri)}?width=96&height=96"
        got = await alice.asks("GET", path)
        assert (got.status, got.headers["Content-Type"]) == (200, "image/jpeg")
        assert len(await held(settings)) == 2
        assert server.files() == []
        assert await maintenance(server, database).purge(Selection(), unseen) == 1
        assert await held(settings) == {}


class TestMove:
    async def test_files_move_from_store_to_store_and_can_be_read_meanwhile(
        self, database, tmp_path, settings
    ):
        async with media_server(database, tmp_path, s3=settings) as server:
            alice = await server.registers("alice")
            uris = {await alice.uploads(each): each for each in (b"one", b"two", LARGE)}
            operator = maintenance(server, database)
            assert await operator.move("s3", unseen) == 3
            assert server.files() == []
            assert len(await held(settings)) == 3
            again = await alice.uploads(b"one")
            for uri, data in {**uris, again: b"one"}.items():
                assert (await alice.downloads(uri)).body == data
            assert server.files() == []
            assert are_whole(await operator.verify(contents=True, progress=unseen))
            assert await operator.move("filesystem", unseen) == 3
            assert await held(settings) == {}
            for uri, data in uris.items():
                assert (await alice.downloads(uri)).body == data

    async def test_an_interrupted_move_goes_on(self, database, tmp_path, settings):
        config = media_config(tmp_path, s3=settings)
        async with media_server(database, tmp_path, s3=config.media.s3) as server:
            alice = await server.registers("alice")
            for number in range(4):
                await alice.uploads(bytes([number]))

            def stop(_files: int, _bytes: int) -> None:
                raise KeyboardInterrupt

            operator = maintenance(server, database)
            with pytest.raises(KeyboardInterrupt):
                await operator.move("s3", stop)
            assert len(server.files()) == 3
            assert await operator.move("s3", unseen) == 3
            assert len(await held(settings)) == 4
            assert are_whole(await operator.verify(contents=True, progress=unseen))
