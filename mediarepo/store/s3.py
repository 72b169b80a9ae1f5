"""Files in a bucket of an S3 service."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store as Bucket

from homeserver.config import S3Config
from homeserver.errors import StoreUnavailable
from mediarepo.store.store import CHUNK_BYTES, Held, Missing, hash_of_key, key_of

NAME = "s3"
_PART_BYTES = 8_388_608
_PARTS_AT_ONCE = 4
_CONNECT_S = 10
_ANSWER_S = 60
_RETRIES = 3
_RETRY_S = 20


class S3Store:
    """A `Store`. Large files are sent in parts; a file is there when the last part is, or not."""

    def __init__(self, *, settings: S3Config) -> None:
        self._bucket = _bucket(settings)

    @property
    def name(self) -> str:
        return NAME

    async def put(self, sha256: bytes, source: Path) -> None:
        size = await asyncio.to_thread(lambda: source.stat().st_size)
        if await self.size(sha256) == size:
            return
        with _failures():
            await obstore.put_async(
                self._bucket,
                key_of(sha256),
                source,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )

    async def open(
        self, sha256: bytes, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        if end is not None and end <= start:
            return
        with _failures():
            result = await obstore.get_async(
                self._bucket, key_of(sha256), options=_range(start, end)
            )
            async for chunk in result.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)

    async def size(self, sha256: bytes) -> int | None:
        try:
            with _failures():
                found = await obstore.head_async(self._bucket, key_of(sha256))
        except Missing:
            return None
        return found["size"]

    async def delete(self, sha256: bytes) -> None:
        try:
            with _failures():
                await obstore.delete_async(self._bucket, key_of(sha256))
        except Missing:
            return

    async def list(self) -> AsyncIterator[Held]:
        with _failures():
            async for page in obstore.list(self._bucket):
                for each in page:
                    sha256 = hash_of_key(each["path"])
                    if sha256 is not None:
                        yield Held(sha256, each["size"])


def _range(start: int, end: int | None) -> Any:
    """Nothing for all of it: an empty file has no part that one could ask for."""
    if end is not None:
        return {"range": (start, end)}
    return {"range": {"offset": start}} if start else None


def _bucket(settings: S3Config) -> Bucket:
    return Bucket(
        settings.bucket,
        prefix=settings.prefix or None,
        endpoint=settings.endpoint or None,
        region=settings.region,
        access_key_id=settings.access_key_id.get_secret_value() or None,
        secret_access_key=settings.secret_access_key.get_secret_value() or None,
        virtual_hosted_style_request=not settings.endpoint,
        client_options={
            "allow_http": settings.endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=_CONNECT_S),
            "read_timeout": timedelta(seconds=_ANSWER_S),
            # Whoever downloads may take his time.
            "timeout": timedelta(days=1),
        },
        retry_config={
            "max_retries": _RETRIES,
            "retry_timeout": timedelta(seconds=_RETRY_S),
        },
    )


@contextmanager
def _failures() -> Iterator[None]:
    """What a failure of the service means to a caller."""
    try:
        yield
    except FileNotFoundError as error:
        raise Missing("The file is not where it should be.") from error
    except (BaseError, OSError) as error:
        raise StoreUnavailable("The server's store of files does not answer.") from error
