"""Media in tests: a server with a folder of its own for files, and people who upload.

async with media_server(database, tmp_path) as server:
    alice = await server.registers("alice")
    uri = await alice.uploads(b"...", "image/png", filename="cat.png")
    response = await alice.downloads(uri)
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient

from homeserver.config import Config, ServerConfig
from homeserver.storage.database import Database
from mediarepo.media import Media
from mediarepo.remote import RemoteMedia
from tests.support.api_server import NO_REMOTE_MEDIA, OPEN
from tests.support.matrix_server import MatrixServer, MatrixUser, matrix_server
from tests.support.matrix_spec import check_answer, seen

UPLOAD = "/_matrix/media/v3/upload"
CREATE = "/_matrix/media/v1/create"
DOWNLOAD = "/_matrix/client/v1/media/download"


@dataclass(frozen=True)
class Got:
    """An answer with all its bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def errcode(self) -> str:
        return str(json.loads(self.body)["errcode"])


class MediaUser:
    """Uploads and downloads, as one person or, without a token, as nobody."""

    def __init__(self, client: TestClient, user: MatrixUser) -> None:
        self._client = client
        self.matrix = user
        self._token = {"Authorization": f"Bearer {user.token}"} if user.token else {}

    async def asks(
        self,
        method: str,
        path: str,
        *,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> Got:
        """Any answer; one that is JSON is held against the specification."""
        response = await self._client.request(
            method,
            path,
            data=data,
            headers={**self._token, **(headers or {})},
            params={key: str(value) for key, value in query.items()},
            skip_auto_headers=("Content-Type",),
        )
        got = Got(response.status, response.headers, await response.read())
        if got.headers.get("Content-Type", "").startswith("application/json") and method != "HEAD":
            check_answer(method, response.url.raw_path, got.status, json.loads(got.body))
        else:
            seen(method, response.url.raw_path, got.status)
        return got

    async def uploads(
        self, data: Any, content_type: str | None = None, *, filename: str | None = None
    ) -> str:
        """The mxc:// URI."""
        got = await self.tries_to_upload(data, content_type, filename=filename)
        assert got.status == 200, got
        return str(json.loads(got.body)["content_uri"])

    async def tries_to_upload(
        self, data: Any, content_type: str | None = None, *, filename: str | None = None
    ) -> Got:
        headers = {} if content_type is None else {"Content-Type": content_type}
        query = {} if filename is None else {"filename": filename}
        return await self.asks("POST", UPLOAD, data=data, headers=headers, **query)

    async def creates(self) -> dict[str, Any]:
        got = await self.asks("POST", CREATE, data=b"{}")
        assert got.status == 200, got
        return dict(json.loads(got.body))

    async def fills(self, uri: str, data: Any, content_type: str = "text/plain") -> Got:
        return await self.asks(
            "PUT", f"{UPLOAD}/{place(uri)}", data=data, headers={"Content-Type": content_type}
        )

    async def downloads(
        self, uri: str, name: str = "", *, headers: Mapping[str, str] | None = None, **query: Any
    ) -> Got:
        path = f"{DOWNLOAD}/{place(uri)}" + (f"/{name}" if name else "")
        return await self.asks("GET", path, headers=headers, **query)


def place(uri: str) -> str:
    """`example.org/abc` of an mxc:// URI."""
    assert uri.startswith("mxc://")
    return uri.removeprefix("mxc://")


class MediaServer:
    """The server, its folder, and how people come to it."""

    def __init__(self, matrix: MatrixServer, media: Media, folder: Path) -> None:
        self.matrix = matrix
        self.media = media
        self.folder = folder
        self.nobody = MediaUser(matrix.client, matrix.nobody)

    async def registers(self, name: str) -> MediaUser:
        return MediaUser(self.matrix.client, await self.matrix.registers(name))

    async def counted(self) -> None:
        """Returns when it is known what all events so far name."""
        assert self.matrix.core is not None
        await self.matrix.core.delivery.media_references.catch_up()

    def files(self) -> list[Path]:
        """Everything in the folder that is a file of somebody's."""
        return sorted(
            path for path in self.folder.rglob("*") if path.is_file() and path.name != "lock"
        )


def media_config(folder: Path, *, base: Config = OPEN, **settings: Any) -> Config:
    """settings: of `[media]`, and `max_attachment_size_mb`. No thumbnails are made at uploads
    unless they say so, so that tests know which files there are.
    """
    changes: dict[str, Any] = {
        "server": ServerConfig(name=base.server.name, data_dir=folder),
    }
    if "max_attachment_size_mb" in settings:
        size = settings.pop("max_attachment_size_mb")
        changes["storage"] = base.storage.model_copy(update={"max_attachment_size_mb": size})
    thumbnails = base.media.thumbnails.model_copy(update={"at_upload": False})
    changes["media"] = base.media.model_copy(update={"thumbnails": thumbnails, **settings})
    return base.model_copy(update=changes)


@asynccontextmanager
async def media_server(
    database: Database,
    folder: Path,
    *,
    remote: RemoteMedia = NO_REMOTE_MEDIA,
    **settings: Any,
) -> AsyncIterator[MediaServer]:
    """See the top of the module. settings: as in `media_config`."""
    config = media_config(folder, **settings)
    async with matrix_server(database, config=config, remote_media=remote) as matrix:
        assert matrix.facades is not None
        assert matrix.facades.media is not None
        yield MediaServer(matrix, matrix.facades.media, config.media_dir)
