"""`foyer media` as a process of its own, and people who upload and download at any address."""

import asyncio
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Timer
from urllib.parse import urlsplit

import aiohttp

from tests.support.live_server import (
    BASE,
    GENEROUS,
    HANGING_S,
    LiveServer,
    environment,
    running,
)
from tests.support.ports import free_port

UPLOAD = "/_matrix/media/v3/upload"
DOWNLOAD = "/_matrix/client/v1/media/download/"

_ROOT = Path(__file__).parents[2]
_PAUSE_S = 0.05


@contextmanager
def media_process(
    server: LiveServer, *, listen: str = "127.0.0.1:0"
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`foyer media` beside the server: its address, and the process."""
    command = [sys.executable, "-m", "homeserver", "media", "--listen", listen]
    options = ["--config", str(server.config_path), "--data-dir", str(server.data_dir)]
    with server.log_path.open("a") as log:
        process = subprocess.Popen(
            [*command, *options],
            cwd=_ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    guard = Timer(HANGING_S, process.kill)
    guard.start()
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("ready "), (ready, server.log[-4000:])
        yield ready.removeprefix("ready ").strip(), process
    finally:
        guard.cancel()
        process.kill()
        process.wait(HANGING_S)
        process.stdout.close()


@contextmanager
def apart(folder: Path) -> Iterator[tuple[LiveServer, str, subprocess.Popen[str]]]:
    """A server whose media have an address of their own, which only it is told: that address, and
    the process behind it.
    """
    bound = f"127.0.0.1:{free_port()}"
    url = f"http://{bound}"
    settings = {
        "media": {"in_process": False, "bind_addr": bound, "public_url": url},
        "server": {**BASE["server"], "public_url": "https://chat.example.org"},
    }
    with (
        running(folder, GENEROUS, settings) as server,
        media_process(server, listen=bound) as (_, process),
    ):
        yield server, url, process


class Someone:
    """Uploads and downloads at any address."""

    def __init__(self, http: aiohttp.ClientSession, token: str) -> None:
        self.http = http
        self.headers = {"Authorization": f"Bearer {token}"}

    async def uploads(self, url: str, data: bytes, *, tls: ssl.SSLContext | bool = True) -> str:
        async with self.http.post(
            url + UPLOAD, data=data, headers=self.headers, ssl=tls
        ) as response:
            answer = await response.json()
            assert response.status == 200, answer
            return str(answer["content_uri"]).removeprefix("mxc://")

    async def downloads(
        self, url: str, place: str, *, tls: ssl.SSLContext | bool = True
    ) -> tuple[int, bytes]:
        async with self.http.get(url + DOWNLOAD + place, headers=self.headers, ssl=tls) as response:
            return response.status, await response.read()


@contextmanager
def half_an_upload(
    url: str, someone: Someone, size: int, *, tls: ssl.SSLContext | None = None
) -> Iterator[socket.socket]:
    """Half of the bytes were sent, and taken."""
    place = urlsplit(url)
    host = str(place.hostname)
    head = f"POST {UPLOAD} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {size}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in someone.headers.items())
    with ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection((host, place.port)))
        if tls is not None:
            connection = stack.enter_context(tls.wrap_socket(connection, server_hostname=host))
        connection.sendall(f"{head}\r\n".encode() + b"x" * (size // 2))
        yield connection


async def registers(http: aiohttp.ClientSession, url: str, name: str) -> Someone:
    body = {"username": name, "password": "correct horse", "auth": {"type": "m.login.dummy"}}
    async with http.post(url + "/_matrix/client/v3/register", json=body) as response:
        answer = await response.json()
        assert response.status == 200, answer
        return Someone(http, answer["access_token"])


async def until(happened: Callable[[], bool]) -> None:
    while not happened():  # noqa: ASYNC110 - another process does it
        await asyncio.sleep(_PAUSE_S)
