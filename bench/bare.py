"""The bare reference: how fast a message can be at all with the same parts.

`python -m bench.bare FOLDER` serves one route with aiohttp: it parses a body, inserts one row with
asyncpg and answers. No accounts, no rooms, no events, no fan-out.
"""

import asyncio
import sys
from pathlib import Path
from signal import SIGINT, SIGTERM
from time import time_ns
from uuid import UUID, uuid4

import asyncpg
import orjson
import uvloop
from aiohttp import web

from homeserver.storage.data_dir import DataDirLock, prepare_data_dir
from homeserver.storage.embedded import EmbeddedPostgres

PATH = "/messages"
_POOL = 10
_TABLE = """
CREATE TABLE IF NOT EXISTS bare_messages (
    id          uuid PRIMARY KEY,
    room        uuid NOT NULL,
    created_at  bigint NOT NULL,
    content     text NOT NULL
)
"""
_INSERT = "INSERT INTO bare_messages (id, room, created_at, content) VALUES ($1, $2, $3, $4)"


def bare_app(pool: asyncpg.Pool) -> web.Application:
    async def post(request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        message_id, created_at = uuid4(), time_ns() // 1_000_000
        await pool.execute(_INSERT, message_id, UUID(body["room"]), created_at, body["content"])
        answer = orjson.dumps({"id": message_id, "created_at": created_at})
        return web.Response(status=201, body=answer, content_type="application/json")

    app = web.Application()
    app.router.add_post(PATH, post)
    return app


async def serve(data_dir: Path) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    for number in (SIGINT, SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    prepare_data_dir(data_dir)
    lock = DataDirLock(data_dir=data_dir)
    lock.acquire()
    postgres = EmbeddedPostgres(data_dir=data_dir)
    try:
        dsn = await postgres.start()
        async with asyncpg.create_pool(dsn, min_size=_POOL, max_size=_POOL) as pool:
            await pool.execute(_TABLE)
            await _serve(bare_app(pool), stop)
    finally:
        await postgres.stop()
        lock.release()


async def _serve(app: web.Application, stop: asyncio.Event) -> None:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        print(f"ready http://{host}:{port}", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
