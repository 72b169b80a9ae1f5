"""Whether somebody may write at all. Source: C-S API v1.19 "Account suspension"."""

from homeserver.errors import AccountSuspended
from homeserver.requester import Requester


def require_active(by: Requester) -> None:
    """Raises AccountSuspended for somebody who may only read.

    The requester knows: who suspends an account announces it, and nobody is remembered longer than
    a minute without being looked up.
    """
    if by.is_suspended:
        raise AccountSuspended("You cannot do this while your account is suspended.")
