"""What can go wrong, and whose fault it is.

`clientapi/errors.py` is the one table that turns these into codes and statuses. A message here
is a sentence that helps whoever caused the error.

FoyerError
├── Refused                the caller may not, or may not now
│   ├── NotAllowed         a rule of the room or of the server forbids it
│   │   ├── GuestsNotAllowed
│   │   ├── InviteBlocked
│   │   ├── NotBanned
│   │   ├── NoIdentityServer
│   │   ├── OutsideNamespace
│   │   ├── WrongBackupVersion
│   │   ├── EncryptionRequired
│   │   ├── PasswordRequired
│   │   ├── AccountSuspended
│   │   └── QuotaExceeded
│   ├── NotAuthenticated   no token, or one that is not (or no longer) valid
│   │   ├── MissingToken
│   │   ├── TokenExpired
│   │   ├── AccountLocked
│   │   └── WrongPassword
│   │       └── AccountDeactivated
│   └── LimitExceeded      too fast or too much; carries when to try again
├── Unusable               what the caller sent cannot be used
│   ├── InvalidInput       malformed or out of range; carries the field
│   │   ├── InvalidIdentifier
│   │   ├── InvalidContent
│   │   ├── InvalidRoomState
│   │   ├── BadAlias
│   │   ├── UnsupportedRoomVersion
│   │   ├── InvalidUsername
│   │   ├── WeakPassword
│   │   ├── UnknownDevice
│   │   ├── InvalidSignature
│   │   └── NoMasterKey
│   ├── ControlledByServer
│   ├── NoSuchNeighbour
│   ├── NoPreview
│   ├── NotAnImage
│   ├── ImagingFailed
│   ├── TooLarge
│   │   ├── ImageTooLarge
│   │   ├── RemoteTooLarge
│   │   ├── ProfileTooLarge
│   │   └── KeyTooLarge
│   └── Conflict           collides with what exists
│       ├── AliasTaken
│       ├── MediaExists
│       ├── DuplicateAnnotation
│       ├── UsernameTaken
│       └── NameReserved
├── NotFound               absent, or not visible to the caller; carries what was looked for
└── Unavailable            not the caller's fault; trying again later helps
    ├── NotYetUploaded
    └── StoreUnavailable
"""


class FoyerError(Exception):
    """Base of every error that a façade renders."""


class Refused(FoyerError):
    """The caller may not do this, or not now."""


class NotAllowed(Refused):
    """A rule of the room or of the server forbids it."""


class GuestsNotAllowed(NotAllowed):
    """Only people with an account of their own may."""


class InviteBlocked(NotAllowed):
    """The person wants no invitations."""


class NotBanned(NotAllowed):
    """There is no ban to lift."""


class NoIdentityServer(NotAllowed):
    """People cannot be found by e-mail address or telephone number here."""


class OutsideNamespace(NotAllowed):
    """An application service meddles with users that are not its own."""


class WrongBackupVersion(NotAllowed):
    """Keys go into the newest backup only; carries its version."""

    def __init__(self, message: str, *, current_version: str) -> None:
        super().__init__(message)
        self.current_version = current_version


class EncryptionRequired(NotAllowed):
    """Messages of the room must be encrypted."""


class PasswordRequired(NotAllowed):
    """Only whoever knows the password of the account may."""


class AccountSuspended(NotAllowed):
    """The account may read, and not write, until an administrator says otherwise."""


class QuotaExceeded(NotAllowed):
    """The user keeps as much here as he may, or has uploaded enough for a day."""


class NotAuthenticated(Refused):
    """No credentials, or credentials that are not valid (any more)."""


class MissingToken(NotAuthenticated):
    """No credentials at all."""


class TokenExpired(NotAuthenticated):
    """An access token whose time is over; its session may go on with a new one."""


class AccountLocked(NotAuthenticated):
    """The account may do nothing but log out, until an administrator says otherwise."""


class WrongPassword(NotAuthenticated):
    """What should prove who somebody is does not."""


class AccountDeactivated(WrongPassword):
    """Nobody can log in to the account any more."""


class LimitExceeded(Refused):
    """Too many requests or too much data in a time."""

    def __init__(self, message: str, *, retry_after_ms: int) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class Unusable(FoyerError):
    """The input cannot be used."""


class InvalidInput(Unusable):
    """Malformed, of the wrong type, or out of range. `field` is a dotted path or ""."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class InvalidIdentifier(InvalidInput):
    """Not a Matrix identifier of the expected kind."""


class InvalidContent(InvalidInput):
    """The content of an event is not what events may contain."""


class InvalidRoomState(InvalidInput):
    """A room cannot begin like this."""


class BadAlias(InvalidInput):
    """An alias of a room that does not lead to it."""


class UnsupportedRoomVersion(InvalidInput):
    """There is no such room version."""


class InvalidUsername(InvalidInput):
    """No user ID can be made of it."""


class WeakPassword(InvalidInput):
    """Too short."""


class UnknownPosition(InvalidInput):
    """What a connection of sliding sync was told is not known (any more): it starts afresh."""


class UnknownDevice(InvalidInput):
    """The user has no device of that ID."""


class InvalidSignature(InvalidInput):
    """A signature that should be there is not, or is not that of the key that it names."""


class NoMasterKey(InvalidInput):
    """Cross-signing keys hang on a master key, and there is none."""


class ControlledByServer(Unusable):
    """Only the server itself, or another endpoint, changes this."""


class NoSuchNeighbour(Unusable):
    """Something was to be put beside what is not there."""


class NoPreview(Unusable):
    """A link that leads to nothing that can be shown."""


class NotAnImage(Unusable):
    """A file that was to be shown is no picture, or none of a kind that is looked at."""


class ImagingFailed(Unusable):
    """A picture that cannot be decoded, or not in the time and memory that there is for it."""


class TooLarge(Unusable):
    """Over a size limit."""


class ImageTooLarge(TooLarge):
    """A picture with too many pixels or bytes to be looked at."""


class RemoteTooLarge(TooLarge):
    """A file of another server that is not passed on."""


class ProfileTooLarge(TooLarge):
    """A profile with more than it may hold."""


class KeyTooLarge(TooLarge):
    """The name of a profile's field is too long."""


class Conflict(Unusable):
    """Collides with something that exists: an e-mail address, a username, an alias."""


class AliasTaken(Conflict):
    """Another room has this alias."""


class MediaExists(Conflict):
    """A file was uploaded to this address already."""


class DuplicateAnnotation(Conflict):
    """The same reaction by the same person is there already."""


class UsernameTaken(Conflict):
    """Somebody has this username, or had it."""


class NameReserved(Conflict):
    """Only an application service, or only another one, may use this name."""


class NotFound(FoyerError):
    """Absent or invisible to the caller. `kind` is "room", "message", "user", …"""

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class Unavailable(FoyerError):
    """The server cannot answer now, for instance because the database is away."""


class NotYetUploaded(Unavailable):
    """An address that waits for its file."""


class StoreUnavailable(Unavailable):
    """Files cannot be kept or read now: the disk is full, or the bucket does not answer."""
