"""Operations on other users."""

from schema.operations.operation import Operation
from schema.wire.errors import ErrorCode
from schema.wire.objects import Presence, User, UserHit
from schema.wire.paths import NoPath, UserPath
from schema.wire.requests import NoBody, NoQuery, UserSearch

_TAG = "People"

SEARCH_USERS = Operation(
    name="searchUsers",
    tag=_TAG,
    summary="Find users by their name, username or e-mail address.",
    method="GET",
    path="/api/users/search",
    params=NoPath,
    query=UserSearch,
    body=NoBody,
    answers={200: list[UserHit]},
)
GET_USER = Operation(
    name="getUser",
    tag=_TAG,
    summary="A user.",
    method="GET",
    path="/api/users/{user_id}",
    params=UserPath,
    query=NoQuery,
    body=NoBody,
    answers={200: User},
    errors=(ErrorCode.INVALID_USER,),
)
GET_PRESENCE = Operation(
    name="getPresence",
    tag=_TAG,
    summary="Whether a user is there; only for those who share a room.",
    method="GET",
    path="/api/presence/{user_id}",
    params=UserPath,
    query=NoQuery,
    body=NoBody,
    answers={200: Presence},
    errors=(ErrorCode.INVALID_USER, ErrorCode.FORBIDDEN),
)

OPERATIONS = (SEARCH_USERS, GET_USER, GET_PRESENCE)
