"""Files that people upload, and the addresses that they may have beforehand.

Source: C-S API v1.19 "Content repository"; content-repo.yaml.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from homeserver.actions.standing import require_active
from homeserver.clock import Clock
from homeserver.errors import (
    InvalidInput,
    LimitExceeded,
    MediaExists,
    NotAllowed,
    QuotaExceeded,
    TooLarge,
)
from homeserver.identifiers import ServerName
from homeserver.requester import Requester
from homeserver.storage import media, media_files
from homeserver.storage.database import Connection, Database
from homeserver.storage.media import MediaRecord, NewMedia
from homeserver.storage.media_files import FileRecord
from mediarepo.addresses import MediaAddress, new_address, no_such_media
from mediarepo.arrivals import Arrivals
from mediarepo.files import Files
from mediarepo.headers import clean_type
from mediarepo.known import KnownMedia

MAX_FILENAME_CHARS = 500
_DAY_MS = 86_400_000
_BUSY_RETRY_MS = 1_000


@dataclass(frozen=True, slots=True)
class Upload:
    """What somebody sends. length: bytes, if they were told beforehand."""

    stream: AsyncIterator[bytes]
    length: int | None
    content_type: str | None
    filename: str | None


@dataclass(frozen=True, slots=True)
class Pending:
    """An address that waits for its file, until a moment in milliseconds since the epoch."""

    address: MediaAddress
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """quotas: bytes; 0: none. at_once, pending: of one user."""

    max_bytes: int
    user_bytes: int
    day_bytes: int
    at_once: int
    pending: int
    pending_ms: int


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A file that is kept."""

    address: MediaAddress
    file: FileRecord
    content_type: str
    filename: str | None


Follow = Callable[[Uploaded], Awaitable[None]]


