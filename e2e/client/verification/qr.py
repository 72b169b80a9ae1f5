"""What a QR code of a verification contains.

Source: C-S API v1.19, "QR code format". Drawing and scanning the code is the client's part.
"""

from dataclasses import dataclass
from enum import IntEnum

from e2e.client.errors import BadKeys
from e2e.client.primitives import KEY_BYTES
from homeserver.errors import InvalidInput
from homeserver.events import base64

_MAGIC = b"MATRIX"
_VERSION = 2
_LENGTH_BYTES = 2
SECRET_BYTES = 8


class Mode(IntEnum):
    ANOTHER_USER = 0
    SELF_TRUSTING = 1
    """Our own device, which trusts the master key, shows the code."""
    SELF_NOT_TRUSTING = 2


@dataclass(frozen=True, slots=True)
class Code:
    """first_key, second_key: Base64; whose they are depends on the mode."""

    mode: Mode
    flow_id: str
    first_key: str
    second_key: str
    secret: bytes

    def encode(self) -> bytes:
        """The bytes of the code's one segment."""
        flow_id = self.flow_id.encode()
        return b"".join(
            (
                _MAGIC,
                bytes((_VERSION, self.mode)),
                len(flow_id).to_bytes(_LENGTH_BYTES),
                flow_id,
                base64.decode(self.first_key),
                base64.decode(self.second_key),
                self.secret,
            )
        )


def decode(raw: bytes) -> Code:
    """Raises BadKeys for what is no such code."""
    reader = _Reader(raw)
    if reader.take(len(_MAGIC)) != _MAGIC or reader.take(1) != bytes([_VERSION]):
        raise BadKeys("not a QR code of a verification that we know")
    try:
        mode = Mode(reader.take(1)[0])
        flow_id = reader.take(int.from_bytes(reader.take(_LENGTH_BYTES))).decode()
        first, second = (base64.encode(reader.take(KEY_BYTES)) for _ in range(2))
    except (ValueError, InvalidInput):
        raise BadKeys("the QR code is damaged") from None
    if not reader.rest:
        raise BadKeys("the QR code has no secret")
    return Code(mode, flow_id, first, second, reader.rest)


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self.rest = raw

    def take(self, count: int) -> bytes:
        if len(self.rest) < count:
            raise BadKeys("the QR code is cut off")
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken
