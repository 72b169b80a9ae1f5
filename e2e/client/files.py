"""Files in rooms: encrypted where the room is, and in pieces."""

import asyncio
import mimetypes
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from e2e.client.attachments import Decryption, Encryption
from e2e.client.errors import BadFile
from e2e.client.session import Session

_PIECE = 65_536
MAX_BYTES = 100 * 1024 * 1024
"""Of a file that is saved; whoever sends a description cannot fill the disk."""


async def send(session: Session, room_id: str, path: Path) -> str:
    """The event's ID. Raises OSError, ServerRefused, Unreachable."""
    size = await asyncio.to_thread(_size, path)
    mime_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    content: dict[str, Any] = {
        "msgtype": "m.file",
        "body": path.name,
        "filename": path.name,
        "info": {"size": size, "mimetype": mime_type},
    }
    room = session.rooms.joined.get(room_id)
    with path.open("rb") as opened:
        if room is not None and room.encrypted:
            encryption = Encryption(secrets.token_bytes)
            pieces = encryption.pieces(_pieces(opened))
            url = await _upload(session, pieces, "application/octet-stream", size)
            content["file"] = encryption.file(url)
        else:
            content["url"] = await _upload(session, _pieces(opened), mime_type, size)
    return await session.send(room_id, "m.room.message", content)


async def save(session: Session, content: Mapping[str, Any], target: Path) -> None:
    """The file of a message. It appears whole and checked, or not at all, and replaces nothing.
    Raises BadFile, FileExistsError, ServerRefused, Unreachable.
    """
    file = content.get("file")
    url = file.get("url") if isinstance(file, Mapping) else content.get("url")
    if not isinstance(url, str) or not url.startswith("mxc://"):
        raise BadFile("the message has no file")
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".") as part:
        await _download(session, url, part)
        await asyncio.to_thread(_finish, Path(part.name), file, target)


async def _upload(session: Session, pieces: Iterator[bytes], content_type: str, size: int) -> str:
    async def each() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return await session.server.upload(each(), content_type=content_type, size=size)


async def _download(session: Session, url: str, part: IO[bytes]) -> None:
    size = 0
    async for piece in session.server.download(url):
        size += len(piece)
        if size > MAX_BYTES:
            raise BadFile(f"the file is larger than {MAX_BYTES} bytes")
        part.write(piece)
    part.flush()


def _size(path: Path) -> int:
    return path.stat().st_size


def _finish(part: Path, file: Any, target: Path) -> None:
    if isinstance(file, Mapping):
        plain = part.with_name(f"{part.name}.plain")
        try:
            with part.open("rb") as encrypted, plain.open("xb") as output:
                output.writelines(Decryption(file).pieces(_pieces(encrypted)))
            target.hardlink_to(plain)
        finally:
            plain.unlink(missing_ok=True)
    else:
        target.hardlink_to(part)


def _pieces(opened: IO[bytes]) -> Iterator[bytes]:
    while piece := opened.read(_PIECE):
        yield piece
