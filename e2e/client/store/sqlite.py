"""A store in a file, for one device."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from e2e.client.store.protocol import StoreInUse
from e2e.client.vault import Changes, Key

T = TypeVar("T")

_PREPARE = """
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
BEGIN EXCLUSIVE;
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    row BLOB NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
COMMIT;
"""
_READ = "SELECT row FROM records WHERE kind = ? AND name = ?"
_WRITE = "INSERT OR REPLACE INTO records (kind, name, row) VALUES (?, ?, ?)"
_DELETE = "DELETE FROM records WHERE kind = ? AND name = ?"


class SQLiteStore:
    """The file is made if it is missing, for its owner only. All work is done by one thread."""

    def __init__(self, database: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._database = database
        self._thread = thread

    @classmethod
    async def open(cls, path: Path) -> "SQLiteStore":
        """Raises StoreInUse."""
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="olm-store")
        loop = asyncio.get_running_loop()
        try:
            return cls(await loop.run_in_executor(thread, _opened, path), thread)
        except BaseException:
            thread.shutdown(wait=False)
            raise

    async def load(self, *, without: Collection[str]) -> dict[Key, bytes]:
        marks = ",".join("?" * len(without))
        query = f"SELECT kind, name, row FROM records WHERE kind NOT IN ({marks})"  # noqa: S608

        def read() -> dict[Key, bytes]:
            found = self._database.execute(query, tuple(without))
            return {Key(kind, name): row for kind, name, row in found}

        return await self._do(read)

    async def fetch(self, keys: Collection[Key]) -> Mapping[Key, bytes | None]:
        def read() -> dict[Key, bytes | None]:
            found = {key: self._database.execute(_READ, key).fetchone() for key in keys}
            return {key: None if row is None else row[0] for key, row in found.items()}

        return await self._do(read)

    async def write(self, changes: Changes) -> None:
        def write() -> None:
            with self._database:
                for key, row in changes.items():
                    if row is None:
                        self._database.execute(_DELETE, key)
                    else:
                        self._database.execute(_WRITE, (*key, row))

        await self._do(write)

    async def close(self) -> None:
        await self._do(self._database.close)
        self._thread.shutdown()

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    database = sqlite3.connect(path, timeout=0)
    try:
        database.executescript(_PREPARE)
    except sqlite3.OperationalError as error:
        database.close()
        if "locked" not in str(error):
            raise
        raise StoreInUse(f"{path} is open in another process") from None
    return database
