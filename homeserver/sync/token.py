"""Where a client stands in every stream. Pure.

A token is opaque to clients: `s` and numbers. Typing and presence live in memory, so their
serials mean something to one process only: the token says to which. To any other, everything that
is true now is news.
"""

import re

from homeserver.errors import InvalidInput
from homeserver.values import value

_NUMBER = r"(0|[1-9][0-9]{0,17})"
_TOKEN = re.compile(
    rf"s{_NUMBER}(?:_{_NUMBER}_{_NUMBER}_{_NUMBER}_{_NUMBER}_([0-9a-z]{{1,16}})_{_NUMBER}_{_NUMBER})?",
    re.ASCII,
)
_MAX_CHARS = 255


@value
class SyncToken:
    """Positions of the streams. boot: the process that counted `typing` and `presence`.

    to_device, device_lists: of end-to-end encryption, 0 where nothing was told of them.
    """

    events: int
    receipts: int = 0
    account_data: int = 0
    to_device: int = 0
    device_lists: int = 0
    boot: str = "0"
    typing: int = 0
    presence: int = 0

    def __str__(self) -> str:
        return (
            f"s{self.events}_{self.receipts}_{self.account_data}_{self.to_device}"
            f"_{self.device_lists}_{self.boot}_{self.typing}_{self.presence}"
        )

    def not_before(self, other: "SyncToken") -> "SyncToken":
        """The farther of two places, where `other` is of the process that runs."""
        return SyncToken(
            events=max(self.events, other.events),
            receipts=max(self.receipts, other.receipts),
            account_data=max(self.account_data, other.account_data),
            to_device=max(self.to_device, other.to_device),
            device_lists=max(self.device_lists, other.device_lists),
            boot=other.boot,
            typing=other.typing,
            presence=other.presence,
        )


def parse_sync_token(text: str) -> SyncToken:
    """Also the short form, `s` and a position of the stream of events.

    Raises InvalidInput.
    """
    found = _TOKEN.fullmatch(text) if len(text) <= _MAX_CHARS else None
    if found is None:
        raise InvalidInput("This is no token of this server.", field="since")
    events, receipts, account_data, to_device, device_lists, boot, typing, presence = found.groups()
    if receipts is None:
        return SyncToken(events=int(events))
    return SyncToken(
        events=int(events),
        receipts=int(receipts),
        account_data=int(account_data),
        to_device=int(to_device),
        device_lists=int(device_lists),
        boot=boot,
        typing=int(typing),
        presence=int(presence),
    )
