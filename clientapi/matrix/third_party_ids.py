"""What the endpoints of several files that are about third-party identifiers share.

This server sends no mail and no text messages, and trusts no identity server: no address can be
validated here.
"""

from clientapi.matrix.endpoint import Body
from clientapi.matrix.errors import MatrixError


class EmailValidation(Body):
    client_secret: str
    email: str
    send_attempt: int


class MsisdnValidation(Body):
    client_secret: str
    country: str
    phone_number: str
    send_attempt: int


def denied() -> MatrixError:
    return MatrixError(
        403, "M_THREEPID_DENIED", "This server cannot validate third-party identifiers."
    )
