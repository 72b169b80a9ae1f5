"""Connections by position: in memory while they are used, in the database for after a restart."""

import asyncio
import re
from collections import OrderedDict

import orjson
import structlog

from homeserver.clock import Clock
from homeserver.errors import InvalidInput, Unavailable, UnknownPosition
from homeserver.requester import Requester
from homeserver.storage import sliding_connections
from homeserver.storage.database import Database
from homeserver.storage.sliding_connections import StoredConnection
from homeserver.sync.sliding.connection import MAX_ROOMS, Connection, from_json, to_json
from homeserver.sync.token import SyncToken, parse_sync_token

CAPACITY = 5_000
KEPT_MS = 30 * 24 * 3600 * 1000
"""A connection that was told of no other rooms for so long ends."""

_SWEEP = 1_000
_SWEEP_S = 3600.0
_POS = re.compile(r"(?P<token>[^.]{1,200})\.(?P<version>[0-9]{1,15})", re.ASCII)

_Key = tuple[int, str]

log = structlog.get_logger(__name__)


def position_text(token: SyncToken, version: int) -> str:
    """Begins with the token, so that other endpoints understand it too."""
    return f"{token}.{version}"


class Connections:
    """Bounded; of each the newest version, and the one that the client came with last."""

    def __init__(self, *, database: Database, clock: Clock, capacity: int = CAPACITY) -> None:
        self._database = database
        self._clock = clock
        self._capacity = capacity
        self._known: OrderedDict[_Key, dict[int, Connection]] = OrderedDict()

    async def resume(
        self, by: Requester, conn_id: str, pos: str | None
    ) -> tuple[Connection, SyncToken | None]:
        """What was told up to a position, and the token of it; None: nothing.

        Raises UnknownPosition, Unavailable.
        """
        if pos is None:
            return Connection(), None
        token, version = _parsed(pos)
        if not version:
            return Connection(), token
        key = by.session_nid, conn_id
        known = self._known.get(key, {}).get(version)
        connection = known or await self._load(key, version)
        self._known[key] = {version: connection}
        self._known.move_to_end(key)
        return connection, token

    async def keep(
        self, by: Requester, conn_id: str, before: Connection, after: Connection
    ) -> None:
        """Both may be come back to. Raises Unavailable, UnknownPosition for one that is too big."""
        if after is before:
            return
        if len(after.rooms) > MAX_ROOMS:
            raise UnknownPosition("This connection was told of too many rooms: start afresh.")
        stored = StoredConnection(after.version, orjson.dumps(to_json(after)))
        async with self._database.transaction() as db:
            await sliding_connections.put(
                db,
                by.session_nid,
                conn_id,
                stored,
                keep=before.version,
                now_ms=self._clock.now_ms(),
            )
        self._known[by.session_nid, conn_id] = {before.version: before, after.version: after}
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)

    async def run(self) -> None:
        """Ends what has not been used for long, until cancelled."""
        while True:
            try:
                await self.sweep()
            except Unavailable:
                log.warning("sliding_connections_not_swept")
            await asyncio.sleep(_SWEEP_S)

    async def sweep(self) -> None:
        """Ends what has not been used for long. Raises Unavailable."""
        before_ms = self._clock.now_ms() - KEPT_MS
        while True:
            async with self._database.transaction() as db:
                if await sliding_connections.delete_unused(db, before_ms, _SWEEP) < _SWEEP:
                    return

    async def _load(self, key: _Key, version: int) -> Connection:
        async with self._database.connection() as db:
            stored = await sliding_connections.get(db, *key, version)
        if stored is None:
            raise UnknownPosition("This position is not known (any more): start afresh.")
        return from_json(version, orjson.loads(stored.state))


def _parsed(pos: str) -> tuple[SyncToken, int]:
    found = _POS.fullmatch(pos)
    if found is None:
        raise UnknownPosition("This is no position of this server: start afresh.")
    try:
        return parse_sync_token(found["token"]), int(found["version"])
    except InvalidInput:
        raise UnknownPosition("This is no position of this server: start afresh.") from None
