"""Backups of room keys, which only their owner's clients can read.

Source: C-S API v1.19 "Server-side key backups"; `key_backup.yaml`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from e2e.backed_up_keys import encoded, to_be_stored
from homeserver.errors import InvalidInput, NotFound, TooLarge, WrongBackupVersion
from homeserver.requester import Requester
from homeserver.storage import cross_signing_keys, key_backups
from homeserver.storage.database import Connection, Database
from homeserver.storage.key_backups import BackupRow, KeyRow

MAX_BACKUPS = 20
"""That somebody has at the same time; one more makes the oldest go."""
MAX_KEYS = 250_000
"""Of one backup."""
MAX_AUTH_DATA_BYTES = 16_384
ALGORITHMS = frozenset({"m.megolm_backup.v1.curve25519-aes-sha2"})
_MAX_VERSION = 2**63 - 1

Backup = BackupRow


class KeyBackup:
    """Backups of whoever asks."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def create(self, by: Requester, algorithm: str, auth_data: Mapping[str, Any]) -> str:
        """Returns the version. Raises InvalidInput, TooLarge, Unavailable."""
        if algorithm not in ALGORITHMS:
            raise InvalidInput("There is no such algorithm for backups.", field="algorithm")
        raw = encoded(auth_data, MAX_AUTH_DATA_BYTES)
        async with self._database.transaction() as db:
            await cross_signing_keys.hold(db, by.user_nid)
            return str(await key_backups.create(db, by.user_nid, algorithm, raw, keep=MAX_BACKUPS))

    async def get(self, by: Requester, version: str | None = None) -> BackupRow:
        """None: the newest. Raises NotFound, Unavailable."""
        async with self._database.connection() as db:
            if version is not None:
                return await _backup(db, by, version)
            row = await key_backups.newest(db, by.user_nid)
        if row is None:
            raise _unknown()
        return row

    async def set_auth_data(
        self, by: Requester, version: str, algorithm: str, auth_data: Mapping[str, Any]
    ) -> None:
        """Raises NotFound, InvalidInput for another algorithm, TooLarge, Unavailable."""
        raw = encoded(auth_data, MAX_AUTH_DATA_BYTES)
        async with self._database.transaction() as db:
            backup = await _backup(db, by, version, hold=True)
            if backup.algorithm != algorithm:
                raise InvalidInput("The algorithm does not match.", field="algorithm")
            await key_backups.set_auth_data(db, backup.backup_nid, raw)

    async def delete(self, by: Requester, version: str) -> None:
        """With all its keys. Raises NotFound, Unavailable."""
        async with self._database.transaction() as db:
            if not await key_backups.delete(db, by.user_nid, _number(version)):
                raise _unknown()

    async def put_keys(self, by: Requester, version: str, keys: Sequence[KeyRow]) -> BackupRow:
        """Keeps of each session the better key: the new one, or that which is there.

        Raises NotFound, WrongBackupVersion for one that is not the newest, TooLarge, Unavailable.
        """
        given = list({key.place: key for key in keys}.values())
        async with self._database.transaction() as db:
            backup = await _backup(db, by, version, hold=True)
            newest = await key_backups.newest(db, by.user_nid)
            if newest is not None and newest.backup_nid != backup.backup_nid:
                raise WrongBackupVersion(
                    "Keys go into the newest backup only.", current_version=str(newest.backup_nid)
                )
            nid = backup.backup_nid
            stored = await key_backups.at_places(db, nid, [key.place for key in given])
            kept = to_be_stored(given, stored)
            more = sum(key.place not in stored for key in kept)
            if backup.key_count + more > MAX_KEYS:
                raise TooLarge(f"A backup has at most {MAX_KEYS} keys.")
            if not kept:
                return backup
            await key_backups.put(db, nid, kept)
            return await key_backups.changed(db, nid, more)

    async def keys(
        self,
        by: Requester,
        version: str,
        *,
        room_id: str | None = None,
        session_id: str | None = None,
    ) -> list[KeyRow]:
        """All of a backup, of a room, or one. Raises NotFound."""
        async with self._database.snapshot() as db:
            backup = await _backup(db, by, version)
            return await key_backups.keys(db, backup.backup_nid, room_id, session_id)

    async def delete_keys(
        self,
        by: Requester,
        version: str,
        *,
        room_id: str | None = None,
        session_id: str | None = None,
    ) -> BackupRow:
        """All of a backup, of a room, or one. Raises NotFound."""
        async with self._database.transaction() as db:
            backup = await _backup(db, by, version, hold=True)
            gone = await key_backups.delete_keys(db, backup.backup_nid, room_id, session_id)
            return await key_backups.changed(db, backup.backup_nid, -gone) if gone else backup


async def _backup(db: Connection, by: Requester, version: str, *, hold: bool = False) -> BackupRow:
    row = await key_backups.get(db, by.user_nid, _number(version), hold=hold)
    if row is None:
        raise _unknown()
    return row


def _number(version: str) -> int:
    """Versions of this server are numbers. Raises NotFound."""
    number = int(version) if version.isascii() and version.isdigit() and len(version) < 20 else 0  # noqa: PLR2004
    if not 0 < number <= _MAX_VERSION:
        raise _unknown()
    return number


def _unknown() -> NotFound:
    return NotFound("Unknown backup version", kind="backup")
