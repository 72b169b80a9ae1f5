"""The media repository beside the server, after crashes, and what operators do with it."""

import hashlib
import json
import signal
from collections.abc import Iterator

import aiohttp
import asyncpg
import pytest

from homeserver.storage.embedded import running_dsn
from tests.support.live_server import GENEROUS, HANGING_S, LiveServer, running
from tests.support.media_process import Someone, half_an_upload, media_process, registers, until

_SOMEBODY_WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
_THUMBNAIL = """
    INSERT INTO thumbnails (source, width, height, method, animated, content_type, created_at)
    VALUES ($1, 96, 96, 'crop', false, 'image/png', 0)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[LiveServer]:
    with running(tmp_path_factory.mktemp("media"), GENEROUS) as started:
        yield started


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


def verified(server: LiveServer) -> dict:
    done = server.foyer("media", "verify", "--contents", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


class TestItsOwnProcess:
    async def test_it_knows_tokens_and_its_end_disturbs_nobody(self, server, http, request):
        alice = await registers(http, server.url, "alice")
        with media_process(server) as (url, process):
            place = await alice.uploads(url, b"from the process")
            assert await alice.downloads(url, place) == (200, b"from the process")
            # The other one has it at once, too.
            assert await alice.downloads(server.url, place) == (200, b"from the process")
            nobody = Someone(http, "wrong")
            assert (await nobody.downloads(url, place))[0] == 401
            async with http.post(
                server.url + "/_matrix/client/v3/logout", headers=alice.headers
            ) as response:
                assert response.status == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(HANGING_S) == 0
        bob = await registers(http, server.url, "bob")
        assert await bob.downloads(server.url, place) == (200, b"from the process")
        assert server.problems() == []


class TestKill:
    async def test_an_upload_that_a_crash_cut_off_leaves_nothing(self, server, http):
        carol = await registers(http, server.url, "carol")
        place = await carol.uploads(server.url, b"kept")
        spool = server.data_dir / "media" / "spool"
        with half_an_upload(server.url, carol, 8_000_000):
            await until(lambda: any(path.stat().st_size > 10**6 for path in spool.glob("*/in-*")))
            server.restart(signal.SIGKILL)
        assert await carol.downloads(server.url, place) == (200, b"kept")
        assert verified(server)["ok"]
        assert list(spool.glob("*/in-*")) == []

    async def test_a_file_without_a_row_goes_at_the_next_start(self, server, http):
        """As a crash between the store and the commit leaves it."""
        data = b"never committed"
        digits = hashlib.sha256(data).hexdigest()
        server.stop(signal.SIGKILL)
        left = server.data_dir / "media" / "spool" / "gone" / f"{digits}-1"
        stored = server.data_dir / "media" / "files" / digits[:2] / digits
        for path in (left, stored):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        server.start()
        dave = await registers(http, server.url, "dave")
        await dave.uploads(server.url, b"something else")
        await until(lambda: not left.exists())
        assert verified(server)["ok"]


class TestOperators:
    async def test_verify_tells_what_is_lost_and_what_is_unknown(self, server, http):
        erin = await registers(http, server.url, "erin")
        await erin.uploads(server.url, b"to be lost")
        digits = hashlib.sha256(b"to be lost").hexdigest()
        stored = server.data_dir / "media" / "files" / digits[:2] / digits
        unknown = stored.with_name(digits[:2] + "0" * 62)
        stored.rename(unknown)
        done = server.foyer("media", "verify", "--json")
        unknown.rename(stored)
        assert done.returncode == 1
        found = {each["name"]: each["first"] for each in json.loads(done.stdout)["checks"]}
        assert [digits] in found.values()
        assert [f"filesystem: {unknown.name}"] in found.values()
        assert verified(server)["ok"]

    async def test_quarantine_by_address_by_user_and_by_content(self, server, http):
        frank = await registers(http, server.url, "frank")
        places = [await frank.uploads(server.url, data) for data in (b"a1", b"a2", b"a3")]
        assert (await frank.downloads(server.url, places[0]))[0] == 200

        async def become(*expected: int) -> None:
            """The server hears of it a moment later."""
            while True:
                found = [(await frank.downloads(server.url, each))[0] for each in places]
                if found == [*expected]:
                    return

        one = ("--media", f"mxc://{places[0]}")
        all_his = ("--user", "@frank:foyer.example")
        content = ("--hash", hashlib.sha256(b"a3").hexdigest())
        for option, expected in (
            (one, (404, 200, 200)),
            (all_his, (404, 404, 404)),
            (content, (200, 200, 404)),
        ):
            assert server.foyer("media", "quarantine", *option).returncode == 0
            await become(*expected)
            if option is content:
                again = await frank.uploads(server.url, b"a3")
                assert (await frank.downloads(server.url, again))[0] == 404
            assert server.foyer("media", "quarantine", "--lift", *option).returncode == 0
            await become(200, 200, 200)

    async def test_usage_and_purge(self, server, http):
        grace = await registers(http, server.url, "grace")
        places = [await grace.uploads(server.url, data) for data in (b"12345", b"123")]
        usage = json.loads(server.foyer("media", "usage", "--json").stdout)
        mine = [each for each in usage["usage"] if each["whose"] == "@grace:foyer.example"]
        assert mine == [{"whose": "@grace:foyer.example", "media": 2, "bytes": 8}]
        selection = ("--user", "@grace:foyer.example", "--json")
        counted = server.foyer("media", "purge", "--dry-run", *selection)
        assert json.loads(counted.stdout) == {"media": 2}
        assert json.loads(server.foyer("media", "purge", *selection).stdout) == {"media": 2}
        assert len(places) == 2
        digits = hashlib.sha256(b"12345").hexdigest()
        assert not (server.data_dir / "media" / "files" / digits[:2] / digits).exists()
        assert verified(server)["ok"]

    async def test_a_purge_that_was_killed_goes_on(self, server, http):
        heidi = await registers(http, server.url, "heidi")
        data = [bytes([number]) * 1_000 for number in range(6)]
        for each in data:
            await heidi.uploads(server.url, each)
        selection = ("--user", "@heidi:foyer.example", "--json")
        held = hashlib.sha256(data[3]).digest()
        database = await asyncpg.connect(running_dsn(server.data_dir))
        await database.execute(_THUMBNAIL, held)
        async with database.transaction():
            # It comes as far as this one: out of the store, and its row not yet gone.
            await database.execute("SELECT FROM thumbnails WHERE source = $1 FOR UPDATE", held)
            with server.foyer_runs("media", "purge", *selection) as purge:
                while not await database.fetchval(_SOMEBODY_WAITS):
                    pass
                purge.kill()
                assert purge.wait(HANGING_S) == -signal.SIGKILL
        await database.close()
        assert server.foyer("media", "verify").returncode == 1
        assert server.foyer("media", "purge", *selection).returncode == 0
        for each in data:
            digits = hashlib.sha256(each).hexdigest()
            assert not (server.data_dir / "media" / "files" / digits[:2] / digits).exists()
        assert verified(server)["ok"]

    async def test_usage_of_rooms(self, server, http):
        ivan = await registers(http, server.url, "ivan")
        place = await ivan.uploads(server.url, b"123456789")
        url = server.url + "/_matrix/client/v3/"
        async with http.post(url + "createRoom", json={}, headers=ivan.headers) as made:
            room = (await made.json())["room_id"]
        content = {"msgtype": "m.file", "body": "a", "url": f"mxc://{place}"}
        path = f"{url}rooms/{room}/send/m.room.message/1"
        async with http.put(path, json=content, headers=ivan.headers) as sent:
            assert sent.status == 200
        while True:  # references are counted a moment later
            usage = json.loads(server.foyer("media", "usage", "--rooms", "--json").stdout)
            found = [each for each in usage["usage"] if each["whose"] == room]
            if found:
                break
        assert found == [{"whose": room, "media": 1, "bytes": 9}]

    @pytest.mark.parametrize(
        "wrong",
        [
            ("purge",),
            ("purge", "--before", "tomorrow"),
            ("purge", "--user", "@nobody:foyer.example"),
            ("quarantine", "--hash", "12"),
            ("quarantine",),
        ],
    )
    def test_what_cannot_be_meant_is_refused_in_a_sentence(self, server, wrong):
        done = server.foyer("media", *wrong)
        assert done.returncode in {1, 2}
        assert done.stderr.startswith("foyer: ")
        assert "Traceback" not in done.stderr
