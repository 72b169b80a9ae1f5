"""One-time keys of before migration 0015, a row each, are in batches after it."""

import hashlib
import shutil
from importlib.resources import files
from pathlib import Path

import asyncpg

from homeserver.storage import one_time_keys
from homeserver.storage.migrate import migrate, read_migrations
from homeserver.storage.one_time_keys import Batch, Wanted
from tests.support.postgres import fresh_database

NAME = "one_time_key_batches"


def before(directory: Path) -> Path:
    """The migrations up to the one that makes batches, without it."""
    for each in read_migrations():
        if each.name.endswith(NAME):
            break
        shutil.copy(str(files("schema") / "migrations" / f"{each.name}.sql"), directory)
    return directory


async def insert_keys(db: asyncpg.Connection) -> None:
    await db.execute(
        """
        INSERT INTO users (user_id, uuid) VALUES ('@alice:example.org', gen_random_uuid());
        INSERT INTO sessions (uuid, user_nid, device_id, created_at, last_seen_at, expires_at)
        SELECT gen_random_uuid(), user_nid, device, 0, 0, 0
        FROM users, unnest('{PHONE,LAPTOP}'::text[]) AS device;
        """
    )
    nids = dict(await db.fetch("SELECT device_id, session_nid FROM sessions"))
    for name in ("Z", "A", "ä"):
        await db.execute(
            "INSERT INTO one_time_keys (session_nid, algorithm, key_id, key)"
            " VALUES ($1, 'x', $2, $3), ($1, 'y', $2, $3)",
            nids["PHONE"],
            name,
            f'"key {name}"'.encode(),
        )
    for serial in (100, 101):
        await db.execute(
            "INSERT INTO claimed_one_time_keys (session_nid, serial, algorithm, key_id, key_hash)"
            " VALUES ($1, $2, 'x', $3, $4)",
            nids["PHONE"],
            serial,
            f"C{serial}",
            hashlib.sha256(f'"key {serial}"'.encode()).digest(),
        )


async def test_they_are_handed_out_in_their_order_and_remembered(postgres: str, tmp_path: Path):
    async with fresh_database(postgres, template=None) as dsn:
        await migrate(dsn, source=before(tmp_path))
        db = await asyncpg.connect(dsn)
        try:
            await insert_keys(db)
            await migrate(dsn)
            nid = await db.fetchval("SELECT session_nid FROM sessions WHERE device_id = 'PHONE'")
            stock = await one_time_keys.stock(db, nid)
            assert stock.counts == {"x": 3, "y": 3}
            known = await one_time_keys.known(db, nid, Batch("x", {"C100": "", "A": ""}))
            assert known.left["A"] == hashlib.sha256(b'"key A"').digest()
            repeated = Batch("x", {"C100": '"key 100"', "C101": '"another"', "A": '"key A"'})
            known = await one_time_keys.known(db, nid, repeated)
            assert known.fresh(repeated, repeated.keys) == Batch("x", {"C101": '"another"'})
            wish = Wanted("@alice:example.org", "PHONE", "x")
            claimed = await one_time_keys.claim(db, [wish] * 4)
            given = {key.key_id: key.key.decode() for key in claimed}
            assert given == {name: f'"key {name}"' for name in ("Z", "A", "ä")}
            in_order = [key.key_id for key in sorted(claimed, key=lambda key: key.number)]
            assert in_order == ["Z", "A", "ä"]
        finally:
            await db.close()
