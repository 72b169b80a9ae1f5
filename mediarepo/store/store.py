"""What a store of files does. It knows hashes and bytes; the database knows what they are for."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from homeserver.errors import StoreUnavailable

CHUNK_BYTES = 131_072
"""How much is read at once, so that many slow readers need little memory."""


class Missing(StoreUnavailable):
    """A file that should be there is not: `foyer media verify` tells of all of them."""


@dataclass(frozen=True, slots=True)
class Held:
    """A file that a store has. size: bytes."""

    sha256: bytes
    size: int


class Store(Protocol):
    """Files by their hashes. Every method raises StoreUnavailable when the store cannot do it."""

    @property
    def name(self) -> str:
        """Stands in the column `store` of each file that is here."""

    async def put(self, sha256: bytes, source: Path) -> None:
        """Keeps a file that has this hash; it is safe when this returns. Doing it again changes
        nothing, and what was cut off leaves nothing under the hash.
        """

    def open(
        self, sha256: bytes, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes from `start` up to, and without, `end`. Raises Missing, at the first chunk."""

    async def size(self, sha256: bytes) -> int | None:
        """Bytes of a file; None: it is not here."""

    async def delete(self, sha256: bytes) -> None:
        """Removes a file, if it is here."""

    def list(self) -> AsyncIterator[Held]:
        """Every file that is here, in any order."""


def key_of(sha256: bytes) -> str:
    """`ab/abcd…`: path of a file in a store, made of hexadecimal digits only.

    A folder more would have to be made, and made safe, for nearly every file of a small store; and
    with millions of files, folders of some ten thousand are no burden to any file system.
    """
    digits = sha256.hex()
    return f"{digits[:2]}/{digits}"


def hash_of_key(key: str) -> bytes | None:
    """None for what is no file of a store."""
    name = key.rpartition("/")[2]
    try:
        sha256 = bytes.fromhex(name)
    except ValueError:
        return None
    return sha256 if key_of(sha256) == key else None
