"""Smaller pictures, made at the upload or when somebody first asks for them, and kept for all who
do so later.

in memory → in the table → made in an imaging process, once for all who wait
"""

import asyncio
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from homeserver.clock import Clock
from homeserver.config.models import ThumbnailsConfig
from homeserver.errors import FoyerError, ImageTooLarge, ImagingFailed, NotAnImage
from homeserver.storage import media_files, thumbnails
from homeserver.storage.database import Connection, Database
from homeserver.storage.media_files import FileRecord
from homeserver.storage.thumbnails import ThumbnailKey, ThumbnailRecord
from mediarepo.addresses import no_such_media
from mediarepo.coalescing import Once
from mediarepo.files import Files
from mediarepo.headers import kind_of
from mediarepo.imaging.formats import Format
from mediarepo.imaging.imaging import NOBODY, Imaging
from mediarepo.imaging.sizes import Size, Target
from mediarepo.small_files import SmallFiles
from mediarepo.spool import Spool, contents_of, piece

_MIB = 1_048_576
_DAY_MS = 86_400_000
_REMEMBERED_MS = 60_000
_FAILURE_REMEMBERED_MS = 600_000
_MAX_REMEMBERED = 20_000
_MAX_THUMBNAIL_BYTES = 64 * _MIB
_REMOVED_AT_ONCE = 1_000

AT_UPLOAD = (Target(Size(96, 96), "crop"), Target(Size(800, 600), "scale"))
"""What clients show of most pictures: the first in lists and as avatars, the second in rooms."""

_CONTENT_TYPES = frozenset(each.value for each in Format)
_AT_UPLOAD_AT_ONCE = 25
"""Pictures that are being made smaller because they were uploaded."""
_UPLOAD_WAITS_S = 1.0

_Failure = NotAnImage | ImageTooLarge | ImagingFailed


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A file that shows a picture, perhaps the picture itself."""

    file: FileRecord
    content_type: str
    created_at: int


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What a key leads to, until a moment in milliseconds since the epoch."""

    outcome: Thumbnail | _Failure
    until_ms: int


