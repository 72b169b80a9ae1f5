"""Finding what an mxc:// URI names: here, soon, or on another server."""

import asyncio
from uuid import UUID
from weakref import WeakValueDictionary

from homeserver.clock import Clock
from homeserver.errors import NotYetUploaded, RemoteTooLarge, TooLarge
from homeserver.identifiers import ServerName
from homeserver.storage import media
from homeserver.storage.database import Connection, Database
from homeserver.storage.media import MediaRecord, NewMedia
from homeserver.storage.media_files import FileRecord
from mediarepo.addresses import MediaAddress, no_such_media
from mediarepo.arrivals import Arrivals
from mediarepo.files import Files
from mediarepo.headers import clean_type
from mediarepo.known import KnownMedia
from mediarepo.remote import RemoteFile, RemoteMedia
from mediarepo.uploads import MAX_FILENAME_CHARS

_DAY_MS = 86_400_000
_MAX_NOTED = 50_000
_MS = 1_000


class _FetchedMeanwhile(Exception):
    """Another process was faster."""


class Downloads:
    """What there is to be downloaded. Files themselves are served by whoever asks."""

    def __init__(
        self,
        *,
        database: Database,
        files: Files,
        remote: RemoteMedia,
        known: KnownMedia,
        arrivals: Arrivals,
        server_name: ServerName,
        max_bytes: int,
        max_wait_ms: int,
        clock: Clock,
    ) -> None:
        """max_bytes: of a file of another server. max_wait_ms: for a file to be uploaded."""
        self._database = database
        self._files = files
        self._remote = remote
        self._server_name = server_name
        self._max_bytes = max_bytes
        self._max_wait_ms = max_wait_ms
        self._clock = clock
        self._known = known
        self._looked_at: set[UUID] = set()
        self._fetching: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self.arrivals = arrivals

    async def find(
        self, address: MediaAddress, *, timeout_ms: int, allow_remote: bool = True
    ) -> tuple[MediaRecord, FileRecord]:
        """What an address names, and its file. timeout_ms: how long it may take to be uploaded.

        Raises NotFound, NotYetUploaded, RemoteTooLarge, Unavailable.
        """
        found = await self._here(address)
        if found is None:
            found = await self._elsewhere(address, timeout_ms, allow_remote=allow_remote)
        if found.file is None:
            found = await self._awaited(found, address, timeout_ms)
        if found.is_quarantined or found.file is None:
            raise no_such_media()
        self._note(found)
        return found, found.file

    async def flush(self) -> None:
        """Writes down what was looked at. Raises Unavailable; what was not written is noted."""
        while noted := tuple(self._looked_at)[:_MS]:
            async with self._database.transaction() as db:
                await media.touch(db, noted, self._clock.now_ms())
            self._looked_at.difference_update(noted)

    async def _here(self, address: MediaAddress) -> MediaRecord | None:
        known = self._known.get(address.uuid)
        if known is not None:
            return known
        changes = self._known.changes
        async with self._database.connection() as db:
            found = await media.get(db, address.origin, address.media_id)
        if found is not None:
            self._known.remember(found, changes)
        return found

    async def _elsewhere(
        self, address: MediaAddress, timeout_ms: int, *, allow_remote: bool
    ) -> MediaRecord:
        if address.origin == self._server_name or not allow_remote:
            raise no_such_media()
        async with self._fetching.setdefault(address.uuid, asyncio.Lock()):
            found = await self._here(address)
            if found is None:
                await self._fetch(address, min(timeout_ms, self._max_wait_ms))
                found = await self._here(address)
        if found is None:
            raise no_such_media()
        return found

    async def _fetch(self, address: MediaAddress, timeout_ms: int) -> None:
        async with self._remote.fetch(address, timeout_ms=timeout_ms) as sent:
            if sent.length is not None and sent.length > self._max_bytes:
                raise RemoteTooLarge("The file is too large to be fetched.")

            async def record(db: Connection, file: FileRecord) -> None:
                new = _fetched(address, sent, file)
                if not await media.insert_fetched(db, new, self._clock.now_ms()):
                    raise _FetchedMeanwhile

            try:
                await self._files.keep(
                    sent.stream, max_bytes=self._max_bytes, record=self._files.claiming(record)
                )
            except _FetchedMeanwhile:
                return
            except TooLarge as error:
                raise RemoteTooLarge("The file is too large to be fetched.") from error

    async def _awaited(
        self, found: MediaRecord, address: MediaAddress, timeout_ms: int
    ) -> MediaRecord:
        """C-S API v1.19 `timeout_ms`: how long to wait for a file that was not uploaded yet."""
        timeout_s = max(0, min(timeout_ms, self._max_wait_ms)) / _MS
        give_up = self._clock.monotonic() + timeout_s
        while found.file is None:
            if found.expires_at is None or found.expires_at <= self._clock.now_ms():
                raise no_such_media()
            left_s = give_up - self._clock.monotonic()
            if left_s <= 0:
                raise NotYetUploaded("The file has not been uploaded yet.")
            await self.arrivals.wait(found.uuid, left_s)
            again = await self._here(address)
            if again is None:
                raise no_such_media()
            found = again
        return found

    def _note(self, found: MediaRecord) -> None:
        """That somebody looked at it counts by the day."""
        is_old = found.last_access_at < self._clock.now_ms() - _DAY_MS
        if is_old and len(self._looked_at) < _MAX_NOTED:
            self._looked_at.add(found.uuid)


def _fetched(address: MediaAddress, sent: RemoteFile, file: FileRecord) -> NewMedia:
    return NewMedia(
        origin=address.origin,
        media_id=address.media_id,
        user_nid=None,
        file=file,
        content_type=clean_type(sent.content_type),
        filename=None if sent.filename is None else sent.filename[:MAX_FILENAME_CHARS],
    )
