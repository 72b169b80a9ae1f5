"""Real reverse proxies, configured as docs/MEDIA.md shows it; only addresses and the certificate
are others.

    with nginx(tmp_path, homeserver=server.url, media=url) as proxy:
        proxy.url                       # https://localhost:…
"""

import datetime as dt
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.live_server import HANGING_S
from tests.support.ports import free_port

_DOCUMENT = Path(__file__).parents[2] / "docs" / "MEDIA.md"
_NAME = "localhost"
_PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
_PAUSE_S = 0.05

# What the examples say.
_SITE = "matrix.example.org"
_HOMESERVER = "127.0.0.1:8081"
_MEDIA = "127.0.0.1:8082"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that runs. tls: trusts its certificate."""

    url: str
    tls: ssl.SSLContext


Start = Callable[..., AbstractContextManager[Proxy]]


def program(name: str) -> str | None:
    """Where a proxy is on this machine, if it is."""
    return shutil.which(name, path=_PLACES)


def example(language: str) -> str:
    """The block of docs/MEDIA.md that is written in a language."""
    _, _, rest = _DOCUMENT.read_text().partition(f"```{language}\n")
    block, _, _ = rest.partition("```")
    assert block
    return block


@contextmanager
def nginx(folder: Path, *, homeserver: str, media: str) -> Iterator[Proxy]:
    certificate, key = _certificate(folder)
    port = free_port()
    site = _replaced(
        example("nginx"),
        {
            "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
            f"/etc/ssl/{_SITE}.pem": str(certificate),
            f"/etc/ssl/{_SITE}.key": str(key),
            _SITE: _NAME,
            _HOMESERVER: urlsplit(homeserver).netloc,
            _MEDIA: urlsplit(media).netloc,
        },
    )
    bodies = "".join(
        f"{each}_temp_path {folder}/{each};\n"
        for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.getuid() == 0 else ""
    path = folder / "nginx.conf"
    path.write_text(
        f"{user}daemon off;\npid {folder}/nginx.pid;\nerror_log stderr;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{bodies}{site}}}\n"
    )
    command = [str(program("nginx")), "-p", str(folder), "-c", str(path), "-e", "stderr"]
    with _running(folder, command, port, certificate) as proxy:
        yield proxy


@contextmanager
def caddy(folder: Path, *, homeserver: str, media: str) -> Iterator[Proxy]:
    certificate, key = _certificate(folder)
    port = free_port()
    site = _replaced(
        example("caddy"),
        {
            f"{_SITE} {{": f"{_NAME}:{port} {{\n\tbind 127.0.0.1\n\ttls {certificate} {key}",
            _HOMESERVER: urlsplit(homeserver).netloc,
            _MEDIA: urlsplit(media).netloc,
        },
    )
    path = folder / "Caddyfile"
    path.write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{site}")
    command = [str(program("caddy")), "run", "--config", str(path), "--adapter", "caddyfile"]
    with _running(folder, command, port, certificate) as proxy:
        yield proxy


def _replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def _running(folder: Path, command: list[str], port: int, certificate: Path) -> Iterator[Proxy]:
    """Until it serves with that certificate."""
    log_path = folder / "proxy.log"
    home = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with log_path.open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=home)
    guard = Timer(HANGING_S, process.kill)
    guard.start()
    tls = ssl.create_default_context(cafile=str(certificate))
    try:
        while not _serves(port, tls):
            assert process.poll() is None, log_path.read_text()
            time.sleep(_PAUSE_S)
        yield Proxy(f"https://{_NAME}:{port}", tls)
    finally:
        guard.cancel()
        process.terminate()
        process.wait(HANGING_S)


def _serves(port: int, tls: ssl.SSLContext) -> bool:
    try:
        with (
            socket.create_connection(("127.0.0.1", port)) as connection,
            tls.wrap_socket(connection, server_hostname=_NAME),
        ):
            return True
    except (ConnectionError, ssl.SSLError):
        return False


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of `localhost` that vouches for itself, and its key."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / "proxy.pem", folder / "proxy.key"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_path, key_path
