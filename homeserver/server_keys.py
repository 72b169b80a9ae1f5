"""The server's own secrets: files in the data directory, made at the first start.

`keys/signing.key` signs events: "ed25519", an identifier, and the seed in unpadded Base64. Who has
it can speak as this server. `keys/jwt.key` signs access tokens, unless the configuration names
another secret: who has it can speak as any of its users.
"""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from homeserver.errors import FoyerError, InvalidInput
from homeserver.events import base64
from homeserver.events.signing import SigningKey

_ALGORITHM = "ed25519"
_SECRET_BYTES = 32
_KEY_ID_BYTES = 4
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

RandomBytes = Callable[[int], bytes]


class KeysError(FoyerError):
    """A key file cannot be read, cannot be made, or is not secret; the message says which."""


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """What signs events, and what signs access tokens."""

    signing_key: SigningKey
    jwt_secret: bytes


def load_or_create(
    data_dir: Path, *, configured_jwt_secret: str, random_bytes: RandomBytes
) -> ServerKeys:
    """The keys of this server; what is missing is made and safe on the disk before it is used.

    data_dir: exists. configured_jwt_secret: "" to use the file.
    Raises KeysError.
    """
    signing_key = _signing_key(data_dir / "keys" / "signing.key", random_bytes)
    if configured_jwt_secret:
        return ServerKeys(signing_key, configured_jwt_secret.encode())
    return ServerKeys(signing_key, _jwt_secret(data_dir / "keys" / "jwt.key", random_bytes))


def _signing_key(path: Path, random_bytes: RandomBytes) -> SigningKey:
    def make() -> str:
        key_id = f"a_{random_bytes(_KEY_ID_BYTES).hex()}"
        return f"{_ALGORITHM} {key_id} {base64.encode(random_bytes(_SECRET_BYTES))}\n"

    try:
        algorithm, name, seed = _read_or_make(path, make).split()
        return SigningKey.from_seed(base64.decode(seed), f"{algorithm}:{name}")
    except (ValueError, InvalidInput):
        raise KeysError(f"{path} does not hold a signing key.") from None


def _jwt_secret(path: Path, random_bytes: RandomBytes) -> bytes:
    def make() -> str:
        return f"{base64.encode(random_bytes(_SECRET_BYTES))}\n"

    try:
        secret = base64.decode(_read_or_make(path, make).strip())
    except InvalidInput:
        secret = b""
    if len(secret) < _SECRET_BYTES:
        raise KeysError(f"{path} does not hold a secret of {_SECRET_BYTES} bytes in Base64.")
    return secret


def _read_or_make(path: Path, make: Callable[[], str]) -> str:
    try:
        if not path.exists():
            _write_durably(path, make())
        return _read_private(path)
    except OSError as error:
        raise KeysError(f"{path} cannot be used: {error.strerror}.") from error


def _read_private(path: Path) -> str:
    """Raises KeysError when others than the owner may do anything with the file."""
    with path.open(encoding="ascii", errors="replace") as file:
        if os.fstat(file.fileno()).st_mode & _OTHERS:
            raise KeysError(
                f"{path} is a secret, but others than its owner may use it: "
                "make it private (chmod 600)."
            )
        return file.read()


def _write_durably(path: Path, text: str) -> None:
    """The file as a whole or not at all, also when the power fails; never over an existing one."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.unlink(missing_ok=True)  # of a process with this number that was killed here
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was faster, and its key counts
            os.link(draft, path)
    finally:
        draft.unlink()
    _sync_directory(path.parent)
    _sync_directory(path.parent.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
