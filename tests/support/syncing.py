"""Syncing over a server without façades.

async with syncing_of(server) as syncing:
    answer = await syncing.sync.sync(alice, SyncRequest())
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex

from homeserver.config import Config, ServerConfig
from homeserver.room_views import build_room_views
from homeserver.syncing import Syncing, build_syncing
from tests.support.server import SERVER, Server


@asynccontextmanager
async def syncing_of(server: Server, config: Config | None = None) -> AsyncIterator[Syncing]:
    """Each is a process of its own to clients."""
    syncing = build_syncing(
        config=config or Config(server=ServerConfig(name=SERVER)),
        core=server.core,
        database=server.database,
        bus=server.bus,
        clock=server.clock,
        room_views=build_room_views(
            database=server.database,
            streams=server.core.streams,
            server_name=SERVER,
            searchable=False,
            clock=server.clock,
        ),
        counts=server.core.notifications.counts,
        boot=token_hex(5),
    )
    syncing.start()
    tasks = [asyncio.ensure_future(run()) for run in syncing.background()]
    try:
        yield syncing
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
