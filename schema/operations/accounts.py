"""Operations on the caller's account: log-in, sessions, invitations, WebSocket tickets."""

from schema.operations.operation import Operation
from schema.wire.errors import ErrorCode
from schema.wire.objects import Me, Session
from schema.wire.paths import NoPath, SessionPath
from schema.wire.requests import (
    ChangePassword,
    Login,
    NewInvitation,
    NoBody,
    NoQuery,
    Refresh,
    Register,
    UpdateMe,
)
from schema.wire.responses import Invitation, LoggedIn, Ticket, Tokens

_TAG = "Account"

LOGIN = Operation(
    name="login",
    tag=_TAG,
    summary="Log in with e-mail address and password.",
    method="POST",
    path="/api/auth/login",
    params=NoPath,
    query=NoQuery,
    body=Login,
    answers={200: LoggedIn},
    errors=(ErrorCode.UNAUTHENTICATED,),
    public=True,
)
REGISTER = Operation(
    name="register",
    tag=_TAG,
    summary="Make an account and log in.",
    method="POST",
    path="/api/auth/register",
    params=NoPath,
    query=NoQuery,
    body=Register,
    answers={201: LoggedIn},
    errors=(ErrorCode.FORBIDDEN, ErrorCode.CONFLICT),
    public=True,
)
REFRESH = Operation(
    name="refresh",
    tag=_TAG,
    summary="Exchange a refresh token for new tokens.",
    method="POST",
    path="/api/auth/refresh",
    params=NoPath,
    query=NoQuery,
    body=Refresh,
    answers={200: Tokens},
    errors=(ErrorCode.UNAUTHENTICATED,),
    public=True,
)
LOGOUT = Operation(
    name="logout",
    tag=_TAG,
    summary="End the session that asks.",
    method="POST",
    path="/api/auth/logout",
    params=NoPath,
    query=NoQuery,
    body=NoBody,
    answers={204: None},
)
LOGOUT_ALL = Operation(
    name="logoutAll",
    tag=_TAG,
    summary="End all sessions of the account.",
    method="POST",
    path="/api/auth/logout/all",
    params=NoPath,
    query=NoQuery,
    body=NoBody,
    answers={204: None},
)
CHANGE_PASSWORD = Operation(
    name="changePassword",
    tag=_TAG,
    summary="Change the password; every other session ends.",
    method="PUT",
    path="/api/auth/password",
    params=NoPath,
    query=NoQuery,
    body=ChangePassword,
    answers={200: Me},
    errors=(ErrorCode.FORBIDDEN,),
)
GET_ME = Operation(
    name="getMe",
    tag=_TAG,
    summary="The caller's account.",
    method="GET",
    path="/api/users/me",
    params=NoPath,
    query=NoQuery,
    body=NoBody,
    answers={200: Me},
)
UPDATE_ME = Operation(
    name="updateMe",
    tag=_TAG,
    summary="Change the caller's profile.",
    method="PATCH",
    path="/api/users/me",
    params=NoPath,
    query=NoQuery,
    body=UpdateMe,
    answers={200: Me},
)
LIST_SESSIONS = Operation(
    name="listSessions",
    tag=_TAG,
    summary="Where the caller is logged in, the session used last first.",
    method="GET",
    path="/api/sessions",
    params=NoPath,
    query=NoQuery,
    body=NoBody,
    answers={200: list[Session]},
)
END_SESSION = Operation(
    name="endSession",
    tag=_TAG,
    summary="End a session of the caller.",
    method="DELETE",
    path="/api/sessions/{session_id}",
    params=SessionPath,
    query=NoQuery,
    body=NoBody,
    answers={204: None},
    errors=(ErrorCode.NOT_FOUND,),
)
ISSUE_TICKET = Operation(
    name="issueTicket",
    tag=_TAG,
    summary="A ticket that opens one WebSocket, for clients that cannot send headers with it.",
    method="POST",
    path="/api/ws/ticket",
    params=NoPath,
    query=NoQuery,
    body=NoBody,
    answers={200: Ticket},
)
CREATE_INVITATION = Operation(
    name="createInvitation",
    tag=_TAG,
    summary="Make a code with which somebody may register (administrators).",
    method="POST",
    path="/api/invitations",
    params=NoPath,
    query=NoQuery,
    body=NewInvitation,
    answers={201: Invitation},
    errors=(ErrorCode.FORBIDDEN,),
)

OPERATIONS = (
    LOGIN,
    REGISTER,
    REFRESH,
    LOGOUT,
    LOGOUT_ALL,
    CHANGE_PASSWORD,
    GET_ME,
    UPDATE_ME,
    LIST_SESSIONS,
    END_SESSION,
    ISSUE_TICKET,
    CREATE_INVITATION,
)
