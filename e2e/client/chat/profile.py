"""Who is logged in. A directory for its owner only: credentials, the key of the store, the store.

The key lies beside the store, so that no command asks for a passphrase; it keeps copies of the
database alone (backups, synchronised folders) unreadable.
"""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from e2e.client.errors import CryptoError
from e2e.client.native.server import Tokens
from e2e.client.primitives import KEY_BYTES
from e2e.client.session import Credentials
from e2e.client.store.sealing import SealedStore
from e2e.client.store.sqlite import SQLiteStore
from homeserver.errors import InvalidInput
from homeserver.events import base64

HOME = "FOYER_CHAT_HOME"

_CREDENTIALS = "credentials.json"
_STORE = "store.db"


class NotLoggedIn(CryptoError):
    """There are no credentials."""


class AlreadyLoggedIn(CryptoError):
    """Logging in again would lose the device's keys."""


class Profile:
    """directory: made when something is saved."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Profile":
        """FOYER_CHAT_HOME, else a directory among the user's data (XDG)."""
        if environment.get(HOME):
            return cls(Path(environment[HOME]))
        data = environment.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
        return cls(Path(data) / "foyer-chat")

    def is_logged_in(self) -> bool:
        return (self.directory / _CREDENTIALS).exists()

    def credentials(self) -> Credentials:
        """Raises NotLoggedIn."""
        return Credentials(**self._read()["credentials"])

    def save(self, credentials: Credentials) -> None:
        """With a new key for the store. Raises AlreadyLoggedIn."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = base64.encode(secrets.token_bytes(KEY_BYTES))
        text = json.dumps({"credentials": asdict(credentials), "store_key": key})
        path = self.directory / _CREDENTIALS
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise AlreadyLoggedIn("you are logged in already: log out first") from None
        with os.fdopen(file, "w") as opened:
            opened.write(text)

    def renew(self, tokens: Tokens) -> None:
        """New tokens in the place of those that ended. Raises NotLoggedIn."""
        found = self._read()
        known = Credentials(**found["credentials"])
        renewed = replace(known, access_token=tokens.access, refresh_token=tokens.refresh)
        part = self.directory / f"{_CREDENTIALS}.new"
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
            opened.write(json.dumps({**found, "credentials": asdict(renewed)}))
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(self.directory / _CREDENTIALS)

    async def store(self) -> SealedStore:
        """Raises NotLoggedIn, StoreInUse."""
        key = base64.decode(str(self._read()["store_key"]))
        plain = await SQLiteStore.open(self.directory / _STORE)
        return SealedStore(plain, key=key, entropy=secrets.token_bytes)

    def forget(self) -> None:
        """Credentials and keys are gone."""
        for path in self.directory.glob(f"{_STORE}*"):
            path.unlink(missing_ok=True)
        (self.directory / _CREDENTIALS).unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.directory / _CREDENTIALS).read_text())
        except FileNotFoundError:
            raise NotLoggedIn("you are not logged in: foyer chat login") from None
        except ValueError:
            raise InvalidInput(f"{self.directory / _CREDENTIALS} is damaged") from None
        return found