class Uploads:
    """What people of this server put here."""

    def __init__(
        self,
        *,
        database: Database,
        files: Files,
        known: KnownMedia,
        arrivals: Arrivals,
        limits: UploadLimits,
        server_name: ServerName,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        follow: Follow,
    ) -> None:
        """follow: what comes after an upload, before its answer."""
        self._database = database
        self._files = files
        self._known = known
        self._arrivals = arrivals
        self._limits = limits
        self._server_name = server_name
        self._clock = clock
        self._random_bytes = random_bytes
        self._follow = follow
        self._running: Counter[int] = Counter()

    @property
    def max_bytes(self) -> int:
        """Of a file."""
        return self._limits.max_bytes

    async def upload(self, by: Requester, upload: Upload) -> Uploaded:
        """Keeps a file under a new address.

        Raises NotAllowed, QuotaExceeded, LimitExceeded, TooLarge, InvalidInput, Unavailable.
        """
        address = new_address(self._server_name, self._random_bytes)
        # A single statement, which is a transaction by itself, unless something is counted first.
        begin = self._database.transaction if self._has_quotas else self._database.connection

        async def record(new: NewMedia) -> FileRecord:
            changes = self._known.changes
            async with begin() as db:
                await self._check_quotas(db, by, new.file.size)
                kept = await media.insert_claiming(db, new, self._clock.now_ms())
            self._known.remember(kept, changes)
            assert kept.file is not None
            return kept.file

        uploaded = await self._keep(by, upload, address, record)
        await self._follow(uploaded)
        return uploaded

    async def create(self, by: Requester) -> Pending:
        """An address, to which the file comes later. Raises NotAllowed, LimitExceeded."""
        require_active(by)
        now_ms = self._clock.now_ms()
        pending = Pending(
            new_address(self._server_name, self._random_bytes), now_ms + self._limits.pending_ms
        )
        async with self._database.transaction() as db:
            await media.lock_user(db, by.user_nid)
            waiting, first = await media.pending(db, by.user_nid, now_ms)
            if first is not None and waiting >= self._limits.pending:
                raise LimitExceeded(
                    "You have as many addresses without a file as one may have.",
                    retry_after_ms=first - now_ms,
                )
            await media.insert_pending(
                db,
                pending.address.origin,
                pending.address.media_id,
                by.user_nid,
                now_ms=now_ms,
                expires_at=pending.expires_at,
            )
        return pending

    async def upload_to(self, by: Requester, address: MediaAddress, upload: Upload) -> Uploaded:
        """Keeps a file under an address that was made for it.

        Raises NotFound, MediaExists, and what `upload` raises.
        """
        async with self._database.connection() as db:
            self._check_waits(await media.get(db, address.origin, address.media_id), by)

        async def record(new: NewMedia) -> FileRecord:
            async with self._database.transaction() as db:
                await self._check_quotas(db, by, new.file.size)
                now_ms = self._clock.now_ms()
                file = await media_files.claim(db, new.file, now_ms)
                if not await media.fill(db, replace(new, file=file), now_ms):
                    self._check_waits(await media.get(db, address.origin, address.media_id), by)
                return file

        uploaded = await self._keep(by, upload, address, record)
        self._arrivals.announce(address.uuid)
        await self._follow(uploaded)
        return uploaded

    def _check_waits(self, found: MediaRecord | None, by: Requester) -> None:
        if found is None:
            raise no_such_media()
        if found.user_nid != by.user_nid:
            raise NotAllowed("Somebody else made this address.")
        if found.file is not None:
            raise MediaExists("A file was uploaded to this address already.")
        if found.expires_at is None or found.expires_at <= self._clock.now_ms():
            raise no_such_media()

    async def _keep(
        self,
        by: Requester,
        upload: Upload,
        address: MediaAddress,
        record: Callable[[NewMedia], Awaitable[FileRecord]],
    ) -> Uploaded:
        require_active(by)
        filename = _filename(upload.filename)
        content_type = clean_type(upload.content_type)
        await self._check_early(by, upload.length)

        async def commit(file: FileRecord) -> tuple[FileRecord, FileRecord]:
            new = NewMedia(
                origin=address.origin,
                media_id=address.media_id,
                user_nid=by.user_nid,
                file=file,
                content_type=content_type,
                filename=filename,
            )
            kept = await record(new)
            return kept, kept

        with self._one_more(by):
            file = await self._files.keep(
                upload.stream, max_bytes=self._limits.max_bytes, record=commit
            )
        return Uploaded(address, file, content_type, filename)

    async def _check_early(self, by: Requester, length: int | None) -> None:
        """What is known to be too much need not come first."""
        if length is not None and length > self._limits.max_bytes:
            raise TooLarge(f"A file has at most {self._limits.max_bytes} bytes here.")
        if self._has_quotas:
            async with self._database.transaction() as db:
                await self._check_quotas(db, by, length or 0)

    @property
    def _has_quotas(self) -> bool:
        return bool(self._limits.user_bytes or self._limits.day_bytes)

    async def _check_quotas(self, db: Connection, by: Requester, size: int) -> None:
        """Uploads of one user are counted one after the other.

        C-S API v1.19 "Security considerations": a quota that is reached is a 403.
        """
        if not self._has_quotas:
            return
        await media.lock_user(db, by.user_nid)
        day_ms = self._clock.now_ms() - _DAY_MS
        for quota, since_ms, when in (
            (self._limits.user_bytes, 0, "in all"),
            (self._limits.day_bytes, day_ms, "in 24 hours"),
        ):
            if not quota:
                continue
            kept = await media.uploaded_bytes(db, by.user_nid, since_ms=since_ms)
            if kept + size > quota:
                raise QuotaExceeded(f"You may upload {quota} bytes {when}.")

    @contextmanager
    def _one_more(self, by: Requester) -> Iterator[None]:
        if self._running[by.user_nid] >= self._limits.at_once:
            raise LimitExceeded(
                "You have as many uploads at the same time as one may have.",
                retry_after_ms=_BUSY_RETRY_MS,
            )
        self._running[by.user_nid] += 1
        try:
            yield
        finally:
            self._running[by.user_nid] -= 1
            if not self._running[by.user_nid]:
                del self._running[by.user_nid]


def _filename(given: str | None) -> str | None:
    if not given:
        return None
    if len(given) > MAX_FILENAME_CHARS or "\0" in given:
        raise InvalidInput(
            f"A file name has at most {MAX_FILENAME_CHARS} characters.", field="filename"
        )
    return given.encode("utf-8", "replace").decode()
