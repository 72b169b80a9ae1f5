"""Third-party identifiers of one's account (administrative_contact.yaml).

The only one that an account has is the e-mail address with which it was made.
"""

from collections.abc import Iterator
from typing import Literal

from clientapi.matrix.endpoint import Body, Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.interactive_auth import ProvingBody
from clientapi.matrix.services import MatrixServices
from clientapi.matrix.third_party_ids import EmailValidation, MsisdnValidation
from homeserver.requester import Requester
from homeserver.views.users import Users


class Credentials(Body):
    client_secret: str
    id_server: str
    id_access_token: str
    sid: str


class AddBody(Body):
    three_pid_creds: Credentials


class AddValidatedBody(ProvingBody):
    client_secret: str
    sid: str


class IdentifierBody(Body):
    medium: Literal["email", "msisdn"]
    address: str
    id_server: str | None = None


class AdministrativeContact:
    """Endpoints of administrative_contact.yaml."""

    def __init__(self, *, users: Users) -> None:
        self._users = users

    async def get_account_3pids(self, _call: Call[NoQuery, NoBody], by: Requester) -> Json:
        contact = await self._users.contact(by)
        if contact is None:
            return {"threepids": []}
        identifier = {
            "medium": "email",
            "address": contact.email,
            "added_at": contact.since_ms,
            "validated_at": contact.since_ms,
        }
        return {"threepids": [identifier]}

    async def post_3pids(self, _call: Call[NoQuery, AddBody], _by: Requester) -> Json:
        raise MatrixError(403, "M_THREEPID_AUTH_FAILED", "This server trusts no identity server.")

    async def add_3pid(self, _call: Call[NoQuery, AddValidatedBody], _by: Requester) -> Json:
        raise MatrixError(
            400, "M_THREEPID_AUTH_FAILED", "There is no such validation of an identifier."
        )

    async def bind_3pid(self, _call: Call[NoQuery, Credentials], _by: Requester) -> Json:
        raise MatrixError(400, "M_SERVER_NOT_TRUSTED", "This server trusts no identity server.")

    async def delete_3pid_from_account(
        self, call: Call[NoQuery, IdentifierBody], by: Requester
    ) -> Json:
        contact = await self._users.contact(by)
        if contact is None or call.body.medium != "email" or contact.email != call.body.address:
            raise MatrixError(404, "M_THREEPID_NOT_FOUND", "Your account has no such identifier.")
        raise MatrixError(
            403, "M_FORBIDDEN", "The e-mail address of an account cannot be removed here."
        )

    async def unbind_3pid_from_account(
        self, _call: Call[NoQuery, IdentifierBody], _by: Requester
    ) -> Json:
        """Nothing was bound through this server, which therefore knows no server to ask."""
        return {"id_server_unbind_result": "no-support"}

    async def request_token_to_3pid_email(
        self, _call: Call[NoQuery, EmailValidation], _by: Requester
    ) -> Json:
        raise _no_such_medium()

    async def request_token_to_3pid_msisdn(
        self, _call: Call[NoQuery, MsisdnValidation], _by: Requester
    ) -> Json:
        raise _no_such_medium()


def _no_such_medium() -> MatrixError:
    return MatrixError(
        400,
        "M_THREEPID_MEDIUM_NOT_SUPPORTED",
        "This server cannot validate third-party identifiers.",
    )


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = AdministrativeContact(users=services.accounts.users)
    yield Route(method="GET", path="v3/account/3pid", run=endpoints.get_account_3pids)
    posts = (
        ("", endpoints.post_3pids, AddBody),
        ("/add", endpoints.add_3pid, AddValidatedBody),
        ("/bind", endpoints.bind_3pid, Credentials),
        ("/delete", endpoints.delete_3pid_from_account, IdentifierBody),
        ("/unbind", endpoints.unbind_3pid_from_account, IdentifierBody),
        ("/email/requestToken", endpoints.request_token_to_3pid_email, EmailValidation),
        ("/msisdn/requestToken", endpoints.request_token_to_3pid_msisdn, MsisdnValidation),
    )
    for path, run, body in posts:
        yield Route(method="POST", path=f"v3/account/3pid{path}", run=run, body=body)
