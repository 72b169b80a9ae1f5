"""A real S3 service, SeaweedFS, on ports of its own; on this machine only.

with running_bucket(tmp_path) as settings: ...      # settings of `[media.s3]`
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import obstore
import psutil
from obstore.exceptions import BaseError
from obstore.store import S3Store
from pydantic import SecretStr

from homeserver.config import S3Config

HANGING_S = 120.0
_ACCESS_KEY, _SECRET_KEY = "foyer-access-key", "foyer-secret-key"
_GRPC_OFFSET = 10_000
_ATTEMPTS = 5
_STARTING_S = 20.0


class Bucket:
    """The service. `settings`: how to reach it."""

    def __init__(self, process: subprocess.Popen[bytes], settings: S3Config) -> None:
        self._process = process
        self.settings = settings

    def pause(self) -> None:
        """It answers nobody any more."""
        psutil.Process(self._process.pid).suspend()

    def resume(self) -> None:
        psutil.Process(self._process.pid).resume()


@contextmanager
def running_bucket(folder: Path, name: str = "files") -> Iterator[Bucket]:
    """Raises AssertionError if it does not start, again and again: its ports may be taken."""
    for attempt in range(_ATTEMPTS):
        mine = folder / f"weed{attempt}"
        mine.mkdir()
        master, volume, filer, s3 = _free_ports(4)
        process = _start(mine, name, master, volume, filer, s3)
        settings = S3Config(
            bucket=name,
            endpoint=f"http://127.0.0.1:{s3}",
            access_key_id=SecretStr(_ACCESS_KEY),
            secret_access_key=SecretStr(_SECRET_KEY),
        )
        try:
            if _works_soon(process, settings):
                yield Bucket(process, settings)
                return
        finally:
            process.kill()
            process.wait(HANGING_S)
    raise AssertionError((mine / "log").read_text(errors="replace")[-4000:])


def _start(
    folder: Path, name: str, master: int, volume: int, filer: int, s3: int
) -> subprocess.Popen[bytes]:
    command = [
        str(Path(sys.executable).parent / "weed"),
        "mini",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={master}",
        f"-volume.port={volume}",
        f"-filer.port={filer}",
        f"-s3.port={s3}",
        f"-s3.config={_identities(folder)}",
        "-s3.port.iceberg=0",
        f"-bucket={name}",
        "-admin.ui=false",
        "-webdav=false",
    ]
    with (folder / "log").open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, cwd=folder)


def _works_soon(process: subprocess.Popen[bytes], settings: S3Config) -> bool:
    """Whether something can be put into the bucket and taken out again."""
    bucket = S3Store(
        settings.bucket,
        endpoint=settings.endpoint,
        region=settings.region,
        access_key_id=_ACCESS_KEY,
        secret_access_key=_SECRET_KEY,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    give_up = time.monotonic() + _STARTING_S
    while time.monotonic() < give_up and process.poll() is None:
        try:
            obstore.put(bucket, "hello", b"x")
            obstore.delete(bucket, "hello")
        except BaseError:
            time.sleep(0.1)
        else:
            return True
    return False


def _identities(folder: Path) -> Path:
    """Whom it lets in."""
    keys = {"accessKey": _ACCESS_KEY, "secretKey": _SECRET_KEY}
    identity = {
        "name": "foyer",
        "credentials": [keys],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    path = folder / "identities.json"
    path.write_text(json.dumps({"identities": [identity]}))
    return path


def _free_ports(count: int) -> list[int]:
    """Ports whose neighbours for gRPC are free, too."""
    found: list[int] = []
    with ExitStack() as stack:
        while len(found) < count:
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            if port < 65_535 - _GRPC_OFFSET:
                found.append(port)
    return found
