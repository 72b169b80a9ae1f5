"""The stores that the settings name: all that looking after files takes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from homeserver.clock import Clock
from homeserver.config import Config
from homeserver.storage.database import Database
from mediarepo.files import Files
from mediarepo.spool import Spool
from mediarepo.store import Store
from mediarepo.store.filesystem import FilesystemStore

_THREADS = 16
"""That wait for the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Where files are. executor: threads that wait for the disk."""

    files: Files
    by_name: dict[str, Store]
    spool: Spool
    executor: ThreadPoolExecutor

    def close(self) -> None:
        self.spool.close()
        self.executor.shutdown(wait=False)


def build_stores(*, config: Config, database: Database, clock: Clock) -> Stores:
    """The stores that the settings name. Nothing is written before something is stored."""
    executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="media")
    folder = config.media_dir
    filesystem = FilesystemStore(folder=folder / "files", executor=executor)
    by_name: dict[str, Store] = {filesystem.name: filesystem}
    if config.media.s3.bucket:
        # Not loaded without a bucket: the library takes 4 MiB.
        from mediarepo.store.s3 import S3Store  # noqa: PLC0415

        bucket = S3Store(settings=config.media.s3)
        by_name[bucket.name] = bucket
    spool = Spool(folder=folder / "spool", executor=executor)
    files = Files(
        database=database,
        stores=by_name,
        new_store=config.media.store,
        spool=spool,
        clock=clock,
    )
    return Stores(files=files, by_name=by_name, spool=spool, executor=executor)
