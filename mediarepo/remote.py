"""The seam for media of other servers."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from mediarepo.addresses import MediaAddress, no_such_media


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What another server sends. length: bytes, if it says so beforehand.

    stream: raises Unavailable when it is cut off; then nothing of it is kept.
    """

    stream: AsyncIterator[bytes]
    length: int | None
    content_type: str | None
    filename: str | None


class RemoteMedia(Protocol):
    """Fetches from other servers."""

    def fetch(
        self, address: MediaAddress, *, timeout_ms: int
    ) -> AbstractAsyncContextManager[RemoteFile]:
        """What is there. timeout_ms: how long the file may take to begin.

        Raises NotFound; NotYetUploaded; Unavailable when the other server does not answer.
        """


class NoRemoteMedia:
    """A `RemoteMedia` for a server that speaks to no others."""

    def fetch(
        self,
        address: MediaAddress,  # noqa: ARG002
        *,
        timeout_ms: int,  # noqa: ARG002
    ) -> AbstractAsyncContextManager[RemoteFile]:
        raise no_such_media()
