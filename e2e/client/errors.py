"""What can go wrong on the way from a ciphertext to a message, and back.

CryptoError
├── Undecryptable            an event cannot be read
│   ├── MissingRoomKey       its session is unknown, or known only from a later message on
│   ├── MissingOlmSession    no session with the sender fits
│   ├── Forged               it contradicts itself, or is not from who it claims to be from
│   └── Replayed             its place in the session was taken by another event
├── BadKeys                  keys or signatures that do not hold
├── BadSecret                a wrong recovery key or passphrase, or a damaged secret
├── BadFile                  an attachment or an export that was changed on its way
├── NotEncrypted             the room has no encryption that we know of
├── IdentitiesChanged        people whose identity changed, and nobody has looked yet
└── VerificationImpossible   it is over, or not yet so far
"""

from collections.abc import Iterable

from homeserver.errors import FoyerError


class CryptoError(FoyerError):
    """Base of what the machine raises."""


class Undecryptable(CryptoError):
    """An event cannot be read."""


class MissingRoomKey(Undecryptable):
    """The key may still come. withheld: the code with which the sender refused it, if they said."""

    def __init__(self, room_id: str, session_id: str, withheld: str | None = None) -> None:
        because = "" if withheld is None else f": the sender withheld it ({withheld})"
        super().__init__(f"the key of this message is missing{because}")
        self.room_id = room_id
        self.session_id = session_id
        self.withheld = withheld


class MissingOlmSession(Undecryptable):
    """No session with the sender's device fits; a new one is needed."""


class Forged(Undecryptable):
    """It contradicts itself, or is not from who it claims to be from."""


class Replayed(Undecryptable):
    """Its place in the session was taken by another event."""


class BadKeys(CryptoError):
    """Keys or signatures that do not hold."""


class BadSecret(CryptoError):
    """A wrong recovery key or passphrase, or a damaged secret."""


class BadFile(CryptoError):
    """An attachment or an export that was changed on its way."""


class NotEncrypted(CryptoError):
    """The room has no encryption that we know of."""


class IdentitiesChanged(CryptoError):
    """Source: C-S API v1.19, "Key and signature security": clients must notify the user before
    allowing communication to continue.
    """

    def __init__(self, user_ids: Iterable[str]) -> None:
        self.user_ids = sorted(user_ids)
        super().__init__(
            f"the identity of {', '.join(self.user_ids)} changed: verify or acknowledge it first"
        )


class VerificationImpossible(CryptoError):
    """The verification is over, unknown, or not yet so far."""
