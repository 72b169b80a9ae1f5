"""Cross-signing keys of somebody who proves by his password, where proof is needed, who he is.

Source: C-S API v1.19 `uploadCrossSigningKeys`; its interactive authentication in one step.
"""

from collections.abc import Mapping
from typing import Any

from e2e.cross_signing import CrossSigning
from homeserver.actions.login import Login
from homeserver.errors import PasswordRequired, WrongPassword
from homeserver.requester import Requester


class Identity:
    """Uploads of cross-signing keys."""

    def __init__(self, *, cross_signing: CrossSigning, login: Login) -> None:
        self._cross_signing = cross_signing
        self._login = login

    async def upload(
        self, by: Requester, keys: Mapping[str, Mapping[str, Any]], password: str | None
    ) -> None:
        """keys: by usage. Raises PasswordRequired, and what `CrossSigning.upload` does."""
        if not await self._cross_signing.needs_proof(by, keys):
            await self._cross_signing.upload(by, keys, proven=False)
            return
        if password is None:
            raise PasswordRequired("These keys replace others: give your password.")
        try:
            await self._login.prove_owner(by, password)
        except WrongPassword:
            raise PasswordRequired("The password is not right.") from None
        await self._cross_signing.upload(by, keys, proven=True)