class Thumbnails:
    """Thumbnails of files that are here."""

    def __init__(
        self,
        *,
        database: Database,
        files: Files,
        spool: Spool,
        imaging: Imaging,
        small_files: SmallFiles,
        settings: ThumbnailsConfig,
        clock: Clock,
    ) -> None:
        self._database = database
        self._files = files
        self._spool = spool
        self._imaging = imaging
        self._small_files = small_files
        self._max_file_bytes = settings.max_file_mb * _MIB
        self._keep_ms = settings.keep_days * _DAY_MS
        self._clock = clock
        self._known: OrderedDict[ThumbnailKey, _Remembered] = OrderedDict()
        self._making: Once[ThumbnailKey, Thumbnail] = Once()
        self._at_upload = settings.at_upload
        self._uploaded: set[asyncio.Task[None]] = set()

    async def of(self, picture: FileRecord, target: Target, *, owner: int = NOBODY) -> Thumbnail:
        """The thumbnail of a file, which is made if there is none. owner: who wants it.

        Raises NotAnImage, ImageTooLarge, ImagingFailed; LimitExceeded, Unavailable when too many
        are being made; Unavailable when the store does not work.
        """
        key = _key(picture, target)
        known = self._known.get(key)
        if known is not None and self._clock.now_ms() < known.until_ms:
            return _told(known.outcome)
        found = await self._kept(key, picture)
        if found is None:
            found = await self._making.run(key, partial(self._make, key, picture, target, owner))
        self._remember(key, found, _REMEMBERED_MS)
        return found

    async def expect(self, file: FileRecord, content_type: str) -> None:
        """Makes what will be asked for first of a picture that somebody uploaded.

        content_type: what it is said to be. Returns when that is done, or a moment later while it
        goes on: who uploads faster than thumbnails are made is slowed down a little, and what is
        too much is left until somebody asks for it.
        """
        if not self._at_upload or kind_of(content_type) not in _CONTENT_TYPES:
            return
        if len(self._uploaded) >= _AT_UPLOAD_AT_ONCE or self._files.path(file) is None:
            return  # from a bucket, the file would have to come back for each of them
        task = asyncio.create_task(self._make_expected(file))
        self._uploaded.add(task)
        task.add_done_callback(self._uploaded.discard)
        await asyncio.wait((task,), timeout=_UPLOAD_WAITS_S)

    async def _make_expected(self, picture: FileRecord) -> None:
        """Nobody in particular wants it yet, so it waits its turn beside those who ask. Whoever
        asks is told what was wrong; whoever uploads is not.
        """
        for target in AT_UPLOAD:
            with suppress(FoyerError):
                await self.of(picture, target)

    def forget(self, picture: FileRecord, target: Target) -> None:
        """What is remembered of it turned out to be wrong."""
        self._known.pop(_key(picture, target), None)

    async def sweep(self) -> None:
        """Removes what was made long ago. Raises Unavailable."""
        while True:
            now_ms = self._clock.now_ms()
            async with self._database.transaction() as db:
                removed = await thumbnails.remove_older(
                    db, now_ms - self._keep_ms, _REMOVED_AT_ONCE
                )
                await media_files.mark_unused(db, [each for each in removed if each], now_ms)
            if len(removed) < _REMOVED_AT_ONCE:
                return

    async def close(self) -> None:
        """Gives up what is being made."""
        for task in self._uploaded:
            task.cancel()
        await asyncio.gather(*self._uploaded, return_exceptions=True)
        await self._making.close()

    async def _kept(self, key: ThumbnailKey, picture: FileRecord) -> Thumbnail | None:
        async with self._database.connection() as db:
            record = await thumbnails.get(db, key)
        return None if record is None else _thumbnail(record, picture)

    async def _make(
        self, key: ThumbnailKey, picture: FileRecord, target: Target, owner: int
    ) -> Thumbnail:
        try:
            record = await self._made(key, picture, target, owner)
        except (NotAnImage, ImageTooLarge, ImagingFailed) as error:
            self._remember(key, error, _FAILURE_REMEMBERED_MS)
            raise
        return _thumbnail(record, picture)

    async def _made(
        self, key: ThumbnailKey, picture: FileRecord, target: Target, owner: int
    ) -> ThumbnailRecord:
        if picture.size > self._max_file_bytes:
            raise ImageTooLarge("The file is too large to make thumbnails of it.")
        with self._spool.scratch() as output:
            async with self._files.on_disk(picture) as path:
                made = await self._imaging.thumbnail(path, target, output=output, owner=owner)
            if made.is_original:
                async with self._database.transaction() as db:
                    return await self._record(key, made.content_type, db, None)
            data = await contents_of(output)
            record = await self._files.keep(
                piece(data),
                max_bytes=_MAX_THUMBNAIL_BYTES,
                record=self._files.claiming(partial(self._record, key, made.content_type)),
            )
        if record.file is not None:
            self._small_files.put(record.file.sha256, data)
        return record

    async def _record(
        self, key: ThumbnailKey, content_type: str, db: Connection, file: FileRecord | None
    ) -> ThumbnailRecord:
        record = ThumbnailRecord(file, content_type, self._clock.now_ms())
        if not await thumbnails.put(db, key, record):
            raise no_such_media()
        return record

    def _remember(self, key: ThumbnailKey, outcome: Thumbnail | _Failure, for_ms: int) -> None:
        self._known[key] = _Remembered(outcome, self._clock.now_ms() + for_ms)
        self._known.move_to_end(key)
        if len(self._known) > _MAX_REMEMBERED:
            self._known.popitem(last=False)


def _key(picture: FileRecord, target: Target) -> ThumbnailKey:
    return ThumbnailKey(
        source=picture.sha256,
        width=target.size.width,
        height=target.size.height,
        method=target.method,
        animated=target.animated,
    )


def _thumbnail(record: ThumbnailRecord, picture: FileRecord) -> Thumbnail:
    return Thumbnail(record.file or picture, record.content_type, record.created_at)


def _told(outcome: Thumbnail | _Failure) -> Thumbnail:
    """An error is raised as a new one, for each carries where it was raised."""
    if isinstance(outcome, Thumbnail):
        return outcome
    raise type(outcome)(str(outcome))
