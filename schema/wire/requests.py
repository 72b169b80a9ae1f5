"""Bodies and query parameters of REST requests."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from schema.wire.base import (
    FILLED,
    NUL_FREE,
    Attachments,
    AvatarURL,
    ExactRequest,
    MessageUUID,
    Query,
    Ref,
    Request,
    RoomUUID,
    UserUUID,
)
from schema.wire.encryption import OptionalEditText, OptionalEncrypted, OptionalMessageText
from schema.wire.objects import HistoryVisibility, Role, RoomType

MAX_PAGE = 200
_MAX_MEMBERS = 10_000


Name = Annotated[str, Field(max_length=255), FILLED]
Topic = Annotated[str, Field(max_length=2000), NUL_FREE]
Email = Annotated[str, Field(max_length=255, json_schema_extra={"format": "email"}), FILLED]
Identifier = Annotated[str, Field(max_length=255), FILLED]
Password = Annotated[str, Field(min_length=1, max_length=1024), NUL_FREE]
Token = Annotated[str, Field(min_length=1, max_length=4096), NUL_FREE]
Reason = Annotated[str, Field(max_length=1024), NUL_FREE]
Limit = Annotated[int, Field(ge=1, le=MAX_PAGE)]
SearchTerms = Annotated[str, Field(max_length=512), FILLED]


class Login(Request):
    """Log in."""

    email: Identifier
    """An e-mail address; a username works too."""
    password: Password


class Register(ExactRequest):
    """Make an account."""

    email: Email
    password: Password
    name: Name
    username: Annotated[str, Field(max_length=255), FILLED] | None = None
    """The part of the Matrix user ID before the colon; made from the e-mail address if absent."""
    code: Annotated[str, Field(max_length=255), NUL_FREE] | None = None
    """An invitation, where the server asks for one."""


class Refresh(Request):
    """Exchange a refresh token for new tokens; it works once."""

    refresh_token: Token


class NoBody(Request):
    """Nothing."""


class ChangePassword(Request):
    """Every other session of the account ends."""

    current_password: Password
    new_password: Password


class UpdateMe(ExactRequest):
    """Change one's profile. What is absent or null stays."""

    name: Name | None = None
    avatar_url: AvatarURL | None = None
    """Empty removes it."""


class NewInvitation(ExactRequest):
    """Make a code with which somebody may register."""

    admin: bool = False
    """Whether the new account is an administrator of the server."""
    uses: Annotated[int, Field(ge=1, le=100_000)] = 1
    """How many accounts the code can make."""
    expires_in: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """Seconds; absent: never."""


class NewRoom(ExactRequest):
    """Make a room. A direct room that exists already is answered instead of a new one."""

    type: RoomType
    name: Name | None = None
    members: Annotated[tuple[UserUUID, ...], Field(max_length=_MAX_MEMBERS)] = ()
    """Users that become members besides the caller; exactly one for a direct room."""
    topic: Topic | None = None
    public: bool = False
    """Channels: whether everybody on the server may find and join it."""
    history_visibility: HistoryVisibility | None = None
    alias: Annotated[str, Field(max_length=255), FILLED] | None = None
    """Channels: the part of a Matrix room alias before the colon."""
    version: Annotated[str, Field(max_length=32), FILLED] | None = None
    """Matrix room version; absent: the server's default."""
    encrypted: bool = False
    """Whether messages must be encrypted; a direct room that exists already stays as it is."""


class UpdateRoom(ExactRequest):
    """Change a room. What is absent or null stays."""

    name: Annotated[str, Field(max_length=255), NUL_FREE] | None = None
    """Empty removes it."""
    members: Annotated[tuple[UserUUID, ...], Field(max_length=_MAX_MEMBERS)] | None = None
    """Everybody who shall be a member, the caller included."""
    topic: Topic | None = None
    """Empty removes it."""
    avatar_url: AvatarURL | None = None
    """Empty removes it."""
    public: bool | None = None
    history_visibility: HistoryVisibility | None = None
    encrypted: bool | None = None
    """True: from now on messages must be encrypted. That cannot be undone."""


