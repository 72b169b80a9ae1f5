"""How long files are kept. Source: docs/MEDIA.md."""

from collections.abc import AsyncIterator

import pytest

from homeserver.storage.database import Database
from mediarepo.upkeep import Upkeep
from tests.support.matrix_server import q
from tests.support.media import MediaServer, media_server, place
from tests.support.office import ManualClock

DAY_MS = 86_400_000
LATER = 30 * DAY_MS


@pytest.fixture
async def server(database: Database, tmp_path) -> AsyncIterator[MediaServer]:
    async with media_server(database, tmp_path, keep_remote_days=0) as running:
        yield running


@pytest.fixture
async def alice(server):
    return await server.registers("alice")


@pytest.fixture
async def room(alice):
    return await alice.matrix.creates_room()


async def sweep(server: MediaServer, database: Database, *, after_ms: int, **settings) -> None:
    """What is done when so much time has passed."""
    await server.counted()
    services = server.media.services
    clock = ManualClock()
    clock.ms = services.clock.now_ms() + after_ms
    upkeep = Upkeep(
        database=database,
        files=server.media.stores.files,
        downloads=services.downloads,
        settings=services.settings.model_copy(update=settings),
        clock=clock,
        pause_s=0,
    )
    await upkeep.sweep()


async def shows(alice, room, uri) -> str:
    content = {"msgtype": "m.file", "body": "a", "url": uri}
    return await alice.matrix.sends(room, "m.room.message", content)


async def redacts(alice, room, event_id) -> None:
    await alice.matrix.put(f"v3/rooms/{q(room)}/redact/{q(event_id)}/t{event_id[1:9]}")


class TestRedaction:
    async def test_a_file_goes_after_the_last_message_with_it(self, server, database, alice, room):
        uri = await alice.uploads(b"secret")
        first, second = [await shows(alice, room, uri) for _ in range(2)]
        await redacts(alice, room, first)
        await sweep(server, database, after_ms=LATER)
        assert (await alice.downloads(uri)).status == 200
        await redacts(alice, room, second)
        await sweep(server, database, after_ms=DAY_MS)
        assert (await alice.downloads(uri)).status == 200
        await sweep(server, database, after_ms=LATER)
        assert (await alice.downloads(uri)).status == 404
        assert server.files() == []

    async def test_a_file_that_is_shown_again_stays(self, server, database, alice, room):
        uri = await alice.uploads(b"again")
        await redacts(alice, room, await shows(alice, room, uri))
        await server.counted()
        await shows(alice, room, uri)
        await sweep(server, database, after_ms=LATER)
        assert (await alice.downloads(uri)).status == 200

    async def test_content_that_another_address_has_stays(self, server, database, alice, room):
        gone, kept = [await alice.uploads(b"both") for _ in range(2)]
        await redacts(alice, room, await shows(alice, room, gone))
        await sweep(server, database, after_ms=LATER)
        assert (await alice.downloads(gone)).status == 404
        assert (await alice.downloads(kept)).body == b"both"

    @pytest.mark.parametrize("how", ["profile", "account data"])
    async def test_what_its_owner_still_uses_stays(self, server, database, alice, room, how):
        uri = await alice.uploads(b"mine")
        await redacts(alice, room, await shows(alice, room, uri))
        user = q(alice.matrix.user_id)
        if how == "profile":
            await alice.matrix.put(f"v3/profile/{user}/avatar_url", {"avatar_url": uri})
        else:
            await alice.matrix.put(f"v3/user/{user}/account_data/org.packs", {"a": [uri]})
        await sweep(server, database, after_ms=LATER)
        assert (await alice.downloads(uri)).status == 200


class TestRooms:
    async def test_a_purged_room_takes_its_files_along(self, server, database, alice):
        uri = await alice.uploads(b"of the room")
        made = await alice.matrix.native.post("/api/rooms", {"type": "group", "members": []})
        async with database.connection() as db:
            room_id = await db.fetchval("SELECT room_id FROM rooms")
        await shows(alice, room_id, uri)
        await server.counted()
        await alice.matrix.native.delete(f"/api/rooms/{made['id']}")
        core = server.matrix.core
        assert core is not None
        async with database.connection() as db:
            await db.execute("UPDATE rooms SET deleted_at = 1")
        await core.delivery.retention.once()
        await sweep(server, database, after_ms=DAY_MS)
        assert (await alice.downloads(uri)).status == 404
        assert server.files() == []


class TestUnused:
    async def test_what_nobody_ever_showed_stays_unless_that_is_limited(
        self, server, database, alice
    ):
        """Nobody but its members can see what an encrypted room shows."""
        uri = await alice.uploads(b"ciphertext")
        await sweep(server, database, after_ms=LATER)
        assert (await alice.downloads(uri)).status == 200
        await sweep(server, database, after_ms=LATER, keep_unused_days=20)
        assert (await alice.downloads(uri)).status == 404

    async def test_an_address_without_a_file_ends(self, server, database, alice):
        uri = (await alice.creates())["content_uri"]
        await sweep(server, database, after_ms=2 * DAY_MS)
        got = await alice.fills(uri, b"late")
        assert (got.status, got.errcode) == (404, "M_NOT_FOUND")

    async def test_what_nobody_looked_at_goes_where_that_is_limited(self, server, database, alice):
        uri = await alice.uploads(b"old")
        await sweep(server, database, after_ms=LATER, keep_local_days=40)
        assert (await alice.downloads(uri)).status == 200
        await sweep(server, database, after_ms=LATER, keep_local_days=20)
        assert (await alice.downloads(uri)).status == 404

    async def test_to_look_at_it_keeps_it(self, server, database, alice):
        uri = await alice.uploads(b"loved")
        async with database.connection() as db:
            await db.execute("UPDATE media SET last_access_at = 5")
        server.media.services.downloads.arrivals.forget_all()
        await alice.downloads(uri)
        await server.media.services.downloads.flush()
        await sweep(server, database, after_ms=0, keep_local_days=20)
        assert (
            await alice.asks("GET", f"/_matrix/client/v1/media/download/{place(uri)}")
        ).status == 200
