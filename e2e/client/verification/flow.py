"""One verification, as a value."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from e2e.client.verification.dialects import Dialect

SAS = "m.sas.v1"
RECIPROCATE = "m.reciprocate.v1"
QR_SHOW = "m.qr_code.show.v1"
QR_SCAN = "m.qr_code.scan.v1"
ALL_METHODS = (SAS, QR_SHOW, QR_SCAN, RECIPROCATE)


def common_methods(offered: list[Any]) -> tuple[str, ...]:
    """Methods that we can do with somebody who offers these: one shows what the other scans."""
    counterparts = {QR_SHOW: QR_SCAN, QR_SCAN: QR_SHOW}
    return tuple(m for m in ALL_METHODS if counterparts.get(m, m) in offered)


class State(StrEnum):
    REQUESTED = "requested"
    """Somebody asked; the other side has not answered."""
    READY = "ready"
    """Both want to; a method is to be chosen."""
    STARTED = "started"
    """SAS: keys are being exchanged. QR: the other side scanned; our user should confirm."""
    COMPARING = "comparing"
    """SAS: the short strings are there to be compared."""
    CONFIRMED = "confirmed"
    """Our user said that all is right, or scanned their code; their user has not confirmed yet."""
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Sas:
    """private, public: our ephemeral key, Base64. start: the content that began it."""

    we_started: bool
    start: dict[str, Any]
    private: str
    public: str
    commitment: str | None = None
    their_public: str | None = None
    their_macs: dict[str, Any] | None = None
    dialect: Dialect = Dialect.SPEC


@dataclass(frozen=True, slots=True)
class Flow:
    """Under "user|flow_id". flow_id: the transaction ID, or the event ID of the request.
    room_id: where the messages are sent; None between devices. asked: devices that were asked and
    wait for who answers. their_keys: key ID → key of the other side, fixed when the method starts,
    so that nobody can change them meanwhile. secret: of the QR code that we show, Base64.
    """

    KIND: ClassVar[str] = "flow"
    flow_id: str
    room_id: str | None
    other_user: str
    other_device: str | None
    we_asked: bool
    state: State
    began_ms: int
    methods: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    has_request: bool = True
    sas: Sas | None = None
    secret: str | None = None
    their_keys: dict[str, str] = field(default_factory=dict)
    code: str | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        return f"{self.other_user}|{self.flow_id}"

    @property
    def is_over(self) -> bool:
        return self.state in (State.DONE, State.CANCELLED)