class AddMembers(Request):
    """Users that become members."""

    user_ids: Annotated[tuple[UserUUID, ...], Field(min_length=1, max_length=_MAX_MEMBERS)]


class SetRole(Request):
    """A member's role."""

    role: Role


class InviteUser(Request):
    """A user who is asked to join."""

    user_id: UserUUID


class Ban(ExactRequest):
    """Why somebody is banned."""

    reason: Reason | None = None


class UpgradeRoom(Request):
    """Replace a room with one of another Matrix room version."""

    version: Annotated[str, Field(max_length=32), FILLED]


class NewMessage(ExactRequest):
    """Write a message."""

    attachments: Attachments = ()
    """Files to show, by the `id` that the upload answered. Each becomes a message; the last one \
has the content."""
    encrypted: OptionalEncrypted = None
    """In place of `content`; needed in an encrypted room."""
    content: OptionalMessageText = None
    """May be empty if there are attachments."""
    reply_to: MessageUUID | None = None
    thread_id: MessageUUID | None = None
    """The first message of the thread to write in."""
    ref: Ref | None = None
    """A request that repeats the `ref` of an earlier one of the session is the same request."""


class EditMessage(Request):
    """Replace the content of a message of one's own."""

    encrypted: OptionalEncrypted = None
    """In place of `content`; needed in an encrypted room."""
    content: OptionalEditText = None
    ref: Ref | None = None
    """A request that repeats the `ref` of an earlier one of the session is the same request."""


class MarkRead(Request):
    """The message up to which the caller has read."""

    message_id: MessageUUID


class SetTyping(Request):
    """Whether the caller is writing."""

    typing: bool


class NewAttachment(Query):
    """What is said of a file that is the body itself."""

    filename: Annotated[str, Field(max_length=500), NUL_FREE] | None = None


class PictureSize(Query):
    """What a picture is made smaller to; without `width` and `height`: the file as it is."""

    width: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Pixels; the thumbnail has at least as many, if the picture has."""
    height: Annotated[int, Field(ge=1, le=10_000)] | None = None
    method: Literal["scale", "crop"] = "scale"
    """`scale` shows all of the picture, `crop` the middle of it in the shape that is asked for."""
    animated: bool = False
    """Whether it may move."""

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if (self.width is None) != (self.height is None):
            raise PydanticCustomError("size", "width and height belong together")
        return self


class NoQuery(Query):
    """No parameters."""


class MessagePage(Query):
    """A page of messages."""

    limit: Limit = 50
    before: MessageUUID | None = None
    """The messages right before this one; absent: the newest."""


class MemberPage(Query):
    """A page of members."""

    limit: Limit = 50
    after: UserUUID | None = None
    """The members after this one; absent: the first."""


class Removal(Query):
    """Why somebody is removed."""

    reason: Reason | None = None


class DirectoryPage(Query):
    """A page of the channel directory."""

    q: Annotated[str, Field(max_length=512), NUL_FREE] | None = None
    """Part of a name or topic."""
    limit: Limit = 50
    after: RoomUUID | None = None
    """The channels after this one; absent: the first."""


class UserSearch(Query):
    """Whom to look for."""

    q: SearchTerms
    """The beginnings of words of a name or username, or a whole e-mail address."""
    limit: Annotated[int, Field(ge=1, le=100)] = 50


class MessageSearch(Query):
    """What to look for, in the rooms of the caller."""

    q: SearchTerms
    room_id: RoomUUID | None = None
    from_: Annotated[UserUUID | None, Field(alias="from")] = None
    """Only messages of this user."""
    limit: Limit = 50
    before: MessageUUID | None = None
    """Only messages before this one: the last of the page before."""
